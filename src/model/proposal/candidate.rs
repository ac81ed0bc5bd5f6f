//! Groups of machines that may become sizes, from all that shows them.

use std::collections::{BTreeMap, BTreeSet};

use super::{ProposedSize, Room, Seen, Wishes, placing::Placing, room_on};
use crate::model::{
    autoscaler_tags::{self, EKS_NODE_GROUP as EKS_TAG},
    doctor::{DaemonSet, is_of, lasting},
    evidence::NodeRecord,
    footprint::Allocatable,
    instance_type::InstanceType,
    launch_plan::Taint,
    node_group::{AccountGroup, EKS_NODE_GROUP, EKSCTL_NODE_GROUP, INSTANCE_TYPE, NODE_POOL, NodeGroup, is_spot},
};

/// One group of machines.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Candidate {
    /// As the map names it.
    pub(super) name: String,
    pub(super) is_pool: bool,
    /// Least number of machines, where known.
    min_size: Option<u32>,
    max_size: Option<u32>,
    /// Labels that all its nodes have or will have.
    pub(super) labels: BTreeMap<String, String>,
    /// Taints that its nodes have or will have, for good.
    pub(super) taints: Vec<Taint>,
    instance_types: Vec<String>,
    spot: Option<bool>,
    /// Name and allocatable of its smallest node.
    node: Option<(String, Allocatable)>,
    /// Whether an autoscaler raises it, so that it may rest at 0.
    is_scaled: bool,
    /// Whether its labels are known while it has no node.
    has_template: bool,
}

/// Returns every group that anything shows.
pub(super) fn candidates(seen: &Seen) -> Vec<Candidate> {
    let scaling = &seen.scaling;
    let mut found: Vec<Candidate> = Vec::new();
    for group in scaling.account.value().into_iter().flatten() {
        found.push(of_account(group, seen));
    }
    for status in scaling.autoscaler.value().into_iter().flat_map(|status| &status.groups) {
        let known = scaling.account.value().into_iter().flatten().any(|group| group.name == status.name);
        if !known {
            let name = map_name(&status.name, seen);
            found.push(Candidate { is_scaled: true, ..of_nodes(&name, false, seen) });
        }
    }
    for pool in scaling.pools.value().into_iter().flatten() {
        let of_nodes = of_nodes(&pool.name, true, seen);
        let types = pool.requirements.iter().find(|one| one.key == INSTANCE_TYPE && one.operator == "In").map(|one| one.values.clone());
        let mut labels = pool.labels.clone();
        labels.insert(NODE_POOL.to_owned(), pool.name.clone());
        found.push(Candidate {
            labels,
            taints: pool.taints.clone(),
            instance_types: if of_nodes.instance_types.is_empty() { types.unwrap_or_default() } else { of_nodes.instance_types.clone() },
            spot: pool.is_spot().or(of_nodes.spot),
            min_size: Some(0),
            max_size: None,
            is_scaled: true,
            has_template: true,
            ..of_nodes
        });
    }
    // Managed groups whose nodes are there are seen without account and autoscaler, too.
    let named: BTreeSet<&String> =
        seen.nodes.iter().filter_map(|node| node.labels.get(EKS_NODE_GROUP).or_else(|| node.labels.get(EKSCTL_NODE_GROUP))).collect();
    for name in named {
        if found.iter().all(|candidate| candidate.name != *name && !seen_in(candidate, name, seen)) {
            found.push(of_nodes(name, false, seen));
        }
    }
    found.sort_by(|one, other| (one.is_pool, &one.name).cmp(&(other.is_pool, &other.name)));
    found
}

/// Returns whether the nodes with this label belong to a candidate that is called otherwise.
fn seen_in(candidate: &Candidate, label: &str, seen: &Seen) -> bool {
    let group = NodeGroup::find(&candidate.name, candidate.is_pool, &seen.scaling);
    let labelled = |node: &&NodeRecord| [EKS_NODE_GROUP, EKSCTL_NODE_GROUP].iter().any(|key| node.labels.get(*key).is_some_and(|one| one == label));
    seen.nodes.iter().filter(labelled).any(|node| is_of(node, &group))
}

