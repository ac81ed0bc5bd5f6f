//! One job as a document: the same fields from `submit`, `wait`, `why`, `list` and the result file.

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    model::{
        evidence::Evidence,
        launch_plan::GrownFrom,
        outcome::{Fault, Outcome},
        prefect::flow_run::{FlowRunRecord, StateType},
        reason::Reason,
        story::{Cause, Phase, PhaseStart, Proof, Story},
    },
    output::format::SCHEMA,
};

/// Everything that is known of one job. Amounts are base units; `null` means unknown.
#[derive(Debug, Clone, Serialize)]
pub struct JobReport {
    /// Version of this document.
    pub schema: u32,
    /// Name of the Job.
    pub name: Option<String>,
    /// Namespace.
    pub namespace: Option<String>,
    /// UID of the Job.
    pub uid: Option<String>,
    /// Identity of the run over all attempts.
    pub run_id: Option<String>,
    /// The Prefect flow run that the job is of; `null` where it is of none, or cannot be asked for.
    pub prefect: Option<FlowRunReport>,
    /// What the flow is called.
    pub flow: Option<String>,
    /// Size profile.
    pub size: Option<String>,
    /// Who launched it.
    pub user: Option<String>,
    /// Where it stands.
    pub phase: Phase,
    /// How it ended; `null` while it has not.
    pub outcome: Option<Outcome>,
    /// Where the cause of a bad end lies; `null` where there is none, or nobody knows.
    pub fault: Option<Fault>,
    /// What sbrun exits with; `null` while it has not ended.
    pub exit_code: Option<u8>,
    /// The flow's own exit code.
    pub flow_exit_code: Option<i32>,
    /// Code of the cause.
    pub reason: Option<Reason>,
    /// The cause in one sentence.
    pub summary: Option<String>,
    /// What the cause was concluded from.
    pub evidence: Vec<Proof>,
    /// What to type next.
    pub next: Vec<String>,
    /// What else the evidence shows.
    pub details: Vec<ReasonLine>,
    /// Every phase with its start.
    pub phases: Vec<PhaseStart>,
    /// Number of attempts of the run, those at a smaller size included.
    pub attempts: u32,
    /// The job of the same run that ran out of memory at a smaller size before; `null` where there is none.
    pub grown_from: Option<GrownFrom>,
    /// Pod of the last attempt.
    pub pod: Option<String>,
    /// Node of the last attempt.
    pub node: Option<String>,
    /// When the Job was created.
    pub created: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Seconds from submission until the flow ran, or until the end.
    pub waited_seconds: Option<i64>,
    /// Seconds that the machine took to come, once it was the job's turn; `null` when a warm node took it.
    pub scale_up_seconds: Option<i64>,
    /// Place among the jobs that wait for this size, from 1, while queued.
    pub queue_place: Option<u32>,
    /// How many jobs wait for this size, while queued.
    pub queue_length: Option<u32>,
    /// Seconds that a machine of this size usually takes to come, while one is awaited.
    pub usual_scale_up_seconds: Option<i64>,
    /// Seconds that the last attempt ran.
    pub run_seconds: Option<i64>,
    /// CPU request, in millicores.
    pub cpu_millicores: Option<u64>,
    /// Memory limit, in bytes.
    pub memory_limit_bytes: Option<u64>,
    /// Highest memory use, in bytes.
    pub peak_memory_bytes: Option<u64>,
    /// CPU time used, in milliseconds.
    pub cpu_milliseconds: Option<u64>,
    /// Things worth knowing that change nothing.
    pub warnings: Vec<String>,
    /// What could not be observed.
    pub unknown: Vec<String>,
}

/// A Prefect flow run.
#[derive(Debug, Clone, Serialize)]
pub struct FlowRunReport {
    /// Its id.
    pub flow_run_id: String,
    /// Its name.
    pub flow_run_name: String,
    /// `flow/deployment`, where it is of one.
    pub deployment: Option<String>,
    /// Its state's type, as Prefect writes it.
    pub state_type: StateType,
    /// Its state's name.
    pub state_name: String,
    /// How often Prefect has started it.
    pub run_count: u32,
    /// Its work pool.
    pub work_pool: Option<String>,
    /// Its page.
    pub page: String,
}

