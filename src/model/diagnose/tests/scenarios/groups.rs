//! Node groups: what hinders them, and machines on their way.

use super::{NO_NODES, Scenario, scenario, unscheduled};
use crate::model::{
    autoscaler_status::{AutoscalerStatus, Backoff, GroupStatus},
    diagnose::tests::builders::*,
    evidence::{ConditionRecord, Evidence, WaitingPod},
    launch_plan::Taint,
    node_group::{AccountGroup, Instance, NodeClaim, NodePool, Scaling, Sighting, SuspendedProcess},
    reason::Reason::*,
    scaling_activity::ScalingActivity,
    story::Phase,
};

use super::Expected::{Hopeless, Waits};

fn seen<T>(value: T) -> Sighting<T> {
    Sighting::Seen { value, at: at(199) }
}

/// Returns the job's group at 0 with room for 5, which starts spot machines and says what they will be like.
fn mk_account() -> AccountGroup {
    let tag = |key: &str, value: &str| (format!("k8s.io/cluster-autoscaler/{key}"), value.to_owned());
    AccountGroup {
        name: "flows-xlarge".into(),
        max_size: 5,
        tags: [
            tag("enabled", "true"),
            tag("node-template/label/sbrun.dev/size", "xlarge"),
            tag("node-template/taint/sbrun.dev/size", "xlarge:NoSchedule"),
        ]
        .into(),
        activities: Some(Vec::new()),
        ..AccountGroup::default()
    }
}

fn mk_status() -> AutoscalerStatus {
    let group = GroupStatus { name: "flows-xlarge".into(), max_size: Some(5), target: Some(0), ..GroupStatus::default() };
    AutoscalerStatus { updated: Some(at(195)), state: Some("Running".into()), health: None, groups: vec![group], is_complete: true }
}

fn mk_launch(seconds: i64, status: &str, rest: &str) -> ScalingActivity {
    ScalingActivity {
        started: Some(at(seconds)),
        status: status.into(),
        description: format!("Launching a new EC2 instance{rest}"),
        ..ScalingActivity::default()
    }
}

fn mk_instance(lifecycle: &str) -> Instance {
    Instance { id: "i-0abc".into(), lifecycle: lifecycle.into(), zone: "eu-west-1a".into(), ..Instance::default() }
}

/// Returns an unscheduled pod, no node, and a group that the account and the autoscaler know.
fn resting(change: impl FnOnce(&mut AccountGroup, &mut AutoscalerStatus)) -> Evidence {
    let (mut account, mut status) = (mk_account(), mk_status());
    change(&mut account, &mut status);
    unscheduled(NO_NODES).with(|evidence| {
        evidence.nodes = Some(Vec::new());
        evidence.scaling = Scaling { account: seen(vec![account]), autoscaler: seen(status), ..Scaling::default() };
    })
}

fn refused(evidence: Evidence, message: &str) -> Evidence {
    let message = format!("pod didn't trigger scale-up: {message}");
    evidence.with(|evidence| evidence.events = vec![mk_pod_event("NotTriggerScaleUp", &message, "cluster-autoscaler", 12)])
}

fn failing(words: &str) -> Evidence {
    resting(|account, _| {
        account.desired_size = 1;
        account.activities = Some(vec![mk_launch(10, "Failed", &format!(".  Status Reason: {words}"))]);
    })
}

pub(super) fn scenarios() -> Vec<Scenario> {
    [waiting_for_capacity(), autoscaler(), machines(), queues(), templates(), pools()].into_iter().flatten().collect()
}

const NO_SPOT: &str =
    "Could not launch Spot Instances. InsufficientInstanceCapacity - There is no Spot capacity available that matches your request.";

/// Returns a job whose group could start no spot machine at second 10.
pub(in crate::model::diagnose::tests) fn no_capacity() -> Evidence {
    failing(NO_SPOT)
}

