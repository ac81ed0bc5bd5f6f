//! `sbrun clean`: remove finished jobs and whatever belongs to them.

mod remove;

use std::{cell::Cell, time::Duration};

use clap::Args;
use tokio::time::{Instant, sleep};

use self::remove::{Ended, Pace, is_streamed, remove};
use super::{context::Context, list::parse_state, references::Referrer};
use crate::{
    environment::now,
    error::{Error, Result},
    kubernetes::{
        checks,
        connect::Cluster,
        jobs::{self, JobVersion, ListFilter},
        observe::{self, AttemptsByJob},
        retry::Patience,
    },
    model::{
        duration,
        evidence::{Evidence, JobRecord, Maker},
        exit_code::ExitCode,
        outcome::State,
        removal::{Stays, Wanted},
    },
    output::{ui::Ui, view::cleaned::Cleaned, wording},
};

/// On a terminal more names than this would only scroll by.
const NAMED_ON_TERMINAL: usize = 20;

/// How long a job that is named may take to be closed, and how often to look.
const CLOSING: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_millis(500);

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

/// What is to go: as it was when it was looked at, and whether it is somebody else's.
struct Doomed {
    job: JobVersion,
    foreign: bool,
}

/// Removes finished jobs, and submissions that died half way. Never a running one, never a worker's, never one that changed since
/// it was listed.
pub async fn clean(arguments: &CleanArgs, context: &Context, ui: &mut Ui) -> Result<ExitCode> {
    let wanted = wanted(arguments)?;
    let cluster = context.connect_for_jobs(ui).await?;
    let mut cleaned = Cleaned::new(arguments.dry_run);
    let doomed = if arguments.jobs.is_empty() {
        find(arguments, &wanted, context, &cluster, ui).await?
    } else {
        find_named(arguments, &wanted, context, &cluster, &mut cleaned, ui).await?
    };
    if doomed.is_empty() && cleaned.kept.is_empty() {
        checks::namespace(&cluster).await?; // a mistyped one is empty, too
        ui.status(&format!("nothing to remove in namespace {}", cluster.namespace));
    }
    let mut ended = Ended::default();
    if arguments.dry_run {
        cleaned.removed = doomed.into_iter().map(|doomed| doomed.job.name).collect();
    } else if !doomed.is_empty() {
        if ui.can_prompt() && !ui.confirm(&question(&doomed, &cluster))? {
            return Ok(ExitCode::FAILURE);
        }
        ended = remove(&cluster, doomed.into_iter().map(|doomed| doomed.job).collect(), &mut cleaned, ui).await?;
    }
    cleaned.interrupted = ended.interrupted;
    show(&cleaned, ui)?;
    conclude(ended, &cleaned, ui)
}

fn wanted(arguments: &CleanArgs) -> Result<Wanted> {
    let older = arguments.older.as_deref().map(duration::parse).transpose().map_err(|error| Error::usage(format!("--older: {error}")))?;
    if arguments.state == Some(State::Active) {
        return Err(Error::usage("clean removes finished jobs only").hinted("`sbrun cancel JOB` ends a job first"));
    }
    Ok(Wanted { older, state: arguments.state })
}

fn question(doomed: &[Doomed], cluster: &Cluster) -> String {
    let foreign = doomed.iter().filter(|doomed| doomed.foreign).count();
    let of_others = if foreign == 0 { String::new() } else { format!(", {foreign} of them somebody else's,") };
    format!("Remove {}{of_others} in namespace {}?", wording::count(doomed.len(), "finished job"), cluster.namespace)
}

