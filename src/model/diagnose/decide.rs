//! What sbrun itself puts an end to while it follows.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    image,
    inquiry::{Inquiry, after},
};
use crate::model::{
    duration,
    evidence::{Ending, Evidence, Maker},
    launch_plan::{OnNoCapacity, TimeLimits},
    outcome::Outcome,
    reason::Reason,
    story::{Cause, Phase, Story},
};

/// How long an image may fail for a reason that may pass: the registry cannot be reached, or limits its answers.
const IMAGE_PATIENCE_SECONDS: i64 = 3 * 60;
/// How long after a failed launch a node group may take to try its next zone, in seconds.
const NEXT_ZONE_SECONDS: i64 = 15;

/// Returns the end that the follower has to bring about now, if any: a cause that waiting cannot mend, or a time limit.
///
/// `story` must be what [`super::diagnose`] makes of `evidence` at `now`. Ask only while the cluster answers and the output is
/// being read: silence of the connection is not silence of the flow. `by` of the answer is `sbrun`. A worker's Job has its own masters:
/// only who launched its flow run has `limits` for it.
#[must_use]
pub fn decide(story: &Story, evidence: &Evidence, limits: &TimeLimits, now: Timestamp) -> Option<Ending> {
    let inquiry = Inquiry::new(evidence, now);
    let job = inquiry.job();
    // A flow run's Job comes later than the run.
    if job.is_none() && inquiry.flow_run().is_none() || inquiry.ending().is_some() {
        return None;
    }
    let is_known = |maker| maker == Maker::Sbrun || maker == Maker::PrefectWorker && inquiry.flow_run().is_some();
    if job.is_some_and(|job| !is_known(job.maker) || job.suspended) {
        return None;
    }
    let is_ending = job.is_some_and(|job| job.conditions.iter().any(|condition| condition.is_true() && condition.kind != "Suspended"));
    if story.verdict.is_some() || story.held_until.is_some() || is_ending || inquiry.job_is_gone() {
        return None;
    }
    let (outcome, reason, message) = match story.phase {
        Phase::Submitted | Phase::Finished => hopeless(story)?,
        Phase::Queued => hopeless(story).or_else(|| queue_timeout(story, limits, now))?,
        Phase::Pending | Phase::ScalingUp | Phase::Booting => {
            hopeless(story).or_else(|| no_capacity(&inquiry, story, now)).or_else(|| pending_timeout(story, limits, now))?
        }
        Phase::Starting => hopeless(story).or_else(|| image_timeout(&inquiry, story)).or_else(|| start_timeout(story, limits, now))?,
        Phase::Running => stall_timeout(&inquiry, story, limits)?,
    };
    Some(Ending { outcome, reason: reason.code().to_owned(), by: "sbrun".to_owned(), at: now, message: Some(message) })
}

/// Returns the end of a flow run that Prefect starts more often than whoever launched it allows.
#[must_use]
pub fn too_many_attempts(story: &Story, most: u32, now: Timestamp) -> Option<Ending> {
    let waits = story.cause.as_ref().is_some_and(|cause| cause.reason == Reason::PrefectAwaitingRetry);
    let over = story.attempts > most || story.attempts == most && waits;
    let message = format!("Prefect starts the run again, and only {most} of its attempts were allowed");
    (over && story.verdict.is_none()).then(|| Ending {
        outcome: Outcome::Lost,
        reason: Reason::LostOther.code().to_owned(),
        by: "sbrun".to_owned(),
        at: now,
        message: Some(message),
    })
}

type Decision = (Outcome, Reason, String);

fn causes(story: &Story) -> impl Iterator<Item = &Cause> {
    story.cause.iter().chain(&story.details)
}

fn hopeless(story: &Story) -> Option<Decision> {
    causes(story).find(|cause| cause.hopeless).map(rejected)
}

fn rejected(cause: &Cause) -> Decision {
    (Outcome::Rejected, cause.reason, cause.summary.clone())
}

