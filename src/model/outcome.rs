//! How a finished job ended.

use serde::{Deserialize, Serialize};

use crate::model::exit_code::ExitCode;

/// How a job ended. The word is stable in JSON, labels and `--state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The flow ended with 0.
    Succeeded,
    /// The flow ended by itself with another code.
    Failed,
    /// Killed at its memory limit.
    OutOfMemory,
    /// Stopped at its ephemeral storage limit.
    OutOfDisk,
    /// A signal that nobody accounts for.
    Killed,
    /// Ran longer than `--timeout`, or silent for `--stall-timeout`.
    TimedOut,
    /// The infrastructure took it, and no retries are left.
    Lost,
    /// No machine in time.
    NoNode,
    /// Could never run as asked.
    Rejected,
    /// Somebody stopped it.
    Cancelled,
    /// sbrun was interrupted here, the job goes on.
    Detached,
    /// The Job is gone and nothing says how it ended, or its node does not answer.
    Unknown,
}

impl Outcome {
    /// Every outcome, in the order of the manual.
    pub const ALL: [Self; 12] = [
        Self::Succeeded,
        Self::Failed,
        Self::OutOfMemory,
        Self::OutOfDisk,
        Self::Killed,
        Self::TimedOut,
        Self::Lost,
        Self::NoNode,
        Self::Rejected,
        Self::Cancelled,
        Self::Detached,
        Self::Unknown,
    ];

    /// Returns the stable word of JSON and `--state`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::OutOfMemory => "out_of_memory",
            Self::OutOfDisk => "out_of_disk",
            Self::Killed => "killed",
            Self::TimedOut => "timed_out",
            Self::Lost => "lost",
            Self::NoNode => "no_node",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::Detached => "detached",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the words for people, such as `out of memory`.
    #[must_use]
    pub fn words(self) -> String {
        self.as_str().replace('_', " ")
    }

    /// Returns sbrun's exit code for this outcome; `flow_exit_code` is the flow's own, where known.
    #[must_use]
    pub fn exit_code(self, flow_exit_code: Option<i32>) -> ExitCode {
        match self {
            Self::Succeeded => ExitCode::SUCCESS,
            Self::Failed => flow_exit_code.map_or(ExitCode::FAILURE, ExitCode::of_failed_flow),
            Self::OutOfMemory | Self::OutOfDisk => ExitCode::KILLED,
            Self::Killed => flow_exit_code.filter(|code| *code > 128).map_or(ExitCode::KILLED, ExitCode::of_failed_flow),
            Self::TimedOut => ExitCode::TIMED_OUT,
            Self::Lost | Self::NoNode => ExitCode::TRY_AGAIN,
            Self::Rejected => ExitCode::REJECTED,
            Self::Cancelled => ExitCode::CANCELLED,
            Self::Detached => ExitCode::DETACHED,
            Self::Unknown => ExitCode::UNKNOWN,
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}
