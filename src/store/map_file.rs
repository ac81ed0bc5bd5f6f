//! Finding and reading instance maps and the files that they name.

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{ErrorKind as IoErrorKind, Read},
    path::{Path, PathBuf},
};

use crate::{
    environment::Environment,
    error::{Error, Result},
    model::{
        instance_map::{CONFIG_MAP, Defaults, FILE_NAME, InstanceMap, MapProblems},
        job_template,
        settings::{Key, Origin},
    },
};

/// The largest file that is read. A ConfigMap cannot be larger either.
const SIZE_LIMIT: u64 = 1 << 20;

/// Where a map came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MapSource {
    /// The file that `--map` names.
    Flag(PathBuf),
    /// The file that `$SBRUN_MAP` names.
    Variable(PathBuf),
    /// The nearest one upward from the working directory.
    Upward(PathBuf),
    /// The user's configuration folder.
    User(PathBuf),
    /// The ConfigMap of a namespace.
    ConfigMap {
        /// Namespace.
        namespace: String,
    },
}

impl fmt::Display for MapSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(path) => write!(formatter, "{} ({})", path.display(), Origin::Flag(Key::Map)),
            Self::Variable(path) => write!(formatter, "{} ({})", path.display(), Origin::Variable(Key::Map)),
            Self::Upward(path) => write!(formatter, "{} (nearest to the working directory)", path.display()),
            Self::User(path) => write!(formatter, "{} (configuration folder)", path.display()),
            Self::ConfigMap { namespace } => write!(formatter, "ConfigMap {CONFIG_MAP} of namespace {namespace}"),
        }
    }
}

/// A map without problems, its defaults joined with the user's own.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundMap {
    /// The map.
    pub map: InstanceMap,
    /// Where it came from.
    pub source: MapSource,
}

impl MapSource {
    /// Returns the file; none for a ConfigMap.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Flag(path) | Self::Variable(path) | Self::Upward(path) | Self::User(path) => Some(path),
            Self::ConfigMap { .. } => None,
        }
    }
}

impl FoundMap {
    /// Returns the namespace that the map names for jobs.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.map.cluster.namespace.as_ref().map(|namespace| namespace.value.as_str())
    }
}

/// A map as everybody has it: without the defaults of my own, and with the texts that it is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct SharedMap {
    /// The map.
    pub map: InstanceMap,
    /// The entries of its ConfigMap: map and templates.
    pub entries: BTreeMap<String, String>,
}

/// Returns the map whose sizes count: of `--map`, of `$SBRUN_MAP`, the nearest upward from the working directory, or the user's own.
///
/// `None` means that the ConfigMap of the namespace is next, see [`from_config_map`]. A map that is named and not there,
/// and one that cannot be read or has problems, are [`ErrorKind::Rejected`](crate::error::ErrorKind::Rejected).
pub fn find(map_flag: Option<&Path>, environment: &Environment) -> Result<Option<FoundMap>> {
    let Some(source) = source(map_flag, environment) else { return of_user_alone(environment) };
    let (path, named_by) = match &source {
        MapSource::Flag(path) => (path, Some(Origin::Flag(Key::Map))),
        MapSource::Variable(path) => (path, Some(Origin::Variable(Key::Map))),
        MapSource::Upward(path) | MapSource::User(path) => (path, None),
        MapSource::ConfigMap { .. } => return Ok(None),
    };
    let path = from_working_directory(path, environment);
    let text = read(&path, environment).map_err(|refusal| refusal.into_error(named_by.as_ref()))?;
    let mut map = parse(InstanceMap::parse, &text, &path, environment)?;
    let same_file = user_path(environment).is_some_and(|user| same(&user, &path));
    if !same_file {
        map.defaults = map.defaults.or(user_defaults(environment)?);
    }
    Ok(Some(FoundMap { map, source }))
}

/// Returns the map that a ConfigMap holds; `None` when it has no key `instance-map.yaml`.
///
/// `data` are its entries: a template that the map names is one of them. What the user's own map says goes before the
/// defaults of the cluster's.
pub fn from_config_map(namespace: &str, data: &BTreeMap<String, String>, environment: &Environment) -> Result<Option<FoundMap>> {
    let Some(text) = data.get(FILE_NAME) else { return Ok(None) };
    let mut map = parse_entries(text, namespace, data)?;
    map.defaults = user_defaults(environment)?.or(map.defaults);
    Ok(Some(FoundMap { map, source: MapSource::ConfigMap { namespace: namespace.to_owned() } }))
}

