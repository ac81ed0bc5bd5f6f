//! Why a pod gets no node, or does not start on it: each cause brought about on the real control plane.

use serde_json::json;

use crate::common::cluster::{Namespace, eventually, kwok, proves};

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
fn a_scheduling_gate_holds_the_pod() {
    let namespace = namespace();
    namespace.map(&["small"], "");
    namespace.pod_template(&json!({"spec": {"schedulingGates": [{"name": "example.com/licence"}]}}));
    let name = namespace.submit(&["-s", "small", "--template", "template.json"]);
    let story = namespace.why(&name, "Scheduling.Gated");
    proves(&story, "non-empty scheduling gates", ".spec.schedulingGates");
}

#[test]
fn what_the_scheduler_says_and_sbrun_does_not_know_is_quoted() {
    let namespace = namespace();
    kwok().node("rackless-1", "rackless", "4", "8Gi");
    namespace.map(&["rackless"], "");
    let spread = json!({"maxSkew": 1, "topologyKey": "example.com/rack", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}});
    namespace.pod_template(&json!({"spec": {"topologySpreadConstraints": [spread]}}));
    let name = namespace.submit(&["-s", "rackless", "--template", "template.json"]);
    let story = namespace.why(&name, "Scheduling.Other");
    assert!(story["summary"].as_str().unwrap().contains("didn't match pod topology spread constraints"), "{story:#}");
    proves(&story, "didn't match pod topology spread constraints", "describe pod");
}

#[test]
fn a_claim_that_does_not_exist() {
    let namespace = namespace();
    kwok().node("small-1", "small", "8", "32Gi");
    namespace.map(&["small"], "");
    let volume = json!({"name": "data", "persistentVolumeClaim": {"claimName": "measurements"}});
    namespace.pod_template(&json!({"spec": {"volumes": [volume]}}));
    let name = namespace.submit_unchecked(&["-s", "small", "--template", "template.json"], |_| ());
    let story = namespace.why(&name, "Volume.Missing");
    assert_eq!(story["summary"], "claim `measurements` does not exist", "{story:#}");
    proves(&story, "persistentvolumeclaim \"measurements\" not found", "describe persistentvolumeclaim measurements");
}

#[test]
fn a_volume_in_a_zone_where_the_size_has_no_node() {
    let namespace = namespace();
    let labels = json!({"sbrun.dev/size": "zoned", "topology.kubernetes.io/zone": "us-east-1a"});
    kwok().node_with("zoned-1", &labels, &json!([]), "4", "8Gi");
    namespace.map(&["zoned"], "");
    let (space, modes) = (json!({"storage": "1Gi"}), json!(["ReadWriteOnce"]));
    let zone = json!({"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["us-east-1b"]});
    kwok().apply(&json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": namespace.name},
        "spec": {"capacity": space, "accessModes": modes, "csi": {"driver": "ebs.csi.aws.com", "volumeHandle": "vol-1"},
                 "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [zone]}]}}},
    }));
    namespace.apply(json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "measurements"},
        "spec": {"storageClassName": "", "volumeName": namespace.name, "accessModes": modes, "resources": {"requests": space}},
    }));
    namespace.pod_template(&json!({"spec": {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "measurements"}}]}}));
    let name = namespace.submit(&["-s", "zoned", "--template", "template.json"]);
    let story = namespace.why(&name, "Volume.Zone");
    proves(&story, "PersistentVolume's node affinity", "get persistentvolumeclaims");
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
