//! Node groups as a document, as a table, and as sentences.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    model::{
        footprint::Footprint,
        machine::{Machine, MachineState},
        reason::Reason,
        scale_state::{Departure, GroupSurvey, Survey},
        story::{Cause, Proof},
    },
    output::{
        format::{SCHEMA, milliseconds},
        wording,
    },
};

mod table;

/// All node groups as a document. Amounts are base units; `null` means unknown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeGroups {
    /// Version of this document.
    pub schema: u32,
    /// When it was seen.
    pub time: Timestamp,
    /// One entry for each size and node group.
    pub node_groups: Vec<NodeGroupEntry>,
    /// What could not be seen.
    pub unknown: Vec<String>,
}

/// One node group of one size as a document.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct NodeGroupEntry {
    /// Size profile; `null` for a group that the map does not name.
    pub size: Option<String>,
    /// Node groups: one, or several that cannot be told apart.
    pub node_groups: Vec<String>,
    /// Karpenter NodePool.
    pub node_pool: Option<String>,
    /// Scale state.
    pub state: Option<&'static str>,
    /// Number of nodes that it is to have.
    pub desired_size: Option<u32>,
    /// Least number of nodes.
    pub min_size: Option<u32>,
    /// Largest number of nodes.
    pub max_size: Option<u32>,
    /// Limits of its NodePool, as written.
    pub limits: BTreeMap<String, String>,
    /// Nodes that are ready.
    pub ready: Option<u32>,
    /// Ready nodes on which something runs.
    pub busy: Option<u32>,
    /// Ready nodes that wait for a pod.
    pub idle: Option<u32>,
    /// Machines that are no ready node yet.
    pub booting: Option<u32>,
    /// Machines on their way out.
    pub leaving: Option<u32>,
    /// Nodes that are not ready, and not because they are new.
    pub not_ready: Option<u32>,
    /// Instance types.
    pub instance_types: Vec<String>,
    /// Whether its machines are spot machines.
    pub spot: Option<bool>,
    /// Sum of the requests on its nodes.
    pub requests: Option<Amounts>,
    /// Sum of what pods may use of its nodes.
    pub allocatable: Option<Amounts>,
    /// Pods of Jobs that run on its nodes.
    pub jobs_running: Option<u32>,
    /// Pods that wait for a node of its size.
    pub jobs_waiting: Option<u32>,
    /// What keeps it from growing, the most telling first.
    pub hindrances: Vec<Hindrance>,
    /// Its machines.
    pub machines: Vec<MachineEntry>,
    /// What could not be seen of it.
    pub unknown: Vec<String>,
}

/// CPU and memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Amounts {
    /// CPU, in millicores.
    pub cpu_millicores: u64,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// GPUs.
    pub gpu: u32,
}

/// Why a node group does not grow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hindrance {
    /// Code.
    pub reason: Reason,
    /// One sentence.
    pub summary: String,
    /// What it was concluded from.
    pub evidence: Vec<Proof>,
    /// What to do about it.
    pub next: Vec<String>,
}

/// One machine as a document.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct MachineEntry {
    /// Node, once registered.
    pub node: Option<String>,
    /// Instance or NodeClaim.
    pub instance: Option<String>,
    /// `booting`, `busy`, `idle`, `ready`, `cordoned`, `leaving` or `not_ready`.
    pub state: &'static str,
    /// Instance type.
    pub instance_type: Option<String>,
    /// Availability Zone.
    pub zone: Option<String>,
    /// Whether it is a spot machine.
    pub spot: Option<bool>,
    /// When its node registered, or its NodeClaim was made.
    pub since: Option<Timestamp>,
    /// Pods of Jobs that run on it; `null` before it is a node.
    pub jobs_running: Option<u32>,
    /// About when it goes, while it is idle.
    pub goes: Option<Timestamp>,
    /// Why it does not go, while it is idle.
    pub stays: Option<String>,
    /// Why nothing tells when it goes, while it is idle.
    pub unknown: Option<String>,
}

impl NodeGroups {
    /// Returns the document of a survey.
    #[must_use]
    pub fn new(survey: &Survey, now: Timestamp) -> Self {
        let node_groups = survey.groups.iter().map(NodeGroupEntry::new).collect();
        Self { schema: SCHEMA, time: milliseconds(now), node_groups, unknown: survey.unknown.clone() }
    }

    /// Returns whether another document says the same of the groups, at whatever time.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.node_groups == other.node_groups && self.unknown == other.unknown
    }

    /// Returns the names of the node groups and node pools; of a size without one, the size's.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let names = |entry: &NodeGroupEntry| {
            let own: Vec<String> = entry.node_groups.iter().chain(&entry.node_pool).cloned().collect();
            if own.is_empty() { entry.size.iter().cloned().collect() } else { own }
        };
        let mut all: Vec<String> = Vec::new();
        for name in self.node_groups.iter().flat_map(names) {
            if !all.contains(&name) {
                all.push(name);
            }
        }
        all
    }

    /// Returns what the table does not say: why groups do not grow, when idle nodes go, and what is not known.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        let mut told_down = false;
        let of = |entry: &NodeGroupEntry, told: String| format!("{}: {told}", entry.title());
        let mut lines: Vec<String> =
            self.node_groups.iter().filter_map(|entry| entry.hindrance(&mut told_down).map(|told| of(entry, told))).collect();
        lines.extend(self.node_groups.iter().filter_map(|entry| entry.departures(self.time).map(|told| of(entry, told))));
        let unknown = |entry: &'_ NodeGroupEntry| entry.unknown.iter().map(|told| of(entry, format!("not known: {told}"))).collect::<Vec<_>>();
        lines.extend(self.node_groups.iter().flat_map(unknown));
        lines.extend(self.unknown.iter().map(|told| format!("not known: {told}")));
        lines
    }
}

