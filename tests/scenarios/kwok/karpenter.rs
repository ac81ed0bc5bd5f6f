//! NodePools of the real Karpenter: machines from 0 and back, and why a job waits for one.

use serde_json::{Value, json};

use crate::common::{
    cluster::{Namespace, eventually},
    karpenter::{Pool, karpenter},
};

/// Returns a namespace with a flow and a template by which pods run for this long.
fn namespace(run: &str) -> Namespace {
    let namespace = karpenter().cluster.namespace();
    namespace.sandbox.write("flow.py", "print('hello')\n");
    namespace.template(&json!({"kwok.test/run": run, "kwok.test/log": "hello from the pool\n"}));
    namespace
}

/// Submits detached to the size of this pool and returns the name.
fn submit(namespace: &Namespace, pool: &Pool) -> String {
    let submit = ["submit", "-d", "-o", "name", "-s", &pool.name, "--template", "template.json", "flow.py"];
    namespace.sandbox.command(submit).exits(0).text().trim().to_owned()
}

/// Asks `why` until the job waits for `reason`, and returns the answer.
#[track_caller]
fn why(namespace: &Namespace, name: &str, reason: &str) -> Value {
    let mut last = Value::Null;
    let mut tries = 0;
    while last["reason"] != json!(reason) {
        last = namespace.sandbox.command(["why", name, "-o", "json"]).exits(0).json();
        tries += 1;
        assert!(tries < 120, "never {reason}: {last:#}");
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    assert!(!last["evidence"].as_array().unwrap().is_empty(), "no evidence: {last:#}");
    last
}

#[test]
fn from_zero_and_back() {
    let pool = karpenter().pool(&json!({"cpu": 8}));
    let namespace = namespace("5s");
    pool.map(&namespace, "cpu: 2, memory: 4Gi");
    assert_eq!(pool.objects("nodes"), Vec::<Value>::new());
    let mut running = namespace.sandbox.start(["submit", "-s", &pool.name, "--template", "template.json", "flow.py"]);
    eventually("a machine", || pool.objects("nodeclaims").len() == 1);
    running.until("running");
    let nodes = pool.objects("nodes");
    let pods = namespace.objects("pods");
    assert_eq!((nodes.len(), pods.len()), (1, 1));
    assert_eq!(pods[0]["spec"]["nodeName"], nodes[0]["metadata"]["name"]);
    let output = running.finish().exits(0);
    assert_eq!(output.text(), "hello from the pool\n");
    eventually("the node's end", || pool.objects("nodes").is_empty() && pool.objects("nodeclaims").is_empty());
    let job = &namespace.objects("jobs")[0];
    assert_eq!(job["status"]["succeeded"], 1, "the node's end takes nothing from the record: {job:#}");
}
