//! What a template may not change: the four rules, and what sbrun needs to find its way back.

use serde_json::{Value, json};

use crate::{
    error::{Error, Result},
    kubernetes::labels,
    model::launch_plan::LaunchPlan,
};

const ONE_OWNER: &str = "retries have one owner: `--infrastructure-retries` for losses, the flow's own for the rest";
const NO_EVICTION: &str = "a running flow is never a candidate for scale-down";
const SIZE_DECIDES: &str = "the size decides about machine and footprint: change the size in the instance map, or use another one";
const SBRUN_RUNS: &str = "sbrun decides what the container `flow` runs";

/// A field of a Job manifest, the only value that it may have, and the rule behind it.
struct Guard {
    path: &'static [&'static str],
    only: Option<Value>,
    rule: &'static str,
}

/// Returns an error that names every field of the template or the map's annotations that breaks a rule.
pub(super) fn check(plan: &LaunchPlan) -> Result<()> {
    let mut broken: Vec<(String, &'static str)> = Vec::new();
    let annotations = json!({"spec": {"template": {"metadata": {"annotations": plan.annotations}}}});
    for manifest in [Some(&annotations), plan.template.as_ref()].into_iter().flatten() {
        broken.extend(violations(plan, manifest));
    }
    if let Some(template) = &plan.template {
        check_shape(template)?;
    }
    if broken.is_empty() {
        return Ok(());
    }
    let fields: Vec<String> = broken.iter().map(|(field, _)| format!("`{field}`")).collect();
    let mut rules: Vec<&str> = Vec::new();
    for (_, rule) in &broken {
        if !rules.contains(rule) {
            rules.push(rule);
        }
    }
    let error = Error::rejected(format!("the template must not set {}", fields.join(", ")));
    Err(error.with_hints(rules.into_iter().map(ToOwned::to_owned)))
}

/// Returns the part of a template that is merged: labels, annotations and the spec.
pub(super) fn usable_part(template: &Value) -> Value {
    let metadata = &template["metadata"];
    json!({"metadata": {"labels": metadata["labels"], "annotations": metadata["annotations"]}, "spec": template["spec"]})
}

fn check_shape(template: &Value) -> Result<()> {
    let Some(fields) = template.as_object() else {
        return Err(Error::rejected("the template must be a Job manifest").hinted("start it with `apiVersion: batch/v1` and `kind: Job`"));
    };
    let kind = template["kind"].as_str().unwrap_or("Job");
    if kind != "Job" {
        return Err(Error::rejected(format!("the template must be a Job manifest, it is a {kind}")));
    }
    match fields.keys().find(|key| !["apiVersion", "kind", "metadata", "spec", "status"].contains(&key.as_str())) {
        Some(unknown) => Err(Error::rejected(format!("the template has an unknown field `{unknown}`")).hinted("a Job has `metadata` and `spec`")),
        None => Ok(()),
    }
}

fn violations(plan: &LaunchPlan, manifest: &Value) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    for guard in guards(plan) {
        let value = guard.path.iter().fold(manifest, |value, key| &value[*key]);
        if !value.is_null() && guard.only.as_ref() != Some(value) {
            found.push((guard.path.join("."), guard.rule));
        }
    }
    let pod = &manifest["spec"]["template"]["spec"];
    for (key, value) in &plan.placement.node_selector {
        let other = &pod["nodeSelector"][key.as_str()];
        if !other.is_null() && other != value {
            found.push((format!("spec.template.spec.nodeSelector.{key}"), SIZE_DECIDES));
        }
    }
    let containers = pod["containers"].as_array().into_iter().flatten();
    for container in containers.filter(|container| container["name"] == labels::FLOW_CONTAINER) {
        for (list, resource) in [("requests", "cpu"), ("requests", "memory"), ("limits", "memory")] {
            if !container["resources"][list][resource].is_null() {
                found.push((format!("containers.{}.resources.{list}.{resource}", labels::FLOW_CONTAINER), SIZE_DECIDES));
            }
        }
        for field in ["command", "args", "workingDir"] {
            if !container[field].is_null() {
                found.push((format!("containers.{}.{field}", labels::FLOW_CONTAINER), SBRUN_RUNS));
            }
        }
    }
    found
}

fn guards(plan: &LaunchPlan) -> Vec<Guard> {
    let guard = |path, only, rule| Guard { path, only, rule };
    vec![
        guard(&["spec", "backoffLimit"], Some(json!(plan.infrastructure_retries)), ONE_OWNER),
        guard(&["spec", "backoffLimitPerIndex"], None, ONE_OWNER),
        guard(&["spec", "maxFailedIndexes"], None, ONE_OWNER),
        guard(&["spec", "podFailurePolicy"], None, ONE_OWNER),
        guard(&["spec", "podReplacementPolicy"], Some(json!("Failed")), ONE_OWNER),
        guard(&["spec", "successPolicy"], None, ONE_OWNER),
        guard(&["spec", "completions"], Some(json!(1)), ONE_OWNER),
        guard(&["spec", "parallelism"], Some(json!(1)), ONE_OWNER),
        guard(&["spec", "completionMode"], Some(json!("NonIndexed")), ONE_OWNER),
        guard(&["spec", "template", "spec", "restartPolicy"], Some(json!("Never")), ONE_OWNER),
        guard(&["spec", "template", "metadata", "annotations", labels::SAFE_TO_EVICT], Some(json!("false")), NO_EVICTION),
        guard(&["spec", "template", "metadata", "annotations", labels::DO_NOT_DISRUPT], Some(json!("true")), NO_EVICTION),
        guard(&["spec", "template", "spec", "nodeName"], None, SIZE_DECIDES),
        guard(&["spec", "selector"], None, SBRUN_RUNS),
        guard(&["spec", "manualSelector"], None, SBRUN_RUNS),
        guard(&["spec", "managedBy"], None, SBRUN_RUNS),
    ]
}
