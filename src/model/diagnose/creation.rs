//! Why there is no pod: quota, Pod Security, admission, service account.

use jiff::Timestamp;

use super::{
    inquiry::{Inquiry, after},
    wording::{between, inline, shortened},
};
use crate::model::{
    evidence::EventRecord,
    quantity::{Cpu, Memory},
    reason::Reason,
    story::{Cause, Proof},
};

/// How long the Job controller may take to look at a new Job, in seconds.
const PICKED_UP_SECONDS: i64 = 30;

/// Returns why the Job has no pod yet.
pub(super) fn causes(inquiry: &Inquiry<'_>) -> Vec<Cause> {
    let refused = refusals(inquiry);
    if !refused.is_empty() || waits_since(inquiry).is_none() {
        return refused;
    }
    let picked_up = inquiry.job().is_some_and(|job| job.started.is_some());
    let summary = if picked_up { "the pod is not created yet" } else { "the cluster's Job controller has not looked at the Job yet" };
    vec![Cause::new(Reason::SchedulingWaiting, summary)]
}

/// Returns since when the Job waits for its first pod: since its controller took it up, or should have.
pub(super) fn waits_since(inquiry: &Inquiry<'_>) -> Option<Timestamp> {
    let job = inquiry.job()?;
    job.started.or(job.created.filter(|created| after(*created, PICKED_UP_SECONDS) <= inquiry.now))
}

/// Returns what refused the newest pod that the Job controller tried to create since the last attempt.
pub(super) fn refusals(inquiry: &Inquiry<'_>) -> Vec<Cause> {
    let since = inquiry.last_attempt().and_then(|attempt| attempt.created);
    let newer = |event: &&EventRecord| since.is_none_or(|since| event.seen().is_none_or(|seen| seen > since));
    let events = inquiry.events("Job", inquiry.name()).filter(|event| event.reason == "FailedCreate").filter(newer);
    events.max_by_key(|event| event.seen()).map(|event| refusal(inquiry, event)).into_iter().collect()
}

fn refusal(inquiry: &Inquiry<'_>, event: &EventRecord) -> Cause {
    let message = event.message.as_str();
    let cause = if message.contains("exceeded quota") {
        over_quota(inquiry, message)
    } else if message.contains("failed quota") {
        let summary =
            format!("a quota of the namespace wants a request or limit that the pod has not: {}", inline(after_mark(message, "failed quota: ")));
        let next = "set it in the size's `template`, or give the namespace a LimitRange with defaults".to_owned();
        Cause::new(Reason::RejectedQuota, summary).advising([next]).hopeless(true)
    } else if message.contains("violates PodSecurity") {
        let words = inline(after_mark(message, "violates PodSecurity "));
        let cause = Cause::new(Reason::RejectedPodSecurity, format!("the namespace's Pod Security refuses the pod: {words}"));
        let next = ["set the fields that it names in the size's `template` (or `run_as_user`), in the instance map".to_owned()];
        cause.advising(next).hopeless(true)
    } else if message.contains("error looking up service account") || message.contains("serviceaccount \"") {
        no_service_account(inquiry, message)
    } else {
        not_admitted(message)
    };
    cause.proven_by([event.proof()])
}

fn not_admitted(message: &str) -> Cause {
    let words = inline(after_mark(after_mark(message, "Error creating: "), " is forbidden: "));
    // An admission webhook that does not answer may answer later; one that denies will deny again.
    let denied = message.contains("denied") || message.contains("is forbidden") || message.contains("is invalid");
    let hopeless = denied && !message.contains("failed calling webhook") && !message.contains("timed out");
    let next = match (hopeless, message.contains("webhook")) {
        (true, _) => Some("change what the policy names, or ask whoever owns it"),
        (false, true) => Some("see whether the admission webhook of the cluster answers"),
        (false, false) => None,
    };
    let cause = Cause::new(Reason::RejectedAdmission, format!("the pod is not admitted: {words}"));
    cause.advising(next.map(ToOwned::to_owned)).hopeless(hopeless)
}

