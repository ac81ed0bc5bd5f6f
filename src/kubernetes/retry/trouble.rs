//! What is said while the API server does not answer: one voice for all calls of a cluster.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, tz::TimeZone};
use tokio::time::Instant;

use crate::{
    environment,
    kubernetes::{
        connect::Notices,
        error::cause::{Cause, UNANSWERED},
    },
};

/// Shorter troubles are not worth a line.
const QUIET: Duration = Duration::from_secs(2);
/// Between two lines.
const BETWEEN: Duration = Duration::from_secs(30);

/// Since when calls fail, and what has been said about it.
#[derive(Debug, Default)]
pub(crate) struct Trouble(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The first failure since the last success.
    failing: Option<Instant>,
    /// The newest cause: the start of a sentence, and a few words.
    cause: Option<(&'static str, String)>,
    /// When the last line was written, and whether the trouble that it was about is over.
    said: Option<Instant>,
    announced: bool,
}

impl State {
    /// Returns when the next line is due for a call that has been waiting since `began`.
    fn due(&self, began: Instant) -> Instant {
        let due = self.failing.map_or(began, |since| since.min(began)) + QUIET;
        self.said.map_or(due, |said| due.max(said + BETWEEN))
    }
}

impl Trouble {
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that a call failed and will be repeated.
    pub(super) fn begin(&self, cause: &Cause<'_>) {
        self.with(|state| {
            state.failing.get_or_insert_with(Instant::now);
            state.cause = Some((cause.complaint(), cause.to_string()));
        });
    }

    /// Notes that a call succeeded.
    pub(super) fn over(&self, notices: &Notices) {
        let ended = self.with(|state| {
            state.cause = None;
            let since = state.failing.take();
            std::mem::take(&mut state.announced).then_some(since).flatten()
        });
        if let Some(since) = ended {
            notices(format!("the API server answers again, after {} s", since.elapsed().as_secs()));
        }
    }

    /// Returns when the next line is due for a call that has been waiting since `began`.
    pub(super) fn next_notice(&self, began: Instant) -> Instant {
        self.with(|state| state.due(began))
    }

    /// Writes a line, unless another call that waits at the same time has just done so.
    pub(super) fn notice(&self, began: Instant, deadline: Option<Instant>, doing: &str, notices: &Notices) {
        let due = self.with(|state| {
            if Instant::now() < state.due(began) {
                return None;
            }
            state.said = Some(Instant::now());
            state.announced = true;
            let since = state.failing.get_or_insert(began);
            *since = (*since).min(began);
            Some((*since, state.cause.clone()))
        });
        let Some((since, cause)) = due else { return };
        let (complaint, cause) = cause.unwrap_or((UNANSWERED, String::new()));
        let cause = if cause.is_empty() { cause } else { format!(" ({cause})") };
        let until = deadline.and_then(until).map_or_else(|| "still trying".to_owned(), |time| format!("trying until {time}"));
        notices(format!("{complaint} for {} s{cause} while {doing}; {until}", since.elapsed().as_secs()));
    }
}

/// Returns a moment as people here read a clock; none when it is over a day away.
fn until(deadline: Instant) -> Option<String> {
    let left = SignedDuration::try_from(deadline.saturating_duration_since(Instant::now())).ok()?;
    let time = environment::now().checked_add(left).ok().filter(|_| left < SignedDuration::from_hours(24))?;
    Some(time.to_zoned(TimeZone::system()).strftime("%H:%M:%S").to_string())
}