fn parse_entries(text: &str, namespace: &str, data: &BTreeMap<String, String>) -> Result<InstanceMap> {
    let name = MapSource::ConfigMap { namespace: namespace.to_owned() }.to_string();
    let mut read_template = |name: &str| data.get(name).cloned().ok_or_else(|| format!("the ConfigMap {CONFIG_MAP} has no such key"));
    Ok(InstanceMap::parse(text, &name, &mut read_template)?)
}

/// Returns a map of files as everybody would have it from the ConfigMap.
///
/// # Errors
/// Rejected when map and templates do not fit into a ConfigMap.
pub fn shared(path: &Path, environment: &Environment) -> Result<SharedMap> {
    let path = from_working_directory(path, environment);
    let text = read(&path, environment).map_err(|refusal| refusal.into_error(None))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut entries = BTreeMap::new();
    let mut read_template = |name: &str| {
        let text = read(&folder.join(name), environment).map_err(|refusal| refusal.why)?;
        entries.insert(name.to_owned(), text.clone());
        Ok(text)
    };
    let map = InstanceMap::parse(&text, &shown(&path, environment), &mut read_template)?;
    entries.insert(FILE_NAME.to_owned(), text);
    Ok(SharedMap { map, entries })
}

/// Returns the map that a ConfigMap holds as everybody has it; `None` when it has no key `instance-map.yaml`.
pub fn shared_from_config_map(namespace: &str, data: BTreeMap<String, String>) -> Result<Option<SharedMap>> {
    let Some(text) = data.get(FILE_NAME) else { return Ok(None) };
    let map = parse_entries(text, namespace, &data)?;
    Ok(Some(SharedMap { map, entries: data }))
}

/// Returns an error when the entries of a map do not fit into a ConfigMap.
pub fn check_entries(entries: &BTreeMap<String, String>) -> Result<()> {
    let is_key = |name: &str| name.len() <= 253 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if let Some(name) = entries.keys().find(|name| !is_key(name)) {
        return Err(Error::rejected(format!("the template `{name}` cannot be an entry of the ConfigMap {CONFIG_MAP}"))
            .hinted("put it beside the map, with letters, digits, `-`, `_` and `.` in its name"));
    }
    let size: usize = entries.iter().map(|(name, text)| name.len() + text.len()).sum();
    if size as u64 > SIZE_LIMIT {
        return Err(Error::rejected(format!("map and templates are {} KiB together, a ConfigMap takes 1024 KiB", size.div_ceil(1024))));
    }
    Ok(())
}

/// Returns the text of a map's file; none when there is no such file.
pub fn text(path: &Path, environment: &Environment) -> Result<Option<String>> {
    let path = from_working_directory(path, environment);
    if !may_be_there(&path) {
        return Ok(None);
    }
    read(&path, environment).map(Some).map_err(|refusal| refusal.into_error(None))
}

/// Returns the map that a text would be as this file, with the templates that lie beside it.
pub fn parse_text(text: &str, path: &Path, environment: &Environment) -> Result<InstanceMap> {
    parse(InstanceMap::parse, text, &from_working_directory(path, environment), environment)
}

/// Writes the text of a map, whole or not at all.
pub fn write(path: &Path, text: &str, environment: &Environment) -> Result<()> {
    let path = from_working_directory(path, environment);
    // A link stays a link: what it leads to is written.
    let path = path.canonicalize().unwrap_or(path);
    let beside = path.with_extension("yaml.new");
    let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, &path));
    written.map_err(|error| Error::failed(format!("cannot write `{}`", shown(&path, environment))).caused_by(error))
}

/// Returns the defaults of the user's own map; none when there is no such map.
pub fn user_defaults(environment: &Environment) -> Result<Defaults> {
    Ok(user_map(environment)?.map_or_else(Defaults::default, |(map, _)| map.defaults))
}

/// Returns the Job manifest of a file that a flag, a variable or a directive names; `origin` says which.
pub fn read_template(path: &Path, origin: &Origin, environment: &Environment) -> Result<serde_json::Value> {
    let path = from_working_directory(path, environment);
    let text = read(&path, environment).map_err(|refusal| refusal.into_error(Some(origin)))?;
    let shown = shown(&path, environment);
    let refused = || format!("the template `{shown}` cannot be used");
    match job_template::parse(&text) {
        Ok(template) if template.problems.is_empty() => Ok(template.manifest),
        Ok(template) => Err(Error::rejected(refused()).caused_by_all(template.problems)),
        Err(message) => Err(Error::rejected(refused()).caused_by_all([message])),
    }
}

