//! `sbrun nodes` while machines come and go.

use serde_json::{Value, json};

use crate::common::{
    cloud::{CloudNamespace, Group, cloud},
    cluster::eventually,
};

fn namespace(group: &Group) -> CloudNamespace {
    let namespace = cloud().namespace();
    namespace.map_groups(&[group]);
    namespace.template(&json!({"kwok.test/run": "4s"}));
    namespace
}

fn look(namespace: &CloudNamespace) -> Value {
    namespace.sandbox.command(["nodes", "-o", "json"]).exits(0).json()["node_groups"][0].clone()
}

/// Looks until `holds`, and returns what was seen then.
#[track_caller]
fn until(namespace: &CloudNamespace, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let mut seen = Value::Null;
    eventually(what, || {
        seen = look(namespace);
        holds(&seen)
    });
    seen
}

#[test]
fn a_machine_is_seen_to_boot_to_work_to_idle_and_to_go() {
    let group = cloud().group("nodes-seen", &json!({"spot": true}));
    group.steer(&json!({"boot_seconds": 4}));
    let namespace = namespace(&group);
    let seen = look(&namespace);
    assert_eq!((&seen["state"], &seen["desired_size"], &seen["booting"]), (&json!("empty"), &json!(0), &json!(0)), "{seen:#}");
    namespace.submit(&["-s", "nodes-seen", "--template", "template.json"]);
    let seen = until(&namespace, "a machine that boots", |seen| seen["booting"] == 1);
    assert_eq!(
        (&seen["state"], &seen["desired_size"], &seen["ready"], &seen["jobs_waiting"]),
        (&json!("scaling_up"), &json!(1), &json!(0), &json!(1)),
        "{seen:#}"
    );
    let seen = until(&namespace, "a busy machine", |seen| seen["busy"] == 1);
    assert_eq!((&seen["spot"], &seen["jobs_running"], &seen["machines"][0]["state"]), (&json!(true), &json!(1), &json!("busy")), "{seen:#}");
    until(&namespace, "an idle machine", |seen| seen["idle"] == 1);
    let seen = until(&namespace, "when it goes", |seen| !seen["machines"][0]["goes"].is_null());
    assert_eq!(seen["idle"], 1, "{seen:#}");
    until(&namespace, "an empty group", |seen| seen["state"] == "empty");

    let output = namespace.sandbox.command(["nodes", "--history", "30m", "-o", "json"]).exits(0);
    let seen = output.json();
    let history = &seen["node_groups"][0];
    let series: Vec<&Value> = history["series"].as_array().unwrap().iter().map(|point| &point["machines"]).collect();
    assert_eq!(series, [0, 1, 0], "it came and went: {seen:#}");
    assert_eq!(
        (&history["source"], &history["launches"], &history["terminations"]),
        (&json!("scaling_activities"), &json!(1), &json!(1)),
        "{seen:#}"
    );
    assert!(history["machine_seconds"].as_u64().unwrap() >= 4, "{seen:#}");
    let chart = namespace.sandbox.command(["nodes", "--history", "10m"]).exits(0).text();
    assert!(chart.contains("1 started · 1 gone") && chart.contains("┤") && chart.contains('█'), "{chart}");
}

#[test]
fn a_launch_that_fails_is_shown_with_its_cause() {
    let group = cloud().group("nodes-fail", &json!({"spot": true}));
    group.steer(&json!({"failure": "spot-capacity"}));
    let namespace = namespace(&group);
    namespace.submit(&["-s", "nodes-fail"]);
    let seen = until(&namespace, "a failing group", |seen| seen["state"] == "failing");
    assert_eq!(seen["hindrances"][0]["reason"], "Capacity.Spot", "{seen:#}");
    drop(namespace.sandbox.command(["nodes"]).exits(0).says(&["nodes-fail: the cloud has no spot machine"]));
    let history = namespace.sandbox.command(["nodes", "--history", "10m", "-o", "json"]).exits(0).json();
    assert!(!history["node_groups"][0]["failures"].as_array().unwrap().is_empty(), "{history:#}");
}

#[test]
fn without_access_to_the_account_the_autoscaler_tells() {
    let group = cloud().group("nodes-blind", &json!({}));
    group.steer(&json!({"boot_seconds": 4}));
    let mut namespace = namespace(&group);
    namespace.sandbox.unset("AWS_ACCESS_KEY_ID").unset("AWS_SECRET_ACCESS_KEY");
    let seen = until(&namespace, "the autoscaler's figures", |seen| seen["max_size"].is_u64());
    assert_eq!((&seen["state"], &seen["desired_size"]), (&json!("empty"), &json!(0)), "{seen:#}");
    namespace.submit(&["-s", "nodes-blind", "--template", "template.json"]);
    until(&namespace, "a machine that boots", |seen| seen["state"] == "scaling_up" && seen["booting"] == 1);
    until(&namespace, "a busy machine", |seen| seen["busy"] == 1 && seen["state"] == "steady");
    let unknown = namespace.sandbox.command(["nodes", "-o", "json"]).exits(0).json()["unknown"].to_string();
    assert!(unknown.contains("the autoscaler's figures"), "{unknown}");
    let history = namespace.sandbox.command(["nodes", "--history", "10m", "-o", "json"]).exits(0).json();
    assert_eq!(history["node_groups"][0]["source"], "cluster", "{history:#}");
}

#[test]
fn a_denied_call_is_told_and_the_rest_is_shown() {
    let group = cloud().group("nodes-deny", &json!({}));
    let namespace = namespace(&group);
    namespace.refuse("access-denied", &json!({"actions": ["DescribeScalingActivities"]}));
    let output = namespace.sandbox.command(["nodes", "-o", "json"]).exits(0);
    let seen = output.json();
    assert_eq!(seen["node_groups"][0]["desired_size"], 0, "{seen:#}");
    assert!(seen["unknown"].to_string().contains("DescribeScalingActivities"), "{seen:#}");
}
