//! A flow run, in the words of Prefect.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The job variable that carries the name of a size profile.
pub const SIZE_VARIABLE: &str = "size";

/// The tag by which Prefect's lists show what sbrun made.
pub const TAG: &str = "sbrun";

/// Returns whether this is how Prefect writes the id of a flow run: a UUID.
#[must_use]
pub fn is_id(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hexadecimal = |part: &&str| part.chars().all(|character| character.is_ascii_hexdigit());
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]) && parts.iter().all(hexadecimal)
}

/// Type of a state. Several named states may share one: `Late` and `AwaitingRetry` are of type `SCHEDULED`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StateType {
    /// It waits for its time, or for a worker.
    #[default]
    Scheduled,
    /// A worker has it, or its infrastructure is being made.
    Pending,
    /// It runs.
    Running,
    /// It ended well.
    Completed,
    /// Its code failed.
    Failed,
    /// Somebody stopped it.
    Cancelled,
    /// Its infrastructure failed.
    Crashed,
    /// It waits for somebody.
    Paused,
    /// Somebody is stopping it.
    Cancelling,
}

impl StateType {
    /// Returns whether no further state is to be expected. A worker's observer may still take a crashed run up again.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled | Self::Crashed)
    }
}

/// One state of a flow run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Its type.
    pub kind: StateType,
    /// Its name, such as `Late` or `AwaitingRetry`.
    pub name: String,
    /// What Prefect says of it.
    pub message: Option<String>,
    /// Since when.
    pub since: Option<Timestamp>,
}

/// A flow run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlowRun {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: State,
    /// How often it has been started.
    pub run_count: u32,
    /// `in_process` when the process of the failed attempt itself starts it again, `reschedule` when a worker does.
    pub retry_type: Option<String>,
    /// Its work pool.
    pub work_pool: Option<String>,
    /// `namespace:job` of its newest Job, as the worker notes it.
    pub infrastructure: Option<String>,
    /// Parameters of its flow.
    pub parameters: BTreeMap<String, serde_json::Value>,
    /// Job variables of this run, over those of its deployment.
    pub job_variables: BTreeMap<String, serde_json::Value>,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When it is to start, or was.
    pub expected_start: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

impl FlowRun {
    /// Returns the size that its job variables ask for.
    #[must_use]
    pub fn size(&self) -> Option<&str> {
        self.job_variables.get(SIZE_VARIABLE).and_then(serde_json::Value::as_str)
    }
}

/// A worker of a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Worker {
    /// Its name.
    pub name: String,
    /// Whether Prefect has heard of it lately.
    pub is_online: bool,
    /// When Prefect last heard of it.
    pub last_heartbeat: Option<Timestamp>,
}

/// Who takes the runs of a pool up, as far as could be seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkPool {
    /// Its name.
    pub name: String,
    /// Its type, such as `kubernetes`.
    pub kind: String,
    /// Whether somebody paused it.
    pub is_paused: bool,
    /// The job variables that its template has.
    pub variables: Vec<String>,
    /// The sizes that may be chosen; empty where its template knows none.
    pub sizes: Vec<String>,
    /// The size of whoever names none.
    pub default_size: Option<String>,
    /// Why its workers will refuse every run, by its template.
    pub refused: Vec<String>,
    /// Why Kubernetes starts runs again, too, by its template.
    pub two_owners: Option<String>,
    /// Its workers.
    pub workers: Vec<Worker>,
}

/// All that is known of the run that a job belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlowRunRecord {
    /// The run as last seen.
    pub run: FlowRun,
    /// `flow/deployment`, where the run is of one.
    pub deployment: Option<String>,
    /// Its pool; none while it was not asked for.
    pub pool: Option<WorkPool>,
    /// Its page.
    pub page: String,
}
