//! Whether a Prefect worker may do what it has to: asked on its behalf.

use futures::future::try_join_all;
use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
    rbac::v1::RoleBinding,
};
use kube::{Api, api::PostParams};

use super::rights::{asked, grouped};
use crate::{
    environment,
    kubernetes::{
        checks::permissions::Permission,
        connect::Cluster,
        observe::unseen,
        retry::{CallError, Patience, Repeat},
        setup::WORKER_ROLE,
    },
    model::{access::WORKER, doctor::MissingRight, node_group::Sighting, setup::WORKER_ACCOUNT},
};

/// Returns namespace and name of the worker's ServiceAccount: the one that has the Role of workers, else the one that `sbrun setup` would give it to.
pub async fn account(cluster: &Cluster) -> (String, String) {
    let binding = cluster.read(&cluster.api::<RoleBinding>(), WORKER_ROLE, Patience::ASK, "reading a RoleBinding").await;
    let subjects = binding.ok().flatten().and_then(|binding| binding.subjects).unwrap_or_default();
    let bound = subjects.into_iter().find(|subject| subject.kind == "ServiceAccount");
    let own = cluster.namespace.clone();
    bound.map_or((own.clone(), WORKER_ACCOUNT.to_owned()), |subject| (subject.namespace.unwrap_or(own), subject.name))
}

/// Returns what a ServiceAccount may not do in the namespace of the jobs of what a worker does there.
pub async fn missing_rights_of(cluster: &Cluster, (namespace, name): &(String, String)) -> Sighting<Vec<MissingRight>> {
    let asked = asked(WORKER);
    let answers = try_join_all(asked.iter().map(|permission| is_allowed(cluster, namespace, name, *permission))).await;
    match answers {
        Ok(allowed) => {
            let missing: Vec<Permission> = asked.into_iter().zip(allowed).filter(|(_, allowed)| !allowed).map(|(permission, _)| permission).collect();
            Sighting::Seen { value: grouped(WORKER, &missing, Some(&cluster.namespace), true), at: environment::now() }
        }
        Err(error) => Sighting::Unseen(unseen(&error, "what the worker may do", "create subjectaccessreviews")),
    }
}

async fn is_allowed(cluster: &Cluster, namespace: &str, name: &str, permission: Permission) -> Result<bool, CallError> {
    let api: Api<SubjectAccessReview> = Api::all(cluster.client.clone());
    let (resource, subresource) = permission.resource.split_once('/').map_or((permission.resource, None), |(left, right)| (left, Some(right)));
    let attributes = ResourceAttributes {
        namespace: Some(cluster.namespace.clone()),
        group: Some(permission.group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource: subresource.map(ToOwned::to_owned),
        verb: Some(permission.verb.to_owned()),
        ..ResourceAttributes::default()
    };
    let groups = ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}"), "system:authenticated".to_owned()];
    let spec = SubjectAccessReviewSpec {
        resource_attributes: Some(attributes),
        user: Some(format!("system:serviceaccount:{namespace}:{name}")),
        groups: Some(groups.to_vec()),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let parameters = PostParams::default();
    let answer = cluster.call(Repeat::Read, Patience::ASK, "asking what the worker may do", || api.create(&parameters, &review)).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
