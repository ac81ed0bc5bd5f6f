//! What kubelets say about Secrets, ConfigMaps, users and volumes.

use super::{
    inquiry::Inquiry,
    starting::Waiting,
    wording::{between, inline},
};
use crate::model::{
    evidence::{AttemptRecord, EventRecord},
    reason::Reason,
    story::Cause,
};

/// What a pod asks for and does not find.
#[derive(Debug, PartialEq, Eq)]
struct Missing {
    reason: Reason,
    /// Its name; none when the kubelet names only the volume.
    name: Option<String>,
    volume: Option<String>,
    key: Option<String>,
}

/// Returns the cause of a container that the kubelet cannot make from its configuration.
pub(super) fn cause(inquiry: &Inquiry<'_>, waiting: &Waiting<'_>) -> Cause {
    let of = waiting.of_container();
    let text = waiting.message;
    if let Some(missing) = read_missing(text) {
        return missing_cause(inquiry, &missing, &of).proven_by([waiting.proof()]);
    }
    let root = text.contains("image will run as root") || text.contains("non-numeric user");
    if root || text.contains("runAsNonRoot and container will run as root") {
        let summary = format!("the image would run as root or as a user without a number, and the pod must not run as root{of}");
        let next = ["set `run_as_user` in the instance map to a number, such as 65532".to_owned()];
        return Cause::new(Reason::ConfigRunAsRoot, summary).proven_by([waiting.proof()]).advising(next).hopeless(true);
    }
    let words = if text.is_empty() { waiting.reason.to_owned() } else { inline(text) };
    Cause::new(Reason::ConfigOther, format!("the kubelet cannot start the container{of}: {words}"))
        .proven_by([waiting.proof()])
        .advising(inquiry.describe(waiting.attempt))
}

/// Returns the cause when the newest word about a volume is that it cannot be mounted.
pub(super) fn failed_mount(inquiry: &Inquiry<'_>, attempt: &AttemptRecord) -> Option<Cause> {
    let told = ["FailedMount", "FailedAttachVolume", "FailedMapVolume", "SuccessfulAttachVolume", "Pulling", "Pulled", "Created", "Started"];
    let event = inquiry.pod_event(attempt, &told).filter(|event| event.reason.starts_with("Failed"))?;
    // The kubelet says "timed out waiting for the condition" every two minutes; the first word says why.
    let failures = |event: &&EventRecord| event.reason.starts_with("Failed") && told.contains(&event.reason.as_str());
    let telling = inquiry.events("Pod", &attempt.pod).filter(failures).rfind(|event| read_missing(&event.message).is_some()).unwrap_or(event);
    if let Some(missing) = read_missing(&telling.message) {
        return Some(missing_cause(inquiry, &missing, "").proven_by([telling.proof()]));
    }
    let volume = between(&event.message, "volume \"", "\"").map_or_else(|| "a volume".to_owned(), |volume| format!("volume `{volume}`"));
    let verb = if event.reason == "FailedAttachVolume" { "attached" } else { "mounted" };
    Some(
        Cause::new(Reason::VolumeMount, format!("{volume} cannot be {verb}: {}", inline(&event.message)))
            .proven_by([event.proof()])
            .advising(inquiry.describe(attempt)),
    )
}

fn missing_cause(inquiry: &Inquiry<'_>, missing: &Missing, of: &str) -> Cause {
    let kind = if missing.reason == Reason::ConfigSecretMissing { "Secret" } else { "ConfigMap" };
    let resource = kind.to_lowercase();
    let namespace = inquiry.job().map_or("", |job| job.namespace.as_str());
    let object = match (&missing.name, &missing.volume) {
        (Some(name), _) => format!("the {kind} `{name}`"),
        (None, volume) => format!("the {kind} of volume `{}`", volume.as_deref().unwrap_or("?")),
    };
    let summary = match &missing.key {
        Some(key) => format!("{object} has no key `{key}`{of}"),
        None => format!("{object} does not exist in namespace `{namespace}`{of}"),
    };
    let command = missing.name.as_ref().filter(|_| missing.key.is_some()).map(|name| format!("describe {resource} {name}"));
    let next = format!("create it, and the job goes on by itself; or correct the name of the {kind} where the job is submitted");
    Cause::new(missing.reason, summary).advising([next]).advising(inquiry.kubectl(&command.unwrap_or_else(|| format!("get {resource}s"))))
}

/// Reads the kubelet's words about a Secret or ConfigMap, from environment variables and from volumes.
fn read_missing(text: &str) -> Option<Missing> {
    let missing = |reason, name: &str, key: Option<&str>| {
        let name = Some(name.to_owned());
        Some(Missing { reason, name, volume: None, key: key.map(ToOwned::to_owned) })
    };
    for (reason, kind) in [(Reason::ConfigSecretMissing, "Secret"), (Reason::ConfigConfigMapMissing, "ConfigMap")] {
        // couldn't find key TOKEN in Secret flows/api
        let end = format!(" in {kind} ");
        if let Some((key, place)) = text.split_once("couldn't find key ").and_then(|(_, rest)| rest.split_once(&end)) {
            let name = place.split_whitespace().next().unwrap_or_default();
            return missing(reason, name.rsplit('/').next().unwrap_or(name), Some(key));
        }
        // secret "api" not found; configmap "api" not found
        let start = format!("{} \"", kind.to_lowercase());
        if let Some(name) = between(text, &start, "\" not found") {
            return missing(reason, name.rsplit('"').next().unwrap_or(name), None);
        }
    }
    // references non-existent secret key: TOKEN; references non-existent config key: TOKEN
    for (reason, mark) in [
        (Reason::ConfigSecretMissing, "references non-existent secret key: "),
        (Reason::ConfigConfigMapMissing, "references non-existent config key: "),
    ] {
        if let Some((before, key)) = text.split_once(mark) {
            let volume = between(before, "volume \"", "\"").map(ToOwned::to_owned);
            return Some(Missing { reason, name: None, volume, key: Some(inline(key)) });
        }
    }
    None
}
