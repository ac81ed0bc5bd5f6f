//! One scenario for each reason code, and what it must come out as.

pub(super) mod flow_runs;
pub(super) mod groups;

use super::builders::*;
use crate::model::{
    evidence::{AttemptRecord, ContainerState, Evidence, JobCounts, Maker, NodeRecord, Termination},
    outcome::Outcome::{self, *},
    quantity::{Cpu, GIB, Memory},
    reason::Reason::{self, *},
    story::Phase,
};

/// What a scenario must come out as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// The job waits, or runs, for this reason.
    Waits(Reason, Phase),
    /// It waits for what waiting cannot mend.
    Hopeless(Reason, Phase),
    /// It ended so; the last two are sbrun's exit code and the flow's.
    Over(Outcome, Reason, u8, Option<i32>),
}
use Expected::{Hopeless, Over, Waits};

/// Some evidence, looked at this many seconds after the submission.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) evidence: Evidence,
    pub(super) now: i64,
    pub(super) expected: Expected,
}

fn scenario(name: &'static str, evidence: Evidence, expected: Expected) -> Scenario {
    Scenario { name, evidence, now: 200, expected }
}

/// Returns every scenario.
pub(super) fn scenarios() -> Vec<Scenario> {
    [
        creation(),
        scheduling(),
        nodes(),
        groups::scenarios(),
        flow_runs::scenarios(),
        starting(),
        running(),
        flow_ends(),
        time_ends(),
        losses(),
        stops(),
        unknowns(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn refused(message: &str) -> Evidence {
    mk_evidence([]).with(|evidence| evidence.events = vec![mk_refusal(message)])
}

fn creation() -> Vec<Scenario> {
    let suspended = mk_evidence([]).with(|evidence| {
        let job = evidence.job.as_mut().expect("a job");
        (job.suspended, job.started, job.complete) = (true, None, false);
    });
    let stopped = suspended.clone().with(|evidence| evidence.job.as_mut().expect("a job").complete = true);
    let queued = suspended.clone().with(|evidence| evidence.job.as_mut().expect("a job").maker = Maker::PrefectWorker);
    vec![
        scenario("submission broke off", suspended, Waits(SubmissionIncomplete, Phase::Submitted)),
        scenario("suspended by somebody before it had a pod", stopped, Waits(SchedulingSuspended, Phase::Submitted)),
        scenario("suspended by a queue", queued, Waits(SchedulingSuspended, Phase::Submitted)),
        scenario("no pod yet", mk_evidence([]), Waits(SchedulingWaiting, Phase::Pending)),
        scenario(
            "quota in use",
            refused(
                "pods \"etl-1-x\" is forbidden: exceeded quota: compute, requested: requests.cpu=2,requests.memory=4Gi, used: \
                 requests.cpu=3,requests.memory=6Gi, limited: requests.cpu=4,requests.memory=8Gi",
            ),
            Waits(RejectedQuota, Phase::Pending),
        ),
        scenario(
            "quota below the request",
            refused(
                "pods \"etl-1-x\" is forbidden: exceeded quota: compute, requested: requests.cpu=2, used: requests.cpu=0, limited: requests.cpu=1500m",
            ),
            Hopeless(RejectedQuota, Phase::Pending),
        ),
        scenario(
            "pod security",
            refused(
                "pods \"etl-1-x\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true (pod or container \"flow\" must set \
                 securityContext.runAsNonRoot=true)",
            ),
            Hopeless(RejectedPodSecurity, Phase::Pending),
        ),
        scenario(
            "admission policy",
            refused(
                "pods \"etl-1-x\" is forbidden: ValidatingAdmissionPolicy 'no-latest' with binding 'no-latest' denied request: image tag missing",
            ),
            Hopeless(RejectedAdmission, Phase::Pending),
        ),
        scenario(
            "webhook does not answer",
            refused(
                "Internal error occurred: failed calling webhook \"p.example\": failed to call webhook: Post \"https://p\": context deadline exceeded",
            ),
            Waits(RejectedAdmission, Phase::Pending),
        ),
        scenario(
            "no service account",
            refused("pods \"etl-1-x\" is forbidden: error looking up service account flows/flows: serviceaccount \"flows\" not found"),
            Waits(ConfigServiceAccountMissing, Phase::Pending),
        ),
    ]
}

fn unscheduled(message: &str) -> Evidence {
    mk_evidence([mk_unscheduled(message)])
}

const NO_NODES: &str = "no nodes available to schedule pods";
const FULL: &str = "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption \
                    victims found for incoming pod.";
const TAINTED: &str = "0/1 nodes are available: 1 node(s) had untolerated taint(s). preemption: 0/1 nodes are available: 1 Preemption is not helpful \
                       for scheduling.";

fn on(message: &str, node: NodeRecord) -> Evidence {
    unscheduled(message).with(|evidence| evidence.nodes = Some(vec![node]))
}

fn scheduling() -> Vec<Scenario> {
    let gated = mk_unscheduled("Scheduling is blocked due to non-empty scheduling gates")
        .with(|attempt| attempt.scheduled.as_mut().expect("a condition").reason = "SchedulingGated".into());
    let scaling = unscheduled(NO_NODES).with(|evidence| {
        let message = "pod triggered scale-up: [{flows-xlarge 0->1 (max: 5)}]";
        evidence.nodes = Some(Vec::new());
        evidence.events = vec![mk_pod_event("TriggeredScaleUp", message, "cluster-autoscaler", 4)];
    });
    let nominated = unscheduled(NO_NODES).with(|evidence| {
        evidence.events = vec![mk_pod_event("Nominated", "Pod should schedule on: nodeclaim/flows-small-2wx68", "karpenter", 4)];
    });
    let none = unscheduled(NO_NODES).with(|evidence| evidence.nodes = Some(Vec::new()));
    let at_maximum = none.clone().with(|evidence| {
        let message = "pod didn't trigger scale-up: 1 max node group size reached, 2 node(s) had untolerated taint(s)";
        evidence.events = vec![mk_pod_event("NotTriggerScaleUp", message, "cluster-autoscaler", 4)];
    });
    let nowhere = none.clone().with(|evidence| change_plan(evidence, |plan| plan.placement.node_groups.clear()));
    vec![
        scenario("not looked at", mk_evidence([mk_attempt()]), Waits(SchedulingWaiting, Phase::Pending)),
        scenario("gated", mk_evidence([gated]), Waits(SchedulingGated, Phase::Pending)),
        scenario("scale-up", scaling, Waits(ScaleUpTriggered, Phase::ScalingUp)),
        scenario("nominated", nominated, Waits(ScaleUpTriggered, Phase::ScalingUp)),
        scenario("no node of a size without a group", nowhere, Waits(SchedulingNoSuchGroup, Phase::Pending)),
        scenario("no node of the size", none, Waits(ScaleUpUnexplained, Phase::Pending)),
        scenario("group at its maximum, not seen", at_maximum, Waits(QueueAtMaximum, Phase::Queued)),
        scenario("nodes not known", unscheduled(FULL), Waits(SchedulingInsufficient, Phase::Pending)),
        scenario("taints of nodes not known", unscheduled(TAINTED), Waits(SchedulingOther, Phase::Pending)),
        scenario(
            "ports",
            on("0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.", mk_node(NODE)),
            Waits(SchedulingOther, Phase::Pending),
        ),
        scenario(
            "volume in another zone",
            on("0/1 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity. preemption: none", mk_node(NODE)),
            Waits(VolumeZone, Phase::Pending),
        ),
        scenario(
            "claim does not exist",
            on("0/1 nodes are available: persistentvolumeclaim \"data\" not found. preemption: none", mk_node(NODE)),
            Waits(VolumeMissing, Phase::Pending),
        ),
        scenario(
            "claim not bound",
            on("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: none", mk_node(NODE)),
            Waits(VolumeMissing, Phase::Pending),
        ),
    ]
}

fn nodes() -> Vec<Scenario> {
    let small = mk_node(NODE).with(|node| node.allocatable.cpu = Cpu(1900));
    let daemons = mk_node(NODE).with(|node| node.allocatable.memory = Memory(4 * GIB));
    let crowded =
        on(FULL, daemons).with(|evidence| evidence.neighbours = vec![mk_neighbour("kube-system/cni", "", 10, 1).with(|pod| pod.daemon = true)]);
    let full = on(FULL, mk_node(NODE)).with(|evidence| evidence.neighbours = vec![mk_neighbour("flows/load-1", "ben", 3000, 8)]);
    let pool = on(FULL, small.clone()).with(|evidence| change_plan(evidence, |plan| plan.placement.node_pool = Some("flows".into())));
    vec![
        scenario("machine too small", on(FULL, small), Hopeless(SchedulingNeverFits, Phase::Pending)),
        scenario("machine too small with its daemon sets", crowded, Hopeless(SchedulingNeverFits, Phase::Pending)),
        scenario("a pool may bring a larger machine", pool, Waits(SchedulingNeverFits, Phase::Pending)),
        scenario("full", full, Waits(SchedulingInsufficient, Phase::Pending)),
        scenario("taint", on(TAINTED, mk_node(NODE).with(|node| node.taints.push(mk_taint("team", "ml")))), Waits(SchedulingTaint, Phase::Pending)),
        scenario(
            "cordoned",
            on("0/1 nodes are available: 1 node(s) were unschedulable.", mk_node(NODE).with(|node| node.cordoned = true)),
            Waits(SchedulingCordoned, Phase::Pending),
        ),
        scenario("node not ready", on(TAINTED, mk_unready(-60)), Waits(NodeNotReady, Phase::Pending)),
        scenario(
            "node being set up",
            on(TAINTED, mk_node(NODE).with(|node| node.taints.push(mk_taint("ebs.csi.aws.com/agent-not-ready", "")))),
            Waits(NodeStartupTaint, Phase::Pending),
        ),
    ]
}

fn waiting(reason: &str, message: &str) -> Evidence {
    mk_evidence([mk_waiting(reason, message)])
}

fn starting() -> Vec<Scenario> {
    let pulling = waiting("ContainerCreating", "").with(|evidence| {
        evidence.events = vec![mk_pod_event("Pulling", "Pulling image \"registry.example/flows:1\"", "kubelet", 7)];
    });
    let mount = waiting("ContainerCreating", "").with(|evidence| {
        let message = "AttachVolume.Attach failed for volume \"pvc-7\" : rpc error: code = Internal desc = volume is in use";
        evidence.events = vec![mk_pod_event("FailedAttachVolume", message, "attachdetach-controller", 9)];
    });
    let image = |text: &str| {
        let message = format!("Back-off pulling image \"registry.example/flows:1\": ErrImagePull: failed to pull and unpack image: {text}");
        waiting("ImagePullBackOff", &message)
    };
    vec![
        scenario("pulling", pulling, Waits(ImagePulling, Phase::Starting)),
        scenario("creating", waiting("ContainerCreating", ""), Waits(ContainerCreating, Phase::Starting)),
        scenario("image not found", image("registry.example/flows:1: not found"), Hopeless(ImageNotFound, Phase::Starting)),
        scenario("image refused", image("unexpected status: 401 Unauthorized"), Hopeless(ImageUnauthorized, Phase::Starting)),
        scenario("registry unreachable", image("dial tcp 10.0.0.9:443: i/o timeout"), Waits(ImageUnreachable, Phase::Starting)),
        scenario(
            "image name",
            waiting("InvalidImageName", "Failed to apply default image tag \"Flows:1\": couldn't parse image name \"Flows:1\""),
            Hopeless(ImageInvalid, Phase::Starting),
        ),
        scenario("no secret", waiting("CreateContainerConfigError", "secret \"api\" not found"), Waits(ConfigSecretMissing, Phase::Starting)),
        scenario(
            "no config map",
            waiting("CreateContainerConfigError", "configmap \"api\" not found"),
            Waits(ConfigConfigMapMissing, Phase::Starting),
        ),
        scenario(
            "root",
            waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root (pod: \"etl\", container: flow)"),
            Hopeless(ConfigRunAsRoot, Phase::Starting),
        ),
        scenario("runtime error", waiting("CreateContainerError", "failed to reserve container name"), Waits(ConfigOther, Phase::Starting)),
        scenario("mount", mount, Waits(VolumeMount, Phase::Starting)),
        scenario(
            "node of the pod not ready",
            waiting("ContainerCreating", "").with(|evidence| evidence.nodes = Some(vec![mk_unready(30)])),
            Waits(NodeNotReady, Phase::Starting),
        ),
    ]
}

fn disrupted(attempt: AttemptRecord, reason: &str, message: &str) -> AttemptRecord {
    attempt.with(|attempt| attempt.disruption = Some(mk_condition("DisruptionTarget", reason, message, at(99))))
}

fn running() -> Vec<Scenario> {
    let draining = disrupted(mk_running(), "EvictionByEvictionAPI", "Eviction API: evicting");
    vec![
        scenario("running", mk_evidence([mk_running()]), Waits(FlowRunning, Phase::Running)),
        scenario("running, node silent", mk_evidence([mk_running()]).with(|evidence| evidence.nodes = Some(vec![mk_unready(30)])), {
            Waits(NodeNotReady, Phase::Running)
        }),
        scenario("running, being drained", mk_evidence([draining]), Waits(LostDrained, Phase::Running)),
    ]
}

fn flow_ends() -> Vec<Scenario> {
    let evicted =
        |message: &str| mk_ended(137, "Error").with(|attempt| (attempt.reason, attempt.message) = (Some("Evicted".into()), Some(message.into())));
    let child = mk_ended(1, "Error").with(|attempt| attempt.out_of_memory_kills = 1);
    let start = mk_ended(128, "StartError").with(|attempt| {
        let ContainerState::Terminated(termination) = &mut attempt.container else { return };
        termination.started = Some(jiff::Timestamp::UNIX_EPOCH);
        termination.message = "exec: \"python3\": executable file not found in $PATH: unknown".into();
    });
    vec![
        scenario("exit 0", mk_evidence([mk_ended(0, "Completed")]), Over(Succeeded, FlowSucceeded, 0, Some(0))),
        scenario("exit 7", mk_evidence([mk_ended(7, "Error")]), Over(Failed, FlowFailed, 7, Some(7))),
        scenario("a reserved code", mk_evidence([mk_ended(75, "Error")]), Over(Failed, FlowFailed, 1, Some(75))),
        scenario("memory", mk_evidence([mk_ended(137, "OOMKilled")]), Over(OutOfMemory, FlowOutOfMemory, 137, None)),
        scenario("memory of a child", mk_evidence([child]), Over(OutOfMemory, FlowChildOutOfMemory, 137, Some(1))),
        scenario("memory of a child, exit 0", mk_evidence([mk_ended(0, "OOMKilled")]), Over(Succeeded, FlowSucceeded, 0, Some(0))),
        scenario(
            "disk",
            mk_evidence([evicted("Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ")]),
            Over(OutOfDisk, FlowDiskFull, 137, None),
        ),
        scenario(
            "node pressure",
            mk_evidence([evicted("The node was low on resource: memory. Threshold quantity: 100Mi, available: 60Mi. ")]),
            Over(Lost, LostEvicted, 75, None),
        ),
        scenario("137 alone", mk_evidence([mk_ended(137, "Error")]), Over(Killed, FlowKilled, 137, Some(137))),
        scenario("segmentation fault", mk_evidence([mk_ended(139, "Error")]), Over(Killed, FlowKilled, 139, Some(139))),
        scenario("no such program", mk_evidence([start]), Over(Rejected, FlowStartError, 78, None)),
        scenario("exit 255", mk_evidence([mk_ended(255, "Error")]), Over(Failed, FlowFailed, 255, Some(255))),
    ]
}

fn time_ends() -> Vec<Scenario> {
    let deadline = "Job was active longer than specified deadline";
    let overdue = mk_ended(143, "Error").with(|attempt| {
        attempt.reason = Some("DeadlineExceeded".into());
        attempt.message = Some("Pod was active on the node longer than the specified deadline".into());
    });
    let never = mk_failed([mk_unscheduled(FULL).with(|attempt| attempt.deleted = Some(at(101)))], "DeadlineExceeded", deadline);
    let leased = mk_failed([mk_ended(143, "Error").with(|attempt| attempt.deleted = Some(at(99)))], "DeadlineExceeded", deadline).with(|evidence| {
        let job = evidence.job.as_mut().expect("a job");
        (job.leased, job.active_deadline_seconds) = (true, Some(700));
    });
    vec![
        scenario("run timeout", mk_evidence([overdue]), Over(TimedOut, TimeoutRun, 124, None)),
        scenario(
            "silence",
            mk_ended_by(
                [mk_ended(143, "Error").with(|attempt| attempt.deleted = Some(at(50)))],
                mk_ending(TimedOut, "Timeout.Stall", Some("last output at 10:00:12Z")),
            ),
            Over(TimedOut, TimeoutStall, 124, None),
        ),
        scenario("deadline before any container", never, Over(NoNode, TimeoutPending, 75, None)),
        scenario(
            "pending timeout",
            mk_ended_by([mk_unscheduled(FULL)], mk_ending(NoNode, "Timeout.Pending", Some("waited 20m"))),
            Over(NoNode, TimeoutPending, 75, None),
        ),
        scenario(
            "queue timeout",
            mk_ended_by([mk_unscheduled(FULL)], mk_ending(NoNode, "Timeout.Queue", Some("waited 12h"))),
            Over(NoNode, TimeoutQueue, 75, None),
        ),
        scenario("lease", leased, Over(Cancelled, CancelledLease, 143, None)),
    ]
}

fn losses() -> Vec<Scenario> {
    let lost = |reason: &str, message: &str| mk_evidence([disrupted(mk_ended(143, "Error"), reason, message)]);
    let pod = |reason: &str, message: &str| {
        let attempt = mk_waiting("", "").with(|attempt| {
            attempt.phase = "Failed".into();
            (attempt.reason, attempt.message) = (Some(reason.into()), Some(message.into()));
        });
        mk_evidence([attempt])
    };
    let collected = disrupted(mk_running(), "DeletionByPodGC", "PodGC: node no longer exists").with(|attempt| attempt.phase = "Failed".into());
    let wordless = mk_running().with(|attempt| (attempt.phase, attempt.node_gone) = ("Failed".into(), Some(at(90))));
    let made_up = mk_ended(137, "ContainerStatusUnknown").with(|attempt| {
        let ContainerState::Terminated(Termination { message, .. }) = &mut attempt.container else { return };
        *message = "The container could not be located when the pod was terminated".into();
    });
    vec![
        scenario("node gone", mk_evidence([collected]), Over(Lost, LostNodeGone, 75, None)),
        scenario("spot machine taken back", groups::reclaimed(), Over(Lost, LostSpotReclaimed, 75, None)),
        scenario("drained", lost("EvictionByEvictionAPI", "Eviction API: evicting"), Over(Lost, LostDrained, 75, None)),
        scenario(
            "preempted",
            lost("PreemptionByScheduler", "default-scheduler: preempting to accommodate a higher priority pod"),
            Over(Lost, LostPreempted, 75, None),
        ),
        scenario("taint eviction", lost("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"), {
            Over(Lost, LostTaintEviction, 75, None)
        }),
        scenario("node shut down", pod("Terminated", "Pod was terminated in response to imminent node shutdown."), {
            Over(Lost, LostNodeShutdown, 75, None)
        }),
        scenario(
            "refused by the kubelet",
            pod("OutOfcpu", "Pod was rejected: Node didn't have enough resource: cpu, requested: 2000, used: 3000, capacity: 4000"),
            Over(Lost, LostNodeRefused, 75, None),
        ),
        scenario("failed without a word, its node gone before", mk_evidence([wordless]), Over(Lost, LostNodeGone, 75, None)),
        scenario("made-up status", mk_evidence([made_up]), Over(Lost, LostOther, 75, None)),
        scenario("a disruption of another kind", lost("DeletionByMoonlight", "moon"), Over(Lost, LostOther, 75, None)),
        scenario(
            "drained, only the Job says so",
            mk_failed([], "PodFailurePolicy", "Pod flows/etl-1-abcde has condition DisruptionTarget matching FailJob rule at index 0"),
            Over(Lost, LostOther, 75, None),
        ),
    ]
}

fn stops() -> Vec<Scenario> {
    let stopped = || mk_ended(143, "Error").with(|attempt| attempt.deleted = Some(at(99)));
    let code = "Container flow for pod flows/etl-1-abcde failed with exit code 143 matching FailJob rule at index 1";
    let gone = mk_evidence([stopped()]).with(|evidence| evidence.job_gone = Some(at(102)));
    vec![
        scenario("cancelled", mk_ended_by([stopped()], mk_ending(Cancelled, "Cancelled.ByUser", Some("wrong day"))), {
            Over(Cancelled, CancelledByUser, 143, None)
        }),
        scenario("pod deleted", mk_failed([stopped()], "PodFailurePolicy", code), Over(Cancelled, CancelledDeleted, 143, None)),
        scenario("Job deleted", gone, Over(Cancelled, CancelledDeleted, 143, None)),
    ]
}

fn unknowns() -> Vec<Scenario> {
    let silent = mk_evidence([mk_running()]).with(|evidence| evidence.nodes = Some(vec![mk_unready(30)]));
    let gone = mk_evidence([mk_running().with(|attempt| attempt.gone = Some(at(7000)))]).with(|evidence| {
        (evidence.job_seen, evidence.job_gone) = (Some(at(60)), Some(at(7000)));
    });
    let foreign = mk_failed([], "BackoffLimitExceeded", "Job has reached the specified backoff limit").with(|evidence| {
        let job = evidence.job.as_mut().expect("a job");
        (job.plan, job.maker, job.counts) = (None, Maker::PrefectWorker, JobCounts { failed: 1, ..JobCounts::default() });
    });
    vec![
        Scenario { now: 30 + 360, ..scenario("node silent for 6 min", silent, Over(Unknown, UnknownNodeUnreachable, 76, None)) },
        Scenario { now: 7000, ..scenario("Job gone after a pause", gone, Over(Unknown, UnknownJobGone, 76, None)) },
        scenario("a worker's Job failed, its pod is gone", foreign, Over(Unknown, UnknownOther, 76, None)),
    ]
}
