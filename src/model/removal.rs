//! Which jobs `clean` removes: those that are over, and submissions that broke off. Never one that may run.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::model::{
    diagnose::diagnose,
    evidence::{Evidence, JobRecord},
    outcome::{Outcome, State},
    reason::Reason,
    story::Story,
};

/// What is to be removed of what is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Only what ended at least so long ago.
    pub older: Option<Duration>,
    /// Only what ended so.
    pub state: Option<State>,
}

/// Why a job stays, as a word for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stays {
    /// It may run.
    NotFinished,
    /// Its flow has ended, and Kubernetes has not closed its Job yet: a pod may be on its way out.
    Closing,
    /// It is over, but not what was asked for.
    NotPicked,
    /// It is being deleted already.
    Leaving,
    /// It has changed since it was listed.
    Changed,
    /// The server refused, or did not answer.
    Refused,
    /// Its deletion was asked for, and nobody waited for the answer.
    Unanswered,
    /// Its turn did not come.
    NotTried,
}

impl Stays {
    /// Returns what it means, as the end of a sentence that begins with the job.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::NotFinished => "it has not finished",
            Self::Closing => "its flow has ended and its Job is being closed; try again in a moment",
            Self::NotPicked => "it is not what --older and --state pick",
            Self::Leaving => "it is being deleted already",
            Self::Changed => "it changed since it was listed",
            Self::Refused => "the API server refused",
            Self::Unanswered => "its deletion was asked for, and the answer had not come yet",
            Self::NotTried => "its turn did not come",
        }
    }
}

impl Wanted {
    /// Returns whether the pods of a job that nobody judged can make a difference: how a job ended, they know best.
    #[must_use]
    pub fn asks_for_outcome(&self) -> bool {
        !matches!(self.state, None | Some(State::Finished))
    }

    /// Returns why a job stays; nothing for one that goes. Evidence of the Job alone is enough to tell that it is over.
    ///
    /// Kubernetes itself has to say so: by then no pod of it runs any more. A follower's verdict comes earlier, while a pod may
    /// have its grace to end in.
    #[must_use]
    pub fn spares(&self, evidence: &Evidence, now: Timestamp) -> Option<Stays> {
        let Some(job) = &evidence.job else { return Some(Stays::Leaving) };
        if job.deleted.is_some() {
            return Some(Stays::Leaving);
        }
        let story = diagnose(evidence, now);
        let outcome = story.verdict.as_ref().map(|verdict| verdict.outcome);
        let broke_off = broke_off(job, &story);
        if !broke_off && !is_over(job) {
            let ended = outcome.is_some_and(|outcome| outcome != Outcome::Unknown);
            return Some(if ended { Stays::Closing } else { Stays::NotFinished });
        }
        let picked = if broke_off { self.state.is_none() } else { self.state.is_none_or(|state| state.picks(outcome)) };
        let ended = job.finished.or(story.verdict.as_ref().and_then(|verdict| verdict.finished)).or(job.created);
        let old = self.older.is_none_or(|older| ended.is_some_and(|ended| is_older(ended, now, older)));
        (!picked || !old).then_some(Stays::NotPicked)
    }
}

fn is_older(ended: Timestamp, now: Timestamp, age: Duration) -> bool {
    Duration::try_from(now.duration_since(ended)).is_ok_and(|since| since >= age)
}

/// Returns whether Kubernetes has closed the Job, or was told to leave it alone: then nothing of it will ever run again.
fn is_over(job: &JobRecord) -> bool {
    let closed = job.conditions.iter().any(|condition| condition.status == "True" && matches!(condition.kind.as_str(), "Complete" | "Failed"));
    closed || job.suspended && job.ending.is_some() && has_no_pod(job)
}

/// Returns whether its submission broke off long enough ago: it is suspended, and never had a pod.
fn broke_off(job: &JobRecord, story: &Story) -> bool {
    story.cause.as_ref().is_some_and(|cause| cause.reason == Reason::SubmissionIncomplete) && has_no_pod(job)
}

