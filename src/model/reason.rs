//! Reasons: stable codes of causes, the same in every output and in every version.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::outcome::Outcome;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal => $remedy:literal,)+) => {
        /// The stable code of a cause.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Reason {
            /// Every reason, in the order of the manual.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Returns the code, such as `Scheduling.NeverFits`.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// Returns what the code means, in one sentence for the manual.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// Returns what helps in general, for the manual; a story has the next step for its own job.
            #[must_use]
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)+ }
            }
        }
    };
}

reasons! {
    /// The submission died half way: the Job is suspended and has no pod.
    SubmissionIncomplete = "Submission.Incomplete" => "run the same `sbrun submit --key` again, or remove it with `sbrun clean`",
    /// Prefect has the flow run, and no worker has taken it up yet.
    PrefectScheduled = "Prefect.Scheduled" => "wait: a worker asks for runs every 10 to 15 seconds",
    /// No worker of the run's work pool is online.
    PrefectNoWorker = "Prefect.NoWorker" => "start a worker for the pool; `sbrun setup` prints its Deployment",
    /// Somebody paused the run's work pool.
    PrefectPoolPaused = "Prefect.PoolPaused" => "resume it: `prefect work-pool resume NAME`",
    /// As many runs as the work pool or the deployment may have at a time are running.
    PrefectConcurrencyLimit = "Prefect.ConcurrencyLimit" => "wait for a run to end, or raise the limit in Prefect",
    /// Prefect will start the run again.
    PrefectAwaitingRetry = "Prefect.AwaitingRetry" => "wait for the next attempt",
    /// The run is paused or suspended until somebody resumes it.
    PrefectPaused = "Prefect.Paused" => "resume it in Prefect",
    /// A ResourceQuota of the namespace does not let the pod in.
    RejectedQuota = "Rejected.Quota" => "see who uses the quota, ask for less, or have it raised",
    /// Pod Security of the namespace refuses the pod.
    RejectedPodSecurity = "Rejected.PodSecurity" => "set the fields that the message names, in the size's `template`",
    /// Another admission policy or webhook refuses the pod.
    RejectedAdmission = "Rejected.Admission" => "change what the policy names, or ask whoever owns it",
    /// The pod's ServiceAccount does not exist.
    ConfigServiceAccountMissing = "Config.ServiceAccountMissing" => "create it, or correct `service_account` in the instance map",
    /// No machine of this size can ever hold the request.
    SchedulingNeverFits = "Scheduling.NeverFits" => "take a size whose machine is large enough, or lower the footprint",
    /// No node, group or pool carries the labels that the size asks for.
    SchedulingNoSuchGroup = "Scheduling.NoSuchGroup" => "compare `node_selector` of the size with the labels that nodes have",
    /// The nodes of this size have a taint that the job does not tolerate.
    SchedulingTaint = "Scheduling.Taint" => "add the toleration to the size in the instance map",
    /// Nodes of this size exist and are full.
    SchedulingInsufficient = "Scheduling.Insufficient" => "wait for a running job to end, or take another size",
    /// Nodes of this size exist and are cordoned.
    SchedulingCordoned = "Scheduling.Cordoned" => "uncordon the node when its maintenance is over",
    /// A scheduling gate holds the pod.
    SchedulingGated = "Scheduling.Gated" => "ask whoever set the gate",
    /// Somebody suspended the Job, or a queue has not released it yet.
    SchedulingSuspended = "Scheduling.Suspended" => "resume the Job, or ask the queue that holds it",
    /// There is no pod yet, or the scheduler has not looked at it.
    SchedulingWaiting = "Scheduling.Waiting" => "nothing; if it lasts, look at the cluster's scheduler and controllers",
    /// The scheduler's own words, which no other code covers.
    SchedulingOther = "Scheduling.Other" => "read the scheduler's words",
    /// An autoscaler said that a machine is coming.
    ScaleUpTriggered = "ScaleUp.Triggered" => "wait for the machine",
    /// The node group is at its maximum, or the node pool at its limit: the job waits for its turn.
    QueueAtMaximum = "Queue.AtMaximum" => "wait for a job there to end, take another size, or have the maximum raised",
    /// The Cluster Autoscaler leaves the node group alone for a while, after a failure.
    ScaleUpBackoff = "ScaleUp.Backoff" => "wait until it tries again, or take another size",
    /// The Cluster Autoscaler does not know the node group.
    ScaleUpGroupNotDiscovered = "ScaleUp.GroupNotDiscovered" => "give the group the two tags by which it is discovered",
    /// The node group rests at 0, and its tags do not tell the autoscaler which labels its nodes will have.
    ScaleUpTagsMissing = "ScaleUp.TagsMissing" => "give the group its node-template tags",
    /// The autoscaler may not add any more nodes to the cluster.
    ScaleUpTotalLimit = "ScaleUp.TotalLimit" => "raise the autoscaler's `--max-nodes-total`, `--cores-total` or `--memory-total`",
    /// No autoscaler is at work that could raise the node group.
    ScaleUpAutoscalerDown = "ScaleUp.AutoscalerDown" => "look at the autoscaler's Deployment and its log",
    /// The node pool is not ready.
    ScaleUpPoolNotReady = "ScaleUp.PoolNotReady" => "look at the conditions of the node pool and of its node class",
    /// No autoscaler has said anything about the pod, and nothing else explains it.
    ScaleUpUnexplained = "ScaleUp.Unexplained" => "run `sbrun doctor`; look at the autoscaler's log",
    /// AWS has no spot machine of this kind.
    CapacitySpot = "Capacity.Spot" => "take another size or the size's `fallback`, or wait",
    /// AWS has no machine of this kind.
    CapacityOnDemand = "Capacity.OnDemand" => "take another size or the size's `fallback`, or wait",
    /// A quota of the AWS account keeps the node group from growing.
    CapacityQuota = "Capacity.Quota" => "have the quota raised, or wait for other machines of the account to go",
    /// The node group cannot start a machine as it is configured.
    CapacityLaunchConfiguration = "Capacity.LaunchConfiguration" => "mend the group's launch template",
    /// Somebody suspended the node group's process `Launch`.
    CapacityLaunchSuspended = "Capacity.LaunchSuspended" => "resume the process",
    /// A machine was started and is not a node yet.
    NodeBooting = "Node.Booting" => "wait",
    /// A machine was started and did not become a node in time.
    NodeNeverJoined = "Node.NeverJoined" => "read its boot log; look at its network and at its role",
    /// A volume lives in a zone where the group has no node.
    VolumeZone = "Volume.Zone" => "take a size with a node group in the volume's zone",
    /// A PersistentVolumeClaim does not exist or is not bound.
    VolumeMissing = "Volume.Missing" => "create the claim, or see why it is not bound",
    /// A node of this size is there but not ready.
    NodeNotReady = "Node.NotReady" => "look at the node's conditions",
    /// A node of this size still carries its start-up taint.
    NodeStartupTaint = "Node.StartupTaint" => "wait; if it lasts, look at the daemon that should take the taint off",
    /// The image is being pulled.
    ImagePulling = "Image.Pulling" => "wait",
    /// The registry does not have this image.
    ImageNotFound = "Image.NotFound" => "correct the image's name or tag, or push it",
    /// The registry refuses to hand out this image.
    ImageUnauthorized = "Image.Unauthorized" => "name a pull secret in `image_pull_secrets`, or let the node's role read the repository",
    /// The registry cannot be reached, or the pull fails for another reason.
    ImageUnreachable = "Image.Unreachable" => "see whether the node reaches the registry",
    /// The image's name cannot be parsed.
    ImageInvalid = "Image.Invalid" => "correct the image's name",
    /// A Secret, or a key of it, does not exist.
    ConfigSecretMissing = "Config.SecretMissing" => "create the Secret or the key, or correct its name",
    /// A ConfigMap, or a key of it, does not exist.
    ConfigConfigMapMissing = "Config.ConfigMapMissing" => "create the ConfigMap or the key, or correct its name",
    /// The image's user is root and the pod must not run as root.
    ConfigRunAsRoot = "Config.RunAsRoot" => "set `run_as_user` to a number other than 0",
    /// The kubelet cannot make the container from this configuration.
    ConfigOther = "Config.Other" => "read the kubelet's words",
    /// A volume cannot be attached or mounted.
    VolumeMount = "Volume.Mount" => "look at the volume and its claim",
    /// The container is being created.
    ContainerCreating = "Container.Creating" => "wait",
    /// The flow runs.
    FlowRunning = "Flow.Running" => "nothing",
    /// The flow ended with 0.
    FlowSucceeded = "Flow.Succeeded" => "nothing",
    /// The flow ended with another code.
    FlowFailed = "Flow.Failed" => "read the flow's last output",
    /// The flow was killed at its memory limit.
    FlowOutOfMemory = "Flow.OutOfMemory" => "run it again at a size with more memory",
    /// A child process of the flow was killed at the memory limit.
    FlowChildOutOfMemory = "Flow.ChildOutOfMemory" => "start fewer processes, or take a size with more memory",
    /// The flow used more ephemeral storage than it may.
    FlowDiskFull = "Flow.DiskFull" => "write less, or give the size more `ephemeral_storage`",
    /// Prefect says that the run crashed, and its pod does not say why.
    FlowCrashed = "Flow.Crashed" => "read what Prefect says, and the flow's last output",
    /// A signal that nobody accounts for ended the flow.
    FlowKilled = "Flow.Killed" => "read the flow's last output; ask who sends it signals",
    /// The flow could not be started.
    FlowStartError = "Flow.StartError" => "see that command and interpreter exist in the image",
    /// The flow ran longer than it may.
    TimeoutRun = "Timeout.Run" => "give it a longer `--timeout`, or more machine",
    /// The flow was silent for too long.
    TimeoutStall = "Timeout.Stall" => "find out what it waited for, or give it a longer `--stall-timeout`",
    /// No node was found in time.
    TimeoutPending = "Timeout.Pending" => "mend the cause that it waited for, then run the same command again",
    /// Our turn did not come in time.
    TimeoutQueue = "Timeout.Queue" => "run the same command again, or take another size",
    /// AWS took the spot machine back.
    LostSpotReclaimed = "Lost.SpotReclaimed" => "run the same command again; `--infrastructure-retries` does it by itself",
    /// The node went away, and nothing says why.
    LostNodeGone = "Lost.NodeGone" => "run the same command again; `--infrastructure-retries` does it by itself",
    /// The node was drained.
    LostDrained = "Lost.Drained" => "run the same command again",
    /// The kubelet evicted the pod because its node ran short.
    LostEvicted = "Lost.Evicted" => "run the same command again; ask for what the flow really uses",
    /// A pod of higher priority took its place.
    LostPreempted = "Lost.Preempted" => "run the same command again, or with a higher priority",
    /// A taint of the node evicted the pod.
    LostTaintEviction = "Lost.TaintEviction" => "run the same command again",
    /// The node shut down.
    LostNodeShutdown = "Lost.NodeShutdown" => "run the same command again",
    /// The kubelet refused the pod that the scheduler had sent.
    LostNodeRefused = "Lost.NodeRefused" => "run the same command again",
    /// The process ended while Prefect waits for its retry, which nobody will start.
    LostStranded = "Lost.Stranded" => "run it again; the retry that Prefect shows was to be started by a process that is gone",
    /// The infrastructure took the pod, and its condition names a cause that sbrun does not know.
    LostOther = "Lost.Other" => "run the same command again",
    /// Somebody cancelled the job with sbrun.
    CancelledByUser = "Cancelled.ByUser" => "nothing; `sbrun rerun` starts it again",
    /// The lease ran out: the runner that submitted the job vanished.
    CancelledLease = "Cancelled.Lease" => "`sbrun rerun` starts it again; `--detach` or a longer `--lease` lets it outlive its runner",
    /// Somebody else deleted the Job or its pod.
    CancelledDeleted = "Cancelled.Deleted" => "ask who deleted it; `sbrun cancel` keeps a record",
    /// The node does not answer; the flow may still be running there.
    UnknownNodeUnreachable = "Unknown.NodeUnreachable" => "see whether the node comes back before running it again: it may still be running there",
    /// The flow's process is over, and the Prefect API that knows how it ended cannot be asked.
    UnknownPrefect = "Unknown.Prefect" => "ask again when the Prefect API can be reached",
    /// Nothing is left that says how the job ended.
    UnknownJobGone = "Unknown.JobGone" => "see what the flow left behind before running it again",
    /// The Job ended in a way that sbrun does not know.
    UnknownOther = "Unknown.Other" => "read the platform's words before running it again",
}

