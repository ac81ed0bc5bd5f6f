//! From a launch plan to the objects that are sent.
//!
//! Three layers make the Job: what sbrun sets, over the map's template, over sbrun's defaults. Everything is a
//! `serde_json::Value`, so that fields of a template that are newer than this client reach the server, which also says
//! when it does not know one.

mod files;
mod pod;
mod rules;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

pub(crate) use files::config_map_names;
pub use files::delivery_of;

use crate::{
    error::{Error, Result},
    kubernetes::labels,
    model::{
        identity::{label_value, sha256_hex},
        job_template::merge,
        launch_plan::{LaunchPlan, OnInterrupt, SecretSource},
        package::delivery::{Delivery, Part},
    },
};

/// The most that all annotations of one object may weigh, keys included (`TotalAnnotationSizeLimitB` of Kubernetes).
const ANNOTATIONS_LIMIT: usize = 256 << 10;
/// What is kept free on the Job for verdict, last output and ending.
const ANNOTATIONS_RESERVE: usize = 16 << 10;

/// The objects of one launch. Values of secrets are never in it: they join on the way to the server.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// The Job.
    pub job: Value,
    /// The ConfigMaps that carry the flow's files, when the Job does not.
    pub config_maps: Vec<Value>,
    /// The Secret for values that were given at submission; they read `<redacted>`.
    pub secret: Option<Value>,
    /// Whether the Job is created suspended, because further objects have to follow first.
    pub suspended: bool,
}

impl Rendered {
    /// Returns all objects in the order in which they are created.
    pub fn documents(&self) -> impl Iterator<Item = &Value> {
        std::iter::once(&self.job).chain(&self.config_maps).chain(&self.secret)
    }
}

/// Returns the objects of a plan, or an error when the template breaks a rule or the flow's files do not fit.
pub fn render(plan: &LaunchPlan) -> Result<Rendered> {
    rules::check(plan)?;
    let mut delivery = plan.package.deliver(plan.flow.interpreter)?;
    let mut job = render_job(plan, &delivery)?;
    if let Delivery::Inline(parts) = &delivery
        && annotations_size(&job["spec"]["template"]["metadata"]) > ANNOTATIONS_LIMIT
    {
        delivery = Delivery::ConfigMaps(vec![parts.clone()]);
        job = render_job(plan, &delivery)?;
    }
    for (metadata, limit, what) in [
        (&job["metadata"], ANNOTATIONS_LIMIT - ANNOTATIONS_RESERVE, "arguments, environment, template and annotations"),
        (&job["spec"]["template"]["metadata"], ANNOTATIONS_LIMIT, "annotations of the pod"),
    ] {
        let size = annotations_size(metadata);
        if size > limit {
            return Err(Error::rejected(format!("{what} of this job need {} KiB, Kubernetes takes {} KiB", size.div_ceil(1024), limit / 1024))
                .hinted("put long arguments and settings into a file beside the flow"));
        }
    }
    let config_maps = files::config_maps(&delivery).into_iter().enumerate().map(|(index, parts)| config_map(plan, index, parts)).collect();
    Ok(Rendered { suspended: job["spec"]["suspend"] == true, job, config_maps, secret: secret(plan) })
}

/// Returns the hash of what a run depends on: files, arguments, image, size, environment and secret names.
///
/// Commit and pipeline are left out, so that a repeated pipeline run with one `--key` is the same submission.
#[must_use]
pub fn content_sha256(plan: &LaunchPlan) -> String {
    let secrets: Vec<Value> = plan
        .secrets
        .iter()
        .map(|secret| match &secret.source {
            SecretSource::Value(_) => json!([secret.name]),
            SecretSource::Reference { secret: object, key } => json!([secret.name, object, key]),
        })
        .collect();
    let content = json!([
        plan.package.content_sha256(),
        plan.flow.file,
        plan.flow.interpreter,
        plan.flow.arguments,
        plan.image,
        plan.asked_size.as_ref().or(plan.size.as_ref()),
        plan.environment.iter().collect::<Vec<_>>(),
        secrets
    ]);
    sha256_hex(content.to_string().as_bytes())
}

fn render_job(plan: &LaunchPlan, delivery: &Delivery) -> Result<Value> {
    let suspended = secret(plan).is_some() || matches!(delivery, Delivery::ConfigMaps(_));
    let template = plan.template.as_ref().map(rules::usable_part).unwrap_or_default();
    let fixed = fixed(plan, delivery, suspended)?;
    Ok(merge(fixed, merge(template, defaults(plan))))
}

/// What a template may replace.
fn defaults(plan: &LaunchPlan) -> Value {
    json!({"spec": {"template": {"spec": pod::defaults(plan)}}})
}

/// What a template may not replace.
fn fixed(plan: &LaunchPlan, delivery: &Delivery, suspended: bool) -> Result<Value> {
    let limits = &plan.limits;
    let full = limits.job_deadline(plan.infrastructure_retries);
    let deadline = match plan.on_interrupt {
        OnInterrupt::Cancel => full.min(limits.lease),
        OnInterrupt::Detach => full,
    };
    Ok(json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": plan.name,
            "namespace": plan.namespace,
            "labels": labels_of(plan),
            "annotations": job_annotations(plan, suspended)?,
        },
        "spec": {
            "suspend": suspended,
            "backoffLimit": plan.infrastructure_retries,
            "activeDeadlineSeconds": seconds(deadline),
            "ttlSecondsAfterFinished": seconds(limits.finished_ttl),
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": pod_failure_policy(plan.infrastructure_retries),
            "template": {
                "metadata": {"labels": labels_of(plan), "annotations": pod_annotations(plan, delivery)},
                "spec": pod::fixed(plan, delivery),
            },
        },
    }))
}

