//! Why a node group does not grow: the one place that knows, for `why`, `nodes` and `doctor`.
//!
//! Everything here is pure and careful: a hindrance is told only where the cloud account, the autoscaler's status or its events
//! prove it, and what they leave open is left open.

mod group;
mod pool;

use jiff::Timestamp;

pub(crate) use self::group::{is_failure_of, never_joined_advice};
use crate::model::{
    footprint::Footprint,
    node_group::{NodeGroup, Scaling},
    story::Cause,
};

/// What somebody wants of a node group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Demand {
    /// Since when it is wanted: failures before do not concern it.
    pub since: Timestamp,
    /// What one job asks of a node.
    pub footprint: Footprint,
}

/// Returns what keeps a node group from growing now, the most telling first; nothing when nothing is known to.
#[must_use]
pub fn hindrances(group: &NodeGroup<'_>, scaling: &Scaling, demand: &Demand, now: Timestamp) -> Vec<Cause> {
    match group.pool {
        Some(pool) => pool::hindrances(pool, group, scaling, demand),
        None => group::hindrances(group, scaling, demand, now),
    }
}
