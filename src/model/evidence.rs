//! Everything observed about one job so far.
//!
//! Observations merge. What was seen once of an end is never forgotten: pod and node vanish seconds later.
//! Partial evidence is normal (no right to list nodes, expired events) and says so in [`Evidence::unknown`].

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{
    footprint::{Allocatable, Footprint},
    launch_plan::{LaunchPlan, Taint, Toleration},
    node_group::{Scaling, Sighting},
    outcome::Outcome,
    prefect::flow_run::FlowRunRecord,
    story::{Cause, Verdict},
};

/// All that is known about one job. Times are the server's, where it gives one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// The Job as last seen; kept when the object is gone.
    pub job: Option<JobRecord>,
    /// When the Job object was last read.
    pub job_seen: Option<Timestamp>,
    /// When the Job object was first found missing.
    pub job_gone: Option<Timestamp>,
    /// Every pod of the Job ever seen, oldest first.
    pub attempts: Vec<AttemptRecord>,
    /// Events about Job, pods and nodes, oldest first, without repetitions.
    pub events: Vec<EventRecord>,
    /// The nodes that this job could run on, and its own; none when they could not be asked for.
    pub nodes: Option<Vec<NodeRecord>>,
    /// Nodes without the labels that the job asks for, where no node has them: a machine may have joined with other labels.
    pub other_nodes: Vec<NodeRecord>,
    /// Pods on those nodes that take up room, for "what runs there".
    pub neighbours: Vec<NeighbourRecord>,
    /// Labels that other nodes of the cluster have, by key: tells a wrong selector from an empty group.
    pub known_labels: BTreeMap<String, Vec<String>>,
    /// Quotas of the namespace that limit pods, CPU or memory.
    pub quotas: Vec<QuotaRecord>,
    /// How machines come and go: cloud account, autoscaler, pools.
    pub scaling: Scaling,
    /// The Prefect flow run that the job is of, where it is of one.
    pub flow_run: Sighting<FlowRunRecord>,
    /// Pods of all jobs that wait for the same nodes, this one's among them, oldest first; none when they were not asked for.
    pub queue: Option<Vec<WaitingPod>>,
    /// When a follower last saw this job waiting for its turn behind a group at its maximum.
    pub last_queued: Option<Timestamp>,
    /// How long a machine of this size usually takes to come, in seconds, from its finished jobs.
    pub usual_scale_up_seconds: Option<i64>,
    /// The end that this follower brought about; the Job records it too, where there is one.
    pub ended: Option<Ending>,
    /// For what causes this follower decided to end the job: kubelets rewrite what they said once a pod is told to go.
    pub decided_on: Vec<Cause>,
    /// What could not be observed, and why, for people.
    pub unknown: Vec<String>,
    /// When output was last seen.
    pub last_output: Option<Timestamp>,
    /// The last lines of output, where they were followed or kept.
    pub log_tail: Option<String>,
}

impl Evidence {
    /// Returns the end that somebody decided, as the Job records it, or as this follower brought it about.
    #[must_use]
    pub fn ending(&self) -> Option<&Ending> {
        self.job.as_ref().and_then(|job| job.ending.as_ref()).or(self.ended.as_ref())
    }

    /// Returns how many attempts the run had before, at a smaller size.
    #[must_use]
    pub fn earlier_attempts(&self) -> u32 {
        self.job.as_ref().and_then(|job| job.plan.as_ref()?.grown_from.as_ref()).map_or(0, |earlier| earlier.attempts)
    }

    /// Returns what to call the job: the name of its Job, else of its flow run; empty while nothing was seen.
    #[must_use]
    pub fn name(&self) -> &str {
        let run = || self.flow_run.value().map(|record| record.run.id.as_str());
        self.job.as_ref().map(|job| job.name.as_str()).or_else(run).unwrap_or_default()
    }
}

