//! What a Job needs besides itself: ConfigMaps with its files and a Secret with its values, both owned by the Job.
//!
//! The Job comes first and suspended, so that a submission that dies half way leaves no pod, and deleting the Job takes
//! everything along.

use std::fmt::Debug;

use base64::{Engine, engine::general_purpose::STANDARD};
use futures::future::{join_all, try_join_all};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, Secret},
};
use kube::{
    Api, Resource,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    change::JobVersion,
    create::{post_once, refused},
};
use crate::{
    error::{Error, ErrorKind, Result},
    kubernetes::{
        connect::Cluster,
        error::{explain, is_already_exists, is_conflict, is_not_found},
        labels,
        manifest::Rendered,
        observe::job_record,
        retry::{CallError, Patience, Repeat},
    },
    model::{
        evidence::JobRecord,
        launch_plan::{LaunchPlan, SecretSource},
    },
};

/// How often an object is looked up and created again.
const ROUNDS: u32 = 5;

/// What happens to the Job when the server refuses what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnFailure {
    /// It is removed: this process made it.
    Remove,
    /// It stays: another submission made it.
    Keep,
}

/// Creates what the Job needs and then lets it run. What is there already stays.
pub(super) async fn complete(cluster: &Cluster, plan: &LaunchPlan, rendered: &Rendered, job: &Job, on_failure: OnFailure) -> Result<JobRecord> {
    let record = job_record(job);
    if record.complete {
        return Ok(record);
    }
    let failure = match supply(cluster, plan, rendered, &record).await {
        Ok(record) => return Ok(record),
        Err(failure) => failure,
    };
    if failure.kind() == ErrorKind::Unreachable {
        let again = plan.key.as_ref().map_or_else(|| "sbrun clean removes it".to_owned(), |key| format!("submit again with --key {key}"));
        return Err(failure.hinted(format!("Job `{}` is incomplete and runs nothing: {again}", record.name)));
    }
    let whatever_version = JobVersion { resource_version: String::new(), ..JobVersion::from(&record) };
    if on_failure == OnFailure::Remove && super::delete(cluster, &whatever_version).await.is_err() {
        return Err(failure.hinted(format!("Job `{}` is left behind, suspended: remove it with sbrun clean", record.name)));
    }
    Err(failure)
}

async fn supply(cluster: &Cluster, plan: &LaunchPlan, rendered: &Rendered, record: &JobRecord) -> Result<JobRecord> {
    let config_maps: Api<ConfigMap> = cluster.api();
    let secrets: Api<Secret> = cluster.api();
    let maps: Vec<ConfigMap> = rendered.config_maps.iter().map(|map| owned(map.clone(), record)).collect::<Result<_>>()?;
    let secret: Option<Secret> = rendered.secret.clone().map(|secret| owned(with_values(secret, plan), record)).transpose()?;
    let (created, secret) = tokio::join!(
        join_all(maps.iter().map(|map| ensure(cluster, &config_maps, map, "ConfigMap", |there| there.binary_data == map.binary_data))),
        try_join_all(secret.iter().map(|secret| ensure(cluster, &secrets, secret, "Secret", |there| there.data == secret.data))),
    );
    created.into_iter().collect::<Result<Vec<()>>>()?;
    secret?;
    let patch = json!({
        "metadata": {"uid": record.uid, "annotations": {labels::INCOMPLETE: null}},
        "spec": {"suspend": false},
    });
    let doing = format!("starting Job `{}`", record.name);
    let jobs: Api<Job> = cluster.api();
    let (patch, parameters) = (Patch::Merge(&patch), manager());
    let job = cluster.call(Repeat::Change, Patience::START, &doing, || jobs.patch(&record.name, &parameters, &patch)).await;
    job.map(|job| job_record(&job)).map_err(|error| {
        if is_not_found(&error) || is_conflict(&error) {
            return Error::failed(format!("Job `{}` was deleted by somebody else while it was being submitted", record.name));
        }
        explain(error, &doing)
    })
}

/// Returns the parameters of a change, so that the server records who made it.
pub(super) fn manager() -> PatchParams {
    PatchParams { field_manager: Some(labels::SBRUN.to_owned()), ..PatchParams::default() }
}

