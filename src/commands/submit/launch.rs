//! From a plan to its end: create, follow, judge, exit.

use std::{cell::RefCell, fs::File};

use jiff::Timestamp;
use serde::Serialize;

use super::result_file::ResultFile;
use crate::{
    commands::{
        context::Context,
        interrupt::{Interruptions, see_through},
        submit::resolve::LOCAL,
    },
    environment::{Environment, now},
    error::{Error, Result},
    follow::{Control, Controls, FollowOptions, Followed, Keep, RunningJob, cluster::ClusterJob, follow, machine::MachineJob},
    kubernetes::{
        connect::Cluster,
        jobs::{self, Created},
        retry::Patience,
    },
    model::{
        evidence::{Ending, Evidence, JobRecord},
        exit_code::ExitCode,
        launch_plan::{GrownFrom, LaunchPlan, OnInterrupt},
        outcome::Outcome,
        reason::Reason,
        story::Story,
    },
    output::{
        format,
        ui::{Format, Ui},
        view::{follow::FollowView, report::JobReport, story::verdict_block, submitted},
    },
    store::run_file::{RunFile, RunFiles},
};

impl LaunchOptions {
    /// Returns the same options for a further launch, whose output follows that of this one.
    ///
    /// # Errors
    /// When the log file cannot be opened a second time.
    pub fn again(&self) -> Result<Self> {
        let log_file = self.log_file.as_ref().map(File::try_clone).transpose();
        let log_file = log_file.map_err(|error| Error::failed("the log file cannot be kept open").caused_by(error))?;
        Ok(Self { log_file, is_further: true, ..*self })
    }

    /// Returns the view of a job that is followed since `started`.
    #[must_use]
    pub fn view(self, started: Timestamp, ui: &Ui) -> FollowView {
        let view = FollowView::new(ui, started, self.raw);
        if self.is_further { view.with_further_log_file(self.log_file) } else { view.with_log_file(self.log_file) }
    }
}

/// The first event of `-o jsonl`: what to ask for later.
#[derive(Debug, Serialize)]
struct Submitted<'launch> {
    schema: u32,
    event: &'static str,
    at: Timestamp,
    name: &'launch str,
    namespace: &'launch str,
    uid: &'launch str,
    run_id: &'launch str,
    attached: bool,
}

/// How a launch is shown.
#[derive(Debug, Default)]
pub struct LaunchOptions {
    /// Do not follow.
    pub detach: bool,
    /// Let every escape sequence through.
    pub raw: bool,
    /// Also write the output here.
    pub log_file: Option<File>,
    /// Whether an earlier launch of the same run has written there.
    pub is_further: bool,
}

/// What was left of a job: its document, and what that was made of.
#[derive(Debug)]
pub struct Left {
    /// The document.
    pub report: JobReport,
    /// Everything that was observed.
    pub evidence: Evidence,
}

/// What became of creating a Job.
pub enum Creation {
    /// It is there, and nobody follows it yet.
    Submitted(Box<Submission>),
    /// It was ended or left to itself, as an interruption wanted: that has been said.
    Interrupted {
        /// The Job, unless the interruption came before there was any.
        record: Option<Box<JobRecord>>,
        /// Its document.
        report: Box<JobReport>,
    },
}

/// A Job that was created, or attached to.
pub struct Submission {
    /// What was asked for.
    pub plan: LaunchPlan,
    /// What there is.
    pub created: Created,
    cluster: Cluster,
    started: Timestamp,
    options: LaunchOptions,
    keep: Option<Keep>,
    environment: Environment,
}

/// What became of a launch.
#[derive(Debug)]
pub enum Launched {
    /// It was followed: it is over, goes on without sbrun, or was told to end, as the document says.
    Followed(Box<Left>),
    /// Nobody follows it, as was asked for.
    Detached(Box<JobReport>),
    /// It was interrupted while the Job was being created, and ended or left to itself: that has been said.
    Interrupted(Box<JobReport>),
}

