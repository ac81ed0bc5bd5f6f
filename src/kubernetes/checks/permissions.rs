//! What the user may do in the namespace: one request for all, and single ones where the server cannot list its rules.

use futures::future::join_all;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, ResourceRule, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SelfSubjectRulesReview, SelfSubjectRulesReviewSpec,
};
use kube::{Api, api::PostParams};

use super::{Findings, Problem, Purpose, brings_secrets};
use crate::{
    error::{ErrorKind, Result},
    kubernetes::{
        connect::Cluster,
        error::{explain, status},
        retry::{Patience, Repeat},
    },
    model::{
        launch_plan::{LaunchPlan, OnInterrupt},
        package::INLINE_LIMIT,
    },
};

/// A verb on a resource, both as RBAC has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kubernetes) struct Permission {
    pub(in crate::kubernetes) group: &'static str,
    /// With its subresource, such as `pods/log`.
    pub(in crate::kubernetes) resource: &'static str,
    /// The one object that it is about; none means all.
    pub(in crate::kubernetes) name: Option<&'static str>,
    pub(in crate::kubernetes) verb: &'static str,
}

impl Permission {
    /// Returns whether a rule grants this, by the rules of RBAC.
    fn is_granted_by(self, rule: &ResourceRule) -> bool {
        let subresource = self.resource.split_once('/').map(|(_, subresource)| format!("*/{subresource}"));
        let names = |resource: &String| resource == "*" || resource == self.resource || Some(resource) == subresource.as_ref();
        let groups = rule.api_groups.iter().flatten();
        rule.verbs.iter().any(|verb| verb == "*" || verb == self.verb)
            && groups.into_iter().any(|group| group == "*" || group == self.group)
            && rule.resources.iter().flatten().any(names)
            && rule.resource_names.as_ref().is_none_or(|allowed| allowed.is_empty() || allowed.iter().any(|one| Some(one.as_str()) == self.name))
    }
}