/// Does not wait for a machine that AWS does not have, when that was asked for.
fn no_capacity(inquiry: &Inquiry<'_>, story: &Story, now: Timestamp) -> Option<Decision> {
    let plan = inquiry.plan()?;
    let asked = match plan.on_no_capacity {
        OnNoCapacity::Wait => false,
        OnNoCapacity::Fail => true,
        OnNoCapacity::Fallback => plan.fallback.is_some(),
    };
    let cause = story.cause.as_ref().filter(|cause| asked && cause.reason.is_no_capacity())?;
    // A group tries its zones one after the other, within seconds.
    let failed = cause.evidence.iter().filter_map(|proof| proof.at).max();
    let settled = failed.is_none_or(|failed| after(failed, NEXT_ZONE_SECONDS) <= now);
    settled.then(|| (Outcome::NoNode, cause.reason, cause.summary.clone()))
}

fn queue_timeout(story: &Story, limits: &TimeLimits, now: Timestamp) -> Option<Decision> {
    let limit = limits.queue_timeout;
    let message = || format!("waited {}{}", duration::format(limit), waited_for(story));
    passed(story.phase_since()?, limit, now).then(|| (Outcome::NoNode, Reason::TimeoutQueue, message()))
}

/// Counts from when it was our turn: the wait for quota and node, not the queue.
fn pending_timeout(story: &Story, limits: &TimeLimits, now: Timestamp) -> Option<Decision> {
    let limit = limits.pending_timeout;
    if !passed(our_turn(story)?, limit, now) {
        return None;
    }
    if let Some(cause) = causes(story).find(|cause| is_configuration(cause.reason)) {
        return Some(rejected(cause));
    }
    Some((Outcome::NoNode, Reason::TimeoutPending, format!("waited {}{}", duration::format(limit), waited_for(story))))
}

/// Ends a job that has its node and cannot use it, instead of paying for the node until the run timeout.
fn start_timeout(story: &Story, limits: &TimeLimits, now: Timestamp) -> Option<Decision> {
    let cause = causes(story).find(|cause| is_configuration(cause.reason))?;
    passed(our_turn(story).or_else(|| story.phase_since())?, limits.pending_timeout, now).then(|| rejected(cause))
}

fn image_timeout(inquiry: &Inquiry<'_>, story: &Story) -> Option<Decision> {
    let cause = causes(story).find(|cause| cause.reason == Reason::ImageUnreachable)?;
    let since = image::failing_since(inquiry, inquiry.last_attempt()?)?;
    (after(since, IMAGE_PATIENCE_SECONDS) <= inquiry.now).then(|| rejected(cause))
}

fn stall_timeout(inquiry: &Inquiry<'_>, story: &Story, limits: &TimeLimits) -> Option<Decision> {
    let limit = limits.stall_timeout?;
    // A flow that was asked to go is not silent for its own reasons.
    inquiry.last_attempt().filter(|attempt| attempt.disruption.is_none() && attempt.deleted.is_none() && !attempt.is_terminal())?;
    let started = story.phase_since()?;
    let heard = inquiry.evidence.last_output.map_or(started, |output| output.max(started));
    passed(heard, limit, inquiry.now).then(|| (Outcome::TimedOut, Reason::TimeoutStall, format!("last output at {heard}")))
}

/// Returns since when the last attempt has been waiting for a node.
fn our_turn(story: &Story) -> Option<Timestamp> {
    let attempt = story.phases.last()?.attempt;
    story.phases.iter().rev().find(|start| start.phase == Phase::Pending && start.attempt == attempt).map(|start| start.since)
}

fn waited_for(story: &Story) -> String {
    story.cause.as_ref().map(|cause| format!("; {}: {}", cause.reason, cause.summary)).unwrap_or_default()
}

/// Returns whether a cause is a mistake of the request that somebody may still mend, until the time for that is over.
fn is_configuration(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ConfigServiceAccountMissing
            | Reason::ConfigSecretMissing
            | Reason::ConfigConfigMapMissing
            | Reason::ConfigOther
            | Reason::VolumeMount
    )
}

fn passed(since: Timestamp, limit: Duration, now: Timestamp) -> bool {
    after(since, i64::try_from(limit.as_secs()).unwrap_or(i64::MAX)) <= now
}
