//! Where to look, and what is there.

use std::collections::BTreeSet;

use super::InitArgs;
use crate::{
    aws::Account,
    commands::context::Context,
    error::{Error, Result},
    kubernetes::{
        cluster_autoscaler,
        connect::Cluster,
        inspection,
        karpenter::{self, Scope},
        retry::Patience,
    },
    model::{
        autoscaler_deployment::AutoscalerDeployment,
        autoscaler_tags::{ENABLED, OF_CLUSTER},
        instance_map::{self, CONFIG_MAP, InstanceMap, Located},
        node_group::{Scaling, Sighting},
        proposal::Seen,
        suggestion,
    },
};

/// What was found, and what could not be looked at.
pub(super) struct Look {
    pub(super) seen: Seen,
    pub(super) place: Place,
    /// What could not be seen, as sentences.
    pub(super) unknown: Vec<String>,
}

/// The cluster and the account that a map is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) server: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) region: Option<String>,
    pub(super) cluster: Option<String>,
}

impl Look {
    /// Looks at cluster and account. Either will do.
    ///
    /// # Errors
    /// When neither can be looked at.
    pub(super) async fn new(arguments: &InitArgs, map: Option<&InstanceMap>, context: &Context) -> Result<Self> {
        let of_map = map.map(|map| map.cluster.clone()).unwrap_or_default();
        let cluster = context.connect(of_map.namespace.as_ref().map(|namespace| namespace.value.as_str())).await;
        let cluster = match cluster {
            Ok(cluster) => cluster.version().await.map(|_| cluster),
            Err(error) => Err(error),
        };
        if let (Ok(cluster), Some(map)) = (&cluster, map) {
            map.check_cluster(&cluster.server, cluster.contexts())?;
        }
        let mut unknown = Vec::new();
        let (mut seen, deployment) = match &cluster {
            Ok(cluster) => of_cluster(cluster, &mut unknown).await,
            Err(error) => {
                unknown.push(format!("the cluster: {error}"));
                (Seen::default(), None)
            }
        };
        if let (Ok(cluster), None) = (&cluster, map)
            && context.map_of_cluster(cluster).await.is_ok_and(|shared| shared.is_some())
        {
            let namespace = &cluster.namespace;
            unknown.push(format!("namespace `{namespace}` has a map for everybody, the ConfigMap {CONFIG_MAP}; a file here goes before it"));
        }
        let mut place = Place::new(arguments, &of_map, cluster.as_ref().ok(), deployment.as_ref());
        let account = Account::connect(place.region.as_deref(), place.cluster.as_deref(), &context.environment);
        seen.scaling.account = account.discover(place.cluster.as_deref()).await;
        if place.cluster.is_none() {
            place.cluster = only_cluster(&mut seen.scaling)?;
        }
        match (&seen.scaling.account, cluster) {
            (Sighting::Unseen(_), Err(error)) => return Err(error.caused_by_all(seen.scaling.account.obstacle().map(ToOwned::to_owned))),
            (Sighting::Unseen(why), Ok(_)) => unknown.push(why.clone()),
            _ => place.region = place.region.or(account.region().await.map(ToOwned::to_owned)),
        }
        Ok(Self { seen, place, unknown })
    }
}

async fn of_cluster(cluster: &Cluster, unknown: &mut Vec<String>) -> (Seen, Option<AutoscalerDeployment>) {
    let (nodes, daemon_sets, deployment, status, karpenter) = tokio::join!(
        inspection::nodes(cluster),
        inspection::daemon_sets(cluster),
        inspection::autoscaler(cluster),
        cluster_autoscaler::status(cluster, Patience::ASK),
        karpenter::observe(cluster, Scope::All, Patience::ASK),
    );
    let obstacles = [nodes.obstacle(), daemon_sets.obstacle(), status.obstacle(), karpenter.pools.obstacle()];
    unknown.extend(obstacles.into_iter().flatten().map(ToOwned::to_owned));
    let scaling = Scaling { autoscaler: status, pools: karpenter.pools, claims: karpenter.claims, ..Scaling::default() };
    let (nodes, daemon_sets) = (nodes.value().cloned().unwrap_or_default(), daemon_sets.value().cloned().unwrap_or_default());
    (Seen { scaling, nodes, daemon_sets }, deployment.value().cloned())
}

impl Place {
    /// Returns where the map is for: by what somebody typed, by the map that is there, by what cluster and autoscaler tell.
    fn new(arguments: &InitArgs, of_map: &instance_map::Cluster, cluster: Option<&Cluster>, deployment: Option<&AutoscalerDeployment>) -> Self {
        let value = |located: &Option<Located<String>>| located.as_ref().map(|located| located.value.clone());
        let server = cluster.map(|cluster| cluster.server.clone()).filter(|server| !server.is_empty());
        let of_context = cluster.and_then(|cluster| cluster.context.as_deref()).and_then(eks_cluster);
        let region_of_context = of_context.as_ref().map(|(region, _)| region.clone());
        Self {
            namespace: value(&of_map.namespace).or_else(|| cluster.map(|cluster| cluster.namespace.clone()).filter(|name| name != "default")),
            region: arguments
                .region
                .clone()
                .or_else(|| value(&of_map.region))
                .or_else(|| server.as_deref().and_then(eks_region))
                .or(region_of_context),
            cluster: arguments
                .cluster
                .clone()
                .or_else(|| value(&of_map.name))
                .or_else(|| deployment.and_then(discovered_cluster))
                .or_else(|| of_context.map(|(_, name)| name)),
            server: server.or_else(|| value(&of_map.server)),
        }
    }
}

