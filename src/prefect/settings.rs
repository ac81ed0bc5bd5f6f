//! Address and credentials of the API, picked up as Prefect itself does.
//!
//! For each key by itself: environment, `.env`, `prefect.toml`, `pyproject.toml` of the working directory, then the active profile of
//! `~/.prefect/profiles.toml`. Sources may mix, so each value says where it is from. Verified on Prefect 3.8.8.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use crate::{
    environment::Environment,
    error::{Error, Result},
    model::{address::without_user, launch_plan::Redacted},
};

/// Where a setting is from, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// An environment variable.
    Variable(&'static str),
    /// A file of the working directory.
    File(&'static str),
    /// A profile of Prefect.
    Profile(String),
    /// The instance map.
    Map,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(formatter, "the variable {name}"),
            Self::File(name) => write!(formatter, "`{name}` in this folder"),
            Self::Profile(name) => write!(formatter, "the Prefect profile `{name}`"),
            Self::Map => formatter.write_str("`prefect` of the instance map"),
        }
    }
}

/// A value and where it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it is from.
    pub origin: Origin,
}

/// How to reach a Prefect API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Address of the API.
    pub api_url: Setting<String>,
    /// Key of Prefect Cloud.
    pub api_key: Option<Setting<Redacted>>,
    /// `user:password` of a self-hosted server; it wins over a key.
    pub auth_string: Option<Setting<Redacted>>,
    /// Address of the user interface, where it is not beside the API.
    pub ui_url: Option<String>,
}

/// One key, as each source spells it.
struct Key {
    variable: &'static str,
    section: &'static str,
    name: &'static str,
}

const API_URL: Key = Key { variable: "PREFECT_API_URL", section: "api", name: "url" };
const API_KEY: Key = Key { variable: "PREFECT_API_KEY", section: "api", name: "key" };
const AUTH_STRING: Key = Key { variable: "PREFECT_API_AUTH_STRING", section: "api", name: "auth_string" };
const UI_URL: Key = Key { variable: "PREFECT_UI_URL", section: "", name: "ui_url" };

/// Everything that may hold a setting, read once.
struct Sources<'a> {
    environment: &'a Environment,
    dotenv: Vec<(String, String)>,
    prefect_toml: Table,
    pyproject: Table,
    profile: Option<(String, Table)>,
}

impl Settings {
    /// Returns how to reach the API; none when nothing names one, where Prefect would start a server of its own for the moment.
    ///
    /// # Errors
    /// When a file that Prefect would read cannot be read.
    pub fn find(environment: &Environment) -> Result<Option<Self>> {
        let sources = Sources::read(environment)?;
        let Some(api_url) = sources.find(&API_URL) else { return Ok(None) };
        let secret = |key: &Key| sources.find(key).map(|Setting { value, origin }| Setting { value: Redacted(value), origin });
        Ok(Some(Self {
            api_url,
            api_key: secret(&API_KEY),
            auth_string: secret(&AUTH_STRING),
            ui_url: sources.find(&UI_URL).map(|setting| setting.value),
        }))
    }

    /// Returns the page of a flow run.
    #[must_use]
    pub fn flow_run_page(&self, id: &str) -> String {
        let api = self.api_url.value.trim_end_matches('/');
        let cloud = api.strip_prefix("https://api.prefect.cloud/api/accounts/").and_then(|rest| rest.split_once("/workspaces/"));
        let base = match (&self.ui_url, cloud) {
            (Some(url), _) => without_user(url.trim_end_matches('/')),
            (None, Some((account, workspace))) => format!("https://app.prefect.cloud/account/{account}/workspace/{workspace}"),
            (None, None) => api.strip_suffix("/api").unwrap_or(api).to_owned(),
        };
        format!("{base}/runs/flow-run/{id}")
    }
}

impl<'a> Sources<'a> {
    fn read(environment: &'a Environment) -> Result<Self> {
        let folder = environment.current_dir.as_deref();
        let table = |name: &str| folder.map_or_else(|| Ok(Table::new()), |folder| read_table(&folder.join(name)));
        let dotenv = folder.map(|folder| read(&folder.join(".env"))).transpose()?.flatten().unwrap_or_default();
        Ok(Self {
            environment,
            dotenv: assignments(&dotenv),
            prefect_toml: table("prefect.toml")?,
            pyproject: table("pyproject.toml")?,
            profile: profile(environment)?,
        })
    }

    fn find(&self, key: &Key) -> Option<Setting<String>> {
        let Key { variable, section, name } = key;
        let setting = |value: &str, origin: Origin| (!value.is_empty()).then(|| Setting { value: value.to_owned(), origin });
        let of_table = |table: &Table| {
            let table = if section.is_empty() { Some(table) } else { table.get(*section).and_then(Value::as_table) };
            table.and_then(|table| Some(table.get(*name)?.as_str()?.to_owned()))
        };
        let tool = self.pyproject.get("tool").and_then(|tool| tool.get("prefect")).and_then(Value::as_table);
        self.environment
            .get(variable)
            .and_then(|value| setting(value, Origin::Variable(variable)))
            .or_else(|| setting(&self.dotenv.iter().rev().find(|(name, _)| name == variable)?.1, Origin::File(".env")))
            .or_else(|| setting(&of_table(&self.prefect_toml)?, Origin::File("prefect.toml")))
            .or_else(|| setting(&of_table(tool?)?, Origin::File("pyproject.toml")))
            .or_else(|| {
                let (profile, table) = self.profile.as_ref()?;
                setting(table.get(*variable)?.as_str()?, Origin::Profile(profile.clone()))
            })
    }
}

