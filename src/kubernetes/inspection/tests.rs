use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::{
    kubernetes::retry::script::{Reply, Server, connect},
    model::{
        autoscaler_deployment::Minor,
        doctor::Admission,
        footprint::Footprint,
        launch_plan::Toleration,
        quantity::{Cpu, Memory},
    },
};

async fn cluster(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Cluster {
    let server = Server::start(move |_, seen| reply(&seen.target)).await;
    connect(&server.url, json!({})).await.0
}

fn list(kind: &str, items: &Value) -> Reply {
    Reply::json(200, &json!({"apiVersion": "v1", "kind": format!("{kind}List"), "metadata": {}, "items": items}))
}

#[tokio::test]
async fn the_autoscaler_is_known_by_its_image() {
    let other = json!({"metadata": {"name": "coredns"}, "spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "c", "image": "coredns:1"}]}}}});
    let container = json!({
        "name": "a", "image": "registry.k8s.io/autoscaling/cluster-autoscaler:v1.33.0",
        "command": ["./cluster-autoscaler", "--v=4"], "args": ["--expander=random"],
    });
    let autoscaler = json!({
        "metadata": {"name": "ca", "namespace": "kube-system"},
        "spec": {"replicas": 1, "selector": {}, "template": {"spec": {"containers": [container]}}},
        "status": {"readyReplicas": 1},
    });
    let cluster = cluster(move |_| list("Deployment", &json!([other, autoscaler]))).await;
    let found = super::autoscaler(&cluster).await;
    let found = found.value().expect("it is there");
    assert_eq!((found.name.as_str(), found.ready, found.version(), found.flag("expander")), ("ca", 1, Some(Minor(1, 33)), Some("random")));
}

#[tokio::test]
async fn what_may_not_be_seen_says_which_right_is_missing() {
    let cluster = cluster(|_| Reply::status(403, "Forbidden", "nodes is forbidden")).await;
    assert_eq!(
        autoscaler(&cluster).await.obstacle(),
        Some("the flags of the Cluster Autoscaler: you may not list deployments in namespace `kube-system`")
    );
    assert_eq!(nodes(&cluster).await.obstacle(), Some("the nodes: you may not list nodes"));
    assert_eq!(priority(&cluster, "low").await.obstacle(), Some("its priority: you may not get priorityclasses"));
    assert_eq!(admission_of_rule_breaker(&cluster).await.obstacle(), Some("whether Jobs are admitted: you may not create jobs in namespace `flows`"));
}

#[tokio::test]
async fn daemon_sets_take_room_by_their_requests() {
    let pod = json!({
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"operator": "Exists"}],
        "containers": [{"name": "c", "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}}}],
    });
    let set = json!({"metadata": {"name": "aws-node", "namespace": "kube-system"}, "spec": {"selector": {}, "template": {"spec": pod}}});
    let cluster = cluster(move |_| list("DaemonSet", &json!([set]))).await;
    let expected = DaemonSet {
        name: "kube-system/aws-node".into(),
        footprint: Footprint { cpu: Cpu(50), memory: Memory::from_mib(64), ..Footprint::default() },
        node_selector: BTreeMap::from([("kubernetes.io/os".into(), "linux".into())]),
        tolerations: vec![Toleration { key: None, operator: Some("Exists".into()), value: None, effect: None }],
    };
    assert_eq!(daemon_sets(&cluster).await.value(), Some(&vec![expected]));
}

#[tokio::test]
async fn a_claim_is_tied_to_the_zone_of_its_volume() {
    let terms = json!([{"matchExpressions": [{"key": "topology.ebs.csi.aws.com/zone", "operator": "In", "values": ["eu-west-1a"]}]}]);
    let cluster = cluster(move |target| match target {
        _ if target.contains("/persistentvolumes/") => Reply::json(
            200,
            &json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"}, "spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}}),
        ),
        _ if target.contains("unbound") => Reply::json(200, &json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "unbound"}, "spec": {}})),
        _ if target.contains("data") => {
            Reply::json(200, &json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {"volumeName": "v"}}))
        }
        _ => Reply::status(404, "NotFound", "not found"),
    })
    .await;
    assert_eq!(claim_zones(&cluster, "data").await.value(), Some(&vec!["eu-west-1a".to_owned()]));
    assert_eq!(claim_zones(&cluster, "unbound").await.value(), Some(&Vec::new()));
    assert!(claim_zones(&cluster, "gone").await.is_absent());
}

#[tokio::test]
async fn a_refusal_of_a_policy_is_told_from_a_missing_right() {
    let words = "jobs.batch \"sbrun-doctor\" is forbidden: ValidatingAdmissionPolicy 'sbrun-flows' with binding 'sbrun-flows' denied request: a flow is \
                 never restarted";
    let cluster = cluster(move |target| {
        assert!(target.contains("dryRun=All"), "{target}");
        Reply::status(422, "Invalid", words)
    })
    .await;
    assert_eq!(admission_of_rule_breaker(&cluster).await.value(), Some(&Admission::Refused("a flow is never restarted".into())));
}
