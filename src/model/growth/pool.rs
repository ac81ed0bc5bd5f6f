//! NodePools under Karpenter.

use super::Demand;
use crate::model::{
    evidence::EventRecord,
    node_group::{NodeGroup, NodePool, Scaling},
    quantity::{Cpu, Memory},
    reason::Reason,
    story::{Cause, Proof},
};

pub(super) fn hindrances(pool: &NodePool, group: &NodeGroup<'_>, scaling: &Scaling, demand: &Demand) -> Vec<Cause> {
    let mut causes: Vec<Cause> = not_ready(pool).into_iter().collect();
    causes.extend(no_capacity(pool, group, scaling, demand));
    causes.extend(at_limit(pool, demand));
    causes
}

fn not_ready(pool: &NodePool) -> Option<Cause> {
    let condition = pool.conditions.iter().find(|condition| condition.kind == "Ready" && condition.status != "True")?;
    let words = if condition.message.is_empty() { &condition.reason } else { &condition.message };
    let proof = Proof::new(format!("condition Ready of node pool {}", pool.name), format!("{}: {words}", condition.status), condition.since);
    let summary = format!("node pool `{}` is not ready: {}", pool.name, words.trim_end_matches('.'));
    Some(
        Cause::new(Reason::ScaleUpPoolNotReady, summary)
            .proven_by([proof])
            .advising([format!("kubectl describe nodepool {}", pool.name)]),
    )
}

/// The newest claim of the pool was given up for want of machines, and none has been launched since.
fn no_capacity(pool: &NodePool, group: &NodeGroup<'_>, scaling: &Scaling, demand: &Demand) -> Option<Cause> {
    let of_pool = |event: &&EventRecord| {
        // A claim that is gone is known by its name only: `<pool>-<five characters>`.
        let named = event.object.rsplit_once('-').is_some_and(|(stem, _)| stem == pool.name);
        event.object_kind == "NodeClaim" && event.reason == "InsufficientCapacityError" && named
    };
    let event = scaling.events.iter().filter(of_pool).filter(|event| event.last.or(event.first).is_some_and(|at| at >= demand.since)).next_back()?;
    let failed = event.last.or(event.first);
    let launched_since = group.claims.iter().filter_map(|claim| claim.condition("Launched")).any(|condition| condition.since >= failed);
    if launched_since {
        return None;
    }
    let only_spot = pool.requirements.iter().any(|one| one.key == "karpenter.sh/capacity-type" && one.operator == "In" && one.values == ["spot"]);
    let (reason, machine) = if only_spot { (Reason::CapacitySpot, "spot machine") } else { (Reason::CapacityOnDemand, "machine") };
    let source = format!("event {} on {} {}", event.reason, event.object_kind, event.object);
    Some(
        Cause::new(reason, format!("the cloud has no {machine} for node pool `{}`", pool.name))
            .proven_by([Proof::new(source, &event.message, failed)])
            .advising([format!("allow more instance types or zones in the requirements of node pool `{}`", pool.name)]),
    )
}

/// What the pool has, and one more machine that would just hold the job, is more than its limits allow.
fn at_limit(pool: &NodePool, demand: &Demand) -> Option<Cause> {
    let asked = |resource: &str| match resource {
        "cpu" => Some(demand.footprint.cpu.0),
        "memory" => Some(demand.footprint.memory.0),
        "nodes" => Some(1),
        _ => None,
    };
    let exceeded = pool.limits.iter().find(|(resource, limit)| {
        let in_use = pool.in_use.get(*resource).and_then(|text| amount(resource, text)).unwrap_or(0);
        asked(resource).zip(amount(resource, limit)).is_some_and(|(asked, limit)| in_use.saturating_add(asked) > limit)
    })?;
    let (resource, limit) = exceeded;
    let in_use = pool.in_use.get(resource).map_or("0", String::as_str);
    let proof = Proof::new(format!("limits of node pool {}", pool.name), format!("{resource}: {in_use} of {limit} in use"), None);
    let summary = format!("node pool `{}` is at its limit: {in_use} of {limit} {resource} in use", pool.name);
    let raise = format!("or raise it: kubectl patch nodepool {} --type=merge -p '{{\"spec\":{{\"limits\":{{\"{resource}\":\"MORE\"}}}}}}'", pool.name);
    Some(Cause::new(Reason::QueueAtMaximum, summary).proven_by([proof]).advising(["take another size: sbrun sizes".to_owned(), raise]))
}

fn amount(resource: &str, text: &str) -> Option<u64> {
    match resource {
        "cpu" => text.parse::<Cpu>().ok().map(|cpu| cpu.0),
        "memory" => text.parse::<Memory>().ok().map(|memory| memory.0),
        _ => text.parse().ok(),
    }
}