fn has_no_pod(job: &JobRecord) -> bool {
    job.counts.active == 0 && job.counts.terminating == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        evidence::{ConditionRecord, Ending, JobCounts, Maker},
        story::{Cause, Verdict},
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("a time")
    }

    fn mk_job() -> JobRecord {
        JobRecord { name: "etl".into(), maker: Maker::Sbrun, complete: true, created: Some(at(0)), ..JobRecord::default() }
    }

    fn closed(kind: &str, message: &str) -> JobRecord {
        let condition = ConditionRecord {
            kind: kind.into(),
            status: "True".into(),
            reason: "PodFailurePolicy".into(),
            message: message.into(),
            since: Some(at(100)),
        };
        JobRecord { conditions: vec![condition], finished: Some(at(100)), ..mk_job() }
    }

    fn judged(outcome: Outcome, job: JobRecord) -> JobRecord {
        let verdict = Verdict {
            outcome,
            exit_code: 0,
            flow_exit_code: None,
            cause: Cause::new(Reason::FlowSucceeded, ""),
            finished: Some(at(90)),
            waited_seconds: None,
            scale_up_seconds: None,
            run_seconds: None,
            attempts: 1,
            peak_memory: None,
            cpu_milliseconds: None,
            warnings: Vec::new(),
        };
        JobRecord { verdict: Some(Box::new(verdict)), ..job }
    }

    fn ended_by_ana(job: JobRecord) -> JobRecord {
        let ending =
            Ending { outcome: Outcome::Cancelled, reason: Reason::CancelledByUser.code().into(), by: "ana".into(), at: at(50), message: None };
        JobRecord { ending: Some(ending), ..job }
    }

    fn spared(wanted: Wanted, job: JobRecord) -> Option<Stays> {
        wanted.spares(&Evidence { job: Some(job), ..Evidence::default() }, at(1000))
    }

    #[test]
    fn what_kubernetes_has_closed_goes_and_nothing_else() {
        let all = Wanted::default();
        let suspended = || JobRecord { suspended: true, ..mk_job() };
        let incomplete = || JobRecord { complete: false, ..suspended() };
        let active = |job: JobRecord| JobRecord { counts: JobCounts { active: 1, ..JobCounts::default() }, ..job };
        for (what, job, stays) in [
            ("complete", closed("Complete", ""), None),
            ("failed", closed("Failed", ""), None),
            ("complete, and judged", judged(Outcome::Succeeded, closed("Complete", "")), None),
            ("running", mk_job(), Some(Stays::NotFinished)),
            ("running again after `unknown`", judged(Outcome::Unknown, mk_job()), Some(Stays::NotFinished)),
            ("judged, its pod in its grace", judged(Outcome::TimedOut, mk_job()), Some(Stays::Closing)),
            ("about to be closed", closed("SuccessCriteriaMet", ""), Some(Stays::Closing)),
            ("being deleted", JobRecord { deleted: Some(at(200)), ..closed("Complete", "") }, Some(Stays::Leaving)),
            ("suspended by somebody", suspended(), Some(Stays::NotFinished)),
            ("suspended and ended", ended_by_ana(suspended()), None),
            ("suspended and ended, its pod going", active(ended_by_ana(suspended())), Some(Stays::Closing)),
            ("a submission that broke off", incomplete(), None),
            ("one that is under way", JobRecord { created: Some(at(995)), ..incomplete() }, Some(Stays::NotFinished)),
            ("one that was let run by hand", active(incomplete()), Some(Stays::NotFinished)),
        ] {
            assert_eq!(spared(all, job), stays, "{what}");
        }
        assert_eq!(all.spares(&Evidence::default(), at(1000)), Some(Stays::Leaving), "gone");
    }

    #[test]
    fn state_and_age_pick_among_what_is_over() {
        let of = |state| Wanted { state: Some(state), older: None };
        let failed = closed("Failed", "Container flow for pod flows/etl-x failed with exit code 7 matching FailJob rule at index 1");
        assert_eq!(spared(of(State::Unsuccessful), failed.clone()), None);
        assert_eq!(spared(of(State::Outcome(Outcome::Failed)), failed.clone()), None);
        assert_eq!(spared(of(State::Outcome(Outcome::Succeeded)), failed.clone()), Some(Stays::NotPicked));
        assert_eq!(spared(of(State::Finished), judged(Outcome::Succeeded, closed("Complete", ""))), None);
        assert_eq!(spared(of(State::Finished), JobRecord { complete: false, suspended: true, ..mk_job() }), Some(Stays::NotPicked), "it never ran");
        let older = |seconds| Wanted { older: Some(Duration::from_secs(seconds)), state: None };
        assert_eq!((spared(older(900), failed.clone()), spared(older(901), failed)), (None, Some(Stays::NotPicked)));
        let ahead = JobRecord { finished: Some(at(5000)), ..closed("Complete", "") };
        assert_eq!(spared(older(60), ahead), Some(Stays::NotPicked), "what ends in the future is not old");
        assert!(!of(State::Finished).asks_for_outcome() && of(State::Unsuccessful).asks_for_outcome() && !Wanted::default().asks_for_outcome());
    }
}
