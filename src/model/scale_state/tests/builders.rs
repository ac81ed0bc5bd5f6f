//! Sizes, nodes and groups with the least to say.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::model::{
    evidence::{ConditionRecord, NodeRecord},
    footprint::{Allocatable, Footprint},
    instance_map::{Defaults, InstanceMap, SizeProfile},
    node_group::{AccountGroup, Instance, Scaling, Sighting},
    occupancy::{Load, Occupancy, OccupiedNode, PodScope, WaitingPods},
    quantity::{Cpu, Memory},
    scale_state::{GroupSurvey, Survey, SurveyInput, survey},
};

/// The time of every test.
pub(super) fn now() -> Timestamp {
    "2026-11-25T12:00:00Z".parse().unwrap()
}

/// Everything a survey is made from.
#[derive(Default)]
pub(super) struct Surroundings {
    pub(super) sizes: Vec<SizeProfile>,
    pub(super) scaling: Scaling,
    pub(super) occupancy: Occupancy,
    pub(super) all: bool,
}

impl Surroundings {
    /// Returns sizes of a map, written as lines below `sizes:`; all nodes and pods are seen, and there are none.
    pub(super) fn new(sizes: &str) -> Self {
        let text = format!("version: 1\ndefaults: {{image: x}}\nsizes:\n{sizes}");
        let map = InstanceMap::parse(&text, "map", &mut |_| Err("no templates".to_owned())).expect("the map is right");
        let mut made = Self { sizes: map.sizes, ..Self::default() };
        made.occupancy.pods = seen(PodScope::Cluster);
        made.nodes([])
    }

    pub(super) fn nodes<const N: usize>(mut self, nodes: [OccupiedNode; N]) -> Self {
        self.occupancy.nodes = seen(nodes.into());
        self
    }

    pub(super) fn account<const N: usize>(mut self, groups: [AccountGroup; N]) -> Self {
        self.scaling.account = seen(groups.into());
        self
    }

    pub(super) fn waiting(mut self, selector: &[(&str, &str)], size: Option<&str>, count: u32) -> Self {
        let oldest = Some(now());
        self.occupancy.waiting.push(WaitingPods { node_selector: labels(selector), size: size.map(ToOwned::to_owned), count, oldest });
        self
    }

    pub(super) fn survey(&self) -> Survey {
        survey(&SurveyInput {
            sizes: &self.sizes,
            defaults: &Defaults::default(),
            size: None,
            all: self.all,
            scaling: &self.scaling,
            occupancy: &self.occupancy,
            unneeded_time: None,
            now: now(),
        })
    }

    pub(super) fn only(&self) -> GroupSurvey {
        let mut groups = self.survey().groups;
        assert_eq!(groups.len(), 1, "{groups:#?}");
        groups.remove(0)
    }
}

pub(super) fn seen<T>(value: T) -> Sighting<T> {
    Sighting::Seen { value, at: now() }
}

pub(super) fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Returns an idle node that has been ready for an hour.
pub(super) fn mk_node(name: &str, of: &[(&str, &str)]) -> OccupiedNode {
    let ready = ConditionRecord { kind: "Ready".into(), status: "True".into(), ..ConditionRecord::default() };
    let node = NodeRecord {
        name: name.into(),
        created: Some(now() - jiff::SignedDuration::from_hours(1)),
        labels: labels(of),
        allocatable: Allocatable { cpu: Cpu(4000), memory: Memory::from_mib(8192), ..Allocatable::default() },
        conditions: vec![ready],
        ..NodeRecord::default()
    };
    OccupiedNode { node, ..OccupiedNode::default() }
}

/// Returns the node of an instance.
pub(super) fn mk_node_of(instance: &str, of: &[(&str, &str)]) -> OccupiedNode {
    let mut node = mk_node(&format!("node-of-{instance}"), of);
    node.node.provider_id = Some(format!("aws:///eu-west-1a/{instance}"));
    node
}

/// Returns a node on which a job runs.
pub(super) fn busy(mut node: OccupiedNode) -> OccupiedNode {
    node.load = Load { requests: Footprint { cpu: Cpu(1000), memory: Memory::from_mib(2048), ..Footprint::default() }, jobs: 1, others: 0 };
    node
}

/// Returns a group with instances in service.
pub(super) fn mk_group(name: &str, desired_size: u32, max_size: u32, instances: &[&str]) -> AccountGroup {
    let instance =
        |id: &&str| Instance { id: (*id).to_owned(), lifecycle: "InService".into(), zone: "eu-west-1a".into(), healthy: true, ..Instance::default() };
    AccountGroup { name: name.into(), desired_size, max_size, instances: instances.iter().map(instance).collect(), ..AccountGroup::default() }
}
