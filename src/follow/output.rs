//! The output of one attempt after the other.

use std::future::pending;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use super::{RunningJob, log_tail::LogTail};
use crate::{
    environment::now,
    error::Result,
    model::{
        evidence::{AttemptRecord, ContainerState},
        job_event::{Gap, JobEvent, LogEvent, LogState},
    },
};

/// What came out of a log.
pub(super) struct Pumped(Option<LogEvent>);

/// Carries the output home.
pub(super) struct Output {
    wanted: bool,
    open: Option<Open>,
    tail: LogTail,
    /// When output last came, by the clock of this machine.
    pub(super) last_output: Option<Timestamp>,
    /// Time of the last line, by the clock of its node.
    pub(super) last_line: Option<Timestamp>,
}

/// The log that is being read.
struct Open {
    uid: String,
    events: mpsc::Receiver<LogEvent>,
    state: watch::Sender<LogState>,
}

impl Output {
    pub(super) fn new(wanted: bool) -> Self {
        Self { wanted, open: None, tail: LogTail::default(), last_output: None, last_line: None }
    }

    /// Returns whether a log has not been read to its end yet.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Starts reading the log of `attempt`.
    pub(super) fn open<J: RunningJob>(&mut self, job: &mut J, attempt: &AttemptRecord) {
        if self.wanted {
            let (state, receiver) = watch::channel(log_state(attempt));
            self.open = Some(Open { uid: attempt.uid.clone(), events: job.open_log(attempt, receiver), state });
        }
    }

    /// Passes on how the container is.
    pub(super) fn update(&self, attempt: &AttemptRecord) {
        if let Some(open) = self.open.as_ref().filter(|open| open.uid == attempt.uid) {
            let state = log_state(attempt);
            open.state.send_if_modified(|known| std::mem::replace(known, state) != state);
        }
    }

    /// Returns the next piece; never when no log is open. May be dropped at any time.
    pub(super) async fn next(&mut self) -> Pumped {
        match &mut self.open {
            Some(open) => Pumped(open.events.recv().await),
            None => pending().await,
        }
    }

    /// Hands a piece to the view.
    pub(super) fn tell(&mut self, pumped: Pumped, view: &mut impl FnMut(JobEvent, Timestamp) -> Result<()>) -> Result<()> {
        match pumped.0 {
            Some(LogEvent::Bytes { at, bytes }) => {
                let now = now();
                self.last_output = Some(now);
                self.last_line = at.or(self.last_line);
                self.tail.push(&bytes);
                view(JobEvent::Output(bytes), now)
            }
            Some(LogEvent::Gap(gap)) => view(JobEvent::Gap(gap), now()),
            Some(LogEvent::Unavailable(why)) => {
                self.open = None;
                view(JobEvent::Gap(Gap { after: self.last_line, until: None, why }), now())
            }
            Some(LogEvent::End) | None => {
                self.open = None;
                Ok(())
            }
        }
    }

    /// Returns the last piece of all output.
    pub(super) fn tail(&self) -> Vec<u8> {
        self.tail.bytes()
    }
}

/// Returns what a log reader has to know of an attempt's container.
fn log_state(attempt: &AttemptRecord) -> LogState {
    match &attempt.container {
        ContainerState::Terminated(_) => LogState::Ended,
        _ if attempt.gone.is_some() => LogState::Gone,
        ContainerState::Running { .. } => LogState::Running,
        _ if matches!(attempt.phase.as_str(), "Failed" | "Succeeded") => LogState::Gone,
        _ => LogState::Waiting,
    }
}