/// Returns the one cluster that the discovered groups belong to, where nothing else told its name: that of the groups that the
/// autoscaler here lists, else the only one there is.
///
/// # Errors
/// When the groups are those of several clusters, and nothing tells which are ours.
fn only_cluster(scaling: &mut Scaling) -> Result<Option<String>> {
    let listed: Option<Vec<String>> = scaling.autoscaler.value().map(|status| status.groups.iter().map(|group| group.name.clone()).collect());
    let Sighting::Seen { value: groups, .. } = &mut scaling.account else { return Ok(None) };
    if let Some(listed) = listed {
        groups.retain(|group| listed.contains(&group.name));
    }
    let names = groups.iter().flat_map(|group| group.tags.keys()).filter_map(|tag| tag.strip_prefix(OF_CLUSTER));
    let names: BTreeSet<&str> = names.filter(|name| *name != "enabled" && !name.contains('/')).collect();
    match names.iter().collect::<Vec<_>>().as_slice() {
        [] => Ok(None),
        [only] => Ok(Some((**only).to_owned())),
        _ => Err(Error::rejected(format!(
            "the node groups of this account and region belong to several clusters: {}",
            suggestion::listed(names.iter().copied())
        ))
        .hinted("say which one is meant with `--cluster`")),
    }
}

/// Returns the region of an EKS API server: `https://….eu-west-1.eks.amazonaws.com`.
fn eks_region(server: &str) -> Option<String> {
    let host = server.split_once("://").map_or(server, |(_, rest)| rest).split(['/', ':']).next()?;
    let (rest, _) = host.split_once(".eks.amazonaws.com")?;
    rest.rsplit_once('.').map(|(_, region)| region.to_owned())
}

/// Returns region and name of the cluster of a context that `aws eks update-kubeconfig` named: `arn:aws:eks:REGION:ACCOUNT:cluster/NAME`.
fn eks_cluster(context: &str) -> Option<(String, String)> {
    let mut parts = context.strip_prefix("arn:")?.splitn(5, ':').skip(1);
    let (service, region) = (parts.next()?, parts.next()?);
    let (_, name) = parts.nth(1)?.split_once('/')?;
    (service == "eks").then(|| (region.to_owned(), name.to_owned()))
}

/// Returns the cluster by whose tag the autoscaler discovers its groups.
fn discovered_cluster(deployment: &AutoscalerDeployment) -> Option<String> {
    let tags = deployment.discovery_tags();
    let mut names = tags.iter().flatten().filter(|(tag, _)| *tag != ENABLED).filter_map(|(tag, _)| tag.strip_prefix(OF_CLUSTER));
    names.next().map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        autoscaler_status::{AutoscalerStatus, GroupStatus},
        node_group::AccountGroup,
    };

    #[test]
    fn groups_of_other_clusters_are_no_sizes_of_this_one() {
        let group = |name: &str, cluster: &str| AccountGroup {
            name: name.into(),
            tags: [(ENABLED.to_owned(), "true".to_owned()), (format!("{OF_CLUSTER}{cluster}"), "owned".to_owned())].into(),
            ..AccountGroup::default()
        };
        let groups = vec![group("a", "prod"), group("b", "test")];
        let scaling = |listed: &[&str]| {
            let groups_listed = listed.iter().map(|name| GroupStatus { name: (*name).to_owned(), ..GroupStatus::default() }).collect();
            let status = AutoscalerStatus { groups: groups_listed, ..AutoscalerStatus::default() };
            let (account, at) = (groups.clone(), jiff::Timestamp::UNIX_EPOCH);
            let autoscaler = if listed.is_empty() { Sighting::NotAsked } else { Sighting::Seen { value: status, at } };
            Scaling { account: Sighting::Seen { value: account, at }, autoscaler, ..Scaling::default() }
        };
        let mut ours = scaling(&["b"]);
        assert_eq!(only_cluster(&mut ours).expect("it is one"), Some("test".to_owned()));
        assert_eq!(ours.account.value().map(Vec::len), Some(1));
        let error = only_cluster(&mut scaling(&[])).expect_err("there are two");
        assert_eq!(error.message(), "the node groups of this account and region belong to several clusters: `prod` and `test`");
    }

    #[test]
    fn eks_tells_region_and_name() {
        assert_eq!(eks_region("https://0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com").as_deref(), Some("eu-west-1"));
        assert_eq!(eks_region("https://127.0.0.1:6443"), None);
        let expected = Some(("eu-west-1".to_owned(), "prod".to_owned()));
        assert_eq!(eks_cluster("arn:aws:eks:eu-west-1:123456789012:cluster/prod"), expected);
        assert_eq!(eks_cluster("kind-test"), None);
        let flags =
            AutoscalerDeployment::flags_of(["--node-group-auto-discovery=asg:tag=k8s.io/cluster-autoscaler/enabled,k8s.io/cluster-autoscaler/prod"]);
        assert_eq!(discovered_cluster(&AutoscalerDeployment { flags, ..AutoscalerDeployment::default() }).as_deref(), Some("prod"));
    }
}
