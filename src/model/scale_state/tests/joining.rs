//! Which nodes belong to which group, and what that comes to.

use super::builders::{Surroundings, busy, labels, mk_group, mk_node, mk_node_of, now, seen};
use crate::model::{
    autoscaler_status::{AutoscalerStatus, GroupStatus},
    evidence::ConditionRecord,
    launch_plan::Taint,
    machine::MachineState,
    node_group::{NodeClaim, NodePool},
    node_taints::DELETION_CANDIDATE,
    reason::Reason,
    scale_state::{Counts, Departure, ScaleState},
};

const SMALL: &str = "  small: {node_group: flows-small, footprint: {cpu: 1, memory: 1Gi}, node_selector: {size: small}, tolerations: []}\n";
const POOL: &str = "  small: {node_pool: flows, footprint: {cpu: 1, memory: 1Gi}, node_selector: {size: small}, tolerations: []}\n";
const ZONES: &str = "  small: {node_groups: [a, b], footprint: {cpu: 1, memory: 1Gi}, node_selector: {size: small}, tolerations: []}\n";

fn counts(ready: u32, busy: u32, idle: u32, booting: u32, leaving: u32) -> Counts {
    let some = Some;
    Counts { ready: some(ready), busy: some(busy), idle: some(idle), booting: some(booting), leaving: some(leaving), not_ready: some(0) }
}

#[test]
fn instances_without_a_node_boot() {
    let found = Surroundings::new(SMALL)
        .account([mk_group("flows-small", 3, 5, &["i-1", "i-2", "i-3"])])
        .nodes([busy(mk_node_of("i-1", &[])), mk_node_of("i-2", &[]), mk_node_of("i-9", &[("size", "large")])])
        .only();
    assert_eq!(found.counts, counts(2, 1, 1, 1, 0));
    assert_eq!(found.state, Some(ScaleState::ScalingUp));
    assert_eq!((found.desired_size, found.min_size, found.max_size), (Some(3), Some(0), Some(5)));
    assert_eq!((found.jobs_running, found.requests.unwrap().cpu.0, found.allocatable.unwrap().cpu.0), (Some(1), 1000, 8000));
}

#[test]
fn an_instance_of_another_group_is_not_ours_whatever_its_labels() {
    let found = Surroundings::new(SMALL)
        .account([mk_group("flows-small", 0, 5, &[]), mk_group("other", 1, 5, &["i-1"])])
        .nodes([mk_node_of("i-1", &[("size", "small"), ("eks.amazonaws.com/nodegroup", "flows-small")])])
        .only();
    assert_eq!((found.counts, found.state), (counts(0, 0, 0, 0, 0), Some(ScaleState::Empty)));
}

#[test]
fn labels_tell_without_the_account() {
    for (key, value) in [("eks.amazonaws.com/nodegroup", "flows-small"), ("alpha.eksctl.io/nodegroup-name", "flows-small"), ("size", "small")] {
        let found = Surroundings::new(SMALL).nodes([mk_node("n", &[(key, value)])]).only();
        assert_eq!(found.counts.ready, Some(1), "{key}");
        assert_eq!(found.state, Some(ScaleState::Steady), "{key}");
        assert_eq!((found.desired_size, found.max_size), (None, None), "{key}");
    }
    let of_another = mk_node("n", &[("size", "small"), ("eks.amazonaws.com/nodegroup", "flows-large")]);
    let large = "  large: {node_group: flows-large, footprint: {cpu: 1, memory: 1Gi}, node_selector: {size: large}, tolerations: []}\n";
    let found = Surroundings::new(&format!("{SMALL}{large}")).nodes([of_another]).survey();
    assert_eq!(found.groups.iter().map(|group| group.counts.ready).collect::<Vec<_>>(), [Some(0), Some(1)]);
}

#[test]
fn groups_of_one_size_are_told_apart_or_shown_as_one() {
    let zones = Surroundings::new(ZONES).nodes([mk_node("n", &[("size", "small"), ("eks.amazonaws.com/nodegroup", "b")])]);
    assert_eq!(zones.survey().groups.iter().map(|group| group.counts.ready).collect::<Vec<_>>(), [Some(0), Some(1)]);
    let found = Surroundings::new(ZONES)
        .account([mk_group("a", 1, 2, &["i-1"]), mk_group("b", 2, 3, &["i-2", "i-3"])])
        .nodes([mk_node("n", &[("size", "small")])])
        .only();
    assert_eq!((found.node_groups, found.desired_size, found.max_size), (vec!["a".to_owned(), "b".to_owned()], Some(3), Some(5)));
    assert_eq!(found.unknown, ["its nodes do not say which of its node groups they belong to"]);
}

