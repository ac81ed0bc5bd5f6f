//! One retry policy around every unary call.

use std::{future::Future, time::Duration};

use kube::core::Status;
use tokio::time::Instant;

pub use self::pace::{MOST_PER_SECOND, Pace};
pub(crate) use self::trouble::Trouble;
use crate::{
    environment,
    kubernetes::{
        connect::{
            Cluster,
            door::{Door, LONGEST_HOLD, Origin},
        },
        error::cause::{self, Cause, Overdue, Problem},
    },
};

mod pace;
mod trouble;

/// The first pause, on average half of it; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// How long one try of a creation or change may take: longer than a connection may take to come about, because an
/// end of ours at that point would leave open whether the request was sent.
const ATTEMPT: Duration = Duration::from_secs(20);
/// How long the first read may take, or a third of the patience if that is less: a half-open connection is left soon …
const FIRST_READ: Duration = Duration::from_secs(15);
/// … and further ones: a long list gets its time.
const FURTHER_READ: Duration = Duration::from_secs(30);
/// The least time for a last try.
const LEAST_ATTEMPT: Duration = Duration::from_secs(1);

/// How a call may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// GET and LIST: as often as there is patience.
    Read,
    /// POST with a name of our own: only when it surely was not carried out; else [`CallError::Ambiguous`].
    Create,
    /// PATCH and DELETE with the UID as precondition: as often as there is patience.
    Change,
}

/// How long to repeat a call, by the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience(pub Duration);

impl Patience {
    /// While somebody waits for a command to start.
    pub const START: Self = Self(Duration::from_secs(60));
    /// For a question that somebody asks and can ask again.
    pub const ASK: Self = Self(Duration::from_secs(10));
    /// On the way out: a CI runner gives 7.5 s.
    pub const CANCEL: Self = Self(Duration::from_secs(5));
    /// For what is nice to have: one try.
    pub const ONCE: Self = Self(Duration::ZERO);
    /// While following a running job: for ever, with a line about it every 30 s.
    pub const FOLLOW: Self = Self(Duration::MAX);
}

/// Why a call failed for good.
#[derive(Debug)]
pub enum CallError {
    /// The server said no, or could not be reached within the patience; it was not carried out.
    Refused(kube::Error),
    /// The request may or may not have been carried out: look by name before repeating it.
    Ambiguous(kube::Error),
}

/// What a failed try says about a further one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// A further try would fail alike.
    Final,
    /// It was not carried out, and a further try may do better.
    NotDone,
    /// It may have been carried out, and a further try may do better.
    Unsure,
}

impl Cluster {
    /// Carries out a unary call by the retry policy. `doing` completes "while …", such as ``reading Job `x` ``.
    ///
    /// `operation` is called once for each try; what it borrows (parameters, the object) has to live outside of it.
    pub async fn call<T, F, Fut>(&self, repeat: Repeat, patience: Patience, doing: &str, mut operation: F) -> Result<T, CallError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = kube::Result<T>>,
    {
        let deadline = Instant::now().checked_add(patience.0);
        let mut unsure = false;
        for attempt in 0.. {
            self.wait_while_held(deadline, doing).await;
            match (&self.pace, repeat) {
                (Some(_), Repeat::Read) => self.turn().await,
                (Some(pace), Repeat::Create | Repeat::Change) => pace.change(),
                (None, _) => {}
            }
            let limit = attempt_limit(repeat, patience, attempt, deadline);
            let error = match self.attempt(limit, deadline, doing, &mut operation).await {
                Ok(value) => {
                    self.trouble.over(&self.notices);
                    return Ok(value);
                }
                Err(error) => error,
            };
            match self.judge(&error) {
                Verdict::Final => return Err(CallError::Refused(error)),
                Verdict::Unsure if repeat == Repeat::Create => return Err(CallError::Ambiguous(error)),
                Verdict::Unsure => unsure = repeat == Repeat::Change,
                Verdict::NotDone => {}
            }
            self.trouble.begin(&cause::cause(&error));
            let asked = self.pause_asked(&error);
            let remaining = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            // A server that wants to be left alone for longer than we have would not answer in time.
            if remaining.is_some_and(|remaining| remaining.is_zero() || asked > remaining) {
                return Err(if unsure { CallError::Ambiguous(error) } else { CallError::Refused(error) });
            }
            let pause = pause(attempt).max(asked).min(remaining.unwrap_or(Duration::MAX));
            self.waiting(deadline, doing, tokio::time::sleep(pause)).await;
        }
        unreachable!("the loop above has no end of its own")
    }

    /// Waits for as long as the server asked any call to wait: all of them hold still together. A call whose own time is over
    /// sooner does not wait; it may be the one that ends a job on the way out.
    async fn wait_while_held(&self, deadline: Option<Instant>, doing: &str) {
        let in_time = |until: &Instant| deadline.is_none_or(|deadline| *until < deadline);
        while let Some(until) = self.door.as_ref().and_then(Door::hold).filter(in_time) {
            self.waiting(deadline, doing, tokio::time::sleep_until(until)).await;
        }
    }

