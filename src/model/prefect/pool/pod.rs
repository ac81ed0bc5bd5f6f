//! The pod of a run: admitted where Pod Security is `restricted`, on the machines of its size, and long enough there to say goodbye.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{API_KEY, API_KEY_ENTRY, AUTH_STRING, AUTH_STRING_ENTRY, Lookup, template::CONTAINER};
use crate::model::{
    flow_environment,
    instance_map::{Defaults, Prefect, SizeProfile},
    job_template,
    launch_plan::{RunAsUser, TimeLimits, Toleration},
};

/// Returns a job variable, or what is looked up where a size says something of its own.
pub(super) fn variable_or_of_size<'m>(
    lookup: &mut Lookup<'m>,
    variable: &str,
    is_said: impl Fn(&Defaults) -> bool,
    of: impl Fn(&'m SizeProfile, &'m Defaults) -> Value,
) -> Value {
    let map = lookup.map;
    if map.sizes.iter().any(|size| is_said(&size.own)) {
        return lookup.of_size(variable, |size| of(size, &map.defaults));
    }
    Value::String(format!("{{{{ {variable} }}}}"))
}

/// Returns what sbrun decides about the pod.
pub(super) fn fixed(lookup: &mut Lookup<'_>) -> Value {
    let map = lookup.map;
    let defaults = &map.defaults;
    let mut pod = json!({
        // The worker wants them here; the API server drops them.
        "parallelism": 1,
        "completions": 1,
        "restartPolicy": "Never",
        "nodeSelector": lookup.of_size("node_selector", |size| node_selector(size, defaults)),
        "tolerations": lookup.of_size("tolerations", |size| tolerations(size, defaults)),
        "terminationGracePeriodSeconds": lookup.same_or_of_size("grace", |size| json!(grace(size, defaults))),
        // A flow that is PID 1 ignores SIGTERM and dies with 137 after the whole grace.
        "shareProcessNamespace": true,
        "containers": [container(lookup)],
    });
    let account = |size: &SizeProfile, defaults: &Defaults| {
        json!(size.own.service_account.as_ref().or(defaults.service_account.as_ref()).map(|one| &one.value))
    };
    pod["serviceAccountName"] = variable_or_of_size(lookup, "service_account_name", |own| own.service_account.is_some(), account);
    let secrets = lookup.same_or_of_size("image_pull_secrets", |size| {
        let names = size.own.image_pull_secrets.as_ref().or(defaults.image_pull_secrets.as_ref());
        names.into_iter().flat_map(|names| &names.value).map(|name| json!({"name": name})).collect()
    });
    if secrets.as_array().is_none_or(|secrets| !secrets.is_empty()) {
        pod["imagePullSecrets"] = secrets;
    }
    pod
}

/// Returns what the map's own Job template may replace.
pub(super) fn defaults(lookup: &mut Lookup<'_>) -> Value {
    let map = lookup.map;
    let of_user = map.sizes.iter().any(|size| matches!(user(size, &map.defaults), RunAsUser::Id(_)));
    let mut volumes = vec![json!({"name": "tmp", "emptyDir": {}})];
    let mut mounts = vec![json!({"name": "tmp", "mountPath": "/tmp"})];
    if of_user {
        volumes.push(json!({"name": "home", "emptyDir": {}}));
        mounts.push(json!({"name": "home", "mountPath": flow_environment::HOME}));
    }
    json!({
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "securityContext": lookup.same_or_of_size("security_context", |size| security_context(user(size, &map.defaults))),
        "containers": [{
            "name": CONTAINER,
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "volumeMounts": mounts,
        }],
        "volumes": volumes,
    })
}

fn container(lookup: &mut Lookup<'_>) -> Value {
    let map = lookup.map;
    json!({
        "name": CONTAINER,
        "image": "{{ image }}",
        "imagePullPolicy": "{{ image_pull_policy }}",
        "args": "{{ command }}",
        "env": lookup.of_size("env", |size| environment_of_size(size, &map.defaults, &map.prefect)),
        "resources": lookup.of_size("resources", |size| size.footprint(&map.defaults).resources()),
    })
}

