//! Whether what a pod refers to exists: Secrets and ConfigMaps with their keys, ServiceAccount, pull secrets, claims.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret, ServiceAccount};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Findings, seen};
use crate::{
    error::{ErrorKind, Result},
    kubernetes::{connect::Cluster, retry::Patience},
    model::launch_plan::{LaunchPlan, SecretSource},
};

/// The kinds of objects that a pod refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Secret,
    ConfigMap,
    ServiceAccount,
    Claim,
}

/// Objects by kind and name, each with the keys that it must have.
pub(super) type References = BTreeMap<(Kind, String), BTreeSet<String>>;

/// Returns what a plan and its template refer to. Optional references are left out.
pub(super) fn references(plan: &LaunchPlan) -> References {
    let mut found = References::new();
    for secret in &plan.secrets {
        if let SecretSource::Reference { secret, key } = &secret.source {
            found.entry((Kind::Secret, secret.clone())).or_default().insert(key.clone());
        }
    }
    for name in &plan.image_pull_secrets {
        found.entry((Kind::Secret, name.clone())).or_default();
    }
    let template = plan.template.as_ref().map(|template| &template["spec"]["template"]["spec"]);
    let account = plan.service_account.as_deref().or_else(|| template.and_then(|spec| spec["serviceAccountName"].as_str()));
    if let Some(account) = account {
        found.entry((Kind::ServiceAccount, account.to_owned())).or_default();
    }
    if let Some(spec) = template {
        for name in spec["imagePullSecrets"].as_array().into_iter().flatten().filter_map(|entry| entry["name"].as_str()) {
            found.entry((Kind::Secret, name.to_owned())).or_default();
        }
        collect(spec, &mut found);
    }
    found
}

/// Adds what any part of a pod's manifest refers to, by the names of its fields.
fn collect(value: &Value, found: &mut References) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(fields) => {
            for (field, value) in fields {
                let kind = match field.as_str() {
                    "secretKeyRef" | "secretRef" | "secret" => Some(Kind::Secret),
                    "configMapKeyRef" | "configMapRef" | "configMap" => Some(Kind::ConfigMap),
                    "persistentVolumeClaim" => Some(Kind::Claim),
                    _ => None,
                };
                let name = ["name", "secretName", "claimName"].iter().find_map(|name| value[*name].as_str());
                if let (Some(kind), Some(name), false) = (kind, name, value["optional"] == true) {
                    let items = value["items"].as_array().into_iter().flatten();
                    let keys = value["key"].as_str().into_iter().chain(items.filter_map(|item| item["key"].as_str()));
                    found.entry((kind, name.to_owned())).or_default().extend(keys.map(ToOwned::to_owned));
                }
                collect(value, found);
            }
        }
        _ => {}
    }
}

/// Returns a problem for everything that is referred to and missing.
pub(super) async fn check(cluster: &Cluster, plan: &LaunchPlan) -> Result<Findings> {
    let references = references(plan);
    let looks = references.iter().map(|((kind, name), keys)| look(cluster, *kind, name, keys));
    let mut found = Findings::default();
    for findings in join_all(looks).await {
        found.add(findings?);
    }
    Ok(found)
}

async fn look(cluster: &Cluster, kind: Kind, name: &str, keys: &BTreeSet<String>) -> Result<Findings> {
    match kind {
        Kind::Secret => {
            let what = format!("Secret `{name}`");
            if keys.is_empty() {
                return exists::<Secret>(cluster, name, &what, "kubectl create secret …").await;
            }
            let answer = cluster.read(&cluster.api::<Secret>(), name, Patience::START, &format!("reading {what}")).await;
            let keys_of = |secret: &Secret| secret.data.iter().flatten().map(|(key, _)| key.clone()).collect();
            Ok(seen(answer, &what)?.map_or_else(|unknown| unknown, |secret| missing_keys(cluster, &what, secret.as_ref().map(keys_of), keys)))
        }
        Kind::ConfigMap => {
            let what = format!("ConfigMap `{name}`");
            let answer = cluster.read(&cluster.api::<ConfigMap>(), name, Patience::START, &format!("reading {what}")).await;
            let keys_of = |map: &ConfigMap| {
                let binary = map.binary_data.iter().flatten().map(|(key, _)| key.clone());
                map.data.iter().flatten().map(|(key, _)| key.clone()).chain(binary).collect()
            };
            Ok(seen(answer, &what)?.map_or_else(|unknown| unknown, |map| missing_keys(cluster, &what, map.as_ref().map(keys_of), keys)))
        }
        Kind::ServiceAccount => exists::<ServiceAccount>(cluster, name, &format!("ServiceAccount `{name}`"), "kubectl create serviceaccount …").await,
        Kind::Claim => exists::<PersistentVolumeClaim>(cluster, name, &format!("PersistentVolumeClaim `{name}`"), "name an existing claim").await,
    }
}

/// Looks whether an object exists, without reading its content.
async fn exists<K>(cluster: &Cluster, name: &str, what: &str, hint: &str) -> Result<Findings>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let api: Api<K> = cluster.api();
    let doing = format!("reading {what}");
    let answer = cluster.call(crate::kubernetes::retry::Repeat::Read, Patience::START, &doing, || api.get_metadata_opt(name)).await;
    Ok(match seen(answer, what)? {
        Ok(Some(_)) => Findings::default(),
        Ok(None) => absent(cluster, what, hint),
        Err(unknown) => unknown,
    })
}

fn absent(cluster: &Cluster, what: &str, hint: &str) -> Findings {
    let namespace = &cluster.namespace;
    Findings::problem(
        ErrorKind::Rejected,
        format!("{what} does not exist in namespace `{namespace}`"),
        format!("create it ({hint} -n {namespace}) or correct its name"),
    )
}

fn missing_keys(cluster: &Cluster, what: &str, there: Option<BTreeSet<String>>, needed: &BTreeSet<String>) -> Findings {
    let Some(there) = there else { return absent(cluster, what, "kubectl create …") };
    let mut found = Findings::default();
    for key in needed.difference(&there) {
        let known: Vec<String> = there.iter().map(|key| format!("`{key}`")).collect();
        let hint = if known.is_empty() { format!("{what} is empty") } else { format!("{what} has {}", known.join(", ")) };
        found.add(Findings::problem(ErrorKind::Rejected, format!("{what} has no key `{key}`"), hint));
    }
    found
}