/// Returns what a map calls the group: a managed node group by its own name, not by that of its Auto Scaling group.
fn map_name(group: &str, seen: &Seen) -> String {
    let labels = seen.nodes.iter().filter_map(|node| node.labels.get(EKS_NODE_GROUP));
    let managed = labels.into_iter().find(|label| crate::model::node_group::is_named(label, group));
    managed.cloned().or_else(|| name_of_managed(group)).unwrap_or_else(|| group.to_owned())
}

/// Returns the node group of an Auto Scaling group that EKS named `eks-<node group>-<uuid>`.
fn name_of_managed(group: &str) -> Option<String> {
    let rest = group.strip_prefix("eks-")?;
    let end = rest.len().checked_sub("-00000000-0000-0000-0000-000000000000".len())?;
    let name = rest.get(..end).filter(|name| !name.is_empty())?;
    crate::model::node_group::is_named(name, group).then(|| name.to_owned())
}

fn of_account(group: &AccountGroup, seen: &Seen) -> Candidate {
    let name = group.tags.get(EKS_TAG).cloned().unwrap_or_else(|| group.name.clone());
    let of_nodes = of_nodes(&name, false, seen);
    let mut labels = autoscaler_tags::labels(&group.tags);
    labels.extend(of_nodes.labels.clone());
    if let Some(managed) = group.tags.get(EKS_TAG) {
        labels.insert(EKS_NODE_GROUP.to_owned(), managed.clone());
    }
    let mut taints = autoscaler_tags::taints(&group.tags);
    taints.extend(of_nodes.taints.clone());
    taints.sort_by(|one, other| (&one.key, &one.value, &one.effect).cmp(&(&other.key, &other.value, &other.effect)));
    taints.dedup();
    Candidate {
        name,
        labels,
        taints,
        instance_types: if group.instance_types.is_empty() {
            of_nodes.instance_types.clone()
        } else {
            group.instance_types.iter().map(|(name, _)| name.clone()).collect()
        },
        spot: group.spot.or(of_nodes.spot),
        min_size: Some(group.min_size),
        max_size: Some(group.max_size),
        is_scaled: true,
        has_template: true,
        ..of_nodes
    }
}

/// Returns what the nodes of a group tell of it.
fn of_nodes(name: &str, is_pool: bool, seen: &Seen) -> Candidate {
    let group = NodeGroup::find(name, is_pool, &seen.scaling);
    let nodes: Vec<&NodeRecord> = seen.nodes.iter().filter(|node| is_of(node, &group)).collect();
    let common = |key: &String, value: &String| nodes.iter().all(|node| node.labels.get(key) == Some(value));
    let labels = nodes.first().map(|node| node.labels.clone()).unwrap_or_default();
    let types: BTreeSet<&String> = nodes.iter().filter_map(|node| node.labels.get(INSTANCE_TYPE)).collect();
    let smallest = nodes.iter().filter(|node| node.allocatable.memory.0 > 0).min_by_key(|node| (node.allocatable.memory, node.allocatable.cpu));
    Candidate {
        name: name.to_owned(),
        is_pool,
        min_size: group.min_size(),
        max_size: group.max_size(),
        labels: labels.into_iter().filter(|(key, value)| common(key, value)).collect(),
        taints: nodes.first().map(|node| lasting(&node.taints).cloned().collect()).unwrap_or_default(),
        instance_types: types.into_iter().cloned().collect(),
        spot: nodes.iter().find_map(|node| is_spot(&node.labels)),
        node: smallest.map(|node| (node.name.clone(), node.allocatable)),
        is_scaled: false,
        has_template: false,
    }
}

