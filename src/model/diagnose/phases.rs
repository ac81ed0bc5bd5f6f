//! Where a job stood, and since when.

use jiff::Timestamp;

use super::{
    attempt::{self, Judgement},
    creation, flow_run,
    inquiry::Inquiry,
    machine, waiting,
};
use crate::model::{
    evidence::{AttemptRecord, EventRecord},
    node_group::NodeGroup,
    story::{Phase, PhaseStart, Verdict},
};

/// Events that announce a machine: of the Cluster Autoscaler, and of Karpenter.
const MACHINE_COMES: [&str; 2] = ["TriggeredScaleUp", "Nominated"];

/// Returns every phase so far with its start, in order; times never go back, although several clocks wrote them.
///
/// `queued` says that the last attempt waits for its turn behind a group at its maximum.
pub(super) fn phases(inquiry: &Inquiry<'_>, verdict: Option<&Verdict>, queued: bool) -> Vec<PhaseStart> {
    let mut list = Timeline::default();
    list.add(Phase::Submitted, created(inquiry), 1);
    for (number, attempt) in inquiry.attempts() {
        add_attempt(&mut list, inquiry, attempt, number, queued && number == inquiry.attempt_count());
    }
    if let Some(verdict) = verdict {
        let finished = verdict.finished.or_else(|| list.latest()).unwrap_or(inquiry.now);
        list.add(Phase::Finished, Some(finished), inquiry.attempt_count().max(1));
    } else if let Some(since) = waits_without_pod(inquiry) {
        list.add(Phase::Pending, Some(since), inquiry.attempt_count().saturating_add(1));
    }
    list.starts
}

/// Returns when somebody asked for the job: a flow run is there before its Jobs.
pub(super) fn created(inquiry: &Inquiry<'_>) -> Option<Timestamp> {
    inquiry.flow_run().and_then(|record| record.run.created).or_else(|| inquiry.job().and_then(|job| job.created))
}

/// Returns when the flow ran for the first time.
pub(super) fn first_start(inquiry: &Inquiry<'_>) -> Option<Timestamp> {
    inquiry.evidence.attempts.iter().filter_map(AttemptRecord::started).min()
}

/// Returns the last phase before the job had a node.
pub(super) fn last_waiting_phase(inquiry: &Inquiry<'_>) -> Option<Phase> {
    let queued = waiting::is_queued(&waiting::last_causes(inquiry));
    phases(inquiry, None, queued).into_iter().map(|start| start.phase).rfind(|phase| *phase < Phase::Starting)
}

/// Returns the event that announces a machine for this attempt, unless the autoscaler has taken it back since.
pub(super) fn machine_comes<'a>(inquiry: &Inquiry<'a>, attempt: &'a AttemptRecord) -> Option<&'a EventRecord> {
    let newest = autoscaler_word(inquiry, attempt)?;
    if MACHINE_COMES.contains(&newest.reason.as_str()) {
        Some(newest)
    } else {
        inquiry.pod_event(attempt, &MACHINE_COMES).filter(|_| attempt.is_bound())
    }
}

