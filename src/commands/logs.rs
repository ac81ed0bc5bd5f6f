//! `sbrun logs`: the output of a job, now or later.

mod attempts;

use std::{fs::File, path::PathBuf};

use clap::Args;

use self::attempts::Attempts;
use super::{context::Context, interrupt::Interruptions, references::Referrer};
use crate::{
    environment::now,
    error::{Error, ErrorKind, Result},
    follow::{Detail, FollowOptions, Followed, RunningJob, cluster::ClusterJob, follow, keep::kept_under},
    kubernetes::connect::Cluster,
    model::{
        diagnose::diagnose, duration, evidence::Evidence, exit_code::ExitCode, job_event::JobEvent, launch_plan::OnInterrupt, log_resume::Stamps,
    },
    output::{
        ui::Ui,
        view::{follow::FollowView, report::JobReport, story::verdict_block},
    },
    store::kept_log::{KeptLog, KeptLogs, Wanted},
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
    let stamps = if arguments.timestamps { Stamps::InLines } else { Stamps::Dropped };
    let wanted = Wanted { tail: arguments.tail, since: since.map(|since| now() - since), stamps };
    let cluster = context.connect_for_jobs(ui).await?;
    let referrer = if arguments.follow { Referrer::for_following(context, &cluster) } else { Referrer::new(context, &cluster) };
    let opened = referrer.open(&arguments.job).await;
    let log_file = arguments.log_file.as_ref().map(|path| open_log_file(path)).transpose()?;
    let view = |ui: &Ui, since| FollowView::new(ui, since, arguments.raw).with_log_file(log_file).output_only();
    let (mut job, mut evidence) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            let view = view(ui, now());
            return logs_without_a_job(error, arguments, &wanted, context, &cluster, view, ui);
        }
    };
    let mut view = view(ui, evidence.job.as_ref().and_then(|job| job.created).unwrap_or_else(now));
    let observed = job.observe(&mut evidence, Detail::Basic).await;
    if arguments.follow {
        let user = context.user(Some(&cluster)).await;
        let keep = context.keep(evidence.job.as_ref().and_then(|job| job.plan.as_ref()?.keep_logs), &cluster)?;
        let mut options = FollowOptions { keep, ..FollowOptions::new(user.name) };
        let attempts = Attempts::of(&evidence, kept_here(&evidence, context));
        options.earlier_attempts = attempts.show_gone(None, &Wanted::default(), &mut view, ui)?;
        return follow_to_the_end(&mut job.followed(), evidence, options, view, ui).await;
    }
    observed?;
    let attempts = Attempts::of(&evidence, kept_here(&evidence, context));
    if !attempts.show(arguments.attempt, &wanted, &cluster, &mut view, ui).await? {
        explain_silence(&evidence, &mut view, ui)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns what was kept of a job's output on this machine.
fn kept_here(evidence: &Evidence, context: &Context) -> Vec<KeptLog> {
    let find = |uid| KeptLogs::of(&context.environment).map(|logs| logs.find(uid));
    kept_under(evidence).and_then(find).unwrap_or_default()
}

/// Prints what was kept on this machine of a job that the cluster does not know any more.
fn logs_without_a_job(
    error: Error,
    arguments: &LogsArgs,
    wanted: &Wanted,
    context: &Context,
    cluster: &Cluster,
    mut view: FollowView,
    ui: &mut Ui,
) -> Result<ExitCode> {
    let find = |logs: KeptLogs| logs.find_by_name(&arguments.job, &cluster.namespace, &cluster.server);
    let kept = KeptLogs::of(&context.environment).filter(|_| error.kind() == ErrorKind::Failed).map(find).unwrap_or_default();
    let Some(first) = kept.first() else { return Err(error) };
    if arguments.follow {
        return Err(error.hinted(format!("`sbrun logs {}` shows what was kept of its output on this machine", first.origin.job)));
    }
    ui.status(&format!("[sbrun: the Job `{}` does not exist any more]", first.origin.job));
    let evidence = Evidence::default();
    Attempts::of(&evidence, kept).show_gone(arguments.attempt, wanted, &mut view, ui)?;
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

/// Prints the end of the output that was kept on the Job when the pod is gone, and says what is missing; or says why there is no
/// output yet.
fn explain_silence(evidence: &Evidence, view: &mut FollowView, ui: &mut Ui) -> Result<()> {
    let story = diagnose(evidence, now());
    if let Some(tail) = evidence.log_tail.as_ref().filter(|tail| !tail.is_empty()) {
        let rest = elsewhere(evidence).map(|place| format!("; {place}")).unwrap_or_default();
        ui.status(&format!(
            "[sbrun: pod and log are gone, and nothing was kept on this machine; these are the last lines, which were kept on the job{rest}]"
        ));
        return view.show(ui, JobEvent::Output(tail.clone().into_bytes()), now());
    }
    let text = match (&story.verdict, elsewhere(evidence)) {
        (Some(_), Some(place)) => format!("the log is gone with its pod, and nothing was kept on this machine; {place}"),
        (Some(_), None) => "there is no output: the log is gone with its pod and was not kept on this machine, or the flow never ran".to_owned(),
        (None, _) => format!("no output yet: {}", crate::output::view::story::status_line(&story)),
    };
    ui.status(&format!("[sbrun: {text}]"));
    Ok(())
}

/// Returns where the rest of the output may be, as `logs_url` of the map says.
fn elsewhere(evidence: &Evidence) -> Option<String> {
    let plan = evidence.job.as_ref()?.plan.as_ref()?;
    let url = plan.logs_url.as_ref()?.replace("{name}", plan.name.as_str()).replace("{run_id}", &plan.run_id.0);
    Some(format!("the rest may be at {url}"))
}

async fn follow_to_the_end(job: &mut ClusterJob, evidence: Evidence, options: FollowOptions, mut view: FollowView, ui: &mut Ui) -> Result<ExitCode> {
    let mut controls = Interruptions { without_terminal: OnInterrupt::Detach, can_ask: false, by: options.follower.clone() }.listen()?;
    let mut seen = options.earlier_attempts > 0;
    let followed = follow(job, evidence, options, &mut controls, |event, now| {
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
