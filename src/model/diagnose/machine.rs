//! The machine that a pod waits for: from its order, over its boot, to its node.

use jiff::Timestamp;

use super::{
    inquiry::{Inquiry, after},
    phases::machine_comes,
    room::Obstacle,
    wording::inline,
};
use crate::model::{
    evidence::{AttemptRecord, NodeRecord},
    growth,
    node_group::{AccountGroup, Instance, NodeClaim, NodeGroup, instance_id},
    reason::Reason,
    scaling_activity::ScalingActivity,
    story::{Cause, Proof},
};

/// How long a machine may take to become a node before it counts as lost, in seconds (`--max-node-provision-time`; Karpenter's
/// registration limit is the same).
const PROVISION_SECONDS: i64 = 15 * 60;
/// By how much a machine may seem to be older than the pod that it was started for, in seconds: several clocks wrote the times.
const CLOCK_DIFFERENCE_SECONDS: i64 = 5;

/// Returns the machines that are on their way and that this pod may count on, as one cause; nothing when none is.
///
/// `nodes` are the nodes of the size with what keeps the pod from each: one that is being set up is on its way, too.
pub(super) fn coming(inquiry: &Inquiry<'_>, attempt: &AttemptRecord, nodes: &[(&NodeRecord, Obstacle<'_>)]) -> Option<Cause> {
    let groups = inquiry.groups();
    if let Some(cause) = claimed(inquiry, attempt) {
        return Some(cause);
    }
    let event = machine_comes(inquiry, attempt);
    let unjoined: Vec<(&AccountGroup, &Instance)> =
        groups.iter().filter_map(|group| group.account).flat_map(|account| unjoined(inquiry, account)).collect();
    let setting_up = nodes.iter().filter(|(node, obstacle)| is_new(inquiry, node, obstacle)).count();
    let wanted = groups.iter().map(|group| ordered(group)).sum::<usize>();
    let expected = unjoined.len() + setting_up + wanted;
    let place = inquiry.place().map_or(1, |(place, _)| place as usize);
    if event.is_none() && place > expected {
        return None;
    }
    let proofs = event.map(crate::model::evidence::EventRecord::proof);
    if let Some((account, instance)) = unjoined.first() {
        return Some(booting(inquiry, account, instance).proven_by(proofs));
    }
    if setting_up > 0 {
        return None; // what it still lacks is told node by node
    }
    let has_joined = |node: &NodeRecord| node.created.zip(attempt.created).is_some_and(|(joined, created)| joined >= created);
    if let Some((node, _)) = nodes.iter().find(|(node, obstacle)| *obstacle == Obstacle::Nothing && has_joined(node)) {
        let proof = Proof::new(format!("node {}", node.name), "registered, and free for the pod", node.created);
        let summary = format!("node `{}` has joined, and the scheduler places the pod", node.name);
        return Some(Cause::new(Reason::NodeBooting, summary).proven_by([proof]).proven_by(proofs));
    }
    let unregistered = groups.iter().filter_map(|group| group.status).find(|status| status.unregistered.is_some_and(|count| count > 0));
    if let Some(status) = unregistered {
        let proof = Proof::new(format!("status of node group {} by the Cluster Autoscaler", status.name), "a machine is not a node yet", None);
        return Some(
            Cause::new(Reason::NodeBooting, format!("a machine of node group `{}` boots", status.name)).proven_by([proof]).proven_by(proofs),
        );
    }
    if let Some(event) = event {
        return Some(Cause::new(Reason::ScaleUpTriggered, format!("a machine is coming: {}", inline(&event.message))).proven_by(proofs));
    }
    let group = groups.iter().find(|group| ordered(group) > 0)?;
    let (desired, there) = (group.desired_size().unwrap_or(0), group.account.map_or(0, |account| live(account).count()));
    let proof = Proof::new(format!("sizes of node group {}", group.name), format!("desired {desired}, there are {there}"), None);
    Some(Cause::new(Reason::ScaleUpTriggered, format!("a machine of node group `{}` is coming", group.name)).proven_by([proof]))
}

