//! Server-side apply of manifests: first what it would change, by the server's own word, then all of it.

use std::fmt;

use futures::{StreamExt, stream};
use kube::{
    Api,
    api::{Patch, PatchParams},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::{Value, json};

use crate::{
    error::{Error, ErrorKind, Result},
    kubernetes::{
        connect::Cluster,
        error::{explain, is_conflict, is_not_found, status},
        retry::{CallError, Patience, Repeat},
    },
};

/// The field manager of what is applied.
const MANAGER: &str = "sbrun-setup";
/// How many objects are asked about at the same time.
const AT_ONCE: usize = 8;
/// What the server keeps for itself in the metadata of an object.
const BOOKKEEPING: [&str; 6] = ["managedFields", "uid", "resourceVersion", "generation", "creationTimestamp", "selfLink"];
/// What `kubectl apply` keeps for itself: the same object once more.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What to do about fields that somebody else manages and has set to another value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// Leave everything as it is, and say whose they are.
    Refuse,
    /// Take them over.
    Force,
}

/// An object of a manifest, as kubectl writes it: `role.rbac.authorization.k8s.io/sbrun`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectName {
    /// Kind in lower case with its API group, and name.
    pub name: String,
    /// Namespace; none for objects of the whole cluster.
    pub namespace: Option<String>,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(formatter, "{} in {namespace}", self.name),
            None => formatter.write_str(&self.name),
        }
    }
}

/// What applying a manifest would do, without the server's bookkeeping.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The object.
    pub object: ObjectName,
    /// How it is now; none when it does not exist.
    pub live: Option<Value>,
    /// How it would be.
    pub next: Value,
    /// Fields of another value that somebody else manages, in words; none with [`OnConflict::Force`].
    pub conflict: Option<String>,
    manifest: Value,
    /// Whether the server has not seen it, because its namespace does not exist yet.
    unchecked: bool,
}

impl Change {
    /// Returns whether anything would change.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        self.live.as_ref() != Some(&self.next)
    }
}

/// Returns what applying `manifests` would do, in their order. Nothing is changed.
///
/// # Errors
/// One error with everything that the server would refuse: missing rights, invalid objects.
pub async fn compare(cluster: &Cluster, manifests: &[Value], on_conflict: OnConflict) -> Result<Vec<Change>> {
    let looks = stream::iter(manifests).map(|manifest| compare_one(cluster, manifest, on_conflict)).buffered(AT_ONCE);
    let looks: Vec<Result<Change, Refusal>> = looks.collect().await;
    let (mut changes, mut refusals) = (Vec::new(), Vec::new());
    for look in looks {
        match look {
            Ok(change) => changes.push(change),
            Err(refusal) => refusals.push(refusal),
        }
    }
    if refusals.is_empty() { Ok(changes) } else { Err(refused(refusals, manifests.len())) }
}

/// Carries out the changes that are needed, in their order, and returns what was changed.
///
/// A namespace that was missing comes first; the server then sees what belongs into it before anything else is changed.
///
/// # Errors
/// When the server refuses one; the error says what had been applied by then.
pub async fn apply(cluster: &Cluster, changes: &[Change], on_conflict: OnConflict) -> Result<Vec<ObjectName>> {
    let mut applied = Vec::new();
    let mut left: Vec<&Change> = changes.iter().filter(|change| change.is_needed()).collect();
    if let Some(at) = left.iter().position(|change| change.manifest["kind"] == "Namespace").filter(|_| left.iter().any(|change| change.unchecked)) {
        let namespace = left.remove(at);
        apply_one(cluster, namespace, on_conflict, &mut applied).await?;
        let manifests: Vec<Value> = left.iter().filter(|change| change.unchecked).map(|change| change.manifest.clone()).collect();
        compare(cluster, &manifests, on_conflict).await.map_err(|error| told(error, &applied))?;
    }
    for change in left {
        apply_one(cluster, change, on_conflict, &mut applied).await?;
    }
    Ok(applied)
}

async fn apply_one(cluster: &Cluster, change: &Change, on_conflict: OnConflict, applied: &mut Vec<ObjectName>) -> Result<()> {
    let doing = format!("applying {}", change.object);
    match patch(cluster, &change.manifest, on_conflict, false, &doing).await {
        Ok(_) => {
            applied.push(change.object.clone());
            Ok(())
        }
        Err(error) => Err(told(refusal(error, &change.object, &doing).error, applied)),
    }
}

/// Adds what had been applied when an error came.
fn told(error: Error, applied: &[ObjectName]) -> Error {
    let names: Vec<String> = applied.iter().map(ToString::to_string).collect();
    let what = if names.is_empty() { "nothing was applied".to_owned() } else { format!("applied before it: {}", names.join(", ")) };
    error.hinted(what).hinted("the same command goes on from there")
}

/// Returns an error when fields that would change are managed by somebody else.
///
/// # Errors
/// Rejected, with every such field.
pub fn check_conflicts(changes: &[Change]) -> Result<()> {
    let conflicts: Vec<String> = changes.iter().filter_map(|change| Some(format!("{}: {}", change.object, change.conflict.as_ref()?))).collect();
    if conflicts.is_empty() {
        return Ok(());
    }
    let error =
        Error::rejected(format!("{} of {} objects have fields that somebody else manages, so none was applied", conflicts.len(), changes.len()));
    Err(error.caused_by_all(conflicts).hinted("`--force-conflicts` takes the fields over"))
}

/// Why an object cannot be applied.
struct Refusal {
    object: String,
    error: Error,
}

fn refusal(error: CallError, object: &ObjectName, doing: &str) -> Refusal {
    let error = match conflict(&error) {
        Some(words) => Error::rejected(words),
        None => explain(error, doing),
    };
    Refusal { object: object.to_string(), error }
}