fn waiting_for_capacity() -> Vec<Scenario> {
    let suspended = resting(|account, _| {
        let reason = "User suspended at 2026-11-24T09:00:00Z".into();
        account.suspended = vec![SuspendedProcess { name: "Launch".into(), reason }];
    });
    let recovered = resting(|account, _| {
        account.desired_size = 1;
        account.instances = vec![mk_instance("Pending")];
        let failed = mk_launch(10, "Failed", ".  Status Reason: InsufficientInstanceCapacity");
        account.activities = Some(vec![mk_launch(15, "PreInService", ": i-0abc"), failed]);
    });
    let demand = "We currently do not have sufficient r7i.4xlarge capacity (InsufficientInstanceCapacity)";
    let quota = "You have requested more vCPU capacity than your current vCPU limit (VcpuLimitExceeded)";
    let fleet = "InvalidFleetConfiguration - Your requested instance type is not supported in your requested Availability Zone";
    let of_another = resting(|account, _| {
        account.desired_size = 2;
        account.instances = vec![mk_instance("Pending")];
        let failed = mk_launch(20, "Failed", ".  Status Reason: InsufficientInstanceCapacity");
        account.activities = Some(vec![failed, mk_launch(15, "PreInService", ": i-0abc")]);
    });
    vec![
        scenario("another job's launch failed", of_another, Waits(NodeBooting, Phase::Booting)),
        scenario("no spot machine", no_capacity(), Waits(CapacitySpot, Phase::Pending)),
        scenario("no machine", failing(demand), Waits(CapacityOnDemand, Phase::Pending)),
        scenario("quota of the account", failing(quota), Waits(CapacityQuota, Phase::Pending)),
        scenario("bad launch template", failing(fleet), Waits(CapacityLaunchConfiguration, Phase::Pending)),
        scenario("launch suspended", suspended, Waits(CapacityLaunchSuspended, Phase::Pending)),
        scenario("another zone had a machine", recovered, Waits(NodeBooting, Phase::Booting)),
    ]
}

fn autoscaler() -> Vec<Scenario> {
    let backoff = resting(|_, status| {
        status.groups[0].scale_up = Some("Backoff".into());
        let message = "AWS cannot provision any more instances for this node group".into();
        status.groups[0].backoff = Some(Backoff { code: "placeholder-cannot-be-fulfilled".into(), message });
    });
    let unknown_group = resting(|_, status| status.groups[0].name = "flows-small".into());
    let stale = resting(|_, status| status.updated = Some(at(10)));
    let absent = resting(|_, _| ()).with(|evidence| evidence.scaling.autoscaler = Sighting::Absent { at: at(199) });
    let missing = resting(|account, _| account.name = "flows-xlarge-2".into());
    vec![
        scenario("back-off", backoff, Waits(ScaleUpBackoff, Phase::Pending)),
        scenario("group not discovered", unknown_group.clone(), Waits(ScaleUpGroupNotDiscovered, Phase::Pending)),
        scenario(
            "group not discovered, and others refuse",
            refused(unknown_group, "4 node(s) had untolerated taint(s)"),
            Waits(ScaleUpGroupNotDiscovered, Phase::Pending),
        ),
        scenario("autoscaler silent", stale, Waits(ScaleUpAutoscalerDown, Phase::Pending)),
        scenario("no autoscaler", absent, Waits(ScaleUpAutoscalerDown, Phase::Pending)),
        scenario("no such group in the account", missing, Waits(SchedulingNoSuchGroup, Phase::Pending)),
        scenario("total limit", refused(resting(|_, _| ()), "max total nodes in cluster reached"), Waits(ScaleUpTotalLimit, Phase::Pending)),
        scenario(
            "resource limit",
            refused(resting(|_, _| ()), "1 exceeded quota: \"cluster-wide\", resources: cpu, memory"),
            Waits(ScaleUpTotalLimit, Phase::Pending),
        ),
        scenario("nobody says why", resting(|_, _| ()), Waits(ScaleUpUnexplained, Phase::Pending)),
    ]
}

