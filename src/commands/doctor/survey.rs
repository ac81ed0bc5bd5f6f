//! Everything that a set-up is judged by, all asked for at the same time.

use std::{collections::BTreeMap, future::Future};

use futures::future::join_all;
use jiff::SignedDuration;

use crate::{
    aws::Account,
    environment::Environment,
    kubernetes::{
        cluster_autoscaler,
        connect::Cluster,
        inspection,
        karpenter::{self, Scope},
        retry::Patience,
    },
    model::{
        doctor::{RECENT, Survey, claims, priority_class},
        identity::SizeName,
        instance_map::{InstanceMap, SizeProfile},
        node_group::{AccountGroup, Scaling, Sighting},
    },
};

/// Returns what is seen of the set-up that a map is for.
pub(super) async fn survey(map: &InstanceMap, only: Option<&SizeName>, cluster: &Cluster, environment: &Environment) -> Survey {
    let sizes: Vec<&SizeProfile> = map.sizes.iter().filter(|size| only.is_none_or(|only| size.name == *only)).collect();
    let ((scaling, account_unknown, region), nodes, daemon_sets, autoscaler, version, missing_rights, admissions, rule_breaker, templates) = tokio::join!(
        scaling(map, &sizes, only, cluster, environment),
        inspection::nodes(cluster),
        inspection::daemon_sets(cluster),
        inspection::autoscaler(cluster),
        inspection::version(cluster),
        inspection::missing_rights(cluster),
        by_name(sizes.iter().map(|size| (size.name.clone(), inspection::admission(cluster, size, &map.defaults)))),
        inspection::admission_of_rule_breaker(cluster),
        templates(map, &sizes, cluster),
    );
    let (priorities, claim_zones) = templates;
    Survey {
        now: cluster.now(),
        namespace: cluster.namespace.clone(),
        region,
        scaling,
        account_unknown,
        nodes,
        daemon_sets,
        autoscaler,
        version,
        missing_rights,
        admissions,
        rule_breaker,
        priorities,
        claim_zones,
    }
}

async fn scaling(
    map: &InstanceMap,
    sizes: &[&SizeProfile],
    only: Option<&SizeName>,
    cluster: &Cluster,
    environment: &Environment,
) -> (Scaling, Vec<String>, Option<String>) {
    let setting = |located: &Option<crate::model::instance_map::Located<String>>| located.as_ref().map(|located| located.value.clone());
    let (region, name) = (setting(&map.cluster.region), setting(&map.cluster.name));
    let account = Account::connect(region.as_deref(), name.as_deref(), environment);
    let names: Vec<String> = sizes.iter().flat_map(|size| &size.node_groups).map(|group| group.value.clone()).collect();
    let wants_pools = sizes.is_empty() || sizes.iter().any(|size| size.node_pool.is_some());
    let since = cluster.now().checked_sub(SignedDuration::try_from(RECENT).unwrap_or_default()).unwrap_or_default();
    let (groups, status, events, karpenter) = tokio::join!(
        async {
            match (names.is_empty(), sizes.is_empty()) {
                (false, _) => account.observe(&names, since).await,
                (true, true) => (of_new_size(&account, only, name.as_deref()).await, Vec::new()),
                (true, false) => (Sighting::NotAsked, Vec::new()),
            }
        },
        cluster_autoscaler::status(cluster, Patience::ASK),
        cluster_autoscaler::events(cluster, Patience::ASK),
        async { if wants_pools { Some(karpenter::observe(cluster, Scope::All, Patience::ASK).await) } else { None } },
    );
    let region = if matches!(groups.0, Sighting::NotAsked) { None } else { account.region().await.map(ToOwned::to_owned) };
    let karpenter = karpenter.unwrap_or_default();
    let mut events = events.unwrap_or_default();
    events.extend(karpenter.events);
    let scaling = Scaling { account: groups.0, autoscaler: status, pools: karpenter.pools, claims: karpenter.claims, events };
    (scaling, groups.1, region)
}

/// Returns the groups among which that of a size may be which the map does not have yet: one of its name, whatever its tags, else those
/// that the autoscaler finds.
async fn of_new_size(account: &Account, size: Option<&SizeName>, cluster: Option<&str>) -> Sighting<Vec<AccountGroup>> {
    let named = account.groups(&size.iter().map(|size| size.0.clone()).collect::<Vec<_>>()).await;
    if named.value().is_some_and(Vec::is_empty) { account.discover(cluster).await } else { named }
}

type OfTemplates = (BTreeMap<String, Sighting<i32>>, BTreeMap<String, Sighting<Vec<String>>>);

/// Returns what the templates of the sizes refer to.
async fn templates(map: &InstanceMap, sizes: &[&SizeProfile], cluster: &Cluster) -> OfTemplates {
    let classes = sizes.iter().filter_map(|size| priority_class(map, size));
    let claims = sizes.iter().flat_map(|size| claims(map, size));
    tokio::join!(
        by_name(classes.map(|class| (class.to_owned(), inspection::priority(cluster, class)))),
        by_name(claims.map(|claim| (claim.to_owned(), inspection::claim_zones(cluster, claim)))),
    )
}

/// Asks all questions at once; of two with the same name the last one's answer counts.
async fn by_name<K: Ord, T>(questions: impl Iterator<Item = (K, impl Future<Output = T>)>) -> BTreeMap<K, T> {
    let asked = questions.map(|(name, question)| async { (name, question.await) });
    join_all(asked).await.into_iter().collect()
}