fn no_service_account(inquiry: &Inquiry<'_>, message: &str) -> Cause {
    let asked = inquiry.plan().and_then(|plan| plan.service_account.as_deref());
    let name = between(message, "serviceaccount \"", "\"").or(asked).unwrap_or("default");
    let namespace = inquiry.job().map_or("", |job| job.namespace.as_str());
    Cause::new(Reason::ConfigServiceAccountMissing, format!("service account `{name}` does not exist in namespace `{namespace}`"))
        .advising(inquiry.kubectl(&format!("create serviceaccount {name}")))
        .advising(["or correct `service_account` in the instance map".to_owned()])
}

/// One resource of a quota, as the message has it.
struct Quota<'t> {
    resource: &'t str,
    requested: &'t str,
    used: &'t str,
    limited: &'t str,
}

/// Reads `exceeded quota: NAME, requested: a=1,b=2, used: a=3,b=4, limited: a=5,b=6`.
fn read_quota(message: &str) -> Vec<Quota<'_>> {
    fn find<'t>(list: &'t str, resource: &str) -> &'t str {
        let mut pairs = list.split(',').filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == resource).map_or("?", |(_, value)| value)
    }
    let section = |start: &str, end: &str| between(message, start, end).unwrap_or_default();
    let (requested, used) = (section("requested: ", ", used: "), section("used: ", ", limited: "));
    let limited = after_mark(message, "limited: ");
    let resources = requested.split(',').filter_map(|pair| pair.trim().split_once('='));
    resources.map(|(resource, requested)| Quota { resource, requested, used: find(used, resource), limited: find(limited, resource) }).collect()
}

impl Quota<'_> {
    fn words(&self, never: bool) -> String {
        let Quota { resource, requested, used, limited } = self;
        if never {
            format!("{resource} asks {requested}, the quota is {limited}")
        } else {
            format!("{resource} asks {requested}, {used} of {limited} are in use")
        }
    }

    /// Returns whether even an empty quota would be too small.
    fn is_below_request(&self) -> bool {
        if self.resource.contains("cpu") {
            let (requested, limited) = (self.requested.parse::<Cpu>(), self.limited.parse::<Cpu>());
            matches!((requested, limited), (Ok(requested), Ok(limited)) if requested > limited)
        } else {
            let (requested, limited) = (self.requested.parse::<Memory>(), self.limited.parse::<Memory>());
            matches!((requested, limited), (Ok(requested), Ok(limited)) if requested > limited)
        }
    }
}

fn over_quota(inquiry: &Inquiry<'_>, message: &str) -> Cause {
    let name = between(message, "exceeded quota: ", ",").unwrap_or("?");
    let quotas = read_quota(message);
    let never = quotas.iter().any(Quota::is_below_request);
    let words: Vec<String> = quotas.iter().filter(|quota| !never || quota.is_below_request()).map(|quota| quota.words(never)).collect();
    let words = if words.is_empty() { inline(message) } else { words.join("; ") };
    let (summary, first) = if never {
        (format!("the job asks for more than quota `{name}` has: {words}"), "take a smaller `--size`, or have the quota raised".to_owned())
    } else {
        (format!("quota `{name}` has no room now: {words}"), "sbrun list --state active   (who uses it)".to_owned())
    };
    Cause::new(Reason::RejectedQuota, summary)
        .proven_by(who_uses_it(inquiry))
        .advising([first])
        .advising(inquiry.kubectl(&format!("describe resourcequota {name}")))
        .hopeless(never)
}

/// Returns the pods of the namespace that are known to take up room.
fn who_uses_it(inquiry: &Inquiry<'_>) -> Option<Proof> {
    let prefix = format!("{}/", inquiry.job()?.namespace);
    let ours = inquiry.evidence.neighbours.iter().filter(|neighbour| neighbour.pod.starts_with(&prefix));
    let pods: Vec<String> = ours.map(super::room::neighbour_words).collect();
    (!pods.is_empty()).then(|| Proof::new("pods of the namespace", shortened(&pods), None))
}

/// Returns what follows a mark, else the whole text.
fn after_mark<'t>(text: &'t str, mark: &str) -> &'t str {
    text.split_once(mark).map_or(text, |(_, rest)| rest)
}
