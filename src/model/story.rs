//! What the evidence means: phases, outcome, cause, next step.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{exit_code::ExitCode, outcome::Outcome, reason::Reason};

/// Where a job stands, in order. A warm node skips some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The Job exists.
    Submitted,
    /// Its group is at its maximum and busy.
    Queued,
    /// No node can take it yet, or it waits for quota.
    Pending,
    /// The group grows.
    ScalingUp,
    /// A machine boots.
    Booting,
    /// On its node: image, volumes.
    Starting,
    /// The flow runs.
    Running,
    /// It ended.
    Finished,
}

impl Phase {
    /// Returns the stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Queued => "queued",
            Self::Pending => "pending",
            Self::ScalingUp => "scaling_up",
            Self::Booting => "booting",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Finished => "finished",
        }
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// When a phase began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseStart {
    /// The phase.
    pub phase: Phase,
    /// When it began.
    pub since: Timestamp,
    /// The attempt it belongs to, counted from 1.
    pub attempt: u32,
}

/// Why a job is where it is: code, one sentence, proof, advice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The stable code.
    pub reason: Reason,
    /// One sentence for people, lower case, no full stop.
    pub summary: String,
    /// What it was concluded from, in the platform's own words.
    pub evidence: Vec<Proof>,
    /// The next things to type or to do, best first.
    pub next: Vec<String>,
    /// Whether waiting cannot mend it: the job then ends as `rejected`.
    pub hopeless: bool,
}

impl Cause {
    /// Returns a cause without evidence and advice yet; `summary` is one sentence, lower case, no full stop.
    pub fn new(reason: Reason, summary: impl Into<String>) -> Self {
        Self { reason, summary: summary.into(), evidence: Vec::new(), next: Vec::new(), hopeless: false }
    }

    /// Adds what it was concluded from.
    #[must_use]
    pub fn proven_by(mut self, proof: impl IntoIterator<Item = Proof>) -> Self {
        self.evidence.extend(proof);
        self
    }

    /// Adds the next things to type or to do.
    #[must_use]
    pub fn advising(mut self, next: impl IntoIterator<Item = String>) -> Self {
        self.next.extend(next);
        self
    }

    /// Says whether waiting cannot mend it.
    #[must_use]
    pub fn hopeless(mut self, hopeless: bool) -> Self {
        self.hopeless = hopeless;
        self
    }
}

/// One piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Where it came from, such as `event FailedScheduling on pod etl-1`.
    pub source: String,
    /// What it said.
    pub text: String,
    /// When, where known.
    pub at: Option<Timestamp>,
}

impl Proof {
    /// Returns a piece of evidence in the platform's own words.
    pub fn new(source: impl Into<String>, text: impl Into<String>, at: Option<Timestamp>) -> Self {
        Self { source: source.into(), text: text.into().trim().to_owned(), at }
    }
}

/// How a job ended, for `submit`, `wait`, `logs -f`, `why` and `list`, and as kept on the Job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The outcome.
    pub outcome: Outcome,
    /// What sbrun exits with.
    pub exit_code: u8,
    /// The flow's own exit code, where it has one that is its own.
    pub flow_exit_code: Option<i32>,
    /// The cause.
    pub cause: Cause,
    /// When the job ended.
    pub finished: Option<Timestamp>,
    /// Seconds from submission until the flow ran for the first time, or until the end.
    pub waited_seconds: Option<i64>,
    /// Seconds from when it was its turn until a node took it, when a machine had to come for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up_seconds: Option<i64>,
    /// Seconds that the last attempt ran.
    pub run_seconds: Option<i64>,
    /// Number of attempts.
    pub attempts: u32,
    /// Highest memory use, in bytes, where measured.
    pub peak_memory: Option<u64>,
    /// CPU time, in milliseconds, where measured.
    pub cpu_milliseconds: Option<u64>,
    /// Things worth knowing that change nothing, such as a killed child.
    pub warnings: Vec<String>,
}

impl Verdict {
    /// Returns sbrun's exit code.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode(self.exit_code)
    }
}

/// What [`crate::model::diagnose::diagnose`] makes of the evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Story {
    /// Where the job stands.
    pub phase: Phase,
    /// Every phase so far with its start.
    pub phases: Vec<PhaseStart>,
    /// Number of attempts so far.
    pub attempts: u32,
    /// Why it is not running yet, or what accompanies its run.
    pub cause: Option<Cause>,
    /// Other causes that the evidence shows, as detail.
    pub details: Vec<Cause>,
    /// How it ended, once that is certain.
    pub verdict: Option<Verdict>,
    /// Until when the verdict is held because news of the node may come (137 or 143 without an explanation).
    pub held_until: Option<Timestamp>,
    /// Its place among the jobs that wait for the same nodes, counted from 1, and how many there are; while it is queued.
    pub place: Option<(u32, u32)>,
    /// How long a machine of this size usually takes to come, in seconds; while it waits for one.
    pub usual_seconds: Option<i64>,
    /// What is not known.
    pub unknown: Vec<String>,
}

impl Story {
    /// Returns when the job entered the phase that it is in.
    #[must_use]
    pub fn phase_since(&self) -> Option<Timestamp> {
        self.phases.iter().rev().find(|start| start.phase == self.phase).map(|start| start.since)
    }
}