/// Returns whether a machine that was launched for this pod is there and boots, whatever becomes of further ones.
pub(super) fn is_there(inquiry: &Inquiry<'_>, attempt: &AttemptRecord, nodes: &[(&NodeRecord, Obstacle<'_>)]) -> bool {
    if let Some(claim) = nominated(inquiry, attempt) {
        return claim.deleted.is_none() && claim.condition("Launched").is_some();
    }
    let unjoined: usize = inquiry.groups().iter().filter_map(|group| group.account).map(|account| unjoined(inquiry, account).len()).sum();
    let setting_up = nodes.iter().filter(|(node, obstacle)| is_new(inquiry, node, obstacle)).count();
    inquiry.place().map_or(1, |(place, _)| place as usize) <= unjoined + setting_up
}

/// Returns when the machine that this attempt has or waits for was launched; nothing when its node was there before it.
pub(super) fn launched(inquiry: &Inquiry<'_>, attempt: &AttemptRecord) -> Option<Timestamp> {
    let created = attempt.created?;
    if attempt.is_bound() {
        let registered = attempt.node_created.filter(|registered| *registered >= created)?;
        let claim = inquiry.evidence.scaling.claims.iter().find(|claim| claim.node.is_some() && claim.node == attempt.node);
        let activity =
            attempt.provider_id.as_deref().and_then(instance_id).and_then(|id| launch_of(inquiry, id)).and_then(|activity| activity.started);
        let known = claim.and_then(claim_launched).or(activity).filter(|launched| *launched <= registered);
        return known.or(Some(registered));
    }
    if let Some(claim) = nominated(inquiry, attempt) {
        return claim_launched(claim);
    }
    let accounts = inquiry.groups().into_iter().filter_map(|group| group.account);
    let since = after(created, -CLOCK_DIFFERENCE_SECONDS);
    let starts = accounts.flat_map(|account| unjoined(inquiry, account)).filter_map(|(_, instance)| launch_of(inquiry, &instance.id)?.started);
    let booting = starts.filter(|started| *started >= since).min();
    let new_node = || inquiry.evidence.nodes.iter().flatten().filter_map(|node| node.created).filter(|registered| *registered >= since).min();
    booting.or_else(new_node)
}

/// Returns the claim that Karpenter has nominated for the pod.
fn nominated<'a>(inquiry: &Inquiry<'a>, attempt: &'a AttemptRecord) -> Option<&'a NodeClaim> {
    let event = inquiry.pod_event(attempt, &["Nominated"])?;
    let name = event.message.split("nodeclaim/").nth(1)?.split([',', ' ']).next()?;
    inquiry.evidence.scaling.claims.iter().find(|claim| claim.name == name)
}

/// Returns where the claim stands that Karpenter has nominated for the pod.
fn claimed(inquiry: &Inquiry<'_>, attempt: &AttemptRecord) -> Option<Cause> {
    let event = machine_comes(inquiry, attempt)?;
    let claim = nominated(inquiry, attempt).filter(|claim| claim.deleted.is_none())?;
    let name = &claim.name;
    let state = |kind: &str| claim.condition(kind).map(|condition| condition.proof(&format!("node claim {name}")));
    if let Some(initialized) = state("Initialized") {
        let summary = format!("its machine is ready, and the scheduler places the pod: {}", inline(&event.message));
        return Some(Cause::new(Reason::ScaleUpTriggered, summary).proven_by([initialized, event.proof()]));
    }
    let machine = machine_words(claim.instance_type.as_deref(), claim.zone.as_deref());
    if let Some(registered) = state("Registered") {
        let summary = format!("machine `{name}`{machine} has joined and becomes ready");
        return Some(Cause::new(Reason::NodeBooting, summary).proven_by([registered, event.proof()]));
    }
    let Some(launched) = state("Launched") else {
        let summary = format!("machine `{name}` is ordered for node pool `{}`", claim.pool);
        return Some(Cause::new(Reason::ScaleUpTriggered, summary).proven_by([event.proof()]));
    };
    let late = launched.at.is_some_and(|at| after(at, PROVISION_SECONDS) <= inquiry.now);
    let cause = if late {
        Cause::new(Reason::NodeNeverJoined, format!("machine `{name}`{machine} was started and has not become a node in 15 minutes"))
            .advising([format!("kubectl describe nodeclaim {name}")])
            .advising(growth::never_joined_advice(&claim.pool))
    } else {
        Cause::new(Reason::NodeBooting, format!("machine `{name}`{machine} boots"))
    };
    Some(cause.proven_by([launched, event.proof()]))
}

