//! Objects of the cluster as records of the model: the one place where wire types end.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{
        batch::v1::{Job, JobCondition},
        core::v1::{self, ContainerStatus, Event, Node, Pod, PodCondition, PodSpec, ResourceQuota},
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{ObjectMeta, Time},
    },
};
use serde::de::DeserializeOwned;

use crate::{
    kubernetes::labels,
    model::{
        evidence::{
            AttemptRecord, ConditionRecord, ContainerState, EventRecord, JobCounts, JobRecord, Maker, NeighbourRecord, NodeRecord, QuotaRecord,
            Termination,
        },
        footprint::{Allocatable, Footprint},
        launch_plan::{Taint, Toleration},
    },
};

/// Name of the container that a Prefect worker runs a flow in.
const PREFECT_CONTAINER: &str = "prefect-job";
/// Reason of the condition Failed when the Job's own deadline ended it; sbrun ends Jobs that way.
const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";
/// What a quota must mention to matter for a job.
const QUOTA_SUBJECTS: [&str; 6] = ["pods", "jobs", "cpu", "memory", "ephemeral-storage", "gpu"];

/// Returns what a Job says.
#[must_use]
pub fn job_record(job: &Job) -> JobRecord {
    let mut record = metadata_record(&job.metadata);
    if let Some(spec) = &job.spec {
        record.suspended = spec.suspend.unwrap_or_default();
        record.active_deadline_seconds = spec.active_deadline_seconds;
        if let Some(pod) = &spec.template.spec {
            record.footprint = pod_footprint(pod);
            record.node_selector = pod.node_selector.clone().unwrap_or_default();
            record.tolerations = pod.tolerations.iter().flatten().map(toleration_record).collect();
        }
    }
    let Some(status) = &job.status else { return record };
    record.started = time(status.start_time.as_ref());
    record.conditions = status.conditions.iter().flatten().filter(|condition| condition.status == "True").map(job_condition).collect();
    record.counts = JobCounts {
        active: status.active.unwrap_or_default(),
        succeeded: status.succeeded.unwrap_or_default(),
        failed: status.failed.unwrap_or_default(),
        terminating: status.terminating.unwrap_or_default(),
    };
    let end = record.conditions.iter().find(|condition| matches!(condition.kind.as_str(), "Complete" | "Failed"));
    record.finished = end.and_then(|end| end.since);
    // Somebody may decide to end a Job in the very moment in which it ends by itself: then the decision changed nothing.
    if end.is_some_and(|end| end.kind == "Complete" || end.reason != DEADLINE_EXCEEDED) {
        record.ending = None;
    }
    record
}

/// Returns what the metadata alone says: names, plan, verdict and ending, but neither spec nor status.
#[must_use]
pub fn metadata_record(metadata: &ObjectMeta) -> JobRecord {
    let labels = metadata.labels.clone().unwrap_or_default();
    let annotation = |name: &str| metadata.annotations.as_ref().and_then(|annotations| annotations.get(name));
    let plan: Option<Box<crate::model::launch_plan::LaunchPlan>> = parsed(annotation(labels::PLAN));
    let verdict: Option<Box<crate::model::story::Verdict>> = parsed(annotation(labels::VERDICT));
    JobRecord {
        name: metadata.name.clone().unwrap_or_default(),
        namespace: metadata.namespace.clone().unwrap_or_default(),
        uid: metadata.uid.clone().unwrap_or_default(),
        resource_version: metadata.resource_version.clone().unwrap_or_default(),
        created: time(metadata.creation_timestamp.as_ref()),
        finished: verdict.as_ref().and_then(|verdict| verdict.finished),
        deleted: time(metadata.deletion_timestamp.as_ref()),
        footprint: plan.as_ref().map(|plan| plan.footprint).unwrap_or_default(),
        ending: parsed(annotation(labels::ENDING)),
        leased: annotation(labels::LEASE).is_some(),
        complete: annotation(labels::INCOMPLETE).is_none(),
        flow_run: labels.get(labels::PREFECT_FLOW_RUN).cloned(),
        run_id: labels.get(labels::RUN_ID).or_else(|| labels.get(labels::PREFECT_FLOW_RUN)).cloned(),
        // The label is a slug; the plan has the name as the map writes it.
        size: plan.as_ref().and_then(|plan| plan.size.as_ref()).map(ToString::to_string).or_else(|| labels.get(labels::SIZE).cloned()),
        flow: annotation(labels::FLOW).or_else(|| labels.get(labels::FLOW)).or_else(|| labels.get(labels::PREFECT_FLOW)).cloned(),
        user: annotation(labels::USER).or_else(|| labels.get(labels::USER)).cloned(),
        user_label: labels.get(labels::USER).cloned(),
        maker: maker(&labels),
        plan,
        verdict,
        labels,
        ..JobRecord::default()
    }
}

