//! Evidence with the least arguments.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::model::{
    evidence::{
        AttemptRecord, ConditionRecord, ContainerState, Ending, EventRecord, Evidence, JobRecord, Maker, NeighbourRecord, NodeRecord, Termination,
    },
    footprint::{Allocatable, Footprint},
    launch_plan::{LaunchPlan, Taint},
    outcome::Outcome,
    quantity::{Cpu, GIB, Memory},
};

pub(super) const POD: &str = "etl-1-abcde";
pub(super) const NODE: &str = "node-1";

/// Returns a time this many seconds after the submission.
pub(super) fn at(seconds: i64) -> Timestamp {
    let submission: Timestamp = "2026-11-24T10:00:00Z".parse().expect("a time");
    submission + SignedDuration::from_secs(seconds)
}

pub(super) fn mk_plan() -> LaunchPlan {
    let plan = json!({
        "name": "etl-1", "run_id": "01run", "namespace": "flows", "size": "xlarge",
        "footprint": {"cpu": 2000, "memory": 4 * GIB},
        "placement": {
            "node_groups": ["flows-xlarge"],
            "node_selector": {"sbrun.dev/size": "xlarge"},
            "tolerations": [{"key": "sbrun.dev/size", "operator": "Exists"}],
        },
        "flow": {"identity": "etl", "file": "etl.py", "interpreter": "python"},
        "image": "registry.example/flows:1", "run_as_user": {"id": 65532},
        "limits": {"timeout": 21600, "pending_timeout": 1200, "queue_timeout": 43200, "grace": 110, "finished_ttl": 604_800, "lease": 600},
        "on_interrupt": "detach", "user": {"name": "ana", "label": "ana"},
    });
    serde_json::from_value(plan).expect("a plan")
}

pub(super) fn mk_job() -> JobRecord {
    let plan = mk_plan();
    JobRecord {
        name: "etl-1".into(),
        namespace: "flows".into(),
        uid: "uid-1".into(),
        created: Some(at(0)),
        started: Some(at(0)),
        active_deadline_seconds: Some(i64::try_from(plan.limits.job_deadline(0).as_secs()).expect("a deadline")),
        footprint: plan.footprint,
        plan: Some(Box::new(plan)),
        complete: true,
        user: Some("ana".into()),
        maker: Maker::Sbrun,
        ..JobRecord::default()
    }
}

/// Returns the evidence of a Job with these pods.
pub(super) fn mk_evidence(attempts: impl IntoIterator<Item = AttemptRecord>) -> Evidence {
    Evidence { job: Some(mk_job()), attempts: attempts.into_iter().collect(), ..Evidence::default() }
}

pub(super) fn mk_condition(kind: &str, reason: &str, message: &str, since: Timestamp) -> ConditionRecord {
    ConditionRecord { kind: kind.into(), status: "True".into(), reason: reason.into(), message: message.into(), since: Some(since) }
}

pub(super) fn mk_event(object: (&str, &str), reason: &str, message: &str, source: &str, when: Timestamp) -> EventRecord {
    EventRecord {
        object_kind: object.0.into(),
        object: object.1.into(),
        kind: "Warning".into(),
        reason: reason.into(),
        message: message.into(),
        source: source.into(),
        first: Some(when),
        last: Some(when),
        count: 1,
    }
}

/// Returns an event about the pod of the first attempt.
pub(super) fn mk_pod_event(reason: &str, message: &str, source: &str, seconds: i64) -> EventRecord {
    mk_event(("Pod", POD), reason, message, source, at(seconds))
}

/// Returns a Job event of its controller, which could not create a pod.
pub(super) fn mk_refusal(message: &str) -> EventRecord {
    let message = format!("Error creating: {message}");
    mk_event(("Job", "etl-1"), "FailedCreate", &message, "job-controller", at(1))
}

/// Returns a pod that nobody has looked at.
pub(super) fn mk_attempt() -> AttemptRecord {
    AttemptRecord { pod: POD.into(), uid: "pod-uid-1".into(), created: Some(at(1)), phase: "Pending".into(), ..AttemptRecord::default() }
}

/// Returns a pod for which the scheduler finds no node.
pub(super) fn mk_unscheduled(message: &str) -> AttemptRecord {
    let condition = ConditionRecord { status: "False".into(), ..mk_condition("PodScheduled", "Unschedulable", message, at(2)) };
    AttemptRecord { scheduled: Some(condition), ..mk_attempt() }
}

