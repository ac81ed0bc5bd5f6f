//! `sbrun cancel`: stop jobs and keep their record.

use std::time::Duration;

use clap::Args;
use futures::{StreamExt, stream};
use serde::Serialize;

use super::{context::Context, references::Referrer};
use crate::{
    environment::now,
    error::{Error, Result},
    follow::{Detail, RunningJob, cluster::ClusterJob},
    model::{
        diagnose,
        evidence::{Ending, Evidence},
        exit_code::ExitCode,
        outcome::Outcome,
        reason::Reason,
        story::Phase,
    },
    output::{format::SCHEMA, ui::Ui},
};

/// How many are ended at the same time: each takes up to seven requests, and some wait for Prefect.
const AT_ONCE: usize = 8;
/// How long a flow that runs under a Prefect worker may take to cancel itself.
const CANCEL_ITSELF: Duration = Duration::from_secs(60);
/// How long to see the pods go, when asked to wait.
const SETTLE: Duration = Duration::from_secs(180);

/// Arguments of `sbrun cancel`.
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// Name or run id; on a terminal also a unique prefix of my own, or `@latest`
    #[arg(value_name = "JOB", required = true)]
    pub jobs: Vec<String>,
    /// Why, for whoever looks at the job later
    #[arg(short, long, value_name = "TEXT")]
    pub message: Option<String>,
    /// Return only when nothing of the jobs runs any more
    #[arg(long)]
    pub wait: bool,
}

/// What became of the jobs.
#[derive(Debug, Serialize)]
struct Cancelled {
    schema: u32,
    cancelled: Vec<String>,
    already_finished: Vec<String>,
    failed: Vec<Failed>,
}

/// A job that may still run.
#[derive(Debug, Serialize)]
struct Failed {
    name: String,
    why: String,
}

/// Returns what there is to know of a job that was cancelled.
fn said(name: &str, evidence: &Evidence, waited: bool) -> String {
    let grace = evidence.job.as_ref().and_then(|job| job.plan.as_ref()).map(|plan| plan.limits.grace.as_secs()).filter(|_| !waited);
    let said = match grace {
        Some(seconds) => format!("cancelled {name}: the flow has {seconds} s to clean up, its record stays"),
        None => format!("cancelled {name}"),
    };
    // Nobody takes back what a cloud was asked for.
    let ordered = matches!(diagnose::diagnose(evidence, now()).phase, Phase::ScalingUp | Phase::Booting);
    if ordered { format!("{said}; the machine that was asked for it still comes, and goes once the autoscaler finds it idle") } else { said }
}

/// What became of one job, in words, and what could not be seen on the way.
struct Told {
    cancelled: bool,
    text: String,
    detail: Option<String>,
}

impl Told {
    fn already_finished(text: String) -> Self {
        Self { cancelled: false, text, detail: None }
    }
}

/// Cancels jobs. Cancelling a finished job is no error: what was wanted holds. What becomes of one holds up no other.
pub async fn cancel(arguments: &CancelArgs, context: &Context, ui: &mut Ui) -> Result<ExitCode> {
    let cluster = context.connect_for_jobs(ui).await?;
    let referrer = Referrer::new(context, &cluster);
    let by = referrer.me().await.name.clone();
    let mut jobs: Vec<(ClusterJob, Evidence)> = Vec::new();
    for reference in &arguments.jobs {
        let found = referrer.open_to_change(reference, "cancel", ui).await?; // all are found before any is ended
        jobs.extend(found.filter(|(_, evidence)| jobs.iter().all(|(_, known)| !is_same(known, evidence))));
    }
    let alone = jobs.len() == 1;
    let mut result = Cancelled { schema: SCHEMA, cancelled: Vec::new(), already_finished: Vec::new(), failed: Vec::new() };
    let ending =
        Ending { outcome: Outcome::Cancelled, reason: Reason::CancelledByUser.code().to_owned(), by, at: now(), message: arguments.message.clone() };
    let mut ends = stream::iter(jobs)
        .map(|(handle, evidence)| async {
            let name = evidence.name().to_owned();
            (name, cancel_one(handle, evidence, &ending, arguments.wait).await)
        })
        .buffered(AT_ONCE);
    let mut code = ExitCode::SUCCESS;
    while let Some((name, told)) = ends.next().await {
        match told {
            Ok(Told { cancelled, text, detail }) => {
                if let Some(detail) = detail {
                    ui.detail(&format!("[sbrun: {detail}]"));
                }
                ui.status(&text);
                if cancelled { result.cancelled.push(name) } else { result.already_finished.push(name) }
            }
            Err(error) if alone => return Err(error),
            Err(error) => {
                if code == ExitCode::SUCCESS {
                    code = error.kind().exit_code();
                }
                ui.warning(&format!("{name} was not cancelled: {}", error.message()));
                result.failed.push(Failed { name, why: error.message().to_owned() });
            }
        }
    }
    let names = result.cancelled.clone();
    if !ui.is_for_people() {
        ui.show(&result, |_| String::new(), || names)?;
    }
    Ok(code)
}

fn is_same(left: &Evidence, right: &Evidence) -> bool {
    let uid = |evidence: &Evidence| evidence.job.as_ref().map(|job| job.uid.clone());
    uid(left).is_some() && uid(left) == uid(right)
}

async fn cancel_one(mut handle: ClusterJob, mut evidence: Evidence, ending: &Ending, wait: bool) -> Result<Told> {
    let name = evidence.name().to_owned();
    let had_finished = |name: &str| Told::already_finished(format!("{name} had already finished; `sbrun why {name}` tells how"));
    if evidence.job.as_ref().is_some_and(diagnose::is_finished) {
        return Ok(had_finished(&name));
    }
    if let Some(earlier) = evidence.job.as_ref().and_then(|job| job.ending.as_ref()) {
        let text = format!("{name} was already cancelled by {}; it uses its grace to end", earlier.by);
        settle(&mut handle, &evidence, wait).await?;
        return Ok(Told { cancelled: true, text, detail: None });
    }
    // Its pod goes, and with it the log that nobody may have followed.
    let mut detail = None;
    match handle.observe(&mut evidence, Detail::Basic).await {
        Ok(()) if evidence.attempts.last().is_some_and(|attempt| attempt.node.is_none()) => {
            drop(handle.observe(&mut evidence, Detail::Waiting).await); // whether a machine is on its way
        }
        Ok(()) => handle.keep_tail(&evidence, &[]).await,
        Err(error) => detail = Some(error.message().to_owned()),
    }
    let name = evidence.name().to_owned();
    if evidence.flow_run.value().is_some_and(|record| record.run.state.kind.is_terminal()) {
        return Ok(had_finished(&name));
    }
    let text = said(&name, &evidence, wait);
    if !handle.stop(&evidence, &Ending { at: now(), ..ending.clone() }, CANCEL_ITSELF).await? {
        return Ok(Told { cancelled: false, text: format!("{name} ended by itself just now; `sbrun why {name}` tells how"), detail });
    }
    settle(&mut handle, &evidence, wait).await?;
    Ok(Told { cancelled: true, text, detail })
}

/// Waits until nothing of the job runs any more, when that was asked for.
async fn settle(handle: &mut ClusterJob, evidence: &Evidence, wait: bool) -> Result<()> {
    if !wait || handle.settle(evidence, SETTLE).await? {
        return Ok(());
    }
    let name = evidence.name();
    Err(Error::unreachable(format!("`{name}` was told to end, but its pod is still there")).hinted(format!("look again with `sbrun why {name}`")))
}
