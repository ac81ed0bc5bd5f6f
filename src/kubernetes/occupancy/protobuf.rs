//! The same few fields of nodes and pods in protobuf, by their numbers: k8s.io/api `core/v1/generated.proto`, k8s.io/apimachinery
//! `pkg/apis/meta/v1/generated.proto` and, for the envelope, `pkg/runtime/generated.proto`. Numbers never change; all other fields are skipped.

use std::collections::{BTreeMap, HashMap};

use bytes::{Buf, Bytes};
use jiff::Timestamp;
use prost::Message;

use super::wire;
use crate::{kubernetes::labels, model::launch_plan};

/// What stands before every object (k8s.io/apimachinery `pkg/runtime/serializer/protobuf`).
const MAGIC: &[u8] = b"k8s\0";

/// The envelope of every object.
#[derive(Clone, PartialEq, Message)]
struct Unknown {
    #[prost(bytes = "bytes", optional, tag = "2")]
    raw: Option<Bytes>,
}

/// Returns the object in its envelope.
pub(super) fn unwrapped(mut body: Bytes) -> kube::Result<Bytes> {
    if !body.starts_with(MAGIC) {
        return Err(garbled("it does not begin as protobuf of Kubernetes"));
    }
    body.advance(MAGIC.len());
    decoded::<Unknown>(body)?.raw.ok_or_else(|| garbled("it ends before the object"))
}

/// Returns that an answer could not be read, as kube says of JSON.
fn garbled(why: &str) -> kube::Error {
    kube::Error::SerdeError(serde::de::Error::custom(why))
}

fn decoded<M: Message + Default>(raw: Bytes) -> kube::Result<M> {
    M::decode(raw).map_err(|error| garbled(&error.to_string()))
}

// ---- Lists and refusals

/// A page of a list.
pub(super) struct List<M> {
    /// What stands before its objects.
    pub(super) head: ListHead,
    /// Its objects.
    pub(super) items: Vec<M>,
}

#[derive(Clone, PartialEq, Message)]
struct Items {
    #[prost(bytes = "bytes", repeated, tag = "2")]
    items: Vec<Bytes>,
}

/// A list without its objects.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ListHead {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ListMetadata>,
}

#[derive(Clone, PartialEq, Message)]
struct ListMetadata {
    #[prost(string, tag = "3")]
    continue_: String,
}

impl<M: Message + Default> List<M> {
    /// Returns the page in these bytes.
    pub(super) fn of(raw: Bytes) -> kube::Result<Self> {
        let head = ListHead::of(raw.clone())?;
        let items = decoded::<Items>(raw)?.items.into_iter().map(decoded).collect::<kube::Result<_>>()?;
        Ok(Self { head, items })
    }
}

impl ListHead {
    /// Returns the beginning of the page in these bytes.
    pub(super) fn of(raw: Bytes) -> kube::Result<Self> {
        decoded(raw)
    }

    /// Returns where the list goes on.
    pub(super) fn following(self) -> Option<String> {
        Some(self.metadata?.continue_).filter(|token| !token.is_empty())
    }
}

/// Why a server refused.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Status {
    #[prost(string, tag = "3")]
    pub(super) message: String,
    #[prost(string, tag = "4")]
    pub(super) reason: String,
    #[prost(message, optional, tag = "5")]
    pub(super) details: Option<StatusDetails>,
    #[prost(int32, tag = "6")]
    pub(super) code: i32,
}

/// What a refusal is about.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StatusDetails {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) group: String,
    #[prost(string, tag = "3")]
    pub(super) kind: String,
    #[prost(int32, tag = "5")]
    pub(super) retry_after_seconds: i32,
    #[prost(string, tag = "6")]
    pub(super) uid: String,
}

impl Status {
    /// Returns the refusal in these bytes.
    pub(super) fn of(raw: Bytes) -> kube::Result<Self> {
        decoded(raw)
    }
}

// ---- Nodes and pods