/// Returns the last output that a follower left on the Job.
#[must_use]
pub fn kept_log_tail(job: &Job) -> Option<String> {
    job.metadata.annotations.as_ref().and_then(|annotations| annotations.get(labels::LOG_TAIL)).cloned()
}

fn maker(labels: &BTreeMap<String, String>) -> Maker {
    if labels.get(labels::MANAGED_BY).is_some_and(|value| value == labels::SBRUN) {
        Maker::Sbrun
    } else if labels.contains_key(labels::PREFECT_FLOW_RUN) {
        Maker::PrefectWorker
    } else {
        Maker::Other
    }
}

/// Returns an annotation's JSON; what an older or newer sbrun wrote otherwise counts as absent.
fn parsed<T: DeserializeOwned>(annotation: Option<&String>) -> Option<T> {
    annotation.and_then(|text| serde_json::from_str(text).ok())
}

fn time(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| time.0)
}

fn job_condition(condition: &JobCondition) -> ConditionRecord {
    ConditionRecord {
        kind: condition.type_.clone(),
        status: condition.status.clone(),
        reason: condition.reason.clone().unwrap_or_default(),
        message: condition.message.clone().unwrap_or_default(),
        since: time(condition.last_transition_time.as_ref()),
    }
}

/// Returns what a pod says.
#[must_use]
pub fn attempt_record(pod: &Pod) -> AttemptRecord {
    let status = pod.status.clone().unwrap_or_default();
    let statuses = || status.container_statuses.iter().flatten();
    let flow = flow_container(pod);
    let ours = statuses().find(|container| Some(&container.name) == flow.as_ref());
    let restarts_never = pod.spec.as_ref().is_some_and(|spec| spec.restart_policy.as_deref() == Some("Never"));
    let accepted = time(status.start_time.as_ref());
    let state = |container: &ContainerStatus| container_state(container, restarts_never, accepted);
    let others = status.init_container_statuses.iter().flatten().chain(statuses().filter(|container| Some(&container.name) != flow.as_ref()));
    let condition = |kind: &str| status.conditions.iter().flatten().find(|condition| condition.type_ == kind).map(pod_condition);
    AttemptRecord {
        pod: pod.metadata.name.clone().unwrap_or_default(),
        container_name: flow.clone().unwrap_or_default(),
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        created: time(pod.metadata.creation_timestamp.as_ref()),
        accepted,
        phase: status.phase.clone().unwrap_or_else(|| "Pending".to_owned()),
        reason: status.reason.clone(),
        message: status.message.clone(),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).filter(|node| !node.is_empty()),
        scheduled: condition("PodScheduled"),
        disruption: condition("DisruptionTarget").filter(|condition| condition.status == "True"),
        deleted: deletion_asked(&pod.metadata),
        container: ours.map(state).unwrap_or_default(),
        others: others.map(|container| (container.name.clone(), state(container))).collect(),
        restarts: ours.map_or(0, |container| container.restart_count),
        ..AttemptRecord::default()
    }
}

/// Returns the name of the container that is the flow's: `flow`, a Prefect worker's, else the first one.
#[must_use]
pub fn flow_container(pod: &Pod) -> Option<String> {
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let named = |name: &str| containers.iter().find(|container| container.name == name);
    named(labels::FLOW_CONTAINER).or_else(|| named(PREFECT_CONTAINER)).or_else(|| containers.first()).map(|container| container.name.clone())
}

