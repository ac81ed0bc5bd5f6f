//! The pod of a flow.

use serde_json::{Value, json};

use super::{files, seconds};
use crate::{
    kubernetes::labels,
    model::{
        flow_environment,
        launch_plan::{Interpreter, LaunchPlan, RunAsUser, SecretSource},
        package::{
            bootstrap::{FLOW_FOLDER, PACKAGE_FOLDER, bootstrap_command, bootstrap_module},
            delivery::Delivery,
        },
        prefect::tracking::ENGINE,
    },
};

/// Returns the pod's defaults, which a template may replace.
pub(super) fn defaults(plan: &LaunchPlan) -> Value {
    let mut environment = flow_environment::defaults(plan);
    let mut volumes = vec![json!({"name": "tmp", "emptyDir": {}})];
    let mut mounts = vec![json!({"name": "tmp", "mountPath": "/tmp"})];
    let mut security = json!({"seccompProfile": {"type": "RuntimeDefault"}});
    if let RunAsUser::Id(user) = plan.run_as_user {
        environment.extend(flow_environment::OF_UNKNOWN_USER.map(|(name, value)| (name.to_owned(), value.to_owned())));
        volumes.push(json!({"name": "home", "emptyDir": {}}));
        mounts.push(json!({"name": "home", "mountPath": flow_environment::HOME}));
        security["runAsGroup"] = json!(user);
        security["fsGroup"] = json!(user);
    }
    json!({
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "securityContext": security,
        "containers": [{
            "name": labels::FLOW_CONTAINER,
            "env": environment.iter().map(|(name, value)| variable(name, value)).collect::<Vec<_>>(),
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "volumeMounts": mounts,
        }],
        "volumes": volumes,
    })
}

/// Returns what sbrun decides about the pod.
pub(super) fn fixed(plan: &LaunchPlan, delivery: &Delivery) -> Value {
    let mut pod = json!({
        "restartPolicy": "Never",
        "activeDeadlineSeconds": seconds(plan.limits.timeout),
        "terminationGracePeriodSeconds": seconds(plan.limits.grace),
        // The flow must never be PID 1: Python there ignores SIGTERM and dies with 137 after the whole grace.
        "shareProcessNamespace": true,
        "containers": [container(plan)],
        "volumes": volumes(plan, delivery),
    });
    if let RunAsUser::Id(user) = plan.run_as_user {
        pod["securityContext"] = json!({"runAsUser": user});
        if user != 0 {
            pod["securityContext"]["runAsNonRoot"] = json!(true);
        }
    }
    if !plan.placement.node_selector.is_empty() {
        pod["nodeSelector"] = json!(plan.placement.node_selector);
    }
    if !plan.placement.tolerations.is_empty() {
        pod["tolerations"] = json!(plan.placement.tolerations);
    }
    if let Some(account) = &plan.service_account {
        pod["serviceAccountName"] = json!(account);
    }
    if !plan.image_pull_secrets.is_empty() {
        pod["imagePullSecrets"] = plan.image_pull_secrets.iter().map(|name| json!({"name": name})).collect();
    }
    pod
}

fn container(plan: &LaunchPlan) -> Value {
    let flow = &plan.flow;
    let (command, mounts) = match flow.interpreter {
        Interpreter::Python => (
            match plan.tracking {
                Some(_) => bootstrap_module(ENGINE),
                None => bootstrap_command(&flow.file, &flow.arguments),
            },
            json!([{"name": "flow", "mountPath": FLOW_FOLDER}, {"name": files::VOLUME, "mountPath": PACKAGE_FOLDER, "readOnly": true}]),
        ),
        Interpreter::Executable => (
            std::iter::once(format!("{FLOW_FOLDER}/{}", flow.file)).chain(flow.arguments.iter().cloned()).collect(),
            json!([{"name": files::VOLUME, "mountPath": FLOW_FOLDER, "readOnly": true}]),
        ),
    };
    json!({
        "name": labels::FLOW_CONTAINER,
        "image": plan.image,
        "command": command.iter().map(|word| literal(word)).collect::<Vec<_>>(),
        "workingDir": FLOW_FOLDER,
        "env": environment(plan),
        "resources": plan.footprint.resources(),
        "volumeMounts": mounts,
    })
}

fn environment(plan: &LaunchPlan) -> Vec<Value> {
    let is_secret = |name: &str| plan.secrets.iter().any(|secret| secret.name == name);
    let given = flow_environment::given(plan);
    let open = given.iter().filter(|(name, _)| !is_secret(name)).map(|(name, value)| variable(name, value));
    let secrets = plan.secrets.iter().map(|secret| {
        let (object, key) = match &secret.source {
            SecretSource::Value(_) => (plan.name.as_str(), &secret.name),
            SecretSource::Reference { secret, key } => (secret.as_str(), key),
        };
        json!({"name": secret.name, "valueFrom": {"secretKeyRef": {"name": object, "key": key}}})
    });
    open.chain(secrets).collect()
}

fn variable(name: &str, value: &str) -> Value {
    json!({"name": name, "value": literal(value)})
}

/// Returns a text that Kubernetes hands on as it is: it would replace `$(NAME)` in commands and variables.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

fn volumes(plan: &LaunchPlan, delivery: &Delivery) -> Vec<Value> {
    let mut volumes = vec![files::volume(plan, delivery)];
    if plan.flow.interpreter == Interpreter::Python {
        volumes.push(json!({"name": "flow", "emptyDir": {}}));
    }
    volumes
}
