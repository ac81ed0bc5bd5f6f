//! `sbrun doctor` on a real API server: what it sees of rights, autoscaler and admission.

use serde_json::{Value, json};

use crate::common::{
    cluster::{eventually, kwok},
    sandbox::Output,
};

/// Returns what a look found wrong, each as `severity code`, without what nobody set up in a test: flags and admission policy.
pub(super) fn problems(output: &Output) -> Vec<String> {
    let document = output.json();
    let findings = document["findings"].as_array().unwrap();
    let words = |finding: &Value| format!("{} {}", finding["severity"].as_str().unwrap(), finding["code"].as_str().unwrap());
    let usual = ["ok ", "warning Map.Cluster", "unknown Autoscaler.Flags", "warning Admission.Rules", "warning Group.Balance"];
    findings.iter().map(words).filter(|words| !usual.iter().any(|usual| words.starts_with(usual))).collect()
}

#[test]
fn without_rights_everything_is_unknown_or_said_to_be_missing() {
    let cluster = kwok();
    let mut namespace = cluster.namespace();
    namespace
        .sandbox
        .write("instance-map.yaml", "version: 1\ndefaults: {image: x}\nsizes:\n  small: {node_group: g, footprint: {cpu: 1, memory: 1Gi}}\n");
    namespace.sandbox.set("KUBECONFIG", cluster.ready["powerless_kubeconfig"].as_str().unwrap());
    namespace.sandbox.set("AWS_EC2_METADATA_DISABLED", "true").set("AWS_REGION", "us-east-1");
    let output = namespace.sandbox.command(["doctor"]).exits(78).says(&["unknown"]);
    for text in ["you may not list nodes", "there are no AWS credentials", "you may not create, get, list, watch, patch or delete `jobs`"] {
        assert!(output.text().contains(text), "{text}\n{output}");
    }
    assert!(!output.text().contains("ScaleUp.AutoscalerDown"), "what cannot be seen is not down\n{output}");
}

#[test]
fn the_autoscaler_is_judged_by_its_deployment() {
    let cluster = kwok();
    let container = json!({"name": "ca", "image": "registry.k8s.io/autoscaling/cluster-autoscaler:v1.30.0", "command": ["./cluster-autoscaler", "--expander=random"]});
    let labels = json!({"app": "cluster-autoscaler"});
    cluster.apply(&json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "cluster-autoscaler", "namespace": "kube-system"},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}},
    }));
    let namespace = cluster.namespace();
    namespace
        .sandbox
        .write("instance-map.yaml", "version: 1\ndefaults: {image: x}\nsizes:\n  small: {node_group: g, footprint: {cpu: 1, memory: 1Gi}}\n");
    let found = namespace.sandbox.command(["doctor", "-o", "json"]).exits(78).json();
    let of = |code: &str| found["findings"].as_array().unwrap().iter().find(|finding| finding["code"] == code).cloned().unwrap_or_default();
    assert_eq!(of("Autoscaler.Runs")["message"], "its Deployment has 0 replicas");
    assert!(of("Autoscaler.Version")["message"].as_str().unwrap().starts_with("it is of version 1.30, the cluster of 1."), "{found:#}");
    assert_eq!(of("Autoscaler.Flags")["severity"], "warning");
    cluster.kubectl_ok(&["-n", "kube-system", "delete", "deployment", "cluster-autoscaler"]);
}

#[test]
fn a_policy_that_does_not_know_a_size_is_found() {
    let cluster = kwok();
    let namespace = cluster.namespace();
    let map = |sizes: &str| format!("version: 1\ndefaults: {{image: x}}\nsizes:\n{sizes}");
    let small = "  small: {footprint: {cpu: 1, memory: 1Gi}}\n";
    namespace.sandbox.write("instance-map.yaml", map(small));
    let codes = || problems(&namespace.sandbox.command(["doctor", "-o", "json"]));
    let ruled = || namespace.sandbox.command(["doctor", "-o", "name"]).text();
    assert!(ruled().contains("Admission.Rules"), "nothing keeps the rules yet");
    drop(namespace.sandbox.command(["setup", "policy", "--apply", "--yes"]).exits(0));
    eventually("the policy", || !ruled().contains("Admission.Rules"));
    assert_eq!(codes(), ["warning Size.Group"]);
    namespace.sandbox.write("instance-map.yaml", map(&format!("{small}  large: {{footprint: {{cpu: 2, memory: 2Gi}}}}\n")));
    assert_eq!(codes(), ["error Admission.Size", "warning Size.Group", "warning Size.Group"]);
    let output = namespace.sandbox.command(["doctor"]).exits(78);
    assert!(output.text().contains("size large: the cluster refuses its jobs: a Job runs on the machines of one size"), "{output}");
}
