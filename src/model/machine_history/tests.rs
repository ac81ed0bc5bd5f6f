use jiff::SignedDuration;

use super::*;

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + minute * 60).unwrap()
}

fn activity(description: &str, status: &str, start: i64, end: Option<i64>) -> ScalingActivity {
    ScalingActivity {
        description: description.into(),
        status: status.into(),
        started: Some(at(start)),
        ended: end.map(at),
        ..ScalingActivity::default()
    }
}

fn launch(id: &str, start: i64) -> ScalingActivity {
    activity(&format!("Launching a new EC2 instance: {id}"), "Successful", start, Some(start + 1))
}

fn termination(id: &str, start: i64, end: Option<i64>) -> ScalingActivity {
    activity(&format!("Terminating EC2 instance: {id}"), if end.is_some() { "Successful" } else { "InProgress" }, start, end)
}

fn instance(id: &str) -> Instance {
    Instance { id: id.into(), lifecycle: "InService".into(), ..Instance::default() }
}

fn steps(history: &MachineHistory) -> Vec<(i64, u32)> {
    history.steps.iter().map(|step| (step.at.duration_since(at(0)).as_mins(), step.machines)).collect()
}

#[test]
fn lives_are_put_together_from_both_ends() {
    let activities = [
        termination("i-old", 10, Some(12)),
        launch("i-new", 20),
        termination("i-new", 50, Some(52)),
        launch("i-there", 40),
        activity("Launching a new EC2 instance.  Status Reason: no capacity (InsufficientInstanceCapacity)", "Failed", 30, Some(30)),
    ];
    let history = from_activities(&activities, &[instance("i-there"), instance("i-always")], at(0), at(60));
    assert_eq!(steps(&history), [(0, 2), (12, 1), (20, 2), (40, 3), (52, 2)]);
    assert_eq!((history.launches, history.terminations, history.peak()), (2, 2, 3));
    assert_eq!(history.failures.as_ref().map(Vec::len), Some(1));
    assert_eq!(history.machine_seconds, (12 + 32 + 20 + 60) * 60);
    assert!(history.unknown.is_empty());
}

#[test]
fn what_happened_before_the_span_does_not_count() {
    let activities = [launch("i-a", -30), termination("i-a", -20, Some(-18)), launch("i-b", -10)];
    let history = from_activities(&activities, &[instance("i-b")], at(0), at(60));
    assert_eq!(steps(&history), [(0, 1)]);
    assert_eq!((history.launches, history.terminations, history.machine_seconds), (0, 0, 3600));
}

#[test]
fn a_machine_on_its_way_out_is_there_until_it_is_gone() {
    let leaving = Instance { lifecycle: "Terminating:Wait".into(), ..instance("i-a") };
    let history = from_activities(&[launch("i-a", 10), termination("i-a", 40, None)], &[leaving], at(0), at(60));
    assert_eq!(steps(&history), [(0, 0), (10, 1)]);
    assert_eq!((history.launches, history.terminations), (1, 0));
}

#[test]
fn a_machine_that_vanished_without_a_word_is_said_to() {
    let history = from_activities(&[launch("i-a", 10)], &[], at(0), at(60));
    assert_eq!(history.unknown, ["when 1 of its machines went: no activity tells"]);
    assert_eq!(history.machine_seconds, 0);
}

#[test]
fn spot_interruptions_are_counted() {
    let mut taken = termination("i-a", 40, Some(41));
    taken.cause = "At T an instance was taken out of service in response to an EC2 instance spot interruption notice.".into();
    let history = from_activities(&[taken], &[], at(0), at(60));
    assert_eq!((history.terminations, history.interruptions), (1, 1));
}

#[test]
fn short_lives_are_seen_in_parts() {
    let lives = [Life { start: Some(at(10)), end: Some(at(11)) }, Life { start: Some(at(30)), end: None }];
    let history = MachineHistory::from_lives(&lives, at(0), at(60));
    assert_eq!(history.parts(6), [0, 1, 0, 1, 1, 1]);
    assert_eq!(history.parts(1), [1]);
    assert_eq!(history.parts(3), [1, 1, 1]);
    assert_eq!(MachineHistory::from_lives(&[], at(0), at(60)).parts(4), [0; 4]);
}

