//! What the infrastructure did to a pod, in its own words.

use jiff::Timestamp;

use super::{
    attempt::{self, End},
    inquiry::{Inquiry, after},
    wording::inline,
};
use crate::model::{
    evidence::{AttemptRecord, ContainerState, EventRecord},
    node_group::instance_id,
    outcome::Outcome,
    reason::Reason,
    story::{Cause, Proof},
};

/// How long before a kill an event of its node may explain it, in seconds: the spot notice is 120 s, a drain takes longer.
const NEWS_BEFORE_SECONDS: i64 = 600;

/// Events about a node whose spot machine AWS takes back: of the AWS Node Termination Handler, and of Karpenter.
const SPOT_EVENTS: [&str; 2] = ["SpotInterruption", "SpotInterrupted"];
/// The taint that the AWS Node Termination Handler gives such a node.
const SPOT_TAINT: &str = "aws-node-termination-handler/spot-itn";

/// Returns the end that `status.reason` of a pod states.
pub(super) fn by_pod_reason(inquiry: &Inquiry<'_>, attempt: &AttemptRecord) -> Option<End> {
    let reason = attempt.reason.as_deref().filter(|reason| !reason.is_empty())?;
    let message = attempt.message.as_deref().unwrap_or_default();
    let proof = Proof::new(format!("status of {}", attempt.label()), format!("{reason}: {message}"), ended_at(attempt));
    let node = the_node(attempt);
    let found = match reason {
        "DeadlineExceeded" => return Some(attempt::run_timeout(inquiry, attempt, proof)),
        "Evicted" if is_storage_limit(message) => return Some(disk_full(inquiry, attempt, message, proof)),
        "Evicted" => (Reason::LostEvicted, format!("the kubelet of {node} evicted the pod: {}", inline(message))),
        "Terminated" | "NodeShutdown" | "Shutdown" => (Reason::LostNodeShutdown, format!("{node} shut down")),
        "NodeLost" => (Reason::LostNodeGone, format!("{node} went away")),
        "Preempting" | "Preempted" => (Reason::LostPreempted, format!("a pod of higher priority took its place on {node}")),
        _ if is_refusal(reason, message) => (Reason::LostNodeRefused, format!("the kubelet of {node} refused the pod: {reason}")),
        _ => return None,
    };
    Some(lost(inquiry, attempt, found, [proof]))
}

/// Returns whether the kubelet refused a pod that the scheduler had sent.
fn is_refusal(reason: &str, message: &str) -> bool {
    reason.starts_with("OutOf")
        || matches!(reason, "UnexpectedAdmissionError" | "NodeAffinity" | "TopologyAffinityError" | "UnexpectedPredicateFailureType")
        || message.starts_with("Pod was rejected: ")
}

/// Returns whether an eviction was for the pod's own limit, not for the node's need.
fn is_storage_limit(message: &str) -> bool {
    message.contains("exceeded its local ephemeral storage limit")
        || message.contains("ephemeral local storage usage exceeds the total limit")
        || message.contains("Usage of EmptyDir volume")
}

fn disk_full(inquiry: &Inquiry<'_>, attempt: &AttemptRecord, message: &str, proof: Proof) -> End {
    let cause = Cause::new(Reason::FlowDiskFull, format!("the flow used more disk than it may: {}", inline(message)))
        .proven_by([proof])
        .advising(["write less to local disk, or give the size more `ephemeral_storage` in the instance map".to_owned()])
        .advising(inquiry.sbrun("logs", ""));
    End::new(Outcome::OutOfDisk, cause, ended_at(attempt))
}

/// Returns the end that the condition DisruptionTarget states, with the events that say more.
pub(super) fn by_disruption(inquiry: &Inquiry<'_>, attempt: &AttemptRecord) -> Option<End> {
    let condition = attempt.disruption.as_ref()?;
    let node = the_node(attempt);
    let told: Vec<&EventRecord> = inquiry.events("Pod", &attempt.pod).filter(|event| event_reason(event).is_some()).collect();
    let more = told.last().map(|event| format!(" ({}: {})", event.source, inline(&event.message))).unwrap_or_default();
    let (reason, what) = match condition.reason.as_str() {
        "PreemptionByScheduler" => (Reason::LostPreempted, format!("a pod of higher priority took its place on {node}")),
        "DeletionByTaintManager" | "DeletionByDeviceTaintManager" => (Reason::LostTaintEviction, format!("a taint of {node} evicted the pod")),
        "EvictionByEvictionAPI" => (Reason::LostDrained, format!("the pod was drained from {node}")),
        "DeletionByPodGC" => (Reason::LostNodeGone, format!("{node} went away, and nothing says why")),
        "TerminationByKubelet" => by_kubelet(&condition.message, &node),
        _ => (Reason::LostOther, format!("the infrastructure took the pod from {node}, in a way that sbrun does not know")),
    };
    let proofs = std::iter::once(condition.proof(&attempt.label())).chain(told.into_iter().map(EventRecord::proof));
    Some(lost(inquiry, attempt, (reason, format!("{what}{more}")), proofs))
}

