//! `sbrun clean`: remove finished jobs and whatever belongs to them.

use clap::Args;
use futures::{StreamExt, stream};
use serde::Serialize;

use super::{
    context::Context,
    list::{State, parse_state},
    references::Referrer,
};
use crate::{
    environment::now,
    error::{Error, Result},
    kubernetes::{
        connect::Cluster,
        jobs::{self, Deletion, ListFilter},
        observe,
    },
    model::{
        diagnose::diagnose,
        duration,
        evidence::{JobRecord, Maker},
        exit_code::ExitCode,
        outcome::Outcome,
        reason::Reason,
    },
    output::{format::SCHEMA, ui::Ui, wording},
};

/// Deletions at once: enough to be quick, few enough for the API server's fairness.
const AT_ONCE: usize = 20;

/// Arguments of `sbrun clean`.
#[derive(Debug, Args)]
pub struct CleanArgs {
    /// Only these, once they have finished: name or run id
    #[arg(value_name = "JOB")]
    pub jobs: Vec<String>,
    /// Only jobs that ended at least this long ago
    #[arg(long, value_name = "DURATION")]
    pub older: Option<String>,
    /// Only in this state: finished, unsuccessful, or an outcome such as succeeded
    #[arg(long, value_name = "STATE", value_parser = parse_state)]
    pub state: Option<State>,
    /// Everybody's jobs, not only mine
    #[arg(long)]
    pub all_users: bool,
    /// Show what would be removed and remove nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// What was removed, and what was not and why.
#[derive(Debug, Default, Serialize)]
struct Cleaned {
    schema: u32,
    dry_run: bool,
    removed: Vec<String>,
    kept: Vec<Kept>,
}

/// A job that was meant to go and stayed.
#[derive(Debug, Serialize)]
struct Kept {
    name: String,
    why: String,
}

/// Removes finished jobs, and submissions that died half way. Never a running one, never a worker's, never one that changed since
/// it was listed.
pub async fn clean(arguments: &CleanArgs, context: &Context, ui: &mut Ui) -> Result<ExitCode> {
    let older = arguments.older.as_deref().map(duration::parse).transpose().map_err(|error| Error::usage(format!("--older: {error}")))?;
    if arguments.state == Some(State::Active) {
        return Err(Error::usage("clean removes finished jobs only").hinted("`sbrun cancel JOB` ends a job first"));
    }
    let cluster = context.connect_for_jobs(ui).await?;
    let records = candidates(arguments, context, &cluster, ui).await?;
    let now = now();
    let (mut doomed, mut spared): (Vec<JobRecord>, Vec<Kept>) = (Vec::new(), Vec::new());
    for evidence in observe::survey(&cluster, records).await? {
        let story = diagnose(&evidence, now);
        let Some(record) = evidence.job else { continue };
        let incomplete = story.cause.as_ref().is_some_and(|cause| cause.reason == Reason::SubmissionIncomplete);
        let outcome = story.verdict.as_ref().map(|verdict| verdict.outcome);
        let ended = story.verdict.as_ref().and_then(|verdict| verdict.finished).or(record.finished).or(record.created);
        let old = older.is_none_or(|older| ended.is_some_and(|ended| now.duration_since(ended).unsigned_abs() >= older));
        let finished = record.finished.is_some();
        let picked = if incomplete { arguments.state.is_none() } else { finished && arguments.state.is_none_or(|state| state.picks(outcome)) };
        if picked && old {
            doomed.push(record);
        } else if !arguments.jobs.is_empty() {
            spared.push(Kept { name: record.name, why: spared_because(finished, outcome).to_owned() });
        }
    }
    if doomed.is_empty() && spared.is_empty() {
        ui.status(&format!("nothing to remove in namespace {}", cluster.namespace));
    } else if !doomed.is_empty() && !arguments.dry_run && ui.can_prompt() {
        let question = format!("Remove {} in namespace {}?", wording::count(doomed.len(), "finished job"), cluster.namespace);
        if !ui.confirm(&question)? {
            return Ok(ExitCode::FAILURE);
        }
    }
    let mut cleaned = if arguments.dry_run { dry_run(&doomed) } else { remove(&cluster, doomed, ui).await };
    cleaned.kept.extend(spared);
    show(&cleaned, ui)
}

fn spared_because(finished: bool, outcome: Option<Outcome>) -> &'static str {
    match (finished, outcome) {
        (true, _) => "it is not what --older and --state pick",
        (false, Some(_)) => "its flow has ended and its Job is being closed; try again in a moment",
        (false, None) => "it has not finished",
    }
}

/// Returns the jobs that may be meant: those that are named, else mine, else everybody's. Only what sbrun made.
async fn candidates(arguments: &CleanArgs, context: &Context, cluster: &Cluster, ui: &mut Ui) -> Result<Vec<JobRecord>> {
    let mut records = Vec::new();
    if arguments.jobs.is_empty() {
        let user = if arguments.all_users { None } else { Some(context.user(Some(cluster)).await.label) };
        let filter = ListFilter { user, include_prefect: false, ..ListFilter::default() };
        records = jobs::list(cluster, &filter).await?;
    }
    for reference in &arguments.jobs {
        records.extend(Referrer::new(context, cluster).find_to_change(reference, "clean", ui).await?);
    }
    if let Some(foreign) = records.iter().find(|record| record.maker != Maker::Sbrun) {
        return Err(Error::usage(format!("`{}` was not made by sbrun, so clean leaves it alone", foreign.name)));
    }
    Ok(records)
}

fn dry_run(doomed: &[JobRecord]) -> Cleaned {
    Cleaned { schema: SCHEMA, dry_run: true, removed: doomed.iter().map(|record| record.name.clone()).collect(), kept: Vec::new() }
}

async fn remove(cluster: &Cluster, doomed: Vec<JobRecord>, ui: &mut Ui) -> Cleaned {
    let total = doomed.len();
    let mut cleaned = Cleaned { schema: SCHEMA, ..Cleaned::default() };
    let mut deletions =
        stream::iter(doomed).map(|record| async move { (jobs::delete(cluster, &record).await, record.name) }).buffer_unordered(AT_ONCE);
    while let Some((result, name)) = deletions.next().await {
        match result {
            Ok(Deletion::Deleted) => cleaned.removed.push(name),
            Ok(Deletion::Changed) => cleaned.kept.push(Kept { name, why: "it changed since it was listed".to_owned() }),
            Err(error) => cleaned.kept.push(Kept { name, why: error.message().to_owned() }),
        }
        ui.progress(&format!("{} of {total} removed", cleaned.removed.len()));
    }
    ui.clear_progress();
    cleaned
}

fn show(cleaned: &Cleaned, ui: &mut Ui) -> Result<ExitCode> {
    for kept in &cleaned.kept {
        ui.warning(&format!("{} stays: {}", kept.name, kept.why));
    }
    let table = |_: &Ui| cleaned.removed.join("\n");
    ui.show(cleaned, table, || cleaned.removed.clone())?;
    if !cleaned.removed.is_empty() {
        let verb = if cleaned.dry_run { "would be removed" } else { "removed" };
        ui.status(&format!("{} {verb}, with pods and files", wording::count(cleaned.removed.len(), "job")));
    }
    Ok(if cleaned.kept.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
