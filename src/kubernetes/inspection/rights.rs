//! Which rights somebody lacks for what sbrun does and shows.

use crate::{
    environment,
    error::Result,
    kubernetes::{
        checks::permissions::{self, Permission},
        connect::Cluster,
    },
    model::{
        access::{AUTOSCALER, AUTOSCALER_NAMESPACE, JOBS, NODE_EVENTS, NODE_EVENTS_NAMESPACE, NODES, Right},
        doctor::MissingRight,
        node_group::Sighting,
    },
};

/// Returns the rights that are missing: of those in the namespace of the jobs that commands need, and of those that merely show more.
pub async fn missing_rights(cluster: &Cluster) -> Sighting<Vec<MissingRight>> {
    let (jobs, autoscaler, events, nodes) = tokio::join!(
        in_namespace(cluster, &cluster.namespace, JOBS, true),
        in_namespace(cluster, AUTOSCALER_NAMESPACE, AUTOSCALER, false),
        in_namespace(cluster, NODE_EVENTS_NAMESPACE, NODE_EVENTS, false),
        everywhere(cluster, NODES),
    );
    let all = [jobs, autoscaler, events, nodes].into_iter().collect::<Result<Vec<Option<Vec<MissingRight>>>>>();
    match all.map(|all| all.into_iter().collect::<Option<Vec<_>>>()) {
        Ok(Some(missing)) => Sighting::Seen { value: missing.into_iter().flatten().collect(), at: environment::now() },
        Ok(None) => Sighting::Unseen("your permissions: the API server does not list them".to_owned()),
        Err(error) => Sighting::Unseen(error.to_string()),
    }
}

async fn in_namespace(cluster: &Cluster, namespace: &str, rights: &'static [Right], needed: bool) -> Result<Option<Vec<MissingRight>>> {
    let missing = permissions::missing(cluster, namespace, &asked(rights)).await?;
    Ok(missing.map(|missing| grouped(rights, &missing, Some(namespace), needed)))
}

/// In the whole cluster rules cannot be listed, only asked for one by one.
async fn everywhere(cluster: &Cluster, rights: &'static [Right]) -> Result<Option<Vec<MissingRight>>> {
    let missing = permissions::denied(cluster, None, asked(rights)).await?;
    Ok(Some(grouped(rights, &missing, None, false)))
}

pub(super) fn asked(rights: &[Right]) -> Vec<Permission> {
    let of = |right: &Right| {
        let Right { group, resource, name, verbs, .. } = *right;
        verbs.iter().map(move |verb| Permission { group, resource, name, verb })
    };
    rights.iter().flat_map(of).collect()
}

pub(super) fn grouped(rights: &'static [Right], missing: &[Permission], namespace: Option<&str>, needed: bool) -> Vec<MissingRight> {
    let of = |right: &Right| {
        let is_its = |permission: &&Permission| (permission.group, permission.resource, permission.name) == (right.group, right.resource, right.name);
        let verbs: Vec<&'static str> = missing.iter().filter(is_its).map(|permission| permission.verb).collect();
        (!verbs.is_empty()).then(|| MissingRight { right: *right, namespace: namespace.map(ToOwned::to_owned), verbs, needed })
    };
    rights.iter().filter_map(of).collect()
}
