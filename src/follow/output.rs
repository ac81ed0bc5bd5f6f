//! The output of one attempt after the other.

use std::future::pending;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use super::{
    RunningJob,
    keep::{Keep, Keeper},
    log_tail::LogTail,
};
use crate::{
    environment::now,
    error::Result,
    model::{
        evidence::{AttemptRecord, ContainerState, Evidence},
        job_event::{Gap, JobEvent, LogEvent, LogState},
        log_resume::Stamps,
    },
};

/// What came out of a log.
pub(super) struct Pumped(Option<LogEvent>);

/// Carries the output home.
pub(super) struct Output {
    wanted: bool,
    open: Option<Open>,
    keeper: Keeper,
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
    /// Whether the container may have written something.
    may_have_run: bool,
}

impl Output {
    pub(super) fn new(wanted: bool, keep: Option<Keep>) -> Self {
        Self { wanted, open: None, keeper: Keeper::new(keep), tail: LogTail::default(), last_output: None, last_line: None }
    }

    /// Returns whether a log has not been read to its end yet.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Returns whether output may still come: a log is open, and its container has run or may have.
    pub(super) fn is_unread(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.may_have_run)
    }

    /// Starts reading the log of `attempt`.
    pub(super) fn open<J: RunningJob>(&mut self, job: &mut J, evidence: &Evidence, attempt: &AttemptRecord) {
        if self.wanted {
            self.keeper.turn_to(evidence, attempt);
            let (state, receiver) = watch::channel(log_state(attempt));
            let events = job.open_log(attempt, receiver, if self.keeper.is_on() { Stamps::Beside } else { Stamps::Dropped });
            self.open = Some(Open { uid: attempt.uid.clone(), events, state, may_have_run: may_have_run(attempt) });
        }
    }

    /// Passes on how the container is.
    pub(super) fn update(&mut self, attempt: &AttemptRecord) {
        self.keeper.update(attempt);
        if let Some(open) = self.open.as_mut().filter(|open| open.uid == attempt.uid) {
            open.may_have_run = may_have_run(attempt);
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
        if let Some(notice) = pumped.0.as_ref().and_then(|event| self.keeper.record(event)) {
            view(JobEvent::Notice(notice), now())?;
        }
        match pumped.0 {
            Some(LogEvent::Bytes { at, bytes, .. }) => {
                let now = now();
                self.last_output = Some(now);
                self.last_line = at.or(self.last_line);
                self.tail.push(&bytes);
                view(JobEvent::Output(bytes), now)
            }
            Some(LogEvent::Gap(gap)) => view(JobEvent::Gap(gap), now()),
            Some(LogEvent::Unavailable(why)) => {
                let ran = self.open.take().is_some_and(|open| open.may_have_run);
                if ran { view(JobEvent::Gap(Gap { after: self.last_line, until: None, why }), now()) } else { Ok(()) }
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

/// Returns whether the container of an attempt may have written something: it was seen running or ended, or it has a node and was
/// not seen last waiting for what keeps it from starting.
fn may_have_run(attempt: &AttemptRecord) -> bool {
    match &attempt.container {
        ContainerState::Running { .. } | ContainerState::Terminated(_) => true,
        ContainerState::Waiting { reason, .. } => attempt.node.is_some() && matches!(reason.as_str(), "" | "ContainerCreating" | "PodInitializing"),
        ContainerState::Unknown => attempt.node.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_missing_only_where_some_may_have_been() {
        let attempt =
            |node: Option<&str>, container: ContainerState| AttemptRecord { node: node.map(Into::into), container, ..AttemptRecord::default() };
        let waiting = |reason: &str| ContainerState::Waiting { reason: reason.into(), message: String::new(), since: None };
        for (attempt, expected) in [
            (attempt(None, ContainerState::Unknown), false),
            (attempt(None, ContainerState::Running { started: None }), true),
            (attempt(Some("n1"), waiting("ErrImagePull")), false),
            (attempt(Some("n1"), waiting("ContainerCreating")), true),
            (attempt(Some("n1"), ContainerState::Unknown), true),
            (attempt(Some("n1"), ContainerState::Running { started: None }), true),
        ] {
            let (_events, receiver) = mpsc::channel(1);
            let (state, _) = watch::channel(LogState::Waiting);
            let mut output = Output::new(true, None);
            output.open = Some(Open { uid: attempt.uid.clone(), events: receiver, state, may_have_run: true });
            output.update(&attempt);
            let mut gaps = 0;
            let view = &mut |event, _| {
                gaps += usize::from(matches!(event, JobEvent::Gap(_)));
                Ok(())
            };
            output.tell(Pumped(Some(LogEvent::Unavailable("the pod is gone".into()))), view).unwrap();
            assert_eq!((gaps, output.is_open()), (usize::from(expected), false), "{attempt:?}");
        }
    }
}