impl NodeGroupEntry {
    fn new(group: &GroupSurvey) -> Self {
        let counts = group.counts;
        let amounts = |footprint: Footprint| Amounts { cpu_millicores: footprint.cpu.0, memory_bytes: footprint.memory.0, gpu: footprint.gpu };
        Self {
            size: group.size.as_ref().map(|size| size.0.clone()),
            node_groups: group.node_groups.clone(),
            node_pool: group.node_pool.clone(),
            state: group.state.map(crate::model::scale_state::ScaleState::as_str),
            desired_size: group.desired_size,
            min_size: group.min_size,
            max_size: group.max_size,
            limits: group.limits.clone(),
            ready: counts.ready,
            busy: counts.busy,
            idle: counts.idle,
            booting: counts.booting,
            leaving: counts.leaving,
            not_ready: counts.not_ready,
            instance_types: group.instance_types.clone(),
            spot: group.spot,
            requests: group.requests.map(amounts),
            allocatable: group.allocatable.map(|allocatable| amounts(allocatable.into())),
            jobs_running: group.jobs_running,
            jobs_waiting: group.jobs_waiting,
            hindrances: group.hindrances.iter().map(hindrance).collect(),
            machines: group.machines.iter().map(|machine| MachineEntry::new(machine, group)).collect(),
            unknown: group.unknown.clone(),
        }
    }

    /// Returns what people call it: its size, else its group.
    #[must_use]
    pub fn title(&self) -> String {
        self.size.clone().unwrap_or_else(|| self.group())
    }

    /// Returns the names of its node groups, or of its node pool.
    #[must_use]
    pub fn group(&self) -> String {
        let names: Vec<&str> = self.node_groups.iter().chain(&self.node_pool).map(String::as_str).collect();
        names.join(", ")
    }

    /// Returns its scale state in words.
    #[must_use]
    pub fn state_words(&self) -> String {
        self.state.map_or_else(|| "unknown".to_owned(), |state| state.replace('_', " "))
    }

    /// Returns why it does not grow, where that matters now. That the autoscaler is down is told of the first group only.
    fn hindrance(&self, told_down: &mut bool) -> Option<String> {
        let hindrance = self.hindrances.first()?;
        let is_news = match hindrance.reason {
            Reason::QueueAtMaximum => self.jobs_waiting.is_some_and(|jobs| jobs > 0),
            Reason::ScaleUpAutoscalerDown => !std::mem::replace(told_down, true),
            _ => true,
        };
        let next = hindrance.next.first().map(|next| format!("; next: {next}")).unwrap_or_default();
        is_news.then(|| format!("{}{next}", hindrance.summary))
    }

    /// Returns when its idle nodes go.
    fn departures(&self, now: Timestamp) -> Option<String> {
        let idle = || self.machines.iter().filter(|machine| machine.state == MachineState::Idle.as_str());
        let (count, is_one) = (idle().count(), idle().count() == 1);
        let nodes = wording::count(count, "idle node");
        if let Some(first) = idle().filter_map(|machine| machine.goes).min() {
            let which = if is_one { "which" } else { "of which the first" };
            return Some(format!("{nodes}, {which} goes {}", when(first, now)));
        }
        if let Some(why) = idle().find_map(|machine| machine.stays.as_ref()) {
            return Some(format!("{nodes}, which {}: {why}", if is_one { "stays" } else { "stay" }));
        }
        let why = idle().find_map(|machine| machine.unknown.as_ref())?;
        Some(format!("{nodes}; when {} not known: {why}", if is_one { "it goes is" } else { "they go is" }))
    }
}

fn when(time: Timestamp, now: Timestamp) -> String {
    let left = time.duration_since(now);
    if left.as_secs() < 30 { "any moment now".to_owned() } else { format!("in about {}", wording::age(left)) }
}

fn hindrance(cause: &Cause) -> Hindrance {
    Hindrance { reason: cause.reason, summary: cause.summary.clone(), evidence: cause.evidence.clone(), next: cause.next.clone() }
}

impl MachineEntry {
    fn new(machine: &Machine, group: &GroupSurvey) -> Self {
        let departure = group.departures.iter().find(|(node, _)| machine.node.as_ref() == Some(node)).map(|(_, departure)| departure);
        let (goes, stays, unknown) = match departure.cloned() {
            Some(Departure::At(time)) => (Some(time), None, None),
            Some(Departure::Stays(why)) => (None, Some(why), None),
            Some(Departure::Unknown(why)) => (None, None, Some(why)),
            None => (None, None, None),
        };
        Self {
            node: machine.node.clone(),
            instance: machine.instance.clone(),
            state: machine.state.as_str(),
            instance_type: machine.instance_type.clone(),
            zone: machine.zone.clone(),
            spot: machine.spot,
            since: machine.since,
            jobs_running: machine.node.as_ref().and(group.jobs_running).map(|_| machine.jobs),
            goes,
            stays,
            unknown,
        }
    }
}

#[cfg(test)]
mod tests;
