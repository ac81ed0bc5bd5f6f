//! Ends that a real kubelet brings about.

use serde_json::json;

use crate::common::cluster::{eventually, proves, real, strained};

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

#[test]
fn a_node_whose_disk_is_full_evicts_its_pods() {
    let namespace = strained().namespace();
    namespace.sandbox.write(
        "instance-map.yaml",
        "version: 1\ndefaults: {image: 'python:3'}\nsizes:\n  full:\n    footprint: {cpu: 100m, memory: 512Mi}\n    \
         node_selector: {sbrun.dev/size: full}\n    tolerations: []\n",
    );
    // Beside the flow: on the volume of its files.
    let flow = "import time\nopen('scratch', 'wb').write(b'x' * (150 << 20))\nprint('written', flush=True)\ntime.sleep(600)\n";
    namespace.sandbox.write("flow.py", flow);
    let output = namespace.sandbox.command(["submit", "-s", "full", "-o", "json", "flow.py"]).exits(75);
    let report = output.json();
    assert_eq!((&report["outcome"], &report["reason"]), (&json!("lost"), &json!("Lost.Evicted")), "{output}");
    assert_eq!(report["fault"], "infrastructure", "{output}");
    proves(&report, "The node was low on resource: ephemeral-storage", "sbrun rerun");
}

#[test]
fn a_pod_that_was_drained_is_replaced_and_both_outputs_are_there() {
    let namespace = real().namespace();
    namespace.map(&["small"], "");
    let flow = "import os, time\nprint('started', flush=True)\nwhile not os.path.exists('/tmp/stop'):\n    time.sleep(0.1)\nprint('done')\n";
    namespace.sandbox.write("flow.py", flow);
    let mut running = namespace.sandbox.start(["submit", "-s", "small", "--infrastructure-retries", "2", "flow.py"]);
    running.until("started");
    let first = namespace.evict_running();
    running.until("attempt 2 starts");
    eventually("the second start", || running.output() == b"started\nstarted\n");
    let pods = namespace.objects("pods");
    let second = pods.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap()).find(|pod| *pod != first).unwrap();
    namespace.kubectl(&["exec", second, "--", "touch", "/tmp/stop"]);
    let output = running.finish().exits(0).says(&["2 attempts"]);
    assert_eq!(output.text(), "started\nstarted\ndone\n", "{output}");
    assert_eq!(namespace.objects("jobs").len(), 1, "one Job all the while");

    let logs = namespace.sandbox.command(["logs"]).exits(0);
    assert_eq!(logs.text(), "started\nstarted\ndone\n", "{logs}");
    let second = logs.stderr.find("attempt 2 on n1").expect("a line between");
    assert!(logs.stderr.find("attempt 1 on n1").is_some_and(|first| first < second), "{logs}");
    assert_eq!(namespace.sandbox.command(["why", "-o", "json"]).exits(0).json()["attempts"], 2);
    assert_eq!(namespace.sandbox.command(["logs", "--attempt", "1"]).exits(0).text(), "started\n");
}
