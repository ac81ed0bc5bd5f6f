//! What an EC2 machine has, and how much of it pods may use.
//!
//! The figures are built in, so that a footprint is known before the first node of a group exists. The table is
//! text that is only looked at when a type is asked for. `scripts/instance_types.py` writes it.

use crate::model::{
    footprint::Allocatable,
    quantity::{Cpu, Memory},
    suggestion,
};

/// One type a line: name, architecture, vCPUs, MiB, NVIDIA GPUs, network interfaces, IPv4 addresses per interface.
const TABLE: &str = include_str!("instance_type/table.txt");

/// How much less memory a machine shows than its type promises, in thousandths: the hypervisor's and the kernel's share.
///
/// Karpenter's default for `VM_MEMORY_OVERHEAD_PERCENT`, 7.5 %. Real machines lose less.
const OVERHEAD_THOUSANDTHS: u64 = 75;
/// What arm64 machines lose before that, in MiB (Karpenter, `pkg/providers/instancetype/types.go`).
const ARM_OVERHEAD_MIB: u64 = 64;
/// Hard eviction threshold `memory.available` of EKS, in MiB.
const EVICTION_MIB: u64 = 100;

/// The processor architecture of a machine, by its Kubernetes name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// `amd64`.
    Amd64,
    /// `arm64`.
    Arm64,
}

impl Architecture {
    /// Returns the value of the label `kubernetes.io/arch`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

/// An EC2 instance type, with its nominal figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstanceType {
    /// Such as `m7i.4xlarge`.
    pub name: &'static str,
    /// Architecture.
    pub architecture: Architecture,
    /// Virtual CPUs.
    pub vcpus: u64,
    /// Nominal memory.
    pub memory: Memory,
    /// NVIDIA GPUs.
    pub gpus: u32,
    /// Network interfaces of the default network card.
    pub network_interfaces: u64,
    /// IPv4 addresses of each interface.
    pub addresses_per_interface: u64,
}

impl InstanceType {
    /// Returns the type of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        TABLE.lines().find(|line| line.split(' ').next() == Some(name)).and_then(Self::from_line)
    }

    /// Returns the known name that is most like an unknown one.
    #[must_use]
    pub fn suggestion(unknown: &str) -> Option<&'static str> {
        suggestion::closest(unknown, TABLE.lines().filter_map(|line| line.split(' ').next()))
    }

    fn from_line(line: &'static str) -> Option<Self> {
        let mut fields = line.split(' ');
        let name = fields.next()?;
        let architecture = match fields.next()? {
            "arm64" => Architecture::Arm64,
            _ => Architecture::Amd64,
        };
        let mut number = || fields.next()?.parse::<u64>().ok();
        Some(Self {
            name,
            architecture,
            vcpus: number()?,
            memory: Memory::from_mib(number()?),
            gpus: u32::try_from(number()?).ok()?,
            network_interfaces: number()?,
            addresses_per_interface: number()?,
        })
    }

    /// Returns how many pods an EKS node of this type takes: each needs an address of its own.
    #[must_use]
    pub fn max_pods(&self) -> u64 {
        self.network_interfaces * self.addresses_per_interface.saturating_sub(1) + 2
    }

    /// Returns what pods may safely count on: with the overhead that Karpenter assumes. Real machines have a little more.
    #[must_use]
    pub fn allocatable(&self) -> Allocatable {
        let arm = if self.architecture == Architecture::Arm64 { ARM_OVERHEAD_MIB } else { 0 };
        self.allocatable_of(self.memory.mib().saturating_sub(arm) * (1000 - OVERHEAD_THOUSANDTHS) / 1000)
    }

    /// Returns what no machine of this type exceeds: as if hypervisor and kernel took nothing.
    #[must_use]
    pub fn most_allocatable(&self) -> Allocatable {
        self.allocatable_of(self.memory.mib())
    }

    /// Returns capacity less kube-reserved and eviction threshold, as EKS nodes have them.
    ///
    /// Source: awslabs/amazon-eks-ami, nodeadm, `internal/kubelet/config.go`.
    fn allocatable_of(&self, capacity_mib: u64) -> Allocatable {
        let reserved_mib = 255 + 11 * self.max_pods();
        let memory = Memory::from_mib(capacity_mib.saturating_sub(reserved_mib + EVICTION_MIB));
        // 6 % of the first core, 1 % of the second, 0.5 % of the next two and 0.25 % of all others, in tenths of a millicore.
        let tenths = [(1, 600), (1, 100), (2, 50), (u64::MAX, 25)];
        let (mut cores, mut reserved) = (self.vcpus, 0);
        for (count, each) in tenths {
            reserved += cores.min(count) * each;
            cores = cores.saturating_sub(count);
        }
        Allocatable { cpu: Cpu(self.vcpus * 1000 - reserved / 10), memory, gpu: self.gpus, ephemeral_storage: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocatable_is_what_eks_nodes_have() {
        // type, pods, millicores, MiB without overhead, MiB with 7.5 %; m5.xlarge is also in Karpenter's published table.
        for (name, pods, cpu, most, safe) in [
            ("t3.medium", 17, 1930, 3554, 3246),
            ("m5.large", 29, 1930, 7518, 6903),
            ("m5.xlarge", 58, 3920, 15391, 14162),
            ("m5.2xlarge", 58, 7910, 31775, 29317),
            ("m5.4xlarge", 234, 15890, 62607, 57691),
            ("c5.xlarge", 58, 3920, 7199, 6584),
            ("c5.4xlarge", 234, 15890, 29839, 27381),
            ("r5.4xlarge", 234, 15890, 128_143, 118_312),
        ] {
            let found = InstanceType::find(name).expect(name);
            let seen = (found.max_pods(), found.allocatable(), found.most_allocatable());
            let allocatable = |mib| Allocatable { cpu: Cpu(cpu), memory: Memory::from_mib(mib), gpu: 0, ephemeral_storage: None };
            assert_eq!(seen, (pods, allocatable(safe), allocatable(most)), "{name}");
        }
        // 8192 MiB, less 64 as the architecture takes, less 7.5 %, less 255 + 11 × 29 + 100.
        let arm = InstanceType::find("m7g.large").expect("m7g.large");
        assert_eq!((arm.architecture, arm.allocatable().memory), (Architecture::Arm64, Memory::from_mib(7518 - 674)));
        // The interfaces of the default card only: all four would make 2,942 pods.
        assert_eq!(InstanceType::find("p4d.24xlarge").map(|found| (found.gpus, found.max_pods())), Some((8, 737)));
    }

    #[test]
    fn the_table_is_complete_sorted_and_small() {
        let names: Vec<&str> = TABLE.lines().map(|line| InstanceType::from_line(line).expect(line).name).collect();
        assert!(names.len() > 1000);
        assert!(names.is_sorted());
        assert!(TABLE.len() < 60_000);
        assert!(TABLE.lines().filter_map(InstanceType::from_line).all(|found| found.vcpus > 0 && found.memory.mib() > 0));
    }

    #[test]
    fn unknown_types_are_suggested() {
        assert_eq!(InstanceType::find("m7i.4xlarg"), None);
        assert_eq!(InstanceType::find("m7i"), None);
        assert_eq!(InstanceType::find(""), None);
        assert_eq!(InstanceType::suggestion("m7i.4xlarg"), Some("m7i.4xlarge"));
        assert_eq!(InstanceType::suggestion("r7i4xlarge"), Some("r7i.4xlarge"));
        assert_eq!(InstanceType::suggestion("Standard_D4s_v3"), None);
    }
}
