//! When the cloud has no machine, or takes one back.

use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{
    cloud::{CloudNamespace, Group, SIZE, cloud},
    cluster::eventually,
};

fn namespace(groups: &[&Group]) -> CloudNamespace {
    let namespace = cloud().namespace();
    namespace.map_groups(groups);
    namespace.template(&json!({"kwok.test/run": "2s"}));
    namespace.sandbox.write("flow.py", "print('hello')\n");
    namespace
}

/// Writes a map in which the first group falls back on the second, with prices.
fn map_with_fallback(namespace: &CloudNamespace, groups: [&Group; 2]) {
    let size = |group: &Group, more: &str| {
        let name = &group.name;
        format!(
            "  {name}:\n    node_group: {name}\n    footprint: {{cpu: 1, memory: 1Gi}}\n    node_selector: {{{SIZE}: {name}}}\n    tolerations: [{{key: {SIZE}, \
             operator: Exists}}]\n{more}"
        )
    };
    let [lacking, other] = groups;
    let first = size(lacking, &format!("    price_per_hour: 0.42\n    fallback: {}\n", other.name));
    let second = size(other, "    price_per_hour: 1.0584\n");
    let head = "version: 1\ncluster: {region: us-east-1}\ndefaults: {image: \"python:3\"}\nsizes:\n";
    namespace.sandbox.write("instance-map.yaml", format!("{head}{first}{second}"));
}

#[test]
fn each_failure_of_a_launch_has_its_code() {
    for (failure, reason) in [
        ("spot-capacity", "Capacity.Spot"),
        ("on-demand-capacity", "Capacity.OnDemand"),
        ("plain-vcpu-quota", "Capacity.Quota"),
        ("spot-quota", "Capacity.Quota"),
        ("configuration", "Capacity.LaunchConfiguration"),
    ] {
        let group = cloud().group(&format!("fails-{failure}"), &json!({}));
        group.steer(&json!({"failure": failure}));
        let namespace = namespace(&[&group]);
        let name = namespace.submit(&["-s", &group.name]);
        let story = namespace.why(&name, reason);
        assert!(story["evidence"][0]["source"].as_str().unwrap().starts_with("scaling activity"), "AWS's own words: {story:#}");
    }
}

#[test]
fn a_failed_launch_is_told_within_seconds() {
    let group = cloud().group("told-soon", &json!({"spot": true}));
    group.steer(&json!({"failure": "spot-capacity"}));
    let namespace = namespace(&[&group]);
    let mut following = namespace.sandbox.start(["submit", "-s", "told-soon", "-o", "jsonl", "flow.py"]);
    following.until("Capacity.Spot");
    let told = jiff::Timestamp::now();
    let failed: Value = group.activities().into_iter().rfind(|activity| activity["StatusCode"] == "Failed").unwrap();
    let failed: jiff::Timestamp = failed["StartTime"].as_str().unwrap().parse().unwrap();
    let seconds = told.duration_since(failed).as_secs();
    assert!(seconds <= 15, "told {seconds} s after the first failed activity");
    group.steer(&json!({"failure": null}));
    following.finish().exits(0).success();
}

#[test]
fn who_does_not_want_to_wait_is_told_that_it_may_be_run_again() {
    let group = cloud().group("no-patience", &json!({"spot": true}));
    group.steer(&json!({"failure": "spot-capacity"}));
    let namespace = namespace(&[&group]);
    let output = namespace.sandbox.command(["submit", "-s", "no-patience", "--on-no-capacity", "fail", "-o", "json", "flow.py"]).exits(75);
    let report = output.json();
    assert_eq!((&report["outcome"], &report["reason"]), (&json!("no_node"), &json!("Capacity.Spot")), "{output}");
    assert!(output.took < Duration::from_secs(60), "{:?}", output.took);
    assert!(namespace.objects("pods").iter().all(|pod| pod["status"]["phase"] != "Pending"), "nothing is left that could still run");
}

