//! The machines of a group: whether jobs may run there, whether others may, and whether a job fits beside the daemon sets.

use std::collections::BTreeMap;

use super::{
    Check, DaemonSet, Findings, Severity, Survey,
    size::group_subject,
    tags::{label_words, toleration_line, words},
};
use crate::model::{
    autoscaler_tags,
    evidence::NodeRecord,
    footprint::{Allocatable, Footprint, Shortfall},
    instance_map::{InstanceMap, SizeProfile},
    launch_plan::{Placement, Taint},
    node_group::{EKS_NODE_GROUP, EKSCTL_NODE_GROUP, NODE_POOL, NodeGroup, instance_id, is_named},
    quantity::{Cpu, Memory},
};

/// What is known of the machines of one group.
pub(super) struct Machines<'a> {
    size: &'a SizeProfile,
    placement: Placement,
    footprint: Footprint,
    nodes: Vec<&'a NodeRecord>,
    daemon_sets: Option<&'a [DaemonSet]>,
    /// Labels and taints that tags or pool promise of machines that are not there.
    promised: Option<(BTreeMap<String, String>, Vec<Taint>)>,
    subject: String,
}

impl<'a> Machines<'a> {
    pub(super) fn of(map: &'a InstanceMap, size: &'a SizeProfile, group: &NodeGroup<'_>, survey: &'a Survey) -> Self {
        let nodes = survey.nodes.value().into_iter().flatten().filter(|node| is_of(node, group));
        let of_tags = group.account.map(|account| (autoscaler_tags::labels(&account.tags), autoscaler_tags::taints(&account.tags)));
        Self {
            size,
            placement: size.placement(),
            footprint: size.footprint(&map.defaults),
            nodes: nodes.collect(),
            daemon_sets: survey.daemon_sets.value().map(Vec::as_slice),
            promised: of_tags.or_else(|| group.pool.map(|pool| (pool.labels.clone(), pool.taints.clone()))),
            subject: group_subject(group),
        }
    }

    pub(super) fn examine(&self, findings: &mut Findings<'_>) {
        if !self.nodes.is_empty() {
            self.labels(findings);
            self.taints(findings);
        }
        self.others(findings);
        self.fits(findings);
    }

    fn labels(&self, findings: &mut Findings<'_>) {
        let lacking = |node: &&&NodeRecord| self.placement.node_selector.iter().any(|(key, value)| node.labels.get(key) != Some(value));
        let Some(node) = self.nodes.iter().find(lacking) else { return findings.good(Check::PlacementLabels, &self.subject) };
        let missing: BTreeMap<String, String> =
            self.placement.node_selector.clone().into_iter().filter(|(key, value)| node.labels.get(key) != Some(value)).collect();
        let is: BTreeMap<String, String> = missing.keys().filter_map(|key| Some((key.clone(), node.labels.get(key)?.clone()))).collect();
        let instead = if is.is_empty() { String::new() } else { format!(", but {}", label_words(&is)) };
        let message = format!("its node {} has not {}{instead}", node.name, label_words(&missing));
        findings
            .bad(Severity::Error, Check::PlacementLabels, &self.subject, message)
            .mended_by(format!("correct `node_selector` under `sizes.{}`: kubectl get node {} --show-labels", self.size.name, node.name))
            .mended_by("or give the nodes these labels in the node group's configuration, not by hand: new ones need them, too");
    }

    fn taints(&self, findings: &mut Findings<'_>) {
        let refused = self.nodes.iter().find_map(|node| {
            let taint = lasting(&node.taints).find(|taint| !self.placement.tolerations.iter().any(|one| one.tolerates(taint)))?;
            Some((node, taint))
        });
        let Some((node, taint)) = refused else { return findings.good(Check::PlacementTaints, &self.subject) };
        let message = format!("its node {} has the taint `{}`, which jobs of size `{}` do not tolerate", node.name, words(taint), self.size.name);
        findings.bad(Severity::Error, Check::PlacementTaints, &self.subject, message).mended_by(format!(
            "write under `sizes.{}`: {}",
            self.size.name,
            toleration_line(taint)
        ));
    }