fn pod_condition(condition: &PodCondition) -> ConditionRecord {
    ConditionRecord {
        kind: condition.type_.clone(),
        status: condition.status.clone(),
        reason: condition.reason.clone().unwrap_or_default(),
        message: condition.message.clone().unwrap_or_default(),
        since: time(condition.last_transition_time.as_ref()),
    }
}

/// Returns a container's state. Where nothing restarts, an earlier end is the end, whatever the status says by now.
fn container_state(container: &ContainerStatus, restarts_never: bool, accepted: Option<Timestamp>) -> ContainerState {
    let state = container.state.clone().unwrap_or_default();
    let last = container.last_state.clone().unwrap_or_default();
    if let Some(end) = state.terminated.or(last.terminated.filter(|_| restarts_never)) {
        return ContainerState::Terminated(termination(&end));
    }
    if let Some(running) = state.running {
        return ContainerState::Running { started: time(running.started_at.as_ref()) };
    }
    state.waiting.map_or(ContainerState::Unknown, |waiting| ContainerState::Waiting {
        reason: waiting.reason.unwrap_or_default(),
        message: waiting.message.unwrap_or_default(),
        since: accepted,
    })
}

fn termination(end: &v1::ContainerStateTerminated) -> Termination {
    Termination {
        exit_code: end.exit_code,
        reason: end.reason.clone().unwrap_or_default(),
        message: end.message.clone().unwrap_or_default(),
        started: time(end.started_at.as_ref()),
        finished: time(end.finished_at.as_ref()),
    }
}

/// Returns what an event says, in either of its two forms.
#[must_use]
pub fn event_record(event: &Event) -> EventRecord {
    let noted = event.event_time.as_ref().map(|time| time.0);
    let series = event.series.as_ref();
    let first = time(event.first_timestamp.as_ref()).or(noted).or(time(event.metadata.creation_timestamp.as_ref()));
    let last = series.and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let component = event.source.as_ref().and_then(|source| source.component.clone()).filter(|component| !component.is_empty());
    EventRecord {
        object_kind: event.involved_object.kind.clone().unwrap_or_default(),
        object: event.involved_object.name.clone().unwrap_or_default(),
        kind: event.type_.clone().unwrap_or_default(),
        reason: event.reason.clone().unwrap_or_default(),
        message: event.message.clone().unwrap_or_default(),
        source: component.or_else(|| event.reporting_component.clone()).unwrap_or_default(),
        first,
        last: last.or(time(event.last_timestamp.as_ref())).or(noted).or(first),
        count: series.and_then(|series| series.count).or(event.count).unwrap_or(1).max(1),
    }
}

/// Returns what a node says.
#[must_use]
pub fn node_record(node: &Node) -> NodeRecord {
    let spec = node.spec.clone().unwrap_or_default();
    let status = node.status.clone().unwrap_or_default();
    let condition = |condition: v1::NodeCondition| ConditionRecord {
        kind: condition.type_,
        status: condition.status,
        reason: condition.reason.unwrap_or_default(),
        message: condition.message.unwrap_or_default(),
        since: time(condition.last_transition_time.as_ref()),
    };
    NodeRecord {
        name: node.metadata.name.clone().unwrap_or_default(),
        created: time(node.metadata.creation_timestamp.as_ref()),
        labels: node.metadata.labels.clone().unwrap_or_default(),
        taints: spec.taints.unwrap_or_default().into_iter().map(taint_record).collect(),
        cordoned: spec.unschedulable.unwrap_or_default(),
        allocatable: allocatable(status.allocatable.as_ref()),
        conditions: status.conditions.unwrap_or_default().into_iter().map(condition).collect(),
        provider_id: spec.provider_id,
    }
}

/// Returns what a pod takes up on its node; nothing when it has none or has ended.
#[must_use]
pub fn neighbour_record(pod: &Pod) -> Option<NeighbourRecord> {
    let ended = pod.status.as_ref().and_then(|status| status.phase.as_deref()).is_some_and(|phase| matches!(phase, "Succeeded" | "Failed"));
    let spec = pod.spec.as_ref().filter(|_| !ended)?;
    let owners = pod.metadata.owner_references.iter().flatten();
    let labels = pod.metadata.labels.as_ref();
    Some(NeighbourRecord {
        node: spec.node_name.clone().filter(|node| !node.is_empty())?,
        pod: format!("{}/{}", pod.metadata.namespace.as_deref().unwrap_or_default(), pod.metadata.name.as_deref().unwrap_or_default()),
        user: labels.and_then(|labels| labels.get(labels::USER)).cloned(),
        footprint: pod_footprint(spec),
        daemon: owners.into_iter().any(|owner| owner.kind == "DaemonSet"),
    })
}