/// Tells apart what the kubelet uses one reason for.
fn by_kubelet(message: &str, node: &str) -> (Reason, String) {
    if message.contains("low on resource") || message.contains("had condition") {
        (Reason::LostEvicted, format!("the kubelet of {node} evicted the pod because it ran short"))
    } else if message.contains("shutdown") || message.contains("shutting down") {
        (Reason::LostNodeShutdown, format!("{node} shut down"))
    } else if message.contains("critical pod") {
        (Reason::LostPreempted, format!("a critical pod took its place on {node}"))
    } else {
        (Reason::LostOther, format!("the kubelet of {node} ended the pod, and nothing says why"))
    }
}

/// Returns the end that an event on the pod states, where its condition was never seen.
pub(super) fn by_event(inquiry: &Inquiry<'_>, attempt: &AttemptRecord) -> Option<End> {
    let mut told = inquiry.events("Pod", &attempt.pod).filter_map(|event| Some((event_reason(event)?, event)));
    let (reason, event) = told.next_back()?;
    let summary = format!("the infrastructure took the pod from {}: {}", the_node(attempt), inline(&event.message));
    Some(lost(inquiry, attempt, (reason, summary), [event.proof()]))
}

/// Returns what an event on a pod says of its loss. Drains of autoscalers and of termination handlers are drains.
fn event_reason(event: &EventRecord) -> Option<Reason> {
    match (event.reason.as_str(), event.source.as_str()) {
        ("Preempted", _) => Some(Reason::LostPreempted),
        ("TaintManagerEviction" | "DeviceTaintManagerEviction", _) if !event.message.starts_with("Cancelling") => Some(Reason::LostTaintEviction),
        ("Evicted", "kubelet") => Some(Reason::LostEvicted),
        ("Evicted", "karpenter") | ("ScaleDown" | "PodEviction", _) => Some(Reason::LostDrained),
        _ => None,
    }
}

/// Returns the loss that explains a kill: what happened to the node shortly before it, or until it is no longer waited for.
pub(super) fn by_news_of_node(inquiry: &Inquiry<'_>, attempt: &AttemptRecord, killed: Timestamp, until: Timestamp) -> Option<End> {
    let node = attempt.node.as_deref()?;
    let from = after(killed, -NEWS_BEFORE_SECONDS);
    let in_time = |time: Option<Timestamp>| time.is_some_and(|time| (from..=until).contains(&time));
    let news = inquiry.evidence.events.iter().filter(|event| event.object_kind == "Node" && event.object == node && in_time(event.seen()));
    let told: Vec<_> = news.filter_map(|event| Some((node_event_reason(&event.reason)?, event))).collect();
    if let Some((reason, event)) = told.last() {
        let summary = format!("the flow was killed while its node `{node}` went away: {}", inline(&event.message));
        return Some(lost(inquiry, attempt, (*reason, summary), told.iter().map(|(_, event)| event.proof())));
    }
    if let Some(reclaim) = spot_reclaim(inquiry, attempt) {
        return Some(lost(inquiry, attempt, (Reason::LostSpotReclaimed, format!("the spot machine of node `{node}` was taken back")), [reclaim]));
    }
    if in_time(attempt.node_gone) {
        let proof = Proof::new("list of nodes", format!("node {node} is gone"), attempt.node_gone);
        return Some(lost(inquiry, attempt, (Reason::LostNodeGone, format!("the flow was killed and its node `{node}` went away")), [proof]));
    }
    let unready = inquiry.node(node)?.unready().filter(|condition| in_time(condition.since))?;
    let summary = format!("the flow was killed and its node `{node}` stopped answering");
    Some(lost(inquiry, attempt, (Reason::LostNodeGone, summary), [unready.proof(&format!("node {node}"))]))
}

/// Returns what an event on a node says of the loss of its pods.
fn node_event_reason(reason: &str) -> Option<Reason> {
    match reason {
        "NodeShutdown" | "Shutdown" => Some(Reason::LostNodeShutdown),
        "ScaleDown" | "CordonAndDrain" | "DisruptionTerminating" => Some(Reason::LostDrained),
        "RemovingNode" | "DeletingNode" | "NodeNotReady" => Some(Reason::LostNodeGone),
        "SpotInterruption" | "StateChange" | "ASGLifecycle" => Some(Reason::LostOther),
        _ => None,
    }
}

