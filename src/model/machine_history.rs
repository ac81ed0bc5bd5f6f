//! How many machines a node group had, and when: from its scaling activities, else from what the cluster still shows.
//!
//! Scaling activities reach back six weeks and name every instance, so that lives can be put together from both ends: a machine that
//! ended without having been launched here was there before, and one that is there without a launch came before, too.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::model::{node_group::Instance, scaling_activity::ScalingActivity};

mod traces;

pub use traces::{REACH, from_traces};

/// How a node group's machines came and went within a span of time.
#[derive(Debug, Clone, PartialEq)]
pub struct MachineHistory {
    /// Beginning of the span.
    pub from: Timestamp,
    /// End of the span.
    pub until: Timestamp,
    /// Number of machines from each time on; the first is that of [`Self::from`].
    pub steps: Vec<Step>,
    /// Machines that were started.
    pub launches: u32,
    /// Machines that went.
    pub terminations: u32,
    /// Of these, spot machines that AWS took back.
    pub interruptions: u32,
    /// Launches that failed, oldest first; none where nothing would tell of them.
    pub failures: Option<Vec<Failure>>,
    /// How long machines were there, all together, in seconds.
    pub machine_seconds: u64,
    /// What could not be seen, as sentences for people.
    pub unknown: Vec<String>,
}

/// A number of machines, from a time on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// From when on.
    pub at: Timestamp,
    /// How many.
    pub machines: u32,
}

/// A launch that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// When it was begun.
    pub at: Timestamp,
    /// What the cloud said.
    pub message: String,
}

/// The life of one machine. None means before, or after, the span.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Life {
    start: Option<Timestamp>,
    end: Option<Timestamp>,
}

impl MachineHistory {
    /// Returns the most machines at a time.
    #[must_use]
    pub fn peak(&self) -> u32 {
        self.steps.iter().map(|step| step.machines).max().unwrap_or(0)
    }

    /// Returns the most machines in each of `count` equal parts of the span, so that none is too short-lived to be seen.
    #[must_use]
    pub fn parts(&self, count: usize) -> Vec<u32> {
        parts(&self.steps, self.from, self.until, count)
    }

    /// Returns the history that these lives come to.
    pub(crate) fn from_lives(lives: &[Life], from: Timestamp, until: Timestamp) -> Self {
        let within = |time: &Timestamp| (from..=until).contains(time);
        let mut changes: BTreeMap<Timestamp, i64> = BTreeMap::from([(from, 0)]);
        let (mut machine_seconds, mut launches, mut terminations) = (0, 0, 0);
        for life in lives {
            let (start, end) = (life.start.unwrap_or(from).max(from), life.end.unwrap_or(until).min(until));
            if end < start || life.end.is_some_and(|end| end < from) || life.start.is_some_and(|start| start > until) {
                continue;
            }
            *changes.entry(start).or_default() += 1;
            if life.end.as_ref().is_some_and(within) {
                *changes.entry(end).or_default() -= 1;
            }
            launches += u32::from(life.start.as_ref().is_some_and(within));
            terminations += u32::from(life.end.as_ref().is_some_and(within));
            machine_seconds += end.duration_since(start).as_secs().unsigned_abs();
        }
        let mut machines = 0;
        let mut steps: Vec<Step> = Vec::new();
        for (at, change) in changes {
            machines += change;
            let machines = u32::try_from(machines).unwrap_or(0);
            if steps.last().is_none_or(|last| last.machines != machines) {
                steps.push(Step { at, machines });
            }
        }
        Self { from, until, steps, launches, terminations, interruptions: 0, failures: None, machine_seconds, unknown: Vec::new() }
    }
}

