//! What one job asks of a node, and whether a node has it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::model::quantity::{Cpu, Memory};

/// Extended resource of GPUs.
pub const GPU: &str = "nvidia.com/gpu";

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

impl Allocatable {
    /// Returns both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let sum = Footprint::from(self).plus(Footprint::from(other));
        Self { cpu: sum.cpu, memory: sum.memory, gpu: sum.gpu, ephemeral_storage: sum.ephemeral_storage }
    }
}

impl From<Allocatable> for Footprint {
    /// Returns what would fill it.
    fn from(Allocatable { cpu, memory, gpu, ephemeral_storage }: Allocatable) -> Self {
        Self { cpu, memory, gpu, ephemeral_storage }
    }
}

impl Footprint {
    /// Returns requests and limits, as a container has them: all of it is requested, and limited too but for the CPU.
    #[must_use]
    pub fn resources(&self) -> Value {
        let memory = json!(self.memory.to_kubernetes());
        let mut requests = Map::from_iter([("cpu".to_owned(), json!(self.cpu.to_kubernetes())), ("memory".to_owned(), memory.clone())]);
        let mut limits = Map::from_iter([("memory".to_owned(), memory)]);
        let further = [(GPU, (self.gpu > 0).then(|| self.gpu.to_string())), ("ephemeral-storage", self.ephemeral_storage.map(Memory::to_kubernetes))];
        for (resource, amount) in further.into_iter().filter_map(|(resource, amount)| Some((resource, amount?))) {
            requests.insert(resource.to_owned(), json!(amount));
            limits.insert(resource.to_owned(), json!(amount));
        }
        json!({"requests": requests, "limits": limits})
    }

    /// Returns both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            cpu: Cpu(self.cpu.0.saturating_add(other.cpu.0)),
            memory: Memory(self.memory.0.saturating_add(other.memory.0)),
            gpu: self.gpu.saturating_add(other.gpu),
            ephemeral_storage: match (self.ephemeral_storage, other.ephemeral_storage) {
                (Some(one), Some(other)) => Some(Memory(one.0.saturating_add(other.0))),
                (one, other) => one.or(other),
            },
        }
    }

    /// Returns the larger amount of every resource.
    #[must_use]
    pub fn or_larger(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.max(other.cpu),
            memory: self.memory.max(other.memory),
            gpu: self.gpu.max(other.gpu),
            ephemeral_storage: self.ephemeral_storage.max(other.ephemeral_storage),
        }
    }

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
