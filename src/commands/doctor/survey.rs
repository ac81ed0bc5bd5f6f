//! Everything that a set-up is judged by, all asked for at the same time.

use std::{collections::BTreeMap, future::Future};

use futures::future::join_all;
use jiff::SignedDuration;

use crate::{
    aws::Account,
    commands::context::Context,
    environment::{Environment, now},
    kubernetes::{
        cluster_autoscaler,
        connect::Cluster,
        inspection,
        karpenter::{self, Scope},
        retry::Patience,
    },
    model::{
        doctor::{PrefectSurvey, RECENT, Survey, claims, priority_class},
        identity::SizeName,
        instance_map::{InstanceMap, Prefect, SizeProfile},
        node_group::{AccountGroup, Scaling, Sighting},
        prefect::pool::block_name,
    },
    prefect::Server,
};

/// Returns what is seen of the set-up that a map is for.
pub(super) async fn survey(map: &InstanceMap, only: Option<&SizeName>, cluster: &Cluster, context: &Context) -> Survey {
    let sizes: Vec<&SizeProfile> = map.sizes.iter().filter(|size| only.is_none_or(|only| size.name == *only)).collect();
    let ((scaling, account_unknown, region), nodes, daemon_sets, autoscaler, version, missing_rights, admissions, rule_breaker, templates, prefect) = tokio::join!(
        scaling(map, &sizes, only, cluster, &context.environment),
        inspection::nodes(cluster),
        inspection::daemon_sets(cluster),
        inspection::autoscaler(cluster),
        inspection::version(cluster),
        inspection::missing_rights(cluster),
        by_name(sizes.iter().map(|size| (size.name.clone(), inspection::admission(cluster, size, &map.defaults)))),
        inspection::admission_of_rule_breaker(cluster),
        templates(map, &sizes, cluster),
        prefect(map, cluster, context),
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
        prefect,
    }
}

/// Returns what is seen of the Prefect server; nothing when neither map nor surroundings name one.
async fn prefect(map: &InstanceMap, cluster: &Cluster, context: &Context) -> Option<PrefectSurvey> {
    let named = map.prefect != Prefect::default();
    let server = match context.prefect() {
        Ok(None) if !named => return None,
        Ok(None) => Err("no Prefect API is known here: set PREFECT_API_URL, or choose a profile with `prefect profile use`".to_owned()),
        Ok(Some(server)) => Ok(server),
        Err(error) => Err(error.message().to_owned()),
    };
    let secret = map.prefect.api_key_secret.as_ref().map(|secret| secret.value.as_str());
    let account = inspection::account(cluster).await;
    let (secret_entries, missing_rights, seen) = tokio::join!(
        async {
            match secret {
                Some(secret) => inspection::secret_entries(cluster, secret).await,
                None => Sighting::NotAsked,
            }
        },
        inspection::missing_rights_of(cluster, &account),
        async {
            match &server {
                Ok(server) => of_server(server, map.prefect.work_pool.as_ref().map(|pool| pool.value.as_str())).await,
                Err(why) => PrefectSurvey { version: Sighting::Unseen(why.clone()), ..PrefectSurvey::default() },
            }
        },
    );
    Some(PrefectSurvey { secret_entries, missing_rights, account: format!("{}/{}", account.0, account.1), ..seen })
}

/// Returns what a server says of itself, and of a pool.
async fn of_server(server: &Server, pool: Option<&str>) -> PrefectSurvey {
    let api_url = server.api_url().to_owned();
    let at = now();
    let version = match server.version().await {
        Ok(value) => Sighting::Seen { value, at },
        Err(error) => return PrefectSurvey { api_url, version: Sighting::Unseen(error.message().to_owned()), ..PrefectSurvey::default() },
    };
    let Some(name) = pool else { return PrefectSurvey { api_url, version, ..PrefectSurvey::default() } };
    let block = block_name(name);
    let (live, workers) = tokio::join!(server.live_pool(name, &block), server.work_pool_and_workers(name));
    let pool = match live {
        Ok(Some(value)) => Sighting::Seen { value, at },
        Ok(None) => Sighting::Absent { at },
        Err(error) => Sighting::Unseen(error.message().to_owned()),
    };
    let (workers, is_paused) = match workers {
        Ok(Some(found)) => (Sighting::Seen { value: found.workers, at }, found.is_paused),
        Ok(None) => (Sighting::Absent { at }, false),
        Err(error) => (Sighting::Unseen(error.message().to_owned()), false),
    };
    PrefectSurvey { api_url, version, pool, workers, is_paused, ..PrefectSurvey::default() }
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