/// A Job, in the words of batch/v1.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobRecord {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// UID; a Job of the same name and another UID is not ours.
    pub uid: String,
    /// `metadata.resourceVersion`: tells whether the Job has changed since.
    pub resource_version: String,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// `status.startTime`: the Job's deadline counts from here.
    pub started: Option<Timestamp>,
    /// When it finished: time of the condition Complete or Failed.
    pub finished: Option<Timestamp>,
    /// `metadata.deletionTimestamp`.
    pub deleted: Option<Timestamp>,
    /// `spec.suspend`.
    pub suspended: bool,
    /// `spec.activeDeadlineSeconds`.
    pub active_deadline_seconds: Option<i64>,
    /// Conditions that are `True`.
    pub conditions: Vec<ConditionRecord>,
    /// `status.active`, `.ready`, `.succeeded`, `.failed`, `.terminating`.
    pub counts: JobCounts,
    /// The launch plan that the Job records; none for Jobs of a Prefect worker or of older versions.
    pub plan: Option<Box<LaunchPlan>>,
    /// What the pod template asks of a node.
    pub footprint: Footprint,
    /// Labels that the pod template asks of a node.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pod template tolerates.
    pub tolerations: Vec<Toleration>,
    /// Who ended it, when somebody did.
    pub ending: Option<Ending>,
    /// Whether it lives by a lease.
    pub leased: bool,
    /// Whether all objects that the pod needs have been created.
    pub complete: bool,
    /// The verdict that a follower left on the Job.
    pub verdict: Option<Box<Verdict>>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Identity of the run over all attempts; of a Prefect worker's Job that of the flow run.
    pub run_id: Option<String>,
    /// Id of the Prefect flow run that the Job is of.
    pub flow_run: Option<String>,
    /// Size profile.
    pub size: Option<String>,
    /// What the flow is called, from the annotation, else the label.
    pub flow: Option<String>,
    /// The user's name, from the annotation, else the label.
    pub user: Option<String>,
    /// The user as a label: tells whose it is.
    pub user_label: Option<String>,
    /// Whether sbrun made the Job, or a Prefect worker, or somebody else.
    pub maker: Maker,
}

impl JobRecord {
    /// Returns whether a follower left a verdict that stands. After `unknown` the flow may still run.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        self.verdict.as_ref().is_some_and(|verdict| verdict.outcome != Outcome::Unknown)
    }
}

/// Who made a Job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Maker {
    /// sbrun: label `app.kubernetes.io/managed-by=sbrun`.
    Sbrun,
    /// A Prefect worker: label `prefect.io/flow-run-id`.
    PrefectWorker,
    /// Anybody else.
    #[default]
    Other,
}

/// Pod counts of a Job's status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobCounts {
    /// Pending and running pods that are not being deleted.
    pub active: i32,
    /// Pods that succeeded.
    pub succeeded: i32,
    /// Pods that failed.
    pub failed: i32,
    /// Pods that are being deleted.
    pub terminating: i32,
}

impl JobCounts {
    /// Returns how many pods there have ever been: each is counted once, also when it is gone.
    #[must_use]
    pub fn pods(self) -> u32 {
        let counts = [self.active, self.succeeded, self.failed, self.terminating].into_iter().filter_map(|count| u32::try_from(count).ok());
        counts.fold(0, u32::saturating_add)
    }
}

/// A condition that is `True`, of a Job, or any condition of a node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConditionRecord {
    /// Type, such as `Failed`.
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Reason, such as `PodFailurePolicy`.
    pub reason: String,
    /// Message.
    pub message: String,
    /// Since when.
    pub since: Option<Timestamp>,
}

/// An end that a person or sbrun itself decided, as it is kept on the Job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// The outcome decided on: `cancelled`, `no_node`, `rejected`, `timed_out` or `lost`.
    pub outcome: crate::model::outcome::Outcome,
    /// The reason code that goes with it.
    pub reason: String,
    /// Who decided.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// One pod of a Job: one try.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AttemptRecord {
    /// Name of the pod.
    pub pod: String,
    /// Name of the container that is the flow's.
    pub container_name: String,
    /// UID of the pod.
    pub uid: String,
    /// When the pod was created.
    pub created: Option<Timestamp>,
    /// `status.startTime`: when the kubelet took it.
    pub accepted: Option<Timestamp>,
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: String,
    /// `status.reason`, such as `Evicted` or `DeadlineExceeded`.
    pub reason: Option<String>,
    /// `status.message`.
    pub message: Option<String>,
    /// Node that it is bound to.
    pub node: Option<String>,
    /// Condition PodScheduled, whatever its status.
    pub scheduled: Option<ConditionRecord>,
    /// Condition DisruptionTarget, when `True`.
    pub disruption: Option<ConditionRecord>,
    /// When its deletion was asked for: `metadata.deletionTimestamp` less `metadata.deletionGracePeriodSeconds`.
    pub deleted: Option<Timestamp>,
    /// When the pod object was first found missing.
    pub gone: Option<Timestamp>,
    /// When its node registered, once seen: a node older than the pod was warm.
    pub node_created: Option<Timestamp>,
    /// The machine behind its node, once seen: `spec.providerID`.
    pub provider_id: Option<String>,
    /// When its node was first found missing.
    pub node_gone: Option<Timestamp>,
    /// The flow's container; the strongest state ever seen.
    pub container: ContainerState,
    /// Other containers of the pod, by name: sidecars and init containers of a template.
    pub others: BTreeMap<String, ContainerState>,
    /// Number of the flow's container's restarts; 0 with `restartPolicy: Never`.
    pub restarts: i32,
    /// Highest memory use seen, in bytes, where it was measured.
    pub peak_memory: Option<u64>,
    /// CPU time used, in milliseconds, where it was measured.
    pub cpu_milliseconds: Option<u64>,
    /// Processes of this attempt that were killed at the memory limit, where counted.
    pub out_of_memory_kills: u64,
}