/// Creates an object that belongs to the Job, unless the same one is there already.
async fn ensure<K>(cluster: &Cluster, api: &Api<K>, object: &K, kind: &str, is_same: impl Fn(&K) -> bool) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Serialize + Debug,
{
    let name = object.meta().name.clone().unwrap_or_default();
    let doing = format!("creating {kind} `{name}`");
    let parameters = PostParams { field_manager: Some(labels::SBRUN.to_owned()), ..PostParams::default() };
    let mut last = None;
    for _ in 0..ROUNDS {
        let Err(error) = cluster.call(Repeat::Create, Patience::START, &doing, || api.create(&parameters, object)).await else {
            return Ok(());
        };
        if !is_already_exists(&error) && !matches!(error, CallError::Ambiguous(_)) {
            return Err(explain(error, &doing));
        }
        let reading = format!("reading {kind} `{name}`");
        if let Some(there) = cluster.read(api, &name, Patience::START, &reading).await.map_err(|error| explain(error, &reading))? {
            let ours = there.meta().owner_references == object.meta().owner_references;
            if ours && is_same(&there) {
                return Ok(());
            }
            let sbrun = there.meta().labels.as_ref().and_then(|labels| labels.get(labels::MANAGED_BY)).is_some_and(|value| value == labels::SBRUN);
            if !sbrun {
                return Err(Error::rejected(format!("the name of {kind} `{name}` is taken by an object that sbrun did not make")));
            }
            remove(cluster, api, &there, kind).await?;
        }
        last = Some(error);
    }
    Err(last.map_or_else(|| Error::internal(format!("no attempt was made to create {kind} `{name}`")), |error| explain(error, &doing)))
}

/// Removes what an earlier Job of the same name, or another version of sbrun, left behind.
async fn remove<K>(cluster: &Cluster, api: &Api<K>, object: &K, kind: &str) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let name = object.meta().name.clone().unwrap_or_default();
    let doing = format!("replacing {kind} `{name}`");
    let parameters = DeleteParams::default().preconditions(Preconditions { uid: object.meta().uid.clone(), resource_version: None });
    match cluster.call(Repeat::Change, Patience::START, &doing, || api.delete(&name, &parameters)).await {
        Ok(_) => Ok(()),
        Err(error) if is_not_found(&error) || is_conflict(&error) => Ok(()),
        Err(error) => Err(explain(error, &doing)),
    }
}

/// Returns an object that the garbage collector removes together with the Job.
fn owned<K: DeserializeOwned>(mut object: Value, job: &JobRecord) -> Result<K> {
    object["metadata"]["ownerReferences"] = json!([{"apiVersion": "batch/v1", "kind": "Job", "name": job.name, "uid": job.uid}]);
    typed(object)
}

fn typed<K: DeserializeOwned>(object: Value) -> Result<K> {
    serde_json::from_value(object).map_err(|error| Error::internal("a rendered object is not what Kubernetes takes").caused_by(error))
}

/// Returns the Secret with the values that were given at submission.
fn with_values(mut secret: Value, plan: &LaunchPlan) -> Value {
    for given in &plan.secrets {
        if let SecretSource::Value(value) = &given.source {
            secret["data"][given.name.as_str()] = json!(STANDARD.encode(&value.0));
        }
    }
    secret
}

/// Returns what the server would store for each object, in the order of creation.
pub(super) async fn dry_run(cluster: &Cluster, plan: &LaunchPlan, rendered: &Rendered) -> Result<Vec<Value>> {
    let doing = format!("asking what Job `{}` would become", plan.name);
    let job = post_once(cluster, rendered, true, &doing).await.map_err(|error| {
        if is_already_exists(&error) {
            return Error::rejected(format!("the name `{}` is taken", plan.name)).hinted("choose another --name");
        }
        refused(cluster, error, &doing)
    })?;
    let record = job_record(&job);
    let mut stored = vec![as_value(&job)?];
    for map in &rendered.config_maps {
        stored.push(try_object(cluster, &cluster.api::<ConfigMap>(), owned(map.clone(), &record)?).await?);
    }
    if let Some(secret) = &rendered.secret {
        let mut answer = try_object(cluster, &cluster.api::<Secret>(), owned(with_values(secret.clone(), plan), &record)?).await?;
        answer["data"] = secret["data"].clone();
        stored.push(answer);
    }
    Ok(stored)
}

async fn try_object<K>(cluster: &Cluster, api: &Api<K>, object: K) -> Result<Value>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Serialize + Debug,
{
    let doing = format!("asking what `{}` would become", object.meta().name.as_deref().unwrap_or_default());
    let parameters = PostParams { dry_run: true, field_manager: Some(labels::SBRUN.to_owned()) };
    let stored = cluster.call(Repeat::Read, Patience::START, &doing, || api.create(&parameters, &object)).await;
    as_value(&stored.map_err(|error| explain(error, &doing))?)
}

/// Returns an object for people: without the bookkeeping of field managers.
pub(super) fn as_value<K: Serialize>(object: &K) -> Result<Value> {
    let mut value = serde_json::to_value(object).map_err(|error| Error::internal("the server's answer cannot be shown").caused_by(error))?;
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    Ok(value)
}