#[test]
fn without_the_account_missing_nodes_boot() {
    let mut surroundings = Surroundings::new(SMALL).nodes([mk_node("n", &[("size", "small")])]);
    let group = GroupStatus { name: "flows-small".into(), target: Some(3), min_size: Some(0), max_size: Some(3), ..GroupStatus::default() };
    surroundings.scaling.autoscaler =
        seen(AutoscalerStatus { updated: Some(now()), groups: vec![group], is_complete: true, ..AutoscalerStatus::default() });
    let found = surroundings.only();
    assert_eq!((found.counts.booting, found.state, found.max_size), (Some(2), Some(ScaleState::ScalingUp), Some(3)));
    // A status that nobody writes any more tells nothing.
    surroundings.scaling.autoscaler = match surroundings.scaling.autoscaler {
        crate::model::node_group::Sighting::Seen { mut value, at } => {
            value.updated = Some(now() - jiff::SignedDuration::from_mins(12));
            crate::model::node_group::Sighting::Seen { value, at }
        }
        other => other,
    };
    let found = surroundings.only();
    assert_eq!((found.counts.booting, found.state, found.max_size), (None, Some(ScaleState::Steady), None));
    assert_eq!(found.hindrances[0].reason, Reason::ScaleUpAutoscalerDown);
}

#[test]
fn nodes_come_and_go() {
    let made = |change: fn(&mut crate::model::occupancy::OccupiedNode)| {
        let mut node = mk_node("n", &[("size", "small")]);
        change(&mut node);
        let found = Surroundings::new(SMALL).nodes([node]).only();
        (found.machines[0].state, found.state)
    };
    let taint = |key: &str, effect: &str| Taint { key: key.into(), value: String::new(), effect: effect.into() };
    assert_eq!(made(|_| {}), (MachineState::Idle, Some(ScaleState::Steady)));
    assert_eq!(made(|node| node.load.others = 1), (MachineState::Busy, Some(ScaleState::Steady)));
    assert_eq!(made(|node| node.node.cordoned = true), (MachineState::Cordoned, Some(ScaleState::Steady)));
    assert_eq!(made(|node| node.deleted = Some(now())), (MachineState::Leaving, Some(ScaleState::ScalingDown)));
    let removal = taint("ToBeDeletedByClusterAutoscaler", "NoSchedule");
    let mut node = mk_node("n", &[("size", "small")]);
    node.node.taints = vec![removal];
    assert_eq!(Surroundings::new(SMALL).nodes([node]).only().machines[0].state, MachineState::Leaving);
    // A node that is new gets ready; an old one has been.
    let unready = |node: &mut crate::model::occupancy::OccupiedNode| {
        node.node.conditions = vec![ConditionRecord { kind: "Ready".into(), status: "False".into(), ..ConditionRecord::default() }];
    };
    let mut new = mk_node("n", &[("size", "small")]);
    unready(&mut new);
    assert_eq!(Surroundings::new(SMALL).nodes([new.clone()]).only().machines[0].state, MachineState::NotReady);
    new.node.created = Some(now());
    assert_eq!(Surroundings::new(SMALL).nodes([new]).only().machines[0].state, MachineState::Booting);
}

#[test]
fn claims_are_machines_of_a_pool() {
    let claim = |name: &str, node: Option<&str>| NodeClaim {
        name: name.into(),
        pool: "flows".into(),
        node: node.map(ToOwned::to_owned),
        ..NodeClaim::default()
    };
    let mut surroundings =
        Surroundings::new(POOL).nodes([busy(mk_node("n1", &[("karpenter.sh/nodepool", "flows")])), mk_node("n2", &[("size", "small")])]);
    surroundings.scaling.pools = seen(vec![NodePool { name: "flows".into(), ..NodePool::default() }]);
    surroundings.scaling.claims = vec![claim("flows-aaaaa", Some("n1")), claim("flows-bbbbb", None)];
    let found = surroundings.only();
    assert_eq!(found.counts, counts(1, 1, 0, 1, 0));
    assert_eq!((found.desired_size, found.state), (Some(2), Some(ScaleState::ScalingUp)));
    assert_eq!(found.node_pool.as_deref(), Some("flows"));
}

