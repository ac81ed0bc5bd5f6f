use std::time::Duration;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::*;
use crate::{
    kubernetes::retry::script::{Reply, Server, connect},
    model::{
        footprint::{Allocatable, Footprint},
        launch_plan,
        node_pool::capacity_failure,
        quantity::{Cpu, Memory},
    },
};

/// Returns the objects of a kind at a moment of a recording of the real Karpenter.
fn recorded(moment: &str, kind: &str) -> Value {
    let path = format!("{}/tests/recorded/karpenter/{moment}/{kind}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(&path).expect(&path)).expect(&path)
}

fn objects<T: DeserializeOwned>(moment: &str, kind: &str) -> Vec<T> {
    let items = recorded(moment, kind)["items"].take();
    serde_json::from_value(items).expect(moment)
}

fn pool(moment: &str) -> NodePool {
    let mut pools = objects(moment, "nodepools").into_iter().map(pool_record);
    pools.next().expect("the recordings have one pool")
}

fn recorded_claims(moment: &str) -> Vec<NodeClaim> {
    objects(moment, "nodeclaims").into_iter().map(claim_record).collect()
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "records hold times that may be unknown")]
fn time(text: &str) -> Option<Timestamp> {
    Some(text.parse().expect(text))
}

#[test]
fn a_recorded_pool_says_what_it_starts_and_what_it_has() {
    let mut pool = pool("from-zero/2-running");
    let conditions: Vec<(String, bool)> = pool.conditions.drain(..).map(|condition| (condition.kind, condition.status == "True")).collect();
    let kinds = ["ValidationSucceeded", "NodeClassReady", "NodeRegistrationHealthy", "Ready"];
    assert_eq!(conditions, kinds.map(|kind| (kind.to_owned(), true)));
    let requirement = |key: &str, value: &str| Requirement { key: key.into(), operator: "In".into(), values: vec![value.into()] };
    assert_eq!(
        pool,
        NodePool {
            name: "flows-small".into(),
            limits: texts(&[("cpu", "8")]),
            in_use: texts(&[("cpu", "2"), ("ephemeral-storage", "0"), ("memory", "4Gi"), ("nodes", "1"), ("pods", "1")]),
            labels: texts(&[("sbrun.dev/size", "small")]),
            taints: vec![launch_plan::Taint { key: "sbrun.dev/size".into(), value: "small".into(), effect: "NoSchedule".into() }],
            requirements: vec![
                requirement("karpenter.sh/capacity-type", "spot"),
                requirement("node.kubernetes.io/instance-type", "m-4x-amd64-linux"),
            ],
            consolidate_after: Some(Duration::from_secs(10)),
            ..NodePool::default()
        }
    );
    assert_eq!(pool.is_spot(), Some(true));
}

#[test]
fn a_recorded_claim_is_one_machine() {
    let mut claims = recorded_claims("from-zero/2-running");
    let mut claim = claims.remove(0);
    assert_eq!(claims, []);
    let conditions: Vec<_> = claim.conditions.drain(..).map(|condition| (condition.kind, condition.status, condition.since)).collect();
    let condition = |kind: &str, since: &str| (kind.to_owned(), "True".to_owned(), time(since));
    assert_eq!(
        conditions,
        [
            condition("Launched", "2026-11-23T22:47:09Z"),
            condition("ConsistentStateFound", "2026-11-23T22:47:09Z"),
            condition("Registered", "2026-11-23T22:47:10Z"),
            condition("Initialized", "2026-11-23T22:47:11Z"),
            condition("Ready", "2026-11-23T22:47:11Z"),
        ]
    );
    assert_eq!(
        claim,
        NodeClaim {
            name: "flows-small-2wx68".into(),
            pool: "flows-small".into(),
            created: time("2026-11-23T22:47:09Z"),
            instance_type: Some("m-4x-amd64-linux".into()),
            spot: Some(true),
            zone: Some("test-zone-d".into()),
            node: Some("kwok-flows-small-2wx68-legsfan-2-xz4pabvqfs-1162307251".into()),
            provider_id: Some("kwok://kwok-flows-small-2wx68-legsfan-2-xz4pabvqfs-1162307251".into()),
            allocatable: Allocatable {
                cpu: Cpu(3900),
                memory: Memory::from_mib(32758),
                gpu: 0,
                ephemeral_storage: Some(Memory::from_mib(20 * 1024))
            },
            last_pod_event: time("2026-11-23T22:47:10Z"),
            ..NodeClaim::default()
        }
    );
}

#[test]
fn a_claim_is_seen_to_go() {
    let claims = recorded_claims("node-deleted/1-draining");
    assert!(claims.iter().any(|claim| claim.deleted.is_some()), "{claims:#?}");
    assert!(recorded_claims("from-zero/3-complete").iter().all(|claim| claim.deleted.is_none()));
    assert_eq!(recorded_claims("from-zero/4-node-removed"), []);
}

