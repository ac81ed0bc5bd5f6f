//! Many Jobs at once, with few requests: for `list` and `clean`.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;
use kube::{Resource, api::ListParams};

use super::{attempt_record, merge, surroundings};
use crate::{
    error::Result,
    kubernetes::{
        connect::Cluster,
        error::{explain, is_forbidden},
        labels,
        reading::{Extent, HEAVY_PAGE},
        retry::Patience,
    },
    model::evidence::{AttemptRecord, Evidence, JobRecord, NodeRecord},
};

/// Pods of Jobs, by the Job's UID.
pub type AttemptsByJob = BTreeMap<String, Vec<AttemptRecord>>;

/// Returns the evidence on each of `records`: the Jobs as they are given, the pods of those without a verdict that stands, and the
/// nodes that those without a node could run on, so that a short look names the same cause as a long one.
///
/// # Errors
/// When the server does not answer. Without the right to list pods the Jobs alone have to do.
pub async fn survey(cluster: &Cluster, records: Vec<JobRecord>) -> Result<Vec<Evidence>> {
    let open: BTreeSet<&str> = records.iter().filter(|job| !job.is_judged()).map(|job| job.uid.as_str()).collect();
    let (mut pods, mut unknown) = (AttemptsByJob::new(), None);
    if !open.is_empty() {
        match attempts(cluster, ListParams::default(), |uid| open.contains(uid)).await? {
            Some(found) => pods = found,
            None => unknown = Some(format!("the pods: you may not list pods in namespace `{}`", cluster.namespace)),
        }
    }
    let now = cluster.now();
    let evidence = records.into_iter().map(|record| {
        let mut evidence = Evidence { unknown: unknown.iter().cloned().collect(), ..Evidence::default() };
        let attempts = pods.remove(&record.uid).unwrap_or_default();
        evidence.job = Some(record);
        merge::attempts(&mut evidence, attempts, now);
        evidence
    });
    let mut found: Vec<Evidence> = evidence.collect();
    add_nodes(cluster, &mut found).await;
    Ok(found)
}

/// Returns the pods of Jobs that have ended, by the Job's UID; nothing without the right to list pods.
///
/// # Errors
/// When the server does not answer.
pub async fn ended_attempts(cluster: &Cluster) -> Result<Option<AttemptsByJob>> {
    attempts(cluster, ListParams::default().fields("status.phase!=Pending,status.phase!=Running"), |_| true).await
}

/// Returns the pods of the Jobs whose UID is `wanted`, read page by page; nothing without the right to list pods.
async fn attempts(cluster: &Cluster, parameters: ListParams, wanted: impl Fn(&str) -> bool) -> Result<Option<AttemptsByJob>> {
    let url = Pod::url_path(&(), Some(&cluster.namespace));
    let doing = format!("listing the pods of jobs in namespace `{}`", cluster.namespace);
    let add = |found: &mut AttemptsByJob, pods: Vec<Pod>| {
        for pod in &pods {
            let owner = pod.metadata.owner_references.iter().flatten().find(|owner| owner.kind == "Job");
            if let Some(owner) = owner.filter(|owner| wanted(&owner.uid)) {
                found.entry(owner.uid.clone()).or_default().push(attempt_record(pod));
            }
        }
    };
    let parameters = parameters.labels(labels::CONTROLLER_UID).limit(HEAVY_PAGE);
    match cluster.fold_pages(&url, Extent::Whole, parameters, Patience::ASK, &doing, add).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_forbidden(&error) => Ok(None),
        Err(error) => Err(explain(error, &doing)),
    }
}