/// Returns every limited resource of a quota that matters for a job, and whose scopes can hold one.
#[must_use]
pub fn quota_records(quota: &ResourceQuota) -> Vec<QuotaRecord> {
    let scopes = quota.spec.iter().flat_map(|spec| spec.scopes.iter().flatten());
    // A job has a deadline and requests, so these two scopes never hold one.
    if scopes.into_iter().any(|scope| matches!(scope.as_str(), "NotTerminating" | "BestEffort")) {
        return Vec::new();
    }
    let hard = quota.status.as_ref().and_then(|status| status.hard.as_ref()).or(quota.spec.as_ref().and_then(|spec| spec.hard.as_ref()));
    let used = quota.status.as_ref().and_then(|status| status.used.as_ref());
    let relevant = hard.into_iter().flatten().filter(|(resource, _)| QUOTA_SUBJECTS.iter().any(|subject| resource.contains(subject)));
    let record = |(resource, hard): (&String, &Quantity)| QuotaRecord {
        quota: quota.metadata.name.clone().unwrap_or_default(),
        resource: resource.clone(),
        used: used.and_then(|used| used.get(resource)).map_or_else(|| "0".to_owned(), |used| used.0.clone()),
        hard: hard.0.clone(),
    };
    relevant.map(record).collect()
}

pub(in crate::kubernetes) fn taint_record(taint: v1::Taint) -> Taint {
    Taint { key: taint.key, value: taint.value.unwrap_or_default(), effect: taint.effect }
}

pub(in crate::kubernetes) fn toleration_record(toleration: &v1::Toleration) -> Toleration {
    Toleration {
        key: toleration.key.clone(),
        operator: toleration.operator.clone(),
        value: toleration.value.clone(),
        effect: toleration.effect.clone(),
    }
}

/// Returns when a deletion was asked for: the server writes down when its grace will be over.
fn deletion_asked(metadata: &ObjectMeta) -> Option<Timestamp> {
    let over = time(metadata.deletion_timestamp.as_ref())?;
    over.checked_sub(SignedDuration::from_secs(metadata.deletion_grace_period_seconds.unwrap_or_default())).ok()
}

/// Returns what a pod asks of its node: its containers and sidecars together, or its largest init container if that is more.
#[must_use]
pub fn pod_footprint(pod: &PodSpec) -> Footprint {
    let requests = |container: &v1::Container| footprint(container.resources.as_ref().and_then(|resources| resources.requests.as_ref()));
    let inits = || pod.init_containers.iter().flatten();
    let is_sidecar = |container: &&v1::Container| container.restart_policy.as_deref() == Some("Always");
    let together = pod.containers.iter().chain(inits().filter(is_sidecar)).map(requests).fold(Footprint::default(), Footprint::plus);
    inits().filter(|container| !is_sidecar(container)).map(requests).fold(together, Footprint::or_larger)
}

fn footprint(resources: Option<&BTreeMap<String, Quantity>>) -> Footprint {
    let text = |name: &str| resources.and_then(|resources| resources.get(name)).map(|quantity| quantity.0.as_str());
    Footprint {
        cpu: text("cpu").and_then(|text| text.parse().ok()).unwrap_or_default(),
        memory: text("memory").and_then(|text| text.parse().ok()).unwrap_or_default(),
        gpu: text(labels::GPU).and_then(|text| text.parse().ok()).unwrap_or_default(),
        ephemeral_storage: text("ephemeral-storage").and_then(|text| text.parse().ok()),
    }
}

pub(in crate::kubernetes) fn allocatable(resources: Option<&BTreeMap<String, Quantity>>) -> Allocatable {
    let Footprint { cpu, memory, gpu, ephemeral_storage } = footprint(resources);
    Allocatable { cpu, memory, gpu, ephemeral_storage }
}
