//! Looking at node groups: what to ask for, and asking all sources at once.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::NodesArgs;
use crate::{
    aws::Account,
    commands::context::Context,
    error::Result,
    kubernetes::{
        cluster_autoscaler,
        connect::Cluster,
        karpenter::{self, Karpenter, Scope},
        occupancy,
        retry::Patience,
    },
    model::{
        identity::SizeName,
        instance_map::{Defaults, InstanceMap, SizeProfile},
        node_group::{AccountGroup, EKS_NODE_GROUP, EKSCTL_NODE_GROUP, NODE_POOL, Scaling, Sighting, label_names},
        occupancy::Occupancy,
        scale_state::{Survey, SurveyInput, survey},
    },
    output::ui::Ui,
    store::map_file::FoundMap,
};

/// Beyond so many lists of nodes by label, one list of all nodes is less to ask for.
const MOST_SELECTORS: usize = 8;
/// The longest value of a label: another name cannot be asked for.
const LONGEST_VALUE: usize = 63;
/// How far back activities tell why a group does not grow now.
const RECENT: SignedDuration = SignedDuration::from_hours(1);

/// Looks at the same node groups again and again.
pub(in crate::commands) struct Observer {
    pub(in crate::commands) cluster: Cluster,
    map: Option<InstanceMap>,
    defaults: Defaults,
    size: Option<SizeName>,
    all: bool,
    account: Account,
}

/// What one look saw.
pub(in crate::commands) struct Look {
    /// When, by the server's clock.
    pub(in crate::commands) now: Timestamp,
    pub(in crate::commands) scaling: Scaling,
    pub(in crate::commands) occupancy: Occupancy,
    unknown: Vec<String>,
}

impl Observer {
    /// Finds the map and prepares to look. Without a map all node groups are looked at.
    pub(in crate::commands) async fn new(arguments: &NodesArgs, context: &Context, ui: &mut Ui) -> Result<Self> {
        let found = context.find_map()?;
        let cluster = context.connect(found.as_ref().and_then(|found| found.namespace())).await?;
        let found = match found {
            Some(found) => Some(found),
            None => context.map_of_cluster(&cluster).await?,
        };
        let map = found.map(|found| found.map);
        if map.is_none() {
            ui.status("there is no instance map: all node groups are shown, as far as they can be seen");
        }
        let size = arguments.size.clone().map(SizeName);
        Self::with(cluster, map, size, arguments.all, context)
    }

    /// Prepares to look at the sizes of a map.
    pub(in crate::commands) async fn of_map(found: &FoundMap, context: &Context) -> Result<Self> {
        let cluster = context.connect(found.namespace()).await?;
        Self::with(cluster, Some(found.map.clone()), None, false, context)
    }

    fn with(cluster: Cluster, map: Option<InstanceMap>, size: Option<SizeName>, all: bool, context: &Context) -> Result<Self> {
        if let Some(map) = &map {
            map.check_cluster(&cluster.server, cluster.contexts())?;
        }
        if let (Some(size), Some(map)) = (&size, &map) {
            map.size(size)?;
        }
        let place = |value: fn(&InstanceMap) -> Option<&str>| map.as_ref().and_then(value);
        let region = place(|map| map.cluster.region.as_ref().map(|region| region.value.as_str()));
        let name = place(|map| map.cluster.name.as_ref().map(|name| name.value.as_str()));
        let account = Account::connect(region, name, &context.environment);
        let defaults = map.as_ref().map(|map| map.defaults.clone()).unwrap_or_default();
        Ok(Self { all: all || map.is_none(), cluster, map, defaults, size, account })
    }

    /// Returns the sizes that are looked at.
    fn sizes(&self) -> impl Iterator<Item = &SizeProfile> {
        self.all_sizes().iter().filter(|size| self.size.as_ref().is_none_or(|wanted| *wanted == size.name))
    }

    fn all_sizes(&self) -> &[SizeProfile] {
        self.map.as_ref().map_or(&[], |map| &map.sizes)
    }

    /// Returns the size of this name.
    pub(in crate::commands) fn size(&self, name: &SizeName) -> Option<&SizeProfile> {
        self.all_sizes().iter().find(|size| size.name == *name)
    }

    /// Returns where one looks, for people.
    pub(in crate::commands) fn place(&self) -> String {
        let name = self.map.as_ref().and_then(|map| map.cluster.name.as_ref()).map(|name| name.value.clone());
        name.or_else(|| self.cluster.context.clone()).unwrap_or_else(|| self.cluster.server.clone())
    }

    /// Looks at everything at once.
    pub(in crate::commands) async fn look(&self) -> Result<Look> {
        self.look_since(RECENT).await
    }

