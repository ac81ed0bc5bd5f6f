//! Nodes and what runs on them, from lists of any length: read in pages, of which only sums are kept.
//!
//! A cluster of a thousand nodes has tens of thousands of pods, each of them kilobytes. Here a page is parsed into the few fields
//! that count (see [`wire`]), added to the sums and dropped before the next one comes.

mod pages;
mod protobuf;
mod wire;

use std::collections::{BTreeMap, HashMap};

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Resource, api::ListParams};

use self::wire::{NodeFields, PodFields, PodKind};
use super::observe::unseen;
use crate::{
    environment,
    error::Result,
    kubernetes::{
        connect::Cluster,
        error::{explain, is_forbidden},
        retry::{CallError, Patience, Repeat},
    },
    model::{
        node_group::Sighting,
        occupancy::{Load, Occupancy, OccupiedNode, PodScope, WaitingPods},
    },
};

/// What a list came to.
type Seen<T> = std::result::Result<T, CallError>;

/// Up to so many nodes are asked for their pods one by one; beyond, all pods are read. The API server has an index of pods by node.
const FEW_NODES: usize = 20;
/// Pods that take up room.
const NOT_ENDED: &str = "status.phase!=Succeeded,status.phase!=Failed";
/// Pods that no node has been found for.
const WITHOUT_NODE: &str = "spec.nodeName=,status.phase=Pending";

/// Returns the nodes that any of `selectors` picks and what runs on them, or all nodes when there is no selector.
///
/// What may not be seen is said in the result.
///
/// # Errors
/// When the API server does not answer, or does not accept the credentials.
pub async fn observe(cluster: &Cluster, selectors: &[String], patience: Patience) -> Result<Occupancy> {
    if selectors.is_empty() {
        let (nodes, pods) = tokio::join!(all_nodes(cluster, patience), all_pods(cluster, patience));
        return joined(nodes, pods);
    }
    let lists = join_all(selectors.iter().map(|selector| nodes(cluster, ListParams::default().labels(selector), patience)));
    let nodes: Seen<Vec<Vec<OccupiedNode>>> = lists.await.into_iter().collect();
    let nodes = nodes.map(|lists| lists.into_iter().flatten().map(|node| (node.node.name.clone(), node)).collect::<BTreeMap<_, _>>());
    let pods = match &nodes {
        Ok(nodes) if nodes.len() <= FEW_NODES => pods_of(cluster, nodes.keys(), patience).await,
        _ => all_pods(cluster, patience).await,
    };
    joined(nodes.map(|nodes| nodes.into_values().collect()), pods)
}

/// What pods come to.
#[derive(Debug, Default)]
struct PodSums {
    by_node: HashMap<String, Load>,
    waiting: HashMap<(BTreeMap<String, String>, Option<String>), WaitingPods>,
}

impl PodSums {
    fn add(&mut self, pods: Vec<PodFields>) {
        for pod in pods.into_iter().filter(|pod| !pod.has_ended()) {
            let Some(node) = pod.node() else {
                self.add_waiting(pod);
                continue;
            };
            if !self.by_node.contains_key(node) {
                self.by_node.insert(node.to_owned(), Load::default());
            }
            let Some(load) = self.by_node.get_mut(node) else { continue };
            load.requests = load.requests.plus(pod.requests());
            match pod.kind() {
                PodKind::Daemon => {}
                PodKind::OfJob => load.jobs += 1,
                PodKind::Other => load.others += 1,
            }
        }
    }

    fn add_waiting(&mut self, pod: PodFields) {
        if !pod.waits() {
            return;
        }
        let created = pod.created();
        let (node_selector, size) = pod.into_wish();
        let key = (node_selector, size);
        let entry = self.waiting.entry(key).or_insert_with_key(|(node_selector, size)| WaitingPods {
            node_selector: node_selector.clone(),
            size: size.clone(),
            count: 0,
            oldest: created,
        });
        entry.count += 1;
        entry.oldest = entry.oldest.min(created);
    }
}

fn joined(nodes: Seen<Vec<OccupiedNode>>, pods: Seen<(PodScope, PodSums)>) -> Result<Occupancy> {
    let at = environment::now();
    let (pods, sums) = match pods {
        Ok((value, sums)) => (Sighting::Seen { value, at }, sums),
        Err(error) => (closed(error, "what runs on the nodes", "list pods", "reading pods")?, PodSums::default()),
    };
    let nodes = match nodes {
        Ok(nodes) => Sighting::Seen { value: filled(nodes, &sums), at },
        Err(error) => closed(error, "the nodes", "list nodes", "reading nodes")?,
    };
    Ok(Occupancy { nodes, pods, waiting: waiting(sums) })
}

