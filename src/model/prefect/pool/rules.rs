//! What no edit by hand may change: without these a worker refuses the template, or runs go elsewhere, twice, or are cut off.

use serde_json::Value;

use super::{live::LivePool, merge, reading, template::CONTAINER};
use crate::model::{
    instance_map::PLACEMENT_KEY,
    job_template::{DO_NOT_DISRUPT, SAFE_TO_EVICT},
    settings::value::LEAST_GRACE,
};

/// Variables by which flows that say nothing of it are retried.
const HIDDEN_RETRIES: [&str; 2] = ["PREFECT_FLOWS_DEFAULT_RETRIES", "PREFECT_FLOW_DEFAULT_RETRIES"];

const SPEC: &str = "job_configuration.job_manifest.spec";
const POD: &str = "job_configuration.job_manifest.spec.template.spec";

/// Returns whether a part of a template, named as in [`merge`], is one that sbrun decides alone, or has such a part in it.
#[must_use]
pub(super) fn is_fixed(path: &str) -> bool {
    let contains = |fixed: &String| {
        let rest = fixed.strip_prefix(path);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    fixed().iter().any(|fixed| contains(fixed) || path.strip_prefix(fixed.as_str()).is_some_and(|rest| rest.starts_with(['.', '['])))
}

fn fixed() -> Vec<String> {
    let pod = |field: &str| format!("{POD}.{field}");
    let annotation = |key: &str| format!("{SPEC}.template.metadata.annotations.{}", merge::step(key));
    vec![
        format!("{SPEC}.backoffLimit"),
        pod("restartPolicy"),
        pod("parallelism"),
        pod("completions"),
        pod("nodeSelector"),
        pod("tolerations"),
        format!("{POD}.containers[{CONTAINER}].resources"),
        annotation(SAFE_TO_EVICT),
        annotation(DO_NOT_DISRUPT),
        format!("{SPEC}.template.metadata.labels.{}", merge::step(PLACEMENT_KEY)),
        "variables.properties.size.enum".to_owned(),
    ]
}

/// Returns the Job's specification in a template, and its pod's.
fn specs(template: &Value) -> (&Value, &Value) {
    let spec = template.pointer("/job_configuration/job_manifest/spec").unwrap_or(&Value::Null);
    (spec, spec.pointer("/template/spec").unwrap_or(&Value::Null))
}

/// Returns that a template gives retries two owners, in a sentence.
#[must_use]
pub fn two_owners(template: &Value) -> Option<String> {
    let limit = &specs(template).0["backoffLimit"];
    (*limit != 0).then(|| format!("`backoffLimit` is {limit}, not 0: Kubernetes and Prefect both retry, up to a run at the same time"))
}

/// Returns why the worker will refuse every run of a template, in sentences.
#[must_use]
pub fn refused(template: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let (_, pod) = specs(template);
    let mut must = |holds: bool, words: String| {
        if !holds {
            found.push(words);
        }
    };
    must(pod["restartPolicy"] == "Never", format!("`restartPolicy` is {}, not \"Never\": the worker refuses every run", pod["restartPolicy"]));
    for field in ["parallelism", "completions"] {
        must(pod[field] == 1, format!("`{field}` of the pod is {}, not 1: the worker refuses every run", pod[field]));
    }
    let first = &pod["containers"][0];
    must(first["name"] == CONTAINER, format!("the first container is called {}, not \"{CONTAINER}\": the worker refuses every run", first["name"]));
    found
}

/// Returns what is broken in a template, in sentences: rules of the worker and of sbrun.
#[must_use]
pub fn broken(template: &Value) -> Vec<String> {
    let mut found: Vec<String> = two_owners(template).into_iter().chain(refused(template)).collect();
    let (spec, pod) = specs(template);
    let first = &pod["containers"][0];
    let mut must = |holds: bool, words: String| {
        if !holds {
            found.push(words);
        }
    };
    let annotations = &spec["template"]["metadata"]["annotations"];
    if !annotations.is_string() {
        for (key, value) in [(SAFE_TO_EVICT, "false"), (DO_NOT_DISRUPT, "true")] {
            must(
                annotations[key] == value,
                format!("the pod has no annotation `{key}: \"{value}\"`: an autoscaler may take the node of a running flow"),
            );
        }
    }
    let grace = &pod["terminationGracePeriodSeconds"];
    let least = LEAST_GRACE.as_secs();
    must(
        grace.is_string() || grace.as_u64().is_some_and(|grace| grace >= least),
        format!("`terminationGracePeriodSeconds` is {grace}, less than {least}: a flow is cut off while it says goodbye"),
    );
    must(!reading::sizes(template).is_empty(), "there is no choice of sizes".to_owned());
    for (field, value) in [("nodeSelector", &pod["nodeSelector"]), ("tolerations", &pod["tolerations"]), ("resources", &first["resources"])] {
        must(reading::placeholders(value).iter().any(|name| name == "size"), format!("`{field}` does not depend on `size`: every run has the same"));
    }
    found
}

/// Returns the settings of a pool by which flows are retried that say nothing of it, each as `NAME=value`.
#[must_use]
pub fn hidden_retries(live: &LivePool) -> Vec<String> {
    let of_sizes = || live.block.iter().flat_map(|block| block.sizes.values()).filter_map(|size| size["env"].as_array()).flatten();
    let of_size = |name: &str| of_sizes().find(|variable| variable["name"] == name).and_then(|variable| variable["value"].as_str());
    let said = HIDDEN_RETRIES.into_iter().filter_map(|name| Some((name, reading::variable(&live.template, name).or_else(|| of_size(name))?)));
    said.filter(|(_, value)| *value != "0").map(|(name, value)| format!("{name}={value}")).collect()
}
