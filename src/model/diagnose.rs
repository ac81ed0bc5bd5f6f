//! From evidence to story: the one place that knows causes.
//!
//! Everything here is pure. `diagnose` first asks how each attempt ended ([`attempt`]), from the strongest evidence to the
//! weakest, then whether that ends the job ([`verdict`]); only while nothing ended it, what it waits for ([`waiting`]).
//! A verdict that was given once is given again by every later call, whatever comes in addition; only `unknown` gives way
//! to something that is known.

mod attempt;
mod configuration;
mod creation;
mod deadline;
mod decide;
mod flow_run;
mod growth;
mod image;
mod inquiry;
mod loss;
mod machine;
mod phases;
mod room;
mod scheduler_message;
mod scheduling;
mod starting;
#[cfg(test)]
pub(crate) mod tests;
mod verdict;
mod volume;
mod waiting;
mod wording;

use jiff::Timestamp;

pub use self::decide::{decide, too_many_attempts};
use self::{attempt::Judgement, inquiry::Inquiry, verdict::Standing};
use crate::model::{
    evidence::{Evidence, JobRecord},
    outcome::Outcome,
    reason::Reason,
    story::{Cause, Phase, Story},
};

/// Returns what `evidence` means at `now`.
///
/// Summaries hold no running clocks, so that two stories of one situation are equal.
#[must_use]
pub fn diagnose(evidence: &Evidence, now: Timestamp) -> Story {
    let inquiry = Inquiry::new(evidence, now);
    let standing = verdict::standing(&inquiry);
    let mut causes = match &standing {
        Standing::Over(verdict) if waited(verdict.outcome) => waiting::last_causes(&inquiry),
        Standing::Over(_) => Vec::new(),
        Standing::Open | Standing::Held(_) => waiting::causes(&inquiry),
    };
    let (verdict, held_until) = match standing {
        Standing::Over(verdict) => (Some(*verdict), None),
        Standing::Held(until) => (None, Some(until)),
        Standing::Open => (None, None),
    };
    // What it was rejected for is not told twice.
    causes.retain(|cause| verdict.as_ref().is_none_or(|verdict| verdict.cause.reason != cause.reason));
    let queued = verdict.is_none() && waiting::is_queued(&causes);
    let phases = phases::phases(&inquiry, verdict.as_ref(), queued);
    let cause = if verdict.is_some() || causes.is_empty() { None } else { Some(causes.remove(0)) };
    let phase = phases.last().map_or(Phase::Submitted, |start| start.phase);
    let waits_for_machine = matches!(phase, Phase::Pending | Phase::ScalingUp | Phase::Booting);
    Story {
        phase,
        phases,
        place: inquiry.place().filter(|_| queued),
        usual_seconds: evidence.usual_scale_up_seconds.filter(|_| waits_for_machine),
        attempts: inquiry.attempt_count(),
        unknown: waiting::unknown(&inquiry, cause.as_ref()),
        cause,
        details: causes,
        verdict,
        held_until,
    }
}

/// Returns whether a job that ended so may have ended while it waited, so that what it waited for is worth telling.
fn waited(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::NoNode | Outcome::Rejected)
}

/// Returns why each attempt but the last one ended, with its number counted from 1: for the line between attempts.
#[must_use]
pub fn attempt_causes(evidence: &Evidence, now: Timestamp) -> Vec<(u32, Cause)> {
    let inquiry = Inquiry::new(evidence, now);
    let earlier = evidence.attempts.split_last().map_or(&[][..], |(_, earlier)| earlier);
    let cause = |attempt| match attempt::judge(&inquiry, attempt) {
        Judgement::Ended(end) => Some(end.cause),
        Judgement::Open | Judgement::Held(_) | Judgement::Stopped => None,
    };
    (1..).zip(earlier).filter_map(|(number, attempt)| Some((number, cause(attempt)?))).collect()
}

/// Returns whether a Job is over, by itself: for lists and for `clean`, which have no pods.
#[must_use]
pub fn is_finished(job: &JobRecord) -> bool {
    let ended = job.conditions.iter().any(|condition| condition.is_true() && matches!(condition.kind.as_str(), "Complete" | "Failed"));
    // The Job controller leaves a suspended Job alone, even when its deadline has passed.
    job.is_judged() || ended || job.suspended && job.ending.is_some()
}

/// Returns the one word of `list` and `--state`: the outcome, `incomplete`, or the phase.
#[must_use]
pub fn state_word(story: &Story) -> &'static str {
    match (&story.verdict, &story.cause) {
        (Some(verdict), _) => verdict.outcome.as_str(),
        (None, Some(cause)) if cause.reason == Reason::SubmissionIncomplete => "incomplete",
        (None, _) => story.phase.as_str(),
    }
}
