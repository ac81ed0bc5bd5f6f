//! Why a job is not running yet: each cause brought about on the real control plane.

use serde_json::{Value, json};

use crate::common::{
    cluster::{Namespace, eventually, kwok},
    sandbox::noise,
};

fn namespace() -> Namespace {
    kwok().namespace()
}

#[test]
fn no_node_carries_the_labels() {
    let namespace = namespace();
    kwok().node("some-other", "some-other", "4", "8Gi");
    namespace.map(&["nowhere"], "");
    let name = namespace.submit(&["-s", "nowhere"]);
    let story = namespace.why(&name, "Scheduling.NoSuchGroup");
    assert!(story["summary"].as_str().unwrap().contains("sbrun.dev/size"), "{story:#}");
    drop(namespace.sandbox.command(["cancel", &name]).exits(0));
}

#[test]
fn it_never_fits() {
    let namespace = namespace();
    kwok().node("tiny-1", "tiny", "1", "1Gi");
    namespace.sandbox.write(
        "instance-map.yaml",
        "version: 1\ndefaults: {image: x}\nsizes:\n  tiny:\n    footprint: {cpu: 100m, memory: 4Gi}\n    node_selector: {sbrun.dev/size: tiny}\n    tolerations: []\n",
    );
    namespace.sandbox.write("flow.py", "print('hello')\n");
    let output = namespace.sandbox.command(["submit", "-s", "tiny", "flow.py"]).exits(78).says(&["4 GiB", "1 GiB"]);
    assert!(output.took.as_secs() < 20, "waiting cannot mend it");
    eventually("the Job's end", || namespace.objects("pods").iter().all(|pod| pod["status"]["phase"] != "Pending"));
}

#[test]
fn a_taint_is_not_tolerated() {
    let namespace = namespace();
    kwok().node_with(
        "tainted-1",
        &json!({"sbrun.dev/size": "tainted"}),
        &json!([{"key": "team", "value": "ml", "effect": "NoSchedule"}]),
        "4",
        "8Gi",
    );
    namespace.map(&["tainted"], "");
    let name = namespace.submit(&["-s", "tainted"]);
    let story = namespace.why(&name, "Scheduling.Taint");
    assert!(story["next"].to_string().contains("team"), "the toleration to add: {story:#}");
}

#[test]
fn the_nodes_are_full() {
    let namespace = namespace();
    kwok().node("full-1", "full", "1", "256Mi");
    namespace.map(&["full"], "");
    namespace.template(&json!({"kwok.test/run": "1h"}));
    let first = namespace.submit(&["-s", "full", "--template", "template.json"]);
    let second = namespace.submit(&["-s", "full", "--template", "template.json"]);
    let third = namespace.submit(&["-s", "full", "--template", "template.json"]);
    let waiting: Vec<&String> = [&first, &second, &third].into_iter().collect();
    let story = namespace.why(waiting[2], "Scheduling.Insufficient");
    assert!(story.to_string().contains("ana"), "who runs there: {story:#}");
}

#[test]
fn a_cordoned_node() {
    let namespace = namespace();
    kwok().node("cordoned-1", "cordoned", "4", "8Gi");
    kwok().kubectl_ok(&["cordon", "cordoned-1"]);
    namespace.map(&["cordoned"], "");
    let name = namespace.submit(&["-s", "cordoned"]);
    namespace.why(&name, "Scheduling.Cordoned");
}

#[test]
fn a_node_that_is_not_ready() {
    let namespace = namespace();
    kwok().apply(&json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": "unready-1", "labels": {"sbrun.dev/size": "unready"}, "annotations": {"kwok.x-k8s.io/node": "fake", "kwok.test/ready": "false"}},
        "spec": {"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]},
        "status": {"capacity": {"cpu": "4", "memory": "8Gi", "pods": "10"}, "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"},
                   "conditions": [{"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": "container runtime is down"}]},
    }));
    namespace.map(&["unready"], "");
    let name = namespace.submit(&["-s", "unready"]);
    namespace.why(&name, "Node.NotReady");
}

