//! Roles and who has them.

use serde_json::{Value, json};

use super::{WORKER_ROLE, object};
use crate::model::{
    access::{self, Right},
    setup::{Setup, Subject},
};

const RBAC: &str = "rbac.authorization.k8s.io/v1";
/// The Role of people and pipelines: they use the same commands.
const USERS: &str = "sbrun";
/// The Roles that show machines.
const NODES: &str = "sbrun-nodes";

/// Returns Roles and RoleBindings of the namespace.
pub(super) fn in_namespace(setup: &Setup) -> Vec<Value> {
    let namespace = Some(setup.namespace.as_str());
    vec![
        role(namespace, USERS, access::JOBS),
        binding(namespace, "sbrun-users", USERS, &setup.people),
        binding(namespace, "sbrun-ci", USERS, &setup.pipelines),
        role(namespace, WORKER_ROLE, access::WORKER),
        binding(namespace, WORKER_ROLE, WORKER_ROLE, &setup.workers),
    ]
}

/// Returns Roles and bindings for what is outside the namespace: machines, their events, the autoscaler's status.
///
/// Several namespaces share the Roles; each has bindings of its own.
pub(super) fn beyond(setup: &Setup) -> Vec<Value> {
    let subjects: Vec<Subject> = setup.people.iter().chain(&setup.pipelines).cloned().collect();
    let places =
        [(None, access::NODES), (Some(access::AUTOSCALER_NAMESPACE), access::AUTOSCALER), (Some(access::NODE_EVENTS_NAMESPACE), access::NODE_EVENTS)];
    let own = format!("{NODES}-{}", setup.namespace);
    places.into_iter().flat_map(|(namespace, rights)| [role(namespace, NODES, rights), binding(namespace, &own, NODES, &subjects)]).collect()
}

/// Returns a Role, or without a namespace a ClusterRole.
fn role(namespace: Option<&str>, name: &str, rights: &[Right]) -> Value {
    let kind = if namespace.is_some() { "Role" } else { "ClusterRole" };
    object(RBAC, kind, namespace, name, json!({"rules": rights.iter().map(rule).collect::<Vec<_>>()}))
}

fn rule(right: &Right) -> Value {
    let verbs: Vec<&str> = right.verbs.iter().chain(right.advised).copied().collect();
    let mut rule = json!({"apiGroups": [right.group], "resources": [right.resource], "verbs": verbs});
    if let Some(name) = right.name {
        rule["resourceNames"] = json!([name]);
    }
    rule
}

fn binding(namespace: Option<&str>, name: &str, role: &str, subjects: &[Subject]) -> Value {
    let (kind, of) = if namespace.is_some() { ("RoleBinding", "Role") } else { ("ClusterRoleBinding", "ClusterRole") };
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": of, "name": role});
    object(RBAC, kind, namespace, name, json!({"roleRef": role, "subjects": subjects.iter().map(subject).collect::<Vec<_>>()}))
}

fn subject(subject: &Subject) -> Value {
    match subject {
        Subject::Group(name) => json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": name}),
        Subject::ServiceAccount { namespace, name } => json!({"kind": "ServiceAccount", "namespace": namespace, "name": name}),
    }
}
