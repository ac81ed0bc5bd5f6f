//! Nodes with what runs on them, in sums, and how many pods wait for which nodes: what is kept of lists that are far larger.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::model::{evidence::NodeRecord, footprint::Footprint, node_group::Sighting};

/// The nodes of a cluster, or of some node groups, with what runs on them and what waits for them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Occupancy {
    /// The nodes, by name.
    pub nodes: Sighting<Vec<OccupiedNode>>,
    /// Whose pods the sums are made of.
    pub pods: Sighting<PodScope>,
    /// Pods without a node, one entry for all that ask for the same.
    pub waiting: Vec<WaitingPods>,
}

/// Whose pods were seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodScope {
    /// Those of all namespaces.
    Cluster,
    /// Those of one namespace: what else runs on the nodes is not known.
    Namespace(String),
}

/// A node with what runs on it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OccupiedNode {
    /// The node.
    pub node: NodeRecord,
    /// When its deletion was asked for.
    pub deleted: Option<Timestamp>,
    /// Whether an annotation keeps it from being removed while idle.
    pub is_kept: bool,
    /// What runs on it.
    pub load: Load,
}

/// What runs on a node: pods that have not ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Sum of all requests, daemons included.
    pub requests: Footprint,
    /// Pods of Jobs.
    pub jobs: u32,
    /// Other pods, but for daemons, which run on every node.
    pub others: u32,
}

/// Pods without a node that ask for the same nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WaitingPods {
    /// Labels that they ask of a node.
    pub node_selector: BTreeMap<String, String>,
    /// Their size, when sbrun made them: the value of the label.
    pub size: Option<String>,
    /// How many.
    pub count: u32,
    /// When the oldest of them was created.
    pub oldest: Option<Timestamp>,
}

impl OccupiedNode {
    /// Returns whether anything but daemons runs on it.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.load.jobs > 0 || self.load.others > 0
    }
}
