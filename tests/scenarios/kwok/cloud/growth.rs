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