#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "8")]
    creation_timestamp: Option<Time>,
    #[prost(message, optional, tag = "9")]
    deletion_timestamp: Option<Time>,
    #[prost(btree_map = "string, string", tag = "11")]
    labels: BTreeMap<String, String>,
    #[prost(map = "string, string", tag = "12")]
    annotations: HashMap<String, String>,
    #[prost(message, repeated, tag = "13")]
    owner_references: Vec<Owner>,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct Time {
    #[prost(int64, tag = "1")]
    seconds: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Owner {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(bool, tag = "6")]
    controller: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Quantity {
    #[prost(string, tag = "1")]
    string: String,
}

/// A node.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Node {
    #[prost(message, optional, tag = "1")]
    metadata: Option<Metadata>,
    #[prost(message, optional, tag = "2")]
    spec: Option<NodeSpec>,
    #[prost(message, optional, tag = "3")]
    status: Option<NodeStatus>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeSpec {
    #[prost(string, tag = "3")]
    provider_id: String,
    #[prost(bool, tag = "4")]
    unschedulable: bool,
    #[prost(message, repeated, tag = "5")]
    taints: Vec<Taint>,
}

#[derive(Clone, PartialEq, Message)]
struct Taint {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
    #[prost(string, tag = "3")]
    effect: String,
}

#[derive(Clone, PartialEq, Message)]
struct NodeStatus {
    #[prost(map = "string, message", tag = "2")]
    allocatable: HashMap<String, Quantity>,
    #[prost(message, repeated, tag = "4")]
    conditions: Vec<Condition>,
}

#[derive(Clone, PartialEq, Message)]
struct Condition {
    #[prost(string, tag = "1")]
    r#type: String,
    #[prost(string, tag = "2")]
    status: String,
    #[prost(message, optional, tag = "4")]
    last_transition_time: Option<Time>,
    #[prost(string, tag = "5")]
    reason: String,
    #[prost(string, tag = "6")]
    message: String,
}

/// A pod.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Pod {
    #[prost(message, optional, tag = "1")]
    metadata: Option<Metadata>,
    #[prost(message, optional, tag = "2")]
    spec: Option<PodSpec>,
    #[prost(message, optional, tag = "3")]
    status: Option<PodStatus>,
}

#[derive(Clone, PartialEq, Message)]
struct PodSpec {
    #[prost(message, repeated, tag = "2")]
    containers: Vec<Container>,
    #[prost(btree_map = "string, string", tag = "7")]
    node_selector: BTreeMap<String, String>,
    #[prost(string, tag = "10")]
    node_name: String,
    #[prost(message, repeated, tag = "20")]
    init_containers: Vec<Container>,
    #[prost(map = "string, message", tag = "32")]
    overhead: HashMap<String, Quantity>,
    #[prost(message, repeated, tag = "38")]
    scheduling_gates: Vec<Gate>,
}

#[derive(Clone, PartialEq, Message)]
struct Container {
    #[prost(message, optional, tag = "8")]
    resources: Option<Resources>,
    #[prost(string, tag = "24")]
    restart_policy: String,
}

