//! What a job waits for: the causes in the order of asking, one examiner for each place where it can be stuck.

use super::{
    attempt::{self, Judgement},
    creation, deadline, flow_run,
    inquiry::{Inquiry, after},
    loss, phases, scheduling, starting,
    wording::on_node,
};
use crate::model::{
    evidence::{AttemptRecord, JobRecord, Maker},
    reason::Reason,
    story::{Cause, Proof},
};

/// How long a submission may take to send its files before it counts as broken off, in seconds.
const SUBMISSION_SECONDS: i64 = 60;

/// From which age of a pod its first events may have expired, in seconds: the API server keeps events for an hour
/// (`--event-ttl`), and a little less is said in time.
const EVENTS_EXPIRE_SECONDS: i64 = 50 * 60;

/// Returns why a job that is not over is where it is: the first cause is the answer, the others are detail.
pub(super) fn causes(inquiry: &Inquiry<'_>) -> Vec<Cause> {
    let of_flow_run = flow_run::causes(inquiry);
    if !of_flow_run.is_empty() {
        return of_flow_run;
    }
    let Some(job) = inquiry.job() else {
        return Vec::new();
    };
    let stopping = match (inquiry.ending(), inquiry.job_condition("FailureTarget")) {
        (Some(ending), _) => Some(deadline::by_ending(inquiry, ending).cause),
        (None, Some(condition)) if condition.reason == "DeadlineExceeded" => {
            Some(deadline::by_deadline(inquiry, condition.proof(&format!("job {}", job.name))).cause)
        }
        _ => None,
    };
    stopping.into_iter().chain(where_it_is(inquiry, job)).collect()
}

/// Returns what a job waited for that never came to run; nothing when its flow ran.
pub(super) fn last_causes(inquiry: &Inquiry<'_>) -> Vec<Cause> {
    match (inquiry.job(), inquiry.last_attempt()) {
        (None, _) => Vec::new(),
        (Some(job), _) if job.suspended => suspended(inquiry, job).into_iter().collect(),
        (Some(_), None) => creation::causes(inquiry),
        (Some(_), Some(attempt)) if attempt.started().is_some() || attempt.termination().is_some() => Vec::new(),
        (Some(_), Some(attempt)) => before_the_flow(inquiry, attempt),
    }
}

/// Returns whether these causes, the first of them, say that the job waits for its turn behind a group at its maximum.
pub(super) fn is_queued(causes: &[Cause]) -> bool {
    causes.first().is_some_and(|cause| cause.reason == Reason::QueueAtMaximum)
}

/// Returns what the story does not know, for people.
pub(super) fn unknown(inquiry: &Inquiry<'_>, cause: Option<&Cause>) -> Vec<String> {
    let mut unknown = inquiry.evidence.unknown.clone();
    unknown.extend(inquiry.evidence.flow_run.obstacle().map(ToOwned::to_owned));
    let Some(cause) = cause.filter(|_| inquiry.last_attempt().is_some_and(|attempt| !attempt.is_bound())) else { return unknown };
    let open = matches!(cause.reason, Reason::SchedulingNoSuchGroup | Reason::SchedulingInsufficient | Reason::ScaleUpUnexplained);
    let told = |attempt| phases::autoscaler_word(inquiry, attempt).is_some();
    if open && !inquiry.last_attempt().is_some_and(told) {
        let created = inquiry.last_attempt().and_then(|attempt| attempt.created);
        let old = created.is_some_and(|created| inquiry.now >= after(created, EVENTS_EXPIRE_SECONDS));
        let expiry = if old { " (events expire after about an hour)" } else { "" };
        unknown.push(format!("no autoscaler has said anything about this pod{expiry}"));
    }
    let scaling = &inquiry.evidence.scaling;
    let unseen = [scaling.account.obstacle(), scaling.autoscaler.obstacle(), scaling.pools.obstacle()];
    unknown.extend(unseen.into_iter().flatten().map(ToOwned::to_owned));
    unknown
}

fn where_it_is(inquiry: &Inquiry<'_>, job: &JobRecord) -> Vec<Cause> {
    if job.suspended {
        return suspended(inquiry, job).into_iter().collect();
    }
    let Some(attempt) = inquiry.last_attempt() else {
        return creation::causes(inquiry);
    };
    if let Judgement::Ended(end) = attempt::judge(inquiry, attempt) {
        if inquiry.flow_run().is_some() {
            return Vec::new(); // Prefect's state says what comes of it
        }
        // It is replaced, else the job would be over.
        let lost = Cause { summary: format!("attempt {} ended, the next one follows: {}", inquiry.attempt_count(), end.cause.summary), ..end.cause };
        return creation::refusals(inquiry).into_iter().chain([lost]).collect();
    }
    if attempt.is_terminal() {
        return Vec::new();
    }
    if attempt.started().is_some() { while_it_runs(inquiry, attempt) } else { before_the_flow(inquiry, attempt) }
}

fn before_the_flow(inquiry: &Inquiry<'_>, attempt: &AttemptRecord) -> Vec<Cause> {
    if attempt.is_bound() { starting::causes(inquiry, attempt) } else { scheduling::causes(inquiry, attempt) }
}

fn while_it_runs(inquiry: &Inquiry<'_>, attempt: &AttemptRecord) -> Vec<Cause> {
    let taken = loss::by_disruption(inquiry, attempt).map(|end| {
        let summary = format!("the flow has only its grace left: {}", end.cause.summary);
        Cause { summary, next: Vec::new(), ..end.cause }
    });
    let unready = starting::node_not_ready(inquiry, attempt);
    let proof = Proof::new(format!("status of the flow's container in {}", attempt.label()), "Running", attempt.started());
    let running = Cause::new(Reason::FlowRunning, format!("the flow runs{}", on_node(attempt)));
    let running = running.proven_by([proof]).advising(inquiry.sbrun("logs", "-f"));
    taken.into_iter().chain(unready).chain([running]).collect()
}

/// Returns why a suspended Job has no pod; nothing while its submission may still be under way.
fn suspended(inquiry: &Inquiry<'_>, job: &JobRecord) -> Option<Cause> {
    let proof = Proof::new(format!("job {}", job.name), "spec.suspend is true", None);
    if job.maker == Maker::Sbrun && !job.complete && inquiry.evidence.attempts.is_empty() {
        let sending = job.created.is_some_and(|created| inquiry.now < after(created, SUBMISSION_SECONDS));
        let key = job.plan.as_ref().and_then(|plan| plan.key.as_ref());
        let again = key.map(|key| format!("sbrun submit --key {key} …   (the same command again)"));
        let summary = "the submission broke off before all files were sent: the Job is suspended and has no pod";
        let cause = Cause::new(Reason::SubmissionIncomplete, summary).proven_by([proof]).advising(again).advising(["sbrun clean".to_owned()]);
        return (!sending).then_some(cause);
    }
    let resume = inquiry.kubectl(&format!("patch job {} --type=merge -p '{{\"spec\":{{\"suspend\":false}}}}'", job.name));
    let summary = "the Job is suspended: somebody stopped it, or a queue has not released it yet";
    Some(Cause::new(Reason::SchedulingSuspended, summary).proven_by([proof]).advising(resume))
}
