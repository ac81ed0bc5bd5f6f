//! `sbrun cancel`: stop jobs and keep their record.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::{context::Context, references::Referrer};
use crate::{
    environment::now,
    error::{Error, Result},
    follow::{Detail, RunningJob},
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

/// Cancels jobs. Cancelling a finished job is no error: what was wanted holds.
pub async fn cancel(arguments: &CancelArgs, context: &Context, ui: &mut Ui) -> Result<ExitCode> {
    let cluster = context.connect_for_jobs(ui).await?;
    let referrer = Referrer::new(context, &cluster);
    let by = context.user(Some(&cluster)).await.name;
    let mut jobs = Vec::new();
    for reference in &arguments.jobs {
        jobs.extend(referrer.open_to_change(reference, "cancel", ui).await?); // all are found before any is ended
    }
    let mut result = Cancelled { schema: SCHEMA, cancelled: Vec::new(), already_finished: Vec::new() };
    for (mut handle, mut evidence) in jobs {
        let name = evidence.name().to_owned();
        if evidence.job.as_ref().is_some_and(diagnose::is_finished) {
            ui.status(&format!("{name} had already finished; `sbrun why {name}` tells how"));
            result.already_finished.push(name);
            continue;
        }
        if let Some(earlier) = evidence.job.as_ref().and_then(|job| job.ending.as_ref()) {
            ui.status(&format!("{name} was already cancelled by {}; it uses its grace to end", earlier.by));
            result.cancelled.push(name);
            continue;
        }
        // Its pod goes, and with it the log that nobody may have followed.
        match handle.observe(&mut evidence, Detail::Basic).await {
            Ok(()) if evidence.attempts.last().is_some_and(|attempt| attempt.node.is_none()) => {
                drop(handle.observe(&mut evidence, Detail::Waiting).await); // whether a machine is on its way
            }
            Ok(()) => handle.keep_tail(&evidence, &[]).await,
            Err(error) => ui.detail(&format!("[sbrun: {}]", error.message())),
        }
        let name = evidence.name().to_owned();
        if evidence.flow_run.value().is_some_and(|record| record.run.state.kind.is_terminal()) {
            ui.status(&format!("{name} had already finished; `sbrun why {name}` tells how"));
            result.already_finished.push(name);
            continue;
        }
        let ending = Ending {
            outcome: Outcome::Cancelled,
            reason: Reason::CancelledByUser.code().to_owned(),
            by: by.clone(),
            at: now(),
            message: arguments.message.clone(),
        };
        let text = said(&name, &evidence, arguments.wait);
        if !handle.stop(&evidence, &ending, CANCEL_ITSELF).await? {
            ui.status(&format!("{name} ended by itself just now; `sbrun why {name}` tells how"));
            result.already_finished.push(name);
            continue;
        }
        if arguments.wait && !handle.settle(&evidence, SETTLE).await? {
            return Err(Error::unreachable(format!("`{name}` was told to end, but its pod is still there"))
                .hinted(format!("look again with `sbrun why {name}`")));
        }
        ui.status(&text);
        result.cancelled.push(name);
    }
    let names = result.cancelled.clone();
    if !ui.is_for_people() {
        ui.show(&result, |_| String::new(), || names)?;
    }
    Ok(ExitCode::SUCCESS)
}
