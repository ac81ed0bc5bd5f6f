//! Auto Scaling groups: by name, by the managed node group that they belong to, and by the tags that the Cluster Autoscaler looks for.

use std::collections::BTreeSet;

use aws_sdk_autoscaling::types::Filter;
use jiff::Timestamp;

use super::{Account, reading::from_group, sighting};
use crate::{
    error::Result,
    model::{
        autoscaler_tags,
        node_group::{AccountGroup, Sighting},
    },
};

/// The most names of one call, and the most groups of one answer.
const PAGE: usize = 100;

/// Which groups to return.
enum Selection {
    Named(Vec<String>),
    /// All filters have to be met.
    Filtered(Vec<(String, Vec<String>)>),
}

impl Account {
    /// Returns the groups that an instance map names, by their own names or by those of EKS managed node groups.
    ///
    /// Names that lead nowhere are simply not there.
    pub async fn groups(&self, names: &[String]) -> Sighting<Vec<AccountGroup>> {
        sighting(self.within(self.describe(names)).await)
    }

    /// Returns every group with the tags by which the Cluster Autoscaler of `cluster` finds its groups; without a cluster that of any.
    pub async fn discover(&self, cluster: Option<&str>) -> Sighting<Vec<AccountGroup>> {
        let filters = [Some(autoscaler_tags::ENABLED.to_owned()), cluster.map(|cluster| format!("{}{cluster}", autoscaler_tags::OF_CLUSTER))]
            .into_iter()
            .flatten()
            .map(|tag| ("tag-key".to_owned(), vec![tag]))
            .collect();
        sighting(self.within(self.select(Selection::Filtered(filters))).await)
    }

    /// Returns the groups that an instance map names, each with its activities since `since`; and what could not be seen of them.
    pub async fn observe(&self, names: &[String], since: Timestamp) -> (Sighting<Vec<AccountGroup>>, Vec<String>) {
        let mut seen = self.groups(names).await;
        let mut unknown = BTreeSet::new();
        if let Sighting::Seen { value: groups, .. } = &mut seen {
            self.add_activities(groups, since, &mut unknown).await;
        }
        (seen, unknown.into_iter().collect())
    }

    pub(super) async fn describe(&self, names: &[String]) -> Result<Vec<AccountGroup>> {
        let names: BTreeSet<&String> = names.iter().collect();
        let mut groups = Vec::new();
        for names in chunks(&names) {
            groups.extend(self.select(Selection::Named(names)).await?);
        }
        let missing = names.iter().copied().filter(|name| !groups.iter().any(|group: &AccountGroup| group.name == **name)).collect();
        for names in chunks(&missing) {
            let cluster = self.shared.cluster.iter().map(|cluster| (format!("tag:{}", autoscaler_tags::EKS_CLUSTER), vec![cluster.clone()]));
            let filters = [(format!("tag:{}", autoscaler_tags::EKS_NODE_GROUP), names)].into_iter().chain(cluster).collect();
            groups.extend(self.select(Selection::Filtered(filters)).await?);
        }
        Ok(groups)
    }

    async fn select(&self, selection: Selection) -> Result<Vec<AccountGroup>> {
        let (names, filters) = match selection {
            Selection::Named(names) => (Some(names), None),
            Selection::Filtered(filters) => {
                let filter = |(name, values): (String, Vec<String>)| Filter::builder().name(name).set_values(Some(values)).build();
                (None, Some(filters.into_iter().map(filter).collect::<Vec<_>>()))
            }
        };
        let (mut groups, mut next) = (Vec::new(), None);
        loop {
            let (names, filters, token) = (names.clone(), filters.clone(), next);
            let page = self.call("DescribeAutoScalingGroups", |client| async move {
                let request = client.describe_auto_scaling_groups().max_records(100);
                request.set_auto_scaling_group_names(names).set_filters(filters).set_next_token(token).send().await
            });
            let page = page.await?;
            groups.extend(page.auto_scaling_groups.unwrap_or_default().into_iter().filter_map(from_group));
            next = page.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(groups);
            }
        }
    }
}

/// Returns names in calls' worth.
fn chunks(names: &BTreeSet<&String>) -> Vec<Vec<String>> {
    let names: Vec<String> = names.iter().map(|name| (*name).clone()).collect();
    names.chunks(PAGE).map(<[String]>::to_vec).collect()
}