    /// Waits until a follower may ask again; whoever follows nothing never waits.
    pub(crate) async fn turn(&self) {
        if let Some(pace) = &self.pace {
            pace.turn().await;
        }
    }

    /// Tries once. The credential plugin has a limit of its own, before that of the call begins.
    async fn attempt<T, F, Fut>(&self, limit: Duration, deadline: Option<Instant>, doing: &str, operation: &mut F) -> kube::Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = kube::Result<T>>,
    {
        self.authenticate().await?;
        let answer = self.waiting(deadline, doing, tokio::time::timeout(limit, operation())).await;
        answer.unwrap_or_else(|_| {
            let origin = Origin { server: self.server.clone(), context: self.context.clone() };
            Err(kube::Error::Service(Box::new(Overdue { after: limit, origin })))
        })
    }

    /// Makes sure that there are credentials, for calls that have a deadline of their own.
    pub(crate) async fn authenticate(&self) -> kube::Result<()> {
        match &self.door {
            Some(door) => door.authenticate().await.map_err(kube::Error::Service),
            None => Ok(()),
        }
    }

    /// Returns whether the credential plugin has worked before, so that a failure of it may pass.
    pub(crate) fn had_credential(&self) -> bool {
        self.door.as_ref().is_some_and(Door::had_credential)
    }

    /// Waits for `future`, and says so from time to time when that takes long.
    async fn waiting<T>(&self, deadline: Option<Instant>, doing: &str, future: impl Future<Output = T>) -> T {
        let since = Instant::now();
        let mut future = std::pin::pin!(future);
        loop {
            tokio::select! {
                value = &mut future => return value,
                () = tokio::time::sleep_until(self.trouble.next_notice(since)) => self.trouble.notice(since, deadline, doing, &self.notices),
            }
        }
    }

    fn judge(&self, error: &kube::Error) -> Verdict {
        match cause::cause(error) {
            Cause::Status(status) => judge_status(status),
            // It worked before: the network is down, or somebody has to log in again and may do so meanwhile.
            Cause::Plugin(_) if self.had_credential() => Verdict::NotDone,
            Cause::Connecting(Problem::Tls(rustls::Error::InvalidCertificate(_)) | Problem::ProxyAuthentication)
            | Cause::Plugin(_)
            | Cause::Unauthorized(_)
            | Cause::Unsendable => Verdict::Final,
            Cause::Connecting(_) => Verdict::NotDone,
            // When it cannot be told whether a request was sent, it was.
            Cause::Broken(_) | Cause::Overdue(_) | Cause::Garbled => Verdict::Unsure,
        }
    }

    /// Returns how long the server asked to be left alone, up to 30 s.
    fn pause_asked(&self, error: &kube::Error) -> Duration {
        let kube::Error::Api(status) = error else { return Duration::ZERO };
        let in_header = self.door.as_ref().and_then(Door::hold).map(|until| until.saturating_duration_since(Instant::now()));
        let in_body = status.details.as_ref().map(|details| Duration::from_secs(details.retry_after_seconds.into()));
        in_header.max(in_body).unwrap_or_default().min(LONGEST_HOLD)
    }
}

fn judge_status(status: &Status) -> Verdict {
    match status.code {
        429 => Verdict::NotDone,
        409 if is_quota_conflict(status) => Verdict::NotDone,
        501 | 505 => Verdict::Final,
        408 | 500.. => Verdict::Unsure,
        _ => Verdict::Final,
    }
}

/// Returns whether two pods were being charged to one quota at the same moment: admission refuses one of them, and
/// its status looks like that of any other conflict.
fn is_quota_conflict(status: &Status) -> bool {
    status.message.contains("Operation cannot be fulfilled on resourcequota")
}

fn attempt_limit(repeat: Repeat, patience: Patience, attempt: u32, deadline: Option<Instant>) -> Duration {
    let limit = match repeat {
        Repeat::Read if attempt == 0 && patience != Patience::ONCE => FIRST_READ.min((patience.0 / 3).max(LEAST_ATTEMPT)),
        Repeat::Read => FURTHER_READ,
        Repeat::Create | Repeat::Change => ATTEMPT,
    };
    match deadline {
        Some(deadline) if patience != Patience::ONCE => limit.min(deadline.saturating_duration_since(Instant::now()).max(LEAST_ATTEMPT)),
        _ => limit,
    }
}

/// Returns the pause after a failed try: exponential, with full jitter, so that many clients do not come back together.
pub(crate) fn pause(attempt: u32) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(1 << attempt.min(10)).min(LONGEST_PAUSE);
    longest.mul_f64(f64::from(u32::from_le_bytes(environment::random())) / f64::from(u32::MAX))
}

#[cfg(test)]
pub(crate) mod script;
#[cfg(test)]
mod tests;