impl Reason {
    /// Returns the reason of this code.
    #[must_use]
    pub fn find(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code)
    }

    /// Returns whether it means that the size has no machine to give now: another size may have one.
    #[must_use]
    pub fn is_no_capacity(self) -> bool {
        matches!(self, Self::CapacitySpot | Self::CapacityOnDemand | Self::CapacityQuota | Self::ScaleUpBackoff)
    }

    /// Returns the outcome of a job that ended for this reason; none for what a job waits for.
    #[must_use]
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            Self::FlowSucceeded => Some(Outcome::Succeeded),
            Self::FlowFailed | Self::FlowCrashed => Some(Outcome::Failed),
            Self::FlowOutOfMemory | Self::FlowChildOutOfMemory => Some(Outcome::OutOfMemory),
            Self::FlowDiskFull => Some(Outcome::OutOfDisk),
            Self::FlowKilled => Some(Outcome::Killed),
            Self::FlowStartError => Some(Outcome::Rejected),
            Self::TimeoutRun | Self::TimeoutStall => Some(Outcome::TimedOut),
            Self::TimeoutPending | Self::TimeoutQueue => Some(Outcome::NoNode),
            Self::LostSpotReclaimed
            | Self::LostNodeGone
            | Self::LostDrained
            | Self::LostEvicted
            | Self::LostPreempted
            | Self::LostTaintEviction
            | Self::LostNodeShutdown
            | Self::LostNodeRefused
            | Self::LostStranded
            | Self::LostOther => Some(Outcome::Lost),
            Self::CancelledByUser | Self::CancelledLease | Self::CancelledDeleted => Some(Outcome::Cancelled),
            Self::UnknownNodeUnreachable | Self::UnknownPrefect | Self::UnknownJobGone | Self::UnknownOther => Some(Outcome::Unknown),
            _ => None,
        }
    }
}

