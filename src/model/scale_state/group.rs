//! One node group, or several of one size that cannot be told apart, as the source of a survey's figures.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Counts, ScaleFacts};
use crate::model::{
    autoscaler_status::GroupStatus,
    autoscaler_tags,
    machine::{Machine, MachineState},
    node_group::{AccountGroup, INSTANCE_TYPE, Instance, NODE_POOL, NodeGroup, NodePool, Scaling, is_called, is_named},
    reason::Reason,
    story::Cause,
};

/// Hindrances that mean that a group was to grow and could not.
const FAILURES: [Reason; 6] = [
    Reason::CapacitySpot,
    Reason::CapacityOnDemand,
    Reason::CapacityQuota,
    Reason::CapacityLaunchConfiguration,
    Reason::ScaleUpBackoff,
    Reason::NodeNeverJoined,
];

/// A node group as a source of figures.
#[derive(Debug, Clone)]
pub(super) struct Group<'a>(pub(super) NodeGroup<'a>);

impl<'a> Group<'a> {
    /// Returns the group of this name. A status so old that its autoscaler cannot be running tells no figures.
    pub(super) fn find(name: &'a str, is_pool: bool, scaling: &'a Scaling, now: Timestamp) -> Self {
        let found = NodeGroup::find(name, is_pool, scaling);
        let is_stale = scaling.autoscaler.value().is_some_and(|status| status.is_stale(now));
        Self(NodeGroup { status: found.status.filter(|_| !is_stale), ..found })
    }

    /// Returns whether the map's `name` means this group.
    pub(super) fn is_called(&self, name: &str) -> bool {
        let of_account = |account: &AccountGroup| is_called(name, &account.name, &account.tags);
        let of_status = |status: &GroupStatus| is_named(name, &status.name);
        self.0.name == name
            || !self.0.is_pool && (is_named(name, self.0.name) || self.0.account.is_some_and(of_account) || self.0.status.is_some_and(of_status))
    }

    /// Returns the machines that have no node among `nodes`: instances and NodeClaims.
    pub(super) fn without_node(&self, nodes: &[Machine]) -> Vec<Machine> {
        let seen: BTreeSet<&str> = nodes.iter().filter_map(|machine| machine.instance.as_deref()).collect();
        let names: BTreeSet<&str> = nodes.iter().filter_map(|machine| machine.node.as_deref()).collect();
        // A warm pool's instances are stopped; they are no part of the group's size.
        let counts = |instance: &&Instance| instance.is_live() || instance.lifecycle.starts_with("Terminating");
        let instances = self.0.account.iter().flat_map(|account| account.instances.iter()).filter(counts);
        let instances = instances.filter(|instance| !seen.contains(instance.id.as_str())).map(Machine::of_instance);
        let claims = self.0.claims.iter().filter(|claim| claim.node.as_deref().is_none_or(|node| !names.contains(node)));
        instances.chain(claims.map(|claim| Machine::of_claim(claim))).collect()
    }

    /// Returns labels that its nodes will have, as far as its template says.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        if let Some(pool) = self.0.pool {
            let own = [(NODE_POOL.to_owned(), pool.name.clone())];
            return pool.labels.clone().into_iter().chain(own).collect();
        }
        self.0.account.map(|account| autoscaler_tags::labels(&account.tags)).unwrap_or_default()
    }

    /// Returns whether its machines are spot machines, where its own description says so.
    pub(super) fn spot(&self) -> Option<bool> {
        self.0.account.and_then(|account| account.spot).or_else(|| self.0.pool.and_then(NodePool::is_spot))
    }

    /// Returns the instance types that it may start, where its own description says so.
    pub(super) fn instance_types(&self) -> Vec<String> {
        let of_pool = |pool: &'a NodePool| {
            let named = pool.requirements.iter().filter(|one| one.key == INSTANCE_TYPE && one.operator == "In");
            named.flat_map(|one| one.values.iter().cloned())
        };
        let of_account = self.0.account.into_iter().flat_map(|account| account.instance_types.iter().map(|(name, _)| name.clone()));
        of_account.chain(self.0.pool.into_iter().flat_map(of_pool)).collect()
    }
}

/// Returns the sum of what is known of every group; none when it is unknown of one, or there is none.
pub(super) fn sum<'a>(groups: &[Group<'a>], of: impl Fn(&NodeGroup<'a>) -> Option<u32>) -> Option<u32> {
    groups.iter().map(|group| of(&group.0)).reduce(|left, right| Some(left?.saturating_add(right?))).flatten()
}

/// Returns the counts of groups whose nodes may not be listed, from what the account, the autoscaler and NodeClaims say.
pub(super) fn counts_without_nodes(groups: &[Group<'_>], machines: &[Machine]) -> Counts {
    let is_seen = !groups.is_empty() && groups.iter().all(|group| group.0.account.is_some() || group.0.pool.is_some());
    let is_pool = groups.iter().all(|group| group.0.is_pool);
    let counted =
        |wanted: MachineState| is_seen.then(|| u32::try_from(machines.iter().filter(|machine| machine.state == wanted).count()).unwrap_or(u32::MAX));
    // An instance in service may still boot, and nothing here tells; one that is pending surely does.
    let pending = |group: &NodeGroup<'_>| {
        let instances = &group.account?.instances;
        u32::try_from(instances.iter().filter(|instance| instance.lifecycle.starts_with("Pending")).count()).ok()
    };
    Counts {
        ready: if is_pool { counted(MachineState::Ready) } else { sum(groups, |group| group.status.and_then(|status| status.ready)) },
        booting: if is_pool { counted(MachineState::Booting) } else { sum(groups, pending) },
        leaving: counted(MachineState::Leaving),
        not_ready: sum(groups, |group| group.status.and_then(|status| status.unready)),
        ..Counts::default()
    }
}

/// Returns what the scale state of these groups is told from.
///
/// Machines that are seen count before the autoscaler's figures, which lag by up to a minute.
pub(super) fn facts(groups: &[Group<'_>], counts: &Counts, machines: &[Machine], nodes_seen: bool, hindrances: &[Cause]) -> ScaleFacts {
    let are_seen = nodes_seen || !groups.is_empty() && groups.iter().all(|group| group.0.account.is_some() || group.0.pool.is_some());
    let stay = machines.iter().filter(|machine| machine.state != MachineState::Leaving).count();
    let present = if are_seen { u32::try_from(stay).ok() } else { counts.ready };
    let is = |reasons: &[Reason]| hindrances.iter().any(|cause| reasons.contains(&cause.reason));
    ScaleFacts {
        desired: sum(groups, NodeGroup::desired_size),
        maximum: sum(groups, NodeGroup::max_size),
        present,
        booting: counts.booting,
        leaving: counts.leaving,
        is_failing: is(&FAILURES),
        is_at_limit: is(&[Reason::QueueAtMaximum]),
    }
}
