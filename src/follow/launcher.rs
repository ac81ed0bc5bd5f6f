//! What the loop needs of a launched job, wherever it runs.

use std::{future::Future, time::Duration};

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use crate::{
    error::Result,
    model::{
        evidence::{AttemptRecord, Ending, Evidence},
        job_event::{LogEvent, LogState},
        log_resume::Stamps,
        story::Verdict,
    },
};

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// The job and its attempts.
    Basic,
    /// Also whatever explains a wait: events, nodes, quotas.
    Waiting,
    /// Also what explains the loss of a machine, waiting for it where it comes from outside the cluster.
    Loss,
}

/// A launched job: on the cluster, or on this machine.
pub trait RunningJob {
    /// Returns the time by the clock that wrote what is observed.
    fn now(&self) -> Timestamp;

    /// Keeps the last output where later commands find it, for a job that ends without this follower. Failing is harmless.
    fn keep_tail(&mut self, evidence: &Evidence, log_tail: &[u8]) -> impl Future<Output = ()>;

    /// Merges what is to be seen now into `evidence`.
    ///
    /// An error means that nothing could be seen: kind `Unreachable` is temporary, anything else is final.
    fn observe(&mut self, evidence: &mut Evidence, detail: Detail) -> impl Future<Output = Result<()>>;

    /// Returns when something may have changed, after `limit` at the latest. May be dropped at any time.
    fn changed(&mut self, limit: Duration) -> impl Future<Output = ()>;

    /// Starts reading the output of `attempt`; `state` tells the reader how its container is, `stamps` is what becomes of the time of each line.
    fn open_log(&mut self, attempt: &AttemptRecord, state: watch::Receiver<LogState>, stamps: Stamps) -> mpsc::Receiver<LogEvent>;

    /// Ends the job as decided; succeeds also when it has already ended.
    fn end(&mut self, evidence: &Evidence, ending: &Ending) -> impl Future<Output = Result<()>>;

    /// Returns whether every pod of the job is gone or finished, waiting for it up to `limit`.
    fn settle(&mut self, evidence: &Evidence, limit: Duration) -> impl Future<Output = Result<bool>>;

    /// Pushes the deadline of a leased job forward.
    fn renew_lease(&mut self, evidence: &Evidence) -> impl Future<Output = Result<()>>;

    /// Gives up the lease, so that the job outlives this follower.
    fn drop_lease(&mut self, evidence: &Evidence) -> impl Future<Output = Result<()>>;

    /// Leaves the verdict and the last output where later commands find it. Failing is harmless.
    fn keep_verdict(&mut self, evidence: &Evidence, verdict: &Verdict, log_tail: &[u8]) -> impl Future<Output = ()>;
}
