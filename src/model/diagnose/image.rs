//! What kubelets and container runtimes say about images.

use jiff::Timestamp;

use super::{
    inquiry::Inquiry,
    starting::Waiting,
    wording::{between, inline, on_node},
};
use crate::model::{
    evidence::{AttemptRecord, ContainerState, EventRecord},
    reason::Reason,
    story::Cause,
};

/// What a pull that failed amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    NotFound,
    WrongPlatform,
    NotPresent,
    Unauthorized,
    Unreachable,
    Invalid,
}

/// Words of registries that do not know an image. `no such host` and the like are looked for before.
const NOT_FOUND: [&str; 6] = [": not found", "manifest unknown", "name unknown", "404 Not Found", "does not exist", "NAME_UNKNOWN"];
/// Words of registries that refuse an image.
const UNAUTHORIZED: [&str; 9] = [
    "401 Unauthorized",
    "403 Forbidden",
    "pull access denied",
    "authorization failed",
    "insufficient_scope",
    "no basic auth credentials",
    "unauthorized",
    "denied:",
    "authentication required",
];
/// Words of networks and of registries that cannot answer now.
const UNREACHABLE: [&str; 14] = [
    "dial tcp",
    "i/o timeout",
    "no such host",
    "connection refused",
    "connection reset",
    "TLS handshake",
    "x509:",
    "server misbehaving",
    "context deadline exceeded",
    "Client.Timeout",
    "429 Too Many Requests",
    "toomanyrequests",
    "no space left on device",
    "server gave HTTP response",
];

/// Returns whether the reason of a waiting container is about its image.
pub(super) fn is_image_reason(reason: &str) -> bool {
    matches!(
        reason,
        "ErrImagePull"
            | "ImagePullBackOff"
            | "InvalidImageName"
            | "ErrImageNeverPull"
            | "ImageInspectError"
            | "RegistryUnavailable"
            | "SignatureValidationFailed"
    )
}

fn classify(reason: &str, text: &str) -> Failure {
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    match reason {
        "InvalidImageName" => Failure::Invalid,
        "ErrImageNeverPull" => Failure::NotPresent,
        "RegistryUnavailable" => Failure::Unreachable,
        _ if text.contains("no match for platform") => Failure::WrongPlatform,
        _ if says(&UNREACHABLE) => Failure::Unreachable,
        // A registry that says "does not exist or may require authorization" does not tell which.
        _ if says(&UNAUTHORIZED) => Failure::Unauthorized,
        _ if says(&NOT_FOUND) => Failure::NotFound,
        _ => Failure::Unreachable,
    }
}

/// Returns the cause of an image that cannot be had.
pub(super) fn cause(inquiry: &Inquiry<'_>, waiting: &Waiting<'_>) -> Cause {
    let event = failed_pull(inquiry, waiting.attempt);
    // Kubelets before 1.31 say only "Back-off pulling image"; the event has the reason.
    let silent = !waiting.message.contains(": ");
    let text = event.filter(|_| silent).map_or(waiting.message, |event| event.message.as_str());
    let image = image_name(inquiry, waiting, text);
    let of = waiting.of_container();
    let failure = classify(waiting.reason, text);
    let (reason, summary, next) = match failure {
        Failure::NotFound => (
            Reason::ImageNotFound,
            format!("the registry does not have image `{image}`{of}"),
            vec!["correct `image` in the instance map or with `--image`, or push it".to_owned()],
        ),
        Failure::WrongPlatform => (
            Reason::ImageNotFound,
            format!("image `{image}`{of} is not built for the node's processor"),
            vec!["push it for the architecture of the size's machine as well".to_owned()],
        ),
        Failure::NotPresent => (
            Reason::ImageNotFound,
            format!("image `{image}`{of} is not on the node, and must not be pulled"),
            vec!["load it onto the node, or let the `template` pull it (imagePullPolicy)".to_owned()],
        ),
        Failure::Unauthorized => (Reason::ImageUnauthorized, format!("the registry refuses image `{image}`{of}"), unauthorized(inquiry)),
        Failure::Unreachable => (Reason::ImageUnreachable, format!("image `{image}`{of} cannot be pulled: {}", last_words(text)), Vec::new()),
        Failure::Invalid => (
            Reason::ImageInvalid,
            format!("`{image}`{of} is not the name of an image"),
            vec!["correct `image` in the instance map or with `--image`".to_owned()],
        ),
    };
    Cause::new(reason, summary)
        .proven_by([waiting.proof()])
        .proven_by(event.filter(|_| silent).map(EventRecord::proof))
        .advising(next)
        .advising(inquiry.describe(waiting.attempt))
        .hopeless(failure != Failure::Unreachable)
}

