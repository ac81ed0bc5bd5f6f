//! What a base job template says, whoever wrote it.

use serde_json::Value;

use super::{ON_SIGTERM, OnReclaim};

/// Returns the names of the placeholders in a document, each once. Of one in another the inner counts, as for Prefect.
#[must_use]
pub fn placeholders(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(document, &mut found);
    found
}

fn collect(document: &Value, found: &mut Vec<String>) {
    match document {
        Value::String(text) => {
            for name in text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(name, _)| name.trim()) {
                let is_name = !name.is_empty() && name.chars().all(|character| character.is_alphanumeric() || "_.-[]$".contains(character));
                if is_name && !found.iter().any(|known| known == name) {
                    found.push(name.to_owned());
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, found)),
        _ => {}
    }
}

/// Returns the sizes that a template offers.
#[must_use]
pub fn sizes(template: &Value) -> Vec<&str> {
    let listed = template.pointer("/variables/properties/size/enum").and_then(Value::as_array);
    listed.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Returns the size of whoever names none.
#[must_use]
pub fn default_size(template: &Value) -> Option<&str> {
    template.pointer("/variables/properties/size/default").and_then(Value::as_str)
}

/// Returns what becomes of a run whose machine is taken away. Without a word of its own a worker decides for `reschedule`, or, when
/// Kubernetes retries, for none of both.
#[must_use]
pub fn on_reclaim(template: &Value) -> Option<OnReclaim> {
    let said = variable(template, ON_SIGTERM);
    let retries = template.pointer("/job_configuration/job_manifest/spec/backoffLimit").and_then(Value::as_i64);
    said.map_or_else(|| (retries == Some(0)).then_some(OnReclaim::Reschedule), OnReclaim::from_word)
}

/// Returns the value of an environment variable of all runs.
#[must_use]
pub fn variable<'t>(template: &'t Value, name: &str) -> Option<&'t str> {
    let of = |pointer: &str| template.pointer(pointer).and_then(|variables| variables.get(name)).and_then(Value::as_str);
    of("/variables/properties/env/default").or_else(|| of("/job_configuration/env"))
}
