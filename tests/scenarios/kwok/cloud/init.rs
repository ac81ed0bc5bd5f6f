//! `sbrun init` on node groups, and where a map is already.

use serde_json::{Value, json};

use crate::common::{
    cloud::{CloudNamespace, cloud},
    cluster::eventually,
};

/// Returns the proposal as a document.
fn proposal(namespace: &CloudNamespace, arguments: &[&str]) -> Value {
    namespace.sandbox.command([&["init", "--print", "-o", "json", "--cluster", "sbrun-test"], arguments].concat()).exits(0).json()
}

#[test]
fn a_group_at_0_becomes_a_size_that_doctor_passes() {
    let cloud = cloud();
    let group = cloud.group("init-zero", &json!({"spot": true}));
    eventually("the group in the autoscaler's status", || cloud.status()["data"]["status"].as_str().unwrap().contains(&group.name));
    let namespace = cloud.namespace();
    let output = namespace
        .sandbox
        .command(["init", "--cluster", "sbrun-test", "--group", "init-zero", "--image", "python:3"])
        .exits(0)
        .says(&["has the size `init-zero`", "sbrun doctor"]);
    assert_eq!(output.text(), "");
    let map = std::fs::read_to_string(namespace.sandbox.path("instance-map.yaml")).unwrap();
    for line in [
        "    node_group: init-zero\n    instance_type: m5.xlarge\n",
        "    spot: true\n",
        "    node_selector: {sbrun.dev/size: init-zero}\n    tolerations: [{key: sbrun.dev/size, operator: Equal, value: init-zero, effect: NoSchedule}]\n",
        "  region: us-east-1\n  name: sbrun-test\n",
    ] {
        assert!(map.contains(line), "{line}\n{map}");
    }
    drop(namespace.sandbox.command(["doctor", "--offline"]).exits(0));
    let found = namespace.sandbox.command(["doctor"]).exits(0);
    assert!(!found.text().contains("error"), "{found}");
}

#[test]
fn a_footprint_is_measured_on_a_node_that_is_there() {
    let cloud = cloud();
    let group = cloud.group("init-live", &json!({"min": 1})); // or the autoscaler takes the idle machine
    eventually("its node", || group.nodes().iter().any(|node| node["status"]["allocatable"]["memory"].is_string()));
    let namespace = cloud.namespace();
    let document = proposal(&namespace, &["--group", "init-live"]);
    assert!(document["map"].as_str().unwrap().contains("# measured on node "), "{document:#}");
    assert_eq!((&document["sizes"], &document["written"]), (&json!(["init-live"]), &json!(false)));
}

#[test]
fn machines_that_nothing_tells_make_no_size() {
    let cloud = cloud();
    let _group = cloud.group("init-dark", &json!({})); // at 0, and what a launch template starts only the EC2 API knows
    let namespace = cloud.namespace();
    let output = namespace.sandbox.command(["init", "--cluster", "sbrun-test", "--group", "init-dark"]).exits(78);
    drop(output.says(&["nothing tells what machines", "`instance_type`", "#   node_group: init-dark"]));
    assert!(!namespace.sandbox.path("instance-map.yaml").exists());
}

#[test]
fn a_map_that_is_there_is_added_to_and_never_overwritten_without_a_yes() {
    let cloud = cloud();
    let (one, _two) = (cloud.group("init-one", &json!({})), cloud.group("init-two", &json!({"spot": true})));
    let namespace = cloud.namespace();
    namespace.map_groups(&[&one]);
    let before = std::fs::read_to_string(namespace.sandbox.path("instance-map.yaml")).unwrap();
    let arguments = ["init", "--cluster", "sbrun-test", "--group", "init-two", "--name", "init-two=two"];
    drop(namespace.sandbox.command(arguments).exits(2).says(&["+  two:", "--yes"]));
    assert_eq!(std::fs::read_to_string(namespace.sandbox.path("instance-map.yaml")).unwrap(), before);
    drop(namespace.sandbox.command([&arguments[..], &["--yes"]].concat()).exits(0).says(&["has the size `two`"]));
    let after = std::fs::read_to_string(namespace.sandbox.path("instance-map.yaml")).unwrap();
    assert!(after.starts_with(&before) && after.contains("    node_group: init-two\n"), "{after}");
    drop(namespace.sandbox.command(arguments).exits(78).says(&["the map has a size for it"]));
}

#[test]
fn a_group_that_is_not_there_is_no_shorter_map() {
    let namespace = cloud().namespace();
    let output = namespace.sandbox.command(["init", "--group", "init-nowhere"]).exits(78).says(&["init-nowhere", "there is none of this name"]);
    assert!(!namespace.sandbox.path("instance-map.yaml").exists(), "{output}");
}
