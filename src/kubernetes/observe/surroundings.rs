//! What surrounds a job: events, quotas, nodes and what runs on them. All of it is nice to have, and none of it fails a look.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Event, Node, Pod, ResourceQuota};
use kube::{Api, api::ListParams};

use super::{Detail, event_record, merge, neighbour_record, node_record, quota_records, scaling};
use crate::{
    kubernetes::{
        connect::Cluster,
        error::{is_forbidden, is_garbled, status},
        retry::{CallError, Patience},
    },
    model::{
        access,
        evidence::{ContainerState, EventRecord, Evidence, NeighbourRecord, NodeRecord, QuotaRecord},
    },
};

/// The most nodes whose pods are asked for: one request each.
const NEIGHBOURHOOD: usize = 20;
/// A label with more values than this names single nodes, not groups of them.
const GROUP_VALUES: usize = 20;
/// Namespace of the events about nodes, which have none themselves.
const NODE_EVENTS: &str = access::NODE_EVENTS_NAMESPACE;

/// Something that could not be observed, as a sentence.
type Unknown = String;

/// Adds the nodes that the job could run on, and the one that it runs on.
pub(super) async fn observe_nodes(cluster: &Cluster, evidence: &mut Evidence, patience: Patience) {
    let node = node_of(evidence);
    let found = nodes(cluster, &selector_of(evidence), node.as_deref(), patience).await;
    if let Some(nodes) = noting(evidence, found) {
        merge::nodes(evidence, nodes, cluster.now());
    }
}

fn node_of(evidence: &Evidence) -> Option<String> {
    evidence.attempts.last().and_then(|attempt| attempt.node.clone())
}

fn selector_of(evidence: &Evidence) -> BTreeMap<String, String> {
    evidence.job.as_ref().and_then(|job| job.plan.as_ref()).map(|plan| plan.placement.node_selector.clone()).unwrap_or_default()
}

/// Adds events, quotas and neighbours to `evidence`, which has the nodes.
pub(super) async fn observe(cluster: &Cluster, evidence: &mut Evidence, detail: Detail, patience: Patience) {
    let (node, selector) = (node_of(evidence), selector_of(evidence));
    let is_over = evidence.job.as_ref().is_some_and(|job| job.finished.is_some());
    let (events, of_node, quotas) = tokio::join!(
        events(cluster, evidence, patience),
        async {
            match (&node, detail) {
                (Some(node), Detail::Full) => node_events(cluster, node, patience).await,
                _ => Ok(Vec::new()),
            }
        },
        async { if is_over { Ok(Vec::new()) } else { quotas(cluster, patience).await } },
    );
    for found in [events, of_node] {
        if let Some(events) = noting(evidence, found) {
            merge::events(evidence, events);
        }
    }
    if let Some(quotas) = noting(evidence, quotas) {
        evidence.quotas = quotas;
    }
    if is_over {
        return;
    }
    scaling::observe(cluster, evidence, patience).await;
    if has_started(evidence) {
        return;
    }
    let names: Vec<String> = evidence.nodes.iter().flatten().map(|node| node.name.clone()).collect();
    if names.is_empty() && evidence.nodes.is_some() && !selector.is_empty() {
        if let Some(nodes) = noting(evidence, other_nodes(cluster, patience).await) {
            evidence.known_labels = known_labels(&nodes);
            evidence.other_nodes = nodes;
        }
    } else if node.is_none() && !names.is_empty() {
        let own: BTreeSet<String> = evidence.attempts.iter().map(|attempt| format!("{}/{}", cluster.namespace, attempt.pod)).collect();
        if let Some(neighbours) = noting(evidence, neighbours(cluster, &names, patience).await) {
            evidence.neighbours = neighbours.into_iter().filter(|neighbour| !own.contains(&neighbour.pod)).collect();
        }
    }
}

fn has_started(evidence: &Evidence) -> bool {
    evidence.attempts.last().is_some_and(|attempt| matches!(attempt.container, ContainerState::Running { .. } | ContainerState::Terminated(_)))
}

fn noting<T>(evidence: &mut Evidence, found: Result<T, Unknown>) -> Option<T> {
    found.map_err(|sentence| merge::unknown(evidence, sentence)).ok()
}

/// Returns a sentence for people about what could not be seen.
pub(in crate::kubernetes) fn unseen(error: &CallError, what: &str, verb: &str) -> Unknown {
    match status(error) {
        Some(answer) if is_forbidden(error) || answer.code == 401 => format!("{what}: you may not {verb}"),
        Some(answer) => format!("{what}: the API server answered {}", answer.code),
        None if is_garbled(error) => format!("{what}: the answer of the API server cannot be read"),
        None => format!("{what}: the API server did not answer"),
    }
}