#[test]
fn a_quota_that_can_never_hold_it_rejects() {
    let namespace = namespace();
    namespace
        .apply(json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"}, "spec": {"hard": {"requests.memory": "64Mi"}}}));
    namespace.map(&["small"], "");
    namespace.sandbox.write("flow.py", "print('hello')\n");
    let output = namespace.sandbox.command(["submit", "-s", "small", "flow.py"]).exits(78);
    drop(output.says(&["team", "64"]));
}

#[test]
fn a_quota_that_is_used_up_makes_it_wait() {
    let namespace = namespace();
    kwok().node("small-1", "small", "8", "32Gi");
    namespace
        .apply(json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"}, "spec": {"hard": {"requests.memory": "200Mi"}}}));
    eventually("the quota's status", || namespace.objects("resourcequotas")[0]["status"]["hard"].is_object());
    namespace.map(&["small"], "");
    namespace.template(&json!({"kwok.test/run": "1h"}));
    let first = namespace.submit(&["-s", "small", "--template", "template.json"]);
    eventually("the first pod", || namespace.objects("pods").len() == 1);
    let second = namespace.submit(&["-s", "small", "--template", "template.json"]);
    let story = namespace.why(&second, "Rejected.Quota");
    assert_eq!(story["outcome"], Value::Null, "it may fit later: {story:#}");
    drop(namespace.sandbox.command(["cancel", &first, &second]).exits(0));
}

#[test]
fn pod_security_refuses_the_pod() {
    let namespace = kwok().namespace_with(&json!({"pod-security.kubernetes.io/enforce": "restricted"}));
    namespace.map(&["small"], "  run_as_user: image\n");
    namespace.sandbox.write("flow.py", "print('hello')\n");
    let output = namespace.sandbox.command(["submit", "-s", "small", "-o", "json", "flow.py"]).exits(78);
    assert_eq!(output.json()["reason"], "Rejected.PodSecurity", "{output}");
}

#[test]
fn a_service_account_that_does_not_exist() {
    let namespace = namespace();
    namespace.map(&["small"], "  service_account: nobody-has-this\n");
    namespace.sandbox.write("flow.py", "print('hello')\n");
    drop(namespace.sandbox.command(["submit", "-s", "small", "flow.py"]).exits(78).says(&["nobody-has-this"]));
    assert!(namespace.objects("jobs").is_empty(), "it was known before");
}

#[test]
fn no_node_in_time() {
    let namespace = namespace();
    namespace.map(&["nowhere"], "");
    namespace.sandbox.write("flow.py", "print('hello')\n");
    let output = namespace.sandbox.command(["submit", "-s", "nowhere", "--pending-timeout", "3s", "-o", "json", "flow.py"]).exits(75);
    let report = output.json();
    assert_eq!((&report["outcome"], &report["reason"]), (&json!("no_node"), &json!("Timeout.Pending")), "{report:#}");
    assert!(report.to_string().contains("sbrun.dev/size"), "the last waiting cause is carried: {report:#}");
    assert!(
        namespace.objects("pods").iter().all(|pod| pod["status"]["phase"] == "Failed" || !pod["metadata"]["deletionTimestamp"].is_null()),
        "nothing runs any more"
    );
    drop(namespace.sandbox.command(["wait", report["name"].as_str().unwrap()]).exits(75));
}

#[test]
fn an_image_that_cannot_be_had_is_told_in_the_kubelets_words() {
    let namespace = namespace();
    kwok().node("small-1", "small", "8", "32Gi");
    namespace.map(&["small"], "");
    namespace.sandbox.write("flow.py", "print('hello')\n");
    namespace.template(&json!({
        "kwok.test/never-start": "true", "kwok.test/waiting-reason": "ErrImagePull",
        "kwok.test/waiting-message": "failed to pull and unpack image \"x:1\": failed to resolve reference \"x:1\": x:1: not found",
    }));
    let output = namespace.sandbox.command(["submit", "-s", "small", "--template", "template.json", "-o", "json", "flow.py"]).exits(78);
    assert_eq!(output.json()["reason"], "Image.NotFound", "{output}");
}

#[test]
fn a_submission_that_died_half_way_is_shown_and_cleaned() {
    let namespace = namespace();
    namespace.map(&["small"], "");
    namespace.sandbox.write("noise.txt", noise(300_000));
    let name = namespace.submit(&["-s", "small"]);
    // What a submitter that was killed after its first request leaves.
    namespace.kubectl(&["delete", "job", &name]);
    let dry = namespace.sandbox.command(["submit", "-s", "small", "--key", "half", "--dry-run", "-o", "json", "flow.py"]).exits(0).json();
    let mut job = dry["items"].as_array().unwrap().iter().find(|item| item["kind"] == "Job").unwrap().clone();
    assert_eq!(job["spec"]["suspend"], true);
    job["metadata"]["namespace"] = json!(namespace.name);
    namespace.apply(job.clone());
    let name = job["metadata"]["name"].as_str().unwrap();
    drop(namespace.sandbox.command(["clean"]).exits(0).says(&["nothing to remove"])); // for a minute it may still be under way
    namespace.why(name, "Submission.Incomplete");
    assert_eq!(namespace.sandbox.command(["clean"]).exits(0).text().trim(), name);
}
