//! When idle nodes go.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{SurveyInput, group::Group};
use crate::model::{duration, launch_plan::Taint, occupancy::OccupiedNode};

/// How long a node is unneeded before the Cluster Autoscaler removes it, unless it is told otherwise: `scale-down-unneeded-time`.
pub const UNNEEDED_TIME: Duration = Duration::from_secs(10 * 60);
/// Tag of an Auto Scaling group that sets this time for its nodes.
const UNNEEDED_TAG: &str = "k8s.io/cluster-autoscaler/node-template/autoscaling-options/scaledownunneededtime";

/// When an idle node goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Departure {
    /// About then, unless a pod takes it before.
    At(Timestamp),
    /// Not while this holds: a sentence for people.
    Stays(String),
    /// Nothing tells: a sentence for people.
    Unknown(String),
}

impl Departure {
    /// Returns when the node goes, where that is known.
    #[must_use]
    pub fn time(&self) -> Option<Timestamp> {
        match self {
            Self::At(time) => Some(*time),
            Self::Stays(_) | Self::Unknown(_) => None,
        }
    }
}

/// Returns when an idle node goes. `is_least` tells whether its group may not have fewer nodes.
pub(super) fn departure(node: &OccupiedNode, group: Option<&Group<'_>>, input: &SurveyInput<'_>, is_least: bool) -> Departure {
    if node.is_kept {
        return Departure::Stays("an annotation keeps it".to_owned());
    }
    if is_least {
        return Departure::Stays("its group is at its minimum".to_owned());
    }
    let Some(group) = group else {
        return Departure::Unknown("the map names no node group for its size".to_owned());
    };
    if group.0.is_pool {
        return of_pool(node, group, input.now);
    }
    if input.scaling.autoscaler.value().is_some_and(|status| status.is_stale(input.now)) {
        return Departure::Unknown("the Cluster Autoscaler does not run".to_owned());
    }
    let of_tag = || group.0.account?.tags.get(UNNEEDED_TAG).and_then(|text| duration::parse(text).ok());
    let unneeded = of_tag().or(input.unneeded_time).unwrap_or(UNNEEDED_TIME);
    match (node.node.taints.iter().find_map(Taint::unneeded_since), group.0.status) {
        (Some(since), _) => Departure::At(after(since, unneeded).max(input.now)),
        (None, Some(_)) => Departure::Unknown(format!(
            "the autoscaler does not count it as unneeded yet; it goes {} after that, and not soon after a scale-up",
            duration::format(unneeded)
        )),
        (None, None) => Departure::Unknown("the autoscaler's status does not name its group".to_owned()),
    }
}

fn of_pool(node: &OccupiedNode, group: &Group<'_>, now: Timestamp) -> Departure {
    let Some(pool) = group.0.pool else {
        return Departure::Unknown("its node pool could not be read".to_owned());
    };
    let Some(consolidate_after) = pool.consolidate_after else {
        return Departure::Unknown("`consolidateAfter` of its node pool is `Never`, or not set".to_owned());
    };
    let claim = group.0.claims.iter().find(|claim| claim.node.as_deref() == Some(&node.node.name));
    match claim.and_then(|claim| claim.last_pod_event) {
        Some(since) => Departure::At(after(since, consolidate_after).max(now)),
        None => Departure::Unknown(format!(
            "`consolidateAfter` of its node pool is {}; since when it is idle is not known",
            duration::format(consolidate_after)
        )),
    }
}

fn after(time: Timestamp, duration: Duration) -> Timestamp {
    SignedDuration::try_from(duration).ok().and_then(|duration| time.checked_add(duration).ok()).unwrap_or(Timestamp::MAX)
}
