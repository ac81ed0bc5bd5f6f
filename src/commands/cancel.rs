//! `sbrun cancel`: stop jobs and keep their record.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::{context::Context, references::Referrer};
use crate::{
    environment::now,
    error::{Error, Result},
    follow::{Detail, RunningJob, cluster::ClusterJob},
    kubernetes::{
        connect::Cluster,
        jobs::{self, Ended},
        retry::Patience,
    },
    model::{
        diagnose,
        evidence::{Ending, Evidence, JobRecord},
        exit_code::ExitCode,
        outcome::Outcome,
        reason::Reason,
    },
    output::{format::SCHEMA, ui::Ui},
};

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

/// Keeps the last output on the Job: its pod goes, and with it the log that nobody may have followed.
async fn keep_last_output(cluster: &Cluster, job: &JobRecord, context: &Context) {
    let mut handle = ClusterJob::new(cluster.clone(), job, &context.environment);
    let mut evidence = Evidence { job: Some(job.clone()), ..Evidence::default() };
    if handle.observe(&mut evidence, Detail::Basic).await.is_ok() {
        handle.keep_tail(&evidence, &[]).await;
    }
}

/// Cancels jobs. Cancelling a finished job is no error: what was wanted holds.
pub async fn cancel(arguments: &CancelArgs, context: &Context, ui: &mut Ui) -> Result<ExitCode> {
    let cluster = context.connect_for_jobs(ui).await?;
    let referrer = Referrer::new(context, &cluster);
    let by = context.user(Some(&cluster)).await.name;
    let mut jobs = Vec::new();
    for reference in &arguments.jobs {
        jobs.extend(referrer.find_to_change(reference, "cancel", ui).await?); // all are found before any is ended
    }
    let mut result = Cancelled { schema: SCHEMA, cancelled: Vec::new(), already_finished: Vec::new() };
    for job in jobs {
        if diagnose::is_finished(&job) {
            ui.status(&format!("{} had already finished; `sbrun why {}` tells how", job.name, job.name));
            result.already_finished.push(job.name);
            continue;
        }
        if let Some(earlier) = &job.ending {
            ui.status(&format!("{} was already cancelled by {}; it uses its grace to end", job.name, earlier.by));
            result.cancelled.push(job.name);
            continue;
        }
        keep_last_output(&cluster, &job, context).await;
        let ending = Ending {
            outcome: Outcome::Cancelled,
            reason: Reason::CancelledByUser.code().to_owned(),
            by: by.clone(),
            at: now(),
            message: arguments.message.clone(),
        };
        if !matches!(jobs::end(&cluster, &job, &ending, Patience::START).await?, Ended::Ending(_) | Ended::Deleted) {
            ui.status(&format!("{} ended by itself just now; `sbrun why {}` tells how", job.name, job.name));
            result.already_finished.push(job.name);
            continue;
        }
        if arguments.wait && !jobs::wait_until_no_pod(&cluster, &job, SETTLE).await? {
            return Err(Error::unreachable(format!("`{}` was told to end, but its pod is still there", job.name))
                .hinted(format!("look again with `sbrun why {}`", job.name)));
        }
        let grace = job.plan.as_ref().map(|plan| plan.limits.grace.as_secs()).filter(|_| !arguments.wait);
        ui.status(&match grace {
            Some(seconds) => format!("cancelled {}: the flow has {seconds} s to clean up, its record stays", job.name),
            None => format!("cancelled {}", job.name),
        });
        result.cancelled.push(job.name);
    }
    let names = result.cancelled.clone();
    if !ui.is_for_people() {
        ui.show(&result, |_| String::new(), || names)?;
    }
    Ok(ExitCode::SUCCESS)
}
