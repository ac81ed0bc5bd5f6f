//! The Deployment of a Prefect worker: on a machine that stays, with its ServiceAccount's rights and no others.

use serde_json::{Value, json};

use super::object;
use crate::{
    kubernetes::labels,
    model::{
        flow_environment::HOME,
        prefect::pool::{API_URL, credential},
        setup::Worker,
    },
};

/// Name of the Deployment, and of what it is to those who look for it.
const NAME: &str = "prefect-worker";
/// Label by which the pods of a Deployment are its own.
const APP: &str = "app.kubernetes.io/name";
/// Where the worker says that it is well.
const HEALTH_PORT: u16 = 8080;

/// Returns the Deployment of a worker that launches runs in the namespace `jobs`.
pub(super) fn deployment(worker: &Worker, jobs: &str) -> Value {
    let selector = json!({APP: NAME});
    let spec = json!({
        "replicas": 1,
        "selector": {"matchLabels": selector},
        "template": {"metadata": {"labels": selector}, "spec": pod(worker, jobs)},
    });
    object("apps/v1", "Deployment", Some(&worker.namespace), NAME, json!({"spec": spec}))
}

fn pod(worker: &Worker, jobs: &str) -> Value {
    let command =
        ["prefect", "worker", "start", "--type", "kubernetes", "--pool", &worker.pool, "--no-create-pool-if-not-found", "--with-healthcheck"];
    json!({
        "serviceAccountName": worker.account,
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": staying()}]}}},
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": worker.user, "runAsGroup": worker.user, "fsGroup": worker.user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [{
            "name": "worker",
            "image": worker.image,
            "args": command,
            "env": environment(worker, jobs),
            "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}},
            "livenessProbe": {"httpGet": {"path": "/health", "port": HEALTH_PORT}, "initialDelaySeconds": 60, "periodSeconds": 30, "failureThreshold": 4},
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, {"name": "home", "mountPath": HOME}],
        }],
        "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "home", "emptyDir": {}}],
    })
}

/// Returns what a node must be, as far as labels tell: no spot instance, and none that starts for a flow and goes after it.
///
/// `NotIn` holds for nodes without the label, too: each provisioner has its own.
fn staying() -> Value {
    json!([
        {"key": "eks.amazonaws.com/capacityType", "operator": "NotIn", "values": ["SPOT"]},
        {"key": "karpenter.sh/capacity-type", "operator": "NotIn", "values": ["spot"]},
        {"key": labels::SIZE, "operator": "DoesNotExist"},
    ])
}

fn environment(worker: &Worker, jobs: &str) -> Value {
    let mut variables = vec![json!({"name": "HOME", "value": HOME})];
    variables.extend(worker.prefect.api_url.iter().map(|url| json!({"name": API_URL, "value": url.value})));
    variables.extend(credential(&worker.prefect).map(|(name, reference)| json!({"name": name, "valueFrom": {"secretKeyRef": reference}})));
    // Without it the worker watches all namespaces, which it may not.
    variables.push(json!({"name": "PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_NAMESPACES", "value": jobs}));
    Value::Array(variables)
}
