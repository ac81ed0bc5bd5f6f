//! `sbrun nodes`: the scale state of every node group.

use std::path::PathBuf;

use clap::Args;

pub(super) use self::look::Observer;
use super::context::Context;
use crate::{
    error::{Error, Result},
    model::{duration, exit_code::ExitCode},
    output::{ui::Ui, view::node_group::NodeGroups},
};

mod history;
mod look;
mod watch;

/// Arguments of `sbrun nodes`.
#[derive(Debug, Args)]
pub struct NodesArgs {
    /// Only the node groups of this size
    #[arg(short, long, value_name = "SIZE")]
    pub size: Option<String>,
    /// Also node groups that no size of the instance map names
    #[arg(long, conflicts_with = "size")]
    pub all: bool,
    /// Keep looking: a live view on a terminal, with `-o jsonl` a document for each change
    #[arg(short, long, conflicts_with = "history")]
    pub watch: bool,
    /// How many machines there were within this time, up to six weeks (42d), as a chart
    #[arg(long, value_name = "DURATION")]
    pub history: Option<String>,
    /// Write the chart of --history to this file, as SVG
    #[arg(long, value_name = "FILE", requires = "history")]
    pub svg: Option<PathBuf>,
}

/// Shows node groups: now, as they change, or as they were.
pub async fn nodes(arguments: &NodesArgs, context: &Context, ui: &mut Ui) -> Result<ExitCode> {
    let span = arguments.history.as_deref().map(duration::parse).transpose().map_err(|error| Error::usage(format!("--history: {error}")))?;
    if let Some(span) = span {
        history::check(span)?;
    }
    if arguments.watch {
        watch::check(ui)?;
    }
    let observer = Observer::new(arguments, context, ui).await?;
    match span {
        Some(span) => history::show(&observer, span, arguments.svg.as_deref(), ui).await,
        None if arguments.watch => watch::watch(observer, ui).await,
        None => once(&observer, ui).await,
    }
}

async fn once(observer: &Observer, ui: &mut Ui) -> Result<ExitCode> {
    ui.progress("looking at node groups");
    let look = observer.look().await;
    ui.clear_progress();
    let look = look?;
    let document = NodeGroups::new(&observer.survey(&look), look.now);
    if document.node_groups.is_empty() {
        ui.status("there is no node group");
    }
    let empty = document.node_groups.is_empty();
    ui.show(&document, |ui| if empty { String::new() } else { document.table(ui.width()) }, || document.names())?;
    for sentence in document.sentences() {
        ui.status(&sentence);
    }
    Ok(ExitCode::SUCCESS)
}
