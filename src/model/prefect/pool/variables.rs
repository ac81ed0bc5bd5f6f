//! The job variables: what a deployment or a run may say, and what it cannot.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{API_KEY, API_URL, AUTH_STRING, Choices, ON_SIGTERM, reading};
use crate::model::{
    instance_map::{Defaults, InstanceMap, Located, SizeProfile},
    job_template::{DO_NOT_DISRUPT, SAFE_TO_EVICT},
    launch_plan::TimeLimits,
};

/// Returns the JSON Schema of the job variables that `configuration` refers to.
pub(super) fn variables(map: &InstanceMap, namespace: &str, choices: &Choices, configuration: &Value) -> Value {
    let used = reading::placeholders(configuration);
    let mut properties = properties(map, namespace, choices);
    // One that nothing refers to would be taken, and do nothing.
    properties.retain(|name, _| used.contains(name));
    let mut required: Vec<&str> = Vec::new();
    if choices.default_size.is_none() {
        required.push("size");
    }
    if map.defaults.image.is_none() {
        required.push("image");
    }
    let mut schema = json!({
        "type": "object",
        "description": "Job variables of a pool that sbrun made of an instance map: `size` decides where a run runs, and what it may use.",
        "properties": properties,
        // A misspelt name is refused, not ignored; `env.NAME` is how the command line of Prefect writes one variable.
        "additionalProperties": false,
        "patternProperties": {"^env\\.": {"type": ["string", "null"]}},
        "definitions": {"KubernetesClusterConfig": cluster_config()},
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// Returns how long a finished Job is kept, in seconds.
pub(super) fn finished_ttl(own: &Defaults, defaults: &Defaults) -> u64 {
    let said = own.finished_ttl.as_ref().or(defaults.finished_ttl.as_ref());
    said.map_or(TimeLimits::default().finished_ttl, |ttl| ttl.value).as_secs()
}

fn properties(map: &InstanceMap, namespace: &str, choices: &Choices) -> Map<String, Value> {
    let defaults = &map.defaults;
    let with_default = |mut property: Value, default: Value| {
        property["default"] = default;
        property
    };
    let mut found = json!({
        "size": size(map, choices),
        "name": optional("string", "Name", "Name given to infrastructure created by a worker."),
        "env": {
            "type": "object",
            "title": "Environment Variables",
            "description": "Environment variables to set when starting a flow run.",
            "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "default": environment(map, choices),
        },
        "labels": {
            "type": "object",
            "title": "Labels",
            "description": "Labels applied to infrastructure created by a worker.",
            "additionalProperties": {"type": "string"},
            // Of sbrun's own, whose run it is alone: `submit --deployment` says it.
            "propertyNames": {"pattern": "^(?!sbrun\\.dev/(?!user$))"},
        },
        "annotations": {
            "type": "object",
            "title": "Annotations",
            "description": "Annotations applied to Kubernetes jobs and pods created by the worker.",
            "additionalProperties": {"type": "string"},
            // The worker lays them over those of the pod.
            "properties": {SAFE_TO_EVICT: {"enum": ["false"]}, DO_NOT_DISRUPT: {"enum": ["true"]}},
        },
        "command": optional("string", "Command", "The command to use when starting a flow run. In most cases it is left blank: the worker knows it."),
        "namespace": {
            "type": "string",
            "title": "Namespace",
            "description": "The Kubernetes namespace of the jobs: the one that the instance map is for, and its worker watches.",
            "enum": [namespace],
            "default": namespace,
        },
        "service_account_name": with_default(
            optional("string", "Service Account Name", "The Kubernetes service account of the jobs."),
            json!(defaults.service_account.as_ref().map(|account| &account.value)),
        ),
        "image_pull_policy": {
            "type": "string",
            "title": "Image Pull Policy",
            "description": "The Kubernetes image pull policy of the job's container.",
            "enum": ["IfNotPresent", "Always", "Never"],
            "default": "IfNotPresent",
        },
        "finished_job_ttl": {
            "type": "integer",
            "title": "Finished Job TTL",
            "description": "How many seconds Kubernetes keeps a finished job.",
            "minimum": 0,
            "default": finished_ttl(&Defaults::default(), defaults),
        },
        "cluster_config": {
            "anyOf": [{"$ref": "#/definitions/KubernetesClusterConfig"}, {"type": "null"}],
            "default": null,
            "description": "The Kubernetes cluster config to use for job creation.",
        },
    });
    found["image"] = image(defaults);
    let Value::Object(mut found) = found else { return Map::new() };
    found.extend(of_old_workers(defaults));
    found
}

fn optional(kind: &str, title: &str, description: &str) -> Value {
    json!({"anyOf": [{"type": kind}, {"type": "null"}], "default": null, "title": title, "description": description})
}

fn image(defaults: &Defaults) -> Value {
    let what = "The container image of the flow.";
    match &defaults.image {
        Some(default) => json!({"type": "string", "title": "Image", "description": what, "default": default.value}),
        None => {
            json!({"type": "string", "title": "Image", "description": format!("{what} The instance map names none, so every deployment has to.")})
        }
    }
}

/// Returns settings that current workers declare and do not read; old ones give a pod up that has no machine in time.
fn of_old_workers(defaults: &Defaults) -> [(String, Value); 3] {
    let limits = TimeLimits::default();
    let or = |said: &Option<Located<Duration>>, otherwise| said.as_ref().map_or(otherwise, |said| said.value);
    let wait = or(&defaults.queue_timeout, limits.queue_timeout) + or(&defaults.pending_timeout, limits.pending_timeout);
    let what = "Of old workers; current ones do not read it.";
    let pod_watch = json!({"type": "integer", "title": "Pod Watch Timeout Seconds", "description": what, "default": wait.as_secs()});
    let stream = json!({"type": "boolean", "title": "Stream Output", "description": what, "default": true});
    [
        ("job_watch_timeout_seconds".to_owned(), optional("integer", "Job Watch Timeout Seconds", what)),
        ("pod_watch_timeout_seconds".to_owned(), pod_watch),
        ("stream_output".to_owned(), stream),
    ]
}

/// Returns the choice of sizes, with what each of them comes to.
fn size(map: &InstanceMap, choices: &Choices) -> Value {
    let words = |size: &SizeProfile| {
        let footprint = size.footprint(&map.defaults);
        let gpus = if footprint.gpu > 0 { format!(", {} GPU", footprint.gpu) } else { String::new() };
        let what = size.description.as_ref().map(|what| format!(" ({what})")).unwrap_or_default();
        format!("{}: {} CPU, {}{gpus}{what}", size.name, footprint.cpu, footprint.memory)
    };
    let names: Vec<&str> = map.sizes.iter().map(|size| size.name.0.as_str()).collect();
    let listed = map.sizes.iter().map(words).collect::<Vec<_>>().join("\n");
    let mut property = json!({"type": "string", "title": "Size", "description": format!("The size of the run, one of\n{listed}"), "enum": names});
    if let Some(default) = &choices.default_size {
        property["default"] = json!(default.0);
    }
    property
}

/// Returns the variables by which a run finds the server, and knows what to do when it is told to end.
///
/// A worker hands its own settings on; these go before them, and `null` takes one away: a run has the map's credential, by a reference
/// in its container, never the worker's in clear.
fn environment(map: &InstanceMap, choices: &Choices) -> Value {
    let mut variables = json!({ON_SIGTERM: choices.on_reclaim.as_str(), API_KEY: null, AUTH_STRING: null, "PREFECT_HOME": null});
    if let Some(url) = &map.prefect.api_url {
        variables[API_URL] = json!(url.value);
    }
    variables
}

/// Returns the schema of Prefect's own block for another cluster.
fn cluster_config() -> Value {
    json!({
        "block_schema_references": {},
        "block_type_slug": "kubernetes-cluster-config",
        "description": "Stores configuration for interaction with Kubernetes clusters.",
        "properties": {
            "config": {"additionalProperties": true, "description": "The entire contents of a kubectl config file.", "title": "Config", "type": "object"},
            "context_name": {"description": "The name of the kubectl context to use.", "title": "Context Name", "type": "string"},
        },
        "required": ["config", "context_name"],
        "secret_fields": [],
        "title": "KubernetesClusterConfig",
        "type": "object",
    })
}
