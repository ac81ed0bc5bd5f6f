//! How jobs end when it is not the flow that ends them.

use serde_json::{Value, json};

use crate::common::{
    cluster::{Cluster, Namespace, eventually, kwok},
    sandbox::Running,
};

/// Starts a job that runs for an hour on a node of its own and follows it.
fn follow(node: &str, arguments: &[&str]) -> (Namespace, Running, String) {
    let cluster = kwok();
    cluster.node(node, node, "4", "8Gi");
    let namespace = cluster.namespace();
    namespace.map(&[node], "");
    namespace.template(&json!({"kwok.test/run": "1h"}));
    namespace.sandbox.write("flow.py", "print('hello')\n");
    let mut running =
        namespace.sandbox.start([&["submit", "-s", node, "--template", "template.json", "-o", "json"], arguments, &["flow.py"]].concat());
    running.until("running");
    let pod = namespace.objects("pods")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    (namespace, running, pod)
}

#[track_caller]
fn ends(running: Running, code: i32, outcome: &str, reason: &str) -> Value {
    let output = running.finish().exits(code);
    let report = output.json();
    assert_eq!((&report["outcome"], &report["reason"]), (&json!(outcome), &json!(reason)), "{output}");
    report
}

#[test]
fn cancelled_by_somebody() {
    let (mut namespace, running, _) = follow("cancelled", &[]);
    let name = namespace.objects("jobs")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    namespace.sandbox.set("SBRUN_USER", "bob");
    drop(namespace.sandbox.command(["cancel", &name]).exits(2).says(&["ana", "--yes"]));
    drop(namespace.sandbox.command(["cancel", &name, "--yes", "-m", "wrong day"]).exits(0));
    drop(namespace.sandbox.command(["cancel", &name, "--yes", "-m", "again"]).exits(0)); // the first one's word stands
    let report = ends(running, 143, "cancelled", "Cancelled.ByUser");
    let summary = report["summary"].as_str().unwrap();
    assert!(summary.contains("bob"), "{report:#}");
    assert!(report.to_string().contains("wrong day"), "{report:#}");
    drop(namespace.sandbox.command(["wait", &name]).exits(143));
    assert_eq!(namespace.objects("jobs").len(), 1, "the record stays");
    drop(namespace.sandbox.command(["cancel", &name, "--yes"]).exits(0).says(&["already finished"]));
}

#[test]
fn the_job_is_deleted() {
    let (namespace, running, _) = follow("deleted", &[]);
    namespace.kubectl(&["delete", "jobs", "--all", "--wait=false"]);
    ends(running, 143, "cancelled", "Cancelled.Deleted");
}

#[test]
fn the_node_is_drained() {
    let (namespace, running, pod) = follow("drained", &[]);
    evict(namespace.cluster, &namespace.name, &pod);
    ends(running, 75, "lost", "Lost.Drained");
}

fn evict(cluster: &Cluster, namespace: &str, pod: &str) {
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}});
    let output =
        cluster.kubectl(&["create", "--raw", &format!("/api/v1/namespaces/{namespace}/pods/{pod}/eviction"), "-f", "-"], Some(&eviction.to_string()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_lost_attempt_is_replaced_when_asked_for() {
    let (namespace, mut running, pod) = follow("replaced", &["--infrastructure-retries", "1"]);
    evict(namespace.cluster, &namespace.name, &pod);
    running.until("attempt 2");
    eventually("the second pod", || {
        namespace.objects("pods").iter().any(|other| other["metadata"]["name"] != json!(pod) && other["status"]["phase"] == "Running")
    });
    let second = namespace.objects("pods").iter().find(|other| other["status"]["phase"] == "Running").unwrap()["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    evict(namespace.cluster, &namespace.name, &second);
    let report = ends(running, 75, "lost", "Lost.Drained");
    assert_eq!(report["attempts"], 2, "{report:#}");
}

#[test]
fn a_taint_evicts_it() {
    let (namespace, running, _) = follow("taint-evicted", &[]);
    namespace.cluster.kubectl_ok(&["taint", "node", "taint-evicted", "maintenance=now:NoExecute"]);
    ends(running, 75, "lost", "Lost.TaintEviction");
}

#[test]
fn somebody_of_higher_priority_takes_its_place() {
    let (namespace, running, _) = follow("preempted", &[]);
    namespace.cluster.apply(&json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "urgent"}, "value": 1000}));
    namespace.apply(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "urgent"},
        "spec": {"priorityClassName": "urgent", "nodeSelector": {"sbrun.dev/size": "preempted"},
                 "containers": [{"name": "c", "image": "x", "resources": {"requests": {"cpu": "3950m"}}}]},
    }));
    ends(running, 75, "lost", "Lost.Preempted");
}