async fn events(cluster: &Cluster, evidence: &Evidence, patience: Patience) -> Result<Vec<EventRecord>, Unknown> {
    let job = evidence.job.iter().map(|job| job.uid.clone());
    let uids = job.chain(evidence.attempts.iter().filter(|attempt| attempt.gone.is_none()).map(|attempt| attempt.uid.clone()));
    let api: Api<Event> = cluster.api();
    let lists = join_all(uids.map(|uid| {
        let api = &api;
        async move {
            let parameters = ListParams::default().fields(&format!("involvedObject.uid={uid}"));
            cluster.read_all(api, parameters, patience, "reading events").await
        }
    }));
    let mut found = Vec::new();
    for list in lists.await {
        let what = "events, which say why a pod waits";
        found.extend(list.map_err(|error| unseen(&error, what, &format!("list events in namespace `{}`", cluster.namespace)))?);
    }
    Ok(found.iter().map(event_record).collect())
}

async fn node_events(cluster: &Cluster, node: &str, patience: Patience) -> Result<Vec<EventRecord>, Unknown> {
    let api: Api<Event> = Api::namespaced(cluster.client.clone(), NODE_EVENTS);
    let parameters = ListParams::default().fields(&format!("involvedObject.kind=Node,involvedObject.name={node}"));
    let events = cluster.read_all(&api, parameters, patience, "reading the node's events").await;
    let verb = format!("list events in namespace `{NODE_EVENTS}`");
    events.map(|events| events.iter().map(event_record).collect()).map_err(|error| unseen(&error, "events of the node", &verb))
}

async fn quotas(cluster: &Cluster, patience: Patience) -> Result<Vec<QuotaRecord>, Unknown> {
    let quotas = cluster.read_all(&cluster.api::<ResourceQuota>(), ListParams::default(), patience, "reading quotas").await;
    let verb = format!("list resourcequotas in namespace `{}`", cluster.namespace);
    quotas.map(|quotas| quotas.iter().flat_map(quota_records).collect()).map_err(|error| unseen(&error, "quotas of the namespace", &verb))
}

/// Returns the nodes that match `selector`, and `own`, whatever its labels.
pub(super) async fn nodes(
    cluster: &Cluster,
    selector: &BTreeMap<String, String>,
    own: Option<&str>,
    patience: Patience,
) -> Result<Vec<NodeRecord>, Unknown> {
    let api: Api<Node> = Api::all(cluster.client.clone());
    let labels: Vec<String> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let parameters = ListParams::default().labels(&labels.join(","));
    let refused = |error: CallError| unseen(&error, "the nodes", "list nodes");
    let mut nodes = cluster.read_all(&api, parameters, patience, "reading nodes").await.map_err(refused)?;
    if let Some(own) = own
        && !nodes.iter().any(|node| node.metadata.name.as_deref() == Some(own))
    {
        nodes.extend(cluster.read(&api, own, patience, "reading the pod's node").await.map_err(refused)?);
    }
    Ok(nodes.iter().map(node_record).collect())
}

/// Returns all nodes of a cluster that has none with the labels asked for, as little of each as tells why.
async fn other_nodes(cluster: &Cluster, patience: Patience) -> Result<Vec<NodeRecord>, Unknown> {
    let api: Api<Node> = Api::all(cluster.client.clone());
    let nodes = cluster.read_all(&api, ListParams::default(), patience, "reading the labels of nodes").await;
    let nodes = nodes.map_err(|error| unseen(&error, "labels of nodes", "list nodes"))?;
    let record = |node: &Node| NodeRecord { conditions: Vec::new(), ..node_record(node) };
    Ok(nodes.iter().map(record).collect())
}

/// Returns the labels by which nodes fall into groups, with their values.
fn known_labels(nodes: &[NodeRecord]) -> BTreeMap<String, Vec<String>> {
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (key, value) in nodes.iter().flat_map(|node| &node.labels) {
        values.entry(key.clone()).or_default().insert(value.clone());
    }
    values.retain(|key, values| values.len() <= GROUP_VALUES && key != "kubernetes.io/hostname");
    values.into_iter().map(|(key, values)| (key, values.into_iter().collect())).collect()
}

async fn neighbours(cluster: &Cluster, nodes: &[String], patience: Patience) -> Result<Vec<NeighbourRecord>, Unknown> {
    if nodes.len() > NEIGHBOURHOOD {
        return Err(format!("what runs on the {} nodes of this size: too many to ask for", nodes.len()));
    }
    let api: Api<Pod> = Api::all(cluster.client.clone());
    let lists = join_all(nodes.iter().map(|node| {
        let api = &api;
        async move {
            let parameters = ListParams::default().fields(&format!("spec.nodeName={node},status.phase!=Succeeded,status.phase!=Failed"));
            cluster.read_all(api, parameters, patience, "reading the pods of a node").await
        }
    }));
    let mut found = Vec::new();
    for list in lists.await {
        let pods = list.map_err(|error| unseen(&error, "what runs on the nodes of this size", "list pods of all namespaces"))?;
        found.extend(pods.iter().filter_map(neighbour_record));
    }
    Ok(found)
}
