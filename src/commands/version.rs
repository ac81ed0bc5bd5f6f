//! `sbrun version`: of sbrun, and of the cluster when one answers.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::context::Context;
use crate::{
    error::Result,
    model::exit_code::ExitCode,
    output::{format::SCHEMA, ui::Ui},
};

/// How long to wait for the cluster's version.
const PATIENCE: Duration = Duration::from_secs(5);

/// Arguments of `sbrun version`.
#[derive(Debug, Args)]
pub struct VersionArgs {
    /// Do not ask the cluster
    #[arg(long)]
    pub client: bool,
}

/// Versions as a document.
#[derive(Debug, Serialize)]
struct Versions {
    schema: u32,
    sbrun: &'static str,
    kubernetes: Option<String>,
    server: Option<String>,
    context: Option<String>,
}

/// Prints the versions of sbrun and of the cluster.
pub async fn version(arguments: &VersionArgs, context: &Context, ui: &mut Ui) -> Result<ExitCode> {
    let cluster = if arguments.client { None } else { context.connect(None).await.ok() };
    let kubernetes = match &cluster {
        Some(cluster) => tokio::time::timeout(PATIENCE, cluster.version()).await.ok().and_then(Result::ok),
        None => None,
    };
    let versions = Versions {
        schema: SCHEMA,
        sbrun: env!("CARGO_PKG_VERSION"),
        kubernetes,
        server: cluster.as_ref().map(|cluster| cluster.server.clone()),
        context: cluster.as_ref().and_then(|cluster| cluster.context.clone()),
    };
    let table = |_: &Ui| {
        let cluster = match (&versions.server, &versions.kubernetes) {
            (None, _) => "no cluster".to_owned(),
            (Some(server), None) => format!("{server} does not answer"),
            (Some(server), Some(version)) => format!("{version} at {server}"),
        };
        format!("sbrun       {}\nkubernetes  {cluster}", versions.sbrun)
    };
    ui.show(&versions, table, || vec![versions.sbrun.to_owned()])?;
    Ok(ExitCode::SUCCESS)
}