#[test]
fn pods_wait_for_the_size_whose_labels_they_ask_for() {
    let found = Surroundings::new(SMALL)
        .waiting(&[("size", "small"), ("zone", "a")], None, 2)
        .waiting(&[], Some("small"), 3)
        .waiting(&[("size", "small")], Some("large"), 5)
        .waiting(&[("size", "large")], None, 7)
        .only();
    assert_eq!(found.jobs_waiting, Some(5));
}

#[test]
fn groups_without_a_size_are_shown_when_asked_for() {
    let mut surroundings = Surroundings::new(SMALL)
        .account([mk_group("flows-small", 0, 5, &[]), mk_group("eks-web-1ac6b2b4-8f0c-43a6-9d2e-0f5a7f3f8a11", 1, 5, &["i-1"])]);
    surroundings = surroundings.nodes([mk_node_of("i-1", &[("eks.amazonaws.com/nodegroup", "web")])]);
    assert_eq!(surroundings.survey().groups.len(), 1);
    surroundings.all = true;
    let found = surroundings.survey().groups;
    let shown: Vec<_> = found.iter().map(|group| (group.node_groups[0].as_str(), group.counts.ready)).collect();
    assert_eq!(shown, [("flows-small", Some(0)), ("eks-web-1ac6b2b4-8f0c-43a6-9d2e-0f5a7f3f8a11", Some(1))]);
}

#[test]
fn idle_nodes_go_when_the_autoscaler_has_counted_them_long_enough() {
    let candidate = Taint { key: DELETION_CANDIDATE.into(), value: now().as_second().to_string(), effect: "PreferNoSchedule".into() };
    let made = |change: fn(&mut crate::model::occupancy::OccupiedNode), group: crate::model::node_group::AccountGroup| {
        let mut node = mk_node_of("i-1", &[]);
        node.node.taints = vec![candidate.clone()];
        change(&mut node);
        Surroundings::new(SMALL).account([group]).nodes([node]).only().departures.into_iter().map(|(_, departure)| departure).collect::<Vec<_>>()
    };
    let group = || mk_group("flows-small", 1, 5, &["i-1"]);
    let minutes = |minutes| Departure::At(now() + jiff::SignedDuration::from_mins(minutes));
    assert_eq!(made(|_| {}, group()), [minutes(10)]);
    let mut own = group();
    own.tags = labels(&[("k8s.io/cluster-autoscaler/node-template/autoscaling-options/scaledownunneededtime", "3m")]);
    assert_eq!(made(|_| {}, own), [minutes(3)]);
    assert_eq!(made(|node| node.is_kept = true, group()), [Departure::Stays("an annotation keeps it".into())]);
    assert_eq!(
        made(|_| {}, crate::model::node_group::AccountGroup { min_size: 1, ..group() }),
        [Departure::Stays("its group is at its minimum".into())]
    );
    assert_eq!(made(|node| node.load.jobs = 1, group()), []);
}

#[test]
fn an_idle_node_of_a_pool_goes_a_while_after_its_last_pod() {
    let mut surroundings = Surroundings::new(POOL).nodes([mk_node("n1", &[("karpenter.sh/nodepool", "flows")])]);
    let claim =
        NodeClaim { name: "flows-aaaaa".into(), pool: "flows".into(), node: Some("n1".into()), last_pod_event: Some(now()), ..NodeClaim::default() };
    let pool = |consolidate_after| vec![NodePool { name: "flows".into(), consolidate_after, ..NodePool::default() }];
    surroundings.scaling.claims = vec![claim];
    surroundings.scaling.pools = seen(pool(Some(std::time::Duration::from_secs(90))));
    assert_eq!(surroundings.only().departures[0].1, Departure::At(now() + jiff::SignedDuration::from_secs(90)));
    surroundings.scaling.pools = seen(pool(None));
    assert!(matches!(&surroundings.only().departures[0].1, Departure::Unknown(why) if why.contains("consolidateAfter")));
}
