//! What sbrun must be allowed in a cluster: the one home of its rights, for whoever grants or checks them.

use crate::model::autoscaler_status;

/// Verbs on a resource, as RBAC has them, and what they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right {
    /// API group; empty for the core one.
    pub group: &'static str,
    /// Resource, with its subresource: `pods/log`.
    pub resource: &'static str,
    /// The one object that it is about; none means all.
    pub name: Option<&'static str>,
    /// Verbs that sbrun uses.
    pub verbs: &'static [&'static str],
    /// Verbs that only the kubectl commands use which `why` advises.
    pub advised: &'static [&'static str],
    /// What sbrun does with it.
    pub purpose: &'static str,
}

/// Where the Cluster Autoscaler writes its status and its events.
pub const AUTOSCALER_NAMESPACE: &str = "kube-system";
/// Where events about objects without a namespace are: nodes, NodeClaims, NodePools.
pub const NODE_EVENTS_NAMESPACE: &str = "default";

const fn right(group: &'static str, resource: &'static str, verbs: &'static [&'static str], purpose: &'static str) -> Right {
    Right { group, resource, name: None, verbs, advised: &[], purpose }
}

/// In the namespace of the jobs, for people and pipelines: all that the commands of sbrun do there.
pub const JOBS: &[Right] = &[
    right(
        "batch",
        "jobs",
        &["create", "get", "list", "watch", "patch", "delete"],
        "submitting, following, cancelling, keeping verdicts, cleaning; taking back a failed submission",
    ),
    Right { advised: &["get"], ..right("", "pods", &["list", "watch"], "following, and why a job does not start") },
    right("", "pods/log", &["get"], "output"),
    right("", "configmaps", &["create", "get", "delete"], "packages over 128 KiB, `rerun` of them, the shared instance map"),
    right("", "secrets", &["create", "get", "delete"], "`--secret`: values of a job, and whether a key that it refers to exists"),
    right("", "events", &["list"], "why a pod waits, or an image fails"),
    Right { advised: &["get"], ..right("", "resourcequotas", &["list"], "saying before submission that a job never fits") },
    right("", "serviceaccounts", &["get"], "checking before submission that it exists"),
    right("", "persistentvolumeclaims", &["get"], "checking before submission that it exists"),
    right("", "namespaces", &["get"], "telling a namespace that does not exist from an object that does not"),
];

/// In the whole cluster, for people and pipelines: the machines and what fills them.
pub const NODES: &[Right] = &[
    right("", "nodes", &["get", "list"], "labels, taints, what would fit, which are idle"),
    right("", "pods", &["list"], "what fills the nodes of a size"),
    right("karpenter.sh", "nodepools", &["list"], "limits and state of Karpenter's node pools"),
    right("karpenter.sh", "nodeclaims", &["list"], "machines that Karpenter is starting"),
];

/// In [`AUTOSCALER_NAMESPACE`]: what the Cluster Autoscaler says of the node groups.
pub const AUTOSCALER: &[Right] = &[
    Right { name: Some(autoscaler_status::CONFIG_MAP), ..right("", "configmaps", &["get"], "its status: health, sizes and back-off of every group") },
    right("", "events", &["list"], "scale-ups that failed, and why"),
];

/// In [`NODE_EVENTS_NAMESPACE`]: what happened to the machines.
pub const NODE_EVENTS: &[Right] = &[right("", "events", &["list"], "why a node went, and what became of a NodeClaim")];

/// In the namespace of the jobs, for a Prefect worker: what its Kubernetes worker and the observer in it do.
pub const WORKER: &[Right] = &[
    right("batch", "jobs", &["get", "list", "watch", "create", "update", "patch", "delete"], "launching flow runs, and removing their Jobs"),
    right("", "pods", &["get", "list", "watch"], "following flow runs"),
    right("", "pods/status", &["get", "list", "watch"], "following flow runs"),
    right("", "pods/log", &["get", "list", "watch"], "output of a flow run that crashed"),
    right("", "events", &["get", "list", "watch"], "why a pod does not start"),
];

/// What `doctor` alone looks at besides. No Role of `setup` has it: it shows more than people need who run jobs. Whoever lacks it hears
/// that so much is unknown.
pub const INSPECTION: &[Right] = &[
    right("apps", "deployments", &["list"], "flags and version of the Cluster Autoscaler, in `kube-system`"),
    right("apps", "daemonsets", &["list"], "what daemon sets take of every node"),
    right("", "persistentvolumes", &["get"], "the zone that a claim ties a job to"),
    right("scheduling.k8s.io", "priorityclasses", &["get"], "whether a job's priority makes the autoscaler ignore it"),
    right("rbac.authorization.k8s.io", "rolebindings", &["get"], "whether the Prefect worker has its Role"),
    right("authorization.k8s.io", "subjectaccessreviews", &["create"], "whether the Prefect worker may do what it has to"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_every_right() {
        let page = include_str!("../../docs/security.md");
        let first_column = |right: &Right| format!("| `{}` | {}", right.resource, right.verbs.join(", "));
        for right in JOBS {
            assert!(page.contains(&format!("{} | {} |", first_column(right), right.purpose)), "{right:?}");
        }
        for right in INSPECTION {
            assert!(page.contains(&format!("{} | {} |", first_column(right), right.purpose)), "{right:?}");
        }
        for right in NODES.iter().chain(AUTOSCALER).chain(NODE_EVENTS) {
            assert!(
                page.lines().any(|line| line.starts_with(&first_column(right)) && line.ends_with(&format!("| {} |", right.purpose))),
                "{right:?}"
            );
        }
    }
}
