//! `sbrun doctor`: what is wrong with the set-up, before it costs an evening.

mod survey;

use clap::Args;

use super::context::Context;
use crate::{
    error::{Error, ErrorKind, Result},
    kubernetes::connect::Cluster,
    model::{
        doctor::{Check, Finding, Severity, Survey, examine},
        exit_code::ExitCode,
        identity::SizeName,
        settings::value,
    },
    output::{manual, ui::Ui, view::findings::FindingsView},
    store::map_file::FoundMap,
};

/// Arguments of `sbrun doctor`.
#[derive(Debug, Args)]
#[command(after_long_help = manual::doctor())]
pub struct DoctorArgs {
    /// Only this size; of one that the map does not have, everything that it still lacks
    #[arg(short, long, value_name = "SIZE", value_parser = size_name)]
    pub size: Option<SizeName>,
    /// Look at the map alone, not at cluster and account
    #[arg(long)]
    pub offline: bool,
}

fn size_name(text: &str) -> Result<SizeName, String> {
    value::size_name(text)
}

/// Shows what is wrong with map, account, autoscaler and cluster. Exits 78 when something is that keeps jobs from running.
pub async fn doctor(arguments: &DoctorArgs, context: &Context, ui: &mut Ui) -> Result<ExitCode> {
    let DoctorArgs { size, offline } = arguments;
    let mut findings = Vec::new();
    let mut place = None;
    let mut source = None;
    match find(*offline, context, &mut findings).await {
        Err(error) if matches!(error.kind(), ErrorKind::Usage | ErrorKind::Internal) => return Err(error),
        Err(error) => findings.extend(invalid(&error)),
        Ok((found, cluster)) => {
            let survey = match &cluster {
                Some(cluster) => {
                    ui.progress("looking at cluster and account");
                    let seen = Box::pin(survey::survey(&found.map, size.as_ref(), cluster, context)).await;
                    ui.clear_progress();
                    seen
                }
                None => Survey::default(),
            };
            findings.extend(examine(&found.map, size.as_ref(), &survey));
            source = Some(found.source.to_string());
            place = cluster.map(|cluster| cluster.server);
        }
    }
    findings.sort_by_key(|finding| finding.severity);
    let reclaim = findings.iter().find(|finding| finding.code == Check::PrefectReclaim.code() && finding.severity == Severity::Good);
    let reclaim = reclaim.map(|finding| format!("{}: {}", finding.subject, finding.message));
    let view = FindingsView::new(source, place, findings);
    ui.show(&view, |ui| view.text(ui.data_painter(), context.global.verbose > 0), || view.names())?;
    if ui.is_for_people() {
        // A choice, and neither good nor bad: whoever looks should know it.
        if let Some(words) = reclaim {
            ui.status(&words);
        }
        ui.status(&view.summary());
    }
    Ok(if view.has_errors() { ExitCode::REJECTED } else { ExitCode::SUCCESS })
}

/// Returns the map, and the cluster when there is one to be looked at; what keeps it from being looked at is a finding.
async fn find(offline: bool, context: &Context, findings: &mut Vec<Finding>) -> Result<(FoundMap, Option<Cluster>)> {
    let files = context.find_map()?;
    let missing =
        || Error::rejected("there is no instance map").hinted("sbrun init, which makes one").hinted("or name one with `--map` or SBRUN_MAP");
    if offline {
        return Ok((files.ok_or_else(missing)?, None));
    }
    let connected = match context.connect(files.as_ref().and_then(FoundMap::namespace)).await {
        // What answers, and knows who asks, can be looked at.
        Ok(cluster) => cluster.version().await.map(|_| cluster),
        Err(error) => Err(error),
    };
    let cluster = match (connected, &files) {
        (Ok(cluster), _) => cluster,
        (Err(error), _) if error.kind() == ErrorKind::Usage => return Err(error),
        (Err(error), None) => return Err(error),
        (Err(error), Some(_)) => {
            findings.push(finding(Severity::Unknown, Check::AutoscalerRuns, "cluster", &error));
            return Ok((files.ok_or_else(missing)?, None));
        }
    };
    let found = match files {
        Some(found) => found,
        None => context.map_of_cluster(&cluster).await?.ok_or_else(missing)?,
    };
    if let Err(error) = found.map.check_cluster(&cluster.server, cluster.contexts()) {
        findings.push(finding(Severity::Error, Check::MapCluster, "instance map", &error));
        return Ok((found, None));
    }
    Ok((found, Some(cluster)))
}

/// Returns what keeps the map from being used: each of its problems is a finding.
fn invalid(error: &Error) -> Vec<Finding> {
    let whole = finding(Severity::Error, Check::MapValid, "instance map", error);
    if matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::NotAllowed) {
        return vec![Finding { severity: Severity::Unknown, ..whole }];
    }
    let causes = error.causes();
    if causes.is_empty() {
        return vec![whole];
    }
    causes.into_iter().map(|cause| Finding { message: cause, ..whole.clone() }).collect()
}

fn finding(severity: Severity, check: Check, subject: &str, error: &Error) -> Finding {
    Finding {
        severity,
        code: check.code(),
        subject: subject.to_owned(),
        message: error.message().to_owned(),
        consequence: (severity == Severity::Error).then(|| check.consequence().to_owned()),
        remedies: error.hints().to_vec(),
    }
}
