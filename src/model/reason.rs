//! Reasons: stable codes of causes, the same in every output and in every version.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal,)+) => {
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
        }
    };
}

reasons! {
    /// The submission died half way: the Job is suspended and has no pod.
    SubmissionIncomplete = "Submission.Incomplete",
    /// A ResourceQuota of the namespace does not let the pod in.
    RejectedQuota = "Rejected.Quota",
    /// Pod Security of the namespace refuses the pod.
    RejectedPodSecurity = "Rejected.PodSecurity",
    /// Another admission policy or webhook refuses the pod.
    RejectedAdmission = "Rejected.Admission",
    /// The pod's ServiceAccount does not exist.
    ConfigServiceAccountMissing = "Config.ServiceAccountMissing",
    /// No machine of this size can ever hold the request.
    SchedulingNeverFits = "Scheduling.NeverFits",
    /// No node, group or pool carries the labels that the size asks for.
    SchedulingNoSuchGroup = "Scheduling.NoSuchGroup",
    /// The nodes of this size have a taint that the job does not tolerate.
    SchedulingTaint = "Scheduling.Taint",
    /// Nodes of this size exist and are full.
    SchedulingInsufficient = "Scheduling.Insufficient",
    /// Nodes of this size exist and are cordoned.
    SchedulingCordoned = "Scheduling.Cordoned",
    /// A scheduling gate holds the pod.
    SchedulingGated = "Scheduling.Gated",
    /// The scheduler has not looked at the pod yet.
    SchedulingWaiting = "Scheduling.Waiting",
    /// The scheduler's own words, which no other code covers.
    SchedulingOther = "Scheduling.Other",
    /// A volume lives in a zone where the group has no node.
    VolumeZone = "Volume.Zone",
    /// A PersistentVolumeClaim does not exist or is not bound.
    VolumeMissing = "Volume.Missing",
    /// A node of this size is there but not ready.
    NodeNotReady = "Node.NotReady",
    /// A node of this size still carries its start-up taint.
    NodeStartupTaint = "Node.StartupTaint",
    /// The image is being pulled.
    ImagePulling = "Image.Pulling",
    /// The registry does not have this image.
    ImageNotFound = "Image.NotFound",
    /// The registry refuses to hand out this image.
    ImageUnauthorized = "Image.Unauthorized",
    /// The registry cannot be reached, or the pull fails for another reason.
    ImageUnreachable = "Image.Unreachable",
    /// The image's name cannot be parsed.
    ImageInvalid = "Image.Invalid",
    /// A Secret, or a key of it, does not exist.
    ConfigSecretMissing = "Config.SecretMissing",
    /// A ConfigMap, or a key of it, does not exist.
    ConfigConfigMapMissing = "Config.ConfigMapMissing",
    /// The image's user is root and the pod must not run as root.
    ConfigRunAsRoot = "Config.RunAsRoot",
    /// The kubelet cannot make the container from this configuration.
    ConfigOther = "Config.Other",
    /// A volume cannot be attached or mounted.
    VolumeMount = "Volume.Mount",
    /// The container is being created.
    ContainerCreating = "Container.Creating",
    /// The flow runs.
    FlowRunning = "Flow.Running",
    /// The flow ended with 0.
    FlowSucceeded = "Flow.Succeeded",
    /// The flow ended with another code.
    FlowFailed = "Flow.Failed",
    /// The flow was killed at its memory limit.
    FlowOutOfMemory = "Flow.OutOfMemory",
    /// A child process of the flow was killed at the memory limit.
    FlowChildOutOfMemory = "Flow.ChildOutOfMemory",
    /// The flow used more ephemeral storage than it may.
    FlowDiskFull = "Flow.DiskFull",
    /// A signal that nobody accounts for ended the flow.
    FlowKilled = "Flow.Killed",
    /// The flow could not be started.
    FlowStartError = "Flow.StartError",
    /// The flow ran longer than it may.
    TimeoutRun = "Timeout.Run",
    /// The flow was silent for too long.
    TimeoutStall = "Timeout.Stall",
    /// No node was found in time.
    TimeoutPending = "Timeout.Pending",
    /// Our turn did not come in time.
    TimeoutQueue = "Timeout.Queue",
    /// The node object is gone and nothing says why.
    LostNodeGone = "Lost.NodeGone",
    /// The node was drained.
    LostDrained = "Lost.Drained",
    /// The kubelet evicted the pod because its node ran short.
    LostEvicted = "Lost.Evicted",
    /// A pod of higher priority took its place.
    LostPreempted = "Lost.Preempted",
    /// A taint of the node evicted the pod.
    LostTaintEviction = "Lost.TaintEviction",
    /// The node shut down.
    LostNodeShutdown = "Lost.NodeShutdown",
    /// The kubelet refused the pod that the scheduler had sent.
    LostNodeRefused = "Lost.NodeRefused",
    /// The infrastructure took the pod, and its condition names a cause that sbrun does not know.
    LostOther = "Lost.Other",
    /// Somebody cancelled the job with sbrun.
    CancelledByUser = "Cancelled.ByUser",
    /// The lease ran out: the runner that submitted the job vanished.
    CancelledLease = "Cancelled.Lease",
    /// Somebody else deleted the Job or its pod.
    CancelledDeleted = "Cancelled.Deleted",
    /// The node does not answer; the flow may still be running there.
    UnknownNodeUnreachable = "Unknown.NodeUnreachable",
    /// Nothing is left that says how the job ended.
    UnknownJobGone = "Unknown.JobGone",
    /// The Job ended in a way that sbrun does not know.
    UnknownOther = "Unknown.Other",
}

impl Reason {
    /// Returns the reason of this code.
    #[must_use]
    pub fn find(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code)
    }
}

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