impl FlowRunReport {
    fn new(record: &FlowRunRecord) -> Self {
        let FlowRunRecord { run, deployment, page, .. } = record;
        Self {
            flow_run_id: run.id.clone(),
            flow_run_name: run.name.clone(),
            deployment: deployment.clone(),
            state_type: run.state.kind,
            state_name: run.state.name.clone(),
            run_count: run.run_count,
            work_pool: run.work_pool.clone(),
            page: page.clone(),
        }
    }
}

/// A further cause.
#[derive(Debug, Clone, Serialize)]
pub struct ReasonLine {
    /// Its code.
    pub reason: Reason,
    /// Its sentence.
    pub summary: String,
}

impl JobReport {
    /// Returns the document of a job.
    #[must_use]
    pub fn new(evidence: &Evidence, story: &Story) -> Self {
        let job = evidence.job.as_ref();
        let verdict = story.verdict.as_ref();
        let cause: Option<&Cause> = verdict.map(|verdict| &verdict.cause).or(story.cause.as_ref());
        let attempt = evidence.attempts.last();
        let footprint = job.map(|job| job.footprint);
        let flow_run = evidence.flow_run.value();
        Self {
            schema: SCHEMA,
            name: Some(evidence.name().to_owned()).filter(|name| !name.is_empty()),
            namespace: job.map(|job| job.namespace.clone()),
            uid: job.map(|job| job.uid.clone()),
            run_id: job.and_then(|job| job.run_id.clone()).or_else(|| flow_run.map(|record| record.run.id.clone())),
            prefect: flow_run.map(FlowRunReport::new),
            flow: job.and_then(|job| job.flow.clone()),
            size: job.and_then(|job| job.size.clone()).or_else(|| flow_run?.run.size().map(ToOwned::to_owned)),
            user: job.and_then(|job| job.user.clone()),
            phase: story.phase,
            outcome: verdict.map(|verdict| verdict.outcome),
            fault: verdict.and_then(|verdict| verdict.outcome.fault()),
            exit_code: verdict.map(|verdict| verdict.exit_code),
            flow_exit_code: verdict.and_then(|verdict| verdict.flow_exit_code),
            reason: cause.map(|cause| cause.reason),
            summary: cause.map(|cause| cause.summary.clone()),
            evidence: cause.map(|cause| cause.evidence.clone()).unwrap_or_default(),
            next: cause.map(|cause| cause.next.clone()).unwrap_or_default(),
            details: story.details.iter().map(|cause| ReasonLine { reason: cause.reason, summary: cause.summary.clone() }).collect(),
            phases: story.phases.clone(),
            attempts: story.attempts + evidence.earlier_attempts(),
            grown_from: job.and_then(|job| job.plan.as_ref()?.grown_from.clone()),
            pod: attempt.map(|attempt| attempt.pod.clone()),
            node: attempt.and_then(|attempt| attempt.node.clone()),
            created: flow_run.and_then(|record| record.run.created).or_else(|| job.and_then(|job| job.created)),
            finished: verdict.and_then(|verdict| verdict.finished),
            waited_seconds: verdict.and_then(|verdict| verdict.waited_seconds),
            scale_up_seconds: verdict.and_then(|verdict| verdict.scale_up_seconds),
            queue_place: story.place.map(|(place, _)| place),
            queue_length: story.place.map(|(_, of)| of),
            usual_scale_up_seconds: story.usual_seconds,
            run_seconds: verdict.and_then(|verdict| verdict.run_seconds),
            cpu_millicores: footprint.map(|footprint| footprint.cpu.0).filter(|cpu| *cpu > 0),
            memory_limit_bytes: footprint.map(|footprint| footprint.memory.0).filter(|memory| *memory > 0),
            peak_memory_bytes: verdict.and_then(|verdict| verdict.peak_memory),
            cpu_milliseconds: verdict.and_then(|verdict| verdict.cpu_milliseconds),
            warnings: verdict.map(|verdict| verdict.warnings.clone()).unwrap_or_default(),
            unknown: story.unknown.clone(),
        }
    }

    /// Returns this document for a job that goes on without sbrun, or that was told to end and is still using its grace.
    #[must_use]
    pub fn left_as(mut self, outcome: Outcome) -> Self {
        self.outcome = Some(outcome);
        self.fault = outcome.fault();
        self.exit_code = Some(outcome.exit_code(None).0);
        self
    }
}