#[test]
fn the_limit_of_the_recording_is_reached() {
    let third = Footprint { cpu: Cpu(3000), memory: Memory::from_mib(4096), ..Footprint::default() };
    let reached = |moment| -> Vec<(String, bool)> {
        pool(moment).reached_limits(&third, None).into_iter().map(|limit| (limit.resource, limit.for_good)).collect()
    };
    assert_eq!(reached("limit-reached/1-pending"), [("cpu".to_owned(), false)]);
    assert_eq!(reached("from-zero/1-pending"), []);
    let huge = Footprint { cpu: Cpu(100_000), ..third };
    assert!(pool("never-fits/1-pending").reached_limits(&huge, None)[0].for_good);
    assert_eq!(pool("no-such-size/1-pending").missing_labels(&texts(&[("sbrun.dev/size", "xxl")])), [("sbrun.dev/size", "xxl")]);
}

#[test]
fn events_are_sorted_out_by_pool() {
    let events: Vec<Event> = objects("from-zero/4-node-removed", "events");
    let of = |scope| -> Vec<(String, String)> {
        let records = events.iter().filter(|event| event.involved_object.api_version.as_deref() == Some(API_VERSION)).map(event_record);
        records.filter(|event| concerns(event, scope)).map(|event| (event.object, event.reason)).collect()
    };
    let life = ["Launched", "Registered", "Initialized", "Ready", "DisruptionBlocked", "DisruptionTerminating", "Drained"];
    assert_eq!(of(Scope::Pool("flows-small")), life.map(|reason| ("flows-small-2wx68".to_owned(), reason.to_owned())));
    assert_eq!(of(Scope::All).len(), life.len(), "`Finalized` names no object");
    assert_eq!(of(Scope::Pool("flows")), []);
}

/// Returns the events of a moment that are about a kind of objects.
fn recorded_events(moment: &str, kind: &str) -> Vec<EventRecord> {
    let events: Vec<Event> = objects(moment, "events");
    events.iter().map(event_record).filter(|event| event.object_kind == kind).collect()
}

#[test]
fn failed_launches_are_told_from_events_and_from_conditions() {
    let events = recorded_events("no-capacity/1-claim-failed", "NodeClaim");
    let words: Vec<&str> = events.iter().filter_map(capacity_failure).collect();
    assert_eq!(words.len(), 1);
    assert!(words[0].starts_with("with fleet error(s), InsufficientInstanceCapacity: We currently do not have"), "{words:?}");
    assert_eq!(recorded_claims("no-capacity/1-claim-failed"), [], "the claim itself is gone");
    let claims = recorded_claims("launch-refused/1-retrying");
    let refused = claims[0].refused_launch().expect("a refused launch");
    assert_eq!(refused.message, "UnauthorizedOperation: You are not authorized to use launch template lt-0123456789abcdef0");
    assert_eq!(recorded_claims("from-zero/2-running")[0].refused_launch(), None);
}

#[test]
fn words_about_other_pools_are_left_out() {
    let pool = |moment| objects(moment, "nodepools").into_iter().map(pool_record).find(|pool| pool.name == "flows-small").expect("the pool");
    let refusals = |moment| -> Vec<String> {
        let events = recorded_events(moment, "Pod");
        let words = events.iter().filter(|event| event.source == "karpenter" && event.reason == "FailedScheduling");
        words.flat_map(|event| pool(moment).refusals(&event.message)).map(ToOwned::to_owned).collect()
    };
    assert_eq!(refusals("limit-beside-others/1-pending"), ["all available instance types exceed limits for nodepool (NodePool=flows-small)"]);
    let mismatch = "incompatible requirements, key sbrun.dev/size, sbrun.dev/size In [nowhere] not in sbrun.dev/size In [small]";
    assert_eq!(refusals("label-mismatch/1-pending"), [mismatch]);
    assert_eq!(refusals("no-capacity/2-passed-over"), Vec::<String>::new());
}

#[test]
fn what_somebody_wrote_in_another_way_is_read_as_well() {
    let pool = json!({
        "metadata": {"name": "p"},
        "spec": {
            "limits": {"cpu": 8, "memory": 1_099_511_627_776_u64, "nvidia.com/gpu": "2"},
            "disruption": {"consolidateAfter": "Never"},
            "template": {"spec": {"startupTaints": [{"key": "boot", "effect": "NoSchedule"}], "requirements": [{"key": "rack", "operator": "Exists"}]}},
        },
    });
    let pool = pool_record(serde_json::from_value(pool).expect("a pool"));
    assert_eq!(pool.limits, texts(&[("cpu", "8"), ("memory", "1099511627776"), ("nvidia.com/gpu", "2")]));
    assert_eq!(pool.consolidate_after, None);
    assert_eq!(pool.startup_taints.len(), 1);
    assert_eq!(pool.requirements, [Requirement { key: "rack".into(), operator: "Exists".into(), values: vec![] }]);
    let claim = json!({"metadata": {"name": "p-abcde"}, "spec": {"expireAfter": "720h"}});
    let claim = claim_record(serde_json::from_value(claim).expect("a claim"));
    assert_eq!(claim, NodeClaim { name: "p-abcde".into(), ..NodeClaim::default() });
}

