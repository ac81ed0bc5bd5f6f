//! Karpenter's objects: NodePools, NodeClaims and the events about them.
//!
//! Read by the API group `karpenter.sh/v1`, which Karpenter has had since 1.0. Only the fields that are used are kept of each object.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Event, NodeSelectorRequirement, Taint},
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{Condition, ObjectMeta},
    },
};
use kube::{
    Api,
    api::{ApiResource, ListParams},
    core::{GroupVersionKind, Object},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    environment,
    kubernetes::{
        connect::Cluster,
        error::status,
        observe::{allocatable, event_record, taint_record, unseen},
        retry::{CallError, Patience},
    },
    model::{
        access, duration,
        evidence::{ConditionRecord, EventRecord},
        node_group::{INSTANCE_TYPE, NODE_POOL, NodeClaim, NodePool, Requirement, Sighting, ZONE, is_spot},
        node_pool::is_claim_of,
    },
};

/// Group and version of Karpenter's kinds.
const API_VERSION: &str = "karpenter.sh/v1";
/// Namespace of the events about its objects, which have none themselves.
const EVENTS: &str = access::NODE_EVENTS_NAMESPACE;
/// Kind of its objects that stand for one machine each.
const NODE_CLAIM: &str = "NodeClaim";

/// How much of Karpenter to look at. NodePools are few, and always all of them are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Of one NodePool its claims and the warnings about it and them: what explains why a job waits for it. Of others the claims that
    /// are not launched: they hold up Karpenter as a whole.
    Pool(&'a str),
    /// All claims, and all events about pools and claims.
    All,
}

/// What was seen of Karpenter.
#[derive(Debug, Default, PartialEq)]
pub struct Karpenter {
    /// NodePools; absent means that the cluster does not know the kind.
    pub pools: Sighting<Vec<NodePool>>,
    /// NodeClaims; those that are gone leave nothing but events.
    pub claims: Vec<NodeClaim>,
    /// Events about pools and claims, oldest first.
    pub events: Vec<EventRecord>,
    /// What else could not be seen, as sentences.
    pub unknown: Vec<String>,
}

