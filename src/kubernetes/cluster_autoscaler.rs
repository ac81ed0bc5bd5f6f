//! The Cluster Autoscaler, as far as the cluster shows it: its status ConfigMap and the events about that.

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{ConfigMap, Event},
    apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry,
};
use kube::{Api, api::ListParams};

use super::observe::{event_record, unseen};
use crate::{
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
        cluster.now(),
    )
}

fn sighting(found: Result<Option<ConfigMap>, String>, at: Timestamp) -> Sighting<AutoscalerStatus> {
    match found {
        Err(sentence) => Sighting::Unseen(sentence),
        Ok(None) => Sighting::Absent { at },
        Ok(Some(config_map)) => {
            let text = config_map.data.as_ref().and_then(|data| data.get(KEY)).map_or("", String::as_str);
            let updated = config_map.metadata.annotations.as_ref().and_then(|annotations| annotations.get(LAST_UPDATED));
            let mut status = AutoscalerStatus::parse(text, updated.map(String::as_str));
            status.updated = written_at(&config_map).or(status.updated);
            Sighting::Seen { value: status, at }
        }
    }
}

/// Returns when the data was last changed, by the server's own clock: that of the autoscaler's machine may be minutes off, and must not
/// make one that runs count as down. Source: `metadata.managedFields[].time`.
fn written_at(config_map: &ConfigMap) -> Option<Timestamp> {
    let has_data = |fields: &ManagedFieldsEntry| fields.fields_v1.as_ref().is_some_and(|fields| fields.0.get("f:data").is_some());
    config_map.metadata.managed_fields.iter().flatten().filter(|fields| has_data(fields)).filter_map(|fields| Some(fields.time.as_ref()?.0)).max()
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_servers_clock_tells_when_it_was_written() {
        let at = |clock: &str| -> Timestamp { format!("2026-11-24T{clock}Z").parse().expect("a time") };
        let seen = |managed_fields: serde_json::Value| {
            let config_map = json!({
                "metadata": {"annotations": {LAST_UPDATED: "2026-11-24 09:00:00.5 +0000 UTC"}, "managedFields": managed_fields},
                "data": {KEY: "autoscalerStatus: Running\nnodeGroups: []\ntime: 2026-11-24 09:00:00.5 +0000 UTC\n"},
            });
            let config_map = serde_json::from_value(config_map).expect("a ConfigMap");
            sighting(Ok(Some(config_map)), at("10:00:05")).value().and_then(|status| status.updated)
        };
        let entry = |time: &str, fields: serde_json::Value| json!({"manager": "x", "time": format!("2026-11-24T{time}Z"), "fieldsV1": fields});
        let annotated = entry("10:00:03", json!({"f:metadata": {"f:annotations": {}}}));
        assert_eq!(seen(json!([entry("10:00:01", json!({"f:data": {"f:status": {}}})), annotated.clone()])), Some(at("10:00:01")));
        assert_eq!(seen(json!([annotated])), Some(at("09:00:00.5")), "its own word, where the server tells nothing");
    }
}