/// Returns the candidates that become sizes, and the others with the reason.
pub(super) fn sort_out(candidates: Vec<Candidate>, wishes: &Wishes) -> (Vec<Candidate>, Vec<(String, String)>) {
    let (mut taken, mut left_out) = (Vec::new(), Vec::new());
    for candidate in candidates {
        match candidate.reason_against(wishes) {
            None => taken.push(candidate),
            Some(reason) => left_out.push((candidate.name, reason)),
        }
    }
    (taken, left_out)
}

impl Candidate {
    /// Returns instance types and whether they are spot: what makes machines alike.
    pub(super) fn machines(&self) -> (&[String], Option<bool>) {
        (&self.instance_types, self.spot)
    }

    fn reason_against(&self, wishes: &Wishes) -> Option<String> {
        if wishes.known_groups.contains(&self.name) {
            return Some("the map has a size for it".to_owned());
        }
        if !wishes.groups.is_empty() {
            return (!wishes.groups.contains(&self.name)).then(|| "it was not asked for".to_owned());
        }
        match (self.min_size, self.max_size) {
            (_, Some(0)) => Some("its maximum is 0".to_owned()),
            (Some(min @ 1..), _) => Some(format!("it does not rest at 0: its minimum is {min}")),
            _ if !self.is_scaled => Some("no autoscaler is known to raise it".to_owned()),
            _ if self.labels.is_empty() => Some("nothing is known of its nodes: it has none now, and no tags tell their labels".to_owned()),
            _ => None,
        }
    }

    /// Returns the size that jobs are sent here by.
    pub(super) fn size(&self, placing: Placing, daemon_sets: &[DaemonSet]) -> ProposedSize {
        let Placing { node_selector, tolerations, mut notes } = placing;
        let daemons: Vec<&DaemonSet> = daemon_sets.iter().filter(|daemon| daemon.runs_on(&self.labels, &self.taints)).collect();
        let less = match daemons.len() {
            0 => String::new(),
            1 => ", less 1 daemon set".to_owned(),
            count => format!(", less {count} daemon sets"),
        };
        let computed = || {
            let types = self.instance_types.iter().filter_map(|name| InstanceType::find(name));
            let smallest = types.min_by_key(|found| (found.allocatable().memory, found.allocatable().cpu))?;
            let footprint = room_on(smallest.allocatable(), &daemons);
            Some(Room { footprint, origin: format!("computed for {}{less}", smallest.name) })
        };
        // A map may ask for no more than a machine of its type can have by EKS's own rules; kubelets that keep back less have more.
        let most = self
            .instance_types
            .iter()
            .filter_map(|name| InstanceType::find(name))
            .map(|found| found.most_allocatable())
            .min_by_key(|most| most.memory);
        let within =
            |node: Allocatable| most.map_or(node, |most| Allocatable { cpu: node.cpu.min(most.cpu), memory: node.memory.min(most.memory), ..node });
        let room = match &self.node {
            Some((node, allocatable)) => {
                Some(Room { footprint: room_on(within(*allocatable), &daemons), origin: format!("measured on node {node}{less}") })
            }
            None => computed(),
        };
        if room.is_none() {
            notes.push("nothing is known of its machines: write its `instance_type`".to_owned());
        }
        if self.taints.is_empty() {
            notes.push("its nodes have no taint: other pods may take their room, and keep them from going".to_owned());
        }
        if !self.has_template && !self.is_pool {
            notes.push("its tags could not be seen: `sbrun doctor` says whether the autoscaler raises it from 0".to_owned());
        }
        ProposedSize {
            name: String::new(),
            node_groups: if self.is_pool { Vec::new() } else { vec![self.name.clone()] },
            node_pool: self.is_pool.then(|| self.name.clone()),
            instance_types: self.instance_types.clone(),
            room,
            spot: self.spot,
            fallback: None,
            node_selector,
            tolerations,
            notes,
        }
    }
}
