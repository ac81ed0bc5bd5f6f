//! Scaling activities: what a group launched, what failed, and what took an instance away. AWS keeps them for six weeks.

use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use jiff::Timestamp;

use super::{Account, reading::from_activity, sentence};
use crate::{
    error::Result,
    model::{node_group::AccountGroup, scaling_activity::ScalingActivity},
};

/// How many groups are asked for at the same time: AWS throttles an account as a whole, and others use it, too.
const AT_ONCE: usize = 8;

impl Account {
    /// Returns the activities of a group that began at `since` or later, or have not ended, newest first. `group` is the name of the
    /// Auto Scaling group.
    ///
    /// # Errors
    /// When the account cannot be asked, or has no such group.
    pub async fn activities(&self, group: &str, since: Timestamp) -> Result<Vec<ScalingActivity>> {
        self.within(self.describe_activities(group, since)).await
    }

    /// Adds their activities to groups; `unknown` takes what could not be seen.
    pub(super) async fn add_activities(&self, groups: &mut [AccountGroup], since: Timestamp, unknown: &mut BTreeSet<String>) {
        let names: Vec<String> = groups.iter().map(|group| group.name.clone()).collect();
        let questions = names.into_iter().map(|name| async move { self.activities(&name, since).await });
        let answers: Vec<_> = stream::iter(questions).buffered(AT_ONCE).collect().await;
        for (group, answer) in groups.iter_mut().zip(answers) {
            match answer {
                Ok(activities) => group.activities = Some(activities),
                Err(error) => drop(unknown.insert(sentence(&error))),
            }
        }
    }

    async fn describe_activities(&self, group: &str, since: Timestamp) -> Result<Vec<ScalingActivity>> {
        let (mut activities, mut next) = (Vec::new(), None);
        loop {
            let token = next;
            let page = self.call("DescribeScalingActivities", |client| async move {
                client.describe_scaling_activities().auto_scaling_group_name(group).max_records(100).set_next_token(token).send().await
            });
            let page = page.await?;
            let found: Vec<ScalingActivity> = page.activities.unwrap_or_default().into_iter().map(from_activity).collect();
            // Those that have not ended come first, however old; the others by the time of their beginning.
            let is_old = |activity: &ScalingActivity| activity.ended.is_some() && activity.started.is_some_and(|started| started < since);
            let reached_old = found.iter().any(is_old);
            activities.extend(found.into_iter().filter(|activity| !is_old(activity)));
            next = page.next_token.filter(|token| !token.is_empty() && !reached_old);
            if next.is_none() {
                return Ok(activities);
            }
        }
    }
}
