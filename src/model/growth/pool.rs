//! NodePools under Karpenter.

use super::Demand;
use crate::model::{
    evidence::EventRecord,
    footprint::Allocatable,
    node_group::{NodeClaim, NodeGroup, NodePool, Scaling},
    node_pool::{ReachedLimit, capacity_failure, is_claim_of},
    reason::Reason,
    story::{Cause, Proof},
};

/// What Karpenter quotes of AWS when the account's quota is used up.
const QUOTAS: [&str; 3] = ["VcpuLimitExceeded", "MaxSpotInstanceCountExceeded", "Max spot instance count exceeded"];

pub(super) fn hindrances(pool: &NodePool, group: &NodeGroup<'_>, scaling: &Scaling, demand: &Demand) -> Vec<Cause> {
    let mut causes: Vec<Cause> = not_ready(pool).into_iter().collect();
    causes.extend(no_capacity(pool, group, scaling, demand).or_else(|| refused_launch(pool, group)));
    causes.extend(at_limit(pool, group, demand));
    causes.extend(held_up(pool, scaling));
    causes
}

fn not_ready(pool: &NodePool) -> Option<Cause> {
    let condition = pool.conditions.iter().find(|condition| condition.kind == "Ready" && condition.status != "True")?;
    let words = if condition.message.is_empty() { &condition.reason } else { &condition.message };
    let proof = Proof::new(format!("condition Ready of node pool {}", pool.name), format!("{}: {words}", condition.status), condition.since);
    let summary = format!("node pool `{}` is not ready: {}", pool.name, words.trim_end_matches('.'));
    let next = [format!("kubectl describe nodepool {}", pool.name)];
    Some(Cause::new(Reason::ScaleUpPoolNotReady, summary).proven_by([proof]).advising(next))
}

/// The newest claim of the pool was given up for want of machines, and none has been launched since.
fn no_capacity(pool: &NodePool, group: &NodeGroup<'_>, scaling: &Scaling, demand: &Demand) -> Option<Cause> {
    let seen = |event: &EventRecord| event.last.or(event.first);
    let of_pool = |event: &&EventRecord| event.object_kind == "NodeClaim" && is_claim_of(&event.object, &pool.name);
    let failures = scaling.events.iter().filter(of_pool).filter_map(|event| Some((event, capacity_failure(event)?)));
    let (event, words) = failures.filter(|(event, _)| seen(event).is_some_and(|at| at >= demand.since)).max_by_key(|(event, _)| seen(event))?;
    let launched_since = group.claims.iter().filter_map(|claim| claim.condition("Launched")).any(|condition| condition.since >= seen(event));
    if launched_since {
        return None;
    }
    let name = &pool.name;
    let (reason, summary) = if QUOTAS.iter().any(|quota| words.contains(quota)) {
        (Reason::CapacityQuota, format!("a quota of the AWS account keeps node pool `{name}` from growing"))
    } else if pool.is_spot() == Some(true) {
        (Reason::CapacitySpot, format!("the cloud has no spot machine for node pool `{name}`"))
    } else {
        (Reason::CapacityOnDemand, format!("the cloud has no machine for node pool `{name}`"))
    };
    let proof = Proof::new(format!("event {} on {} {}", event.reason, event.object_kind, event.object), words, seen(event));
    let next = [format!("allow more instance types or zones in the requirements of node pool `{name}`")];
    Some(Cause::new(reason, summary).proven_by([proof]).advising(next))
}

/// The cloud refuses to launch a claim of the pool, and not for want of machines.
fn refused_launch(pool: &NodePool, group: &NodeGroup<'_>) -> Option<Cause> {
    let (_, proof) = refused(group.claims.iter().copied())?;
    let next = ["mend the node class of the pool, or the rights of Karpenter; the condition says what is wrong".to_owned()];
    let summary = format!("node pool `{}` cannot start a machine as it is configured", pool.name);
    Some(Cause::new(Reason::CapacityLaunchConfiguration, summary).proven_by([proof]).advising(next))
}

/// Karpenter decides about no pod at all until it knows what it gets for every claim: a refused launch of one pool holds up all others.
///
/// Source: Karpenter 1.14, `state/cluster.go` (`Synced`); it gives such a claim up after 5 minutes, and may order the next one.
fn held_up(pool: &NodePool, scaling: &Scaling) -> Option<Cause> {
    let (claim, proof) = refused(scaling.claims.iter().filter(|claim| claim.pool != pool.name))?;
    let other = &claim.pool;
    let summary = format!("Karpenter starts no machine of any pool while the cloud refuses one of node pool `{other}`");
    let next =
        [format!("mend the node class of node pool `{other}`, or the rights of Karpenter"), format!("kubectl describe nodeclaim {}", claim.name)];
    Some(Cause::new(Reason::ScaleUpAutoscalerDown, summary).proven_by([proof]).advising(next))
}

/// Returns the last claim whose launch the cloud refuses, and its words.
fn refused<'a>(claims: impl Iterator<Item = &'a NodeClaim>) -> Option<(&'a NodeClaim, Proof)> {
    let open = claims.filter(|claim| claim.deleted.is_none());
    let (claim, condition) = open.filter_map(|claim| Some((claim, claim.refused_launch()?))).last()?;
    let words = if condition.message.is_empty() { &condition.reason } else { &condition.message };
    Some((claim, Proof::new(format!("condition {} of node claim {}", condition.kind, claim.name), words, condition.since)))
}

/// What the pool has, and one more machine that would just hold the job, is more than its limits allow.
fn at_limit(pool: &NodePool, group: &NodeGroup<'_>, demand: &Demand) -> Option<Cause> {
    // What a pool starts is known best by what it has started.
    let smallest = group.claims.iter().map(|claim| &claim.allocatable).filter(|machine| machine.cpu.0 > 0).min_by_key(|machine| machine.cpu);
    let limit = pool.reached_limits(&demand.footprint, smallest.map(without_storage).as_ref()).into_iter().max_by_key(|limit| limit.for_good)?;
    let ReachedLimit { resource, limit, in_use, needed, for_good } = limit;
    let name = &pool.name;
    let proof = Proof::new(format!("limits of node pool {name}"), format!("{resource}: {in_use} of {limit} in use, {needed} needed"), None);
    let (reason, summary) = if for_good {
        (Reason::SchedulingNeverFits, format!("the job can never fit: the limit of node pool `{name}` is {limit}, one machine needs {needed}"))
    } else {
        (Reason::QueueAtMaximum, format!("node pool `{name}` is at its limit: {in_use} of {limit} in use"))
    };
    let raise = format!("or raise it: kubectl patch nodepool {name} --type=merge -p '{{\"spec\":{{\"limits\":{{\"{resource}\":\"MORE\"}}}}}}'");
    Some(Cause::new(reason, summary).proven_by([proof]).advising(["take another size: sbrun sizes".to_owned(), raise]).hopeless(for_good))
}

/// Karpenter counts what a machine has; of storage a claim tells only what pods may use.
fn without_storage(machine: &Allocatable) -> Allocatable {
    Allocatable { ephemeral_storage: None, ..*machine }
}
