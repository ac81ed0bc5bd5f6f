//! A look at how a cluster is set up: its autoscaler, its nodes and what always runs on them, what jobs of a size refer to.
//!
//! Nothing of it fails: what could not be seen is said instead.

mod admission;
mod rights;
mod worker;

use k8s_openapi::{
    api::{
        apps::v1::{DaemonSet as DaemonSetObject, Deployment},
        core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Secret},
        scheduling::v1::PriorityClass,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, api::ListParams};

pub use self::{
    admission::{admission, admission_of_rule_breaker},
    rights::missing_rights,
    worker::{account, missing_rights_of},
};
use crate::{
    environment,
    kubernetes::{
        connect::Cluster,
        observe::{node_record, pod_footprint, toleration_record, unseen},
        retry::{CallError, Patience},
    },
    model::{
        access::AUTOSCALER_NAMESPACE,
        autoscaler_deployment::AutoscalerDeployment,
        doctor::DaemonSet,
        evidence::NodeRecord,
        node_group::{Sighting, ZONE},
    },
};

/// Returns the Deployment of the Cluster Autoscaler, where it usually is.
pub async fn autoscaler(cluster: &Cluster) -> Sighting<AutoscalerDeployment> {
    let api: Api<Deployment> = Api::namespaced(cluster.client.clone(), AUTOSCALER_NAMESPACE);
    let found = cluster.read_all(&api, ListParams::default(), Patience::ASK, "reading the autoscaler's Deployment").await;
    let verb = format!("list deployments in namespace `{AUTOSCALER_NAMESPACE}`");
    let found = sighting(found, "the flags of the Cluster Autoscaler", &verb);
    match found {
        Sighting::Seen { value, at } => match value.iter().find_map(deployment) {
            Some(value) => Sighting::Seen { value, at },
            None => Sighting::Absent { at },
        },
        Sighting::Unseen(why) => Sighting::Unseen(why),
        Sighting::NotAsked | Sighting::Absent { .. } => Sighting::NotAsked,
    }
}

/// Returns all nodes.
pub async fn nodes(cluster: &Cluster) -> Sighting<Vec<NodeRecord>> {
    let api: Api<Node> = Api::all(cluster.client.clone());
    let found = cluster.read_all(&api, ListParams::default(), Patience::ASK, "reading nodes").await;
    sighting(found.map(|nodes| nodes.iter().map(node_record).collect()), "the nodes", "list nodes")
}

/// Returns all daemon sets.
pub async fn daemon_sets(cluster: &Cluster) -> Sighting<Vec<DaemonSet>> {
    let api: Api<DaemonSetObject> = Api::all(cluster.client.clone());
    let found = cluster.read_all(&api, ListParams::default(), Patience::ASK, "reading daemon sets").await;
    let found = found.map(|sets| sets.iter().filter_map(daemon_set).collect());
    sighting(found, "what daemon sets take of every node", "list daemonsets of all namespaces")
}

/// Returns the priority of a PriorityClass.
pub async fn priority(cluster: &Cluster, class: &str) -> Sighting<i32> {
    let api: Api<PriorityClass> = Api::all(cluster.client.clone());
    let found = cluster.read(&api, class, Patience::ASK, "reading a PriorityClass").await;
    present(sighting(found.map(|class| class.map(|class| class.value)), "its priority", "get priorityclasses"))
}

/// Returns the zones that a PersistentVolumeClaim ties a pod to; none when it ties it to no zone, or is not bound yet.
pub async fn claim_zones(cluster: &Cluster, claim: &str) -> Sighting<Vec<String>> {
    let found = cluster.read(&cluster.api::<PersistentVolumeClaim>(), claim, Patience::ASK, "reading a claim").await;
    let found = present(sighting(found, "the claim", &format!("get persistentvolumeclaims in namespace `{}`", cluster.namespace)));
    let (claim, at) = match found {
        Sighting::Seen { value, at } => (value, at),
        Sighting::Unseen(why) => return Sighting::Unseen(why),
        Sighting::Absent { at } => return Sighting::Absent { at },
        Sighting::NotAsked => return Sighting::NotAsked,
    };
    let Some(volume) = claim.spec.and_then(|spec| spec.volume_name) else { return Sighting::Seen { value: Vec::new(), at } };
    let api: Api<PersistentVolume> = Api::all(cluster.client.clone());
    let found = cluster.read(&api, &volume, Patience::ASK, "reading a volume").await;
    sighting(found.map(|volume| volume.map(|volume| zones(&volume)).unwrap_or_default()), "the zone of its volume", "get persistentvolumes")
}

