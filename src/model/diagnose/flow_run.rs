//! What Prefect says of the run that a job belongs to: exit codes and Job conditions lie there, states do not.
//!
//! A flow run that failed or was cancelled exits with 0, and its Job is `Complete` (Prefect 3.8); one run may have several Jobs, one after
//! the other. So where Prefect can be asked, its state is the verdict, and the pod only says more about it.

use jiff::Timestamp;

use super::{
    attempt::{self, End, Judgement},
    deadline,
    inquiry::{Inquiry, after},
    verdict,
    wording::inline,
};
use crate::model::{
    evidence::{Ending, Maker},
    outcome::Outcome,
    prefect::flow_run::{FlowRunRecord, StateType},
    reason::Reason,
    story::{Cause, Proof},
};

/// How long a crash is held: the observer may tell of it before the pod's own `AwaitingRetry` arrives, and takes up to 30 s to see a
/// Job's replacement.
const HOLD_SECONDS: i64 = 45;
/// How long after the end of its process a run may take to get its last state.
const LAST_STATE_SECONDS: i64 = 45;
/// The same where no worker's observer will close it.
const OWN_LAST_STATE_SECONDS: i64 = 3;
/// How long the verdict of a finished Job waits for a Prefect API that cannot be asked.
const UNASKED_SECONDS: i64 = 60;
/// The state of a run that Prefect starts again.
const AWAITING_RETRY: &str = "AwaitingRetry";
/// The states of a run that may not start for the number of those that run.
const AWAITING_SLOT: [&str; 2] = ["AwaitingConcurrencySlot", "AwaitingConcurrencyLimit"];
/// How the worker begins to say that the API server did not take the Job.
const NOT_SUBMITTED: &str = "Failed to submit flow run to infrastructure";

/// Judges a job by its flow run; none where it is of none, or none that can be asked, and the Job alone has to tell.
pub(super) fn judge(inquiry: &Inquiry<'_>) -> Option<Judgement> {
    let Some(record) = inquiry.flow_run() else { return unasked(inquiry) };
    let state = &record.run.state;
    let judgement = match state.kind {
        StateType::Completed => {
            Judgement::Ended(Box::new(end(record, Outcome::Succeeded, Reason::FlowSucceeded, "the flow run completed").with_code(0)))
        }
        StateType::Failed => Judgement::Ended(Box::new(failed(inquiry, record))),
        StateType::Cancelled => Judgement::Ended(Box::new(cancelled(inquiry, record))),
        StateType::Crashed if is_own(inquiry) => crashed_own(inquiry, record),
        StateType::Crashed => {
            let until = state.since.map(|since| after(since, HOLD_SECONDS)).filter(|until| inquiry.now < *until);
            // What sbrun itself ended needs no waiting.
            match until.filter(|_| ending(inquiry, record).is_none()) {
                Some(until) => Judgement::Held(until),
                None => Judgement::Ended(Box::new(crashed(inquiry, record))),
            }
        }
        StateType::Running | StateType::Pending | StateType::Cancelling => abandoned(inquiry, record),
        StateType::Scheduled if state.name == AWAITING_RETRY => stranded(inquiry, record),
        StateType::Scheduled | StateType::Paused => Judgement::Open,
    };
    Some(judgement)
}

/// Judges a Job of a flow run whose state is not known: what exits with 0 may have failed.
fn unasked(inquiry: &Inquiry<'_>) -> Option<Judgement> {
    let why = inquiry.evidence.flow_run.obstacle()?;
    let Judgement::Ended(by_job) = verdict::examine(inquiry) else { return None };
    if by_job.outcome != Outcome::Succeeded {
        return None;
    }
    let until = by_job.at.map(|at| after(at, UNASKED_SECONDS)).filter(|until| inquiry.now < *until);
    if let Some(until) = until {
        return Some(Judgement::Held(until));
    }
    let cause = Cause::new(Reason::UnknownPrefect, "the flow's process is over, and only Prefect knows whether the run failed")
        .proven_by([Proof::new("Prefect API", why, None)])
        .proven_by(by_job.cause.evidence)
        .advising(inquiry.sbrun("why", ""));
    Some(Judgement::Ended(Box::new(End::new(Outcome::Unknown, cause, by_job.at))))
}

