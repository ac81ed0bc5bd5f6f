//! `sbrun logs`: the output of a job, now or later.

use std::{fs::File, path::PathBuf};

use clap::Args;

use super::{context::Context, interrupt::Interruptions, references::Referrer};
use crate::{
    environment::now,
    error::{Error, Result},
    follow::{Detail, FollowOptions, Followed, RunningJob, cluster::ClusterJob, follow},
    kubernetes::logs::{LogOptions, read_log},
    model::{
        diagnose::diagnose,
        duration,
        evidence::{AttemptRecord, Evidence},
        exit_code::ExitCode,
        job_event::{JobEvent, LogEvent},
        launch_plan::OnInterrupt,
    },
    output::{
        ui::Ui,
        view::{follow::FollowView, report::JobReport, story::verdict_block},
    },
};

/// Arguments of `sbrun logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Name, run id, unique prefix, or `@latest`
    #[arg(value_name = "JOB", default_value = "@latest")]
    pub job: String,
    /// Go on until the job ends, and exit as it did
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last lines
    #[arg(long, value_name = "LINES", conflicts_with = "follow")]
    pub tail: Option<u64>,
    /// Only output of this last time
    #[arg(long, value_name = "DURATION", conflicts_with = "follow")]
    pub since: Option<String>,
    /// Write the time before each line
    #[arg(long, conflicts_with = "follow")]
    pub timestamps: bool,
    /// Only of this attempt, counted from 1
    #[arg(long, value_name = "N", conflicts_with = "follow")]
    pub attempt: Option<usize>,
    /// Also write the output to this file
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// Let every escape sequence of the flow through to the terminal
    #[arg(long)]
    pub raw: bool,
}

/// Prints the output of a job. With `--follow` the exit code is the verdict's, else 0.
pub async fn logs(arguments: &LogsArgs, context: &Context, ui: &mut Ui) -> Result<ExitCode> {
    let since = arguments.since.as_deref().map(duration::parse).transpose().map_err(|error| Error::usage(format!("--since: {error}")))?;
    let cluster = context.connect_for_jobs(ui).await?;
    let (mut job, mut evidence) = Referrer::new(context, &cluster).open(&arguments.job).await?;
    let log_file = arguments.log_file.as_ref().map(|path| open_log_file(path)).transpose()?;
    let since_when = evidence.job.as_ref().and_then(|job| job.created).unwrap_or_else(now);
    let mut view = FollowView::new(ui, since_when, arguments.raw).with_log_file(log_file).output_only();
    if arguments.follow {
        let user = context.user(Some(&cluster)).await;
        return follow_to_the_end(&mut job.followed(), evidence, user.name, view, ui).await;
    }
    job.observe(&mut evidence, Detail::Basic).await?;
    let wanted = |index: usize| arguments.attempt.is_none_or(|number| number == index + 1);
    let attempts: Vec<&AttemptRecord> =
        evidence.attempts.iter().enumerate().filter(|(index, _)| wanted(*index)).map(|(_, attempt)| attempt).collect();
    if let Some(number) = arguments.attempt.filter(|_| attempts.is_empty() && !evidence.attempts.is_empty()) {
        return Err(Error::usage(format!("there is no attempt {number}; the job has {}", evidence.attempts.len())));
    }
    let options = LogOptions { tail: arguments.tail, since: since.map(|since| now() - since), timestamps: arguments.timestamps, previous: false };
    let mut seen = false;
    for attempt in &attempts {
        if attempts.len() > 1 {
            ui.status(&format!("[sbrun: attempt on {} (pod {})]", attempt.node.as_deref().unwrap_or("no node"), attempt.pod));
        }
        let mut events = read_log(&cluster, &attempt.pod, &attempt.container_name, options.clone());
        while let Some(event) = events.recv().await {
            let event = match event {
                LogEvent::Bytes { bytes, .. } => JobEvent::Output(bytes),
                LogEvent::Gap(gap) => JobEvent::Gap(gap),
                LogEvent::Unavailable(why) => {
                    ui.detail(&format!("[sbrun: {why}]"));
                    break;
                }
                LogEvent::End => break,
            };
            seen = true;
            view.show(ui, event, now())?;
            if ui.is_closed() {
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
    if !seen {
        explain_silence(&evidence, &mut view, ui)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Opens the file of `--log-file`. What it holds is replaced once there is output to come, see [`FollowView::with_log_file`].
pub fn open_log_file(path: &std::path::Path) -> Result<File> {
    File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(path)
        .map_err(|error| Error::failed(format!("cannot write `{}`", path.display())).caused_by(error))
}

/// Prints the kept end of the output when the pod is gone, and says what is missing; or says why there is no output yet.
fn explain_silence(evidence: &Evidence, view: &mut FollowView, ui: &mut Ui) -> Result<()> {
    let story = diagnose(evidence, now());
    if let Some(tail) = evidence.log_tail.as_ref().filter(|tail| !tail.is_empty()) {
        ui.status("[sbrun: pod and log are gone; these are the last lines, which were kept on the job]");
        return view.show(ui, JobEvent::Output(tail.clone().into_bytes()), now());
    }
    let url = evidence.job.as_ref().and_then(|job| job.plan.as_ref()).and_then(|plan| plan.logs_url.as_ref().map(|url| (url, plan)));
    let text = match (&story.verdict, url) {
        (Some(_), Some((url, plan))) => format!(
            "the log is gone with its pod; the rest may be at {}",
            url.replace("{name}", plan.name.as_str()).replace("{run_id}", &plan.run_id.0)
        ),
        (Some(_), None) => "there is no output: the log is gone with its pod, or the flow never ran".to_owned(),
        (None, _) => format!("no output yet: {}", crate::output::view::story::status_line(&story)),
    };
    ui.status(&format!("[sbrun: {text}]"));
    Ok(())
}

async fn follow_to_the_end(job: &mut ClusterJob, evidence: Evidence, me: String, mut view: FollowView, ui: &mut Ui) -> Result<ExitCode> {
    let controls = Interruptions { without_terminal: OnInterrupt::Detach, can_ask: false, by: me.clone() }.listen()?;
    let mut seen = false;
    let followed = follow(job, evidence, FollowOptions::new(me), controls, |event, now| {
        seen |= matches!(event, JobEvent::Output(_));
        view.show(ui, event, now)?;
        if ui.is_closed() { Err(Error::failed("standard output was closed")) } else { Ok(()) }
    })
    .await;
    if ui.is_closed() {
        return Ok(ExitCode::SUCCESS);
    }
    match followed? {
        Followed::Finished(end) => {
            let (story, evidence) = *end;
            if !seen && ui.is_for_people() {
                explain_silence(&evidence, &mut view, ui)?;
            }
            let report = JobReport::new(&evidence, &story);
            if let Some(verdict) = &story.verdict {
                let block = verdict_block(&evidence, verdict, ui.painter());
                ui.status(&block);
            }
            if !ui.is_for_people() {
                ui.show(&report, |_| String::new(), || report.name.clone().into_iter().collect())?;
            }
            Ok(report.exit_code.map_or(ExitCode::UNKNOWN, ExitCode))
        }
        Followed::Detached(end) | Followed::Ending(end) => {
            let name = end.1.name();
            ui.status(&format!("{name} goes on; `sbrun logs -f {name}` follows it again"));
            Ok(ExitCode::DETACHED)
        }
    }
}
