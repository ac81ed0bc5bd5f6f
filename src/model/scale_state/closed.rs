//! What a survey could not see, in sentences for people.

use super::{SurveyInput, group::Group, survey::GroupSurvey};
use crate::model::{node_group::Sighting, occupancy::PodScope};

/// Returns what was closed, as far as any of the groups would have needed it.
pub(super) fn sources(input: &SurveyInput<'_>, groups: &[GroupSurvey]) -> Vec<String> {
    let scaling = input.scaling;
    let any_group = groups.iter().any(|group| !group.node_groups.is_empty());
    let any_pool = groups.iter().any(|group| group.node_pool.is_some());
    let mut unknown = Vec::new();
    unknown.extend(input.occupancy.nodes.obstacle().map(ToOwned::to_owned));
    match &input.occupancy.pods {
        Sighting::Unseen(why) => unknown.push(why.clone()),
        Sighting::Seen { value: PodScope::Namespace(namespace), .. } => {
            unknown.push(format!("what runs on the nodes: you may list pods in namespace `{namespace}` only; jobs are counted there"));
        }
        _ => {}
    }
    if any_group {
        // An autoscaler that is absent or down is no gap in what is known: it is why nothing grows, and told so.
        let helps_out = scaling.autoscaler.value().is_some_and(|status| !status.is_stale(input.now));
        let instead = if helps_out { "; limits and machines on their way are the autoscaler's figures" } else { "" };
        unknown.extend(scaling.account.obstacle().map(|why| format!("{why}{instead}")));
        unknown.extend(scaling.autoscaler.obstacle().map(ToOwned::to_owned));
    }
    if any_pool {
        match &scaling.pools {
            Sighting::Unseen(why) => unknown.push(why.clone()),
            Sighting::Absent { .. } => unknown.push("node pools: this cluster has no Karpenter".to_owned()),
            _ => {}
        }
    }
    unknown
}

/// Returns what cannot be known of these groups alone.
pub(super) fn of_groups(input: &SurveyInput<'_>, groups: &[Group<'_>]) -> Vec<String> {
    let mut unknown = Vec::new();
    if groups.is_empty() {
        unknown.push("the map names no node group for it: limits and machines on their way cannot be seen".to_owned());
    }
    if groups.len() > 1 {
        unknown.push("its nodes do not say which of its node groups they belong to".to_owned());
    }
    for group in groups {
        let name = group.0.name;
        if group.0.is_pool && input.scaling.pools.value().is_some() && group.0.pool.is_none() {
            unknown.push(format!("there is no node pool `{name}`"));
        }
        if !group.0.is_pool && input.scaling.account.value().is_some() && group.0.account.is_none() {
            unknown.push(format!("this account and region have no node group `{name}`"));
        }
        if let Some(unit) = group.0.account.and_then(|account| account.desired_unit.as_deref()) {
            unknown.push(format!("the sizes of node group `{name}` are in `{unit}`, not in nodes"));
        }
    }
    unknown
}