type PoolObject = Object<PoolSpec, PoolStatus>;
type ClaimObject = Object<ClaimSpec, ClaimStatus>;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PoolSpec {
    /// Integers or strings, as somebody wrote them.
    limits: BTreeMap<String, Value>,
    disruption: Disruption,
    template: Template,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Disruption {
    consolidate_after: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Template {
    metadata: ObjectMeta,
    spec: TemplateSpec,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TemplateSpec {
    taints: Vec<Taint>,
    startup_taints: Vec<Taint>,
    requirements: Vec<NodeSelectorRequirement>,
    termination_grace_period: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct PoolStatus {
    resources: BTreeMap<String, Value>,
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct ClaimSpec {}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClaimStatus {
    conditions: Vec<Condition>,
    allocatable: BTreeMap<String, Quantity>,
    node_name: Option<String>,
    #[serde(rename = "providerID")]
    provider_id: Option<String>,
    last_pod_event_time: Option<Timestamp>,
}

/// Looks at Karpenter. Nothing of it fails: what could not be seen is said instead.
///
/// A cluster without Karpenter is asked once.
pub async fn observe(cluster: &Cluster, scope: Scope<'_>, patience: Patience) -> Karpenter {
    let mut seen = Karpenter { pools: pools(cluster, patience).await, ..Karpenter::default() };
    if seen.pools.is_absent() {
        return seen;
    }
    let (claims, events) = tokio::join!(claims(cluster, scope, patience), events(cluster, scope, patience));
    match claims {
        Ok(claims) => seen.claims = claims,
        Err(sentence) => seen.unknown.push(sentence),
    }
    match events {
        Ok(events) => seen.events = events,
        Err(sentence) => seen.unknown.push(sentence),
    }
    seen
}

/// Returns recorded lists of NodePools and NodeClaims as the records that they become.
#[cfg(test)]
pub(crate) fn recorded(mut pools: Value, mut claims: Value) -> (Vec<NodePool>, Vec<NodeClaim>) {
    let pools: Vec<PoolObject> = serde_json::from_value(pools["items"].take()).expect("a list of NodePools");
    let claims: Vec<ClaimObject> = serde_json::from_value(claims["items"].take()).expect("a list of NodeClaims");
    (pools.into_iter().map(pool_record).collect(), claims.into_iter().map(claim_record).collect())
}

async fn pools(cluster: &Cluster, patience: Patience) -> Sighting<Vec<NodePool>> {
    let api: Api<PoolObject> = Api::all_with(cluster.client.clone(), &resource("NodePool", "nodepools"));
    let found = cluster.read_all(&api, ListParams::default(), patience, "reading node pools").await;
    let at = environment::now();
    match found {
        Ok(pools) => Sighting::Seen { value: pools.into_iter().map(pool_record).collect(), at },
        Err(error) if is_unknown_kind(&error) => Sighting::Absent { at },
        Err(error) => Sighting::Unseen(unseen(&error, "the node pools", "list nodepools")),
    }
}

async fn claims(cluster: &Cluster, scope: Scope<'_>, patience: Patience) -> Result<Vec<NodeClaim>, String> {
    let api: Api<ClaimObject> = Api::all_with(cluster.client.clone(), &resource(NODE_CLAIM, "nodeclaims"));
    let selectors = match scope {
        // A claim has no label of its instance type before it is launched.
        Scope::Pool(pool) => vec![format!("{NODE_POOL}={pool}"), format!("{NODE_POOL}!={pool},!{INSTANCE_TYPE}")],
        Scope::All => vec![String::new()],
    };
    let lists = selectors.iter().map(|selector| {
        let parameters = ListParams::default().labels(selector);
        cluster.read_all(&api, parameters, patience, "reading node claims")
    });
    match try_join_all(lists).await {
        Ok(lists) => Ok(lists.into_iter().flatten().map(claim_record).collect()),
        Err(error) => Err(unseen(&error, "machines on their way (NodeClaims)", "list nodeclaims")),
    }
}

async fn events(cluster: &Cluster, scope: Scope<'_>, patience: Patience) -> Result<Vec<EventRecord>, String> {
    let api: Api<Event> = Api::namespaced(cluster.client.clone(), EVENTS);
    let about = format!("involvedObject.apiVersion={API_VERSION}");
    let fields = match scope {
        Scope::Pool(_) => format!("{about},type=Warning"),
        Scope::All => about,
    };
    let found = cluster.read_all(&api, ListParams::default().fields(&fields), patience, "reading events of node pools").await;
    let verb = format!("list events in namespace `{EVENTS}`");
    let found = found.map_err(|error| unseen(&error, "events of node pools, which tell of launches that failed", &verb))?;
    let mut events: Vec<EventRecord> = found.iter().map(event_record).filter(|event| concerns(event, scope)).collect();
    events.sort_by_key(|event| (event.last, event.first));
    Ok(events)
}

/// Returns whether the API server does not know the kind. For a group that it does not know its answer is a line of text.
fn is_unknown_kind(error: &CallError) -> bool {
    status(error).is_some_and(|status| status.code == 404 && (status.is_not_found() || status.message == "404 page not found"))
}

fn resource(kind: &str, plural: &str) -> ApiResource {
    let (group, version) = API_VERSION.split_once('/').unwrap_or_default();
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

/// Returns whether an event is about the pool or one of its claims. The last ones of an object name none.
fn concerns(event: &EventRecord, scope: Scope<'_>) -> bool {
    match scope {
        Scope::Pool(pool) if event.object_kind == NODE_CLAIM => is_claim_of(&event.object, pool),
        Scope::Pool(pool) => event.object == pool,
        Scope::All => !event.object.is_empty(),
    }
}

fn pool_record(pool: PoolObject) -> NodePool {
    let PoolSpec { limits, disruption, template } = pool.spec;
    let status = pool.status.unwrap_or_default();
    NodePool {
        name: pool.metadata.name.unwrap_or_default(),
        limits: texts(limits),
        in_use: texts(status.resources),
        labels: template.metadata.labels.unwrap_or_default(),
        taints: template.spec.taints.into_iter().map(taint_record).collect(),
        startup_taints: template.spec.startup_taints.into_iter().map(taint_record).collect(),
        requirements: template.spec.requirements.into_iter().map(requirement).collect(),
        conditions: status.conditions.into_iter().map(condition).collect(),
        consolidate_after: disruption.consolidate_after.and_then(|text| duration::parse(&text).ok()),
        termination_grace_period: template.spec.termination_grace_period.and_then(|text| duration::parse(&text).ok()),
    }
}

fn claim_record(claim: ClaimObject) -> NodeClaim {
    let ObjectMeta { name, creation_timestamp, deletion_timestamp, labels, .. } = claim.metadata;
    let (labels, status) = (labels.unwrap_or_default(), claim.status.unwrap_or_default());
    let label = |key: &str| labels.get(key).cloned();
    NodeClaim {
        name: name.unwrap_or_default(),
        pool: label(NODE_POOL).unwrap_or_default(),
        created: creation_timestamp.map(|time| time.0),
        deleted: deletion_timestamp.map(|time| time.0),
        conditions: status.conditions.into_iter().map(condition).collect(),
        instance_type: label(INSTANCE_TYPE),
        spot: is_spot(&labels),
        zone: label(ZONE),
        node: status.node_name.filter(|name| !name.is_empty()),
        provider_id: status.provider_id.filter(|id| !id.is_empty()),
        allocatable: allocatable(Some(&status.allocatable)),
        last_pod_event: status.last_pod_event_time,
    }
}

fn requirement(requirement: NodeSelectorRequirement) -> Requirement {
    Requirement { key: requirement.key, operator: requirement.operator, values: requirement.values.unwrap_or_default() }
}

fn condition(condition: Condition) -> ConditionRecord {
    ConditionRecord {
        kind: condition.type_,
        status: condition.status,
        reason: condition.reason,
        message: condition.message,
        since: Some(condition.last_transition_time.0),
    }
}

fn texts(quantities: BTreeMap<String, Value>) -> BTreeMap<String, String> {
    let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    quantities.into_iter().map(|(resource, value)| (resource, text(value))).collect()
}

#[cfg(test)]
mod tests;
