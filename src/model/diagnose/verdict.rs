//! Whether the job is over: the flow's own end, the Job's conditions, absence; and the verdict that follows.

use jiff::Timestamp;

use super::{
    attempt::{self, End, Judgement},
    deadline, flow_run,
    inquiry::{Inquiry, after},
    loss,
    phases::{self, first_start, scale_up_seconds},
    wording::between,
};
use crate::model::{
    evidence::{AttemptRecord, ConditionRecord, ContainerState},
    outcome::Outcome,
    reason::Reason,
    story::{Cause, Proof, Verdict},
};

/// How long a node may be silent before nothing is said about what runs there any more: pods are evicted after five minutes.
const UNREACHABLE_SECONDS: i64 = 6 * 60;
/// Within what time of its last sight a Job that is gone was still active when it was deleted, in seconds.
const JUST_SEEN_SECONDS: i64 = 30;

/// Whether the job is over.
pub(super) enum Standing {
    /// It goes on.
    Open,
    /// It ended, but news until then may change how.
    Held(Timestamp),
    /// It is over.
    Over(Box<Verdict>),
}

/// Returns whether the job is over. A verdict that a follower left on the Job stands, so that all followers agree;
/// only `unknown` gives way to what is known now.
pub(super) fn standing(inquiry: &Inquiry<'_>) -> Standing {
    // A flow run that goes on has been started again since.
    let goes_on = flow_run::goes_on(inquiry);
    let kept = inquiry.job().and_then(|job| job.verdict.as_deref()).filter(|_| !goes_on);
    if let Some(kept) = kept.filter(|kept| kept.outcome != Outcome::Unknown) {
        return Standing::Over(Box::new(kept.clone()));
    }
    match flow_run::judge(inquiry).unwrap_or_else(|| examine(inquiry)) {
        Judgement::Ended(end) if end.outcome == Outcome::Unknown && kept.is_some() => kept.cloned().map_or(Standing::Open, over),
        Judgement::Ended(end) => over(verdict(inquiry, *end)),
        Judgement::Held(until) => Standing::Held(until),
        Judgement::Open | Judgement::Stopped => Standing::Open,
    }
}

fn over(verdict: Verdict) -> Standing {
    Standing::Over(Box::new(verdict))
}

/// Asks, in the order of the strength of what answers: the flow, the Job's conditions, absence, silence.
pub(super) fn examine(inquiry: &Inquiry<'_>) -> Judgement {
    if let Some(condition) = inquiry.job_condition("Complete").or_else(|| inquiry.job_condition("SuccessCriteriaMet")) {
        return Judgement::Ended(Box::new(complete(inquiry, condition)));
    }
    let mut last = Judgement::Open;
    for (number, attempt) in inquiry.attempts() {
        last = attempt::judge(inquiry, attempt);
        match &last {
            Judgement::Ended(end) if is_final(inquiry, end, number) => return last,
            Judgement::Held(_) => return last,
            Judgement::Ended(_) | Judgement::Open | Judgement::Stopped => {}
        }
    }
    match by_cluster(inquiry, last) {
        Judgement::Open | Judgement::Stopped => unreachable(inquiry).map_or(Judgement::Open, |end| Judgement::Ended(Box::new(end))),
        ended => ended,
    }
}

/// Asks what is not the flow's own: the Job's conditions, and the Job's absence.
fn by_cluster(inquiry: &Inquiry<'_>, last: Judgement) -> Judgement {
    let failed = inquiry.job_condition("Failed");
    if let Some(condition) = failed.or_else(|| inquiry.job_condition("FailureTarget").filter(|_| !still_runs(inquiry))) {
        return Judgement::Ended(Box::new(by_job(inquiry, condition, last)));
    }
    if inquiry.job_is_gone() {
        return by_absence(inquiry, last);
    }
    // The Job controller leaves a suspended Job alone: nobody else will ever end it.
    match inquiry.job().filter(|job| job.suspended).and_then(|_| inquiry.ending()) {
        Some(ending) => Judgement::Ended(Box::new(deadline::by_ending(inquiry, ending))),
        None => Judgement::Open,
    }
}

/// Returns whether the end of the attempt of this number is the job's, whatever the Job controller will say.
fn is_final(inquiry: &Inquiry<'_>, end: &End, number: u32) -> bool {
    match (end.outcome, inquiry.infrastructure_retries()) {
        (Outcome::Succeeded, _) => true,
        (_, None) => false,
        (Outcome::Lost, Some(retries)) => number > retries,
        (_, Some(_)) => true,
    }
}

/// Returns the success that the Job states; the attempt that succeeded says more.
fn complete(inquiry: &Inquiry<'_>, condition: &ConditionRecord) -> End {
    let succeeded = |attempt| match attempt::judge(inquiry, attempt) {
        Judgement::Ended(end) if end.outcome == Outcome::Succeeded => Some(*end),
        _ => None,
    };
    let stated = || attempt::ended_with(inquiry, None, 0, condition.proof(&format!("job {}", inquiry.name())));
    inquiry.evidence.attempts.iter().rev().find_map(succeeded).unwrap_or_else(stated)
}

