//! A job gets a machine of its own, and the machine goes again.

use serde_json::json;

use crate::common::{cloud::cloud, cluster::eventually};

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
