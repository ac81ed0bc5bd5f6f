//! By which labels a job is sent to a group and to no other, and which taints it has to tolerate there.

use std::collections::{BTreeMap, BTreeSet};

use super::candidate::Candidate;
use crate::model::{
    instance_map::PLACEMENT_KEY,
    launch_plan::{Taint, Toleration},
    node_group::{EKS_NODE_GROUP, EKSCTL_NODE_GROUP, NODE_POOL},
};

/// Labels of a group that sbrun prefers to anything that merely tells it from others.
const PREFERRED: [&str; 1] = [PLACEMENT_KEY];
/// Labels that hold the name of a group: they always tell it from others.
const OF_GROUPS: [&str; 3] = [NODE_POOL, EKS_NODE_GROUP, EKSCTL_NODE_GROUP];
/// Parts of keys that say what a machine is, not what it is for: they change with the machine.
const OF_MACHINES: [&str; 11] = [
    "kubernetes.io/",
    "k8s.io/",
    "amazonaws.com/",
    "k8s.aws/",
    "eksctl.io/",
    "karpenter.",
    "node-lifecycle",
    "lifecycle",
    "nvidia.com/",
    "feature.node",
    "topology.",
];

/// Where jobs of one size go.
pub(super) struct Placing {
    pub(super) node_selector: BTreeMap<String, String>,
    pub(super) tolerations: Vec<Toleration>,
    pub(super) notes: Vec<String>,
}

/// Returns where jobs go, for each candidate.
pub(super) fn placements(candidates: &[Candidate]) -> Vec<Placing> {
    candidates.iter().map(|candidate| placing(candidate, candidates)).collect()
}

fn placing(candidate: &Candidate, all: &[Candidate]) -> Placing {
    let mut notes = Vec::new();
    let key = key(candidate, all);
    let node_selector: BTreeMap<String, String> =
        key.into_iter().filter_map(|key| Some((key.to_owned(), candidate.labels.get(key)?.clone()))).collect();
    if node_selector.is_empty() {
        notes.push("no label tells its nodes from others: give them one, with its node-template tag, and write it here".to_owned());
    }
    Placing {
        node_selector,
        tolerations: candidate.taints.iter().filter(|taint| taint.effect != "PreferNoSchedule").map(toleration).collect(),
        notes,
    }
}

/// Returns the label to go by: the one made for it; else one that says what the nodes are for, which most groups have; else one that
/// holds the group's name.
fn key<'a>(candidate: &'a Candidate, all: &'a [Candidate]) -> Option<&'a str> {
    let has = |key: &&&str| candidate.labels.contains_key(**key);
    if let Some(preferred) = PREFERRED.iter().find(has) {
        return Some(preferred);
    }
    // A taint's key often is a label, too: then it is the pair by which the group is meant to be used.
    let tainted: BTreeSet<&str> = candidate.taints.iter().map(|taint| taint.key.as_str()).collect();
    let purposes = candidate.labels.iter().filter(|(key, _)| !OF_MACHINES.iter().any(|part| key.contains(part)));
    let telling = purposes.filter(|(key, value)| tells(key, value, candidate, all));
    let usual = |key: &str| all.iter().filter(|other| other.labels.contains_key(key)).count();
    let best = telling.max_by_key(|(key, _)| (tainted.contains(key.as_str()), usual(key), std::cmp::Reverse(key.len())));
    best.map(|(key, _)| key.as_str()).or_else(|| OF_GROUPS.iter().find(has).copied())
}

/// Returns whether a label tells the nodes of a group from those of others, but for others of the very same machines.
fn tells(key: &str, value: &str, candidate: &Candidate, all: &[Candidate]) -> bool {
    let same = |other: &&Candidate| other.labels.get(key).is_some_and(|there| there == value);
    all.iter().filter(same).all(|other| other.is_alike(candidate))
}

impl Candidate {
    /// Returns whether two groups differ in nothing but their names: one for each zone, say.
    fn is_alike(&self, other: &Self) -> bool {
        let purposes = |candidate: &Self| {
            let of_purpose = |(key, _): &(&String, &String)| !OF_MACHINES.iter().any(|part| key.contains(part));
            candidate.labels.iter().filter(of_purpose).map(|(key, value)| (key.clone(), value.clone())).collect::<BTreeMap<_, _>>()
        };
        self.is_pool == other.is_pool && self.taints == other.taints && purposes(self) == purposes(other) && self.machines() == other.machines()
    }
}

fn toleration(taint: &Taint) -> Toleration {
    let Taint { key, value, effect } = taint;
    let (operator, value) = if value.is_empty() { ("Exists", None) } else { ("Equal", Some(value.clone())) };
    Toleration { key: Some(key.clone()), operator: Some(operator.to_owned()), value, effect: Some(effect.clone()) }
}