/// Returns the newest event in which an autoscaler said anything about the pod.
pub(super) fn autoscaler_word<'a>(inquiry: &Inquiry<'a>, attempt: &'a AttemptRecord) -> Option<&'a EventRecord> {
    let spoke = |event: &&EventRecord| {
        let reason = event.reason.as_str();
        MACHINE_COMES.contains(&reason) || reason == "NotTriggerScaleUp" || reason == "FailedScheduling" && event.source == "karpenter"
    };
    inquiry.events("Pod", &attempt.pod).filter(spoke).max_by_key(|event| event.seen())
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

/// Returns when a node was found for an attempt.
fn bound_at(attempt: &AttemptRecord) -> Option<Timestamp> {
    let scheduled = || attempt.scheduled.as_ref().and_then(|condition| condition.since).or(attempt.accepted).or(attempt.created);
    attempt.is_bound().then(scheduled).flatten()
}

/// Returns when it came to be an attempt's turn, after it had waited behind a group at its maximum; nothing when it never did.
fn turn(inquiry: &Inquiry<'_>, attempt: &AttemptRecord) -> Option<Timestamp> {
    let groups = inquiry.groups();
    let waits = |event: &&EventRecord| event.message.contains("max node group size reached") || exceeds_limits(&groups, &event.message);
    let told = inquiry.events("Pod", &attempt.pod).filter(waits).filter_map(EventRecord::seen).max();
    let is_last = inquiry.last_attempt().is_some_and(|last| last.uid == attempt.uid);
    let followed = inquiry.evidence.last_queued.filter(|_| is_last);
    let last = told.max(followed)?;
    let raised = machine_comes(inquiry, attempt).and_then(|event| event.first.or(event.last)).filter(|raised| *raised >= last);
    Some(raised.unwrap_or(last))
}

/// Returns whether Karpenter says that the job's pool is at its limits: of each pool of the cluster it says why it would not do.
fn exceeds_limits(groups: &[NodeGroup<'_>], words: &str) -> bool {
    const WORDS: &str = "exceed limits for nodepool";
    let mut pools = groups.iter().filter_map(|group| group.pool).peekable();
    if pools.peek().is_none() { words.contains(WORDS) } else { pools.any(|pool| pool.refusals(words).iter().any(|part| part.contains(WORDS))) }
}

/// Returns for how many seconds the first attempt waited for its machine, once it was its turn; nothing when a warm node took it.
pub(super) fn scale_up_seconds(inquiry: &Inquiry<'_>) -> Option<i64> {
    let attempt = inquiry.evidence.attempts.first().filter(|attempt| attempt.started().is_some())?;
    machine::launched(inquiry, attempt)?;
    let since = turn(inquiry, attempt).or(attempt.created)?;
    Some(bound_at(attempt)?.duration_since(since).as_secs().max(0))
}

fn add_attempt(list: &mut Timeline, inquiry: &Inquiry<'_>, attempt: &AttemptRecord, number: u32, queued: bool) {
    let bound = bound_at(attempt);
    let waited = match bound.zip(attempt.created) {
        Some((bound, created)) => bound > created,
        None => !attempt.is_bound(),
    };
    // A warm node takes the pod in the second of its creation: it never was pending.
    if waited {
        let created = attempt.created.or(inquiry.job().and_then(|job| job.started));
        let turn = turn(inquiry, attempt);
        let raised = machine_comes(inquiry, attempt).and_then(|event| event.first.or(event.last));
        let launched = machine::launched(inquiry, attempt);
        if queued || turn.is_some() {
            list.add(Phase::Queued, created, number);
        }
        // A queued job that a node takes when another one leaves it never waited for a machine.
        if !queued && (turn.is_none() || bound.is_none() || launched.is_some()) {
            list.add(Phase::Pending, turn.or(created), number);
            list.add(Phase::ScalingUp, raised.or(launched), number);
            list.add(Phase::Booting, launched, number);
        }
    }
    let started = attempt.started();
    // A process of this machine has no image and no volumes to wait for.
    if attempt.node.is_some() || started.is_none() {
        list.add(Phase::Starting, bound, number);
    }
    list.add(Phase::Running, started, number);
}

/// Returns since when the job waits for a pod that does not exist: the first one, or the one after a loss.
fn waits_without_pod(inquiry: &Inquiry<'_>) -> Option<Timestamp> {
    if inquiry.flow_run().is_some() {
        return flow_run::waits_for_job(inquiry);
    }
    inquiry.job().filter(|job| !job.suspended)?;
    let Some(attempt) = inquiry.last_attempt() else {
        return creation::waits_since(inquiry);
    };
    match attempt::judge(inquiry, attempt) {
        Judgement::Ended(end) => end.at.or(attempt.gone).or(attempt.created),
        Judgement::Open | Judgement::Held(_) | Judgement::Stopped => None,
    }
}