fn claim_launched(claim: &NodeClaim) -> Option<Timestamp> {
    claim.condition("Launched").and_then(|condition| condition.since)
}

/// Returns where an instance stands that is not a node yet.
fn booting(inquiry: &Inquiry<'_>, account: &AccountGroup, instance: &Instance) -> Cause {
    let started = launch_of(inquiry, &instance.id).and_then(|activity| activity.started);
    let Instance { id, instance_type, zone, lifecycle, .. } = instance;
    let machine = machine_words(instance_type.as_deref(), Some(zone.as_str()).filter(|zone| !zone.is_empty()));
    let proof = Proof::new(format!("instances of node group {}", account.name), format!("{id} is {lifecycle} and has no node"), started);
    let late = started.is_some_and(|started| after(started, PROVISION_SECONDS) <= inquiry.now);
    if late {
        let summary = format!("machine `{id}`{machine} was started and has not become a node in 15 minutes");
        return Cause::new(Reason::NodeNeverJoined, summary).proven_by([proof]).advising(growth::never_joined_advice(&account.name));
    }
    Cause::new(Reason::NodeBooting, format!("machine `{id}`{machine} boots")).proven_by([proof])
}

fn machine_words(instance_type: Option<&str>, zone: Option<&str>) -> String {
    match (instance_type, zone) {
        (Some(instance_type), Some(zone)) => format!(" ({instance_type} in {zone})"),
        (Some(one), None) | (None, Some(one)) => format!(" ({one})"),
        (None, None) => String::new(),
    }
}

/// Returns the instances of a group that start or run and are not a node; nothing where nodes could not be listed.
fn unjoined<'a>(inquiry: &Inquiry<'a>, account: &'a AccountGroup) -> Vec<(&'a AccountGroup, &'a Instance)> {
    let Some(nodes) = &inquiry.evidence.nodes else { return Vec::new() };
    let joined: Vec<&str> = nodes.iter().chain(&inquiry.evidence.other_nodes).filter_map(|node| instance_id(node.provider_id.as_deref()?)).collect();
    live(account).filter(|instance| !joined.contains(&instance.id.as_str())).map(|instance| (account, instance)).collect()
}

fn live(account: &AccountGroup) -> impl Iterator<Item = &Instance> {
    account.instances.iter().filter(|instance| instance.is_live())
}

/// Returns the number of machines that a group has asked for and not got yet.
fn ordered(group: &NodeGroup<'_>) -> usize {
    match (group.account, group.status) {
        (Some(account), _) => (account.desired_size as usize).saturating_sub(live(account).count()),
        (None, Some(status)) if status.scale_up.as_deref() == Some("InProgress") => {
            let there = status.registered.unwrap_or(0) + status.unregistered.unwrap_or(0);
            status.target.unwrap_or(0).saturating_sub(there) as usize
        }
        _ => 0,
    }
}

/// Returns whether a node has just joined and is still being set up.
fn is_new(inquiry: &Inquiry<'_>, node: &NodeRecord, obstacle: &Obstacle<'_>) -> bool {
    let setting_up = matches!(obstacle, Obstacle::NotReady(_) | Obstacle::StartupTaint(_));
    setting_up && node.created.is_some_and(|created| after(created, PROVISION_SECONDS) > inquiry.now)
}

fn launch_of<'a>(inquiry: &Inquiry<'a>, instance: &str) -> Option<&'a ScalingActivity> {
    let groups = inquiry.evidence.scaling.account.value()?;
    let activities = groups.iter().flat_map(|group| group.activities.iter().flatten());
    activities.into_iter().find(|activity| activity.is_launch() && activity.instance() == Some(instance))
}
