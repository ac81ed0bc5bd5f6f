//! Adding observations to evidence. What was seen once of an end is never forgotten.

use jiff::Timestamp;

use crate::model::evidence::{AttemptRecord, ContainerState, EventRecord, Evidence, JobRecord, NodeRecord};

/// Adds what was seen of the Job; `None` or another UID than `expected` means that it is gone.
pub(super) fn job(evidence: &mut Evidence, seen: Option<JobRecord>, expected: Option<&str>, now: Timestamp) {
    match seen.filter(|job| expected.is_none_or(|uid| uid == job.uid)) {
        Some(job) => {
            evidence.job = Some(job);
            evidence.job_seen = Some(now);
        }
        None => {
            evidence.job_gone.get_or_insert(now);
        }
    }
}

/// Adds the pods that exist now. Earlier ones that are missing count as gone since `now`.
pub(super) fn attempts(evidence: &mut Evidence, seen: Vec<AttemptRecord>, now: Timestamp) {
    for attempt in &mut evidence.attempts {
        if !seen.iter().any(|pod| pod.uid == attempt.uid) {
            attempt.gone.get_or_insert(now);
        }
    }
    words(evidence, seen, now);
}

/// Adds what was seen of pods, and says nothing about others.
pub(super) fn words(evidence: &mut Evidence, seen: Vec<AttemptRecord>, now: Timestamp) {
    for pod in seen {
        match evidence.attempts.iter_mut().find(|attempt| attempt.uid == pod.uid) {
            Some(known) => *known = attempt(std::mem::take(known), pod, now),
            None => evidence.attempts.push(pod),
        }
    }
    evidence.attempts.sort_by(|left, right| (left.created, &left.pod).cmp(&(right.created, &right.pod)));
}

fn attempt(known: AttemptRecord, seen: AttemptRecord, now: Timestamp) -> AttemptRecord {
    let ended = matches!(known.phase.as_str(), "Succeeded" | "Failed");
    let mut others = known.others;
    for (name, state) in seen.others {
        let before = others.remove(&name).unwrap_or_default();
        others.insert(name, container(before, state, now));
    }
    AttemptRecord {
        accepted: seen.accepted.or(known.accepted),
        phase: if ended { known.phase } else { seen.phase },
        reason: seen.reason.or(known.reason),
        message: seen.message.or(known.message),
        node: seen.node.or(known.node),
        scheduled: seen.scheduled.or(known.scheduled),
        disruption: seen.disruption.or(known.disruption),
        // The kubelet asks once more, without grace, when all is over.
        deleted: [known.deleted, seen.deleted].into_iter().flatten().min(),
        gone: None,
        node_created: known.node_created,
        provider_id: known.provider_id,
        node_gone: known.node_gone,
        container: container(known.container, seen.container, now),
        others,
        restarts: seen.restarts.max(known.restarts),
        peak_memory: seen.peak_memory.max(known.peak_memory),
        cpu_milliseconds: seen.cpu_milliseconds.max(known.cpu_milliseconds),
        out_of_memory_kills: seen.out_of_memory_kills.max(known.out_of_memory_kills),
        pod: seen.pod,
        container_name: seen.container_name,
        uid: seen.uid,
        created: seen.created,
    }
}

/// Returns the stronger of two states: an end stays the end (a later one may be synthetic), and a reason to wait keeps the
/// time at which it was first seen.
fn container(known: ContainerState, seen: ContainerState, now: Timestamp) -> ContainerState {
    match (known, seen) {
        (known @ ContainerState::Terminated(_), _) | (known, ContainerState::Unknown) => known,
        (ContainerState::Waiting { reason: before, since, .. }, ContainerState::Waiting { reason, message, .. }) if before == reason => {
            ContainerState::Waiting { reason, message, since }
        }
        (_, ContainerState::Waiting { reason, message, .. }) => ContainerState::Waiting { reason, message, since: Some(now) },
        (_, seen) => seen,
    }
}

/// Replaces the nodes by those that exist now. An attempt whose own node is not among them has lost it since `now`.
pub(super) fn nodes(evidence: &mut Evidence, seen: Vec<NodeRecord>, now: Timestamp) {
    for attempt in &mut evidence.attempts {
        let Some(own) = &attempt.node else { continue };
        match seen.iter().find(|node| node.name == *own) {
            Some(node) => {
                attempt.node_created = node.created.or(attempt.node_created);
                attempt.provider_id = node.provider_id.clone().or(attempt.provider_id.take());
            }
            None => {
                attempt.node_gone.get_or_insert(now);
            }
        }
    }
    evidence.nodes = Some(seen);
}

/// Adds events: one that is there already is brought up to date, and those that the server has forgotten stay.
pub(super) fn events(evidence: &mut Evidence, seen: Vec<EventRecord>) {
    merge_events(&mut evidence.events, seen);
}

/// Adds events about how machines come and go, likewise.
pub(super) fn scaling_events(evidence: &mut Evidence, seen: Vec<EventRecord>) {
    merge_events(&mut evidence.scaling.events, seen);
}

fn merge_events(events: &mut Vec<EventRecord>, seen: Vec<EventRecord>) {
    for event in seen {
        let same = |known: &&mut EventRecord| {
            (&known.object_kind, &known.object, &known.reason, &known.message, &known.source, known.first)
                == (&event.object_kind, &event.object, &event.reason, &event.message, &event.source, event.first)
        };
        match events.iter_mut().find(same) {
            Some(known) => *known = event,
            None => events.push(event),
        }
    }
    events.sort_by_key(|event| (event.last, event.first));
}

/// Adds a sentence about what could not be observed, once.
pub(super) fn unknown(evidence: &mut Evidence, sentence: String) {
    if !evidence.unknown.contains(&sentence) {
        evidence.unknown.push(sentence);
    }
}