fn machines() -> Vec<Scenario> {
    let ordered = resting(|account, _| account.desired_size = 1);
    let booting = resting(|account, _| {
        account.desired_size = 1;
        account.instances = vec![mk_instance("InService")];
        account.activities = Some(vec![mk_launch(10, "Successful", ": i-0abc")]);
    });
    let unregistered = resting(|_, status| status.groups[0].unregistered = Some(1)).with(|evidence| {
        evidence.scaling.account = Sighting::Unseen("the Auto Scaling groups: no credentials".into());
        let message = "pod triggered scale-up: [{flows-xlarge 0->1 (max: 5)}]";
        evidence.events = vec![mk_pod_event("TriggeredScaleUp", message, "cluster-autoscaler", 4)];
    });
    let joining = booting.clone().with(|evidence| {
        let node = mk_unready(150).with(|node| (node.created, node.provider_id) = (Some(at(150)), Some("aws:///eu-west-1a/i-0abc".into())));
        evidence.nodes = Some(vec![node]);
    });
    let given_up = booting.clone().with(|evidence| {
        let message = "Removed unregistered node aws:///eu-west-1a/i-0old";
        evidence.scaling.events =
            vec![mk_event(("ConfigMap", "cluster-autoscaler-status"), "DeleteUnregistered", message, "cluster-autoscaler", at(120))];
        if let Sighting::Seen { value: groups, .. } = &mut evidence.scaling.account {
            groups[0].activities.get_or_insert_default().push(mk_launch(5, "Successful", ": i-0old"));
        }
    });
    vec![
        scenario("machine given up, another one tried", given_up, Waits(NodeNeverJoined, Phase::Booting)),
        scenario("machine ordered", ordered, Waits(ScaleUpTriggered, Phase::Pending)),
        scenario("machine boots", booting.clone(), Waits(NodeBooting, Phase::Booting)),
        scenario("machine boots, as the autoscaler sees it", unregistered, Waits(NodeBooting, Phase::ScalingUp)),
        scenario("machine joins", joining, Waits(NodeNotReady, Phase::Booting)),
        Scenario { now: 910, ..scenario("machine never joined", fresh(booting), Waits(NodeNeverJoined, Phase::Booting)) },
    ]
}

/// Returns the same evidence with an autoscaler that still writes its status, however late it is.
fn fresh(evidence: Evidence) -> Evidence {
    evidence.with(|evidence| {
        if let Sighting::Seen { value: status, .. } = &mut evidence.scaling.autoscaler {
            status.updated = Some(at(905));
        }
    })
}

fn queues() -> Vec<Scenario> {
    let full = |place: usize| {
        resting(|account, _| {
            account.desired_size = 5;
            account.instances = vec![mk_instance("InService"); 5];
        })
        .with(|evidence| {
            let node = mk_node(NODE).with(|node| node.provider_id = Some("aws:///eu-west-1a/i-0abc".into()));
            evidence.nodes = Some(vec![node]);
            evidence.neighbours = vec![mk_neighbour("flows/load-1", "ben", 3000, 8)];
            let pod = |name: String| WaitingPod { pod: format!("flows/{name}"), created: None };
            let ahead = (1..place).map(|number| pod(format!("other-{number}")));
            evidence.queue = Some(ahead.chain([pod(POD.into())]).collect());
        })
    };
    let ordered = full(1).with(|evidence| {
        if let Sighting::Seen { value: groups, .. } = &mut evidence.scaling.account {
            groups[0].instances.truncate(4);
        }
    });
    let behind = ordered.clone().with(|evidence| evidence.queue = full(2).queue);
    vec![
        scenario("group at its maximum", full(1), Waits(QueueAtMaximum, Phase::Queued)),
        scenario("third in the queue", full(3), Waits(QueueAtMaximum, Phase::Queued)),
        scenario("the last machine is ours", ordered, Waits(ScaleUpTriggered, Phase::Pending)),
        scenario("the last machine is another's", behind, Waits(QueueAtMaximum, Phase::Queued)),
    ]
}

fn templates() -> Vec<Scenario> {
    let mismatch = "1 node(s) didn't match Pod's node affinity/selector";
    let untagged = resting(|account, _| account.tags.retain(|key, _| !key.contains("/label/")));
    let other =
        resting(|account, _| drop(account.tags.insert("k8s.io/cluster-autoscaler/node-template/label/sbrun.dev/size".into(), "large".into())));
    let tainted =
        resting(|account, _| drop(account.tags.insert("k8s.io/cluster-autoscaler/node-template/taint/team".into(), "ml:NoSchedule".into())));
    vec![
        scenario("tags missing", refused(untagged, mismatch), Waits(ScaleUpTagsMissing, Phase::Pending)),
        scenario("another label", refused(other, mismatch), Waits(SchedulingNoSuchGroup, Phase::Pending)),
        scenario("taint of the template", refused(tainted, "1 node(s) had untolerated taint(s)"), Waits(SchedulingTaint, Phase::Pending)),
        scenario(
            "never fits, as the autoscaler says",
            refused(resting(|_, _| ()), "1 Insufficient cpu, 2 node(s) had untolerated taint(s)"),
            Hopeless(SchedulingNeverFits, Phase::Pending),
        ),
    ]
}