/// Returns the most machines in each of `count` equal parts of a span. Before the first step there were as many as it says.
#[must_use]
pub fn parts(steps: &[Step], from: Timestamp, until: Timestamp, count: usize) -> Vec<u32> {
    let span = until.duration_since(from).as_millis().max(1);
    let parts = i128::try_from(count).unwrap_or(i128::MAX).max(1);
    let part_of = |at: Timestamp| usize::try_from(at.duration_since(from).as_millis() * parts / span).unwrap_or(0).min(count.saturating_sub(1));
    let mut most = vec![0; count];
    for (index, step) in steps.iter().enumerate() {
        let end = steps.get(index + 1).map_or(until, |next| next.at);
        // A step that ends just where a part begins is no part of it.
        let last = part_of(end.checked_sub(jiff::SignedDuration::from_millis(1)).unwrap_or(end).max(step.at));
        for part in most.iter_mut().take(last + 1).skip(part_of(step.at)) {
            *part = step.machines.max(*part);
        }
    }
    most
}

/// Returns the numbers of machines of several groups together, from each time on.
#[must_use]
pub fn together(histories: &[MachineHistory]) -> Vec<Step> {
    let times: BTreeSet<Timestamp> = histories.iter().flat_map(|history| &history.steps).map(|step| step.at).collect();
    let at = |history: &MachineHistory, time: Timestamp| history.steps.iter().rfind(|step| step.at <= time).map_or(0, |step| step.machines);
    times.into_iter().map(|time| Step { at: time, machines: histories.iter().map(|history| at(history, time)).sum() }).collect()
}

/// Returns the history of an Auto Scaling group, from its activities since `from` and the instances that it has.
#[must_use]
pub fn from_activities(activities: &[ScalingActivity], instances: &[Instance], from: Timestamp, until: Timestamp) -> MachineHistory {
    let mut lives: BTreeMap<&str, Life> = BTreeMap::new();
    for activity in activities.iter().filter(|activity| !matches!(activity.status.as_str(), "Failed" | "Cancelled")) {
        let Some(id) = activity.instance() else { continue };
        if activity.is_launch() {
            lives.entry(id).or_default().start = activity.started;
        } else if takes_away(activity) {
            // A lifecycle hook can hold a machine for an hour: it is there, and paid for, until the activity ends.
            lives.entry(id).or_default().end = activity.ended;
        }
    }
    let is_there = |id: &str| instances.iter().any(|instance| instance.id == id);
    let vanished: Vec<&str> =
        lives.iter().filter(|(id, life)| life.end.is_none() && !is_there(id) && !is_leaving(activities, id)).map(|(id, _)| *id).collect();
    for id in &vanished {
        let start = lives.get(id).and_then(|life| life.start);
        lives.entry(id).or_default().end = start.or(Some(from));
    }
    for instance in instances.iter().filter(|instance| !instance.lifecycle.starts_with("Warmed")) {
        lives.entry(&instance.id).or_default();
    }
    let lives: Vec<Life> = lives.into_values().collect();
    let mut history = MachineHistory::from_lives(&lives, from, until);
    let since = |activity: &&ScalingActivity| activity.started.is_some_and(|started| started >= from);
    history.interruptions = count(activities.iter().filter(since).filter(|activity| activity.is_spot_interruption()).count());
    let failure =
        |activity: &ScalingActivity| Some(Failure { at: activity.failure().and(activity.started)?, message: activity.failure_text().to_owned() });
    let mut failures: Vec<Failure> = activities.iter().filter(since).filter_map(failure).collect();
    failures.sort_by_key(|failure| failure.at);
    history.failures = Some(failures);
    if !vanished.is_empty() {
        history.unknown.push(format!("when {} of its machines went: no activity tells", vanished.len()));
    }
    history
}

/// Returns whether an activity takes an instance out of the group: by its end, or because somebody detached it.
fn takes_away(activity: &ScalingActivity) -> bool {
    activity.is_termination() || activity.description.starts_with("Detaching EC2 instance")
}

/// Returns whether an instance is being taken away just now.
fn is_leaving(activities: &[ScalingActivity], id: &str) -> bool {
    activities.iter().any(|activity| takes_away(activity) && activity.ended.is_none() && activity.instance() == Some(id))
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
