//! The survey: one record for each size and node group.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    Counts, Departure, ScaleState, closed,
    departure::departure,
    group::{Group, counts_without_nodes, facts, sum},
    membership::{Home, Membership},
};
use crate::model::{
    footprint::{Allocatable, Footprint},
    growth::{self, Demand},
    identity::{SizeName, label_value},
    instance_map::{Defaults, SizeProfile},
    machine::{Machine, MachineState},
    node_group::{EKS_NODE_GROUP, EKSCTL_NODE_GROUP, NODE_POOL, NodeGroup, Scaling},
    occupancy::{Occupancy, OccupiedNode, PodScope, WaitingPods},
    story::Cause,
};

/// Failures before this are no news when nothing waits.
const RECENT: SignedDuration = SignedDuration::from_mins(15);

/// What a survey is made from.
#[derive(Debug, Clone, Copy)]
pub struct SurveyInput<'a> {
    /// All sizes of the map.
    pub sizes: &'a [SizeProfile],
    /// What holds for every size that does not say otherwise.
    pub defaults: &'a Defaults,
    /// The one size that is asked for, else all.
    pub size: Option<&'a SizeName>,
    /// Whether node groups without a size are wanted, too.
    pub all: bool,
    /// Account, autoscaler and pools.
    pub scaling: &'a Scaling,
    /// Nodes and what runs on them.
    pub occupancy: &'a Occupancy,
    /// How long the Cluster Autoscaler lets a node be unneeded, where its flags are known.
    pub unneeded_time: Option<Duration>,
    /// The time.
    pub now: Timestamp,
}

/// All node groups, and what could not be seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Survey {
    /// The groups, in the order of the map; then those without a size, by name.
    pub groups: Vec<GroupSurvey>,
    /// What could not be seen, as sentences for people.
    pub unknown: Vec<String>,
}

/// What is known of one node group of one size.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GroupSurvey {
    /// The size; none for a group that no size of the map names.
    pub size: Option<SizeName>,
    /// Its node group; several where nothing tells the nodes of a size's groups apart; none when the map names none.
    pub node_groups: Vec<String>,
    /// Its Karpenter NodePool.
    pub node_pool: Option<String>,
    /// Its scale state; none when nothing tells it.
    pub state: Option<ScaleState>,
    /// Number of nodes that it is to have.
    pub desired_size: Option<u32>,
    /// Least number of nodes.
    pub min_size: Option<u32>,
    /// Largest number of nodes.
    pub max_size: Option<u32>,
    /// Limits of its NodePool, as written.
    pub limits: BTreeMap<String, String>,
    /// Its machines, counted.
    pub counts: Counts,
    /// Its machines that are known.
    pub machines: Vec<Machine>,
    /// When its idle nodes go, by the name of the node.
    pub departures: Vec<(String, Departure)>,
    /// Instance types that it has, else those that it may start.
    pub instance_types: Vec<String>,
    /// Whether its machines are spot machines; none when unknown or mixed.
    pub spot: Option<bool>,
    /// Sum of the requests on its nodes.
    pub requests: Option<Footprint>,
    /// Sum of what pods may use of its nodes.
    pub allocatable: Option<Allocatable>,
    /// Pods of Jobs that run on its nodes.
    pub jobs_running: Option<u32>,
    /// Pods that wait for a node of its size.
    pub jobs_waiting: Option<u32>,
    /// What keeps it from growing, the most telling first.
    pub hindrances: Vec<Cause>,
    /// What could not be seen of it, as sentences for people.
    pub unknown: Vec<String>,
}

/// Returns what is known of the node groups.
#[must_use]
pub fn survey(input: &SurveyInput<'_>) -> Survey {
    let named = input.sizes.iter().flat_map(|size| size.node_groups.iter().chain(&size.node_pool)).map(|name| name.value.as_str());
    let membership = Membership::new(input.scaling, named.collect());
    let sizes = input.sizes.iter().filter(|size| input.size.is_none_or(|wanted| *wanted == size.name));
    let mut groups: Vec<GroupSurvey> = sizes.flat_map(|size| of_size(input, &membership, size)).collect();
    if input.all {
        let without_size = without_size(input);
        groups.extend(without_size.into_iter().map(|group| {
            let groups = [group];
            let is_member = |node: &&OccupiedNode| matches!(membership.home(&node.node, &groups, &BTreeMap::new()), Home::Group(_));
            let members: Vec<&OccupiedNode> = nodes(input).filter(is_member).collect();
            of_groups(input, None, &groups, &members)
        }));
    }
    Survey { unknown: closed::sources(input, &groups), groups }
}

fn nodes<'a>(input: &SurveyInput<'a>) -> impl Iterator<Item = &'a OccupiedNode> + use<'a> {
    input.occupancy.nodes.value().into_iter().flatten()
}