/// Returns what is to go of all that sbrun made: mine, else everybody's. Of each page of the list no more is kept than that.
async fn find(arguments: &CleanArgs, wanted: &Wanted, context: &Context, cluster: &Cluster, ui: &mut Ui) -> Result<Vec<Doomed>> {
    let me = context.user(Some(cluster)).await.label;
    let filter = ListFilter { user: (!arguments.all_users).then(|| me.clone()), ..ListFilter::default() };
    let seen = Cell::new(0_usize);
    let listing = async {
        // Before the Jobs, so that of every Job that is over the pods that were left are known.
        let attempts = if wanted.asks_for_outcome() { observe::ended_attempts(cluster).await?.unwrap_or_default() } else { AttemptsByJob::new() };
        let pick = |record: JobRecord| {
            seen.set(seen.get() + 1);
            let foreign = record.user_label.as_ref() != Some(&me);
            let job = JobVersion::from(&record);
            let attempts = attempts.get(&record.uid).cloned().unwrap_or_default();
            let evidence = Evidence { job: Some(record), attempts, ..Evidence::default() };
            wanted.spares(&evidence, now()).is_none().then_some(Doomed { job, foreign })
        };
        jobs::sift(cluster, &filter, Patience::START, pick).await
    };
    let (mut listing, mut pace) = (std::pin::pin!(listing), Pace::start());
    let found = loop {
        tokio::select! {
            found = &mut listing => break found,
            () = pace.next() => pace.tell(&format!("{} looked at", wording::count(seen.get(), "job")), ui),
        }
    };
    ui.clear_progress();
    found
}

/// Returns what is to go of the jobs that are named, and notes why others stay.
async fn find_named(
    arguments: &CleanArgs,
    wanted: &Wanted,
    context: &Context,
    cluster: &Cluster,
    cleaned: &mut Cleaned,
    ui: &mut Ui,
) -> Result<Vec<Doomed>> {
    let referrer = Referrer::new(context, cluster);
    let mut records: Vec<JobRecord> = Vec::new();
    for reference in &arguments.jobs {
        let found = referrer.find_to_change(reference, "clean", ui).await?;
        records.extend(found.filter(|job| records.iter().all(|known| known.uid != job.uid)));
    }
    if let Some(foreign) = records.iter().find(|record| record.maker != Maker::Sbrun) {
        return Err(Error::usage(format!("`{}` was not made by sbrun, so clean leaves it alone", foreign.name)));
    }
    for record in &mut records {
        until_closed(record, cluster).await?;
    }
    let found = if wanted.asks_for_outcome() {
        observe::survey(cluster, records).await?
    } else {
        records.into_iter().map(|record| Evidence { job: Some(record), ..Evidence::default() }).collect()
    };
    let mut doomed = Vec::new();
    for evidence in found {
        let stays = wanted.spares(&evidence, now());
        let Some(record) = evidence.job else { continue };
        match stays {
            Some(stays) => cleaned.keep(record.name, stays),
            None => doomed.push(Doomed { job: JobVersion::from(&record), foreign: false }),
        }
    }
    Ok(doomed)
}

/// Reads a job that was just waited for again until Kubernetes has closed it, too: a follower knows the end a moment before.
async fn until_closed(record: &mut JobRecord, cluster: &Cluster) -> Result<()> {
    let start = Instant::now();
    let closes = |record: &JobRecord| {
        let evidence = Evidence { job: Some(record.clone()), ..Evidence::default() };
        Wanted::default().spares(&evidence, now()) == Some(Stays::Closing)
    };
    while closes(record) && start.elapsed() < CLOSING {
        sleep(LOOK_AGAIN).await;
        match jobs::read(cluster, &record.name).await?.filter(|job| job.uid == record.uid) {
            Some(newer) => *record = newer,
            None => return Ok(()),
        }
    }
    Ok(())
}

fn show(cleaned: &Cleaned, ui: &mut Ui) -> Result<()> {
    for line in cleaned.stays() {
        ui.warning(&line);
    }
    let told = is_streamed(ui) && !cleaned.dry_run || ui.is_for_people() && !cleaned.dry_run && cleaned.removed.len() > NAMED_ON_TERMINAL;
    if !told {
        ui.show(cleaned, |_| cleaned.removed.join("\n"), || cleaned.removed.clone())?;
    }
    if !cleaned.removed.is_empty() {
        ui.status(&cleaned.summary());
    }
    Ok(())
}

/// Says why not everything had its turn, and returns the exit code.
fn conclude(ended: Ended, cleaned: &Cleaned, ui: &mut Ui) -> Result<ExitCode> {
    if ended.interrupted {
        ui.status("interrupted; the same command goes on with the rest");
        return Ok(ExitCode::DETACHED);
    }
    match ended.error {
        Some(error) => Err(error.hinted("the same command goes on with the rest")),
        None if cleaned.kept.is_empty() => Ok(ExitCode::SUCCESS),
        None => Ok(ExitCode::FAILURE),
    }
}
