//! How jobs end when it is not the flow that ends them.

use serde_json::{Value, json};

use crate::common::{
    cluster::{Namespace, eventually, kwok, proves, within},
    line::Line,
    sandbox::Running,
};

/// Starts a job that runs for an hour on a node of its own and follows it.
fn follow(node: &str, arguments: &[&str]) -> (Namespace, Running, String) {
    follow_pod(node, &json!({"kwok.test/run": "1h"}), arguments)
}

/// The same with a pod that has these annotations.
fn follow_pod(node: &str, annotations: &Value, arguments: &[&str]) -> (Namespace, Running, String) {
    let cluster = kwok();
    cluster.node(node, node, "4", "8Gi");
    let namespace = cluster.namespace();
    namespace.map(&[node], "");
    namespace.template(annotations);
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
    let fault = match outcome {
        "lost" | "no_node" => json!("infrastructure"),
        "rejected" => json!("request"),
        "cancelled" | "unknown" => json!(null),
        _ => json!("flow"),
    };
    assert_eq!(report["fault"], fault, "{output}");
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
    let (namespace, running, _) = follow("drained", &[]);
    namespace.evict_running();
    ends(running, 75, "lost", "Lost.Drained");
}

#[test]
fn a_lost_attempt_is_replaced_when_asked_for() {
    let (namespace, mut running, _) = follow("replaced", &["--infrastructure-retries", "1"]);
    let first = namespace.evict_running();
    running.until("attempt 2");
    eventually("the second pod", || {
        namespace.objects("pods").iter().any(|other| other["metadata"]["name"] != json!(first) && other["status"]["phase"] == "Running")
    });
    namespace.evict_running();
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

/// Writes into a pod's status what a kubelet writes there in a case that no real part here can bring about.
pub(super) fn kubelet_writes(namespace: &Namespace, pod: &str, status: &Value) {
    let status = json!({"status": status}).to_string();
    namespace.kubectl(&["patch", "pod", pod, "--subresource=status", "--type=strategic", "-p", &status]);
}

/// Returns the status of a pod whose flow ended with this code a moment ago.
pub(super) fn ended_with(code: i32) -> Value {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let state = json!({"terminated": {"exitCode": code, "reason": "Error", "startedAt": now, "finishedAt": now}});
    let container = json!({"name": "flow", "image": "python:3", "imageID": "", "ready": false, "restartCount": 0, "state": state});
    json!({"phase": "Failed", "containerStatuses": [container]})
}

#[test]
fn the_flow_is_killed_and_only_then_its_machine_is_seen_to_be_gone() {
    let followed =
        [("killed-first", 137), ("terminated-first", 143)].map(|(node, code)| (node, code, follow(node, &["--infrastructure-retries", "1"])));
    for (_, code, (namespace, _, pod)) in &followed {
        kubelet_writes(namespace, pod, &ended_with(*code));
    }
    for (node, code, (namespace, running, _)) in followed {
        // The Job is over, and its follower waits for news of the node.
        eventually("the Job's end", || namespace.objects("jobs")[0]["status"]["conditions"].to_string().contains("Failed"));
        namespace.cluster.kubectl_ok(&["delete", "node", node, "--wait=false"]);
        let report = ends(running, 75, "lost", "Lost.NodeGone");
        assert_eq!((&report["attempts"], &report["exit_code"]), (&json!(1), &json!(75)), "{code}: {report:#}");
    }
}

#[test]
fn the_kubelet_is_silent_for_good() {
    // Its pod is told to go after a while, and nobody is there to do it.
    let (namespace, running, _) =
        follow_pod("silent", &json!({"kwok.test/run": "1h", "kwok.test/stop-delay": "1h"}), &["--infrastructure-retries", "1"]);
    let name = namespace.objects("jobs")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    let node = |arguments: &[&str]| namespace.cluster.kubectl_ok(arguments);
    node(&["annotate", "node", "silent", "kwok.test/ready=false"]);
    // As the node controller writes it, only earlier.
    let since = (jiff::Timestamp::now() - jiff::SignedDuration::from_mins(7)).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let words = "Kubelet stopped posting node status.";
    let ready = json!({"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": words, "lastTransitionTime": since});
    node(&["patch", "node", "silent", "--subresource=status", "--type=strategic", "-p", &json!({"status": {"conditions": [ready]}}).to_string()]);
    let report = ends(running, 76, "unknown", "Unknown.NodeUnreachable");
    proves(&report, words, "kubectl delete node silent");
    assert_eq!(namespace.objects("pods").len(), 1, "no second pod while the first may still run");
    // The advice: once the machine is surely gone, its node is deleted.
    node(&["delete", "node", "silent", "--wait=false"]);
    let replaced = || namespace.objects("pods").iter().any(|pod| pod["spec"]["nodeName"].is_null());
    within(std::time::Duration::from_secs(150), "the second pod", replaced);
    let story = namespace.why(&name, "Scheduling.NoSuchGroup");
    assert_eq!(story["attempts"], 2, "{story:#}");
    drop(namespace.sandbox.command(["cancel", &name, "--yes"]).exits(0));
}

/// Returns the status of a pod that the kubelet ended for the sake of its node.
fn terminated_by_kubelet(reason: &str, message: &str) -> Value {
    let disruption = json!({"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": message});
    json!({"phase": "Failed", "reason": reason, "message": message, "conditions": [disruption]})
}

#[test]
fn the_node_shuts_down() {
    let (namespace, running, pod) = follow("shut-down", &[]);
    let words = "Pod was terminated in response to imminent node shutdown.";
    kubelet_writes(&namespace, &pod, &terminated_by_kubelet("Terminated", words));
    let report = ends(running, 75, "lost", "Lost.NodeShutdown");
    proves(&report, words, "sbrun rerun");
}

#[test]
fn the_node_runs_short() {
    let (namespace, running, pod) = follow("short", &[]);
    let words = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 61204Ki. Container flow was using 412Mi, request is 128Mi, \
                 has larger consumption of memory. ";
    kubelet_writes(&namespace, &pod, &terminated_by_kubelet("Evicted", words));
    let report = ends(running, 75, "lost", "Lost.Evicted");
    proves(&report, "low on resource: memory", "sbrun rerun");
}

#[test]
fn the_kubelet_lost_the_container() {
    let (namespace, running, pod) = follow("container-lost", &[]);
    let words = "The container could not be located when the pod was terminated";
    let state = json!({"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown", "message": words, "startedAt": null, "finishedAt": null}});
    let container = json!({"name": "flow", "image": "python:3", "imageID": "", "ready": false, "restartCount": 0, "state": state});
    kubelet_writes(&namespace, &pod, &json!({"phase": "Failed", "containerStatuses": [container]}));
    let report = ends(running, 75, "lost", "Lost.Other");
    assert_eq!(report["flow_exit_code"], Value::Null, "137 is made up: {report:#}");
    proves(&report, words, "sbrun rerun");
}

