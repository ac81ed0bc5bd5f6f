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

/// Where the cause of a bad end lies, and so who has to act. The word is stable in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// In the flow: mend it, or give it a larger size or more time.
    Flow,
    /// In the infrastructure: the same command may be run again.
    Infrastructure,
    /// In the request: it could never run as asked.
    Request,
}

impl Fault {
    /// Returns the stable word of JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::Infrastructure => "infrastructure",
            Self::Request => "request",
        }
    }
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

impl Outcome {
    /// Returns where the cause lies; nothing where there is no fault, or nobody knows.
    #[must_use]
    pub fn fault(self) -> Option<Fault> {
        match self {
            Self::Failed | Self::OutOfMemory | Self::OutOfDisk | Self::Killed | Self::TimedOut => Some(Fault::Flow),
            Self::Lost | Self::NoNode => Some(Fault::Infrastructure),
            Self::Rejected => Some(Fault::Request),
            Self::Succeeded | Self::Cancelled | Self::Detached | Self::Unknown => None,
        }
    }

    /// Returns what the outcome means, in one sentence for the manual.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Succeeded => "The flow ended with 0.",
            Self::Failed => "The flow ended by itself with another code.",
            Self::OutOfMemory => "It was killed at its memory limit, or ended badly after one of its processes was.",
            Self::OutOfDisk => "It used more ephemeral storage than it may.",
            Self::Killed => "A signal that nobody accounts for ended it.",
            Self::TimedOut => "It ran longer than `--timeout`, or was silent for `--stall-timeout`.",
            Self::Lost => "The infrastructure took it (node gone, drain, eviction, preemption), and no retries were left.",
            Self::NoNode => "No machine was found in time.",
            Self::Rejected => "It could never run as asked.",
            Self::Cancelled => "Somebody stopped it.",
            Self::Detached => "sbrun was interrupted here; the job goes on.",
            Self::Unknown => "Nothing says how it ended, or its node does not answer and it may still be running there.",
        }
    }

    /// Returns the exit code for the manual, where it is not always the same one.
    fn exit_code_words(self) -> String {
        match self {
            Self::Failed => "the flow's own; 1 for a code that means something here".to_owned(),
            Self::Killed => "128 + the signal".to_owned(),
            _ => self.exit_code(None).0.to_string(),
        }
    }
}

/// Returns `docs/exit-codes.md`: every exit code and every outcome.
#[must_use]
pub fn manual() -> String {
    let codes: Vec<String> = ExitCode::TABLE.iter().map(|(code, meaning)| format!("| {} | {meaning} |", code.0)).collect();
    let fault = |outcome: &Outcome| outcome.fault().map_or_else(|| "`null`".to_owned(), |fault| format!("`{}`", fault.as_str()));
    let row = |outcome: &Outcome| format!("| `{outcome}` | {} | {} | {} |", outcome.exit_code_words(), fault(outcome), outcome.meaning());
    let outcomes: Vec<String> = Outcome::ALL.iter().map(row).collect();
    let (codes, outcomes) = (codes.join("\n"), outcomes.join("\n"));
    let reserved: Vec<String> = ExitCode::RESERVED.iter().map(ToString::to_string).collect();
    let reserved = reserved.join(", ");
    format!(
        "\
# Exit codes

`submit`, `wait` and `logs -f` of one job exit with the same code. The truth is the field `outcome` in `-o json` and in `$SBRUN_RESULT_FILE`:
a flow may return any code that a tool reserves. **75 means: the same command may be run again.**

This page is generated from `src/model/outcome.rs` and `src/model/exit_code.rs`; a test compares them.

## Codes

| code | meaning |
|---|---|
{codes}

Every other code is the flow's own. A flow that itself ends with one of {reserved} makes sbrun exit 1; the real code is `flow_exit_code` in the JSON.

## Outcomes

`fault` in the JSON says where the cause lies, so that a pipeline can decide without a list of codes: `flow` (whoever wrote it has to act), `infrastructure`
(nobody's mistake: run the same command again, after 69 only with `--key`), `request` (it could never run as asked: change the call, the map or what the cluster
lacks), or `null`: there is none, or nobody knows.

| outcome | exit code | fault | meaning |
|---|---|---|---|
{outcomes}
"
    )
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What `--state` picks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not ended.
    Active,
    /// Ended.
    Finished,
    /// Ended, and not well.
    Unsuccessful,
    /// Ended so.
    Outcome(Outcome),
}

impl State {
    /// Returns whether a job in this state is meant.
    #[must_use]
    pub fn picks(self, outcome: Option<Outcome>) -> bool {
        match self {
            Self::Active => outcome.is_none(),
            Self::Finished => outcome.is_some(),
            Self::Unsuccessful => outcome.is_some_and(|outcome| outcome != Outcome::Succeeded),
            Self::Outcome(wanted) => outcome == Some(wanted),
        }
    }
}

#[cfg(test)]
pub(in crate::model) mod tests {
    use super::*;

    /// Compares a generated page with the one that is kept.
    pub(in crate::model) fn assert_generated(path: &str, kept: &str, generated: &str) {
        assert!(kept == generated, "{path} is stale; it should be:\n{generated}");
    }

    #[test]
    fn the_manual_is_up_to_date() {
        assert_generated("docs/exit-codes.md", include_str!("../../docs/exit-codes.md"), &manual());
    }

    #[test]
    fn exit_codes_are_those_of_the_contract() {
        let table = [
            (Outcome::Succeeded, None, 0),
            (Outcome::Failed, Some(7), 7),
            (Outcome::Failed, Some(75), 1),
            (Outcome::Failed, None, 1),
            (Outcome::OutOfMemory, Some(1), 137),
            (Outcome::OutOfDisk, None, 137),
            (Outcome::Killed, Some(143), 143),
            (Outcome::Killed, None, 137),
            (Outcome::TimedOut, Some(143), 124),
            (Outcome::Lost, Some(137), 75),
            (Outcome::NoNode, None, 75),
            (Outcome::Rejected, Some(127), 78),
            (Outcome::Cancelled, Some(0), 143),
            (Outcome::Detached, None, 130),
            (Outcome::Unknown, None, 76),
        ];
        for (outcome, flow, code) in table {
            assert_eq!(outcome.exit_code(flow), ExitCode(code), "{outcome}");
        }
    }

    #[test]
    fn to_run_it_again_is_the_answer_to_a_fault_of_the_infrastructure_alone() {
        for outcome in Outcome::ALL {
            let again = outcome.exit_code(None) == ExitCode::TRY_AGAIN;
            assert_eq!(outcome.fault() == Some(Fault::Infrastructure), again, "{outcome}");
            assert_eq!(outcome.fault() == Some(Fault::Request), outcome.exit_code(None) == ExitCode::REJECTED, "{outcome}");
        }
    }
}
