//! What one job asks of a node, and whether a node has it.

use serde::{Deserialize, Serialize};

use crate::model::quantity::{Cpu, Memory};

/// The CPU, memory, GPUs and ephemeral storage that one job requests from a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Footprint {
    /// CPU request, in millicores.
    pub cpu: Cpu,
    /// Memory request and limit, in bytes.
    pub memory: Memory,
    /// Number of GPUs (`nvidia.com/gpu`).
    #[serde(default)]
    pub gpu: u32,
    /// Ephemeral storage request and limit, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<Memory>,
}

/// What pods may use of a machine: Kubernetes' node `status.allocatable`, or the computed one of an instance type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Allocatable {
    /// CPU, in millicores.
    pub cpu: Cpu,
    /// Memory, in bytes.
    pub memory: Memory,
    /// Number of GPUs.
    #[serde(default)]
    pub gpu: u32,
    /// Ephemeral storage, in bytes, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<Memory>,
}

/// One resource of which there is too little.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortfall {
    /// `cpu`, `memory`, `gpu` or `ephemeral storage`.
    pub resource: String,
    /// What was asked for, for people.
    pub requested: String,
    /// What there is, for people.
    pub allocatable: String,
}

impl Footprint {
    /// Returns every resource of which `allocatable` has too little; empty means it fits.
    #[must_use]
    pub fn shortfalls(&self, allocatable: &Allocatable) -> Vec<Shortfall> {
        let mut found = Vec::new();
        let mut compare = |resource: &str, short: bool, requested: String, there: String| {
            if short {
                found.push(Shortfall { resource: resource.to_owned(), requested, allocatable: there });
            }
        };
        compare("cpu", self.cpu > allocatable.cpu, format!("{} CPUs", self.cpu), format!("{} CPUs", allocatable.cpu));
        compare("memory", self.memory > allocatable.memory, self.memory.to_string(), allocatable.memory.to_string());
        compare("gpu", self.gpu > allocatable.gpu, format!("{} GPUs", self.gpu), format!("{} GPUs", allocatable.gpu));
        if let (Some(requested), Some(there)) = (self.ephemeral_storage, allocatable.ephemeral_storage) {
            compare("ephemeral storage", requested > there, requested.to_string(), there.to_string());
        }
        found
    }
}
