//! Machines: an instance that boots, a node, or both, as one thing with one state.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::{
    footprint::{Allocatable, Footprint},
    launch_plan::Taint,
    node_group::{INSTANCE_TYPE, Instance, NodeClaim, ZONE, instance_id, is_spot},
    occupancy::OccupiedNode,
};

/// How long a node may take to get ready before it counts as not ready: the Cluster Autoscaler's `max-node-startup-time`.
pub const STARTUP_TIME: Duration = Duration::from_secs(15 * 60);

/// How a machine stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MachineState {
    /// Started, and not a ready node yet.
    Booting,
    /// Ready, and something runs on it.
    Busy,
    /// Ready, and nothing but daemons runs on it.
    Idle,
    /// Ready; what runs on it is not known.
    Ready,
    /// Idle, and cordoned: it takes no pods.
    Cordoned,
    /// On its way out.
    Leaving,
    /// A node that is not ready, and not because it is new.
    NotReady,
}

impl MachineState {
    /// Returns the stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Booting => "booting",
            Self::Busy => "busy",
            Self::Idle => "idle",
            Self::Ready => "ready",
            Self::Cordoned => "cordoned",
            Self::Leaving => "leaving",
            Self::NotReady => "not_ready",
        }
    }

    /// Returns whether the node is ready, as Kubernetes says.
    #[must_use]
    pub fn is_ready(self) -> bool {
        matches!(self, Self::Busy | Self::Idle | Self::Ready | Self::Cordoned)
    }
}

/// One machine of a node group.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// How it stands.
    pub state: MachineState,
    /// Its node, once registered.
    pub node: Option<String>,
    /// Its instance or NodeClaim, where known.
    pub instance: Option<String>,
    /// Instance type.
    pub instance_type: Option<String>,
    /// Availability Zone.
    pub zone: Option<String>,
    /// Whether it is a spot machine, where known.
    pub spot: Option<bool>,
    /// When its node registered, or its claim was made.
    pub since: Option<Timestamp>,
    /// What pods may use of it; nothing before its node has registered.
    pub allocatable: Allocatable,
    /// Sum of the requests of its pods.
    pub requests: Footprint,
    /// Pods of Jobs that run on it.
    pub jobs: u32,
}

impl Machine {
    /// Returns the machine of a node. `pods_seen` tells whether all of its pods are known.
    #[must_use]
    pub fn of_node(occupied: &OccupiedNode, pods_seen: bool, now: Timestamp) -> Self {
        let node = &occupied.node;
        let label = |key: &str| node.labels.get(key).cloned();
        Self {
            state: state(occupied, pods_seen, now),
            node: Some(node.name.clone()),
            instance: node.provider_id.as_deref().and_then(instance_id).map(ToOwned::to_owned),
            instance_type: label(INSTANCE_TYPE),
            zone: label(ZONE),
            spot: is_spot(&node.labels),
            since: node.created,
            allocatable: node.allocatable,
            requests: occupied.load.requests,
            jobs: occupied.load.jobs,
        }
    }

    /// Returns the machine of an instance that has no node.
    #[must_use]
    pub fn of_instance(instance: &Instance) -> Self {
        Self {
            state: if instance.is_live() { MachineState::Booting } else { MachineState::Leaving },
            node: None,
            instance: Some(instance.id.clone()),
            instance_type: instance.instance_type.clone(),
            zone: Some(instance.zone.clone()).filter(|zone| !zone.is_empty()),
            spot: None,
            since: None,
            allocatable: Allocatable::default(),
            requests: Footprint::default(),
            jobs: 0,
        }
    }

    /// Returns the machine of a NodeClaim whose node has not been seen.
    #[must_use]
    pub fn of_claim(claim: &NodeClaim) -> Self {
        let state = match () {
            () if claim.deleted.is_some() => MachineState::Leaving,
            () if claim.condition("Ready").is_some() => MachineState::Ready,
            () => MachineState::Booting,
        };
        Self {
            state,
            node: claim.node.clone(),
            instance: Some(claim.name.clone()),
            instance_type: claim.instance_type.clone(),
            zone: claim.zone.clone(),
            spot: claim.spot,
            since: claim.created,
            allocatable: claim.allocatable,
            requests: Footprint::default(),
            jobs: 0,
        }
    }
}

fn state(occupied: &OccupiedNode, pods_seen: bool, now: Timestamp) -> MachineState {
    let node = &occupied.node;
    if occupied.deleted.is_some() || node.taints.iter().any(Taint::is_removal) {
        return MachineState::Leaving;
    }
    let readiness = node.readiness().map_or("False", |condition| condition.status.as_str());
    let is_new = node.created.is_none_or(|created| now.duration_since(created).unsigned_abs() < STARTUP_TIME);
    if readiness != "True" || node.taints.iter().any(Taint::is_startup) {
        // The node controller writes `Unknown` when a kubelet that has reported before falls silent.
        return if is_new && readiness != "Unknown" { MachineState::Booting } else { MachineState::NotReady };
    }
    match () {
        () if !pods_seen => MachineState::Ready,
        () if occupied.is_busy() => MachineState::Busy,
        () if node.cordoned => MachineState::Cordoned,
        () => MachineState::Idle,
    }
}