/// Returns which fields somebody else manages, and who.
fn conflict(error: &CallError) -> Option<String> {
    let causes = &status(error).filter(|_| is_conflict(error))?.details.as_ref()?.causes;
    let conflicts: Vec<String> = causes
        .iter()
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(|cause| {
            let manager = cause.message.split('"').nth(1).unwrap_or("somebody else");
            format!("`{}` is managed by `{manager}`", cause.field)
        })
        .collect();
    (!conflicts.is_empty()).then(|| conflicts.join(", "))
}

/// Returns one error for all refusals. An API server that does not answer says nothing about the others.
fn refused(mut refusals: Vec<Refusal>, of: usize) -> Error {
    if let Some(at) = refusals.iter().position(|refusal| refusal.error.kind() == ErrorKind::Unreachable) {
        return refusals.swap_remove(at).error;
    }
    let forbidden = refusals.iter().any(|refusal| refusal.error.kind() == ErrorKind::NotAllowed);
    let kind = if forbidden { ErrorKind::NotAllowed } else { ErrorKind::Rejected };
    let lines = refusals.iter().map(|refusal| {
        let causes: Vec<String> = [refusal.error.message().to_owned()].into_iter().chain(refusal.error.causes()).collect();
        format!("{}: {}", refusal.object, causes.join(": "))
    });
    let error =
        Error::new(kind, format!("{} of {of} objects cannot be applied, and none was", refusals.len())).caused_by_all(lines.collect::<Vec<_>>());
    if forbidden { error.hinted("an administrator of the cluster can apply them") } else { error }
}

async fn compare_one(cluster: &Cluster, manifest: &Value, on_conflict: OnConflict) -> Result<Change, Refusal> {
    let object = object_name(manifest);
    let doing = format!("asking what {object} would become");
    let api = api(cluster, manifest);
    let name = manifest["metadata"]["name"].as_str().unwrap_or_default();
    let (live, next) = tokio::join!(cluster.read(&api, name, Patience::START, &doing), patch(cluster, manifest, on_conflict, true, &doing));
    let conflict = next.as_ref().err().and_then(conflict);
    let next = if conflict.is_some() { patch(cluster, manifest, OnConflict::Force, true, &doing).await } else { next };
    let (next, unchecked) = match next {
        Ok(next) => (shown(&next), false),
        Err(error) if is_missing_namespace(&error) => (manifest.clone(), true),
        Err(error) if is_not_found(&error) => return Err(unknown_kind(manifest, &object)),
        Err(error) => return Err(refusal(error, &object, &doing)),
    };
    let live = live.map_err(|error| refusal(error, &object, &doing))?.as_ref().map(shown);
    Ok(Change { object, live, next, conflict, manifest: manifest.clone(), unchecked })
}

fn is_missing_namespace(error: &CallError) -> bool {
    is_not_found(error) && status(error).and_then(|status| status.details.as_ref()).is_some_and(|details| details.kind == "namespaces")
}

fn unknown_kind(manifest: &Value, object: &ObjectName) -> Refusal {
    let text = |field: &str| manifest[field].as_str().unwrap_or_default();
    let error = Error::rejected(format!("the cluster does not know the kind {} of {}: it is too old", text("kind"), text("apiVersion")));
    Refusal { object: object.to_string(), error }
}

async fn patch(cluster: &Cluster, manifest: &Value, on_conflict: OnConflict, dry_run: bool, doing: &str) -> Result<DynamicObject, CallError> {
    let api = api(cluster, manifest);
    let name = manifest["metadata"]["name"].as_str().unwrap_or_default();
    let parameters = PatchParams { dry_run, force: on_conflict == OnConflict::Force, ..PatchParams::apply(MANAGER).validation_strict() };
    let patch = Patch::Apply(manifest);
    let repeat = if dry_run { Repeat::Read } else { Repeat::Change };
    cluster.call(repeat, Patience::START, doing, || api.patch(name, &parameters, &patch)).await
}

/// Returns the API of a manifest's kind, in its namespace. Every kind that is applied here has a regular plural.
fn api(cluster: &Cluster, manifest: &Value) -> Api<DynamicObject> {
    let text = |field: &str| manifest[field].as_str().unwrap_or_default();
    let (group, version) = text("apiVersion").rsplit_once('/').unwrap_or(("", text("apiVersion")));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("kind")));
    match manifest["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(cluster.client.clone(), namespace, &resource),
        None => Api::all_with(cluster.client.clone(), &resource),
    }
}

/// Returns the name of a manifest's object as `kubectl -o name` writes it.
#[must_use]
pub fn object_name(manifest: &Value) -> ObjectName {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kind = text(&manifest["kind"]).to_lowercase();
    let kind = text(&manifest["apiVersion"]).split_once('/').map_or(kind.clone(), |(group, _)| format!("{kind}.{group}"));
    let namespace = manifest["metadata"]["namespace"].as_str().map(ToOwned::to_owned);
    ObjectName { name: format!("{kind}/{}", text(&manifest["metadata"]["name"])), namespace }
}

/// Returns an object for people: without what the server keeps for itself.
fn shown(object: &DynamicObject) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_else(|_| json!({}));
    if let Some(fields) = value.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.retain(|key, _| !BOOKKEEPING.contains(&key.as_str()));
        let is_empty = metadata.get_mut("annotations").and_then(Value::as_object_mut).is_some_and(|annotations| {
            annotations.remove(LAST_APPLIED);
            annotations.is_empty()
        });
        if is_empty {
            metadata.remove("annotations");
        }
    }
    value
}