impl Launched {
    /// Returns why the launch found no machine, so that another size may be taken.
    #[must_use]
    pub fn no_capacity(&self) -> Option<&Left> {
        let lacks = |report: &JobReport| report.outcome == Some(Outcome::NoNode) && report.reason.is_some_and(Reason::is_no_capacity);
        self.followed().filter(|left| lacks(&left.report))
    }

    /// Returns what was left of a launch that ran out of memory, so that a larger size may be taken.
    #[must_use]
    pub fn out_of_memory(&self) -> Option<&Left> {
        self.followed().filter(|left| left.report.outcome == Some(Outcome::OutOfMemory))
    }

    /// Notes the job of the same run that ran out of memory before.
    #[must_use]
    pub fn grown(mut self, from: GrownFrom) -> Self {
        if let Self::Followed(left) = &mut self {
            left.report.grown_from = Some(from);
        }
        self
    }

    fn followed(&self) -> Option<&Left> {
        if let Self::Followed(left) = self { Some(left) } else { None }
    }

    /// Leaves the document where it is wanted, and returns sbrun's exit code.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn conclude(self, ui: &mut Ui, results: &ResultFile) -> Result<ExitCode> {
        let (report, code, is_document) = match self {
            // With `jsonl` the event of the end has said it.
            Self::Followed(left) => {
                let report = left.report;
                let code = report.exit_code.map_or(ExitCode::UNKNOWN, ExitCode);
                (report, code, matches!(ui.format(), Format::Json | Format::Yaml))
            }
            Self::Interrupted(report) => {
                let code = report.exit_code.map_or(ExitCode::UNKNOWN, ExitCode);
                (*report, code, matches!(ui.format(), Format::Json | Format::Yaml))
            }
            Self::Detached(report) => (*report, ExitCode::SUCCESS, !matches!(ui.format(), Format::Table | Format::Name)),
        };
        results.finish(&report, ui);
        if is_document {
            ui.show(&report, |_| String::new(), Vec::new)?;
        }
        Ok(code)
    }
}

/// Creates the Job of `plan`, and follows it to its end unless detached.
pub async fn on_cluster(
    plan: LaunchPlan,
    cluster: Cluster,
    options: LaunchOptions,
    controls: &mut Controls,
    context: &Context,
    ui: &mut Ui,
) -> Result<Launched> {
    go_on(create(plan, cluster, options, controls, context, ui).await?, controls, ui).await
}

/// Creates the Job of `plan`, or attaches to the one of its key, and says so.
///
/// # Errors
/// When the server refuses, or does not answer.
pub async fn create(
    plan: LaunchPlan,
    cluster: Cluster,
    options: LaunchOptions,
    controls: &mut Controls,
    context: &Context,
    ui: &mut Ui,
) -> Result<Creation> {
    match controls.take_back() {
        Some(Control::Cancel { .. }) => {
            ui.status(&format!("cancelled before Job {} was made", plan.name));
            return Ok(Creation::Interrupted { record: None, report: left_as(Outcome::Cancelled, &Evidence::default()) });
        }
        Some(other) => controls.put_back(other),
        None => {}
    }
    let started = now();
    let keep = context.keep(plan.keep_logs, &cluster)?;
    remember(&plan, &cluster, started, context, ui);
    ui.progress(&format!("submitting {}", plan.name));
    let created = see_through(jobs::create(&cluster, &plan), controls, ui).await.transpose()?;
    ui.clear_progress();
    let Some(created) = created else {
        return Err(Error::unreachable(format!("interrupted while submitting `{}`: it may or may not have been created", plan.name))
            .hinted(format!("look with `sbrun why {}`, end it with `sbrun cancel {}`", plan.name, plan.name)));
    };
    if let Some(control) = controls.take_back() {
        let report = interrupted(&created.record, control, &cluster, ui).await?;
        return Ok(Creation::Interrupted { record: Some(Box::new(created.record)), report });
    }
    if let Some(recorded) = created.record.plan.as_ref().filter(|recorded| recorded.name != plan.name || recorded.run_id != plan.run_id) {
        remember(recorded, &cluster, started, context, ui); // a key leads to a Job that is there already, or to a further attempt
    }
    announce(&plan, &created, &cluster, ui)?;
    warn_of_expiry(&plan, &cluster, ui);
    Ok(Creation::Submitted(Box::new(Submission { plan, created, cluster, started, options, keep, environment: context.environment.clone() })))
}