/// Returns one record for each group of a size, or one for all where nothing tells their nodes apart.
fn of_size(input: &SurveyInput<'_>, membership: &Membership<'_>, size: &SizeProfile) -> Vec<GroupSurvey> {
    let named = size.node_groups.iter().map(|name| (name, false)).chain(size.node_pool.iter().map(|name| (name, true)));
    let groups: Vec<Group<'_>> = named.map(|(name, is_pool)| Group::find(&name.value, is_pool, input.scaling, input.now)).collect();
    let selector = size.placement().node_selector;
    let homes: Vec<(&OccupiedNode, Home)> = nodes(input).map(|node| (node, membership.home(&node.node, &groups, &selector))).collect();
    let at = |wanted: Home| homes.iter().filter(move |(_, home)| *home == wanted).map(|(node, _)| *node);
    if groups.is_empty() || at(Home::Size).next().is_some() {
        let members: Vec<&OccupiedNode> = homes.iter().filter(|(_, home)| *home != Home::Elsewhere).map(|(node, _)| *node).collect();
        return vec![of_groups(input, Some(size), &groups, &members)];
    }
    let one = |(index, group)| of_groups(input, Some(size), std::slice::from_ref(group), &at(Home::Group(index)).collect::<Vec<_>>());
    groups.iter().enumerate().map(one).collect()
}

/// Returns the groups that no size of the map names, by name.
fn without_size<'a>(input: &SurveyInput<'a>) -> Vec<Group<'a>> {
    let of_account = input.scaling.account.value().into_iter().flatten().map(|group| (group.name.as_str(), false));
    let of_status = input.scaling.autoscaler.value().into_iter().flat_map(|status| &status.groups).map(|group| (group.name.as_str(), false));
    let of_pools = input.scaling.pools.value().into_iter().flatten().map(|pool| (pool.name.as_str(), true));
    let label = |node: &'a OccupiedNode, key: &str| node.node.labels.get(key).map(String::as_str);
    let of_nodes = nodes(input).filter_map(|node| {
        let group = || label(node, EKS_NODE_GROUP).or_else(|| label(node, EKSCTL_NODE_GROUP)).map(|name| (name, false));
        label(node, NODE_POOL).map(|name| (name, true)).or_else(group)
    });
    let names: BTreeSet<(&str, bool)> = of_account.chain(of_status).chain(of_pools).chain(of_nodes).collect();
    let mut found: Vec<Group<'a>> = Vec::new();
    let sizes = || {
        input.sizes.iter().flat_map(|size| size.node_groups.iter().map(|name| (name, false)).chain(size.node_pool.iter().map(|name| (name, true))))
    };
    for (name, is_pool) in names {
        let group = Group::find(name, is_pool, input.scaling, input.now);
        let is_of_size = sizes().any(|(known, of_pool)| of_pool == is_pool && group.is_called(&known.value));
        let is_found = found.iter().any(|known| known.0.is_pool == is_pool && (known.is_called(name) || group.is_called(known.0.name)));
        if !is_of_size && !is_found {
            found.push(group);
        }
    }
    found
}

/// Returns what is known of `groups` as one.
fn of_groups(input: &SurveyInput<'_>, size: Option<&SizeProfile>, groups: &[Group<'_>], members: &[&OccupiedNode]) -> GroupSurvey {
    let nodes_seen = input.occupancy.nodes.value().is_some();
    let all_pods = matches!(input.occupancy.pods.value(), Some(PodScope::Cluster));
    let mut machines: Vec<Machine> = members.iter().map(|node| Machine::of_node(node, all_pods, input.now)).collect();
    let without_node: Vec<Machine> = groups.iter().flat_map(|group| group.without_node(&machines)).collect();
    machines.extend(without_node);
    let counts = if nodes_seen { counts_of_all(groups, &machines, all_pods) } else { counts_without_nodes(groups, &machines) };
    let hindrances = hindrances(input, size, groups);
    let facts = facts(groups, &counts, &machines, nodes_seen, &hindrances);
    let pools = groups.iter().filter(|group| group.0.is_pool);
    GroupSurvey {
        size: size.map(|size| size.name.clone()),
        node_groups: groups.iter().filter(|group| !group.0.is_pool).map(|group| group.0.name.to_owned()).collect(),
        node_pool: pools.map(|group| group.0.name.to_owned()).next(),
        state: facts.state(),
        desired_size: facts.desired,
        min_size: sum(groups, NodeGroup::min_size),
        max_size: facts.maximum,
        limits: groups.iter().filter_map(|group| group.0.pool).flat_map(|pool| pool.limits.clone()).collect(),
        departures: departures(input, groups, members, &machines, facts.present),
        instance_types: instance_types(size, groups, &machines),
        spot: spot(size, groups, &machines),
        requests: all_pods.then(|| members.iter().map(|node| node.load.requests).fold(Footprint::default(), Footprint::plus)),
        allocatable: nodes_seen.then(|| members.iter().map(|node| node.node.allocatable).fold(Allocatable::default(), Allocatable::plus)),
        jobs_running: input.occupancy.pods.value().map(|_| members.iter().map(|node| node.load.jobs).sum()),
        jobs_waiting: input.occupancy.pods.value().map(|_| waiting(input, size, groups)),
        unknown: closed::of_groups(input, groups),
        counts,
        machines,
        hindrances,
    }
}

