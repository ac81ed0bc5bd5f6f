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

/// Returns whether the object does not exist.
#[must_use]
pub fn is_not_found(error: &CallError) -> bool {
    status(error).is_some_and(kube::core::Status::is_not_found)
}

/// Returns whether an object of this name exists already.
#[must_use]
pub fn is_already_exists(error: &CallError) -> bool {
    status(error).is_some_and(kube::core::Status::is_already_exists)
}

/// Returns whether the object has changed since it was read, or is not the one that was meant.
#[must_use]
pub fn is_conflict(error: &CallError) -> bool {
    status(error).is_some_and(|status| status.is_conflict() && !status.is_already_exists())
}

/// Returns whether RBAC or admission forbids the request.
#[must_use]
pub fn is_forbidden(error: &CallError) -> bool {
    status(error).is_some_and(kube::core::Status::is_forbidden)
}

/// Returns the API server's own words, when it answered.
#[must_use]
pub(crate) fn status(error: &CallError) -> Option<&kube::core::Status> {
    let (CallError::Refused(error) | CallError::Ambiguous(error)) = error;
    match error {
        kube::Error::Api(status) => Some(status),
        _ => None,
    }
}