#[test]
fn the_node_object_goes() {
    let (namespace, running, _) = follow("node-gone", &[]);
    namespace.cluster.kubectl_ok(&["delete", "node", "node-gone", "--wait=false"]);
    ends(running, 75, "lost", "Lost.NodeGone");
}

#[test]
fn the_node_shuts_down() {
    // No real part here shuts a machine down: this is what the kubelet writes when one does.
    let (namespace, running, pod) = follow("shut-down", &[]);
    let status = json!({"status": {"phase": "Failed", "reason": "Terminated", "message": "Pod was terminated in response to imminent node shutdown.",
        "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": "Pod was terminated in response to imminent node shutdown."}]}});
    namespace.kubectl(&["patch", "pod", &pod, "--subresource=status", "--type=strategic", "-p", &status.to_string()]);
    ends(running, 75, "lost", "Lost.NodeShutdown");
}

#[test]
fn it_runs_too_long() {
    // The pod's own deadline is kept by the kubelet, which kwok does not do: this is what it writes.
    let (namespace, running, pod) = follow("too-long", &["--timeout", "1h"]);
    let status = json!({"status": {"phase": "Failed", "reason": "DeadlineExceeded", "message": "Pod was active on the node longer than the specified deadline"}});
    namespace.kubectl(&["patch", "pod", &pod, "--subresource=status", "--type=strategic", "-p", &status.to_string()]);
    ends(running, 124, "timed_out", "Timeout.Run");
}

#[test]
fn the_lease_ends_a_job_whose_runner_was_killed() {
    let (namespace, running, _) = follow("leased", &["--on-interrupt", "cancel", "--lease", "10s"]);
    std::thread::sleep(std::time::Duration::from_secs(16));
    assert!(namespace.objects("jobs")[0]["status"]["conditions"].is_null(), "the follower keeps it alive");
    running.signal(nix::sys::signal::Signal::SIGKILL);
    drop(running.finish());
    let name = namespace.objects("jobs")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    let output = namespace.sandbox.command(["wait", &name, "-o", "json"]).exits(143);
    assert_eq!(output.json()["reason"], "Cancelled.Lease", "{output}");
}

#[test]
fn sigterm_does_what_was_asked() {
    let (namespace, running, _) = follow("sigterm-cancel", &["--on-interrupt", "cancel"]);
    let start = std::time::Instant::now();
    running.signal(nix::sys::signal::Signal::SIGTERM);
    let output = running.finish().exits(143);
    assert!(start.elapsed().as_secs() < 6, "a CI runner gives 7.5 s");
    assert_eq!(output.json()["outcome"], "cancelled", "{output}");
    eventually("the Job's end", || namespace.objects("jobs")[0]["status"]["conditions"].to_string().contains("Failed"));

    let (namespace, running, _) = follow("sigterm-detach", &["--on-interrupt", "detach"]);
    running.signal(nix::sys::signal::Signal::SIGINT);
    let output = running.finish().exits(130);
    assert_eq!(output.json()["outcome"], "detached", "{output}");
    drop(output.says(&["goes on", "sbrun logs -f"]));
    assert_eq!(namespace.objects("jobs")[0]["status"]["active"], 1);
    drop(namespace.sandbox.command(["cancel", "--yes", namespace.objects("jobs")[0]["metadata"]["name"].as_str().unwrap()]).exits(0));
}

#[test]
fn a_deleted_job_that_nobody_followed_is_unknown_here() {
    let namespace = kwok().namespace();
    drop(namespace.sandbox.command(["wait", "never-was"]).exits(1).says(&["never-was", "sbrun list"]));
}