fn end(record: &FlowRunRecord, outcome: Outcome, reason: Reason, summary: impl Into<String>) -> End {
    let at = record.run.ended.or(record.run.state.since);
    End::new(outcome, Cause::new(reason, summary).proven_by([proof(record)]), at)
}

/// Returns the state as evidence.
fn proof(record: &FlowRunRecord) -> Proof {
    let state = &record.run.state;
    let said = state.message.as_ref().map(|message| format!(": {}", inline(message))).unwrap_or_default();
    Proof::new(format!("state of flow run {}", record.run.name), format!("{}{said}", state.name), state.since)
}

/// Returns how the flow's own failure is told: at its memory limit the pod says so.
fn failed(inquiry: &Inquiry<'_>, record: &FlowRunRecord) -> End {
    let killed = || attempt::supervised_out_of_memory(inquiry, inquiry.last_attempt()?, false);
    if let Some(end) = by_pod(inquiry).filter(|end| end.outcome == Outcome::OutOfMemory).or_else(killed) {
        return with_state(end, record);
    }
    let said = record.run.state.message.as_ref().map_or_else(String::new, |message| format!(": {}", inline(message)));
    let mut end = end(record, Outcome::Failed, Reason::FlowFailed, format!("the flow run failed{said}")).with_code(1);
    end.cause.next.extend(inquiry.sbrun("logs", ""));
    end
}

/// Returns the end that somebody decided before the run ended; what is over cannot be cancelled.
fn ending<'a>(inquiry: &Inquiry<'a>, record: &FlowRunRecord) -> Option<&'a Ending> {
    let before = |ending: &&Ending| record.run.state.since.is_none_or(|since| ending.at <= since);
    inquiry.evidence.ended.as_ref().or_else(|| inquiry.ending().filter(before))
}

fn cancelled(inquiry: &Inquiry<'_>, record: &FlowRunRecord) -> End {
    if let Some(ending) = ending(inquiry, record) {
        return with_state(deadline::by_ending(inquiry, ending), record);
    }
    let message = record.run.state.message.as_deref().unwrap_or_default();
    let summary = match message {
        "" => "the flow run was cancelled".to_owned(),
        said if said.starts_with("cancelled by ") => inline(said),
        said => format!("the flow run was cancelled: {}", inline(said)),
    };
    end(record, Outcome::Cancelled, Reason::CancelledByUser, summary)
}

/// Returns why a run crashed, by its pod; by Prefect's own words where the pod does not say.
fn crashed(inquiry: &Inquiry<'_>, record: &FlowRunRecord) -> End {
    if let Some(ending) = ending(inquiry, record) {
        return with_state(deadline::by_ending(inquiry, ending), record);
    }
    let message = record.run.state.message.as_deref().unwrap_or_default();
    let said = if message.is_empty() { String::new() } else { format!(": {}", inline(message)) };
    if message.starts_with(NOT_SUBMITTED) {
        return end(record, Outcome::Rejected, Reason::RejectedAdmission, format!("the worker could not create the Job{said}"));
    }
    // A supervisor that ended with 0 has told Prefect what became of the flow below it.
    let killed = || attempt::supervised_out_of_memory(inquiry, inquiry.last_attempt()?, true);
    if let Some(end) = by_pod(inquiry).filter(|end| end.outcome != Outcome::Succeeded).or_else(killed) {
        return with_state(end, record);
    }
    end(record, Outcome::Failed, Reason::FlowCrashed, format!("the flow run crashed{said}")).with_code(1)
}