#[derive(Clone, PartialEq, Message)]
struct Resources {
    #[prost(map = "string, message", tag = "2")]
    requests: HashMap<String, Quantity>,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct Gate {}

#[derive(Clone, PartialEq, Message)]
struct PodStatus {
    #[prost(string, tag = "1")]
    phase: String,
}

// ---- As JSON has them

fn timestamp(time: Option<Time>) -> Option<Timestamp> {
    Timestamp::from_second(time?.seconds).ok()
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

impl From<HashMap<String, Quantity>> for wire::Resources {
    fn from(mut amounts: HashMap<String, Quantity>) -> Self {
        let mut take = |name: &str| amounts.remove(name).map(|quantity| quantity.string);
        Self { cpu: take("cpu"), memory: take("memory"), gpu: take(labels::GPU), ephemeral_storage: take("ephemeral-storage") }
    }
}

impl From<Node> for wire::NodeFields {
    fn from(Node { metadata, spec, status }: Node) -> Self {
        let (mut metadata, spec, status) = (metadata.unwrap_or_default(), spec.unwrap_or_default(), status.unwrap_or_default());
        let annotations = wire::NodeAnnotations {
            scale_down_disabled: metadata.annotations.remove("cluster-autoscaler.kubernetes.io/scale-down-disabled"),
            do_not_disrupt: metadata.annotations.remove("karpenter.sh/do-not-disrupt"),
        };
        let taint = |Taint { key, value, effect }| launch_plan::Taint { key, value, effect };
        let condition = |Condition { r#type, status, last_transition_time, reason, message }| wire::Condition {
            r#type,
            status,
            reason,
            message,
            last_transition_time: timestamp(last_transition_time),
        };
        Self {
            metadata: wire::NodeMetadata {
                name: metadata.name,
                creation_timestamp: timestamp(metadata.creation_timestamp),
                deletion_timestamp: timestamp(metadata.deletion_timestamp),
                labels: Some(metadata.labels),
                annotations: Some(annotations),
            },
            spec: wire::NodeSpec {
                taints: Some(spec.taints.into_iter().map(taint).collect()),
                unschedulable: spec.unschedulable,
                provider_id: some(spec.provider_id),
            },
            status: wire::NodeStatus {
                allocatable: Some(status.allocatable.into()),
                conditions: Some(status.conditions.into_iter().map(condition).collect()),
            },
        }
    }
}

impl From<Container> for wire::Container {
    fn from(Container { resources, restart_policy }: Container) -> Self {
        let resources = resources.map(|resources| wire::ContainerResources { requests: Some(resources.requests.into()) });
        Self { resources, restart_policy: some(restart_policy) }
    }
}

impl From<Pod> for wire::PodFields {
    fn from(Pod { metadata, spec, status }: Pod) -> Self {
        let (mut metadata, spec, status) = (metadata.unwrap_or_default(), spec.unwrap_or_default(), status.unwrap_or_default());
        let owner = |Owner { kind, controller }| wire::Owner { kind, controller };
        let containers = |containers: Vec<Container>| containers.into_iter().map(wire::Container::from).collect();
        Self {
            metadata: wire::PodMetadata {
                creation_timestamp: timestamp(metadata.creation_timestamp),
                deletion_timestamp: timestamp(metadata.deletion_timestamp),
                labels: Some(wire::PodLabels { size: metadata.labels.remove(labels::SIZE) }),
                owner_references: Some(metadata.owner_references.into_iter().map(owner).collect()),
            },
            spec: wire::PodSpec {
                node_name: some(spec.node_name),
                node_selector: Some(spec.node_selector),
                scheduling_gates: Some(spec.scheduling_gates.iter().map(|_| wire::Present {}).collect()),
                containers: containers(spec.containers),
                init_containers: Some(containers(spec.init_containers)),
                overhead: (!spec.overhead.is_empty()).then(|| spec.overhead.into()),
            },
            status: wire::PodStatus { phase: some(status.phase) },
        }
    }
}

impl super::pages::Item for wire::NodeFields {
    type Message = Node;
}

impl super::pages::Item for wire::PodFields {
    type Message = Pod;
}

#[cfg(test)]
mod tests {
    use kube::core::Status as KubeStatus;

    use super::*;
    use crate::model::occupancy::OccupiedNode;

    /// What one API server answered in both formats: see `tests/recorded/README.md`.
    macro_rules! recorded {
        ($name:literal) => {
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded/protobuf/", $name))
        };
    }

    fn list<M: Message + Default>(bytes: &'static [u8]) -> List<M> {
        List::of(unwrapped(Bytes::from_static(bytes)).unwrap()).unwrap()
    }

    fn items<T: serde::de::DeserializeOwned>(json: &[u8]) -> Vec<T> {
        let list: serde_json::Value = serde_json::from_slice(json).unwrap();
        serde_json::from_value(list["items"].clone()).unwrap()
    }

    #[test]
    fn nodes_are_those_of_json() {
        let read: Vec<OccupiedNode> =
            list::<Node>(recorded!("nodes.protobuf")).items.into_iter().map(wire::NodeFields::from).map(Into::into).collect();
        let expected: Vec<OccupiedNode> = items::<wire::NodeFields>(recorded!("nodes.json")).into_iter().map(Into::into).collect();
        assert_eq!(format!("{read:#?}"), format!("{expected:#?}"));
        assert!(read.len() == 2 && read.iter().all(|node| node.is_kept) && read[1].deleted.is_some() && read[0].node.taints.len() > 1);
    }

    #[test]
    fn pods_are_those_of_json() {
        let counts = |pod: wire::PodFields| {
            let counts = format!("{:?}", (pod.node(), pod.has_ended(), pod.waits(), pod.created(), pod.kind(), pod.requests()));
            (counts, pod.into_wish())
        };
        let read: Vec<_> = list::<Pod>(recorded!("pods.protobuf")).items.into_iter().map(wire::PodFields::from).map(counts).collect();
        let expected: Vec<_> = items::<wire::PodFields>(recorded!("pods.json")).into_iter().map(counts).collect();
        assert_eq!(read, expected);
        assert_eq!(read.len(), 5);
    }

    #[test]
    fn a_page_says_where_the_list_goes_on() {
        let page = unwrapped(Bytes::from_static(recorded!("page.protobuf"))).unwrap();
        let following = ListHead::of(page.clone()).unwrap().following();
        assert!(following.is_some());
        assert_eq!((List::<Pod>::of(page).unwrap().head.following(), list::<Pod>(recorded!("pods.protobuf")).head.following()), (following, None));
    }

    #[test]
    fn a_refusal_is_that_of_json() {
        let raw = unwrapped(Bytes::from_static(recorded!("refusal.protobuf"))).unwrap();
        let mut expected: KubeStatus = serde_json::from_slice(recorded!("refusal.json")).unwrap();
        expected.metadata = None; // empty in JSON
        assert_eq!(format!("{:?}", KubeStatus::from(Status::of(raw).unwrap())), format!("{expected:?}"));
    }

    #[test]
    fn what_is_cut_or_not_protobuf_is_an_error() {
        let page: &[u8] = recorded!("pods.protobuf");
        for cut in 0..page.len() {
            let read = unwrapped(Bytes::copy_from_slice(&page[..cut])).and_then(List::<Pod>::of);
            // Behind the object the envelope has two empty fields.
            assert!(read.map_or(true, |list| cut >= page.len() - 4 && list.items.len() == 5), "of {cut} bytes");
        }
        assert!(unwrapped(Bytes::from_static(b"<html>")).is_err());
    }
}
