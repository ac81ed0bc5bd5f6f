//! `sbrun list`: jobs that sbrun launched, active and recent.

use clap::Args;
use jiff::Timestamp;

use super::context::Context;
use crate::{
    error::{Error, Result},
    kubernetes::{
        checks,
        jobs::{self, ListFilter},
        observe,
    },
    model::{
        diagnose::diagnose,
        duration,
        evidence::Evidence,
        exit_code::ExitCode,
        node_group::Sighting,
        outcome::{Outcome, State},
        prefect::flow_run::FlowRunRecord,
    },
    output::{
        ui::Ui,
        view::{job_list::JobList, report::JobReport},
    },
};

/// How many finished jobs are shown without `--all` or `--since`.
const RECENT: usize = 20;

/// Arguments of `sbrun list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Every job there is, not only active and recent ones
    #[arg(long)]
    pub all: bool,
    /// Only mine
    #[arg(long)]
    pub mine: bool,
    /// Only of this size
    #[arg(short, long, value_name = "SIZE")]
    pub size: Option<String>,
    /// Only created within this time
    #[arg(long, value_name = "DURATION")]
    pub since: Option<String>,
    /// Only with this label (can be repeated)
    #[arg(short = 'l', long = "label", value_name = "KEY=VALUE")]
    pub labels: Vec<String>,
    /// Only in this state: active, finished, unsuccessful, or an outcome such as out_of_memory
    #[arg(long, value_name = "STATE", value_parser = parse_state)]
    pub state: Option<State>,
}

/// Returns the state that `text` names.
pub fn parse_state(text: &str) -> std::result::Result<State, String> {
    match text {
        "active" => Ok(State::Active),
        "finished" => Ok(State::Finished),
        "unsuccessful" => Ok(State::Unsuccessful),
        _ => Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == text).map(State::Outcome).ok_or_else(|| {
            let outcomes: Vec<&str> = Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
            format!("use active, finished, unsuccessful, or one of {}", outcomes.join(", "))
        }),
    }
}

/// Lists jobs, newest first.
pub async fn list(arguments: &ListArgs, context: &Context, ui: &mut Ui) -> Result<ExitCode> {
    let since = arguments.since.as_deref().map(duration::parse).transpose().map_err(|error| Error::usage(format!("--since: {error}")))?;
    let cluster = context.connect_for_jobs(ui).await?;
    let user = if arguments.mine { Some(context.user(Some(&cluster)).await.label) } else { None };
    let now = cluster.now();
    let selector = (!arguments.labels.is_empty()).then(|| arguments.labels.join(","));
    let filter = ListFilter { user, size: arguments.size.clone(), selector, since: since.map(|since| now - since), include_prefect: true };
    let records = jobs::list(&cluster, &filter).await?;
    let mut evidence = observe::survey(&cluster, records).await?;
    add_flow_runs(&mut evidence, context, now, ui).await;
    let reports = evidence.iter().map(|evidence| JobReport::new(evidence, &diagnose(evidence, now)));
    let mut reports: Vec<JobReport> = reports.filter(|report| arguments.state.is_none_or(|state| state.picks(report.outcome))).collect();
    reports.sort_by_key(|report| std::cmp::Reverse(report.created));
    let hidden = if arguments.all || since.is_some() { 0 } else { keep_recent(&mut reports) };
    if reports.is_empty() {
        checks::namespace(&cluster).await?; // a mistyped one is empty, too
        ui.status(&format!("no such jobs in namespace {}", cluster.namespace));
    }
    let names: Vec<String> = reports.iter().filter_map(|report| report.name.clone()).collect();
    let empty = reports.is_empty();
    let list = JobList::new(reports);
    ui.show(&list, |ui| if empty { String::new() } else { list.table(now, ui.width()) }, || names)?;
    if hidden > 0 && ui.is_for_people() {
        ui.status(&format!("{hidden} older ones are not shown; --all shows them"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Adds the state of each flow run that nobody has judged yet: a Job of Prefect is `Complete` although its run failed.
async fn add_flow_runs(evidence: &mut [Evidence], context: &Context, now: Timestamp, ui: &mut Ui) {
    let open = |evidence: &Evidence| evidence.job.as_ref().filter(|job| !job.is_judged()).and_then(|job| job.flow_run.clone());
    let mut ids: Vec<String> = evidence.iter().filter_map(open).collect();
    ids.sort();
    ids.dedup();
    if ids.is_empty() {
        return;
    }
    let found = match context.required_prefect() {
        Ok(server) => server.flow_runs_of(&ids).await.map(|runs| (server, runs)),
        Err(error) => Err(error),
    };
    if let Err(error) = &found {
        ui.warning(&format!("{}; the ends of flow runs are not known", error.message()));
    }
    for evidence in evidence {
        let Some(id) = open(evidence) else { continue };
        evidence.flow_run = match &found {
            Ok((server, runs)) => match runs.iter().find(|run| run.id == id) {
                Some(run) => {
                    let page = server.settings().flow_run_page(&run.id);
                    Sighting::Seen { value: FlowRunRecord { run: run.clone(), page, ..FlowRunRecord::default() }, at: now }
                }
                None => Sighting::Absent { at: now },
            },
            Err(error) => Sighting::Unseen(format!("the flow run: {}", error.message())),
        };
    }
}

/// Leaves the active jobs and the newest finished ones; returns how many were left out.
fn keep_recent(reports: &mut Vec<JobReport>) -> usize {
    let before = reports.len();
    let mut finished = 0;
    reports.retain(|report| {
        finished += usize::from(report.outcome.is_some());
        report.outcome.is_none() || finished <= RECENT
    });
    before - reports.len()
}