#[test]
fn it_runs_too_long() {
    // The pod's own deadline is kept by the kubelet, which kwok does not do.
    let (namespace, running, pod) = follow("too-long", &["--timeout", "1h"]);
    let words = "Pod was active on the node longer than the specified deadline";
    kubelet_writes(&namespace, &pod, &json!({"phase": "Failed", "reason": "DeadlineExceeded", "message": words}));
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
fn a_job_that_went_while_nobody_could_look() {
    let mut namespace = kwok().namespace();
    let server = kwok().ready["server"].as_str().unwrap().strip_prefix("https://").unwrap();
    let line = Line::to(server);
    let kubeconfig = std::fs::read_to_string(kwok().kubeconfig()).unwrap().replace(server, &line.address);
    let path = namespace.sandbox.write("kubeconfig", kubeconfig);
    namespace.sandbox.set("KUBECONFIG", path.to_string_lossy());
    namespace.map(&["nowhere"], "");
    namespace.sandbox.write("flow.py", "print('hello')\n");
    let mut running = namespace.sandbox.start(["submit", "-s", "nowhere", "-o", "json", "flow.py"]);
    running.until("no node carries");
    line.cut();
    namespace.kubectl(&["delete", "jobs", "--all"]);
    eventually("the pod's end", || namespace.objects("pods").is_empty());
    // Of one that was seen half a minute before, sbrun would say that it was deleted while active.
    std::thread::sleep(std::time::Duration::from_secs(31));
    line.mend();
    let report = ends(running, 76, "unknown", "Unknown.JobGone");
    proves(&report, "does not exist any more", "see what the flow left behind");
}

#[test]
fn a_job_of_others_that_failed_and_whose_pod_is_gone() {
    let namespace = kwok().namespace();
    kwok().node("small-1", "small", "8", "32Gi");
    let pod = json!({
        "metadata": {"annotations": {"kwok.test/exit": "3"}},
        "spec": {"restartPolicy": "Never", "nodeSelector": {"sbrun.dev/size": "small"}, "containers": [{"name": "main", "image": "x"}]},
    });
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "nightly"}, "spec": {"backoffLimit": 0, "template": pod}});
    namespace.apply(job);
    eventually("the Job's end", || namespace.objects("jobs")[0]["status"]["conditions"].to_string().contains("Failed"));
    namespace.kubectl(&["delete", "pods", "--all", "--force", "--grace-period=0"]);
    let story = namespace.why("nightly", "Unknown.Other");
    proves(&story, "Job has reached the specified backoff limit", "describe job nightly");
}

#[test]
fn a_deleted_job_that_nobody_followed_is_unknown_here() {
    let namespace = kwok().namespace();
    drop(namespace.sandbox.command(["wait", "never-was"]).exits(1).says(&["never-was", "sbrun list"]));
}
