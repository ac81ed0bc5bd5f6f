//! IAM policies, which no manifest can carry.

use serde_json::{Value, json};

use crate::{
    error::{Error, Result},
    model::instance_map::InstanceMap,
};

/// The version of IAM's policy language.
const LANGUAGE: &str = "2012-10-17";

/// Returns the policy of people who use sbrun: reading node groups and their activities. IAM cannot limit either to some groups.
///
/// Everything works without it; with it `nodes` and `why` know of capacity failures within seconds.
#[must_use]
pub fn of_users() -> Value {
    json!({"Version": LANGUAGE, "Statement": [{
        "Sid": "SeeNodeGroups",
        "Effect": "Allow",
        "Action": ["autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeScalingActivities"],
        "Resource": "*",
    }]})
}

/// Returns the policy of the Cluster Autoscaler (the calls of its AWS provider, 1.36.1): it sees every group, and changes those that it
/// discovers by the cluster's tag, or else only those of the map.
///
/// # Errors
/// Rejected when the map names neither a cluster nor a node group: then there is nothing to limit the changes to.
pub fn of_autoscaler(map: &InstanceMap) -> Result<Value> {
    let change = match &map.cluster.name {
        Some(name) => json!({
            "Resource": "*",
            "Condition": {"StringEquals": {
                "aws:ResourceTag/k8s.io/cluster-autoscaler/enabled": "true",
                format!("aws:ResourceTag/k8s.io/cluster-autoscaler/{}", name.value): "owned",
            }},
        }),
        None => json!({"Resource": resources(map)?}),
    };
    let mut changes = json!({
        "Sid": "ScaleNodeGroups",
        "Effect": "Allow",
        "Action": ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"],
    });
    for (key, value) in change.as_object().into_iter().flatten() {
        changes[key] = value.clone();
    }
    Ok(json!({"Version": LANGUAGE, "Statement": [
        {
            "Sid": "SeeNodeGroups",
            "Effect": "Allow",
            "Action": [
                "autoscaling:DescribeAutoScalingGroups",
                "autoscaling:DescribeAutoScalingInstances",
                "autoscaling:DescribeLaunchConfigurations",
                "autoscaling:DescribeScalingActivities",
                "ec2:DescribeImages",
                "ec2:DescribeInstanceTypes",
                "ec2:DescribeLaunchTemplateVersions",
                "ec2:GetInstanceTypesFromInstanceRequirements",
                "eks:DescribeNodegroup",
            ],
            "Resource": "*",
        },
        changes,
    ]}))
}

/// Returns the groups of the map as resources. The group of an EKS managed node group is called `eks-<node group>-<id>`.
fn resources(map: &InstanceMap) -> Result<Vec<String>> {
    let region = map.cluster.region.as_ref().map_or("*", |region| region.value.as_str());
    let mut names: Vec<&str> = map.sizes.iter().flat_map(|size| &size.node_groups).map(|group| group.value.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return Err(Error::rejected(format!("the instance map `{}` names neither `cluster.name` nor a node group", map.name))
            .hinted("add `cluster: {name: …}`: the policy then goes by the tags that the autoscaler discovers groups by")
            .hinted("Karpenter has policies of its own, see its documentation"));
    }
    let resource = |name: String| format!("arn:aws:autoscaling:{region}:*:autoScalingGroup:*:autoScalingGroupName/{name}");
    Ok(names.into_iter().flat_map(|name| [resource(name.to_owned()), resource(format!("eks-{name}-*"))]).collect())
}
