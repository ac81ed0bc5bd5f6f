//! Tables and sentences for terminals of several widths, without colour.

use super::*;

fn time(minutes: i64) -> Timestamp {
    "2026-11-25T12:00:00Z".parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_mins(minutes)
}

#[expect(clippy::unnecessary_wraps, reason = "documents hold amounts that may be unknown")]
fn gib(cpu_millicores: u64, gib: u64) -> Option<Amounts> {
    Some(Amounts { cpu_millicores, memory_bytes: gib << 30, gpu: 0 })
}

fn document() -> NodeGroups {
    let group = |size: &str, state| NodeGroupEntry {
        size: Some(size.into()),
        node_groups: vec![format!("flows-{size}")],
        state: Some(state),
        ..NodeGroupEntry::default()
    };
    let small = NodeGroupEntry {
        desired_size: Some(4),
        min_size: Some(0),
        max_size: Some(5),
        ready: Some(3),
        busy: Some(1),
        idle: Some(2),
        booting: Some(1),
        instance_types: vec!["m7i.large".into()],
        spot: Some(true),
        requests: gib(1550, 3),
        allocatable: gib(5790, 20),
        jobs_running: Some(1),
        jobs_waiting: Some(1),
        machines: vec![
            MachineEntry { node: Some("n1".into()), state: "idle", goes: Some(time(6)), ..MachineEntry::default() },
            MachineEntry { node: Some("n2".into()), state: "idle", goes: Some(time(9)), ..MachineEntry::default() },
        ],
        ..group("small", "scaling_up")
    };
    let xlarge = NodeGroupEntry {
        desired_size: Some(0),
        min_size: Some(0),
        max_size: Some(3),
        ready: Some(0),
        busy: Some(0),
        idle: Some(0),
        booting: Some(0),
        instance_types: vec!["r7i.4xlarge".into(), "r6i.4xlarge".into()],
        requests: gib(0, 0),
        allocatable: gib(0, 0),
        jobs_running: Some(0),
        jobs_waiting: Some(3),
        hindrances: vec![Hindrance {
            reason: Reason::CapacitySpot,
            summary: "AWS has no spot machine for node group `flows-xlarge` in us-east-1a".into(),
            evidence: Vec::new(),
            next: vec!["take another size: sbrun sizes".into()],
        }],
        ..group("xlarge", "failing")
    };
    let closed = NodeGroupEntry {
        size: None,
        node_groups: vec!["eks-web".into()],
        state: None,
        unknown: vec!["this account and region have no node group `eks-web`".into()],
        ..NodeGroupEntry::default()
    };
    NodeGroups { schema: SCHEMA, time: time(0), node_groups: vec![small, xlarge, closed], unknown: vec!["the nodes: you may not list nodes".into()] }
}

#[test]
fn in_a_pipe_everything_is_shown() {
    insta::assert_snapshot!(document().table(None));
}

#[test]
fn on_120_columns() {
    insta::assert_snapshot!(document().table(Some(120)));
}

#[test]
fn on_80_columns() {
    insta::assert_snapshot!(document().table(Some(80)));
}

#[test]
fn on_40_columns() {
    insta::assert_snapshot!(document().table(Some(40)));
}

#[test]
fn long_names_leave_room_for_the_state_alone() {
    let mut document = document();
    document.node_groups[0].size = Some("nightly-loads-spot".into());
    assert_eq!(
        document.table(Some(40)),
        "SIZE                STATE\nnightly-loads-spot  scaling up\nxlarge              failing\neks-web             unknown"
    );
}

#[test]
fn sentences_say_what_the_table_does_not() {
    insta::assert_snapshot!(document().sentences().join("\n"));
}

#[test]
fn names_are_those_of_the_groups() {
    let mut document = document();
    document.node_groups[0].node_groups.clear();
    document.node_groups[2].node_pool = Some("pool".into());
    assert_eq!(document.names(), ["small", "flows-xlarge", "eks-web", "pool"]);
}

#[test]
fn time_alone_is_no_change() {
    let mut later = document();
    later.time = time(1);
    assert!(later.says_the_same(&document()));
    later.node_groups[0].ready = Some(4);
    assert!(!later.says_the_same(&document()));
}

#[test]
fn being_at_the_maximum_is_news_only_to_whoever_waits() {
    let mut entry = document().node_groups.remove(1);
    entry.hindrances[0].reason = Reason::QueueAtMaximum;
    assert!(entry.hindrance(&mut false).is_some());
    entry.jobs_waiting = Some(0);
    assert_eq!(entry.hindrance(&mut false), None);
}

#[test]
fn that_the_autoscaler_is_down_is_told_once() {
    let mut document = document();
    document.node_groups.truncate(2);
    for entry in &mut document.node_groups {
        entry.hindrances =
            vec![Hindrance { reason: Reason::ScaleUpAutoscalerDown, summary: "no autoscaler runs".into(), evidence: Vec::new(), next: Vec::new() }];
    }
    let told = document.sentences();
    assert_eq!(told.iter().filter(|line| line.contains("no autoscaler runs")).count(), 1, "{told:?}");
}
