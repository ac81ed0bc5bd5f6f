//! Where a job stood, and since when.

use jiff::Timestamp;

use super::{
    attempt::{self, Judgement},
    creation,
    inquiry::Inquiry,
};
use crate::model::{
    evidence::{AttemptRecord, EventRecord},
    story::{Phase, PhaseStart, Verdict},
};

/// Events that announce a machine: of the Cluster Autoscaler, and of Karpenter.
const MACHINE_COMES: [&str; 2] = ["TriggeredScaleUp", "Nominated"];

/// Returns every phase so far with its start, in order; times never go back, although several clocks wrote them.
pub(super) fn phases(inquiry: &Inquiry<'_>, verdict: Option<&Verdict>) -> Vec<PhaseStart> {
    let mut list = Timeline::default();
    list.add(Phase::Submitted, inquiry.job().and_then(|job| job.created), 1);
    for (number, attempt) in (1..).zip(&inquiry.evidence.attempts) {
        add_attempt(&mut list, inquiry, attempt, number);
    }
    if let Some(verdict) = verdict {
        let finished = verdict.finished.or_else(|| list.latest()).unwrap_or(inquiry.now);
        list.add(Phase::Finished, Some(finished), inquiry.attempt_count().max(1));
    } else if let Some(since) = waits_without_pod(inquiry) {
        list.add(Phase::Pending, Some(since), inquiry.attempt_count() + 1);
    }
    list.starts
}

/// Returns when the flow ran for the first time.
pub(super) fn first_start(inquiry: &Inquiry<'_>) -> Option<Timestamp> {
    inquiry.evidence.attempts.iter().filter_map(AttemptRecord::started).min()
}

/// Returns the last phase before the job had a node.
pub(super) fn last_waiting_phase(inquiry: &Inquiry<'_>) -> Option<Phase> {
    phases(inquiry, None).into_iter().map(|start| start.phase).rfind(|phase| *phase < Phase::Starting)
}

/// Returns the event that announces a machine for this attempt, unless the autoscaler has taken it back since.
pub(super) fn machine_comes<'a>(inquiry: &Inquiry<'a>, attempt: &'a AttemptRecord) -> Option<&'a EventRecord> {
    let [ours, theirs] = MACHINE_COMES;
    let newest = inquiry.pod_event(attempt, &[ours, theirs, "NotTriggerScaleUp"])?;
    if MACHINE_COMES.contains(&newest.reason.as_str()) {
        Some(newest)
    } else {
        inquiry.pod_event(attempt, &MACHINE_COMES).filter(|_| attempt.is_bound())
    }
}

#[derive(Default)]
struct Timeline {
    starts: Vec<PhaseStart>,
}

impl Timeline {
    fn latest(&self) -> Option<Timestamp> {
        self.starts.last().map(|start| start.since)
    }

    fn add(&mut self, phase: Phase, since: Option<Timestamp>, attempt: u32) {
        if let Some(since) = since {
            let since = self.latest().map_or(since, |latest| latest.max(since));
            self.starts.push(PhaseStart { phase, since, attempt });
        }
    }
}

fn add_attempt(list: &mut Timeline, inquiry: &Inquiry<'_>, attempt: &AttemptRecord, number: u32) {
    let bound = attempt.is_bound().then(|| attempt.scheduled.as_ref().and_then(|condition| condition.since).or(attempt.accepted).or(attempt.created));
    let waited = match bound.flatten().zip(attempt.created) {
        Some((bound, created)) => bound > created,
        None => bound.is_none(),
    };
    // A warm node takes the pod in the second of its creation: it never was pending.
    if waited {
        list.add(Phase::Pending, attempt.created.or(inquiry.job().and_then(|job| job.started)), number);
        list.add(Phase::ScalingUp, machine_comes(inquiry, attempt).and_then(|event| event.first.or(event.last)), number);
    }
    let started = attempt.started();
    // A process of this machine has no image and no volumes to wait for.
    if attempt.node.is_some() || started.is_none() {
        list.add(Phase::Starting, bound.flatten(), number);
    }
    list.add(Phase::Running, started, number);
}

/// Returns since when the job waits for a pod that does not exist: the first one, or the one after a loss.
fn waits_without_pod(inquiry: &Inquiry<'_>) -> Option<Timestamp> {
    inquiry.job().filter(|job| !job.suspended)?;
    let Some(attempt) = inquiry.last_attempt() else {
        return creation::waits_since(inquiry);
    };
    match attempt::judge(inquiry, attempt) {
        Judgement::Ended(end) => end.at.or(attempt.gone).or(attempt.created),
        Judgement::Open | Judgement::Held(_) | Judgement::Stopped => None,
    }
}