/// Returns the end that the Job's failure states, looking through to the last attempt where that says more.
fn by_job(inquiry: &Inquiry<'_>, condition: &ConditionRecord, last: Judgement) -> End {
    let proof = condition.proof(&format!("job {}", inquiry.name()));
    let attempt = inquiry.last_attempt();
    if condition.reason == "DeadlineExceeded" {
        let ended = inquiry.ending().is_some();
        return match last {
            Judgement::Ended(end) if !ended => *end,
            _ => deadline::by_deadline(inquiry, proof),
        };
    }
    if let Judgement::Ended(end) = last {
        return *end;
    }
    if let Some(attempt) = attempt.filter(|attempt| attempt.deleted.is_some()) {
        return loss::by_event(inquiry, attempt)
            .unwrap_or_else(|| deleted(inquiry, "the job's pod was deleted by somebody else", Some(proof), attempt.deleted));
    }
    let code = between(&condition.message, "failed with exit code ", " matching").and_then(|code| code.parse().ok());
    match code {
        Some(code) => attempt::ended_with(inquiry, attempt, code, proof),
        None if condition.message.contains("has condition DisruptionTarget") => loss::by_job_words(inquiry, attempt, proof),
        None => {
            let summary = format!("the Job failed ({}) and its pod is gone: whether the flow failed or was lost is not known", condition.reason);
            let describe = inquiry.kubectl(&format!("describe job {}", inquiry.name()));
            let cause = Cause::new(Reason::UnknownOther, summary).proven_by([proof]).advising(describe);
            End::new(Outcome::Unknown, cause, condition.since)
        }
    }
}

/// Returns the end of a job whose Job object is gone.
fn by_absence(inquiry: &Inquiry<'_>, last: Judgement) -> Judgement {
    if matches!(last, Judgement::Ended(_)) {
        return last;
    }
    if matches!(last, Judgement::Open)
        && inquiry.last_attempt().is_some_and(|attempt| !attempt.is_terminal())
        && !inquiry.evidence.attempts.is_empty()
    {
        // Deleted together with its Job it ends soon; left behind as an orphan it runs on, and its end will tell.
        return Judgement::Open;
    }
    let gone = inquiry.evidence.job_gone.or_else(|| inquiry.job().and_then(|job| job.deleted));
    let proof = Proof::new("Kubernetes API", format!("job {} does not exist any more", inquiry.name()), gone);
    let end = if let Some(ending) = inquiry.ending() {
        deadline::by_ending(inquiry, ending)
    } else if deletion_was_seen(inquiry) {
        deleted(inquiry, "the Job was deleted by somebody else", Some(proof), gone)
    } else {
        let cause = Cause::new(Reason::UnknownJobGone, "the Job is gone and nothing is left that says how it ended");
        let cause = cause.proven_by([proof]).advising(["see what the flow left behind before you run it again".to_owned()]);
        End::new(Outcome::Unknown, cause, gone)
    };
    Judgement::Ended(Box::new(end))
}

/// Returns whether the Job was deleted before it was over: seen on its way out, its pod was, or it was active a moment ago.
fn deletion_was_seen(inquiry: &Inquiry<'_>) -> bool {
    let marked = inquiry.job().is_some_and(|job| job.deleted.is_some()) || inquiry.last_attempt().is_some_and(|attempt| attempt.deleted.is_some());
    let just_seen = match (inquiry.evidence.job_seen, inquiry.evidence.job_gone) {
        (Some(seen), Some(gone)) => gone.duration_since(seen).as_secs() <= JUST_SEEN_SECONDS,
        _ => false,
    };
    marked || just_seen
}

fn deleted(inquiry: &Inquiry<'_>, summary: &str, proof: Option<Proof>, at: Option<Timestamp>) -> End {
    let cause = Cause::new(Reason::CancelledDeleted, summary).proven_by(proof).advising(inquiry.rerun(""));
    End::new(Outcome::Cancelled, cause, at)
}

/// Returns whether the flow's container still runs, as far as anybody knows: its pod then has its grace to end in.
fn still_runs(inquiry: &Inquiry<'_>) -> bool {
    inquiry.last_attempt().is_some_and(|attempt| !attempt.is_terminal() && matches!(attempt.container, ContainerState::Running { .. }))
}

/// Returns the end of a job whose node has been silent for too long. It gives way to any other news.
fn unreachable(inquiry: &Inquiry<'_>) -> Option<End> {
    let attempt = inquiry.last_attempt().filter(|attempt| !attempt.is_terminal())?;
    let node = attempt.node.as_deref()?;
    let unready = inquiry.node(node)?.unready()?;
    let silent = unready.since.filter(|since| after(*since, UNREACHABLE_SECONDS) <= inquiry.now)?;
    let summary = format!("node `{node}` has not answered for over 6 minutes, and the flow may still be running there");
    let cause = Cause::new(Reason::UnknownNodeUnreachable, summary)
        .proven_by([unready.proof(&format!("node {node}"))])
        .advising([format!("kubectl describe node {node}")])
        .advising([format!("kubectl delete node {node}   (once its machine is surely gone: the job then ends as lost)")]);
    Some(End::new(Outcome::Unknown, cause, Some(after(silent, UNREACHABLE_SECONDS))))
}

/// Returns the verdict on the job that ended so.
fn verdict(inquiry: &Inquiry<'_>, end: End) -> Verdict {
    let End { outcome, cause, flow_exit_code, at, warnings } = end;
    let finished = inquiry.job().and_then(|job| job.finished).or(at);
    let seconds = |from: Option<Timestamp>, to: Option<Timestamp>| Some(to?.duration_since(from?).as_secs().max(0));
    let last = inquiry.last_attempt();
    let ended = last.and_then(AttemptRecord::termination).and_then(|termination| termination.finished).or(finished);
    Verdict {
        outcome,
        exit_code: outcome.exit_code(flow_exit_code).0,
        flow_exit_code,
        cause,
        finished,
        waited_seconds: seconds(phases::created(inquiry), first_start(inquiry).or(finished)),
        scale_up_seconds: scale_up_seconds(inquiry),
        run_seconds: seconds(last.and_then(AttemptRecord::started), ended),
        attempts: inquiry.attempt_count(),
        peak_memory: last.and_then(|attempt| attempt.peak_memory),
        cpu_milliseconds: last.and_then(|attempt| attempt.cpu_milliseconds),
        warnings,
    }
}
