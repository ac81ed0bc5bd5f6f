//! The one loop that watches a launched job until it ends.
//!
//! `submit`, `logs -f`, `wait` and `--local` are views of this loop: that is why they cannot disagree. It observes,
//! lets [`diagnose`] judge, carries the output home, ends the job when its own limits say so, and leaves the verdict.

mod account;
pub mod cluster;
mod flow_run;
pub mod keep;
pub mod launcher;
mod log_tail;
pub mod machine;
mod outage;
mod output;
mod session;

use std::{collections::BTreeSet, future::pending, time::Duration};

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::{
    error::Result,
    model::{evidence::Evidence, job_event::JobEvent, launch_plan::TimeLimits, story::Story},
};

pub use keep::Keep;
pub use launcher::{Detail, RunningJob};
use session::Session;

/// What a follower is asked to do from outside the loop.
#[derive(Debug)]
pub enum Control {
    /// Keep quiet until the next control comes: somebody is being asked a question. Says back when it is quiet.
    Ask(oneshot::Sender<()>),
    /// Leave; the job goes on.
    Detach,
    /// End the job as cancelled and see it end.
    Cancel {
        /// Who, for the record.
        by: String,
        /// How long to see it end.
        patience: Duration,
    },
}

/// The controls that come, one after the other.
#[derive(Debug)]
pub struct Controls {
    put_back: Option<Control>,
    sender: Option<mpsc::Receiver<Control>>,
}

impl Controls {
    /// Returns controls of which none ever comes.
    #[must_use]
    pub fn none() -> Self {
        Self { put_back: None, sender: None }
    }

    /// Returns the next one; waits for ever when nobody is left to send any. May be dropped at any time.
    pub async fn next(&mut self) -> Control {
        if let Some(control) = self.put_back.take() {
            return control;
        }
        if let Some(sender) = &mut self.sender {
            if let Some(control) = sender.recv().await {
                return control;
            }
            self.sender = None;
        }
        pending().await
    }

    /// Makes `control` the next one, for whoever can obey it.
    pub fn put_back(&mut self, control: Control) {
        self.put_back = Some(control);
    }

    /// Returns whether one was put back, and nobody has obeyed it yet.
    #[must_use]
    pub fn has_put_back(&self) -> bool {
        self.put_back.is_some()
    }

    /// Returns the one that was put back, which is not the next one any more.
    pub fn take_back(&mut self) -> Option<Control> {
        self.put_back.take()
    }
}

impl From<mpsc::Receiver<Control>> for Controls {
    fn from(sender: mpsc::Receiver<Control>) -> Self {
        Self { put_back: None, sender: Some(sender) }
    }
}

/// How to follow.
#[derive(Debug, Clone)]
pub struct FollowOptions {
    /// Whether to carry the output home.
    pub output: bool,
    /// Where to keep it, too.
    pub keep: Option<Keep>,
    /// How many attempts there were that cannot be seen any more.
    pub earlier_attempts: usize,
    /// Who follows, for the record of an end that the loop decides.
    pub follower: String,
    /// How often to renew the lease; none when the job does not live by one that is ours.
    pub lease_interval: Option<Duration>,
    /// The time limits of a flow run that this follower launched; a Job of sbrun's records its own.
    pub limits: Option<TimeLimits>,
    /// How many attempts a flow run that this follower launched may have, when that is limited: Prefect starts one that lost its machine
    /// again without a bound.
    pub most_attempts: Option<u32>,
    /// The attempts whose output has been carried home before, by the UIDs of their pods.
    pub known_attempts: BTreeSet<String>,
    /// Silence before a heartbeat, before the flow runs.
    pub heartbeat_waiting: Duration,
    /// Silence before a heartbeat, while it runs.
    pub heartbeat_running: Duration,
}

impl FollowOptions {
    /// Returns the options of a follower named `follower` that wants the output.
    #[must_use]
    pub fn new(follower: String) -> Self {
        Self {
            output: true,
            keep: None,
            earlier_attempts: 0,
            follower,
            lease_interval: None,
            limits: None,
            most_attempts: None,
            known_attempts: BTreeSet::new(),
            heartbeat_waiting: Duration::from_secs(60),
            heartbeat_running: Duration::from_secs(300),
        }
    }
}

/// How following ended.
#[derive(Debug)]
pub enum Followed {
    /// The job finished; the story has a verdict.
    Finished(Box<(Story, Evidence)>),
    /// The follower left; the job goes on.
    Detached(Box<(Story, Evidence)>),
    /// The job was told to end and is still using its grace.
    Ending(Box<(Story, Evidence)>),
}

/// Follows `job` until it ends or `controls` says to leave, and tells `view` everything that happens.
///
/// Errors come from a view that cannot write, or from a cluster that refuses to answer for good; a cluster that does not
/// answer is awaited.
pub async fn follow<J, V>(job: &mut J, evidence: Evidence, options: FollowOptions, controls: &mut Controls, view: V) -> Result<Followed>
where
    J: RunningJob,
    V: FnMut(JobEvent, Timestamp) -> Result<()>,
{
    Session::new(job, evidence, options, view).run(controls).await
}
