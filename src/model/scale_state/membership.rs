//! Which node group a node belongs to: by instance, by label, else by the labels that its size asks for.

use std::collections::{BTreeMap, HashMap};

use super::group::Group;
use crate::model::{
    evidence::NodeRecord,
    node_group::{AccountGroup, EKS_NODE_GROUP, EKSCTL_NODE_GROUP, NODE_POOL, Scaling, instance_id, label_names},
};

/// Tag of an Auto Scaling group that eksctl made: the name that its nodes carry as a label.
const EKSCTL_TAG: &str = EKSCTL_NODE_GROUP;
/// Tag of the Auto Scaling group of an EKS managed node group: the same.
const EKS_TAG: &str = "eks:nodegroup-name";

/// Where a node belongs, seen from one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// To this one of the size's groups.
    Group(usize),
    /// To the size, by its labels; to which of its groups, nothing tells.
    Size,
    /// Elsewhere.
    Elsewhere,
}

/// Everything that tells where nodes belong.
pub(super) struct Membership<'a> {
    by_instance: HashMap<&'a str, &'a str>,
    /// Names of all node groups and pools of the map.
    known: Vec<&'a str>,
}

impl<'a> Membership<'a> {
    pub(super) fn new(scaling: &'a Scaling, known: Vec<&'a str>) -> Self {
        let groups = scaling.account.value().into_iter().flatten();
        let instances = |group: &'a AccountGroup| group.instances.iter().map(|instance| (instance.id.as_str(), group.name.as_str()));
        Self { by_instance: groups.flat_map(instances).collect(), known }
    }

    /// Returns where a node belongs, given the groups of a size and the labels that the size asks for.
    pub(super) fn home(&self, node: &NodeRecord, groups: &[Group<'_>], selector: &BTreeMap<String, String>) -> Home {
        if let Some(group) = node.provider_id.as_deref().and_then(instance_id).and_then(|id| self.by_instance.get(id)) {
            return of_group(groups.iter().position(|known| known.0.account.is_some_and(|account| account.name == *group)));
        }
        if let Some(pool) = node.labels.get(NODE_POOL)
            && !groups.is_empty()
        {
            return of_group(groups.iter().position(|group| group.0.is_pool && group.0.name == pool));
        }
        for key in [EKS_NODE_GROUP, EKSCTL_NODE_GROUP] {
            let Some(label) = node.labels.get(key) else { continue };
            if let Some(index) = groups.iter().position(|group| carries(group, label)) {
                return Home::Group(index);
            }
            if self.known.iter().any(|known| is_of(label, known)) {
                return Home::Elsewhere;
            }
        }
        let matches = !selector.is_empty() && selector.iter().all(|(key, value)| node.labels.get(key) == Some(value));
        match groups.len() {
            _ if !matches => Home::Elsewhere,
            1 if !groups[0].0.is_pool => Home::Group(0),
            1 => Home::Elsewhere, // every node of a pool carries its label
            _ => Home::Size,
        }
    }
}

fn of_group(index: Option<usize>) -> Home {
    index.map_or(Home::Elsewhere, Home::Group)
}

/// Returns whether the nodes of a group carry this name as a label.
fn carries(group: &Group<'_>, label: &str) -> bool {
    let tagged = |account: &AccountGroup| [EKS_TAG, EKSCTL_TAG].iter().any(|tag| account.tags.get(*tag).is_some_and(|name| name == label));
    let reported = group.0.status.map(|status| status.name.as_str());
    !group.0.is_pool && (is_of(label, group.0.name) || reported.is_some_and(|name| is_of(label, name)) || group.0.account.is_some_and(tagged))
}

/// Returns whether the nodes of the group of this name may carry this label.
fn is_of(label: &str, group: &str) -> bool {
    label_names(group).contains(&label)
}