/// Returns the variables that are not among the job variables: a worker adds these to them, where they do not name the same.
///
/// So a deployment may replace each of them, and the credential stands nowhere in clear.
fn environment_of_size(size: &SizeProfile, defaults: &Defaults, prefect: &Prefect) -> Value {
    let mut variables: BTreeMap<String, Value> = BTreeMap::new();
    for (name, value) in flow_environment::of_footprint(&size.footprint(defaults)) {
        variables.insert(name.clone(), json!({"name": name, "value": value}));
    }
    for variable in of_template(defaults, "/spec/template/spec/containers").iter().flat_map(env_of_flow) {
        variables.insert(variable["name"].as_str().unwrap_or_default().to_owned(), variable.clone());
    }
    let said = defaults.env.iter().chain(&size.own.env).map(|(name, value)| (name.as_str(), value.value.as_str()));
    let user = if matches!(user(size, defaults), RunAsUser::Id(_)) { flow_environment::OF_UNKNOWN_USER.as_slice() } else { &[] };
    for (name, value) in user.iter().copied().chain(said).chain([(flow_environment::SIZE, size.name.0.as_str())]) {
        variables.insert(name.to_owned(), json!({"name": name, "value": value}));
    }
    variables.extend(credential(prefect).map(|(name, reference)| (name.to_owned(), json!({"name": name, "valueFrom": {"secretKeyRef": reference}}))));
    variables.into_values().collect()
}

/// Returns the variables of the flow's container in a list of containers.
fn env_of_flow(containers: &Value) -> impl Iterator<Item = &Value> {
    let flow = containers.as_array().into_iter().flatten().filter(|container| container["name"] == job_template::FLOW_CONTAINER);
    flow.filter_map(|container| container["env"].as_array()).flatten()
}

/// Returns the variable that holds the credential of the map's Prefect server, and where in the cluster it is.
#[must_use]
pub fn credential(prefect: &Prefect) -> Option<(&'static str, Value)> {
    let secret = prefect.api_key_secret.as_ref()?;
    let of_cloud = prefect.api_url.as_ref().is_some_and(|url| is_cloud(&url.value));
    let (name, key) = if of_cloud { (API_KEY, API_KEY_ENTRY) } else { (AUTH_STRING, AUTH_STRING_ENTRY) };
    Some((name, json!({"name": secret.value, "key": key})))
}

fn is_cloud(url: &str) -> bool {
    url.starts_with("https://api.prefect.cloud/")
}

fn node_selector(size: &SizeProfile, defaults: &Defaults) -> Value {
    let mut selector = of_template(defaults, "/spec/template/spec/nodeSelector").filter(Value::is_object).unwrap_or_else(|| json!({}));
    for (key, value) in size.placement().node_selector {
        selector[key] = json!(value);
    }
    selector
}

fn tolerations(size: &SizeProfile, defaults: &Defaults) -> Value {
    let of_template: Vec<Toleration> =
        of_template(defaults, "/spec/template/spec/tolerations").and_then(|listed| serde_json::from_value(listed).ok()).unwrap_or_default();
    let mut all = size.placement().tolerations;
    all.extend(of_template);
    json!(all)
}

/// Returns a field of the map's Job template.
fn of_template(defaults: &Defaults, pointer: &str) -> Option<Value> {
    defaults.template.as_ref()?.value.manifest.pointer(pointer).cloned()
}

fn grace(size: &SizeProfile, defaults: &Defaults) -> u64 {
    let said = size.own.grace.as_ref().or(defaults.grace.as_ref());
    said.map_or(TimeLimits::default().grace, |grace| grace.value).as_secs()
}

fn user(size: &SizeProfile, defaults: &Defaults) -> RunAsUser {
    size.own.run_as_user.as_ref().or(defaults.run_as_user.as_ref()).map(|user| user.value).unwrap_or_default()
}

fn security_context(user: RunAsUser) -> Value {
    let mut context = json!({"seccompProfile": {"type": "RuntimeDefault"}});
    if let RunAsUser::Id(user) = user {
        for field in ["runAsUser", "runAsGroup", "fsGroup"] {
            context[field] = json!(user);
        }
        if user != 0 {
            context["runAsNonRoot"] = json!(true);
        }
    }
    context
}

/// Returns the map's Job template as a part of the pool's: its container for the flow is the one that a worker asks for.
pub(super) fn job_template_of(defaults: &Defaults) -> Value {
    let Some(template) = &defaults.template else { return json!({}) };
    let mut manifest = json!({"metadata": {"labels": template.value.manifest["metadata"]["labels"]}, "spec": template.value.manifest["spec"]});
    if let Some(containers) = manifest.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut) {
        for container in containers.iter_mut().filter(|container| container["name"] == job_template::FLOW_CONTAINER) {
            container["name"] = json!(CONTAINER);
            container["env"] = Value::Null; // it is among what is looked up by size
        }
    }
    manifest
}
