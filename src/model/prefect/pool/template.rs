//! The job configuration: what a worker makes of a run.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Lookup, pod, variables};
use crate::model::{
    identity::label_value,
    instance_map::{PLACEMENT_KEY, SizeProfile},
    job_template::{DO_NOT_DISRUPT, SAFE_TO_EVICT, merge},
};

/// Name that a worker asks of the first container.
pub(super) const CONTAINER: &str = "prefect-job";

/// Returns the job configuration; what differs by size goes to `lookup`.
///
/// As with every job of sbrun there are three layers: what it decides, over the map's own Job template, over defaults.
pub(super) fn job_configuration(lookup: &mut Lookup<'_>) -> Value {
    let defaults = json!({"spec": {"template": {"spec": pod::defaults(lookup)}}});
    let of_map = pod::job_template_of(&lookup.map.defaults);
    json!({
        "command": "{{ command }}",
        "env": "{{ env }}",
        "labels": "{{ labels }}",
        "name": "{{ name }}",
        "annotations": "{{ annotations }}",
        "namespace": "{{ namespace }}",
        "job_manifest": merge(fixed(lookup), merge(of_map, defaults)),
        "cluster_config": "{{ cluster_config }}",
        "job_watch_timeout_seconds": "{{ job_watch_timeout_seconds }}",
        "pod_watch_timeout_seconds": "{{ pod_watch_timeout_seconds }}",
        "stream_output": "{{ stream_output }}",
    })
}

fn fixed(lookup: &mut Lookup<'_>) -> Value {
    let labels = labels(lookup);
    let ttl = |size: &SizeProfile, defaults: &_| json!(variables::finished_ttl(&size.own, defaults));
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"annotations": "{{ annotations }}", "generateName": "{{ name }}-", "labels": labels, "namespace": "{{ namespace }}"},
        "spec": {
            // A literal: a job variable must not make Kubernetes a second owner of retries.
            "backoffLimit": 0,
            // Its message stays on the Job when pod and node are gone.
            "podFailurePolicy": {"rules": [
                {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {"action": "FailJob", "onExitCodes": {"containerName": CONTAINER, "operator": "NotIn", "values": [0]}},
            ]},
            // A pod that is told to go may still end well: it hands its run back to Prefect. Until then its Job has not failed.
            "podReplacementPolicy": "Failed",
            "ttlSecondsAfterFinished": pod::variable_or_of_size(lookup, "finished_job_ttl", |own| own.finished_ttl.is_some(), ttl),
            "template": {
                "metadata": {"labels": labels, "annotations": annotations(lookup)},
                "spec": pod::fixed(lookup),
            },
        },
    })
}

/// Returns the labels of Job and pod.
fn labels(lookup: &mut Lookup<'_>) -> Value {
    let map = lookup.map;
    let of_map = |size: &SizeProfile| {
        let all = map.defaults.labels.iter().chain(&size.own.labels).map(|(key, value)| (key, &value.value));
        json!(all.collect::<BTreeMap<_, _>>())
    };
    let of_size = |size: &SizeProfile| json!(label_value(&size.name.0));
    if map.sizes.iter().any(|size| !size.own.labels.is_empty()) {
        return lookup.of_size("labels", |size| {
            let mut labels = of_map(size);
            labels[PLACEMENT_KEY] = of_size(size);
            labels
        });
    }
    let mut labels = map.sizes.first().map_or_else(|| json!({}), of_map);
    labels[PLACEMENT_KEY] = lookup.of_size("label", of_size);
    labels
}

/// Returns the annotations of the pod: the map's, and those that keep a running flow where it is.
fn annotations(lookup: &mut Lookup<'_>) -> Value {
    let map = lookup.map;
    lookup.same_or_of_size("annotations", |size| {
        let all = map.defaults.annotations.iter().chain(&size.own.annotations).map(|(key, value)| (key.as_str(), value.value.as_str()));
        json!(all.chain([(SAFE_TO_EVICT, "false"), (DO_NOT_DISRUPT, "true")]).collect::<BTreeMap<_, _>>())
    })
}