fn filled(mut nodes: Vec<OccupiedNode>, sums: &PodSums) -> Vec<OccupiedNode> {
    nodes.sort_by(|left, right| left.node.name.cmp(&right.node.name));
    for node in &mut nodes {
        node.load = sums.by_node.get(&node.node.name).copied().unwrap_or_default();
    }
    nodes
}

fn waiting(sums: PodSums) -> Vec<WaitingPods> {
    let mut waiting: Vec<WaitingPods> = sums.waiting.into_values().collect();
    waiting.sort_by(|left, right| (left.oldest, &left.node_selector).cmp(&(right.oldest, &right.node_selector)));
    waiting
}

/// Returns that something may not be seen; any other trouble is an error.
fn closed<T>(error: CallError, what: &str, verb: &str, doing: &str) -> Result<Sighting<T>> {
    if is_forbidden(&error) { Ok(Sighting::Unseen(unseen(&error, what, verb))) } else { Err(explain(error, doing)) }
}

async fn all_nodes(cluster: &Cluster, patience: Patience) -> Seen<Vec<OccupiedNode>> {
    nodes(cluster, ListParams::default(), patience).await
}

async fn nodes(cluster: &Cluster, parameters: ListParams, patience: Patience) -> Seen<Vec<OccupiedNode>> {
    let url = Node::url_path(&(), None);
    let fold = |found: &mut Vec<OccupiedNode>, nodes: Vec<NodeFields>| found.extend(nodes.into_iter().map(OccupiedNode::from));
    cluster.fold_items(&url, parameters, patience, "reading nodes", fold).await
}

/// Returns the sums of all pods, or of those of the own namespace where others may not be listed.
async fn all_pods(cluster: &Cluster, patience: Patience) -> Seen<(PodScope, PodSums)> {
    let parameters = ListParams::default().fields(NOT_ENDED);
    match pods(cluster, None, parameters.clone(), patience).await {
        Err(error) if is_forbidden(&error) => {
            let sums = pods(cluster, Some(&cluster.namespace), parameters, patience).await?;
            Ok((PodScope::Namespace(cluster.namespace.clone()), sums))
        }
        sums => Ok((PodScope::Cluster, sums?)),
    }
}

/// Returns the sums of the pods of a few nodes and of those that wait.
async fn pods_of(cluster: &Cluster, names: impl Iterator<Item = &String>, patience: Patience) -> Seen<(PodScope, PodSums)> {
    let url = Pod::url_path(&(), None);
    let read = |fields: String| {
        // From the API server's memory, which has the index and knows no pages; a moment of delay is no harm here.
        let parameters = ListParams::default().fields(&fields).match_any();
        let url = &url;
        async move { cluster.call(Repeat::Read, patience, "reading pods", || cluster.whole::<PodFields>(url, &parameters)).await }
    };
    let lists = join_all(names.map(|name| read(format!("spec.nodeName={name},{NOT_ENDED}"))).chain([read(WITHOUT_NODE.to_owned())])).await;
    let mut sums = PodSums::default();
    for list in lists {
        match list {
            Ok(pods) => sums.add(pods),
            Err(error) if is_forbidden(&error) => return all_pods(cluster, patience).await,
            Err(error) => return Err(error),
        }
    }
    Ok((PodScope::Cluster, sums))
}

async fn pods(cluster: &Cluster, namespace: Option<&str>, parameters: ListParams, patience: Patience) -> Seen<PodSums> {
    let url = Pod::url_path(&(), namespace);
    cluster.fold_items(&url, parameters, patience, "reading pods", PodSums::add).await
}

/// Returns what lists of nodes and pods come to.
#[cfg(test)]
pub(crate) fn of_lists(nodes: &serde_json::Value, pods: &serde_json::Value, at: jiff::Timestamp) -> Occupancy {
    fn items<T: serde::de::DeserializeOwned>(list: &serde_json::Value) -> Vec<T> {
        serde_json::from_value(list["items"].clone()).expect("a list of Kubernetes")
    }
    let mut sums = PodSums::default();
    sums.add(items(pods));
    let nodes = items::<NodeFields>(nodes).into_iter().map(OccupiedNode::from).collect();
    Occupancy {
        nodes: Sighting::Seen { value: filled(nodes, &sums), at },
        pods: Sighting::Seen { value: PodScope::Cluster, at },
        waiting: waiting(sums),
    }
}

#[cfg(test)]
mod tests;
