//! What a template may not change: the rules of every template, and what this plan decides.

use serde_json::{Value, json};

use crate::{
    error::{Error, Result},
    model::{job_template, launch_plan::LaunchPlan},
};

/// Returns an error that names everything in the plan's template that breaks a rule.
///
/// Most plans got their template from a map that was checked; one that a Job recorded may be of another version.
pub(super) fn check(plan: &LaunchPlan) -> Result<()> {
    let Some(template) = &plan.template else { return Ok(()) };
    let mut problems = job_template::problems(template);
    let selector = &template["spec"]["template"]["spec"]["nodeSelector"];
    for (key, value) in &plan.placement.node_selector {
        let other = &selector[key.as_str()];
        if !other.is_null() && other != value {
            let field = format!("spec.template.spec.nodeSelector.{key}");
            problems.push(format!("`{field}` is {other}, it can only be \"{value}\": the size decides where a job runs"));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::rejected("the template cannot be used").caused_by_all(problems)) }
}

/// Returns the part of a template that is merged: labels, annotations and the spec.
pub(super) fn usable_part(template: &Value) -> Value {
    let metadata = &template["metadata"];
    json!({"metadata": {"labels": metadata["labels"], "annotations": metadata["annotations"]}, "spec": template["spec"]})
}
