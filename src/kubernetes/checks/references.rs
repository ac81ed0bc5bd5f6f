//! Whether what a pod refers to exists: Secrets and ConfigMaps with their keys, ServiceAccount, pull secrets, claims.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
};

use futures::future::join_all;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret, ServiceAccount};
use kube::Api;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Findings, seen};
use crate::{
    error::{ErrorKind, Result},
    kubernetes::{
        connect::Cluster,
        retry::{CallError, Patience, Repeat},
    },
    model::{
        launch_plan::{LaunchPlan, SecretSource},
        suggestion,
    },
};

/// The kinds of objects that a pod refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Secret,
    PullSecret,
    ConfigMap,
    ServiceAccount,
    Claim,
}

impl Kind {
    /// Returns the kind's name in Kubernetes.
    fn name(self) -> &'static str {
        match self {
            Self::Secret | Self::PullSecret => "Secret",
            Self::ConfigMap => "ConfigMap",
            Self::ServiceAccount => "ServiceAccount",
            Self::Claim => "PersistentVolumeClaim",
        }
    }

    /// Returns how to make one called `name`.
    fn creation(self, name: &str) -> String {
        let what = match self {
            Self::Secret => "secret generic",
            Self::PullSecret => "secret docker-registry",
            Self::ConfigMap => "configmap",
            Self::ServiceAccount => "serviceaccount",
            Self::Claim => return "kubectl create -f CLAIM.yaml".to_owned(),
        };
        format!("kubectl create {what} {name}")
    }
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
        found.entry((Kind::PullSecret, name.clone())).or_default();
    }
    let template = plan.template.as_ref().map(|template| &template["spec"]["template"]["spec"]);
    let account = plan.service_account.as_deref().or_else(|| template.and_then(|spec| spec["serviceAccountName"].as_str()));
    if let Some(account) = account {
        found.entry((Kind::ServiceAccount, account.to_owned())).or_default();
    }
    if let Some(spec) = template {
        for name in spec["imagePullSecrets"].as_array().into_iter().flatten().filter_map(|entry| entry["name"].as_str()) {
            found.entry((Kind::PullSecret, name.to_owned())).or_default();
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

async fn look(cluster: &Cluster, kind: Kind, name: &str, needed: &BTreeSet<String>) -> Result<Findings> {
    let what = format!("{} `{name}`", kind.name());
    let doing = format!("reading {what}");
    let there = match kind {
        Kind::Secret if !needed.is_empty() => {
            let secret = cluster.read(&cluster.api::<Secret>(), name, Patience::START, &doing).await;
            secret.map(|secret| secret.map(|secret| secret.data.unwrap_or_default().into_keys().collect()))
        }
        Kind::ConfigMap => {
            let map = cluster.read(&cluster.api::<ConfigMap>(), name, Patience::START, &doing).await;
            let keys = |map: ConfigMap| map.data.unwrap_or_default().into_keys().chain(map.binary_data.unwrap_or_default().into_keys()).collect();
            map.map(|map| map.map(keys))
        }
        Kind::Secret | Kind::PullSecret => existence(cluster, &cluster.api::<Secret>(), name, &doing).await,
        Kind::ServiceAccount => existence(cluster, &cluster.api::<ServiceAccount>(), name, &doing).await,
        Kind::Claim => existence(cluster, &cluster.api::<PersistentVolumeClaim>(), name, &doing).await,
    };
    Ok(match seen(there, &what)? {
        Ok(Some(there)) => missing_keys(&what, &there, needed),
        Ok(None) => {
            let namespace = &cluster.namespace;
            let hint = format!("correct the name, or create it: {} -n {namespace}", kind.creation(name));
            Findings::problem(ErrorKind::Rejected, format!("{what} does not exist in namespace `{namespace}`"), hint)
        }
        Err(unknown) => unknown,
    })
}

/// Looks whether an object exists, without reading its content. It counts as one without keys.
async fn existence<K>(cluster: &Cluster, api: &Api<K>, name: &str, doing: &str) -> Result<Option<BTreeSet<String>>, CallError>
where
    K: Clone + DeserializeOwned + Debug,
{
    let found = cluster.call(Repeat::Read, Patience::START, doing, || api.get_metadata_opt(name)).await;
    found.map(|found| found.map(|_| BTreeSet::new()))
}

fn missing_keys(what: &str, there: &BTreeSet<String>, needed: &BTreeSet<String>) -> Findings {
    let known = suggestion::listed(there.iter().map(String::as_str));
    let hint = if known.is_empty() { format!("{what} is empty") } else { format!("{what} has {known}") };
    let mut found = Findings::default();
    for key in needed.difference(there) {
        found.add(Findings::problem(ErrorKind::Rejected, format!("{what} has no key `{key}`"), hint.clone()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_key_names_those_that_are_there() {
        let keys = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(missing_keys("Secret `db`", &keys(&["user", "host"]), &keys(&["user"])), Findings::default());
        let found = missing_keys("Secret `db`", &keys(&["user", "host"]), &keys(&["user", "password"]));
        assert_eq!(found, Findings::problem(ErrorKind::Rejected, "Secret `db` has no key `password`", "Secret `db` has `host` and `user`"));
    }
}