/// Returns the active profile and its settings; none when there is no such file.
fn profile(environment: &Environment) -> Result<Option<(String, Table)>> {
    let home = environment.get("PREFECT_HOME").map(PathBuf::from).or_else(|| environment.home().map(|home| home.join(".prefect")));
    let path = environment.get("PREFECT_PROFILES_PATH").map(PathBuf::from).or_else(|| home.map(|home| home.join("profiles.toml")));
    let Some(path) = path else { return Ok(None) };
    let file = read_table(&path)?;
    let wanted = environment.get("PREFECT_PROFILE");
    let Some(name) = wanted.or_else(|| file.get("active").and_then(Value::as_str)) else { return Ok(None) };
    let found = file.get("profiles").and_then(|profiles| profiles.get(name)).and_then(Value::as_table);
    match (found, wanted) {
        (Some(table), _) => Ok(Some((name.to_owned(), table.clone()))),
        // Prefect knows some profiles (`ephemeral`, `local`) without the file.
        (None, Some(name)) if !file.is_empty() => {
            Err(Error::rejected(format!("there is no Prefect profile `{name}` in `{}`", path.display())).hinted("PREFECT_PROFILE names it"))
        }
        _ => Ok(None),
    }
}

fn read(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(Error::failed(format!("cannot read `{}`, where Prefect's settings may be", path.display())).caused_by(error)),
    }
}

fn read_table(path: &Path) -> Result<Table> {
    let text = read(path)?.unwrap_or_default();
    text.parse().map_err(|error: toml::de::Error| {
        Error::rejected(format!("`{}`, where Prefect's settings may be, is no TOML", path.display()))
            .caused_by(anyhow::Error::msg(error.message().to_owned()))
    })
}

/// Returns what a `.env` file sets; other lines are none of ours.
fn assignments(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map(|line| line.trim().strip_prefix("export ").unwrap_or(line.trim()));
    let parts = lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    let unquoted = |value: &str| {
        let quoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        quoted.unwrap_or(value).to_owned()
    };
    parts.map(|(name, value)| (name.trim().to_owned(), unquoted(value.trim()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<Option<Settings>> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let mut environment = Environment { current_dir: Some(folder.path().to_owned()), ..Environment::default() };
        environment.variables.insert("HOME".into(), folder.path().to_string_lossy().into_owned());
        environment.variables.extend(variables.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        Settings::find(&environment)
    }

    const PROFILES: (&str, &str) = (
        ".prefect/profiles.toml",
        "active = \"prod\"\n[profiles.prod]\nPREFECT_API_URL = \"http://prod/api\"\nPREFECT_API_KEY = \"k\"\n[profiles.dev]\nPREFECT_API_URL = \"http://dev/api\"\n",
    );

    fn address(settings: Result<Option<Settings>>) -> (String, String) {
        let settings = settings.unwrap().expect("an address");
        (settings.api_url.value, settings.api_url.origin.to_string())
    }

    #[test]
    fn the_nearest_source_wins_for_each_key() {
        assert_eq!(find(&[], &[]).unwrap(), None);
        let mut files = vec![PROFILES];
        assert_eq!(address(find(&files, &[])), ("http://prod/api".into(), "the Prefect profile `prod`".into()));
        assert_eq!(address(find(&files, &[("PREFECT_PROFILE", "dev")])).0, "http://dev/api");
        files.push(("pyproject.toml", "[tool.prefect.api]\nurl = \"http://pyproject/api\"\n"));
        assert_eq!(address(find(&files, &[])).0, "http://pyproject/api");
        files.push(("prefect.toml", "[api]\nurl = \"http://toml/api\"\n"));
        assert_eq!(address(find(&files, &[])), ("http://toml/api".into(), "`prefect.toml` in this folder".into()));
        files.push((".env", "# x\nexport PREFECT_API_URL='http://dotenv/api'\nnonsense\n"));
        assert_eq!(address(find(&files, &[])).0, "http://dotenv/api");
        let settings = find(&files, &[("PREFECT_API_URL", "http://variable/api")]).unwrap().unwrap();
        assert_eq!(settings.api_url.value, "http://variable/api");
        let key = settings.api_key.expect("the profile's key");
        assert_eq!((key.value.0.as_str(), key.origin.to_string().as_str()), ("k", "the Prefect profile `prod`"));
        assert!(!format!("{key:?}").contains("\"k\""));
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        assert!(find(&[("prefect.toml", "[api\n")], &[]).unwrap_err().message().contains("prefect.toml"));
        assert!(find(&[PROFILES], &[("PREFECT_PROFILE", "staging")]).unwrap_err().message().contains("`staging`"));
        assert_eq!(find(&[], &[("PREFECT_PROFILE", "ephemeral")]).unwrap(), None);
    }

    #[test]
    fn pages_of_flow_runs() {
        let page = |url: &str| find(&[], &[("PREFECT_API_URL", url)]).unwrap().unwrap().flow_run_page("1");
        assert_eq!(page("http://127.0.0.1:4200/api"), "http://127.0.0.1:4200/runs/flow-run/1");
        let cloud = "https://api.prefect.cloud/api/accounts/a/workspaces/w";
        assert_eq!(page(cloud), "https://app.prefect.cloud/account/a/workspace/w/runs/flow-run/1");
    }
}
