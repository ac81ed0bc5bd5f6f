//! Errors of the API server, in words for people.

use crate::{error::Error, kubernetes::retry::CallError};

/// Returns what `error` means to a user. `doing` completes "while …", such as ``creating Job `x` ``.
///
/// `kube::Error`'s own text is a Debug dump and must never be shown.
#[must_use]
pub fn explain(error: CallError, doing: &str) -> Error {
    let (CallError::Refused(error) | CallError::Ambiguous(error)) = error;
    Error::unreachable(format!("the API server did not answer while {doing}")).caused_by(error)
}