#[test]
fn groups_that_were_recorded() {
    use crate::model::diagnose::tests::recordings::Moment;
    let told = |path: &str, name: &str| {
        let moment = Moment::open(path);
        let scaling = moment.scaling();
        let group = scaling.account.value().unwrap().iter().find(|group| group.name == name).unwrap().clone();
        let from = moment.now - SignedDuration::from_hours(1);
        let history = from_activities(&group.activities.unwrap(), &group.instances, from, moment.now);
        let machines: Vec<u32> = history.steps.iter().map(|step| step.machines).collect();
        (machines, history.launches, history.terminations, history.failures.unwrap().len())
    };
    assert_eq!(told("cluster-autoscaler/from-zero/3-instance-booting", "flows-small"), (vec![0, 1], 1, 0, 0));
    assert_eq!(told("cluster-autoscaler/from-zero/8-scaled-down", "flows-xlarge"), (vec![0], 0, 0, 0));
    let (machines, _, _, failures) = told("cluster-autoscaler/no-capacity/2-backoff", "flows-xlarge");
    assert_eq!((machines.last(), failures > 0), (Some(&0), true));
}

mod of_the_cluster {
    use super::*;
    use crate::model::{
        evidence::EventRecord,
        machine::Machine,
        node_group::{NodeClaim, NodeGroup},
    };

    fn group(name: &str, is_pool: bool) -> NodeGroup<'_> {
        NodeGroup { name, is_pool, account: None, status: None, pool: None, claims: Vec::new() }
    }

    fn event(kind: &str, object: &str, reason: &str, message: &str, minute: i64) -> EventRecord {
        let time = Some(at(minute));
        let text = |text: &str| text.to_owned();
        EventRecord {
            object_kind: text(kind),
            object: text(object),
            reason: text(reason),
            message: text(message),
            first: time,
            last: time,
            ..EventRecord::default()
        }
    }

    #[test]
    fn claims_that_are_gone_are_known_by_their_events() {
        let claim = NodeClaim { name: "flows-abcde".into(), pool: "flows".into(), created: Some(at(30)), ..NodeClaim::default() };
        let pool = NodeGroup { claims: vec![&claim], ..group("flows", true) };
        let events = [
            event("NodeClaim", "flows-xyzzy", "Launched", "Status condition transitioned", 5),
            event("NodeClaim", "flows-xyzzy", "DisruptionTerminating", "Disrupting NodeClaim: Empty", 20),
            event("NodeClaim", "other-xyzzy", "DisruptionTerminating", "Disrupting NodeClaim: Empty", 20),
            event("NodeClaim", "flows-nocap", "InsufficientCapacityError", "NodeClaim x event: insufficient capacity, none left", 25),
        ];
        let history = from_traces(&[pool], &[Machine::of_claim(&claim)], &events, at(-300), at(60));
        assert_eq!(steps(&history), [(0, 0), (5, 1), (20, 0), (30, 1)]);
        assert_eq!(history.from, at(0), "events reach back an hour");
        assert_eq!(history.failures.unwrap(), [Failure { at: at(25), message: "none left".into() }]);
    }

    #[test]
    fn nodes_that_the_autoscaler_removed_have_no_group() {
        let events = [
            event("ConfigMap", "cluster-autoscaler-status", "ScaleDownEmpty", "Scale-down: empty node ip-1 removed", 20),
            event("ConfigMap", "cluster-autoscaler-status", "ScaleUpFailed", "Failed adding 1 nodes to group flows due to x; source errors: y", 30),
        ];
        let history = from_traces(&[group("flows", false)], &[], &events, at(0), at(60));
        assert_eq!(history.failures.as_ref().map(Vec::len), Some(1));
        assert_eq!(history.unknown.len(), 1);
        assert_eq!(steps(&history), [(0, 0)]);
    }
}