/// Judges a crashed run whose Job is sbrun's own: nobody starts it again, and the Job says why it ended.
fn crashed_own(inquiry: &Inquiry<'_>, record: &FlowRunRecord) -> Judgement {
    match verdict::examine(inquiry) {
        Judgement::Ended(end) if end.outcome != Outcome::Succeeded => Judgement::Ended(Box::new(with_state(*end, record))),
        Judgement::Held(until) => Judgement::Held(until),
        _ => match record.run.state.since.map(|since| after(since, HOLD_SECONDS)).filter(|until| inquiry.now < *until) {
            Some(until) => Judgement::Held(until),
            None => Judgement::Ended(Box::new(crashed(inquiry, record))),
        },
    }
}

/// Returns whether the run of a worker's Job has not ended by Prefect's account: a verdict on its last Job was one of an earlier start.
pub(super) fn goes_on(inquiry: &Inquiry<'_>) -> bool {
    !is_own(inquiry) && inquiry.flow_run().is_some_and(|record| !record.run.state.kind.is_terminal())
}

/// Returns whether the Job is sbrun's own.
fn is_own(inquiry: &Inquiry<'_>) -> bool {
    inquiry.job().is_some_and(|job| job.maker == Maker::Sbrun)
}

/// Judges a run that is under way by Prefect's account: its process may have died unseen.
fn abandoned(inquiry: &Inquiry<'_>, record: &FlowRunRecord) -> Judgement {
    let Some((over, at)) = process_end(inquiry) else { return Judgement::Open };
    // Its process told its last state before it ended, or never will; only of a worker's Job an observer may have more to say.
    let state = &record.run.state;
    let until = if is_own(inquiry) { after(at, OWN_LAST_STATE_SECONDS) } else { after(at.max(state.since.unwrap_or(at)), LAST_STATE_SECONDS) };
    if inquiry.now < until {
        return Judgement::Held(until);
    }
    if over.outcome != Outcome::Succeeded {
        return Judgement::Ended(Box::new(with_state(over, record)));
    }
    let summary = format!("the flow's process ended, and Prefect still shows the run as {}", state.name);
    let mut end = end(record, Outcome::Failed, Reason::FlowCrashed, summary).with_code(1);
    (end.cause.evidence, end.at) = ([end.cause.evidence, over.cause.evidence].concat(), Some(at));
    end.cause.next.extend(inquiry.sbrun("logs", ""));
    Judgement::Ended(Box::new(end))
}

/// Judges a run that awaits a retry: where the process itself was to start it and is gone, nobody will.
fn stranded(inquiry: &Inquiry<'_>, record: &FlowRunRecord) -> Judgement {
    let in_process = record.run.retry_type.as_deref() == Some("in_process");
    let Some((over, at)) = process_end(inquiry).filter(|_| in_process) else { return Judgement::Open };
    let until = after(at, LAST_STATE_SECONDS);
    if inquiry.now < until {
        return Judgement::Held(until);
    }
    let summary = "the process ended while Prefect waits for it to start the next attempt: nobody will";
    let mut end = end(record, Outcome::Lost, Reason::LostStranded, summary);
    end.cause.evidence.extend(over.cause.evidence);
    end.cause.next.extend(inquiry.rerun(""));
    Judgement::Ended(Box::new(end))
}

/// Returns how the last process ended and when, once no Job of the run is active.
fn process_end(inquiry: &Inquiry<'_>) -> Option<(End, Timestamp)> {
    let job = inquiry.job()?;
    let over = job.conditions.iter().any(|condition| condition.is_true() && matches!(condition.kind.as_str(), "Complete" | "Failed"));
    if !over && !inquiry.job_is_gone() {
        return None;
    }
    let Judgement::Ended(end) = verdict::examine(inquiry) else { return None };
    let at = [end.at, job.finished, inquiry.evidence.job_gone].into_iter().flatten().max()?;
    Some((*end, at))
}

/// Returns how the last pod ended, when that is known.
fn by_pod(inquiry: &Inquiry<'_>) -> Option<End> {
    match attempt::judge(inquiry, inquiry.last_attempt()?) {
        Judgement::Ended(end) => Some(*end),
        Judgement::Open | Judgement::Held(_) | Judgement::Stopped => None,
    }
}