/// Looks at a server that answers by what is asked for: pools, claims or events. Returns also what it was asked.
async fn observed(scope: Scope<'_>, answer: fn(&str) -> Reply) -> (Karpenter, Vec<String>) {
    let kind = |target: &str| ["nodepools", "nodeclaims", "events"].into_iter().find(|kind| target.contains(kind)).unwrap_or_default();
    let server = Server::start(move |_, seen| answer(kind(&seen.target))).await;
    let (cluster, _) = connect(&server.url, json!({})).await;
    let seen = observe(&cluster, scope, Patience::ONCE).await;
    let mut asked: Vec<String> = server.seen().into_iter().map(|seen| seen.target).collect();
    asked.sort();
    (seen, asked)
}

fn list(moment: &str, kind: &str) -> Reply {
    let items = recorded(moment, kind)["items"].take();
    Reply::json(200, &json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}))
}

#[tokio::test]
async fn one_pool_is_asked_for_what_concerns_it() {
    let (seen, asked) = observed(Scope::Pool("flows-small"), |kind| list("launch-refused/1-retrying", kind)).await;
    assert_eq!(
        asked,
        [
            "/api/v1/namespaces/default/events?&fieldSelector=involvedObject.apiVersion%3Dkarpenter.sh%2Fv1%2Ctype%3DWarning&limit=500",
            "/apis/karpenter.sh/v1/nodeclaims?&labelSelector=karpenter.sh%2Fnodepool%21%3Dflows-small%2C%21node.kubernetes.io%2Finstance-type&limit=500",
            "/apis/karpenter.sh/v1/nodeclaims?&labelSelector=karpenter.sh%2Fnodepool%3Dflows-small&limit=500",
            "/apis/karpenter.sh/v1/nodepools?&limit=500",
        ]
    );
    assert_eq!(seen.pools.value().map(Vec::len), Some(2));
    assert_eq!(seen.claims.len(), 2, "one from each answer");
    assert!(seen.events.iter().all(|event| event.object_kind != "Pod"), "events of pods are not asked for here");
    assert_eq!(seen.unknown, Vec::<String>::new());
}

#[tokio::test]
async fn a_cluster_without_karpenter_is_asked_once() {
    let (seen, asked) = observed(Scope::All, |_| Reply::Answer(404, "Content-Type: text/plain\r\n", b"404 page not found\n".to_vec())).await;
    assert!(seen.pools.is_absent(), "{seen:?}");
    assert_eq!(asked.len(), 1);
    // A proxy's page says nothing about the cluster.
    let (seen, _) = observed(Scope::All, |_| Reply::Answer(404, "Content-Type: text/html\r\n", b"<h1>Not Found</h1>".to_vec())).await;
    assert_eq!(seen.pools.obstacle(), Some("the node pools: the API server answered 404"));
}

#[tokio::test]
async fn what_may_not_be_seen_is_said() {
    let (seen, _) = observed(Scope::All, |_| Reply::status(403, "Forbidden", "no")).await;
    assert_eq!(seen.pools.obstacle(), Some("the node pools: you may not list nodepools"));
    assert_eq!(
        seen.unknown,
        [
            "machines on their way (NodeClaims): you may not list nodeclaims",
            "events of node pools, which tell of launches that failed: you may not list events in namespace `default`"
        ]
    );
    let (seen, _) = observed(Scope::All, |_| Reply::status(500, "InternalError", "etcd")).await;
    assert_eq!(seen.pools.obstacle(), Some("the node pools: the API server answered 500"));
    // Claims alone: the pools are known all the same.
    let (seen, _) = observed(Scope::All, |kind| match kind {
        "nodeclaims" => Reply::status(403, "Forbidden", "no"),
        _ => list("from-zero/2-running", kind),
    })
    .await;
    assert_eq!((seen.pools.value().map(Vec::len), seen.claims.len(), seen.unknown.len()), (Some(1), 0, 1));
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_no_answer() {
    let (seen, _) = observed(Scope::All, |_| Reply::json(200, &json!({"kind": "List", "metadata": {}, "items": [7]}))).await;
    assert_eq!(seen.pools.obstacle(), Some("the node pools: the answer of the API server cannot be read"));
    assert_eq!(seen.unknown.len(), 2);
}
