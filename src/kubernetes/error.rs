//! Errors of the API server, in words for people.

use kube::core::Status;

use self::cause::{Cause, Problem};
use crate::{
    error::Error,
    kubernetes::{
        connect::door::{Origin, Unauthorized},
        credential::{PluginError, PluginFailure},
        retry::CallError,
    },
};

pub(crate) mod cause;
mod status;

/// Returns what `error` means to a user. `doing` completes "while …", such as ``creating Job `x` ``.
///
/// `kube::Error`'s own text is a Debug dump and must never be shown.
#[must_use]
#[expect(clippy::needless_pass_by_value, reason = "an explained error is done with, and `map_err` hands it over")]
pub fn explain(error: CallError, doing: &str) -> Error {
    let ambiguous = matches!(error, CallError::Ambiguous(_));
    let (CallError::Refused(error) | CallError::Ambiguous(error)) = &error;
    let origin = cause::origin(error);
    let explained = match cause::cause(error) {
        Cause::Status(status) => status::explain(status, doing),
        Cause::Unauthorized(unauthorized) => explain_unauthorized(unauthorized, doing),
        Cause::Plugin(plugin) => explain_plugin(plugin, doing),
        Cause::Overdue(after) => {
            Error::unreachable(format!("{} did not answer within {} s while {doing}", server(origin), after.as_secs())).with_hints(check(origin))
        }
        Cause::Connecting(problem) => explain_problem(&problem, origin, doing),
        Cause::Broken(problem) => {
            Error::unreachable(format!("the connection to {} broke while {doing}: {problem}", server(origin))).with_hints(check(origin))
        }
        Cause::Garbled => Error::unreachable(format!("the answer of {} is not JSON, while {doing}", server(origin)))
            .hinted("is there a proxy or a login page in between? see `HTTPS_PROXY`, `NO_PROXY` and the kubeconfig's `proxy-url`"),
        Cause::Unsendable => Error::internal(format!("the request could not be made while {doing}")),
    };
    if ambiguous { explained.hinted("the server may have carried it out all the same: look before you repeat it") } else { explained }
}

fn server(origin: Option<&Origin>) -> String {
    match origin {
        Some(origin) if !origin.server.is_empty() => format!("the API server at `{}`", origin.server),
        _ => "the API server".to_owned(),
    }
}

fn check(origin: Option<&Origin>) -> Option<String> {
    let context = origin?.context.as_ref()?;
    Some(format!("the kubeconfig's context is `{context}`; `kubectl --context {context} cluster-info` asks the same server"))
}

fn explain_problem(problem: &Problem<'_>, origin: Option<&Origin>, doing: &str) -> Error {
    let error = Error::unreachable(format!("cannot reach {} while {doing}: {problem}", server(origin)));
    let error = match problem {
        Problem::Tls(rustls::Error::InvalidCertificate(_)) => {
            error.hinted("the kubeconfig's `certificate-authority-data` has to fit the server; `aws eks update-kubeconfig` writes it anew")
        }
        Problem::Unresolved => error.hinted("is the cluster gone, or is a VPN needed?"),
        Problem::ProxyAuthentication => error.hinted("put them into the proxy's address: `http://user:password@host:3128`"),
        _ => error,
    };
    error.with_hints(check(origin))
}

fn explain_unauthorized(unauthorized: &Unauthorized, doing: &str) -> Error {
    let error = Error::not_allowed(format!("{} does not accept the credentials, while {doing}", server(Some(&unauthorized.origin))));
    let context = unauthorized.origin.context.as_deref();
    let error = match &unauthorized.plugin {
        Some(plugin) => {
            error.hinted(format!("the credential plugin `{plugin}` was run anew, to no avail: does it use the right account or profile?"))
        }
        None if unauthorized.anonymous => error.hinted("the kubeconfig's user has no credentials"),
        None => error.hinted("they have expired, or belong to another cluster: log in again"),
    };
    if let Some(context) = context { error.hinted(format!("the kubeconfig's context is `{context}`")) } else { error }
}

fn explain_plugin(plugin: &PluginError, doing: &str) -> Error {
    let error = Error::not_allowed(format!("{plugin}, while {doing}"));
    let error = if plugin.stderr.is_empty() { error } else { error.caused_by(anyhow::anyhow!("{}", plugin.stderr)) };
    match &plugin.failure {
        PluginFailure::Missing { install_hint: Some(hint) } => error.hinted(hint.trim()),
        PluginFailure::Missing { install_hint: None } => error.hinted("install it, or put it on the `PATH`"),
        PluginFailure::TimedOut(_) => error.hinted("it may be waiting for somebody to log in: run it, or log in, in a terminal of its own"),
        PluginFailure::Ended(_) | PluginFailure::Unusable(_) | PluginFailure::NotStarted(_) => {
            error.hinted("log in again, for instance with `aws sso login`; `kubectl get pods` shows whether that helped")
        }
    }
}

/// Returns whether an error's text comes from something other than an API server: a proxy, a load balancer, a page.
pub(crate) fn is_foreign(status: &Status) -> bool {
    // kube's own words for a body that is no Status.
    status.reason == "Failed to parse error data"
}

/// Returns whether the object does not exist.
#[must_use]
pub fn is_not_found(error: &CallError) -> bool {
    status(error).is_some_and(Status::is_not_found)
}

/// Returns whether an object of this name exists already.
#[must_use]
pub fn is_already_exists(error: &CallError) -> bool {
    status(error).is_some_and(Status::is_already_exists)
}

/// Returns whether the object has changed since it was read, or is not the one that was meant.
#[must_use]
pub fn is_conflict(error: &CallError) -> bool {
    status(error).is_some_and(|status| status.is_conflict() && !status.is_already_exists())
}

/// Returns whether RBAC or admission forbids the request.
#[must_use]
pub fn is_forbidden(error: &CallError) -> bool {
    status(error).is_some_and(Status::is_forbidden)
}

/// Returns whether there was an answer, but none that can be read.
#[must_use]
pub(crate) fn is_garbled(error: &CallError) -> bool {
    let (CallError::Refused(error) | CallError::Ambiguous(error)) = error;
    matches!(cause::cause(error), Cause::Garbled)
}

/// Returns the API server's own words, when it answered.
#[must_use]
pub(crate) fn status(error: &CallError) -> Option<&Status> {
    let (CallError::Refused(error) | CallError::Ambiguous(error)) = error;
    match error {
        kube::Error::Api(status) => Some(status),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