/// Adds Prefect's state to what the pod told.
fn with_state(mut end: End, record: &FlowRunRecord) -> End {
    end.cause.evidence.push(proof(record));
    end
}

/// Returns since when a run waits for a Job: its first, or the one after an attempt that ended.
pub(super) fn waits_for_job(inquiry: &Inquiry<'_>) -> Option<Timestamp> {
    let run = &inquiry.flow_run()?.run;
    let waits = matches!(run.state.kind, StateType::Scheduled | StateType::Paused) || inquiry.job().is_none() && run.state.kind == StateType::Pending;
    if !waits {
        return None;
    }
    let fresh = inquiry.last_attempt().is_none();
    if fresh { run.expected_start.max(run.created) } else { run.state.since }
}

/// Returns why a run that Prefect has not handed to a Job is where it is; nothing once a Job has it.
pub(super) fn causes(inquiry: &Inquiry<'_>) -> Vec<Cause> {
    let Some(record) = inquiry.flow_run() else { return Vec::new() };
    let state = &record.run.state;
    let mut causes = match state.kind {
        StateType::Scheduled => scheduled(inquiry, record),
        StateType::Paused => {
            let summary = "the flow run is paused until somebody resumes it in Prefect";
            vec![Cause::new(Reason::PrefectPaused, summary).advising([record.page.clone()])]
        }
        StateType::Pending if inquiry.job().is_none() => {
            let summary = "a worker has taken the flow run up and makes its Job";
            vec![Cause::new(Reason::PrefectScheduled, summary).advising([record.page.clone()])]
        }
        _ => Vec::new(),
    };
    for cause in &mut causes {
        cause.evidence.push(proof(record));
    }
    causes
}

fn scheduled(inquiry: &Inquiry<'_>, record: &FlowRunRecord) -> Vec<Cause> {
    let run = &record.run;
    let mut causes = Vec::new();
    if run.state.name == AWAITING_RETRY {
        let number = inquiry.attempt_count().max(1);
        causes.push(Cause::new(Reason::PrefectAwaitingRetry, format!("attempt {number} ended, and Prefect starts the run again")));
    } else if AWAITING_SLOT.contains(&run.state.name.as_str()) {
        let summary = "as many runs as may run at a time are running";
        causes.push(Cause::new(Reason::PrefectConcurrencyLimit, summary).advising([record.page.clone()]));
    }
    let pool_name = run.work_pool.as_deref().unwrap_or("none");
    if let Some(pool) = &record.pool {
        if pool.is_paused {
            let resume = format!("prefect work-pool resume {pool_name}");
            causes.insert(0, Cause::new(Reason::PrefectPoolPaused, format!("work pool `{pool_name}` is paused")).advising([resume]));
        } else if !pool.workers.iter().any(|worker| worker.is_online) {
            causes.insert(0, no_worker(record, pool_name));
        }
    }
    if causes.is_empty() {
        let summary = match run.expected_start.filter(|start| after(inquiry.now, 1) < *start) {
            Some(start) => format!("the flow run is to start at {start}"),
            None => format!("a worker of work pool `{pool_name}` has to take the flow run up; it asks every 10 to 15 seconds"),
        };
        causes.push(Cause::new(Reason::PrefectScheduled, summary).advising([record.page.clone()]));
    }
    causes
}

fn no_worker(record: &FlowRunRecord, pool_name: &str) -> Cause {
    let workers = record.pool.as_ref().map(|pool| pool.workers.as_slice()).unwrap_or_default();
    let last = workers.iter().max_by_key(|worker| worker.last_heartbeat);
    let summary = match last.and_then(|worker| Some((worker, worker.last_heartbeat?))) {
        Some((worker, heard)) => format!("no worker of work pool `{pool_name}` is online; `{}` was last heard of at {heard}", worker.name),
        None => format!("work pool `{pool_name}` has never had a worker"),
    };
    let start = format!("prefect worker start --pool {pool_name} --type kubernetes   (in the cluster: see `sbrun setup`)");
    Cause::new(Reason::PrefectNoWorker, summary).advising([start])
}
