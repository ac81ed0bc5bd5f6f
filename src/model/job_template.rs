//! The Job manifest that a map or a flag names, to be merged under what sbrun sets.
//!
//! It adds volumes, sidecars and affinities. What the four rules of sbrun fix, it may repeat but not change.

mod merge;

use serde_json::Value;

pub(crate) use self::merge::merge;

use crate::model::{duration, settings::value::LEAST_GRACE, yaml};

/// A manifest, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobTemplate {
    /// The manifest.
    pub manifest: Value,
    /// What is wrong with it, in words; empty when it can be used.
    pub problems: Vec<String>,
}

/// Returns the manifest of a text, with what is wrong in it; an error when it is no YAML at all.
pub fn parse(text: &str) -> Result<JobTemplate, String> {
    let manifest = yaml::parse(text).map_err(|error| error.to_string())?.map_or(Value::Null, |node| node.to_json());
    let problems = problems(&manifest);
    Ok(JobTemplate { manifest, problems })
}

/// Annotation of the pod template: the Cluster Autoscaler then never picks the node of a running flow for scale-down.
pub const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
/// Annotation of the pod template: the same for Karpenter.
pub const DO_NOT_DISRUPT: &str = "karpenter.sh/do-not-disrupt";
/// Name of the flow's container.
pub const FLOW_CONTAINER: &str = "flow";

/// A field that sbrun sets, the one value (as JSON) that a template may repeat, if any, and why.
const FIXED: [(&str, &str, &str); 16] = [
    ("/spec/template/spec/restartPolicy", "\"Never\"", "a flow is never restarted by Kubernetes"),
    ("/spec/backoffLimit", "0", "one owner of retries: use `infrastructure_retries`"),
    ("/spec/backoffLimitPerIndex", "", "one owner of retries: use `infrastructure_retries`"),
    ("/spec/maxFailedIndexes", "", "one owner of retries: use `infrastructure_retries`"),
    ("/spec/podReplacementPolicy", "\"Failed\"", "two attempts never run at once"),
    ("/spec/parallelism", "1", "a job is one pod"),
    ("/spec/completions", "1", "a job is one pod"),
    ("/spec/completionMode", "\"NonIndexed\"", "a job is one pod"),
    (
        "/spec/template/metadata/annotations/cluster-autoscaler.kubernetes.io~1safe-to-evict",
        "\"false\"",
        "a running flow is not a candidate for scale-down",
    ),
    ("/spec/template/metadata/annotations/karpenter.sh~1do-not-disrupt", "\"true\"", "a running flow is not a candidate for scale-down"),
    ("/spec/podFailurePolicy", "", "sbrun sets it, so that the verdict stays on the Job"),
    ("/spec/successPolicy", "", "a job is one pod"),
    ("/spec/template/spec/nodeName", "", "the size decides where a job runs"),
    ("/spec/selector", "", "Kubernetes sets it, and sbrun finds its pods by it"),
    ("/spec/manualSelector", "", "Kubernetes sets the selector, and sbrun finds its pods by it"),
    ("/spec/managedBy", "", "the Job controller of Kubernetes runs the job"),
];

/// A field of the flow's container that a template must leave alone, and why.
const FIXED_IN_FLOW: [(&str, &str); 6] = [
    ("/command", "sbrun decides what the flow's container runs"),
    ("/args", "sbrun decides what the flow's container runs"),
    ("/workingDir", "sbrun decides what the flow's container runs"),
    ("/resources/requests/cpu", "the size decides about the footprint"),
    ("/resources/requests/memory", "the size decides about the footprint"),
    ("/resources/limits/memory", "the size decides about the footprint"),
];

/// Returns what is wrong with a template, in words: not a Job, or at odds with what sbrun fixes.
#[must_use]
pub fn problems(manifest: &Value) -> Vec<String> {
    let Some(fields) = manifest.as_object() else {
        return vec!["is not a Job manifest; it begins with `apiVersion: batch/v1` and `kind: Job`".to_owned()];
    };
    let known = |key: &str| ["apiVersion", "kind", "metadata", "spec", "status"].contains(&key);
    let mut problems: Vec<String> =
        fields.keys().filter(|key| !known(key)).map(|key| format!("`{key}` is no field of a Job, which has `metadata` and `spec`")).collect();
    for (field, only) in [("kind", "Job"), ("apiVersion", "batch/v1")] {
        match &manifest[field] {
            Value::Null => problems.push(format!("`{field}` is missing; it must be `{only}`")),
            Value::String(found) if found == only => {}
            Value::String(found) => problems.push(format!("`{field}` must be `{only}`, not `{found}`")),
            found => problems.push(format!("`{field}` must be `{only}`, not {found}")),
        }
    }
    for (pointer, allowed, why) in FIXED {
        let Some(found) = manifest.pointer(pointer).filter(|found| !found.is_null()) else { continue };
        if serde_json::from_str::<Value>(allowed).ok().as_ref() != Some(found) {
            let limit = if allowed.is_empty() { "must not be there".to_owned() } else { format!("is {found}, it can only be {allowed}") };
            problems.push(format!("`{}` {limit}: {why}", field(pointer)));
        }
    }
    let containers = manifest.pointer("/spec/template/spec/containers").and_then(Value::as_array);
    for container in containers.into_iter().flatten().filter(|container| container["name"] == FLOW_CONTAINER) {
        let present = |pointer: &str| container.pointer(pointer).is_some_and(|found| !found.is_null());
        let broken = FIXED_IN_FLOW.iter().filter(|(pointer, _)| present(pointer));
        problems.extend(broken.map(|(pointer, why)| format!("`{}` of container `{FLOW_CONTAINER}` must not be there: {why}", field(pointer))));
    }
    let grace = manifest.pointer("/spec/template/spec/terminationGracePeriodSeconds").and_then(Value::as_u64);
    if let Some(grace) = grace.filter(|grace| *grace < LEAST_GRACE.as_secs()) {
        let least = duration::format_exact(LEAST_GRACE);
        problems.push(format!("`spec.template.spec.terminationGracePeriodSeconds` is {grace}, less than {least}: use `grace` of the map"));
    }
    problems
}

/// Returns a JSON pointer as people write a field.
fn field(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/")
}

#[cfg(test)]
mod tests;
