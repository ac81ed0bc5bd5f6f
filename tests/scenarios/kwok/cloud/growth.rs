//! A job gets a machine of its own, and the machine goes again.

use serde_json::json;

use crate::common::{
    cloud::{Group, cloud},
    cluster::eventually,
};

#[test]
fn a_group_at_0_gets_a_machine_for_a_job_and_loses_it() {
    let cloud = cloud();
    let group = cloud.group("from-zero", &json!({"spot": true}));
    let namespace = cloud.namespace();
    namespace.map_groups(&[&group]);
    namespace.template(&json!({"kwok.test/run": "2s"}));
    namespace.sandbox.write("flow.py", "print('hello')\n");
    assert!(group.nodes().is_empty(), "the group rests at 0");

    let running = namespace.sandbox.start(["submit", "-s", "from-zero", "--template", "template.json", "-o", "json", "flow.py"]);
    eventually("a machine", || group.nodes().len() == 1);
    assert_eq!(group.nodes()[0]["metadata"]["labels"]["eks.amazonaws.com/capacityType"], "SPOT");
    let output = running.finish().exits(0);
    assert_eq!(output.json()["outcome"], "succeeded", "{output}");
    eventually("the machine's end", || group.nodes().is_empty() && group.describe()["Instances"] == json!([]));
    let statuses: Vec<_> = group.activities().iter().map(|activity| activity["StatusCode"].clone()).collect();
    assert_eq!(statuses, ["Successful", "Successful"], "a launch and a termination");
}

#[test]
fn a_stopped_autoscaler_grows_nothing() {
    let cloud = cloud();
    let namespace = cloud.namespace_alone();
    let group = cloud.group("unattended", &json!({}));
    namespace.map_groups(&[&group]);
    namespace.template(&json!({"kwok.test/run": "1s"}));
    namespace.sandbox.write("flow.py", "print('hello')\n");
    cloud.end_autoscaler();
    let written = cloud.status()["metadata"]["annotations"].clone();
    let running = namespace.sandbox.start(["submit", "-s", "unattended", "--template", "template.json", "flow.py"]);
    eventually("the job", || !namespace.objects("pods").is_empty());
    std::thread::sleep(std::time::Duration::from_secs(5));
    assert_eq!(group.describe()["DesiredCapacity"], 0);
    assert_eq!(cloud.status()["metadata"]["annotations"], written, "its status is old");
    cloud.start_autoscaler();
    running.finish().success();
}

#[test]
fn machines_join_as_ordered() {
    let group = |name: &str, order: &serde_json::Value| {
        let group = cloud().group(name, &json!({"cluster": null}));
        group.steer(order).resize(1);
        group
    };
    let never = group("never-joins", &json!({"never_join": true}));
    let unready = group("never-ready", &json!({"never_ready": true}));
    let late = group("joins-late", &json!({"join_seconds": 4}));
    let tainted = group("starts-up", &json!({"start_up_taints": {"startup-taint.cluster-autoscaler.kubernetes.io/gpu": "x:NoSchedule"}}));
    let small = group("is-smaller", &json!({"allocatable": {"memory": "10Gi"}, "node_labels": {"team": "ml"}}));
    eventually("the machine that joins late", || late.nodes().len() == 1);
    eventually("the other machines", || [&unready, &tainted, &small].iter().all(|group| group.nodes().len() == 1));
    assert!(never.nodes().is_empty() && never.describe()["Instances"][0]["LifecycleState"] == "InService");
    let is_ready = |group: &Group| group.nodes()[0]["status"]["conditions"].to_string().contains("\"status\":\"True\",\"type\":\"Ready\"");
    eventually("the readiness of the others", || [&late, &tainted, &small].iter().all(|group| is_ready(group)));
    assert!(!is_ready(&unready));
    assert!(tainted.nodes()[0]["spec"]["taints"].to_string().contains("startup-taint"));
    assert_eq!(small.nodes()[0]["status"]["allocatable"]["memory"], "10Gi");
    assert_eq!(small.nodes()[0]["metadata"]["labels"]["team"], "ml");

    let node = small.nodes()[0]["metadata"]["name"].clone();
    small.lose("spot-interruption");
    eventually("the replacement's node", || matches!(small.nodes().as_slice(), [only] if only["metadata"]["name"] != node));
}
