//! Node groups: sets of like nodes that scale together, and what is known of them.
//!
//! A node group is an Auto Scaling group that the Cluster Autoscaler scales, or a Karpenter NodePool. Knowledge comes from up to
//! three places, each of which may be closed to whoever asks: the cloud account, the autoscaler's status, and the cluster's own
//! objects. A [`NodeGroup`] keeps them apart, so that a sentence can say where it is from, and answers questions from the best.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use crate::model::{
    autoscaler_status::{AutoscalerStatus, GroupStatus},
    autoscaler_tags,
    evidence::{ConditionRecord, EventRecord},
    footprint::Allocatable,
    launch_plan::Taint,
    scaling_activity::ScalingActivity,
};

/// Label of nodes of an EKS managed node group: the name of the group, which is not that of its Auto Scaling group.
pub const EKS_NODE_GROUP: &str = "eks.amazonaws.com/nodegroup";
/// Label of nodes of a self-managed group that eksctl made.
pub const EKSCTL_NODE_GROUP: &str = "alpha.eksctl.io/nodegroup-name";
/// Label of nodes of a Karpenter NodePool.
pub const NODE_POOL: &str = "karpenter.sh/nodepool";
/// Label of a node's or claim's instance type.
pub const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";
/// Label of a node's or claim's Availability Zone.
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// Length of a UUID.
const UUID: usize = 36;
/// Labels that tell spot machines from others, with the value that means spot, in the order of asking.
const SPOT_LABELS: [(&str, &str); 6] = [
    ("eks.amazonaws.com/capacityType", "SPOT"),
    ("karpenter.sh/capacity-type", "spot"),
    ("node.kubernetes.io/lifecycle", "spot"),
    ("node-lifecycle", "spot"),
    ("node-role.kubernetes.io/spot-worker", ""),
    ("lifecycle", "Ec2Spot"),
];

/// What looking for something found.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Sighting<T> {
    /// Nobody looked.
    #[default]
    NotAsked,
    /// It was seen.
    Seen {
        /// What.
        value: T,
        /// When.
        at: Timestamp,
    },
    /// It does not exist.
    Absent {
        /// When that was seen.
        at: Timestamp,
    },
    /// It could not be seen: a sentence for people, which names what and why.
    Unseen(String),
}

impl<T> Sighting<T> {
    /// Returns what was seen.
    #[must_use]
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Seen { value, .. } => Some(value),
            Self::NotAsked | Self::Absent { .. } | Self::Unseen(_) => None,
        }
    }

    /// Returns whether it was looked for and does not exist.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent { .. })
    }

    /// Returns why it could not be seen.
    #[must_use]
    pub fn obstacle(&self) -> Option<&str> {
        match self {
            Self::Unseen(why) => Some(why),
            Self::NotAsked | Self::Absent { .. } | Self::Seen { .. } => None,
        }
    }
}

/// Everything observed about how machines come and go.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scaling {
    /// Auto Scaling groups, as the cloud account has them. Of a job: those of its size.
    pub account: Sighting<Vec<AccountGroup>>,
    /// The Cluster Autoscaler's status.
    pub autoscaler: Sighting<AutoscalerStatus>,
    /// Karpenter's NodePools. Absent means that the cluster does not know the kind.
    pub pools: Sighting<Vec<NodePool>>,
    /// Karpenter's NodeClaims.
    pub claims: Vec<NodeClaim>,
    /// Events about the autoscaler's status ConfigMap and about NodeClaims, oldest first.
    pub events: Vec<EventRecord>,
}

/// A node group, with all that is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeGroup<'a> {
    /// Name, as the instance map or whoever reported it writes it.
    pub name: &'a str,
    /// Whether it is a Karpenter NodePool.
    pub is_pool: bool,
    /// As the cloud account has it.
    pub account: Option<&'a AccountGroup>,
    /// As the Cluster Autoscaler sees it.
    pub status: Option<&'a GroupStatus>,
    /// As Karpenter has it.
    pub pool: Option<&'a NodePool>,
    /// Machines of the pool.
    pub claims: Vec<&'a NodeClaim>,
}

