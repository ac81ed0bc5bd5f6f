//! Lists from a server that says what it likes.

use serde_json::{Value, json};

use super::*;
use crate::kubernetes::retry::script::{Reply, Seen as Request, Server, connect};

fn list(kind: &str, next: &str, items: &[Value]) -> Reply {
    Reply::json(200, &json!({"kind": kind, "apiVersion": "v1", "metadata": {"continue": next}, "items": items}))
}

fn node(name: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"size": "small"}, "managedFields": [{"fieldsV1": {"f:metadata": {"f:labels": {}}}}]},
        "spec": {"providerID": "aws:///a/i-1", "taints": [{"key": "size", "effect": "NoSchedule"}]},
        "status": {"allocatable": {"cpu": "3920m", "memory": "15Gi", "pods": "58"}, "images": [{"names": ["x"], "sizeBytes": 1}],
                   "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-25T12:00:00Z"}]},
    })
}

fn pod(node: Option<&str>, owner: &str, cpu: &str) -> Value {
    json!({
        "metadata": {"name": "p", "creationTimestamp": "2026-11-25T12:00:00Z", "labels": {"sbrun.dev/size": "small", "x": "y"},
                     "ownerReferences": [{"kind": owner, "name": "o", "uid": "u", "controller": true}]},
        "spec": {"nodeName": node, "nodeSelector": {"size": "small"},
                 "containers": [{"name": "a", "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}}],
                 "initContainers": [{"resources": {"requests": {"cpu": "50m"}}, "restartPolicy": "Always"}, {"resources": {"requests": {"memory": "2Gi"}}}]},
        "status": {"phase": if node.is_some() { "Running" } else { "Pending" }},
    })
}

async fn observed(selectors: &[&str], script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> (Result<Occupancy>, Vec<String>) {
    let server = Server::start(move |_, seen| script(seen)).await;
    let (cluster, _) = connect(&server.url, json!({})).await;
    let selectors: Vec<String> = selectors.iter().map(|selector| (*selector).to_owned()).collect();
    let found = observe(&cluster, &selectors, Patience::ONCE).await;
    (found, server.seen().iter().map(|seen| seen.target.clone()).collect())
}

#[tokio::test]
async fn pages_come_to_sums() {
    let (found, asked) = observed(&[], |seen| match seen.target.as_str() {
        target if target.contains("/nodes") => list("NodeList", "", &[node("n2"), node("n1")]),
        target if target.contains("continue=second") => list("PodList", "", &[pod(Some("n1"), "DaemonSet", "100m"), pod(None, "Job", "1")]),
        _ => list("PodList", "second", &[pod(Some("n1"), "Job", "500m"), pod(Some("n1"), "ReplicaSet", "1"), pod(None, "Job", "1")]),
    })
    .await;
    let found = found.unwrap();
    let nodes = found.nodes.value().unwrap();
    assert_eq!(nodes.iter().map(|node| node.node.name.as_str()).collect::<Vec<_>>(), ["n1", "n2"]);
    assert_eq!(nodes[0].node.allocatable.cpu.0, 3920);
    assert!(nodes[0].node.unready().is_none() && nodes[0].node.taints[0].value.is_empty());
    let load = nodes[0].load;
    // 500m, 1 and 100m, each with a sidecar of 50m; each pod's init container asks for more memory than the rest of it.
    assert_eq!((load.jobs, load.others, load.requests.cpu.0, load.requests.memory.0 >> 30), (1, 1, 1750, 6));
    assert_eq!(nodes[1].load, Load::default());
    assert_eq!((found.waiting.len(), found.waiting[0].count, found.waiting[0].size.as_deref()), (1, 2, Some("small")));
    assert_eq!(asked.iter().filter(|target| target.contains("/pods")).count(), 2);
    assert!(asked.iter().filter(|target| target.contains("/pods")).all(|target| target.contains("limit=500") && target.contains("Succeeded")));
}

#[tokio::test]
async fn of_a_few_nodes_only_their_pods_are_asked_for() {
    let (found, asked) = observed(&["size=small", "pool in (a,b)"], |seen| {
        if seen.target.contains("/nodes") { list("NodeList", "", &[node("n1")]) } else { list("PodList", "", &[]) }
    })
    .await;
    assert_eq!(found.unwrap().nodes.value().unwrap().len(), 1, "a node that two selectors pick is one node");
    let pods: Vec<&String> = asked.iter().filter(|target| target.contains("/pods")).collect();
    assert_eq!(pods.len(), 2, "{pods:?}");
    assert!(pods.iter().any(|target| target.contains("spec.nodeName%3Dn1")) && pods.iter().any(|target| target.contains("spec.nodeName%3D%2C")));
    assert!(pods.iter().all(|target| target.contains("resourceVersion=0")), "{pods:?}");
}

#[tokio::test]
async fn of_many_nodes_all_pods_are_read() {
    let (_, asked) = observed(&["size=small"], |seen| {
        let nodes: Vec<Value> = (0..=FEW_NODES).map(|number| node(&format!("n{number}"))).collect();
        if seen.target.contains("/nodes") { list("NodeList", "", &nodes) } else { list("PodList", "", &[]) }
    })
    .await;
    assert_eq!(asked.iter().filter(|target| target.contains("/pods")).count(), 1);
}

#[tokio::test]
async fn whoever_may_list_pods_of_one_namespace_sees_those() {
    let forbidden = || Reply::status(403, "Forbidden", "pods is forbidden");
    let (found, _) = observed(&["size=small"], move |seen| match seen.target.as_str() {
        target if target.contains("/nodes") => list("NodeList", "", &[node("n1")]),
        target if target.contains("/namespaces/") => list("PodList", "", &[pod(Some("n1"), "Job", "1")]),
        _ => forbidden(),
    })
    .await;
    let found = found.unwrap();
    assert!(matches!(found.pods.value(), Some(PodScope::Namespace(_))));
    assert_eq!(found.nodes.value().unwrap()[0].load.jobs, 1);
}

#[tokio::test]
async fn what_is_forbidden_is_said_and_what_does_not_answer_is_an_error() {
    let (found, _) = observed(&[], |_| Reply::status(403, "Forbidden", "no")).await;
    let found = found.unwrap();
    assert_eq!(found.nodes.obstacle(), Some("the nodes: you may not list nodes"));
    assert_eq!(found.pods.obstacle(), Some("what runs on the nodes: you may not list pods"));
    let (found, _) = observed(&[], |_| Reply::status(500, "InternalError", "no")).await;
    assert_eq!(found.unwrap_err().kind(), crate::error::ErrorKind::Unreachable);
}

#[tokio::test]
async fn a_list_that_the_server_has_forgotten_starts_from_nothing() {
    let count = std::sync::atomic::AtomicU32::new(0);
    let (found, _) = observed(&[], move |seen| match seen.target.as_str() {
        target if target.contains("/nodes") => list("NodeList", "", &[node("n1")]),
        target if target.contains("continue=") && count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 => {
            Reply::status(410, "Expired", "gone")
        }
        target if target.contains("continue=") => list("PodList", "", &[pod(Some("n1"), "Job", "1")]),
        _ => list("PodList", "more", &[pod(Some("n1"), "Job", "1")]),
    })
    .await;
    assert_eq!(found.unwrap().nodes.value().unwrap()[0].load.jobs, 2);
}
