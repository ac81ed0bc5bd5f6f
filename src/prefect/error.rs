//! Errors of the Prefect API, in words for people: its own texts are passed on.

use std::{error::Error as StdError, io, time::Duration};

use http::StatusCode;
use hyper_util::client::legacy;
use serde_json::Value;
use tower::BoxError;

use super::settings::Settings;
use crate::error::Error;

/// Where a request was going.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) api_url: &'a str,
    pub(super) settings: &'a Settings,
}

/// Returns that no answer came in time.
pub(super) fn overdue(after: Duration) -> BoxError {
    Box::new(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", after.as_secs())))
}

/// Returns whether a further try would fail alike: a certificate does not get better, nor does a name that is none.
pub(super) fn is_final(error: &BoxError) -> bool {
    find::<rustls::Error>(error.as_ref()).is_some_and(|error| matches!(error, rustls::Error::InvalidCertificate(_)))
}

/// Returns whether no connection came about.
pub(super) fn is_unreached(error: &BoxError) -> bool {
    find::<legacy::Error>(error.as_ref()).is_some_and(legacy::Error::is_connect)
}

/// Returns what it means that there was no answer.
pub(super) fn unanswered(origin: Origin<'_>, error: &(dyn StdError + 'static), doing: &str) -> Error {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    Error::unreachable(format!("cannot reach the Prefect API at `{}` while {doing}: {innermost}", origin.api_url))
        .hinted(format!("the address is from {}", origin.settings.api_url.origin))
}

/// Returns that something answered that is no Prefect API.
pub(super) fn garbled(origin: Origin<'_>, doing: &str, error: serde_json::Error) -> Error {
    Error::unreachable(format!("the answer of `{}` is none of a Prefect API, while {doing}", origin.api_url))
        .caused_by(error)
        .hinted(format!("the address is from {}; of a self-hosted server it ends in `/api`", origin.settings.api_url.origin))
}

/// Returns what a refusal means, in the API's own words.
pub(super) fn refused(origin: Origin<'_>, status: StatusCode, body: &[u8], doing: &str) -> Error {
    let words = words(body);
    let said = words.as_deref().map_or_else(|| format!("HTTP status {}", status.as_u16()), ToOwned::to_owned);
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => unauthorized(origin, status, &said, doing),
        // With a wrong path every answer is 404; with a right one the callers have dealt with it.
        StatusCode::NOT_FOUND => {
            Error::failed(format!("the Prefect API at `{}` does not know what was asked for while {doing}: {said}", origin.api_url))
        }
        status if status.is_client_error() => Error::rejected(format!("the Prefect API refused {doing}: {said}")),
        _ => Error::unreachable(format!("the Prefect API at `{}` failed while {doing}: {said}", origin.api_url)),
    }
}

fn unauthorized(origin: Origin<'_>, status: StatusCode, said: &str, doing: &str) -> Error {
    let settings = origin.settings;
    let error = Error::not_allowed(format!("the Prefect API at `{}` does not let you in while {doing}: {said}", origin.api_url));
    match (&settings.auth_string, &settings.api_key) {
        (Some(string), _) => error.hinted(format!("the auth string is from {}", string.origin)),
        (None, Some(key)) if status == StatusCode::UNAUTHORIZED => error
            .hinted(format!("the API key is from {}, the address from {}: do they belong together?", key.origin, settings.api_url.origin))
            .hinted("a self-hosted server takes PREFECT_API_AUTH_STRING and no key"),
        (None, Some(key)) => error.hinted(format!("the API key from {} has no right to this", key.origin)),
        (None, None) => error.hinted("no key is set: PREFECT_API_KEY for Prefect Cloud, PREFECT_API_AUTH_STRING for a self-hosted server"),
    }
}

/// Returns what the API says of its refusal: `{"detail": "…"}`, a list of problems of single fields, or `{"exception_message": "…"}`.
fn words(body: &[u8]) -> Option<String> {
    let document: Value = serde_json::from_slice(body).ok()?;
    let list = document.get("exception_detail").or_else(|| document.get("detail"));
    if let Some(problems) = list.and_then(Value::as_array).filter(|problems| !problems.is_empty()) {
        return Some(problems.iter().map(problem).collect::<Vec<_>>().join("; "));
    }
    let texts = [document.get("detail"), document.get("exception_message")];
    texts.into_iter().flatten().find_map(Value::as_str).map(ToOwned::to_owned)
}

/// Returns a problem of one field, as pydantic tells it: `{"loc": ["body", "parameters"], "msg": "…"}`.
fn problem(problem: &Value) -> String {
    let path = problem["loc"].as_array().into_iter().flatten().filter(|part| *part != "body");
    let path: Vec<String> = path.map(|part| part.as_str().map_or_else(|| part.to_string(), ToOwned::to_owned)).collect();
    let message = problem["msg"].as_str().map_or_else(|| problem.to_string(), ToOwned::to_owned);
    if path.is_empty() { message } else { format!("{}: {message}", path.join(".")) }
}

/// Returns the first error of this type in a chain.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // `io::Error` keeps what it wraps to itself.
        next = error
            .downcast_ref::<io::Error>()
            .and_then(|error| error.get_ref().map(|inner| inner as &(dyn StdError + 'static)))
            .or_else(|| error.source());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_says_what_is_wrong() {
        for (body, expected) in [
            (r#"{"detail":"Deployment not found"}"#, Some("Deployment not found")),
            (r#"{"exception_message":"Unauthorized"}"#, Some("Unauthorized")),
            (
                r#"{"exception_message":"Invalid request received.","exception_detail":[{"type":"extra_forbidden","loc":["body","nam"],"msg":"Extra inputs are not permitted"}],"request_body":{}}"#,
                Some("nam: Extra inputs are not permitted"),
            ),
            (r#"{"detail":[{"loc":["body","a",0],"msg":"no"},{"loc":["body"],"msg":"bad"}]}"#, Some("a.0: no; bad")),
            ("<html>", None),
            ("[]", None),
        ] {
            assert_eq!(words(body.as_bytes()).as_deref(), expected, "{body}");
        }
    }
}
