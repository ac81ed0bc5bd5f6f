//! Errors of AWS, in words for people.

use std::{error::Error as StdError, io};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_autoscaling::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

use crate::error::{Error, ErrorKind};

/// Error codes of credentials that were good once.
const EXPIRED: [&str; 4] = ["ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"];
/// Error codes of credentials that AWS does not know, or not in this region.
const UNKNOWN: [&str; 8] = [
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "MissingAuthenticationToken",
    "AuthFailure",
    "OptInRequired",
];
/// Error codes of a permission that is missing.
const DENIED: [&str; 3] = ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation"];
/// Error codes of an account that is asked too often.
const THROTTLED: [&str; 4] = ["Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"];

/// Where a request was going.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) region: Option<&'a str>,
    /// Whether the instance map named the region.
    pub(super) of_map: bool,
    /// `$AWS_PROFILE`.
    pub(super) profile: Option<&'a str>,
}

/// Why there is no way to the account, whatever one asks.
#[derive(Debug, Clone)]
pub(super) struct Closed {
    kind: ErrorKind,
    message: String,
    cause: Option<String>,
    hint: String,
}

/// What became of a call.
pub(super) enum Explained {
    /// The next call would fail alike.
    Closed(Closed),
    /// This one failed.
    Refused(Error),
}

impl From<Closed> for Error {
    fn from(closed: Closed) -> Self {
        Self::new(closed.kind, closed.message).caused_by_all(closed.cause).hinted(closed.hint)
    }
}

impl Closed {
    pub(super) fn without_region() -> Self {
        Self {
            kind: ErrorKind::Unreachable,
            message: "the node groups cannot be looked up in AWS: no region is known".to_owned(),
            cause: None,
            hint: "set `region` under `cluster` in the instance map, or AWS_REGION".to_owned(),
        }
    }

    fn without_credentials(message: impl Into<String>, cause: Option<String>, hint: impl Into<String>) -> Self {
        let message = format!("the node groups cannot be looked up in AWS: {}", message.into());
        Self { kind: ErrorKind::NotAllowed, message, cause, hint: hint.into() }
    }

    fn unreachable(origin: &Origin<'_>, problem: &str) -> Self {
        let region = origin.region.unwrap_or_default();
        let from = if origin.of_map { "the instance map's" } else { "that of the AWS configuration" };
        Self {
            kind: ErrorKind::Unreachable,
            message: format!("AWS Auto Scaling in region `{region}` cannot be reached: {problem}"),
            cause: None,
            hint: format!("the region is {from}; is it right, and is there a way to AWS from here?"),
        }
    }
}

/// Returns what `error` means to a user. `action` is what IAM calls the request.
pub(super) fn explain<E>(error: &SdkError<E, HttpResponse>, action: &str, origin: &Origin<'_>) -> Explained
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    if let Some(credentials) = find::<CredentialsError>(error) {
        return Explained::Closed(explain_credentials(credentials, origin));
    }
    match error {
        SdkError::ServiceError(refused) if refused.err().code().is_some() => explain_code(refused.err(), action, origin),
        SdkError::TimeoutError(_) => Explained::Refused(
            Error::unreachable(format!("AWS Auto Scaling in region `{}` did not answer in time", origin.region.unwrap_or_default()))
                .hinted("is the network slow, or a proxy in between? see `HTTPS_PROXY` and `NO_PROXY`"),
        ),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => Explained::Closed(Closed::unreachable(origin, "connection timed out")),
        SdkError::DispatchFailure(_) => Explained::Closed(Closed::unreachable(origin, &problem(error))),
        SdkError::ConstructionFailure(_) => {
            let message = "the AWS configuration cannot be used";
            Explained::Closed(Closed::without_credentials(message, Some(innermost(error)), "`aws configure list` shows it"))
        }
        _ => Explained::Refused(
            Error::unreachable(format!("the answer of AWS Auto Scaling in region `{}` is none that it gives", origin.region.unwrap_or_default()))
                .hinted("is there a proxy or a login page in between, or another address in `AWS_ENDPOINT_URL`?"),
        ),
    }
}

fn explain_credentials(error: &CredentialsError, origin: &Origin<'_>) -> Closed {
    let profile = origin.profile.map(|profile| format!(" --profile {profile}")).unwrap_or_default();
    let log_in = format!("log in with `aws sso login{profile}`, or choose another profile with AWS_PROFILE");
    let cause = Some(innermost(error)).filter(|text| *text != error.to_string());
    match error {
        CredentialsError::CredentialsNotLoaded(_) => Closed::without_credentials("there are no AWS credentials", None, log_in),
        CredentialsError::ProviderTimedOut(_) => Closed::without_credentials("no AWS credentials came in time", None, log_in),
        CredentialsError::InvalidConfiguration(_) => {
            Closed::without_credentials("the AWS configuration cannot be used", cause, "`aws configure list` shows it")
        }
        _ => Closed::without_credentials("the AWS credentials cannot be used: they may have ended", cause, log_in),
    }
}

fn explain_code<E: ProvideErrorMetadata>(error: &E, action: &str, origin: &Origin<'_>) -> Explained {
    let (code, words) = (error.code().unwrap_or_default(), error.message().unwrap_or_default());
    let said = Some(words.to_owned()).filter(|words| !words.is_empty());
    let profile = origin.profile.map(|profile| format!(" --profile {profile}")).unwrap_or_default();
    let region = origin.region.unwrap_or_default();
    if EXPIRED.contains(&code) {
        return Explained::Closed(Closed::without_credentials(
            "the AWS credentials have ended",
            said,
            format!("log in again: `aws sso login{profile}`"),
        ));
    }
    if UNKNOWN.contains(&code) {
        let hint = format!("`aws sts get-caller-identity{profile}` shows whose they are; is region `{region}` enabled, and the clock right?");
        return Explained::Closed(Closed::without_credentials("AWS does not accept the credentials", said, hint));
    }
    Explained::Refused(if DENIED.contains(&code) {
        let who = words.strip_prefix("User: ").and_then(|rest| rest.split_once(" is not authorized")).map_or("you", |(who, _)| who);
        Error::not_allowed(format!("{who} may not `autoscaling:{action}` in AWS"))
            .caused_by_all(words.split_once(" because ").map(|(_, why)| why.to_owned()))
            .hinted("`sbrun setup iam-users` prints the policy that allows it")
    } else if THROTTLED.contains(&code) {
        Error::unreachable(format!("AWS asks for fewer requests ({code})")).hinted("others in the account ask as well; try again later")
    } else if code == "ValidationError" && words.contains("name not found") {
        Error::failed(format!("AWS has no such Auto Scaling group in region `{region}`")).caused_by_all(said)
    } else {
        Error::unreachable(format!("AWS Auto Scaling in region `{region}` refused `{action}`: {code}")).caused_by_all(said)
    })
}

/// Returns what happened to a connection.
fn problem(error: &(dyn StdError + 'static)) -> String {
    // The resolver's error type is kept private; its words are all there is to know it by.
    if chain(error).any(|error| error.to_string() == "dns error") {
        return "its name cannot be resolved".to_owned();
    }
    match find::<io::Error>(error).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => "connection refused".to_owned(),
        Some(io::ErrorKind::TimedOut) => "connection timed out".to_owned(),
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::UnexpectedEof) => "connection closed".to_owned(),
        _ => innermost(error),
    }
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    chain(error).find_map(|error| error.downcast_ref())
}