/// Returns `docs/reasons.md`: every code with its meaning and what helps.
#[must_use]
pub fn manual() -> String {
    let row = |reason: &Reason, outcome: &str| format!("| `{}` |{outcome} {} | {} |\n", reason.code(), reason.meaning(), reason.remedy());
    let waiting: String = Reason::ALL.iter().filter(|reason| reason.outcome().is_none()).map(|reason| row(reason, "")).collect();
    let over: String = Reason::ALL.iter().filter_map(|reason| Some(row(reason, &format!(" `{}` |", reason.outcome()?)))).collect();
    format!("{INTRODUCTION}{WAITING_HEAD}{waiting}{OVER_HEAD}{over}")
}

const INTRODUCTION: &str = "\
# Reasons

Every cause that sbrun names has a stable code. `sbrun why JOB` shows it with its evidence and the next step; it is `reason` in `-o json` and in `$SBRUN_RESULT_FILE`.
Codes are never renamed. A script that meets an unknown one can fall back on the part before the dot.

This page is generated from `src/model/reason.rs`; a test compares them.
";

const WAITING_HEAD: &str = "
## While it waits

A cause that waiting cannot mend (it never fits, the image does not exist or is refused, the quota is below the request, an admission policy refuses the pod)
ends the job at once as `rejected`; another image error does after 3 minutes, a missing Secret or a volume that cannot be mounted after the pending timeout.
Everything else waits for its timeout.

| code | meaning | what helps |
|---|---|---|
";

const OVER_HEAD: &str = "
## When it is over

| code | outcome | meaning | what helps |
|---|---|---|---|
";

impl std::fmt::Display for Reason {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.code())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Reason {
    /// Reads a code; one from a newer sbrun becomes [`Reason::UnknownOther`], so that old verdicts stay readable.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|code| Self::find(&code).unwrap_or(Self::UnknownOther))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_found() {
        for reason in Reason::ALL {
            assert_eq!(Reason::find(reason.code()), Some(*reason));
            assert!(reason.meaning().ends_with('.') && !reason.remedy().ends_with('.'), "{reason}");
        }
        assert_eq!(Reason::find("Nobody.Knows"), None);
    }

    #[test]
    fn a_code_of_a_newer_version_is_still_readable() {
        assert_eq!(serde_json::from_str::<Reason>("\"Lost.SolarFlare\"").expect("codes are strings"), Reason::UnknownOther);
    }

    #[test]
    fn the_manual_is_up_to_date() {
        crate::model::outcome::tests::assert_generated("docs/reasons.md", include_str!("../../docs/reasons.md"), &manual());
    }
}
