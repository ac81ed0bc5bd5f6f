//! Why a pod that has its node does not start: in the words of a real kubelet.

use serde_json::{Value, json};

use crate::common::cluster::{Namespace, proves, real};

fn namespace() -> Namespace {
    let namespace = real().namespace();
    namespace.map(&["small"], "");
    namespace
}

/// Submits a flow whose pod has this besides, and returns why it waits for `reason`.
#[track_caller]
fn why(spec: &Value, reason: &str) -> Value {
    let namespace = namespace();
    namespace.pod_template(&json!({"spec": spec}));
    let name = namespace.submit(&["-s", "small", "--template", "template.json"]);
    namespace.why(&name, reason)
}

#[test]
fn a_secret_that_is_missing_and_comes_later() {
    let namespace = namespace();
    let name = namespace.submit_unchecked(&["-s", "small", "--secret", "TOKEN=api/token"], |_| ());
    let story = namespace.why(&name, "Config.SecretMissing");
    proves(&story, "secret \"api\" not found", &format!("kubectl -n {} get secrets", namespace.name));
    namespace.apply(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "api"}, "stringData": {"token": "x"}}));
    namespace.sandbox.command(["wait", &name]).exits(0).success();
}

#[test]
fn a_config_map_that_lacks_a_key() {
    let namespace = namespace();
    namespace.apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"daily": "x"}}));
    let items = json!([{"key": "hourly", "path": "hourly"}]);
    namespace.pod_template(&json!({"spec": {
        "volumes": [{"name": "settings", "configMap": {"name": "settings", "items": items}}],
        "containers": [{"name": "flow", "volumeMounts": [{"name": "settings", "mountPath": "/settings"}]}],
    }}));
    let name = namespace.submit_unchecked(&["-s", "small", "--template", "template.json"], |_| ());
    let story = namespace.why(&name, "Config.ConfigMapMissing");
    assert!(story["summary"].as_str().unwrap().contains("`hourly`"), "{story:#}");
    proves(&story, "references non-existent config key: hourly", "get configmaps");
}

#[test]
fn an_image_whose_user_is_root_where_root_is_forbidden() {
    let namespace = real().namespace();
    namespace.map(&["small"], "  run_as_user: image\n");
    namespace.pod_template(&json!({"spec": {"securityContext": {"runAsNonRoot": true}}}));
    namespace.sandbox.write("flow.py", "print('hello')\n");
    let output = namespace.sandbox.command(["submit", "-s", "small", "--template", "template.json", "-o", "json", "flow.py"]).exits(78);
    let report = output.json();
    assert_eq!(report["reason"], "Config.RunAsRoot", "{output}");
    proves(&report, "image will run as root", "run_as_user");
}

#[test]
fn a_container_that_cannot_be_made_from_its_configuration() {
    // A folder below a file.
    let story = why(
        &json!({
            "volumes": [{"name": "authority", "configMap": {"name": "kube-root-ca.crt"}}],
            "containers": [{"name": "flow", "volumeMounts": [{"name": "authority", "mountPath": "/authority", "subPath": "ca.crt/below"}]}],
        }),
        "Config.Other",
    );
    proves(&story, "failed to prepare subPath for volumeMount \"authority\"", "describe pod");
}

#[test]
fn a_volume_that_cannot_be_mounted() {
    // The kubelet mounts only what a container uses.
    let story = why(
        &json!({
            "volumes": [{"name": "scratch", "hostPath": {"path": "/no/such/disk", "type": "Directory"}}],
            "containers": [{"name": "flow", "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]}],
        }),
        "Volume.Mount",
    );
    assert!(story["summary"].as_str().unwrap().starts_with("volume `scratch` cannot be mounted"), "{story:#}");
    proves(&story, "hostPath type check failed: /no/such/disk is not a directory", "describe pod");
}

#[test]
fn a_pod_for_which_the_runtime_makes_no_sandbox() {
    real().apply(&json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "sealed"}, "handler": "kata"}));
    let story = why(&json!({"runtimeClassName": "sealed"}), "Container.Creating");
    proves(&story, "no runtime for \"kata\" is configured", "describe pod");
}