/// Returns the loss of a pod that failed, or whose status was made up, without a word about why.
pub(super) fn by_missing_status(inquiry: &Inquiry<'_>, attempt: &AttemptRecord) -> Option<End> {
    if let ContainerState::Terminated(termination) = &attempt.container {
        let source = format!("status of the flow's container in {}", attempt.label());
        let proof = Proof::new(source, format!("{}: {}", termination.reason, termination.message), termination.finished);
        let summary = format!("the kubelet of {} lost the flow's container: its exit code is not known", the_node(attempt));
        return Some(lost(inquiry, attempt, (Reason::LostOther, summary), [proof]));
    }
    let (node, gone) = attempt.node.as_ref().zip(attempt.node_gone)?;
    // An empty node goes by itself some time after its pods: only one that went before the Job failed explains that.
    let failed = inquiry.job_condition("FailureTarget").or_else(|| inquiry.job_condition("Failed")).and_then(|condition| condition.since);
    if failed.is_some_and(|failed| gone > failed) {
        return None;
    }
    let proof = Proof::new("list of nodes", format!("node {node} is gone"), Some(gone));
    Some(lost(inquiry, attempt, (Reason::LostNodeGone, format!("node `{node}` went away, and nothing says why")), [proof]))
}

/// Returns the end of a pod of which only the Job says that it was disrupted.
pub(super) fn by_job_words(inquiry: &Inquiry<'_>, attempt: Option<&AttemptRecord>, proof: Proof) -> End {
    let nobody = AttemptRecord::default();
    let attempt = attempt.unwrap_or(&nobody);
    let mut end = by_disruption(inquiry, attempt).or_else(|| by_event(inquiry, attempt)).unwrap_or_else(|| {
        let summary = format!("the infrastructure took the pod from {}, and nothing says how", the_node(attempt));
        lost(inquiry, attempt, (Reason::LostOther, summary), [])
    });
    end.at = end.at.or(proof.at);
    end.cause.evidence.push(proof);
    end
}

fn lost(inquiry: &Inquiry<'_>, attempt: &AttemptRecord, (reason, summary): (Reason, String), proofs: impl IntoIterator<Item = Proof>) -> End {
    let by_machine =
        matches!(reason, Reason::LostNodeGone | Reason::LostDrained | Reason::LostTaintEviction | Reason::LostNodeShutdown | Reason::LostOther);
    let cause = match spot_reclaim(inquiry, attempt).filter(|_| by_machine) {
        // A drain, a taint or a shutdown is only how it was carried out.
        Some(reclaim) => {
            Cause::new(Reason::LostSpotReclaimed, format!("the spot machine of {} was taken back", the_node(attempt))).proven_by([reclaim])
        }
        None => Cause::new(reason, summary),
    };
    End::new(Outcome::Lost, cause.proven_by(proofs).advising(inquiry.rerun("")), ended_at(attempt))
}

/// Returns what says that AWS took the attempt's machine back: the group's activity, the word of a termination handler or of
/// Karpenter, or the handler's taint.
fn spot_reclaim(inquiry: &Inquiry<'_>, attempt: &AttemptRecord) -> Option<Proof> {
    let instance = attempt.provider_id.as_deref().and_then(instance_id);
    let groups = inquiry.evidence.scaling.account.value().into_iter().flatten();
    for (group, activity) in groups.flat_map(|group| group.activities.iter().flatten().map(move |activity| (group, activity))) {
        if instance.is_some() && activity.instance() == instance && activity.is_spot_interruption() {
            let source = format!("scaling activity of node group {}", group.name);
            return Some(Proof::new(source, format!("{}: {}", activity.description, activity.cause), activity.started));
        }
    }
    let node = attempt.node.as_deref()?;
    let claim = inquiry.evidence.scaling.claims.iter().find(|claim| claim.node.as_deref() == Some(node)).map(|claim| claim.name.as_str());
    let about = |event: &&EventRecord| {
        event.object_kind == "Node" && event.object == node || event.object_kind == "NodeClaim" && Some(event.object.as_str()) == claim
    };
    let mut events = inquiry.evidence.events.iter().chain(&inquiry.evidence.scaling.events);
    if let Some(event) = events.find(|event| SPOT_EVENTS.contains(&event.reason.as_str()) && about(event)) {
        return Some(event.proof());
    }
    let taint = inquiry.node(node)?.taints.iter().find(|taint| taint.key == SPOT_TAINT)?;
    Some(Proof::new(format!("taints of node {node}"), &taint.key, None))
}

/// Returns the pod's node in words.
fn the_node(attempt: &AttemptRecord) -> String {
    attempt.node.as_ref().map_or_else(|| "its node".to_owned(), |node| format!("node `{node}`"))
}

/// Returns when a pod ended: its container's time, else the time of its disruption.
fn ended_at(attempt: &AttemptRecord) -> Option<Timestamp> {
    let finished = attempt.termination().and_then(|termination| termination.finished);
    finished.or_else(|| attempt.disruption.as_ref().and_then(|condition| condition.since))
}
