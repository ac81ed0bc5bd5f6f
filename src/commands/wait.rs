//! `sbrun wait`: until jobs have finished.

use std::{cell::RefCell, sync::Arc, time::Duration};

use clap::Args;
use futures::future::join_all;

use super::{context::Context, interrupt::Interruptions, references::Referrer};
use crate::{
    error::{Error, Result},
    follow::{Controls, FollowOptions, Followed, cluster::ClusterJob, follow},
    kubernetes::retry::Pace,
    model::{duration, evidence::Evidence, exit_code::ExitCode, job_event::JobEvent, launch_plan::OnInterrupt},
    output::{
        ui::{Format, Ui},
        view::{
            job_list::JobList,
            report::JobReport,
            story::{status_line, verdict_block},
        },
    },
};

/// Arguments of `sbrun wait`.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// Name, run id, unique prefix, or `@latest`
    #[arg(value_name = "JOB", default_value = "@latest")]
    pub jobs: Vec<String>,
    /// Stop waiting after this time, with exit code 124; the jobs go on
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
}

/// Waits until the jobs have finished. One job: its exit code. Several: 0 if all succeeded, 75 if every other one may be run
/// again, else 1.
pub async fn wait(arguments: &WaitArgs, context: &Context, ui: &mut Ui) -> Result<ExitCode> {
    let timeout = arguments.timeout.as_deref().map(duration::parse).transpose().map_err(|error| Error::usage(format!("--timeout: {error}")))?;
    let cluster = context.connect_for_jobs(ui).await?;
    let referrer = Referrer::for_following(context, &cluster);
    let mut jobs: Vec<(ClusterJob, Evidence)> = Vec::new();
    for reference in &arguments.jobs {
        let (job, evidence) = referrer.open(reference).await?;
        let uid = |evidence: &Evidence| evidence.job.as_ref().map(|job| job.uid.clone());
        if jobs.iter().all(|(_, known)| uid(known).is_none() || uid(known) != uid(&evidence)) {
            jobs.push((job, evidence));
        }
    }
    let follower = referrer.me().await.name.clone();
    let shared = RefCell::new(ui);
    let pace = Arc::new(Pace::of_jobs(jobs.len()));
    let waits = jobs.into_iter().map(|(job, evidence)| wait_for_one(job.paced(&pace), evidence, &follower, &shared));
    let limit = timeout.unwrap_or(Duration::MAX);
    let mut controls = Interruptions { without_terminal: OnInterrupt::Detach, can_ask: false, by: follower.clone() }.listen()?;
    let results = tokio::select! {
        results = join_all(waits) => results,
        () = tokio::time::sleep(limit) => return Ok(gave_up(&mut shared.borrow_mut(), limit)),
        _ = controls.next() => return Ok(left(&mut shared.borrow_mut())),
    };
    let ui = shared.into_inner();
    ui.clear_progress();
    let reports = results.into_iter().collect::<Result<Vec<_>>>()?;
    let code = joined_code(&reports);
    show(ui, reports)?;
    Ok(code)
}

fn gave_up(ui: &mut Ui, limit: Duration) -> ExitCode {
    ui.clear_progress();
    ui.warning(&format!("not finished after {}s; the jobs go on", limit.as_secs()));
    ExitCode::TIMED_OUT
}

fn left(ui: &mut Ui) -> ExitCode {
    ui.clear_progress();
    ui.status("the jobs go on; the same command waits for them again");
    ExitCode::DETACHED
}

async fn wait_for_one(mut job: ClusterJob, evidence: Evidence, follower: &str, ui: &RefCell<&mut Ui>) -> Result<JobReport> {
    let name = evidence.name().to_owned();
    let options = FollowOptions { output: false, ..FollowOptions::new(follower.to_owned()) };
    let view = |event: JobEvent, _| {
        let ui = &mut **ui.borrow_mut();
        match event {
            JobEvent::Changed(story) | JobEvent::Heartbeat(story) => {
                let line = format!("{name} {}", status_line(&story));
                if ui.stderr_is_terminal() { ui.progress(&line) } else { ui.status(&line) }
            }
            JobEvent::Notice(text) => ui.status(&format!("[sbrun: {name}: {text}]")),
            _ => {}
        }
        Ok(())
    };
    let (Followed::Finished(end) | Followed::Detached(end) | Followed::Ending(end)) =
        follow(&mut job, evidence, options, &mut Controls::none(), view).await?;
    let (story, evidence) = *end;
    let ui = &mut **ui.borrow_mut();
    ui.clear_progress();
    if let Some(verdict) = story.verdict.as_ref().filter(|_| ui.is_for_people()) {
        let block = verdict_block(&evidence, verdict, ui.painter());
        ui.status(&format!("{name} {block}"));
    }
    Ok(JobReport::new(&evidence, &story))
}

/// Returns the exit code for one job, or for several together.
fn joined_code(reports: &[JobReport]) -> ExitCode {
    let codes: Vec<ExitCode> = reports.iter().map(|report| report.exit_code.map_or(ExitCode::UNKNOWN, ExitCode)).collect();
    match codes.as_slice() {
        [only] => *only,
        codes if codes.iter().all(|code| *code == ExitCode::SUCCESS) => ExitCode::SUCCESS,
        codes if codes.iter().all(|code| matches!(*code, ExitCode::SUCCESS | ExitCode::TRY_AGAIN)) => ExitCode::TRY_AGAIN,
        _ => ExitCode::FAILURE,
    }
}

fn show(ui: &mut Ui, mut reports: Vec<JobReport>) -> Result<()> {
    match (ui.format(), reports.len()) {
        (Format::Table, _) => Ok(()),
        (_, 1) => {
            let report = reports.remove(0);
            let name = report.name.clone().unwrap_or_default();
            ui.show(&report, |_| String::new(), || vec![name])
        }
        _ => {
            let names = reports.iter().filter_map(|report| report.name.clone()).collect();
            ui.show(&JobList::new(reports), |_| String::new(), || names)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::diagnose::diagnose;

    fn reports(codes: &[u8]) -> Vec<JobReport> {
        let evidence = Evidence::default();
        let report = JobReport::new(&evidence, &diagnose(&evidence, jiff::Timestamp::UNIX_EPOCH));
        codes.iter().map(|code| JobReport { exit_code: Some(*code), ..report.clone() }).collect()
    }

    #[test]
    fn several_jobs_have_one_code() {
        for (codes, joined) in [(&[7][..], 7), (&[0, 0], 0), (&[0, 75], 75), (&[75, 75], 75), (&[75, 7], 1), (&[0, 143], 1)] {
            assert_eq!(joined_code(&reports(codes)), ExitCode(joined), "{codes:?}");
        }
    }
}
