//! From a set-up to the manifests that a cluster needs.

mod access;
mod policy;
mod worker;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    kubernetes::labels,
    model::{instance_map::CONFIG_MAP, setup::Setup},
};

/// The Role of a Prefect worker, and its binding.
pub(super) const WORKER_ROLE: &str = "sbrun-worker";
/// Label of everything that a set-up makes.
const PART_OF: &str = "app.kubernetes.io/part-of";
/// What a container asks for when it does not say it, in a namespace whose quota counts requests.
const LITTLE: [(&str, &str); 2] = [("cpu", "100m"), ("memory", "128Mi")];

/// A part of the set-up that is made of manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The namespace with Pod Security, its ServiceAccounts and its quota.
    Namespace,
    /// Who may do what in it.
    Access,
    /// Seeing the machines, beyond the namespace.
    Nodes,
    /// The admission policy.
    Policy,
    /// The instance map for everybody.
    Map,
    /// The Prefect worker.
    Worker,
}

/// Returns the manifests of some parts, in the order in which they can be applied. `map` are the entries of the map's ConfigMap.
#[must_use]
pub fn manifests(setup: &Setup, parts: &[Part], map: &BTreeMap<String, String>) -> Vec<Value> {
    let order = [Part::Namespace, Part::Access, Part::Nodes, Part::Map, Part::Policy, Part::Worker];
    let of = |part: Part| match part {
        Part::Namespace => namespace(setup),
        Part::Access => access::in_namespace(setup),
        Part::Nodes => access::beyond(setup),
        Part::Policy => policy::manifests(setup),
        Part::Map => vec![config_map(setup, map)],
        Part::Worker => setup.worker.iter().map(|worker| worker::deployment(worker, &setup.namespace)).collect(),
    };
    order.into_iter().filter(|part| parts.contains(part)).flat_map(of).collect()
}

fn namespace(setup: &Setup) -> Vec<Value> {
    let level = setup.pod_security.level();
    let mut namespace = object("v1", "Namespace", None, &setup.namespace, json!({}));
    // Enforcement refuses pods, never Jobs: the warning is what somebody sees who creates a Job.
    for mode in ["enforce", "warn"] {
        namespace["metadata"]["labels"][format!("pod-security.kubernetes.io/{mode}")] = json!(level);
    }
    let mut manifests = vec![namespace];
    let accounts = setup.own_accounts().into_iter();
    manifests.extend(accounts.map(|name| object("v1", "ServiceAccount", Some(&setup.namespace), name, json!({}))));
    if !setup.quota.is_empty() {
        manifests.push(object("v1", "ResourceQuota", Some(&setup.namespace), labels::SBRUN, json!({"spec": {"hard": setup.quota}})));
        manifests.extend(limit_range(setup));
    }
    manifests
}

/// Returns defaults for containers without requests, which a quota on requests would refuse: a sidecar of a template, say.
fn limit_range(setup: &Setup) -> Option<Value> {
    let counted = |resource: &str| setup.quota.keys().any(|key| key.strip_prefix("requests.").unwrap_or(key) == resource);
    let requests: BTreeMap<&str, &str> = LITTLE.into_iter().filter(|(resource, _)| counted(resource)).collect();
    let spec = json!({"spec": {"limits": [{"type": "Container", "defaultRequest": requests}]}});
    (!requests.is_empty()).then(|| object("v1", "LimitRange", Some(&setup.namespace), labels::SBRUN, spec))
}

fn config_map(setup: &Setup, entries: &BTreeMap<String, String>) -> Value {
    object("v1", "ConfigMap", Some(&setup.namespace), CONFIG_MAP, json!({"data": entries}))
}

/// Returns a manifest: what every one has, and what this one has besides.
fn object(api_version: &str, kind: &str, namespace: Option<&str>, name: &str, besides: Value) -> Value {
    let mut manifest = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "labels": {PART_OF: labels::SBRUN}}});
    if let Some(namespace) = namespace {
        manifest["metadata"]["namespace"] = json!(namespace);
    }
    if let (Value::Object(manifest), Value::Object(besides)) = (&mut manifest, besides) {
        manifest.extend(besides);
    }
    manifest
}

#[cfg(test)]
mod tests;
