//! What cannot be seen is said, and never guessed.

use super::builders::{Surroundings, mk_group, mk_node, now, seen};
use crate::model::{
    node_group::Sighting,
    occupancy::PodScope,
    reason::Reason,
    scale_state::{Counts, ScaleState},
};

const SMALL: &str = "  small: {node_group: flows-small, footprint: {cpu: 1, memory: 1Gi}, node_selector: {size: small}, tolerations: []}\n";

#[test]
fn without_any_right_nothing_is_claimed() {
    let mut surroundings = Surroundings::new(SMALL);
    surroundings.occupancy.nodes = Sighting::Unseen("the nodes: you may not list nodes".into());
    surroundings.occupancy.pods = Sighting::Unseen("what runs on the nodes: you may not list pods".into());
    surroundings.scaling.account = Sighting::Unseen("no AWS credentials".into());
    surroundings.scaling.autoscaler = Sighting::Unseen("the Cluster Autoscaler's status: you may not get configmaps".into());
    let found = surroundings.only();
    assert_eq!((found.state, found.counts, found.jobs_running), (None, Counts::default(), None));
    assert_eq!((found.desired_size, found.max_size, found.requests, found.allocatable), (None, None, None, None));
    let unknown = surroundings.survey().unknown;
    for words in ["list nodes", "list pods", "no AWS credentials", "get configmaps"] {
        assert!(unknown.iter().any(|sentence| sentence.contains(words)), "{words}: {unknown:?}");
    }
}

#[test]
fn the_account_alone_tells_sizes_and_machines_that_surely_boot() {
    let mut surroundings = Surroundings::new(SMALL);
    surroundings.occupancy.nodes = Sighting::Unseen("the nodes: you may not list nodes".into());
    let mut group = mk_group("flows-small", 2, 5, &["i-1", "i-2"]);
    group.instances[1].lifecycle = "Pending".into();
    let found = surroundings.account([group]).only();
    assert_eq!((found.desired_size, found.counts.ready, found.counts.booting), (Some(2), None, Some(1)));
    assert_eq!(found.state, Some(ScaleState::ScalingUp));
}

#[test]
fn jobs_of_one_namespace_do_not_tell_whether_a_node_is_idle() {
    let mut surroundings = Surroundings::new(SMALL).nodes([mk_node("n", &[("size", "small")])]);
    surroundings.occupancy.pods = seen(PodScope::Namespace("flows".into()));
    let found = surroundings.only();
    assert_eq!((found.counts.ready, found.counts.busy, found.counts.idle), (Some(1), None, None));
    assert_eq!((found.requests, found.jobs_running, found.departures.len()), (None, Some(0), 0));
    assert!(surroundings.survey().unknown.iter().any(|sentence| sentence.contains("in namespace `flows` only")));
}

#[test]
fn a_size_without_a_group_shows_its_nodes_and_says_what_is_missing() {
    let bare = "  small: {footprint: {cpu: 1, memory: 1Gi}, node_selector: {size: small}, tolerations: []}\n";
    let found = Surroundings::new(bare).nodes([mk_node("n", &[("size", "small")])]).only();
    assert_eq!((found.counts.ready, found.state), (Some(1), Some(ScaleState::Steady)));
    assert_eq!(found.unknown, ["the map names no node group for it: limits and machines on their way cannot be seen"]);
}

#[test]
fn an_absent_autoscaler_is_why_nothing_grows() {
    let mut surroundings = Surroundings::new(SMALL);
    surroundings.scaling.autoscaler = Sighting::Absent { at: now() };
    let found = surroundings.survey();
    assert_eq!(found.groups[0].hindrances.iter().map(|cause| cause.reason).collect::<Vec<_>>(), [Reason::ScaleUpAutoscalerDown]);
    assert!(found.unknown.is_empty(), "{:?}", found.unknown);
}