fn unauthorized(inquiry: &Inquiry<'_>) -> Vec<String> {
    let secrets = inquiry.plan().map(|plan| plan.image_pull_secrets.join("`, `")).filter(|secrets| !secrets.is_empty());
    let secret = match secrets {
        Some(secrets) => format!("see whether pull secret `{secrets}` is still valid for this repository"),
        None => "name a pull secret in `image_pull_secrets` of the instance map".to_owned(),
    };
    vec![
        secret,
        "or let the node's role read the repository; and see that the image's name is right: registries refuse what they do not have".to_owned(),
    ]
}

/// Returns the newest event about a pull that failed.
fn failed_pull<'a>(inquiry: &Inquiry<'a>, attempt: &'a AttemptRecord) -> Option<&'a EventRecord> {
    let failed = |event: &&EventRecord| matches!(event.reason.as_str(), "Failed" | "InspectFailed") && event.message.contains("image");
    inquiry.events("Pod", &attempt.pod).filter(failed).rfind(|event| event.message.contains(": "))
}

/// Returns since when pulls have failed: the first event about it, else since the container was seen waiting for that.
pub(super) fn failing_since(inquiry: &Inquiry<'_>, attempt: &AttemptRecord) -> Option<Timestamp> {
    let pulls = |event: &&EventRecord| matches!(event.reason.as_str(), "Failed" | "InspectFailed" | "BackOff") && event.message.contains("image");
    let first = inquiry.events("Pod", &attempt.pod).filter(pulls).filter_map(|event| event.first.or(event.last)).min();
    let states = std::iter::once(&attempt.container).chain(attempt.others.values());
    let seen = states.filter_map(|state| match state {
        ContainerState::Waiting { reason, since, .. } if is_image_reason(reason) => *since,
        _ => None,
    });
    first.into_iter().chain(seen.min()).min()
}

/// Returns the image's name: quoted in the message, else the plan's.
fn image_name<'a>(inquiry: &Inquiry<'a>, waiting: &Waiting<'a>, text: &'a str) -> &'a str {
    let quoted = [("image \"", "\""), ("reference \"", "\""), ("to parse image name \"", "\"")];
    let named = quoted.iter().find_map(|(start, end)| between(text, start, end).or_else(|| between(waiting.message, start, end)));
    let planned = inquiry.plan().map(|plan| plan.image.as_str()).filter(|image| !image.is_empty() && waiting.container.is_none());
    planned.or(named).unwrap_or("?")
}

/// Returns the end of a chain of causes, which is where the trouble is.
fn last_words(text: &str) -> String {
    let text = inline(text);
    let start =
        ["dial tcp", "x509:", "unexpected status", "toomanyrequests", "failed to resolve reference"].iter().filter_map(|mark| text.find(mark)).min();
    text[start.unwrap_or(0)..].to_owned()
}

/// Returns the cause when the kubelet says that it is pulling.
pub(super) fn pulling(inquiry: &Inquiry<'_>, attempt: &AttemptRecord) -> Option<Cause> {
    let event = inquiry.events("Pod", &attempt.pod).rfind(|event| matches!(event.reason.as_str(), "Pulling" | "Pulled"))?;
    if event.reason == "Pulled" {
        return None;
    }
    let image = between(&event.message, "image \"", "\"").unwrap_or("?");
    Some(Cause::new(Reason::ImagePulling, format!("image `{image}` is being pulled{}", on_node(attempt))).proven_by([event.proof()]))
}
