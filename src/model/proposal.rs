//! A proposed instance map: sizes made of the node groups that are there.
//!
//! From what account, autoscaler and cluster show, [`propose`] makes one size of each group of machines that jobs can tell from the
//! others, with the labels and taints that its nodes really have, and what a job may ask for there.

mod candidate;
mod naming;
mod placing;
mod render;

use std::collections::BTreeMap;

pub use self::render::{Frame, added_to, new_map};
use crate::model::{
    doctor::DaemonSet,
    evidence::NodeRecord,
    footprint::{Allocatable, Footprint},
    launch_plan::Toleration,
    node_group::Scaling,
};

/// What a proposal is made of. What could not be seen is empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// Groups, the autoscaler's status, pools.
    pub scaling: Scaling,
    /// All nodes.
    pub nodes: Vec<NodeRecord>,
    /// All daemon sets.
    pub daemon_sets: Vec<DaemonSet>,
}

/// What somebody wants of a proposal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Groups and pools to take, by name; empty means those that rest at 0.
    pub groups: Vec<String>,
    /// Names of sizes by group.
    pub names: BTreeMap<String, String>,
    /// Groups and pools that have a size already.
    pub known_groups: Vec<String>,
    /// Names of sizes that are taken.
    pub known_names: Vec<String>,
}

/// One proposed size.
#[derive(Debug, Clone, PartialEq)]
pub struct ProposedSize {
    /// What `--size` takes.
    pub name: String,
    /// Auto Scaling groups or managed node groups, one for each zone.
    pub node_groups: Vec<String>,
    /// Karpenter NodePool.
    pub node_pool: Option<String>,
    /// Instance types, where known.
    pub instance_types: Vec<String>,
    /// What a job may ask for; none when nothing is known of its machines.
    pub room: Option<Room>,
    /// Whether its machines are spot machines, where known.
    pub spot: Option<bool>,
    /// The size to take instead when there is no spot machine.
    pub fallback: Option<String>,
    /// Labels that tell its nodes from others.
    pub node_selector: BTreeMap<String, String>,
    /// Tolerations of the taints of its nodes.
    pub tolerations: Vec<Toleration>,
    /// What somebody should know of it, in sentences.
    pub notes: Vec<String>,
}

/// What one job may ask for on a machine that it has for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// What there is beside the daemon sets.
    pub footprint: Footprint,
    /// Where that is from, for people: `measured on node ip-10-0-0-1, less 5 daemon sets`.
    pub origin: String,
}

/// A proposal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Proposal {
    /// Sizes, the smallest first.
    pub sizes: Vec<ProposedSize>,
    /// Groups that are no sizes, each with the reason.
    pub left_out: Vec<(String, String)>,
}

/// Proposes a size for every group that jobs can be sent to.
#[must_use]
pub fn propose(seen: &Seen, wishes: &Wishes) -> Proposal {
    let candidates = candidate::candidates(seen);
    let (taken, left_out) = candidate::sort_out(candidates, wishes);
    let placements = placing::placements(&taken);
    let mut sizes: Vec<ProposedSize> = Vec::new();
    for (candidate, placement) in taken.iter().zip(placements) {
        let size = candidate.size(placement, &seen.daemon_sets);
        // Groups whose nodes look alike to a job are one size: most often one group for each zone.
        let alike = |other: &&mut ProposedSize| {
            other.node_pool.is_none() && size.node_pool.is_none() && other.node_selector == size.node_selector && !size.node_selector.is_empty()
        };
        match sizes.iter_mut().find(alike) {
            Some(other) => other.join(size),
            None => sizes.push(size),
        }
    }
    sizes.sort_by_key(|size| {
        let room = size.room.as_ref().map(|room| (room.footprint.gpu, room.footprint.memory, room.footprint.cpu));
        (room.is_none(), room, size.node_groups.first().or(size.node_pool.as_ref()).cloned())
    });
    naming::name(&mut sizes, wishes);
    add_fallbacks(&mut sizes);
    Proposal { sizes, left_out }
}

impl ProposedSize {
    /// Takes in another group of the same machines.
    fn join(&mut self, other: Self) {
        let Self { node_groups, instance_types, room, spot, notes, .. } = other;
        self.node_groups.extend(node_groups);
        for name in instance_types {
            if !self.instance_types.contains(&name) {
                self.instance_types.push(name);
            }
        }
        // What fits on the smaller of both, fits on each.
        self.room = match (self.room.take(), room) {
            (Some(one), Some(two)) => Some(if two.footprint.memory < one.footprint.memory { two } else { one }),
            (one, two) => one.or(two),
        };
        self.spot = if self.spot == spot { spot } else { None };
        self.notes.extend(notes);
    }
}

/// Where a spot size has no machine, one of like machines on demand will do.
fn add_fallbacks(sizes: &mut [ProposedSize]) {
    let enough = |spot: &ProposedSize, other: &ProposedSize| {
        let memory = |size: &ProposedSize| size.room.as_ref().map(|room| (room.footprint.memory, room.footprint.cpu, room.footprint.gpu));
        other.spot == Some(false)
            && memory(spot).zip(memory(other)).is_some_and(|(spot, other)| other.0 >= spot.0 && other.1 >= spot.1 && other.2 >= spot.2)
    };
    let found: Vec<Option<String>> = sizes
        .iter()
        .map(|spot| (spot.spot == Some(true)).then(|| sizes.iter().find(|other| enough(spot, other)).map(|other| other.name.clone())).flatten())
        .collect();
    for (size, fallback) in sizes.iter_mut().zip(found) {
        size.fallback = fallback;
    }
}

/// Returns what a machine leaves for one job beside daemon sets, in amounts that people would write.
fn room_on(machine: Allocatable, daemons: &[&DaemonSet]) -> Footprint {
    let free = crate::model::doctor::less(machine, daemons);
    Footprint {
        cpu: crate::model::quantity::Cpu(free.cpu.0 / CPU_STEP * CPU_STEP),
        memory: crate::model::quantity::Memory::from_mib(free.memory.mib() / MEMORY_STEP_MIB * MEMORY_STEP_MIB),
        gpu: free.gpu,
        ephemeral_storage: None,
    }
}

/// Nobody wants to read `15637m` …
const CPU_STEP: u64 = 10;
/// … nor `14162Mi`.
const MEMORY_STEP_MIB: u64 = 64;

#[cfg(test)]
mod tests;