/// Returns what the rest of the submission needs; nothing when the creation of the Job alone tells everything.
pub(super) fn needed(plan: &LaunchPlan, purpose: Purpose) -> Vec<Permission> {
    let of =
        |group, resource, verbs: &[&'static str]| verbs.iter().map(move |verb| Permission { group, resource, name: None, verb }).collect::<Vec<_>>();
    let mut needed = Vec::new();
    let jobs = |verbs| of("batch", "jobs", verbs);
    // Files shrink, so whatever is within the limit unpacked surely travels inside the Job.
    let may_need_config_maps = plan.package.total_size() > INLINE_LIMIT;
    if may_need_config_maps || brings_secrets(plan) {
        needed.extend(jobs(&["create", "get", "patch", "delete"]));
    }
    if may_need_config_maps {
        needed.extend(of("", "configmaps", &["create"]));
    }
    if brings_secrets(plan) {
        needed.extend(of("", "secrets", &["create"]));
    }
    if plan.key.is_some() {
        needed.extend(jobs(&["create", "get", "list"]));
    }
    if purpose == Purpose::Follow || plan.on_interrupt == OnInterrupt::Cancel {
        needed.extend(jobs(&["create", "get", "list", "watch", "patch"]));
        needed.extend(of("", "pods", &["list", "watch"]));
        needed.extend(of("", "pods/log", &["get"]));
    }
    let mut unique: Vec<Permission> = Vec::new();
    for permission in needed {
        if !unique.contains(&permission) {
            unique.push(permission);
        }
    }
    unique
}

/// Returns which of the needed permissions the user has not.
pub(super) async fn check(cluster: &Cluster, needed: &[Permission]) -> Result<Findings> {
    if needed.is_empty() {
        return Ok(Findings::default());
    }
    match missing(cluster, &cluster.namespace, needed).await? {
        Some(missing) => Ok(findings(&missing, &cluster.namespace)),
        None => Ok(Findings::unknown("your permissions: the API server does not list them")),
    }
}

/// Returns which of the permissions the user has not in `namespace`; nothing when the API server does not list its rules.
pub(in crate::kubernetes) async fn missing(cluster: &Cluster, namespace: &str, asked: &[Permission]) -> Result<Option<Vec<Permission>>> {
    let doing = "asking what you may do";
    let api: Api<SelfSubjectRulesReview> = Api::all(cluster.client.clone());
    let review =
        SelfSubjectRulesReview { spec: SelfSubjectRulesReviewSpec { namespace: Some(namespace.to_owned()) }, ..SelfSubjectRulesReview::default() };
    let parameters = PostParams::default();
    let answer = cluster.call(Repeat::Read, Patience::START, doing, || api.create(&parameters, &review)).await;
    let rules = match answer {
        Ok(answer) => answer.status.unwrap_or_default(),
        Err(error) if status(&error).is_some_and(|answer| answer.code != 401) => return Ok(None),
        Err(error) => return Err(explain(error, doing)),
    };
    let granted = |permission: &Permission| rules.resource_rules.iter().any(|rule| permission.is_granted_by(rule));
    let unlisted: Vec<Permission> = asked.iter().copied().filter(|permission| !granted(permission)).collect();
    // An authorizer such as EKS's own cannot list its rules, but answers single questions.
    let missing = if rules.incomplete { denied(cluster, Some(namespace), unlisted).await? } else { unlisted };
    Ok(Some(missing))
}

/// Returns which of the permissions the user has not, asked one by one; without a namespace in the whole cluster.
pub(in crate::kubernetes) async fn denied(cluster: &Cluster, namespace: Option<&str>, asked: Vec<Permission>) -> Result<Vec<Permission>> {
    let answers = join_all(asked.iter().map(|permission| is_allowed(cluster, namespace, *permission))).await;
    let mut denied = Vec::new();
    for (permission, allowed) in asked.into_iter().zip(answers) {
        if !allowed? {
            denied.push(permission);
        }
    }
    Ok(denied)
}

async fn is_allowed(cluster: &Cluster, namespace: Option<&str>, permission: Permission) -> Result<bool> {
    let doing = "asking what you may do";
    let api: Api<SelfSubjectAccessReview> = Api::all(cluster.client.clone());
    let (resource, subresource) = permission.resource.split_once('/').map_or((permission.resource, None), |(left, right)| (left, Some(right)));
    let attributes = ResourceAttributes {
        namespace: namespace.map(ToOwned::to_owned),
        name: permission.name.map(ToOwned::to_owned),
        group: Some(permission.group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource: subresource.map(ToOwned::to_owned),
        verb: Some(permission.verb.to_owned()),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..SelfSubjectAccessReviewSpec::default() },
        ..SelfSubjectAccessReview::default()
    };
    let parameters = PostParams::default();
    let answer = cluster.call(Repeat::Read, Patience::START, doing, || api.create(&parameters, &review)).await;
    Ok(answer.map_err(|error| explain(error, doing))?.status.is_some_and(|status| status.allowed))
}

/// Returns one problem for each resource with missing verbs.
fn findings(denied: &[Permission], namespace: &str) -> Findings {
    let mut found = Findings::default();
    let mut resources: Vec<&str> = denied.iter().map(|permission| permission.resource).collect();
    resources.dedup();
    for resource in resources {
        let verbs: Vec<&str> = denied.iter().filter(|permission| permission.resource == resource).map(|permission| permission.verb).collect();
        found.problems.push(Problem {
            kind: ErrorKind::NotAllowed,
            text: format!("you may not {} `{resource}` in namespace `{namespace}`", listed(&verbs)),
            hint: format!("ask the cluster's administrators for them: kubectl auth can-i --list -n {namespace} shows what you may do"),
        });
    }
    found
}

fn listed(verbs: &[&str]) -> String {
    match verbs {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> ResourceRule {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        ResourceRule { api_groups: Some(owned(groups)), resources: Some(owned(resources)), verbs: owned(verbs), resource_names: None }
    }

    #[test]
    fn rules_are_read_as_rbac_reads_them() {
        let log = Permission { group: "", resource: "pods/log", name: None, verb: "get" };
        assert!(log.is_granted_by(&rule(&[""], &["pods/log"], &["get"])));
        assert!(log.is_granted_by(&rule(&["*"], &["*"], &["*"])));
        assert!(log.is_granted_by(&rule(&[""], &["*/log"], &["get"])));
        assert!(!log.is_granted_by(&rule(&[""], &["pods"], &["get"])));
        assert!(!log.is_granted_by(&rule(&["batch"], &["pods/log"], &["get"])));
        assert!(!log.is_granted_by(&rule(&[""], &["pods/log"], &["list"])));
        let named = ResourceRule { resource_names: Some(vec!["one".into()]), ..rule(&[""], &["pods/log"], &["get"]) };
        assert!(!log.is_granted_by(&named));
        assert!(Permission { name: Some("one"), ..log }.is_granted_by(&named));
        assert!(!Permission { name: Some("two"), ..log }.is_granted_by(&named));
        assert!(Permission { name: Some("one"), ..log }.is_granted_by(&rule(&[""], &["pods/log"], &["get"])));
    }

    #[test]
    fn missing_verbs_of_one_resource_are_one_problem() {
        let permission = |resource, verb| Permission { group: "", resource, name: None, verb };
        let found =
            findings(&[permission("pods", "get"), permission("pods", "list"), permission("pods", "watch"), permission("pods/log", "get")], "flows");
        let texts: Vec<&str> = found.problems.iter().map(|problem| problem.text.as_str()).collect();
        assert_eq!(texts, ["you may not get, list or watch `pods` in namespace `flows`", "you may not get `pods/log` in namespace `flows`"]);
    }
}
