//! The parts that no manifest can carry: flags and IAM policies.

use serde::Serialize;
use serde_json::Value;

use super::{Part, shared_map};
use crate::{
    commands::context::Context,
    error::Result,
    model::{
        exit_code::ExitCode,
        setup::{
            autoscaler::{self, AutoscalerFlag},
            iam,
        },
    },
    output::{
        format::{self, SCHEMA},
        table::{self, Column},
        ui::{Format, Ui},
    },
};

/// The autoscaler's flags as a document.
#[derive(Debug, Serialize)]
struct Flags {
    schema: u32,
    flags: Vec<AutoscalerFlag>,
}

/// Prints a document.
pub(super) async fn show(part: Part, context: &Context, ui: &mut Ui) -> Result<ExitCode> {
    match part {
        Part::IamUsers => show_policy(&iam::of_users(), ui)?,
        Part::IamAutoscaler => show_policy(&iam::of_autoscaler(&shared_map(context, false).await?.map)?, ui)?,
        _ => {
            let map = shared_map(context, false).await?.map;
            show_flags(autoscaler::flags(&map), ui)?;
            if map.cluster.name.is_none() {
                ui.status(&format!("put the cluster's name in place of {}, or `cluster.name` into the instance map", autoscaler::CLUSTER_NAME));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// IAM takes JSON alone, so that is what people get, too.
fn show_policy(policy: &Value, ui: &mut Ui) -> Result<()> {
    let text = match ui.format() {
        Format::Yaml => format::yaml(policy)?,
        Format::Jsonl => format::json_line(policy)?,
        Format::Table | Format::Json | Format::Name => format::json(policy)?,
    };
    ui.line(&text)
}

fn show_flags(flags: Vec<AutoscalerFlag>, ui: &mut Ui) -> Result<()> {
    let words = |flag: &AutoscalerFlag| format!("--{}={}", flag.flag, flag.value);
    let names: Vec<String> = flags.iter().map(words).collect();
    let document = Flags { schema: SCHEMA, flags };
    let table = |ui: &Ui| {
        let why = |flag: &AutoscalerFlag| if flag.is_default { format!("default: {}", flag.why) } else { flag.why.clone() };
        if ui.width().is_some() {
            return document.flags.iter().map(|flag| format!("{}\n    {}", words(flag), why(flag))).collect::<Vec<_>>().join("\n");
        }
        table::render(&[Column::words("FLAG"), Column::words("WHY")], document.flags.iter().map(|flag| vec![words(flag), why(flag)]).collect(), None)
    };
    ui.show(&document, table, || names)
}
