//! Ends that a deadline of the Job brought about: a person's or sbrun's decision, the lease, or the dead man's switch.

use super::{
    attempt::{self, End},
    inquiry::Inquiry,
    phases, waiting,
};
use crate::model::{
    duration,
    evidence::{Ending, JobRecord},
    outcome::Outcome,
    reason::Reason,
    story::{Cause, Phase, Proof},
};

/// Returns why the Job's deadline was reached: somebody set it, the lease ran out, or time did.
pub(super) fn by_deadline(inquiry: &Inquiry<'_>, proof: Proof) -> End {
    if let Some(ending) = inquiry.ending() {
        let mut end = by_ending(inquiry, ending);
        end.cause.evidence.push(proof);
        return end;
    }
    if inquiry.job().is_some_and(|job| is_lease(inquiry, job)) {
        let cause = Cause::new(Reason::CancelledLease, "the runner that submitted the job vanished, and its lease ran out")
            .advising(inquiry.rerun(""))
            .advising(["submit it with `--detach`, or with a longer `--lease`, to let it outlive its runner".to_owned()]);
        let at = proof.at;
        return End::new(Outcome::Cancelled, cause.proven_by([proof]), at);
    }
    match inquiry.last_attempt() {
        Some(attempt) if attempt.started().is_some() => attempt::run_timeout(inquiry, attempt, proof),
        // A pod that nobody saw may have run: then only `timed_out` is safe, because `no_node` says "run it again".
        None if inquiry.job().is_some_and(|job| job.counts.failed > 0) => {
            let at = proof.at;
            let summary = "the Job's deadline passed; its pod is gone, and whether the flow ever ran is not known";
            End::new(Outcome::TimedOut, Cause::new(Reason::TimeoutRun, summary).proven_by([proof]), at)
        }
        _ => no_machine(inquiry, proof),
    }
}

/// Returns whether the Job's deadline is the lease's, which a follower pushes forward, and not the dead man's switch.
fn is_lease(inquiry: &Inquiry<'_>, job: &JobRecord) -> bool {
    let limit = inquiry.plan().map(|plan| plan.limits.job_deadline(plan.infrastructure_retries).as_secs());
    let deadline = job.active_deadline_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    job.leased && limit.zip(deadline).is_none_or(|(limit, deadline)| deadline < limit)
}

/// Returns the end of a job that never got its machine, with what it waited for.
fn no_machine(inquiry: &Inquiry<'_>, proof: Proof) -> End {
    let queued = phases::last_waiting_phase(inquiry) == Some(Phase::Queued);
    let reason = if queued { Reason::TimeoutQueue } else { Reason::TimeoutPending };
    let at = proof.at;
    let waited = waiting::last_causes(inquiry).into_iter().next();
    let what = waited.as_ref().map_or_else(|| "nothing says what it waited for".to_owned(), |cause| format!("{}: {}", cause.reason, cause.summary));
    let mut cause = Cause::new(reason, format!("{}; {what}", no_node_words(reason))).proven_by([proof]);
    if let Some(waited) = waited {
        cause = cause.proven_by(waited.evidence).advising(waited.next);
    }
    End::new(Outcome::NoNode, cause, at)
}

/// Returns the end that a person or sbrun decided, as the Job records it.
pub(super) fn by_ending(inquiry: &Inquiry<'_>, ending: &Ending) -> End {
    let reason = Reason::find(&ending.reason).unwrap_or(match ending.outcome {
        Outcome::Cancelled => Reason::CancelledByUser,
        Outcome::NoNode => Reason::TimeoutPending,
        Outcome::TimedOut => Reason::TimeoutRun,
        Outcome::Lost => Reason::LostOther,
        _ => Reason::UnknownOther,
    });
    let message = ending.message.as_deref().map(str::trim).filter(|message| !message.is_empty());
    let decided_on = &inquiry.evidence.decided_on;
    let decisive = decided_on.iter().find(|cause| cause.reason == reason).or(decided_on.first()).cloned();
    let waited = decisive.or_else(|| waiting::last_causes(inquiry).into_iter().next());
    let (summary, next) = match ending.outcome {
        Outcome::Cancelled => (with(&format!("cancelled by {}", ending.by), message), inquiry.rerun("").into_iter().collect()),
        Outcome::NoNode if reason.is_no_capacity() => {
            (message.map_or_else(|| reason.meaning().to_lowercase(), ToOwned::to_owned), advice(inquiry, waited.as_ref()))
        }
        Outcome::NoNode => (with(no_node_words(reason), message), advice(inquiry, waited.as_ref())),
        Outcome::TimedOut => (with(&timeout_words(inquiry, reason), message), inquiry.sbrun("logs", "").into_iter().collect()),
        Outcome::Lost => (with("lost to the infrastructure", message), inquiry.rerun("").into_iter().collect()),
        Outcome::Rejected => (rejected_words(message, waited.as_ref()), waited.as_ref().map(|cause| cause.next.clone()).unwrap_or_default()),
        _ => (with(&format!("ended by {}", ending.by), message), Vec::new()),
    };
    let said = message.map_or_else(String::new, |message| format!(": {message}"));
    let proof = Proof::new(
        format!("record on job {}", inquiry.name()),
        format!("{} ({}) by {}{said}", ending.outcome, ending.reason, ending.by),
        Some(ending.at),
    );
    let same = waited.filter(|cause| cause.reason == reason).map(|cause| cause.evidence).unwrap_or_default();
    let cause = Cause::new(reason, summary).proven_by([proof]).proven_by(same).advising(next);
    End::new(ending.outcome, cause, Some(ending.at))
}

/// Returns what to do about a cause that kept the job waiting; without one, the same command may simply be run again.
fn advice(inquiry: &Inquiry<'_>, waited: Option<&Cause>) -> Vec<String> {
    waited.map(|cause| cause.next.clone()).filter(|next| !next.is_empty()).unwrap_or_else(|| inquiry.rerun("").into_iter().collect())
}

fn no_node_words(reason: Reason) -> &'static str {
    if reason == Reason::TimeoutQueue { "its turn did not come in time" } else { "no machine in time" }
}

fn rejected_words(message: Option<&str>, waited: Option<&Cause>) -> String {
    let said = message.or(waited.map(|cause| cause.summary.as_str()));
    said.unwrap_or("it could never run as asked").to_owned()
}

fn timeout_words(inquiry: &Inquiry<'_>, reason: Reason) -> String {
    let stall = inquiry.plan().and_then(|plan| plan.limits.stall_timeout);
    match (reason, stall) {
        (Reason::TimeoutStall, Some(limit)) => format!("no output for {}", duration::format(limit)),
        (Reason::TimeoutStall, None) => "no output for too long".to_owned(),
        _ => "the flow ran longer than it may".to_owned(),
    }
}

fn with(summary: &str, message: Option<&str>) -> String {
    message.map_or_else(|| summary.to_owned(), |message| format!("{summary}: {message}"))
}
