//! An Auto Scaling group: settings that make its sizes mean something else, or end jobs in the middle.

use super::{Check, Findings, Severity};
use crate::model::{instance_map::SizeProfile, instance_type::InstanceType, node_group::AccountGroup, suggestion::listed};

pub(super) fn examine(size: &SizeProfile, group: &AccountGroup, findings: &mut Findings<'_>) {
    let group = Group { size, group, subject: format!("node group {}", group.name) };
    group.rest(findings);
    group.unit(findings);
    group.machines(findings);
    group.types(findings);
    group.spot(findings);
    group.processes(findings);
    group.rebalance(findings);
}

struct Group<'a> {
    size: &'a SizeProfile,
    group: &'a AccountGroup,
    subject: String,
}

impl Group<'_> {
    fn rest(&self, findings: &mut Findings<'_>) {
        if self.group.min_size == 0 {
            return findings.good(Check::GroupRest, &self.subject);
        }
        let command = match (
            self.group.tags.get(crate::model::autoscaler_tags::EKS_NODE_GROUP),
            self.group.tags.get(crate::model::autoscaler_tags::EKS_CLUSTER),
        ) {
            (Some(name), Some(cluster)) => {
                format!("aws eks update-nodegroup-config --cluster-name {cluster} --nodegroup-name {name} --scaling-config minSize=0")
            }
            _ => format!("aws autoscaling update-auto-scaling-group --auto-scaling-group-name {} --min-size 0", self.group.name),
        };
        let command = findings.aws(&command);
        findings.bad(Severity::Warning, Check::GroupRest, &self.subject, format!("its minimum is {}", self.group.min_size)).mended_by(command);
    }

    fn unit(&self, findings: &mut Findings<'_>) {
        let weighted: Vec<&str> = self
            .group
            .instance_types
            .iter()
            .filter(|(_, weight)| weight.as_deref().is_some_and(|weight| weight != "1"))
            .map(|(name, _)| name.as_str())
            .collect();
        if let Some(unit) = &self.group.desired_unit {
            findings
                .bad(Severity::Error, Check::GroupUnit, &self.subject, format!("its sizes are counted in `{unit}`"))
                .mended_by("give the group the desired capacity type `units`");
        } else if weighted.is_empty() {
            findings.good(Check::GroupUnit, &self.subject);
        } else {
            findings
                .bad(Severity::Error, Check::GroupUnit, &self.subject, format!("it gives weights to {}", listed(weighted)))
                .mended_by("take `WeightedCapacity` out of the overrides of its mixed instances policy");
        }
    }

    fn machines(&self, findings: &mut Findings<'_>) {
        if self.group.by_requirements {
            findings
                .bad(Severity::Warning, Check::GroupMachines, &self.subject, "AWS chooses its instance types by requirements")
                .mended_by("name instance types of equal CPU and memory in the overrides instead");
            return;
        }
        let known: Vec<InstanceType> = self.group.instance_types.iter().filter_map(|(name, _)| InstanceType::find(name)).collect();
        let Some((first, others)) = known.split_first() else { return };
        let different = others.iter().filter(|other| (other.vcpus, other.memory, other.gpus) != (first.vcpus, first.memory, first.gpus));
        let words = |one: &InstanceType| format!("`{}` ({} CPUs, {})", one.name, one.vcpus, one.memory);
        let different: Vec<String> = different.map(words).collect();
        if different.is_empty() {
            return findings.good(Check::GroupMachines, &self.subject);
        }
        let message = format!("its first instance type is {}, but it may also start {}", words(first), different.join(", "));
        findings
            .bad(Severity::Error, Check::GroupMachines, &self.subject, message)
            .mended_by("keep only types of equal CPU and memory in its overrides; make another group, and size, for the others");
    }

    fn types(&self, findings: &mut Findings<'_>) {
        let of_map = |name: &str| self.size.instance_types.iter().any(|one| one.value == name);
        let (group, map) = (&self.group.instance_types, &self.size.instance_types);
        if group.is_empty() || map.is_empty() {
            return;
        }
        let unexpected: Vec<&str> = group.iter().map(|(name, _)| name.as_str()).filter(|name| !of_map(name)).collect();
        if unexpected.is_empty() {
            return findings.good(Check::GroupTypes, &self.subject);
        }
        let expected = self.size.allocatable();
        let smaller = |name: &&str| {
            let there = InstanceType::find(name).map(|found| found.allocatable());
            there.zip(expected).is_some_and(|(there, expected)| there.memory < expected.memory || there.cpu < expected.cpu)
        };
        let severity = if unexpected.iter().any(smaller) { Severity::Error } else { Severity::Warning };
        let types = group.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
        let message = format!("it starts {}, which size `{}` does not name", listed(unexpected), self.size.name);
        findings.bad(severity, Check::GroupTypes, &self.subject, message).mended_by(format!(
            "write under `sizes.{}`: instance_types: [{}]",
            self.size.name,
            types.join(", ")
        ));
    }

    fn spot(&self, findings: &mut Findings<'_>) {
        match self.group.spot.zip(self.size.spot) {
            None => {}
            Some((is, said)) if is == said => findings.good(Check::GroupSpot, &self.subject),
            Some((is, _)) => {
                let message = format!("its machines are {}, and the map says otherwise", if is { "spot machines" } else { "on demand" });
                findings
                    .bad(Severity::Warning, Check::GroupSpot, &self.subject, message)
                    .mended_by(format!("write under `sizes.{}`: spot: {is}", self.size.name));
            }
        }
    }

    fn processes(&self, findings: &mut Findings<'_>) {
        let name = &self.group.name;
        let suspended = |process: &str| self.group.suspended.iter().any(|one| one.name == process);
        if suspended("Terminate") {
            let command = findings.aws(&format!("aws autoscaling resume-processes --auto-scaling-group-name {name} --scaling-processes Terminate"));
            findings.bad(Severity::Error, Check::GroupTerminate, &self.subject, "somebody suspended its process `Terminate`").mended_by(command);
        } else {
            findings.good(Check::GroupTerminate, &self.subject);
        }
        if self.group.zones.len() < 2 || suspended("AZRebalance") {
            return findings.good(Check::GroupBalance, &self.subject);
        }
        let command = findings.aws(&format!("aws autoscaling suspend-processes --auto-scaling-group-name {name} --scaling-processes AZRebalance"));
        let message = format!("its process `AZRebalance` balances {} zones", self.group.zones.len());
        findings.bad(Severity::Warning, Check::GroupBalance, &self.subject, message).mended_by(command);
    }

    fn rebalance(&self, findings: &mut Findings<'_>) {
        if !self.group.capacity_rebalance {
            return findings.good(Check::GroupRebalance, &self.subject);
        }
        // EKS switches it on for its spot groups, and drains their nodes itself.
        let name = &self.group.name;
        let command = findings.aws(&format!("aws autoscaling update-auto-scaling-group --auto-scaling-group-name {name} --no-capacity-rebalance"));
        findings.bad(Severity::Warning, Check::GroupRebalance, &self.subject, "its capacity rebalancing is on").mended_by(command);
    }
}
