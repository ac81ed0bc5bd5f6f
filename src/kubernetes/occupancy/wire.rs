//! The few fields of nodes and pods that count. Everything else of an answer is skipped while it is parsed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use crate::model::{
    evidence::{ConditionRecord, NodeRecord},
    footprint::{Allocatable, Footprint},
    launch_plan::Taint,
    occupancy::{Load, OccupiedNode},
    quantity::{Cpu, Memory},
};

// ---- Nodes

/// A node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeFields {
    pub(super) metadata: NodeMetadata,
    pub(super) spec: NodeSpec,
    pub(super) status: NodeStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct NodeMetadata {
    pub(super) name: String,
    pub(super) creation_timestamp: Option<Timestamp>,
    pub(super) deletion_timestamp: Option<Timestamp>,
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) annotations: Option<NodeAnnotations>,
}

/// Annotations that keep an idle node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeAnnotations {
    #[serde(rename = "cluster-autoscaler.kubernetes.io/scale-down-disabled")]
    pub(super) scale_down_disabled: Option<String>,
    #[serde(rename = "karpenter.sh/do-not-disrupt")]
    pub(super) do_not_disrupt: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeSpec {
    pub(super) taints: Option<Vec<Taint>>,
    pub(super) unschedulable: bool,
    #[serde(rename = "providerID")]
    pub(super) provider_id: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeStatus {
    pub(super) allocatable: Option<Resources>,
    pub(super) conditions: Option<Vec<Condition>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Condition {
    pub(super) r#type: String,
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) last_transition_time: Option<Timestamp>,
}

impl From<NodeFields> for OccupiedNode {
    fn from(NodeFields { metadata, spec, status }: NodeFields) -> Self {
        let is_set = |annotation: Option<String>| annotation.as_deref() == Some("true");
        let annotations = metadata.annotations.unwrap_or_default();
        let there = status.allocatable.unwrap_or_default().footprint();
        let condition = |Condition { r#type: kind, status, reason, message, last_transition_time: since }| ConditionRecord {
            kind,
            status,
            reason,
            message,
            since,
        };
        Self {
            node: NodeRecord {
                name: metadata.name,
                created: metadata.creation_timestamp,
                labels: metadata.labels.unwrap_or_default(),
                taints: spec.taints.unwrap_or_default(),
                cordoned: spec.unschedulable,
                allocatable: Allocatable { cpu: there.cpu, memory: there.memory, gpu: there.gpu, ephemeral_storage: there.ephemeral_storage },
                conditions: status.conditions.unwrap_or_default().into_iter().map(condition).collect(),
                provider_id: spec.provider_id,
            },
            deleted: metadata.deletion_timestamp,
            is_kept: is_set(annotations.scale_down_disabled) || is_set(annotations.do_not_disrupt),
            load: Load::default(),
        }
    }
}

// ---- Pods

/// A pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct PodFields {
    pub(super) metadata: PodMetadata,
    pub(super) spec: PodSpec,
    pub(super) status: PodStatus,
}

