//! What keeps each node of a size from taking the pod. The scheduler no longer says it node by node, so it is computed.

use super::inquiry::Inquiry;
use crate::model::{
    evidence::{NeighbourRecord, NodeRecord},
    footprint::{Allocatable, Footprint, Shortfall},
    launch_plan::Taint,
};

/// What keeps a node from taking the pod, from what passes soonest to what never does.
#[derive(Debug, PartialEq)]
pub(super) enum Obstacle<'a> {
    /// Nothing that is known.
    Nothing,
    /// Other pods take up the room.
    Full(Vec<Shortfall>),
    /// It is still being set up.
    StartupTaint(&'a Taint),
    /// It is not ready, or short of something.
    NotReady(String),
    /// It takes no more pods.
    Cordoned(String),
    /// A taint that the pod does not tolerate.
    Taint(&'a Taint),
    /// Even empty it is too small.
    TooSmall(Vec<Shortfall>),
}

impl Obstacle<'_> {
    /// Returns its place in the order, the soonest to pass first.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::Full(_) => 1,
            Self::StartupTaint(_) => 2,
            Self::NotReady(_) => 3,
            Self::Cordoned(_) => 4,
            Self::Taint(_) => 5,
            Self::TooSmall(_) => 6,
        }
    }
}

/// Returns the nodes that carry the labels asked for, each with its obstacle, nearest first; none when nodes are not known.
pub(super) fn survey<'a>(inquiry: &Inquiry<'a>) -> Option<Vec<(&'a NodeRecord, Obstacle<'a>)>> {
    let selector = inquiry.node_selector();
    let matches = |node: &&NodeRecord| selector.iter().all(|(key, value)| node.labels.get(key) == Some(value));
    let mut nodes: Vec<_> = inquiry.evidence.nodes.as_ref()?.iter().filter(matches).map(|node| (node, obstacle(inquiry, node))).collect();
    nodes.sort_by_key(|(node, obstacle)| (obstacle.rank(), std::cmp::Reverse(node.allocatable.memory), &node.name));
    Some(nodes)
}

fn obstacle<'a>(inquiry: &Inquiry<'a>, node: &'a NodeRecord) -> Obstacle<'a> {
    let footprint = inquiry.footprint();
    let neighbours = || inquiry.evidence.neighbours.iter().filter(|neighbour| neighbour.node == node.name);
    let empty = room(&node.allocatable, neighbours().filter(|neighbour| neighbour.daemon));
    let shortfalls = footprint.shortfalls(&empty);
    // A kubelet that has just registered reports no allocatable yet.
    let is_known = node.allocatable.cpu.0 > 0 && node.allocatable.memory.0 > 0;
    if is_known && !shortfalls.is_empty() {
        return Obstacle::TooSmall(shortfalls);
    }
    if let Some(taint) = untolerated(inquiry, node).next() {
        return Obstacle::Taint(taint);
    }
    let leaving = node.taints.iter().find(|taint| taint.is_leaving());
    if node.cordoned || leaving.is_some() {
        return Obstacle::Cordoned(leaving.map_or("spec.unschedulable is true", |taint| taint.key.as_str()).to_owned());
    }
    if let Some(taint) = node.taints.iter().find(|taint| taint.is_startup()) {
        return Obstacle::StartupTaint(taint);
    }
    if let Some(unready) = node.unready() {
        let said = if unready.message.is_empty() { &unready.reason } else { &unready.message };
        return Obstacle::NotReady(format!("Ready is {}: {said}", unready.status));
    }
    if let Some(taint) = node.taints.iter().find(|taint| taint.is_condition()) {
        return Obstacle::NotReady(format!("taint {}", taint.key));
    }
    let shortfalls = footprint.shortfalls(&room(&node.allocatable, neighbours()));
    if is_known && !shortfalls.is_empty() { Obstacle::Full(shortfalls) } else { Obstacle::Nothing }
}

/// Returns the taints of a node that keep the pod away for good: not tolerated, and not a passing state of the node.
fn untolerated<'a>(inquiry: &Inquiry<'a>, node: &'a NodeRecord) -> impl Iterator<Item = &'a Taint> + use<'a> {
    let tolerations = inquiry.tolerations();
    let passing = |taint: &Taint| taint.is_startup() || taint.is_condition() || taint.is_leaving();
    let blocks = |taint: &Taint| taint.effect != "PreferNoSchedule";
    node.taints.iter().filter(move |taint| blocks(taint) && !passing(taint) && !tolerations.iter().any(|toleration| toleration.tolerates(taint)))
}

/// Returns what is left of a node beside some of its pods.
fn room<'n>(allocatable: &Allocatable, pods: impl Iterator<Item = &'n NeighbourRecord>) -> Allocatable {
    let mut room = *allocatable;
    for pod in pods {
        let Footprint { cpu, memory, gpu, ephemeral_storage } = pod.footprint;
        room.cpu.0 = room.cpu.0.saturating_sub(cpu.0);
        room.memory.0 = room.memory.0.saturating_sub(memory.0);
        room.gpu = room.gpu.saturating_sub(gpu);
        if let (Some(left), Some(taken)) = (&mut room.ephemeral_storage, ephemeral_storage) {
            left.0 = left.0.saturating_sub(taken.0);
        }
    }
    room
}

/// Returns a pod in words: `flows/etl-1 (ana): 2 CPUs, 4 GiB`.
pub(super) fn neighbour_words(neighbour: &NeighbourRecord) -> String {
    let user = neighbour.user.as_ref().map(|user| format!(" ({user})")).unwrap_or_default();
    format!("{}{user}: {} CPUs, {}", neighbour.pod, neighbour.footprint.cpu, neighbour.footprint.memory)
}