/// Returns the policy whose message stays on the Job when pod and node are gone.
///
/// Without retries a disruption fails the Job at once; with them it counts against the limit. A flow that ended by
/// itself is never run again.
fn pod_failure_policy(infrastructure_retries: u32) -> Value {
    let on_disruption = if infrastructure_retries == 0 { "FailJob" } else { "Count" };
    json!({"rules": [
        {"action": on_disruption, "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {"containerName": labels::FLOW_CONTAINER, "operator": "NotIn", "values": [0]}},
    ]})
}

/// Returns the labels of Job and pod. sbrun's own win over those of map and command line.
fn labels_of(plan: &LaunchPlan) -> Map<String, Value> {
    let mut found: Map<String, Value> = plan.labels.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    let own = [
        (labels::MANAGED_BY, Some(labels::SBRUN.to_owned())),
        (labels::RUN_ID, Some(plan.run_id.to_string())),
        (labels::SIZE, plan.size.as_ref().map(|size| label_value(&size.0))),
        (labels::FLOW, Some(label_value(&plan.flow.identity))),
        (labels::USER, Some(plan.user.label.clone())),
        (labels::KEY, plan.key.as_deref().map(key_label)),
        // By these a worker's observer finds the Job, and tells Prefect of pods and crashes.
        (labels::PREFECT_FLOW_RUN, plan.tracking.as_ref().map(|tracking| tracking.flow_run.clone())),
        (labels::PREFECT_FLOW_RUN_NAME, plan.tracking.as_ref().map(|tracking| label_value(&tracking.name))),
    ];
    found.extend(own.into_iter().filter_map(|(key, value)| Some((key.to_owned(), json!(value?)))));
    found
}

/// Returns the value of the label [`labels::KEY`], which all attempts under one key share.
#[must_use]
pub fn key_label(key: &str) -> String {
    crate::model::identity::JobName::for_key(key, 1).to_string()
}

fn job_annotations(plan: &LaunchPlan, suspended: bool) -> Result<Map<String, Value>> {
    let recorded = serde_json::to_string(plan).map_err(|error| Error::internal("the launch plan cannot be recorded").caused_by(error))?;
    let leased = plan.on_interrupt == OnInterrupt::Cancel;
    let own = [
        (labels::PLAN, Some(recorded)),
        (labels::CONTENT, Some(content_sha256(plan))),
        (labels::NONCE, Some(plan.nonce.clone())),
        (labels::USER, Some(plan.user.name.clone())),
        (labels::FLOW, Some(plan.flow.identity.clone())),
        (labels::KEY, plan.key.clone()),
        (labels::GIT_COMMIT, plan.provenance.git_commit.clone()),
        (labels::GIT_REPOSITORY, plan.provenance.git_repository.clone()),
        (labels::CI_RUN, plan.provenance.ci_run.clone()),
        (labels::LEASE, leased.then(|| seconds(plan.limits.lease).to_string())),
        (labels::INCOMPLETE, suspended.then(|| "true".to_owned())),
    ];
    let mut found: Map<String, Value> = plan.annotations.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    found.extend(own.into_iter().filter_map(|(key, value)| Some((key.to_owned(), json!(value?)))));
    Ok(found)
}

fn pod_annotations(plan: &LaunchPlan, delivery: &Delivery) -> Map<String, Value> {
    let mut found: Map<String, Value> = plan.annotations.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    found.insert(labels::SAFE_TO_EVICT.to_owned(), json!("false"));
    found.insert(labels::DO_NOT_DISRUPT.to_owned(), json!("true"));
    found.extend(files::annotations(delivery));
    found
}

/// Returns what the annotations of `metadata` weigh, as Kubernetes counts.
fn annotations_size(metadata: &Value) -> usize {
    let annotations = metadata["annotations"].as_object();
    annotations.into_iter().flatten().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum()
}

/// Returns seconds that fit every field: the pod's deadline and the TTL are 32-bit numbers.
fn seconds(duration: std::time::Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX).max(1)
}

fn config_map(plan: &LaunchPlan, index: usize, parts: &[Part]) -> Value {
    let data: Map<String, Value> = parts.iter().map(|part| (part.key.clone(), json!(STANDARD.encode(&part.content)))).collect();
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": files::config_map_name(plan, index), "namespace": plan.namespace, "labels": labels_of(plan)},
        "immutable": true,
        "binaryData": data,
    })
}

/// Returns the Secret for values given at submission, when there are any. It is named like its Job.
fn secret(plan: &LaunchPlan) -> Option<Value> {
    let given = plan.secrets.iter().filter(|secret| matches!(secret.source, SecretSource::Value(_)));
    let data: Map<String, Value> = given.map(|secret| (secret.name.clone(), json!("<redacted>"))).collect();
    (!data.is_empty()).then(|| {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": plan.name, "namespace": plan.namespace, "labels": labels_of(plan)},
            "immutable": true,
            "type": "Opaque",
            "data": data,
        })
    })
}

#[cfg(test)]
pub(crate) mod tests;