/// Returns what keeps the groups from growing; of several groups only what keeps each of them.
fn hindrances(input: &SurveyInput<'_>, size: Option<&SizeProfile>, groups: &[Group<'_>]) -> Vec<Cause> {
    let footprint = size.map(|size| size.footprint(input.defaults)).unwrap_or_default();
    let oldest = input.occupancy.waiting.iter().filter(|pods| waits(pods, size, groups)).filter_map(|pods| pods.oldest).min();
    let demand = Demand { since: oldest.unwrap_or(input.now - RECENT), footprint };
    let of_each: Vec<Vec<Cause>> = groups.iter().map(|group| growth::hindrances(&group.0, input.scaling, &demand, input.now)).collect();
    if of_each.iter().any(Vec::is_empty) { Vec::new() } else { of_each.into_iter().flatten().collect() }
}

/// Returns the counts of machines whose nodes are known. Without the account, machines that boot are those that are missing.
fn counts_of_all(groups: &[Group<'_>], machines: &[Machine], all_pods: bool) -> Counts {
    let mut counts = Counts::of(machines, all_pods);
    let is_seen = |group: &Group<'_>| group.0.account.is_some() || group.0.pool.is_some();
    if !groups.is_empty() && !groups.iter().all(is_seen) {
        let nodes = counts.ready.unwrap_or(0) + counts.booting.unwrap_or(0) + counts.not_ready.unwrap_or(0);
        let missing = sum(groups, NodeGroup::desired_size).map(|desired| desired.saturating_sub(nodes));
        counts.booting = counts.booting.zip(missing).map(|(booting, missing)| booting + missing);
    }
    counts
}

fn departures(
    input: &SurveyInput<'_>,
    groups: &[Group<'_>],
    members: &[&OccupiedNode],
    machines: &[Machine],
    present: Option<u32>,
) -> Vec<(String, Departure)> {
    let group = match groups {
        [only] => Some(only),
        _ => None,
    };
    let is_least = sum(groups, NodeGroup::min_size).zip(present).is_some_and(|(minimum, present)| present <= minimum);
    let is_idle = |node: &&&OccupiedNode| {
        machines.iter().any(|machine| machine.state == MachineState::Idle && machine.node.as_deref() == Some(&node.node.name))
    };
    let leaving = |node: &&OccupiedNode| (node.node.name.clone(), departure(node, group, input, is_least));
    members.iter().filter(is_idle).map(leaving).collect()
}

/// Returns the types of the machines, else those that the groups may start, else those of the map.
fn instance_types(size: Option<&SizeProfile>, groups: &[Group<'_>], machines: &[Machine]) -> Vec<String> {
    let present: BTreeSet<&String> = machines.iter().filter_map(|machine| machine.instance_type.as_ref()).collect();
    if !present.is_empty() {
        return present.into_iter().cloned().collect();
    }
    let possible: BTreeSet<String> = groups.iter().flat_map(Group::instance_types).collect();
    if !possible.is_empty() {
        return possible.into_iter().collect();
    }
    size.iter().flat_map(|size| &size.instance_types).map(|name| name.value.clone()).collect()
}

/// Returns whether the machines are spot machines, else whether the groups start such, else what the map says.
fn spot(size: Option<&SizeProfile>, groups: &[Group<'_>], machines: &[Machine]) -> Option<bool> {
    let same = |of: &mut dyn Iterator<Item = Option<bool>>| of.reduce(|left, right| if left == right { left } else { None }).flatten();
    let known = machines.iter().filter(|machine| machine.spot.is_some()).map(|machine| machine.spot);
    if machines.iter().any(|machine| machine.spot.is_some()) {
        return same(&mut known.into_iter());
    }
    same(&mut groups.iter().map(Group::spot)).or_else(|| size.and_then(|size| size.spot))
}

/// Returns how many pods wait for these groups.
fn waiting(input: &SurveyInput<'_>, size: Option<&SizeProfile>, groups: &[Group<'_>]) -> u32 {
    input.occupancy.waiting.iter().filter(|pods| waits(pods, size, groups)).map(|pods| pods.count).sum()
}

/// Returns whether pods wait for a node of this size, or, without one, for a node with the labels of the group's template.
fn waits(pods: &WaitingPods, size: Option<&SizeProfile>, groups: &[Group<'_>]) -> bool {
    let Some(size) = size else {
        let labels: BTreeMap<String, String> = groups.iter().flat_map(Group::labels).collect();
        return !pods.node_selector.is_empty() && is_within(&pods.node_selector, &labels);
    };
    if let Some(named) = &pods.size {
        return *named == label_value(&size.name.0);
    }
    let selector = size.placement().node_selector;
    !selector.is_empty() && is_within(&selector, &pods.node_selector)
}

fn is_within(part: &BTreeMap<String, String>, whole: &BTreeMap<String, String>) -> bool {
    part.iter().all(|(key, value)| whole.get(key) == Some(value))
}
