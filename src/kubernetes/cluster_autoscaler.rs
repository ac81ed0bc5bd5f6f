//! The Cluster Autoscaler, as far as the cluster shows it: its status ConfigMap and the events about that.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Event};
use kube::{Api, api::ListParams};

use super::observe::{event_record, unseen};
use crate::{
    environment,
    kubernetes::{connect::Cluster, retry::Patience},
    model::{
        access,
        autoscaler_status::{AutoscalerStatus, CONFIG_MAP, KEY, LAST_UPDATED},
        evidence::EventRecord,
        node_group::Sighting,
    },
};

/// Where the Cluster Autoscaler writes its status (`--namespace`).
pub const NAMESPACE: &str = access::AUTOSCALER_NAMESPACE;

/// Returns the status of the Cluster Autoscaler.
pub async fn status(cluster: &Cluster, patience: Patience) -> Sighting<AutoscalerStatus> {
    let api: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let found = cluster.read(&api, CONFIG_MAP, patience, "reading the autoscaler's status").await;
    sighting(
        found.map_err(|error| unseen(&error, "the Cluster Autoscaler's status", &format!("get configmaps in namespace `{NAMESPACE}`"))),
        environment::now(),
    )
}

fn sighting(found: Result<Option<ConfigMap>, String>, at: Timestamp) -> Sighting<AutoscalerStatus> {
    match found {
        Err(sentence) => Sighting::Unseen(sentence),
        Ok(None) => Sighting::Absent { at },
        Ok(Some(config_map)) => {
            let text = config_map.data.as_ref().and_then(|data| data.get(KEY)).map_or("", String::as_str);
            let updated = config_map.metadata.annotations.as_ref().and_then(|annotations| annotations.get(LAST_UPDATED));
            Sighting::Seen { value: AutoscalerStatus::parse(text, updated.map(String::as_str)), at }
        }
    }
}

/// Returns the events about the status, oldest first: what it did to its groups, and what failed.
///
/// # Errors
/// A sentence about what could not be seen, and why.
pub async fn events(cluster: &Cluster, patience: Patience) -> Result<Vec<EventRecord>, String> {
    let api: Api<Event> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let parameters = ListParams::default().fields(&format!("involvedObject.kind=ConfigMap,involvedObject.name={CONFIG_MAP}"));
    let events = cluster.read_all(&api, parameters, patience, "reading the autoscaler's events").await;
    let events = events.map_err(|error| unseen(&error, "the Cluster Autoscaler's events", &format!("list events in namespace `{NAMESPACE}`")))?;
    let mut events: Vec<EventRecord> = events.iter().map(event_record).collect();
    events.sort_by_key(|event| (event.last, event.first));
    Ok(events)
}
