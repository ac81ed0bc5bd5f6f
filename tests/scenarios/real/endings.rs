//! Ends that a real kubelet brings about.

use serde_json::json;

use crate::common::cluster::{proves, real};

#[test]
fn a_flow_that_fills_its_disk() {
    let namespace = real().namespace();
    namespace.sandbox.write(
        "instance-map.yaml",
        "version: 1\ndefaults: {image: 'python:3'}\nsizes:\n  small:\n    footprint: {cpu: 100m, memory: 128Mi}\n    ephemeral_storage: 8Mi\n    \
         node_selector: {sbrun.dev/size: small}\n    tolerations: []\n",
    );
    let flow = "import time\nopen('/var/tmp/scratch', 'wb').write(b'x' * (64 << 20))\nprint('written', flush=True)\ntime.sleep(600)\n";
    namespace.sandbox.write("flow.py", flow);
    let output = namespace.sandbox.command(["submit", "-s", "small", "-o", "json", "flow.py"]).exits(137);
    let report = output.json();
    assert_eq!((&report["outcome"], &report["reason"]), (&json!("out_of_disk"), &json!("Flow.DiskFull")), "{output}");
    proves(&report, "ephemeral", "`ephemeral_storage`");
}

#[test]
fn a_pod_that_the_kubelet_refuses() {
    let namespace = real().namespace();
    namespace.map(&["elsewhere"], "");
    // A pod that was bound in a moment in which its node still had the label.
    let name = namespace.submit_unchecked(&["-s", "elsewhere"], |job| job["spec"]["template"]["spec"]["nodeName"] = json!("n1"));
    let report = namespace.sandbox.command(["wait", &name, "-o", "json"]).exits(75).json();
    assert_eq!((&report["outcome"], &report["reason"]), (&json!("lost"), &json!("Lost.NodeRefused")), "{report:#}");
    proves(&report, "NodeAffinity: Pod was rejected", &format!("sbrun rerun {name}"));
}
