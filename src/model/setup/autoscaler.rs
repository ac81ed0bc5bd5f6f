//! The flags that the Cluster Autoscaler should run with, so that node groups rest at 0 and sbrun can see why they do not grow.

use serde::Serialize;

use crate::model::instance_map::InstanceMap;

/// A flag of the Cluster Autoscaler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AutoscalerFlag {
    /// Name, without dashes.
    pub flag: &'static str,
    /// Value.
    pub value: String,
    /// Whether it is the default of current versions, and only has to be left alone.
    pub is_default: bool,
    /// What goes wrong otherwise.
    pub why: String,
}

/// Stands for the cluster's name where the map does not say it.
pub const CLUSTER_NAME: &str = "CLUSTER-NAME";

/// Returns the flags for the groups of a map.
#[must_use]
pub fn flags(map: &InstanceMap) -> Vec<AutoscalerFlag> {
    let needed = |flag, value: &str, why: &str| AutoscalerFlag { flag, value: value.to_owned(), is_default: false, why: why.to_owned() };
    let default = |flag, value: &str, why: &str| AutoscalerFlag { is_default: true, ..needed(flag, value, why) };
    let cluster = map.cluster.name.as_ref().map_or(CLUSTER_NAME, |name| name.value.as_str());
    let discovery = format!("asg:tag=k8s.io/cluster-autoscaler/enabled,k8s.io/cluster-autoscaler/{cluster}");
    let mut flags = vec![
        needed("cloud-provider", "aws", "node groups are Auto Scaling groups"),
        needed("node-group-auto-discovery", &discovery, "a new group is found by its tags, without a restart"),
        needed("expander", "least-waste", "a job gets the smallest machine that fits; `random` before 1.34"),
        needed("ignore-daemonsets-utilization", "true", "an idle small node is idle, whatever its daemon sets ask for"),
        needed("skip-nodes-with-system-pods", "false", "one pod of kube-system would keep a node for ever, and its group from 0"),
        needed("scale-down-delay-type-local", "true", "a scale-up of one group does not delay the scale-down of all others for 10 min; from 1.29 on"),
        default("scale-down-unneeded-time", "10m", "how long an idle node stays warm: shorter costs less, longer starts more jobs at once"),
        default("max-node-provision-time", "15m", "how long an instance may take to become a node before the group backs off"),
        default("write-status-configmap", "true", "`sbrun nodes` and `sbrun why` read it"),
        default("expendable-pods-priority-cutoff", "-10", "pods of a lower priority never raise a group"),
    ];
    if map.sizes.iter().any(|size| size.node_groups.len() > 1) {
        flags.push(needed("balance-similar-node-groups", "true", "a size has one group for each zone: they grow in turn"));
    }
    flags
}