/// An Auto Scaling group, as the cloud account has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AccountGroup {
    /// Name of the Auto Scaling group.
    pub name: String,
    /// Least number of instances.
    pub min_size: u32,
    /// Largest number of instances.
    pub max_size: u32,
    /// Number of instances that it is to have.
    pub desired_size: u32,
    /// `DesiredCapacityType`, when it is not `units`: then sizes are not numbers of nodes.
    pub desired_unit: Option<String>,
    /// Its instances.
    pub instances: Vec<Instance>,
    /// Availability Zones.
    pub zones: Vec<String>,
    /// Suspended processes, such as `Launch`.
    pub suspended: Vec<SuspendedProcess>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// Instance types of its overrides, with the weight of each where one is set; without overrides those of its instances. None are
    /// known of an empty group whose type only its launch template names.
    pub instance_types: Vec<(String, Option<String>)>,
    /// Whether its overrides name requirements such as a number of CPUs, from which AWS chooses instance types.
    pub by_requirements: bool,
    /// Whether it starts spot instances, where its own description says so.
    pub spot: Option<bool>,
    /// `CapacityRebalance`.
    pub capacity_rebalance: bool,
    /// `Status`: only while it is being deleted.
    pub status: Option<String>,
    /// Scaling activities, newest first; none when they were not asked for or could not be seen.
    pub activities: Option<Vec<ScalingActivity>>,
}

/// An instance of an Auto Scaling group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instance {
    /// `i-…`.
    pub id: String,
    /// Instance type.
    pub instance_type: Option<String>,
    /// Availability Zone.
    pub zone: String,
    /// `Pending`, `InService`, `Terminating`, …
    pub lifecycle: String,
    /// Whether Auto Scaling holds it to be healthy.
    pub healthy: bool,
}

impl Instance {
    /// Returns whether it starts or runs: not on its way out, and not in a warm pool.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.lifecycle == "InService" || self.lifecycle.starts_with("Pending")
    }
}

/// A process of an Auto Scaling group that somebody suspended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SuspendedProcess {
    /// `Launch`, `Terminate`, `AZRebalance`, …
    pub name: String,
    /// Why, in AWS's words.
    pub reason: String,
}

/// A Karpenter NodePool.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodePool {
    /// Name.
    pub name: String,
    /// `spec.limits`: how much all its nodes together may have. Quantities as written.
    pub limits: BTreeMap<String, String>,
    /// `status.resources`: how much its nodes have, and `nodes`, their number.
    pub in_use: BTreeMap<String, String>,
    /// Labels that its nodes will have.
    pub labels: BTreeMap<String, String>,
    /// Taints that its nodes will have.
    pub taints: Vec<Taint>,
    /// Taints that its nodes have only at first, until something takes them off. No pod needs to tolerate them.
    pub startup_taints: Vec<Taint>,
    /// `spec.template.spec.requirements`.
    pub requirements: Vec<Requirement>,
    /// Conditions, `Ready` among them.
    pub conditions: Vec<ConditionRecord>,
    /// `spec.disruption.consolidateAfter`; none means never, or unknown.
    pub consolidate_after: Option<Duration>,
    /// `spec.template.spec.terminationGracePeriod`: how long a machine that has to go may wait for its pods; none means for ever.
    pub termination_grace_period: Option<Duration>,
}