/// Lists the nodes once, when any job waits for one, and gives each such job those with the labels that it asks for.
async fn add_nodes(cluster: &Cluster, found: &mut [Evidence]) {
    let mut waiting: Vec<&mut Evidence> = found.iter_mut().filter(|evidence| waits_for_node(evidence)).collect();
    if waiting.is_empty() {
        return;
    }
    let nodes = surroundings::nodes(cluster, &BTreeMap::new(), None, Patience::ASK).await;
    let now = cluster.now();
    for evidence in &mut waiting {
        let selector = evidence.job.as_ref().map(|job| job.node_selector.clone()).unwrap_or_default();
        match &nodes {
            Ok(nodes) => {
                let fits = |node: &&NodeRecord| selector.iter().all(|(key, value)| node.labels.get(key) == Some(value));
                merge::nodes(evidence, nodes.iter().filter(fits).cloned().collect(), now);
            }
            Err(sentence) => merge::unknown(evidence, sentence.clone()),
        }
    }
}

fn waits_for_node(evidence: &Evidence) -> bool {
    let is_open = evidence.job.as_ref().is_some_and(|job| job.verdict.is_none() && job.finished.is_none());
    is_open && evidence.attempts.last().is_some_and(|attempt| attempt.node.is_none() && attempt.phase == "Pending")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::kubernetes::retry::script::{Reply, Server, connect};

    fn record(uid: &str, size: &str) -> JobRecord {
        JobRecord { uid: uid.into(), node_selector: [("size".to_owned(), size.to_owned())].into(), ..JobRecord::default() }
    }

    fn pod(uid: &str, phase: &str, node: Option<&str>) -> Value {
        let owner = json!({"apiVersion": "batch/v1", "kind": "Job", "name": uid, "uid": uid});
        json!({"metadata": {"name": uid, "uid": format!("pod-{uid}"), "ownerReferences": [owner]},
               "spec": {"containers": [], "nodeName": node}, "status": {"phase": phase}})
    }

    /// Surveys three jobs; returns the nodes that each was given, what is unknown of the first, and the number of requests for nodes.
    async fn surveyed(pods: Vec<Value>, nodes: fn() -> Reply) -> (Vec<Option<Vec<String>>>, Vec<String>, usize) {
        let server = Server::start(move |_, seen| {
            if seen.target.contains("/nodes") { nodes() } else { Reply::json(200, &json!({"kind": "PodList", "metadata": {}, "items": pods})) }
        });
        let server = server.await;
        let (cluster, _) = connect(&server.url, json!({})).await;
        let found = survey(&cluster, vec![record("a", "small"), record("b", "large"), record("c", "small")]).await.unwrap();
        let names = |nodes: &Vec<NodeRecord>| nodes.iter().map(|node| node.name.clone()).collect();
        let asked = server.seen().iter().filter(|seen| seen.target.contains("/nodes")).count();
        (found.iter().map(|evidence| evidence.nodes.as_ref().map(names)).collect(), found[0].unknown.clone(), asked)
    }

    fn one_node() -> Reply {
        let node = json!({"metadata": {"name": "n1", "labels": {"size": "small"}}});
        Reply::json(200, &json!({"kind": "NodeList", "metadata": {}, "items": [node]}))
    }

    #[tokio::test]
    async fn nodes_are_asked_for_once_and_only_for_jobs_that_wait_for_one() {
        let waiting = || vec![pod("a", "Pending", None), pod("b", "Pending", None), pod("c", "Running", Some("n1"))];
        assert_eq!(surveyed(waiting(), one_node).await, (vec![Some(vec!["n1".to_owned()]), Some(Vec::new()), None], Vec::new(), 1));
        let running = vec![pod("a", "Running", Some("n1")), pod("b", "Succeeded", Some("n1")), pod("c", "Pending", Some("n1"))];
        assert_eq!(surveyed(running, one_node).await, (vec![None, None, None], Vec::new(), 0));
        let refused = || Reply::status(403, "Forbidden", "nodes is forbidden");
        assert_eq!(surveyed(waiting(), refused).await, (vec![None, None, None], vec!["the nodes: you may not list nodes".to_owned()], 1));
    }
}
