//! What the cluster says of Jobs before there are any: asked for in a dry run, so that every webhook and policy of the cluster has
//! its say, and nothing is created.

use k8s_openapi::api::batch::v1::Job;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::{
    environment,
    kubernetes::{
        connect::Cluster,
        error::{is_forbidden, status},
        labels,
        observe::unseen,
        retry::{Patience, Repeat},
    },
    model::{
        doctor::Admission,
        identity::label_value,
        instance_map::{Defaults, SizeProfile},
        node_group::Sighting,
    },
};

/// Name of the Jobs that are asked about; none of them ever exists.
const NAME: &str = "sbrun-doctor";
/// What a container runs where the map names no image.
const ANY_IMAGE: &str = "busybox";

/// Returns what the cluster says of a Job of this size.
pub async fn admission(cluster: &Cluster, size: &SizeProfile, defaults: &Defaults) -> Sighting<Admission> {
    ask(cluster, job(size, defaults)).await
}

/// Returns what the cluster says of a Job that breaks every rule but harms nobody: restarted, retried, evicted, run anywhere.
pub async fn admission_of_rule_breaker(cluster: &Cluster) -> Sighting<Admission> {
    let pod = json!({"restartPolicy": "OnFailure", "containers": [{"name": "flow", "image": ANY_IMAGE}]});
    ask(cluster, json!({"metadata": {"name": NAME}, "spec": {"template": {"spec": pod}}})).await
}

async fn ask(cluster: &Cluster, job: Value) -> Sighting<Admission> {
    let Ok(job) = serde_json::from_value::<Job>(job) else { return Sighting::NotAsked };
    let (api, parameters) = (cluster.api::<Job>(), PostParams { dry_run: true, ..PostParams::default() });
    let doing = "asking whether a Job would be admitted";
    let answer = cluster.call(Repeat::Read, Patience::ASK, doing, || api.create(&parameters, &job)).await;
    let at = environment::now();
    let Err(error) = answer else { return Sighting::Seen { value: Admission::Admitted, at } };
    match refusal(status(&error).map_or("", |status| status.message.as_str())) {
        Some(words) => Sighting::Seen { value: Admission::Refused(words.to_owned()), at },
        None if is_forbidden(&error) || status(&error).is_none() => {
            Sighting::Unseen(unseen(&error, "whether Jobs are admitted", &format!("create jobs in namespace `{}`", cluster.namespace)))
        }
        None => Sighting::Unseen(format!("whether Jobs are admitted: {}", status(&error).map_or("", |status| status.message.as_str()))),
    }
}

/// Returns the words of an admission policy, webhook or quota; none when RBAC, or something else, refused.
fn refusal(message: &str) -> Option<&str> {
    let of_policy = message.split_once("denied request: ").map(|(_, words)| words);
    let of_webhook = message.split_once("denied the request: ").map(|(_, words)| words);
    of_policy.or(of_webhook).or_else(|| message.contains("exceeded quota").then_some(message)).map(str::trim)
}

/// Returns the Job that `submit` would make, without a flow: what admission goes by.
fn job(size: &SizeProfile, defaults: &Defaults) -> Value {
    let placement = size.placement();
    let image = size.own.image.as_ref().or(defaults.image.as_ref()).map_or(ANY_IMAGE, |image| &image.value);
    let account = size.own.service_account.as_ref().or(defaults.service_account.as_ref()).map(|account| account.value.as_str());
    let footprint = size.footprint(defaults);
    let requests = json!({"cpu": footprint.cpu.to_kubernetes(), "memory": footprint.memory.to_kubernetes()});
    let labels = json!({labels::MANAGED_BY: labels::SBRUN, labels::SIZE: label_value(&size.name.0)});
    json!({
        "metadata": {"name": NAME, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "template": {
                "metadata": {"labels": labels, "annotations": {labels::SAFE_TO_EVICT: "false", labels::DO_NOT_DISRUPT: "true"}},
                "spec": {
                    "restartPolicy": "Never",
                    "serviceAccountName": account,
                    "nodeSelector": placement.node_selector,
                    "tolerations": placement.tolerations,
                    "containers": [{
                        "name": labels::FLOW_CONTAINER,
                        "image": image,
                        "resources": {"requests": requests, "limits": {"memory": requests["memory"]}},
                    }],
                },
            },
        },
    })
}
