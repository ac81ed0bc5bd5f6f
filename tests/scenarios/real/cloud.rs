//! Node groups whose machines are real: a kubelet with a containerd of its own for each instance.

use serde_json::json;

use crate::common::{cloud::real_cloud, cluster::eventually};

#[test]
fn a_group_at_0_gets_a_real_machine_for_a_job_and_loses_it() {
    let cloud = real_cloud();
    let group = cloud.group("real-from-zero", &json!({}));
    group.steer(&json!({"boot_seconds": 8}));
    let namespace = cloud.namespace();
    namespace.map_groups(&[&group]);
    namespace.sandbox.write("flow.py", "import time\nprint('hello from a machine', flush=True)\ntime.sleep(2)\n");
    assert!(group.nodes().is_empty(), "the group rests at 0");

    let mut running = namespace.sandbox.start(["submit", "-s", "real-from-zero", "flow.py"]);
    running.until("hello from a machine");
    let nodes = group.nodes();
    assert_eq!(nodes.len(), 1, "{nodes:#?}");
    assert!(nodes[0]["status"]["nodeInfo"]["containerRuntimeVersion"].as_str().unwrap().starts_with("containerd://"), "{nodes:#?}");
    let output = running.finish().exits(0).says(&["scaling up", "booting: machine `i-", "running"]);
    assert_eq!(output.text(), "hello from a machine\n");
    let story = namespace.sandbox.command(["why", "-o", "json"]).exits(0).json();
    let phases: Vec<&str> = story["phases"].as_array().unwrap().iter().map(|start| start["phase"].as_str().unwrap()).collect();
    assert_eq!(phases, ["submitted", "pending", "scaling_up", "booting", "starting", "running", "finished"], "{story:#}");
    eventually("the machine's end", || group.nodes().is_empty() && group.describe()["Instances"] == json!([]));

    let history = ["nodes", "--history", "1h", "--svg", "machines.svg"];
    let document = namespace.sandbox.command([&history[..], &["-o", "json"]].concat()).exits(0).json();
    let machines = &document["node_groups"][0];
    assert_eq!((&machines["launches"], &machines["terminations"]), (&json!(1), &json!(1)), "{document:#}");
    let series: Vec<u64> = machines["series"].as_array().unwrap().iter().map(|point| point["machines"].as_u64().unwrap()).collect();
    assert!(series.contains(&1) && series.last() == Some(&0), "the machine appears and goes: {series:?}");
    let chart = namespace.sandbox.command(history).exits(0).text();
    assert!(chart.contains("1 started · 1 gone"), "{chart}");
    assert!(std::fs::read_to_string(namespace.sandbox.path("machines.svg")).unwrap().contains("<svg"));
}

#[test]
fn a_spot_machine_that_is_taken_takes_its_job_along() {
    let cloud = real_cloud();
    let group = cloud.group("real-taken", &json!({"spot": true, "max": 1}));
    let namespace = cloud.namespace();
    namespace.map_groups(&[&group]);
    namespace.sandbox.write("flow.py", "import os\nprint('working', flush=True)\nos.execvp('sleep', ['sleep', '424242'])\n");
    let mut running = namespace.sandbox.start(["submit", "-s", "real-taken", "-o", "json", "flow.py"]);
    running.until("working");
    let node = group.nodes()[0]["metadata"]["name"].clone();
    eventually("the flow's process", is_sleeping);

    group.suspend("Launch");
    group.lose("spot-interruption");
    eventually("the machine's end", || !group.nodes().iter().any(|other| other["metadata"]["name"] == node));
    assert!(!is_sleeping(), "no process survives its machine");
    let report = running.finish().exits(75).json();
    assert_eq!((&report["outcome"], &report["reason"]), (&json!("lost"), &json!("Lost.SpotReclaimed")), "{report:#}");
    assert!(group.activities()[0]["Cause"].as_str().unwrap().contains("Spot interruption"));
}

/// Returns whether the flow's process is alive: it has a number here, too.
fn is_sleeping() -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok());
    processes.into_iter().any(|command| command == b"sleep\x00424242\x00")
}
