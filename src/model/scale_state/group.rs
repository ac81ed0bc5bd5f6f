//! One node group, or several of one size that cannot be told apart, as the source of a survey's figures.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Counts, ScaleFacts};
use crate::model::{
    autoscaler_status::GroupStatus,
    machine::{Machine, MachineState},
    node_group::{AccountGroup, Instance, NODE_POOL, NodeGroup, NodePool, Scaling, is_called, is_named},
    quantity::{Cpu, Memory},
};

/// Prefix of the tags of an Auto Scaling group that say which labels its nodes will have.
const TEMPLATE_LABEL: &str = "k8s.io/cluster-autoscaler/node-template/label/";
/// Label, and requirement of a NodePool: spot or on demand.
const CAPACITY_TYPE: &str = "karpenter.sh/capacity-type";

/// A node group, and which of the two kinds it is.
#[derive(Debug, Clone)]
pub(super) struct Group<'a> {
    pub(super) is: NodeGroup<'a>,
    pub(super) is_pool: bool,
}

impl<'a> Group<'a> {
    /// Returns the group of this name. A status so old that its autoscaler cannot be running tells no figures.
    pub(super) fn find(name: &'a str, is_pool: bool, scaling: &'a Scaling, now: Timestamp) -> Self {
        let found = NodeGroup::find(name, is_pool, scaling);
        let is_stale = scaling.autoscaler.value().is_some_and(|status| status.is_stale(now));
        Self { is: NodeGroup { status: found.status.filter(|_| !is_stale), ..found }, is_pool }
    }

    /// Returns whether the map's `name` means this group.
    pub(super) fn is_called(&self, name: &str) -> bool {
        let of_account = |account: &AccountGroup| is_called(name, &account.name, &account.tags);
        let of_status = |status: &GroupStatus| is_named(name, &status.name);
        self.is.name == name
            || !self.is_pool && (is_named(name, self.is.name) || self.is.account.is_some_and(of_account) || self.is.status.is_some_and(of_status))
    }

    /// Returns the machines that have no node among `nodes`: instances and NodeClaims.
    pub(super) fn without_node(&self, nodes: &[Machine]) -> Vec<Machine> {
        let seen: BTreeSet<&str> = nodes.iter().filter_map(|machine| machine.instance.as_deref()).collect();
        let names: BTreeSet<&str> = nodes.iter().filter_map(|machine| machine.node.as_deref()).collect();
        // A warm pool's instances are stopped; they are no part of the group's size.
        let counts = |instance: &&Instance| instance.is_live() || instance.lifecycle.starts_with("Terminating");
        let instances = self.is.account.iter().flat_map(|account| account.instances.iter()).filter(counts);
        let instances = instances.filter(|instance| !seen.contains(instance.id.as_str())).map(Machine::of_instance);
        let claims = self.is.claims.iter().filter(|claim| claim.node.as_deref().is_none_or(|node| !names.contains(node)));
        instances.chain(claims.map(|claim| Machine::of_claim(claim))).collect()
    }

    /// Returns labels that its nodes will have, as far as its template says.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        if let Some(pool) = self.is.pool {
            let own = [(NODE_POOL.to_owned(), pool.name.clone())];
            return pool.labels.clone().into_iter().chain(own).collect();
        }
        let tags = self.is.account.iter().flat_map(|account| account.tags.iter());
        tags.filter_map(|(key, value)| Some((key.strip_prefix(TEMPLATE_LABEL)?.to_owned(), value.clone()))).collect()
    }

    /// Returns whether its machines are spot machines, where its own description says so.
    pub(super) fn spot(&self) -> Option<bool> {
        let of_pool = |pool: &NodePool| {
            let allowed = pool.requirements.iter().find(|requirement| requirement.key == CAPACITY_TYPE && requirement.operator == "In")?;
            let spot = |value: &String| value == "spot";
            (allowed.values.iter().all(spot) || !allowed.values.iter().any(spot)).then(|| allowed.values.iter().any(spot))
        };
        self.is.account.and_then(|account| account.spot).or_else(|| self.is.pool.and_then(of_pool))
    }

    /// Returns the instance types that it may start, where its own description says so.
    pub(super) fn instance_types(&self) -> Vec<String> {
        let of_pool = |pool: &'a NodePool| {
            let named = pool.requirements.iter().filter(|one| one.key == crate::model::machine::INSTANCE_TYPE && one.operator == "In");
            named.flat_map(|one| one.values.iter().cloned())
        };
        let of_account = self.is.account.into_iter().flat_map(|account| account.instance_types.iter().map(|(name, _)| name.clone()));
        of_account.chain(self.is.pool.into_iter().flat_map(of_pool)).collect()
    }

    /// Returns whether a pool's limits leave no room for one more node like those that it has.
    fn is_at_limit(&self) -> bool {
        let Some(pool) = self.is.pool else { return false };
        let nodes = u64::try_from(self.is.claims.iter().filter(|claim| claim.deleted.is_none()).count()).unwrap_or(u64::MAX);
        pool.limits.iter().any(|(resource, limit)| {
            let amounts = amount(resource, limit).zip(pool.in_use.get(resource).and_then(|used| amount(resource, used)));
            amounts.is_some_and(|(limit, used)| nodes > 0 && used.saturating_add(used / nodes) > limit)
        })
    }
}

/// Returns a quantity in base units; none when it is none.
fn amount(resource: &str, text: &str) -> Option<u64> {
    match resource {
        "cpu" => text.parse::<Cpu>().ok().map(|cpu| cpu.0),
        _ => text.parse::<Memory>().ok().map(|amount| amount.0),
    }
}

/// Returns the sum of what is known of every group; none when it is unknown of one, or there is none.
pub(super) fn sum<'a>(groups: &[Group<'a>], of: impl Fn(&NodeGroup<'a>) -> Option<u32>) -> Option<u32> {
    groups.iter().map(|group| of(&group.is)).reduce(|left, right| Some(left?.saturating_add(right?))).flatten()
}

/// Returns the counts of groups whose nodes may not be listed, from what the account, the autoscaler and NodeClaims say.
pub(super) fn counts_without_nodes(groups: &[Group<'_>], machines: &[Machine]) -> Counts {
    let is_seen = !groups.is_empty() && groups.iter().all(|group| group.is.account.is_some() || group.is.pool.is_some());
    let is_pool = groups.iter().all(|group| group.is_pool);
    let counted = |wanted: MachineState| {
        is_seen.then(|| u32::try_from(machines.iter().filter(|machine| machine.state == wanted).count()).unwrap_or(u32::MAX))
    };
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
pub(super) fn facts(groups: &[Group<'_>], counts: &Counts, nodes_seen: bool, is_failing: bool) -> ScaleFacts {
    let of_nodes = || Some(counts.ready? + counts.booting? + counts.not_ready.unwrap_or(0));
    // Instances and claims that have no node yet count as booting machines; the autoscaler's own figures lag by up to a minute.
    let present = if nodes_seen { of_nodes() } else { sum(groups, |group| group.account.map(live_instances)).or_else(of_nodes).or(counts.ready) };
    ScaleFacts {
        desired: sum(groups, NodeGroup::desired_size),
        maximum: sum(groups, NodeGroup::max_size),
        present,
        booting: counts.booting,
        leaving: counts.leaving,
        is_failing,
        is_at_limit: !groups.is_empty() && groups.iter().all(Group::is_at_limit),
    }
}

fn live_instances(account: &AccountGroup) -> u32 {
    u32::try_from(account.instances.iter().filter(|instance| instance.is_live()).count()).unwrap_or(u32::MAX)
}
