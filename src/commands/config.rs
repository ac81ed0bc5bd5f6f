//! `sbrun config`: settings with their origin.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{
    context::Context,
    submit::{SubmitArgs, resolve},
};
use crate::{
    error::Result,
    model::exit_code::ExitCode,
    output::{
        format::SCHEMA,
        table::{self, Column},
        ui::Ui,
    },
};

/// Terminals with fewer columns have no room for three columns of a table.
const NARROW: usize = 60;

/// Arguments of `sbrun config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// The flow whose directives count too
    #[arg(value_name = "FLOW")]
    pub flow: Option<PathBuf>,
    /// As if this size were asked for
    #[arg(short, long, value_name = "SIZE")]
    pub size: Option<String>,
}

/// The settings as a document.
#[derive(Debug, Serialize)]
struct Settings {
    schema: u32,
    map: Option<String>,
    settings: Vec<Entry>,
}

/// One setting as a document.
#[derive(Debug, Serialize)]
struct Entry {
    key: String,
    value: Option<String>,
    origin: Option<String>,
}

/// Shows every setting and where it came from.
pub async fn config(arguments: &ConfigArgs, context: &Context, ui: &mut Ui) -> Result<ExitCode> {
    let files = context.find_map()?;
    let cluster = if files.is_none() { context.connect(None).await.ok() } else { None };
    let submit = SubmitArgs { flow: arguments.flow.clone(), size: arguments.size.clone(), ..SubmitArgs::default() };
    // Without a map on this machine the cluster may have one; when it does not answer, the rest is still worth showing.
    let decided = match resolve::decide(&submit, context, cluster.as_ref(), files).await {
        Err(error) if cluster.is_some() && error.kind() == crate::error::ErrorKind::Unreachable => {
            ui.warning(error.message());
            resolve::decide(&submit, context, None, None).await?
        }
        decided => decided?,
    };
    for warning in &decided.warnings {
        ui.warning(warning);
    }
    let entries = decided.settings.listed().into_iter().map(|listed| Entry {
        key: listed.key,
        value: listed.value,
        origin: listed.origin.map(|origin| origin.to_string()),
    });
    let settings = Settings { schema: SCHEMA, map: decided.map.as_ref().map(|found| found.source.to_string()), settings: entries.collect() };
    let names: Vec<String> = settings.settings.iter().map(|entry| entry.key.clone()).collect();
    ui.show(&settings, |ui| table_of(&settings, ui.width()), || names)?;
    if ui.is_for_people() {
        ui.status(&settings.map.map_or_else(|| "no instance map".to_owned(), |map| format!("instance map: {map}")));
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns what is set, as a table; where a terminal is narrow, with the origin of each setting below it.
fn table_of(settings: &Settings, width: Option<usize>) -> String {
    let set = settings.settings.iter().filter_map(|entry| Some([entry.key.as_str(), entry.value.as_deref()?, entry.origin.as_deref().unwrap_or("")]));
    if width.is_some_and(|width| width < NARROW) {
        return set.map(|[key, value, origin]| format!("{key} = {value}\n  {origin}").trim_end().to_owned()).collect::<Vec<_>>().join("\n");
    }
    let columns = [Column::words("SETTING"), Column::words("VALUE"), Column::words("FROM")];
    table::render(&columns, set.map(|row| row.map(ToOwned::to_owned).to_vec()).collect(), width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_terminal_shows_origins_too() {
        let entry = |key: &str, value: Option<&str>, origin: Option<&str>| Entry {
            key: key.into(),
            value: value.map(Into::into),
            origin: origin.map(Into::into),
        };
        let entries = vec![entry("size", Some("small"), Some("flag --size")), entry("lease", None, None), entry("grace", Some("110s"), None)];
        let settings = Settings { schema: SCHEMA, map: None, settings: entries };
        assert_eq!(table_of(&settings, Some(40)), "size = small\n  flag --size\ngrace = 110s");
        assert_eq!(table_of(&settings, Some(80)), "SETTING  VALUE  FROM\nsize     small  flag --size\ngrace    110s");
    }
}