    /// Looks at everything at once, with the scaling activities of this long.
    pub(in crate::commands) async fn look_since(&self, span: SignedDuration) -> Result<Look> {
        let since = self.cluster.now().checked_sub(span).unwrap_or(Timestamp::UNIX_EPOCH);
        let (selectors, patience) = (self.selectors(), Patience::ASK);
        let groups = self.all || self.sizes().any(|size| size.node_pool.is_none());
        let pools = self.all || self.sizes().any(|size| size.node_pool.is_some());
        let (occupancy, account, autoscaler, karpenter) = tokio::join!(
            occupancy::observe(&self.cluster, &selectors, patience),
            self.account(since),
            async {
                if !groups {
                    return None;
                }
                Some(tokio::join!(cluster_autoscaler::status(&self.cluster, patience), cluster_autoscaler::events(&self.cluster, patience)))
            },
            async { if pools { Some(karpenter::observe(&self.cluster, Scope::All, patience).await) } else { None } },
        );
        let (account, mut unknown) = account;
        let mut scaling = Scaling { account, ..Scaling::default() };
        if let Some((status, events)) = autoscaler {
            scaling.autoscaler = status;
            // Whoever may not read the events may mostly not read the status either, and is told so once.
            scaling.events.extend(events.unwrap_or_default());
        }
        if let Some(Karpenter { pools, claims, events, unknown: of_karpenter }) = karpenter {
            scaling.pools = pools;
            scaling.claims = claims;
            scaling.events.extend(events);
            unknown.extend(of_karpenter);
        }
        Ok(Look { now: self.cluster.now(), scaling, occupancy: occupancy?, unknown })
    }

    /// Returns what a look comes to.
    pub(in crate::commands) fn survey(&self, look: &Look) -> Survey {
        let input = SurveyInput {
            sizes: self.all_sizes(),
            defaults: &self.defaults,
            size: self.size.as_ref(),
            all: self.all,
            scaling: &look.scaling,
            occupancy: &look.occupancy,
            unneeded_time: None,
            now: look.now,
        };
        let mut found = survey(&input);
        found.unknown.extend(look.unknown.iter().cloned());
        found
    }

    /// Returns the node groups of the account: those of the map, and with `--all` those that an autoscaler would discover.
    async fn account(&self, since: Timestamp) -> (Sighting<Vec<AccountGroup>>, Vec<String>) {
        let names: Vec<String> = self.sizes().flat_map(|size| &size.node_groups).map(|name| name.value.clone()).collect();
        let discovered = async {
            if !self.all {
                return None;
            }
            let name = self.map.as_ref().and_then(|map| map.cluster.name.as_ref()).map(|name| name.value.as_str());
            Some(Box::pin(self.account.discover(name)).await)
        };
        let of_map = async { if names.is_empty() { (Sighting::NotAsked, Vec::new()) } else { Box::pin(self.account.observe(&names, since)).await } };
        let ((mut groups, unknown), discovered) = tokio::join!(of_map, discovered);
        match (&mut groups, discovered) {
            (Sighting::Seen { value, .. }, Some(Sighting::Seen { value: more, .. })) => {
                let known: BTreeSet<String> = value.iter().map(|group| group.name.clone()).collect();
                value.extend(more.into_iter().filter(|group| !known.contains(&group.name)));
            }
            (Sighting::NotAsked, Some(found)) => groups = found,
            _ => {}
        }
        (groups, unknown)
    }

    /// Returns what picks the nodes of the sizes: their own labels, and the labels of their groups. None means all nodes.
    fn selectors(&self) -> Vec<String> {
        if self.all {
            return Vec::new();
        }
        let mut single: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut selectors: BTreeSet<String> = BTreeSet::new();
        for size in self.sizes() {
            let wanted = size.placement().node_selector;
            let pairs: Vec<String> = wanted.iter().map(|(key, value)| format!("{key}={value}")).collect();
            match wanted.into_iter().collect::<Vec<_>>().as_slice() {
                [(key, value)] => drop(single.entry(key.clone()).or_default().insert(value.clone())),
                [] => {}
                _ => drop(selectors.insert(pairs.join(","))),
            }
            for name in size.node_groups.iter().flat_map(|name| label_names(&name.value)).filter(|name| name.len() <= LONGEST_VALUE) {
                for key in [EKS_NODE_GROUP, EKSCTL_NODE_GROUP] {
                    single.entry(key.to_owned()).or_default().insert(name.to_owned());
                }
            }
            if let Some(pool) = &size.node_pool {
                single.entry(NODE_POOL.to_owned()).or_default().insert(pool.value.clone());
            }
        }
        let one_of = |(key, values): (String, BTreeSet<String>)| format!("{key} in ({})", values.into_iter().collect::<Vec<_>>().join(","));
        selectors.extend(single.into_iter().map(one_of));
        if selectors.len() > MOST_SELECTORS { Vec::new() } else { selectors.into_iter().collect() }
    }
}