/// Follows a Job that was created to its end, unless detached.
///
/// # Errors
/// When it cannot be followed, or standard output cannot be written.
pub async fn go_on(creation: Creation, controls: &mut Controls, ui: &mut Ui) -> Result<Launched> {
    let submission = match creation {
        Creation::Submitted(submission) => *submission,
        Creation::Interrupted { report, .. } => return Ok(Launched::Interrupted(report)),
    };
    let Submission { plan, created, cluster, started, options, keep, environment } = submission;
    let Created { record, attached, age } = created;
    let evidence = Evidence { job: Some(record.clone()), ..Evidence::default() };
    let mut job = ClusterJob::new(cluster, &record, &environment).aged(age).followed();
    if options.detach {
        if attached && record.leased {
            jobs::drop_lease(job.cluster(), &record, Patience::START).await?; // nobody here will renew it
        }
        return Ok(Launched::Detached(Box::new(JobReport::new(&evidence, &crate::model::diagnose::diagnose(&evidence, now())))));
    }
    let view = options.view(started, ui);
    let lease_interval = record.leased.then(|| plan.limits.lease / 3);
    let follow_options = FollowOptions { keep, lease_interval, ..FollowOptions::new(plan.user.name.clone()) };
    to_the_end(&mut job, evidence, follow_options, controls, view, ui).await
}

/// Runs `plan` on this machine to its end and returns the exit code of the verdict.
pub async fn here(plan: LaunchPlan, mut job: MachineJob, options: LaunchOptions, ui: &mut Ui, results: &ResultFile) -> Result<ExitCode> {
    let interruptions = Interruptions { without_terminal: OnInterrupt::Cancel, can_ask: false, by: plan.user.name.clone() };
    let mut controls = interruptions.listen_for(job.stop_signal())?;
    if ui.format() == Format::Name {
        ui.line(plan.name.as_str())?;
    }
    let view = options.view(now(), ui);
    let follow_options = FollowOptions::new(plan.user.name.clone());
    to_the_end(&mut job, Evidence::default(), follow_options, &mut controls, view, ui).await?.conclude(ui, results)
}

/// Remembers the run on this machine before the first request, so that nothing launched is forgotten.
fn remember(plan: &LaunchPlan, cluster: &Cluster, now: Timestamp, context: &Context, ui: &mut Ui) {
    let Some(files) = RunFiles::of(&context.environment) else { return };
    let run = RunFile {
        schema: RunFile::SCHEMA,
        run_id: plan.run_id.clone(),
        name: plan.name.clone(),
        namespace: plan.namespace.clone(),
        context: cluster.context.clone(),
        server: cluster.server.clone(),
        key: plan.key.clone(),
        created: now,
    };
    if let Err(error) = files.write(&run) {
        ui.detail(&format!("[sbrun: {}]", error.message()));
    }
    files.prune(now);
}

/// Returns what interruptions mean for the launch of `plan`, from now on.
///
/// # Errors
/// When signals cannot be listened for.
pub fn interruptions(plan: &LaunchPlan, ui: &Ui) -> Result<Controls> {
    Interruptions { without_terminal: plan.on_interrupt, can_ask: ui.can_prompt(), by: plan.user.name.clone() }.listen()
}

fn left_as(outcome: Outcome, evidence: &Evidence) -> Box<JobReport> {
    Box::new(JobReport::new(evidence, &crate::model::diagnose::diagnose(evidence, now())).left_as(outcome))
}