/// Returns the names of the entries of a Secret of the namespace.
pub async fn secret_entries(cluster: &Cluster, name: &str) -> Sighting<Vec<String>> {
    let found = cluster.read(&cluster.api::<Secret>(), name, Patience::ASK, "reading a Secret").await;
    let found = found.map(|secret| secret.map(|secret| secret.data.unwrap_or_default().into_keys().collect()));
    present(sighting(found, &format!("Secret `{name}`"), &format!("get secrets in namespace `{}`", cluster.namespace)))
}

/// Returns the version of the API server.
pub async fn version(cluster: &Cluster) -> Sighting<String> {
    match cluster.version().await {
        Ok(value) => Sighting::Seen { value, at: environment::now() },
        Err(error) => Sighting::Unseen(error.to_string()),
    }
}

/// Returns what an answer means to somebody who merely looks; `what` begins the sentence about what is not seen.
fn sighting<T>(answer: Result<T, CallError>, what: &str, verb: &str) -> Sighting<T> {
    match answer {
        Ok(value) => Sighting::Seen { value, at: environment::now() },
        Err(error) => Sighting::Unseen(unseen(&error, what, verb)),
    }
}

/// Returns what was seen of an object that may not exist.
fn present<T>(found: Sighting<Option<T>>) -> Sighting<T> {
    match found {
        Sighting::Seen { value: Some(value), at } => Sighting::Seen { value, at },
        Sighting::Seen { value: None, at } | Sighting::Absent { at } => Sighting::Absent { at },
        Sighting::Unseen(why) => Sighting::Unseen(why),
        Sighting::NotAsked => Sighting::NotAsked,
    }
}

fn deployment(object: &Deployment) -> Option<AutoscalerDeployment> {
    let spec = object.spec.as_ref()?;
    let containers = &spec.template.spec.as_ref()?.containers;
    let container = containers.iter().find(|container| container.image.as_deref().is_some_and(AutoscalerDeployment::is_image))?;
    let arguments = container.command.iter().chain(&container.args).flatten().map(String::as_str);
    let count = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok());
    Some(AutoscalerDeployment {
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        name: object.metadata.name.clone().unwrap_or_default(),
        image: container.image.clone().unwrap_or_default(),
        ready: count(object.status.as_ref().and_then(|status| status.ready_replicas)).unwrap_or(0),
        wanted: count(spec.replicas).unwrap_or(1),
        flags: AutoscalerDeployment::flags_of(arguments),
    })
}

fn daemon_set(object: &DaemonSetObject) -> Option<DaemonSet> {
    let ObjectMeta { namespace, name, .. } = &object.metadata;
    let pod = object.spec.as_ref()?.template.spec.as_ref()?;
    Some(DaemonSet {
        name: format!("{}/{}", namespace.as_deref().unwrap_or_default(), name.as_deref().unwrap_or_default()),
        footprint: pod_footprint(pod),
        node_selector: pod.node_selector.clone().unwrap_or_default(),
        tolerations: pod.tolerations.iter().flatten().map(toleration_record).collect(),
    })
}

/// Returns the zones that a volume's node affinity names.
fn zones(volume: &PersistentVolume) -> Vec<String> {
    let required = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref()).and_then(|affinity| affinity.required.as_ref());
    let expressions =
        required.into_iter().flat_map(|selector| &selector.node_selector_terms).flat_map(|term| term.match_expressions.iter().flatten());
    let of_zone = expressions.filter(|expression| expression.key == ZONE || expression.key == EBS_ZONE);
    of_zone.flat_map(|expression| expression.values.iter().flatten().cloned()).collect()
}

/// Label of the zone of a node by the driver of EBS volumes.
const EBS_ZONE: &str = "topology.ebs.csi.aws.com/zone";

#[cfg(test)]
mod tests;