/// Returns a pod on its node, whose container waits for this reason.
pub(super) fn mk_waiting(reason: &str, message: &str) -> AttemptRecord {
    AttemptRecord {
        node: Some(NODE.into()),
        accepted: Some(at(6)),
        scheduled: Some(mk_condition("PodScheduled", "", "", at(5))),
        container: ContainerState::Waiting { reason: reason.into(), message: message.into(), since: Some(at(8)) },
        ..mk_attempt()
    }
}

/// Returns a pod that has been running since second 10.
pub(super) fn mk_running() -> AttemptRecord {
    AttemptRecord { phase: "Running".into(), container: ContainerState::Running { started: Some(at(10)) }, ..mk_waiting("", "") }
}

/// Returns a pod whose flow ended at second 100.
pub(super) fn mk_ended(exit_code: i32, reason: &str) -> AttemptRecord {
    let phase = if exit_code == 0 { "Succeeded" } else { "Failed" };
    let termination = Termination { exit_code, reason: reason.into(), message: String::new(), started: Some(at(10)), finished: Some(at(100)) };
    AttemptRecord { phase: phase.into(), container: ContainerState::Terminated(termination), ..mk_running() }
}

/// Returns a ready node of the size, with 4 CPUs and 16 GiB for pods.
pub(super) fn mk_node(name: &str) -> NodeRecord {
    NodeRecord {
        name: name.into(),
        created: Some(at(-3600)),
        labels: [("sbrun.dev/size".to_owned(), "xlarge".to_owned())].into(),
        taints: vec![mk_taint("sbrun.dev/size", "xlarge")],
        allocatable: Allocatable { cpu: Cpu(4000), memory: Memory(16 * GIB), ..Allocatable::default() },
        conditions: vec![mk_condition("Ready", "KubeletReady", "kubelet is posting ready status", at(-3500))],
        ..NodeRecord::default()
    }
}

pub(super) fn mk_taint(key: &str, value: &str) -> Taint {
    Taint { key: key.into(), value: value.into(), effect: "NoSchedule".into() }
}

/// Returns a node that has not been ready since some second.
pub(super) fn mk_unready(since: i64) -> NodeRecord {
    let silent = mk_condition("Ready", "NodeStatusUnknown", "Kubelet stopped posting node status.", at(since));
    NodeRecord { conditions: vec![ConditionRecord { status: "Unknown".into(), ..silent }], ..mk_node(NODE) }
}

pub(super) fn mk_neighbour(pod: &str, user: &str, cpu: u64, gibibytes: u64) -> NeighbourRecord {
    let footprint = Footprint { cpu: Cpu(cpu), memory: Memory(gibibytes * GIB), ..Footprint::default() };
    NeighbourRecord { node: NODE.into(), pod: pod.into(), user: Some(user.into()), footprint, daemon: false }
}

pub(super) fn mk_ending(outcome: Outcome, reason: &str, message: Option<&str>) -> Ending {
    Ending { outcome, reason: reason.into(), by: "ana".into(), at: at(50), message: message.map(Into::into) }
}

/// Changes of evidence, so that scenarios read as sentences.
pub(super) trait With: Sized {
    fn with(self, change: impl FnOnce(&mut Self)) -> Self;
}

impl<T> With for T {
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// Returns evidence whose Job has this condition, at second 101.
pub(super) fn mk_failed(attempts: impl IntoIterator<Item = AttemptRecord>, reason: &str, message: &str) -> Evidence {
    mk_evidence(attempts).with(|evidence| {
        let job = evidence.job.as_mut().expect("a job");
        job.conditions = vec![mk_condition("FailureTarget", reason, message, at(101)), mk_condition("Failed", reason, message, at(101))];
        job.finished = Some(at(101));
    })
}

/// Returns evidence whose Job somebody ended, and whose controller carried it out.
pub(super) fn mk_ended_by(attempts: impl IntoIterator<Item = AttemptRecord>, ending: Ending) -> Evidence {
    mk_failed(attempts, "DeadlineExceeded", "Job was active longer than specified deadline").with(|evidence| {
        evidence.job.as_mut().expect("a job").ending = Some(ending);
    })
}

/// Changes the plan that the Job records.
pub(super) fn change_plan(evidence: &mut Evidence, change: impl FnOnce(&mut LaunchPlan)) {
    let plan = evidence.job.as_mut().and_then(|job| job.plan.as_mut());
    change(plan.expect("a plan"));
}