/// An interruption while the Job was being created, which it now is: it is ended, or left to itself, as was asked for.
async fn interrupted(record: &JobRecord, control: Control, cluster: &Cluster, ui: &mut Ui) -> Result<Box<JobReport>> {
    let evidence = Evidence { job: Some(record.clone()), ..Evidence::default() };
    if let Control::Cancel { by, .. } = control {
        let ending = Ending { outcome: Outcome::Cancelled, reason: Reason::CancelledByUser.code().to_owned(), by, at: now(), message: None };
        jobs::end(cluster, record, &ending, Patience::CANCEL).await?;
        ui.status(&format!("cancelled {}", record.name));
        return Ok(left_as(Outcome::Cancelled, &evidence));
    }
    if record.leased {
        jobs::drop_lease(cluster, record, Patience::CANCEL).await?;
    }
    ui.status(&format!("{} goes on; `sbrun logs -f {}` follows it, `sbrun cancel {}` ends it", record.name, record.name, record.name));
    Ok(left_as(Outcome::Detached, &evidence))
}

fn announce(plan: &LaunchPlan, created: &Created, cluster: &Cluster, ui: &mut Ui) -> Result<()> {
    match ui.format() {
        Format::Name => ui.line(&created.record.name)?,
        Format::Jsonl => {
            let submitted = Submitted {
                schema: format::SCHEMA,
                event: "submitted",
                at: format::milliseconds(now()),
                name: &created.record.name,
                namespace: &created.record.namespace,
                uid: &created.record.uid,
                run_id: &plan.run_id.0,
                attached: created.attached,
            };
            ui.line(&format::json_line(&submitted)?)?;
        }
        Format::Table | Format::Json | Format::Yaml => {}
    }
    let place = match &cluster.context {
        Some(context) => format!("in {} on {context}", cluster.namespace),
        None => format!("in {}", cluster.namespace),
    };
    let block = submitted::block(plan, &created.record.name, &place, created.attached, ui.painter());
    ui.status(&block);
    Ok(())
}

/// Credentials that end before the run may end are said at submit: the job goes on, but nobody could follow or end it.
fn warn_of_expiry(plan: &LaunchPlan, cluster: &Cluster, ui: &mut Ui) {
    let Some(expiry) = cluster.credential_expiry() else { return };
    if expiry < now() + plan.limits.timeout {
        ui.warning(&format!("the credentials of this cluster end at {}, before the timeout of the run", expiry.strftime("%H:%M UTC on %d %B")));
    }
}

/// Follows a job to its end and shows it.
///
/// # Errors
/// When the job cannot be followed, or standard output cannot be written.
pub async fn to_the_end<J: RunningJob>(
    job: &mut J,
    evidence: Evidence,
    options: FollowOptions,
    controls: &mut Controls,
    mut view: FollowView,
    ui: &mut Ui,
) -> Result<Launched> {
    let followed = {
        let shared = RefCell::new(&mut *ui);
        follow(job, evidence, options, controls, |event, now| view.show(&mut shared.borrow_mut(), event, now)).await
    };
    ui.clear_progress();
    let (report, text, evidence) = match followed? {
        Followed::Finished(end) => {
            let (report, text) = finished(&end, ui);
            (report, text, end.1)
        }
        Followed::Detached(end) => {
            let report = JobReport::new(&end.1, &end.0).left_as(Outcome::Detached);
            let name = report.name.clone().unwrap_or_default();
            (report, format!("{name} goes on; `sbrun logs -f {name}` follows it, `sbrun cancel {name}` ends it"), end.1)
        }
        Followed::Ending(end) => {
            let report = JobReport::new(&end.1, &end.0).left_as(Outcome::Cancelled);
            let name = report.name.clone().unwrap_or_default();
            let here = end.1.job.as_ref().is_some_and(|job| job.namespace == LOCAL);
            let there = format!("{name} is cancelled and uses its grace to end; `sbrun why {name}` tells how it went");
            (report, if here { format!("{name} did not end in time and is killed") } else { there }, end.1)
        }
    };
    ui.status(&text);
    Ok(Launched::Followed(Box::new(Left { report, evidence })))
}

fn finished(end: &(Story, Evidence), ui: &Ui) -> (JobReport, String) {
    let (story, evidence) = end;
    let text = story.verdict.as_ref().map(|verdict| verdict_block(evidence, verdict, ui.painter())).unwrap_or_default();
    (JobReport::new(evidence, story), text)
}
