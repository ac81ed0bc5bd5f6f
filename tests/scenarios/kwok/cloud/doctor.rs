//! `sbrun doctor` on node groups: each fault is made for real, found, and gone again.

use serde_json::{Value, json};

use super::super::doctor::problems;
use crate::common::{
    cloud::{Cloud, CloudNamespace, Group, cloud},
    cluster::eventually,
};

/// Waits until the autoscaler lists a group: before, it is not discovered.
fn await_discovery(cloud: &Cloud, group: &Group) {
    eventually("the group in the autoscaler's status", || cloud.status()["data"]["status"].as_str().unwrap().contains(&group.name));
}

fn doctor(namespace: &CloudNamespace, code: i32) -> Vec<String> {
    problems(&namespace.sandbox.command(["doctor", "-o", "json"]).exits(code))
}

#[test]
fn a_group_that_is_set_up_well_passes() {
    let cloud = cloud();
    let group = cloud.group("doctor-well", &json!({}));
    await_discovery(cloud, &group);
    let namespace = cloud.namespace();
    namespace.map_groups(&[&group]);
    assert_eq!(doctor(&namespace, 0), Vec::<String>::new());
    let shown = namespace.sandbox.command(["doctor", "-v"]).exits(0);
    for code in ["Tags.Labels", "Tags.Taints", "Tags.Discovery", "Group.Growth", "Group.Rest", "Admission.Size", "Rights.Account", "Rights.Jobs"] {
        assert!(shown.text().lines().any(|line| line.starts_with("✓ ok: ") && line.contains(code)), "{code}\n{shown}");
    }
}

#[test]
fn faults_of_a_group_are_found_and_mended_by_their_remedies() {
    let cloud = cloud();
    let group = cloud.group("doctor-faults", &json!({}));
    await_discovery(cloud, &group);
    let namespace = cloud.namespace();
    namespace.map_groups(&[&group]);
    let label = "k8s.io/cluster-autoscaler/node-template/label/sbrun.dev/size";
    let tag = json!({"ResourceId": group.name, "ResourceType": "auto-scaling-group", "Key": label});
    cloud.call("autoscaling", "delete_tags", &json!({"Tags": [tag]}));
    group.suspend("Launch");
    group.suspend("Terminate");
    assert_eq!(doctor(&namespace, 78), ["error Capacity.LaunchSuspended", "error Group.Terminate", "error Tags.Labels"]);

    let found = namespace.sandbox.command(["doctor", "-o", "json"]).exits(78).json();
    let findings = found["findings"].as_array().unwrap();
    let of_labels = findings.iter().find(|finding| finding["code"] == "Tags.Labels").unwrap();
    let command = of_labels["remedies"][0].as_str().unwrap();
    // What the command says, as boto3 says it.
    let tags = command.split_once("--tags ").unwrap().1.split_once(" --region us-east-1").unwrap().0;
    let pairs = tags.split(',').map(|pair| pair.split_once('=').unwrap());
    let tag: Value = pairs
        .map(|(key, value)| (key.to_owned(), if key == "PropagateAtLaunch" { json!(false) } else { json!(value) }))
        .collect::<serde_json::Map<_, _>>()
        .into();
    cloud.call("autoscaling", "create_or_update_tags", &json!({"Tags": [tag]}));
    group.resume("Launch");
    group.resume("Terminate");
    assert_eq!(doctor(&namespace, 0), Vec::<String>::new());
}

#[test]
fn a_map_that_names_no_such_group_and_one_that_cannot_be_seen() {
    let cloud = cloud();
    let namespace = cloud.namespace();
    let map = "version: 1\ncluster: {region: us-east-1}\ndefaults: {image: x}\nsizes:\n  odd: {node_group: doctor-nowhere, footprint: {cpu: 1, memory: 1Gi}}\n";
    namespace.sandbox.write("instance-map.yaml", map);
    assert_eq!(doctor(&namespace, 78), ["error Scheduling.NoSuchGroup"]);

    namespace.refuse("access-denied", &json!({}));
    let output = namespace.sandbox.command(["doctor"]).exits(78).says(&["unknown"]);
    assert!(output.text().contains("may not `autoscaling:DescribeAutoScalingGroups`"), "{output}");
    assert!(output.text().contains("sbrun setup iam-users"), "{output}");
}

#[test]
fn a_new_size_is_told_what_it_lacks() {
    let cloud = cloud();
    let group = cloud.group("doctor-new", &json!({}));
    await_discovery(cloud, &group);
    let namespace = cloud.namespace();
    let other =
        "version: 1\ncluster: {region: us-east-1, name: sbrun-test}\ndefaults: {image: x}\nsizes: {other: {footprint: {cpu: 1, memory: 1Gi}}}\n";
    namespace.sandbox.write("instance-map.yaml", other);
    let output = namespace.sandbox.command(["doctor", "--size", "doctor-new"]).exits(78);
    assert!(output.text().contains("or write under `sizes`: doctor-new: {node_group: doctor-new, instance_type: TYPE}"), "{output}");
    // The group has its tags already; only the map lacks it.
    assert!(!output.text().contains("create-or-update-tags"), "{output}");
}
