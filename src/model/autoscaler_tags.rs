//! Tags by which the Cluster Autoscaler finds an Auto Scaling group and knows what its machines will be like.
//!
//! Source: cluster-autoscaler/cloudprovider/aws, `--node-group-auto-discovery=asg:tag=…` and `node-template` tags.

use std::collections::BTreeMap;

use crate::model::launch_plan::Taint;

/// The tag that every discovered group carries.
pub const ENABLED: &str = "k8s.io/cluster-autoscaler/enabled";
/// Before the name of the cluster, the tag that tells which one a group belongs to.
pub const OF_CLUSTER: &str = "k8s.io/cluster-autoscaler/";
/// Before the name of a label that the group's nodes will carry.
pub const LABEL: &str = "k8s.io/cluster-autoscaler/node-template/label/";
/// Before the name of a taint that the group's nodes will carry; the value is `value:effect`.
pub const TAINT: &str = "k8s.io/cluster-autoscaler/node-template/taint/";
/// Before the name of a resource that the group's nodes will have.
pub const RESOURCE: &str = "k8s.io/cluster-autoscaler/node-template/resources/";
/// The tag of EKS that holds the name of a managed node group, whose labels and taints the autoscaler can also read from EKS.
pub const EKS_NODE_GROUP: &str = "eks:nodegroup-name";
/// The tag of EKS that holds the name of the cluster of a managed node group.
pub const EKS_CLUSTER: &str = "eks:cluster-name";

/// Returns the labels that tags promise of a group's nodes.
#[must_use]
pub fn labels(tags: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    tags.iter().filter_map(|(key, value)| Some((key.strip_prefix(LABEL)?.to_owned(), value.clone()))).collect()
}

/// Returns the taints that tags promise of a group's nodes; tags that the autoscaler would not understand are left out, as it does.
#[must_use]
pub fn taints(tags: &BTreeMap<String, String>) -> Vec<Taint> {
    let taint = |(key, text): (&String, &String)| {
        let key = key.strip_prefix(TAINT)?.to_owned();
        let (value, effect) = text.rsplit_once(':')?;
        let known = matches!(effect, "NoSchedule" | "NoExecute" | "PreferNoSchedule");
        known.then(|| Taint { key, value: value.to_owned(), effect: effect.to_owned() })
    };
    tags.iter().filter_map(taint).collect()
}

/// Returns the command that gives a group these tags.
#[must_use]
pub fn tag_command<'t>(group: &str, tags: impl IntoIterator<Item = (&'t str, &'t str)>) -> String {
    let one =
        |(key, value): (&str, &str)| format!(" ResourceId={group},ResourceType=auto-scaling-group,Key={key},Value={value},PropagateAtLaunch=false");
    format!("aws autoscaling create-or-update-tags --tags{}", tags.into_iter().map(one).collect::<String>())
}

/// Returns the command that gives a group the two tags by which it is discovered; a cluster whose name is not known is `CLUSTER`.
#[must_use]
pub fn discovery_command(group: &str, cluster: Option<&str>) -> String {
    let of_cluster = format!("{OF_CLUSTER}{}", cluster.unwrap_or("CLUSTER"));
    tag_command(group, [(ENABLED, "true"), (&of_cluster, "owned")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_read_from_tags() {
        let tags = BTreeMap::from(
            [("label/a/b", "c"), ("taint/k", "v:NoSchedule"), ("taint/odd", "v"), ("taint/worse", "v:Never"), ("taint/none", ":NoExecute")]
                .map(|(key, value)| (format!("k8s.io/cluster-autoscaler/node-template/{key}"), value.to_owned())),
        );
        assert_eq!(labels(&tags), BTreeMap::from([("a/b".to_owned(), "c".to_owned())]));
        let taint = |key: &str, value: &str, effect: &str| Taint { key: key.into(), value: value.into(), effect: effect.into() };
        assert_eq!(taints(&tags), [taint("k", "v", "NoSchedule"), taint("none", "", "NoExecute")]);
    }

    #[test]
    fn commands_are_ready_to_be_pasted() {
        assert_eq!(
            discovery_command("flows", Some("prod")),
            "aws autoscaling create-or-update-tags --tags \
             ResourceId=flows,ResourceType=auto-scaling-group,Key=k8s.io/cluster-autoscaler/enabled,Value=true,PropagateAtLaunch=false \
             ResourceId=flows,ResourceType=auto-scaling-group,Key=k8s.io/cluster-autoscaler/prod,Value=owned,PropagateAtLaunch=false"
        );
    }
}