/// What a pod is, for the question whether its node is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PodKind {
    /// Of a DaemonSet, or of the node itself: it runs there whether the node is needed or not.
    Daemon,
    /// Of a Job.
    OfJob,
    /// Of anything else.
    Other,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodMetadata {
    pub(super) creation_timestamp: Option<Timestamp>,
    pub(super) deletion_timestamp: Option<Timestamp>,
    pub(super) labels: Option<PodLabels>,
    pub(super) owner_references: Option<Vec<Owner>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct PodLabels {
    // The name is that of `labels::SIZE`, as a test shows.
    #[serde(rename = "sbrun.dev/size")]
    pub(super) size: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Owner {
    pub(super) kind: String,
    pub(super) controller: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodSpec {
    pub(super) node_name: Option<String>,
    pub(super) node_selector: Option<BTreeMap<String, String>>,
    pub(super) scheduling_gates: Option<Vec<Present>>,
    pub(super) containers: Vec<Container>,
    pub(super) init_containers: Option<Vec<Container>>,
    pub(super) overhead: Option<Resources>,
}

/// Something of which only the presence counts.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Present {}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Container {
    pub(super) resources: Option<ContainerResources>,
    pub(super) restart_policy: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ContainerResources {
    pub(super) requests: Option<Resources>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct PodStatus {
    pub(super) phase: Option<String>,
}

impl PodFields {
    /// Returns the node that it is bound to.
    pub(super) fn node(&self) -> Option<&str> {
        self.spec.node_name.as_deref().filter(|name| !name.is_empty())
    }

    /// Returns whether it has ended, and so takes up no room.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.status.phase.as_deref(), Some("Succeeded" | "Failed"))
    }

    /// Returns whether it waits for a node: not gated, and not being deleted.
    pub(super) fn waits(&self) -> bool {
        let is_gated = self.spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty());
        let is_pending = self.status.phase.as_deref().is_none_or(|phase| phase == "Pending");
        self.node().is_none() && is_pending && !is_gated && self.metadata.deletion_timestamp.is_none()
    }

    /// Returns when it was created.
    pub(super) fn created(&self) -> Option<Timestamp> {
        self.metadata.creation_timestamp
    }

    /// Returns what it is.
    pub(super) fn kind(&self) -> PodKind {
        let owner = self.metadata.owner_references.iter().flatten().find(|owner| owner.controller);
        match owner.map(|owner| owner.kind.as_str()) {
            Some("DaemonSet" | "Node") => PodKind::Daemon,
            Some("Job") => PodKind::OfJob,
            _ => PodKind::Other,
        }
    }

    /// Returns what it asks of its node: its containers and sidecars together, or its largest init container if that is more.
    pub(super) fn requests(&self) -> Footprint {
        let requests = |container: &Container| {
            container.resources.as_ref().and_then(|resources| resources.requests.as_ref()).map(Resources::footprint).unwrap_or_default()
        };
        let inits = || self.spec.init_containers.iter().flatten();
        let is_sidecar = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
        let together = self.spec.containers.iter().chain(inits().filter(is_sidecar)).map(requests).fold(Footprint::default(), Footprint::plus);
        let whole = inits().filter(|container| !is_sidecar(container)).map(requests).fold(together, Footprint::or_larger);
        self.spec.overhead.as_ref().map_or(whole, |overhead| whole.plus(overhead.footprint()))
    }

    /// Returns what it asks of a node's labels, and its size.
    pub(super) fn into_wish(self) -> (BTreeMap<String, String>, Option<String>) {
        (self.spec.node_selector.unwrap_or_default(), self.metadata.labels.and_then(|labels| labels.size))
    }
}

// ---- Amounts

/// Amounts of what a footprint has.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Resources {
    pub(super) cpu: Option<String>,
    pub(super) memory: Option<String>,
    // The name is that of `labels::GPU`, as a test shows.
    #[serde(rename = "nvidia.com/gpu")]
    pub(super) gpu: Option<String>,
    #[serde(rename = "ephemeral-storage")]
    pub(super) ephemeral_storage: Option<String>,
}

impl Resources {
    fn footprint(&self) -> Footprint {
        Footprint {
            cpu: self.cpu.as_deref().and_then(|text| text.parse::<Cpu>().ok()).unwrap_or_default(),
            memory: self.memory.as_deref().and_then(|text| text.parse::<Memory>().ok()).unwrap_or_default(),
            gpu: self.gpu.as_deref().and_then(|text| text.parse().ok()).unwrap_or_default(),
            ephemeral_storage: self.ephemeral_storage.as_deref().and_then(|text| text.parse().ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::labels;

    #[test]
    fn names_are_those_of_the_labels_module() {
        let pod: PodFields = serde_json::from_value(serde_json::json!({ "metadata": { "labels": { labels::SIZE: "small" } } })).unwrap();
        assert_eq!(pod.into_wish().1.as_deref(), Some("small"));
        let resources: Resources = serde_json::from_value(serde_json::json!({ labels::GPU: "2" })).unwrap();
        assert_eq!(resources.footprint().gpu, 2);
    }
}