/// State of a container.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum ContainerState {
    /// Nothing is known yet.
    #[default]
    Unknown,
    /// Not started.
    Waiting {
        /// Reason, such as `ContainerCreating` or `ImagePullBackOff`.
        reason: String,
        /// Message.
        message: String,
        /// When sbrun first saw this reason, else when the pod was accepted.
        since: Option<Timestamp>,
    },
    /// Running.
    Running {
        /// Since when.
        started: Option<Timestamp>,
    },
    /// Ended.
    Terminated(Termination),
}

/// How a container ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Termination {
    /// Exit code: 128 + n for a signal.
    pub exit_code: i32,
    /// `Completed`, `Error`, `OOMKilled`, `StartError`, `ContainerStatusUnknown`, …
    pub reason: String,
    /// Termination message.
    pub message: String,
    /// When it started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
}

/// An event of core/v1 or events.k8s.io.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EventRecord {
    /// `Job`, `Pod`, `Node`, `ConfigMap`, …
    pub object_kind: String,
    /// Name of that object.
    pub object: String,
    /// `Normal` or `Warning`.
    pub kind: String,
    /// Reason, such as `FailedScheduling`.
    pub reason: String,
    /// Message.
    pub message: String,
    /// Component that wrote it, such as `default-scheduler` or `cluster-autoscaler`.
    pub source: String,
    /// When it was first seen.
    pub first: Option<Timestamp>,
    /// When it was last seen.
    pub last: Option<Timestamp>,
    /// How often.
    pub count: i32,
}

/// A node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeRecord {
    /// Name.
    pub name: String,
    /// When it registered.
    pub created: Option<Timestamp>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Taints.
    pub taints: Vec<Taint>,
    /// `spec.unschedulable`.
    pub cordoned: bool,
    /// What pods may use.
    pub allocatable: Allocatable,
    /// All conditions.
    pub conditions: Vec<ConditionRecord>,
    /// `spec.providerID`.
    pub provider_id: Option<String>,
}

impl NodeRecord {
    /// Returns the condition Ready.
    #[must_use]
    pub fn readiness(&self) -> Option<&ConditionRecord> {
        self.conditions.iter().find(|condition| condition.kind == "Ready")
    }

    /// Returns the condition Ready when it is not `True`.
    #[must_use]
    pub fn unready(&self) -> Option<&ConditionRecord> {
        self.readiness().filter(|condition| condition.status != "True")
    }
}

/// A pod that shares the nodes with this job.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NeighbourRecord {
    /// Node that it runs on.
    pub node: String,
    /// Namespace and name.
    pub pod: String,
    /// Who launched it, when sbrun did.
    pub user: Option<String>,
    /// Sum of its requests.
    pub footprint: Footprint,
    /// Whether it belongs to a DaemonSet.
    pub daemon: bool,
}

/// A pod that waits for a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WaitingPod {
    /// Namespace and name.
    pub pod: String,
    /// When it was created.
    pub created: Option<Timestamp>,
}

/// One limited resource of a ResourceQuota.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuotaRecord {
    /// Name of the ResourceQuota.
    pub quota: String,
    /// Resource, such as `requests.memory`.
    pub resource: String,
    /// In use, as the server writes it.
    pub used: String,
    /// The limit, as the server writes it.
    pub hard: String,
}
