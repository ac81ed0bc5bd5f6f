//! The history of a node group as far as the cluster itself shows it: nodes and NodeClaims that are there, and the events of the
//! last hour.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{Failure, Life, MachineHistory, count};
use crate::model::{
    evidence::EventRecord,
    machine::Machine,
    node_group::NodeGroup,
    node_pool::{capacity_failure, is_claim_of},
};

/// How far back events reach: kube-apiserver's `--event-ttl`, unless it is told otherwise.
pub const REACH: SignedDuration = SignedDuration::from_hours(1);

/// Returns the history of node groups, of which `machines` are there now; `events` are about the autoscaler's status, NodePools and
/// NodeClaims. It begins at most [`REACH`] before `until`.
#[must_use]
pub fn from_traces(groups: &[NodeGroup<'_>], machines: &[Machine], events: &[EventRecord], from: Timestamp, until: Timestamp) -> MachineHistory {
    let from = from.max(until.checked_sub(REACH).unwrap_or(from));
    let present = machines.iter().map(|machine| Life { start: machine.since, end: None });
    let gone = groups.iter().filter(|group| group.is_pool).flat_map(|group| gone_claims(group, events));
    let lives: Vec<Life> = present.chain(gone).collect();
    let mut history = MachineHistory::from_lives(&lives, from, until);
    let mut failures: Vec<Failure> = events.iter().filter_map(|event| groups.iter().find_map(|group| failure(event, group))).collect();
    failures.retain(|failure| failure.at >= from);
    history.failures = Some(failures);
    let removed = removed_nodes(events, from);
    if removed > 0 && groups.iter().any(|group| !group.is_pool) {
        history.unknown.push(format!("whether any of the {removed} nodes that the autoscaler removed in this time were of this group"));
    }
    history
}

/// Returns the lives of claims that are gone, as their events frame them.
fn gone_claims(group: &NodeGroup<'_>, events: &[EventRecord]) -> Vec<Life> {
    let mut lives: BTreeMap<&str, Life> = BTreeMap::new();
    let is_there = |name: &str| group.claims.iter().any(|claim| claim.name == name);
    let of_group = |event: &&EventRecord| event.object_kind == "NodeClaim" && is_claim_of(&event.object, group.name) && !is_there(&event.object);
    for event in events.iter().filter(of_group).filter(|event| capacity_failure(event).is_none()) {
        let life = lives.entry(&event.object).or_insert(Life { start: event.first, end: event.last });
        life.start = life.start.min(event.first);
        life.end = life.end.max(event.last);
    }
    lives.into_values().collect()
}

fn failure(event: &EventRecord, group: &NodeGroup<'_>) -> Option<Failure> {
    let at = event.last.or(event.first)?;
    if group.is_pool {
        let is_ours = event.object == group.name || is_claim_of(&event.object, group.name);
        return capacity_failure(event).filter(|_| is_ours).map(|words| Failure { at, message: words.to_owned() });
    }
    let name = group.status.map_or(group.name, |status| status.name.as_str());
    crate::model::growth::is_failure_of(event, name).then(|| Failure { at, message: event.message.clone() })
}

/// Returns how many nodes the Cluster Autoscaler removed since `from`, by its events.
fn removed_nodes(events: &[EventRecord], from: Timestamp) -> u32 {
    let is_removal = |event: &&EventRecord| {
        let text = event.message.as_str();
        event.last.is_some_and(|last| last >= from)
            && text.starts_with("Scale-down: ")
            && (text.ends_with(" removed") || text.ends_with(" removed with drain"))
    };
    count(events.iter().filter(is_removal).count())
}