/// One requirement of a NodePool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requirement {
    /// Label.
    pub key: String,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt`, `Lt`, `Gte` or `Lte`.
    pub operator: String,
    /// Values.
    pub values: Vec<String>,
}

/// A Karpenter NodeClaim: one machine, from its order to its end.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeClaim {
    /// Name.
    pub name: String,
    /// NodePool that it belongs to.
    pub pool: String,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When its deletion was asked for.
    pub deleted: Option<Timestamp>,
    /// Conditions `Launched`, `Registered`, `Initialized`, `Ready`, ….
    pub conditions: Vec<ConditionRecord>,
    /// Instance type, once launched.
    pub instance_type: Option<String>,
    /// Whether it is a spot machine, once launched.
    pub spot: Option<bool>,
    /// Availability Zone, once launched.
    pub zone: Option<String>,
    /// Its node, once registered.
    pub node: Option<String>,
    /// `status.providerID`.
    pub provider_id: Option<String>,
    /// What pods will have of it.
    pub allocatable: Allocatable,
    /// `status.lastPodEventTime`: when a pod last came or went.
    pub last_pod_event: Option<Timestamp>,
}

impl NodeClaim {
    /// Returns the condition of this kind, when it is true.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&ConditionRecord> {
        self.conditions.iter().find(|condition| condition.kind == kind && condition.status == "True")
    }
}

impl<'a> NodeGroup<'a> {
    /// Returns the node group of this name; `pool` tells the two kinds apart.
    #[must_use]
    pub fn find(name: &'a str, is_pool: bool, scaling: &'a Scaling) -> Self {
        if is_pool {
            let pool = scaling.pools.value().and_then(|pools| pools.iter().find(|pool| pool.name == name));
            let claims = scaling.claims.iter().filter(|claim| claim.pool == name).collect();
            return Self { name, is_pool, account: None, status: None, pool, claims };
        }
        let account = scaling.account.value().and_then(|groups| groups.iter().find(|group| is_called(name, &group.name, &group.tags)));
        let listed = |status: &&GroupStatus| account.map_or_else(|| is_named(name, &status.name), |account| account.name == status.name);
        let status = scaling.autoscaler.value().and_then(|status| status.groups.iter().find(listed));
        Self { name, is_pool, account, status, pool: None, claims: Vec::new() }
    }

    /// Returns the least number of nodes; none when not known. A pool has no minimum.
    #[must_use]
    pub fn min_size(&self) -> Option<u32> {
        self.account.map(|group| group.min_size).or_else(|| self.status.and_then(|status| status.min_size)).or(self.pool.map(|_| 0))
    }

    /// Returns the largest number of nodes; none when not known. A pool has one when its limits name `nodes`.
    #[must_use]
    pub fn max_size(&self) -> Option<u32> {
        let of_pool = || self.pool.and_then(|pool| pool.limits.get("nodes")).and_then(|nodes| nodes.parse().ok());
        self.account.map(|group| group.max_size).or_else(|| self.status.and_then(|status| status.max_size)).or_else(of_pool)
    }

    /// Returns the number of nodes that it is to have; none when not known.
    #[must_use]
    pub fn desired_size(&self) -> Option<u32> {
        let live = || u32::try_from(self.claims.iter().filter(|claim| claim.deleted.is_none()).count()).ok();
        // Without claims, which perhaps may not be seen, the pool's own count has to do.
        let counted = |pool: &NodePool| pool.in_use.get("nodes").map_or(Some(0), |nodes| nodes.parse().ok());
        let of_pool = || self.pool.and_then(|pool| if self.claims.is_empty() { counted(pool) } else { live() });
        self.account.map(|group| group.desired_size).or_else(|| self.status.and_then(|status| status.target)).or_else(of_pool)
    }
}

/// Returns whether an Auto Scaling group is the one that the instance map names, by its own name or by that of its EKS managed node group.
#[must_use]
pub fn is_called(name: &str, group: &str, tags: &BTreeMap<String, String>) -> bool {
    is_named(name, group) || tags.get(autoscaler_tags::EKS_NODE_GROUP).is_some_and(|tag| tag == name)
}

/// Returns whether `group`, the name of an Auto Scaling group, is `name` or what EKS makes of a managed node group of that name:
/// `eks-<name>-<uuid>`.
#[must_use]
pub fn is_named(name: &str, group: &str) -> bool {
    let managed = || group.strip_prefix("eks-").and_then(|rest| rest.strip_prefix(name)).and_then(|rest| rest.strip_prefix('-'));
    group == name || managed().is_some_and(|uuid| uuid.len() == UUID && uuid.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()))
}

/// Returns the names that nodes of a node group may carry in a label: its own, or that from which EKS or eksctl made the name of its
/// Auto Scaling group, `eks-<name>-<uuid>` and `eksctl-<cluster>-nodegroup-<name>-NodeGroup-…`.
#[must_use]
pub fn label_names(group: &str) -> Vec<&str> {
    let of_eks = group.strip_prefix("eks-").and_then(|rest| rest.get(..rest.len().checked_sub(UUID + 1)?)).filter(|name| is_named(name, group));
    let of_eksctl = || group.strip_prefix("eksctl-")?.split_once("-nodegroup-")?.1.rsplit_once("-NodeGroup-").map(|(name, _)| name);
    [Some(group), of_eks, of_eksctl()].into_iter().flatten().collect()
}

/// Returns whether a node is a spot machine by its labels; none when no label in use says either.
#[must_use]
pub fn is_spot(labels: &BTreeMap<String, String>) -> Option<bool> {
    SPOT_LABELS.iter().find_map(|(key, spot)| labels.get(*key).map(|value| value.eq_ignore_ascii_case(spot)))
}

/// Returns the instance id of a node's provider id: `aws:///eu-west-1a/i-0abc`.
#[must_use]
pub fn instance_id(provider_id: &str) -> Option<&str> {
    provider_id.strip_prefix("aws:///")?.rsplit_once('/').map(|(_, id)| id).filter(|id| id.starts_with("i-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_managed_node_group_is_known_by_either_name() {
        assert!(is_named("flows-small", "flows-small"));
        assert!(is_named("flows-small", "eks-flows-small-1ac6b2b4-8f0c-43a6-9d2e-0f5a7f3f8a11"));
        assert!(!is_named("flows", "eks-flows-small-1ac6b2b4-8f0c-43a6-9d2e-0f5a7f3f8a11"));
        assert!(!is_named("flows-small", "flows-small-2"));
        assert!(is_called("flows", "eks-1ac6b2b4", &BTreeMap::from([("eks:nodegroup-name".to_owned(), "flows".to_owned())])));
    }

    #[test]
    fn nodes_carry_the_name_that_the_group_was_made_from() {
        assert_eq!(label_names("flows"), ["flows"]);
        let managed = "eks-flows-small-1ac6b2b4-8f0c-43a6-9d2e-0f5a7f3f8a11";
        assert_eq!(label_names(managed), [managed, "flows-small"]);
        let eksctl = "eksctl-prod-nodegroup-flows-NodeGroup-1B2C3D";
        assert_eq!(label_names(eksctl), [eksctl, "flows"]);
        assert_eq!(label_names("eks-é"), ["eks-é"]);
    }

    #[test]
    fn the_first_label_in_use_tells_spot() {
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        assert_eq!(is_spot(&labels(&[])), None);
        assert_eq!(is_spot(&labels(&[("eks.amazonaws.com/capacityType", "ON_DEMAND"), ("lifecycle", "Ec2Spot")])), Some(false));
        assert_eq!(is_spot(&labels(&[("karpenter.sh/capacity-type", "spot")])), Some(true));
        assert_eq!(is_spot(&labels(&[("node-role.kubernetes.io/spot-worker", "")])), Some(true));
        assert_eq!(is_spot(&labels(&[("lifecycle", "Ec2Spot")])), Some(true));
    }

    #[test]
    fn a_pool_has_no_minimum_and_as_many_nodes_as_claims() {
        let pool = |nodes: &str| NodePool { name: "p".into(), in_use: [("nodes".to_owned(), nodes.to_owned())].into(), ..NodePool::default() };
        let claim = |deleted| NodeClaim { pool: "p".into(), deleted, ..NodeClaim::default() };
        let sizes = |pool: NodePool, claims| {
            let pools = Sighting::Seen { value: vec![pool], at: Timestamp::UNIX_EPOCH };
            let scaling = Scaling { pools, claims, ..Scaling::default() };
            let group = NodeGroup::find("p", true, &scaling);
            (group.min_size(), group.max_size(), group.desired_size())
        };
        assert_eq!(sizes(pool("3"), vec![claim(None), claim(Some(Timestamp::UNIX_EPOCH))]), (Some(0), None, Some(1)));
        assert_eq!(sizes(pool("3"), Vec::new()), (Some(0), None, Some(3)), "claims may not be seen");
        let limited = NodePool { limits: [("nodes".to_owned(), "5".to_owned())].into(), name: "p".into(), ..NodePool::default() };
        assert_eq!(sizes(limited, Vec::new()), (Some(0), Some(5), Some(0)));
    }

    #[test]
    fn provider_ids_name_instances_of_aws_only() {
        assert_eq!(instance_id("aws:///eu-west-1a/i-0abc"), Some("i-0abc"));
        assert_eq!(instance_id("kwok://node"), None);
        assert_eq!(instance_id("aws:///eu-west-1a/fargate-ip-1"), None);
    }
}