#[test]
fn a_fallback_is_taken_once_and_its_price_is_said() {
    let (lacking, other) = (cloud().group("wanted", &json!({"spot": true})), cloud().group("second-best", &json!({})));
    lacking.steer(&json!({"failure": "spot-capacity"}));
    let namespace = namespace(&[&lacking, &other]);
    map_with_fallback(&namespace, [&lacking, &other]);
    let submit =
        ["submit", "-s", "wanted", "--on-no-capacity", "fallback", "--key", "nightly", "--template", "template.json", "-o", "json", "flow.py"];
    let output = namespace.sandbox.command(submit).exits(0).says(&["taking its fallback second-best", "1.06 an hour instead of 0.42"]);
    let report = output.json();
    assert_eq!((&report["outcome"], &report["size"]), (&json!("succeeded"), &json!("second-best")), "{output}");
    let jobs = namespace.objects("jobs");
    let runs: Vec<&Value> = jobs.iter().map(|job| &job["metadata"]["labels"]["sbrun.dev/run-id"]).collect();
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[0], runs[1], "it is the same run");
    // The same key leads to the verdict, not to a third Job.
    let again = namespace.sandbox.command(submit).exits(0);
    assert_eq!(again.json()["name"], report["name"]);
    assert_eq!(namespace.objects("jobs").len(), 2);
}

#[test]
fn a_size_without_a_fallback_is_refused_before_anything_happens() {
    let group = cloud().group("no-second", &json!({}));
    let namespace = namespace(&[&group]);
    let submit = ["submit", "-s", "no-second", "--on-no-capacity", "fallback", "flow.py"];
    drop(namespace.sandbox.command(submit).exits(78).says(&["size `no-second` has no `fallback`"]));
    assert_eq!(namespace.objects("jobs"), Vec::<Value>::new());
}

#[test]
fn a_spot_machine_that_is_taken_back_is_named() {
    let group = cloud().group("reclaimed", &json!({"spot": true}));
    let namespace = namespace(&[&group]);
    namespace.template(&json!({"kwok.test/run": "10m"}));
    let mut following = namespace.sandbox.start(["submit", "-s", "reclaimed", "--template", "template.json", "-o", "json", "flow.py"]);
    following.until("running");
    // The follower has to have seen the node before it goes.
    eventually("the pod to run", || namespace.objects("pods").iter().any(|pod| pod["status"]["phase"] == "Running"));
    std::thread::sleep(Duration::from_secs(8));
    group.lose("spot-interruption");
    let output = following.finish().exits(75);
    let report = output.json();
    assert_eq!((&report["outcome"], &report["reason"]), (&json!("lost"), &json!("Lost.SpotReclaimed")), "{output}");
}

#[test]
fn an_account_that_throttles_or_refuses_never_breaks_a_submission() {
    for refusal in ["throttling", "expired-token", "internal-failure"] {
        let group = cloud().group(&format!("refused-{refusal}"), &json!({}));
        let namespace = namespace(&[&group]);
        namespace.refuse(refusal, &json!({}));
        let output = namespace.sandbox.command(["submit", "-s", &group.name, "--template", "template.json", "-o", "json", "flow.py"]).exits(0);
        assert_eq!(output.json()["outcome"], "succeeded", "{output}");
        assert!(!namespace.calls().is_empty(), "the account was asked");
        assert!(namespace.calls().len() < 40, "and not hammered: {}", namespace.calls().len());
    }
}

#[test]
fn a_machine_that_is_still_there_is_shown_with_its_size() {
    let group = cloud().group("warm", &json!({}));
    let namespace = namespace(&[&group]);
    let cold = namespace.sandbox.command(["sizes", "-o", "json"]).exits(0).json();
    assert_eq!(cold["sizes"][0]["idle_nodes"], 0, "{cold:#}");
    namespace.sandbox.command(["submit", "-s", "warm", "--template", "template.json", "flow.py"]).exits(0).success();
    eventually("the idle machine to be shown", || {
        let sizes = namespace.sandbox.command(["sizes", "-o", "json"]).exits(0).json();
        sizes["sizes"][0]["idle_nodes"] == 1
    });
    let offline = namespace.sandbox.command(["sizes", "--offline", "-o", "json"]).exits(0).json();
    assert_eq!(offline["sizes"][0]["idle_nodes"], Value::Null, "the map alone does not tell");
}