/// Returns an unscheduled pod of a size with a NodePool that has a limit of 8 CPUs.
fn pooled(change: impl FnOnce(&mut NodePool, &mut Vec<NodeClaim>)) -> Evidence {
    let mut pool = NodePool {
        name: "flows".into(),
        limits: [("cpu".to_owned(), "8".to_owned())].into(),
        labels: [("sbrun.dev/size".to_owned(), "xlarge".to_owned())].into(),
        taints: vec![Taint { key: "sbrun.dev/size".into(), value: "xlarge".into(), effect: "NoSchedule".into() }],
        ..NodePool::default()
    };
    let mut claims = Vec::new();
    change(&mut pool, &mut claims);
    unscheduled(NO_NODES).with(|evidence| {
        change_plan(evidence, |plan| (plan.placement.node_groups, plan.placement.node_pool) = (Vec::new(), Some("flows".into())));
        evidence.nodes = Some(Vec::new());
        evidence.scaling = Scaling { pools: seen(vec![pool]), claims, ..Scaling::default() };
    })
}

fn pools() -> Vec<Scenario> {
    let claim = |condition: &str, since: i64| NodeClaim {
        name: "flows-abcde".into(),
        pool: "flows".into(),
        conditions: vec![mk_condition(condition, condition, "", at(since))],
        ..NodeClaim::default()
    };
    let nominated = |evidence: Evidence| {
        evidence.with(|evidence| evidence.events = vec![mk_pod_event("Nominated", "Pod should schedule on: nodeclaim/flows-abcde", "karpenter", 4)])
    };
    let refused = |evidence: Evidence, message: &str| {
        let message = format!("Failed to schedule pod, {message}");
        evidence.with(|evidence| evidence.events = vec![mk_pod_event("FailedScheduling", &message, "karpenter", 4)])
    };
    let not_ready = pooled(|pool, _| {
        let condition = mk_condition("Ready", "NodeClassNotReady", "NodeClass not found", at(1));
        pool.conditions = vec![ConditionRecord { status: "False".into(), ..condition }];
    });
    let no_capacity = pooled(|_, _| ()).with(|evidence| {
        let words = "NodeClaim flows-abcde event: insufficient capacity, all requested instance types were unavailable during launch";
        evidence.scaling.events = vec![mk_event(("NodeClaim", "flows-abcde"), "InsufficientCapacityError", words, "karpenter", at(9))];
    });
    let at_limit = pooled(|pool, _| drop(pool.in_use.insert("cpu".into(), "8".into())));
    vec![
        scenario("pool not ready", not_ready, Waits(ScaleUpPoolNotReady, Phase::Pending)),
        scenario("no machine for the pool", no_capacity, Waits(CapacityOnDemand, Phase::Pending)),
        scenario(
            "pool at its limit",
            refused(at_limit, "all available instance types exceed limits for nodepool (NodePool=flows)"),
            Waits(QueueAtMaximum, Phase::Queued),
        ),
        scenario(
            "never fits the pool",
            refused(pooled(|_, _| ()), "no instance type has enough resources, requirements=…"),
            Hopeless(SchedulingNeverFits, Phase::Pending),
        ),
        scenario("claim made", nominated(pooled(|_, claims| claims.push(claim("Consistent", 5)))), Waits(ScaleUpTriggered, Phase::ScalingUp)),
        scenario("claim launched", nominated(pooled(|_, claims| claims.push(claim("Launched", 5)))), Waits(NodeBooting, Phase::Booting)),
        Scenario {
            now: 906,
            ..scenario(
                "claim never registered",
                nominated(pooled(|_, claims| claims.push(claim("Launched", 5)))),
                Waits(NodeNeverJoined, Phase::Booting),
            )
        },
    ]
}

/// Returns a flow that was killed, whose spot machine AWS took back.
pub(super) fn reclaimed() -> Evidence {
    let killed = mk_ended(143, "Error").with(|attempt| attempt.provider_id = Some("aws:///eu-west-1a/i-0abc".into()));
    mk_evidence([killed]).with(|evidence| {
        let cause = "At 2026-11-24T10:01:30Z an instance was taken out of service in response to an EC2 instance spot interruption notice.";
        let activity = ScalingActivity {
            started: Some(at(90)),
            status: "InProgress".into(),
            description: "Terminating EC2 instance: i-0abc".into(),
            cause: cause.into(),
            ..ScalingActivity::default()
        };
        evidence.scaling.account = seen(vec![AccountGroup { activities: Some(vec![activity]), ..mk_account() }]);
    })
}