fn of_user_alone(environment: &Environment) -> Result<Option<FoundMap>> {
    let found = user_map(environment)?.filter(|(map, _)| !map.sizes.is_empty());
    Ok(found.map(|(map, path)| FoundMap { map, source: MapSource::User(path) }))
}

fn user_map(environment: &Environment) -> Result<Option<(InstanceMap, PathBuf)>> {
    let Some(path) = user_path(environment).filter(|path| may_be_there(path)) else { return Ok(None) };
    let text = read(&path, environment).map_err(|refusal| refusal.into_error(None))?;
    let map = parse(InstanceMap::parse_of_user, &text, &path, environment)?;
    Ok(Some((map, path)))
}

fn user_path(environment: &Environment) -> Option<PathBuf> {
    Some(environment.config_dir()?.join(FILE_NAME))
}

fn source(map_flag: Option<&Path>, environment: &Environment) -> Option<MapSource> {
    if let Some(path) = map_flag {
        return Some(MapSource::Flag(path.to_owned()));
    }
    if let Some(path) = environment.get("SBRUN_MAP") {
        return Some(MapSource::Variable(path.into()));
    }
    let above = environment.current_dir.as_deref()?.ancestors().map(|folder| folder.join(FILE_NAME));
    above.into_iter().find(|path| may_be_there(path)).map(MapSource::Upward)
}

/// Returns whether there is something of this name; what cannot be looked at is read, and refused with its reason.
fn may_be_there(path: &Path) -> bool {
    !matches!(path.symlink_metadata(), Err(error) if matches!(error.kind(), IoErrorKind::NotFound | IoErrorKind::NotADirectory))
}

fn same(first: &Path, second: &Path) -> bool {
    first == second || matches!((first.canonicalize(), second.canonicalize()), (Ok(first), Ok(second)) if first == second)
}

fn from_working_directory(path: &Path, environment: &Environment) -> PathBuf {
    environment.current_dir.as_ref().map_or_else(|| path.to_owned(), |folder| folder.join(path))
}

/// Returns a path as people know it: short when it lies below the working directory.
fn shown(path: &Path, environment: &Environment) -> String {
    let below = environment.current_dir.as_ref().and_then(|folder| path.strip_prefix(folder).ok());
    below.filter(|below| !below.as_os_str().is_empty()).unwrap_or(path).display().to_string()
}

type Parse = fn(&str, &str, &mut dyn FnMut(&str) -> Result<String, String>) -> Result<InstanceMap, MapProblems>;

fn parse(parse: Parse, text: &str, path: &Path, environment: &Environment) -> Result<InstanceMap> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut read_template = |name: &str| read(&folder.join(name), environment).map_err(|refusal| refusal.why);
    Ok(parse(text, &shown(path, environment), &mut read_template)?)
}

/// Why a file cannot be used.
struct Refusal {
    file: String,
    why: String,
}

impl Refusal {
    /// Returns the error; `named_by` is what named the file, when something did.
    fn into_error(self, named_by: Option<&Origin>) -> Error {
        let by = named_by.map_or_else(String::new, |origin| format!(" of {origin}"));
        Error::rejected(format!("the file `{}`{by} cannot be used: {}", self.file, self.why))
    }
}

/// Returns the text of a file of reasonable size.
fn read(path: &Path, environment: &Environment) -> Result<String, Refusal> {
    let refusal = |why: String| Refusal { file: shown(path, environment), why };
    let unreadable = |error: std::io::Error| {
        refusal(match error.kind() {
            IoErrorKind::NotFound => "there is no such file".to_owned(),
            IoErrorKind::PermissionDenied => "you may not read it".to_owned(),
            _ => error.to_string(),
        })
    };
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.is_dir() {
        return Err(refusal("it is a folder".to_owned()));
    }
    let mut bytes = Vec::new();
    // One byte more than allowed, so that a file that is too long shows, whatever its kind.
    file.take(SIZE_LIMIT + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > SIZE_LIMIT {
        return Err(refusal("it is larger than 1 MiB".to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = valid.split(|byte| *byte == b'\n').count();
        refusal(format!("it is not UTF-8 text, see line {line}"))
    })
}

#[cfg(test)]
mod tests;
