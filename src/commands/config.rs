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
    ui.show(&settings, |ui| table_of(&settings, ui), || names)?;
    if ui.is_for_people() {
        ui.status(&settings.map.map_or_else(|| "no instance map".to_owned(), |map| format!("instance map: {map}")));
    }
    Ok(ExitCode::SUCCESS)
}

fn table_of(settings: &Settings, ui: &Ui) -> String {
    let columns = [Column::words("SETTING"), Column::words("VALUE"), Column::words("FROM")];
    let set = settings.settings.iter().filter(|entry| entry.value.is_some());
    let rows = set.map(|entry| vec![entry.key.clone(), entry.value.clone().unwrap_or_default(), entry.origin.clone().unwrap_or_default()]);
    table::render(&columns, rows.collect(), ui.width())
}