    /// Without a taint any pod may come to the machines, and keep them from going.
    fn others(&self, findings: &mut Findings<'_>) {
        let is_kept = match (self.nodes.first(), &self.promised) {
            (Some(node), _) => lasting(&node.taints).next().is_some(),
            // The tags of a group may be silent about its taints: then nobody knows.
            (None, Some((_, taints))) if !taints.is_empty() => true,
            (None, _) => return,
        };
        if is_kept {
            return findings.good(Check::PlacementOthers, &self.subject);
        }
        let taint = self.placement.tolerations.iter().find_map(|one| Some((one.key.as_deref()?, one.value.as_deref().unwrap_or_default())));
        let remedy = match taint {
            Some((key, value)) => format!("give its nodes the taint `{key}={value}:NoSchedule`, which jobs of size `{}` tolerate", self.size.name),
            None => "give its nodes a taint, and the size the toleration for it".to_owned(),
        };
        findings.bad(Severity::Warning, Check::PlacementOthers, &self.subject, "its nodes have no taint").mended_by(remedy);
    }

    /// By a node that is there; else by what the instance type leaves, which the map's own check has not: daemon sets.
    fn fits(&self, findings: &mut Findings<'_>) {
        let Some(daemon_sets) = self.daemon_sets else { return };
        let nodes = self.nodes.iter().filter(|node| node.allocatable.memory.0 > 0);
        let smallest = nodes.min_by_key(|node| (node.allocatable.memory, node.allocatable.cpu));
        let (offer, labels, taints, whose) = match (smallest, &self.promised) {
            (Some(node), _) => (node.allocatable, &node.labels, &node.taints, format!("its node {}", node.name)),
            (None, Some((labels, taints))) => match self.size.allocatable() {
                Some(allocatable) => (allocatable, labels, taints, "its machine".to_owned()),
                None => return,
            },
            (None, None) => return,
        };
        let taints: Vec<Taint> = lasting(taints).cloned().collect();
        let daemons: Vec<&DaemonSet> = daemon_sets.iter().filter(|daemon| daemon.runs_on(labels, &taints)).collect();
        let free = less(offer, &daemons);
        let shortfalls = self.footprint.shortfalls(&free);
        if shortfalls.is_empty() {
            return findings.good(Check::PlacementFootprint, &self.subject);
        }
        let short = |short: &Shortfall| format!("{} asked, {} left", short.requested, short.allocatable);
        let short = shortfalls.iter().map(short).collect::<Vec<_>>().join("; ");
        // What an instance type leaves is computed carefully: real machines have a little more.
        let severity = if smallest.is_some() { Severity::Error } else { Severity::Warning };
        let message = format!("a job of size `{}` does not fit on {whose} beside {} daemon sets: {short}", self.size.name, daemons.len());
        let (cpu, memory) = (free.cpu.0 / 10 * 10, Memory::from_mib(free.memory.mib()));
        findings.bad(severity, Check::PlacementFootprint, &self.subject, message).mended_by(format!(
            "write under `sizes.{}`: footprint: {{cpu: {}, memory: {}}}",
            self.size.name,
            Cpu(cpu).to_kubernetes(),
            memory.to_kubernetes()
        ));
    }
}

/// Returns whether a node belongs to a group: by its instance, by its labels.
pub(crate) fn is_of(node: &NodeRecord, group: &NodeGroup<'_>) -> bool {
    if group.is_pool {
        return node.labels.get(NODE_POOL).is_some_and(|pool| pool == group.name);
    }
    let instance = node.provider_id.as_deref().and_then(instance_id);
    let by_instance = group.account.is_some_and(|account| account.instances.iter().any(|one| Some(one.id.as_str()) == instance));
    let called = |label: &String| label == group.name || group.account.is_some_and(|account| is_named(label, &account.name));
    by_instance || [EKS_NODE_GROUP, EKSCTL_NODE_GROUP].iter().any(|key| node.labels.get(*key).is_some_and(called))
}

/// Returns the taints that keep pods away for good: not those of a node that starts, is ill, or goes.
pub(crate) fn lasting(taints: &[Taint]) -> impl Iterator<Item = &Taint> {
    let is_lasting = |taint: &&Taint| taint.effect != "PreferNoSchedule" && !taint.is_startup() && !taint.is_condition() && !taint.is_leaving();
    taints.iter().filter(is_lasting)
}

/// Returns what daemon sets leave of a machine.
pub(crate) fn less(machine: Allocatable, daemons: &[&DaemonSet]) -> Allocatable {
    let cpu = daemons.iter().map(|daemon| daemon.footprint.cpu.0).sum();
    let memory = daemons.iter().map(|daemon| daemon.footprint.memory.0).sum();
    Allocatable { cpu: Cpu(machine.cpu.0.saturating_sub(cpu)), memory: Memory(machine.memory.0.saturating_sub(memory)), ..machine }
}
