//! A local run in the words of Kubernetes, so that one `diagnose` judges it.

use jiff::Timestamp;

use crate::{
    local::keeper::{Ended, How, Progress},
    model::{
        evidence::{AttemptRecord, ConditionRecord, ContainerState, Ending, JobCounts, JobRecord, Maker, Termination},
        launch_plan::LaunchPlan,
    },
};

/// What does not change while a run goes on.
#[derive(Debug)]
pub(super) struct Identity {
    /// As a Job would record it: without files, nonce and secret values.
    pub(super) plan: LaunchPlan,
    pub(super) created: Timestamp,
}

/// Returns the Job as its controller would have written it.
///
/// The attempt has no node: no news of a node can come, so nothing is to be waited for after a kill.
pub(super) fn job(identity: &Identity, progress: &Progress, ending: Option<&Ending>) -> JobRecord {
    let Identity { plan, created } = identity;
    let ended = progress.ended.as_ref();
    let succeeded = ended.is_some_and(|ended| phase(ended, progress) == "Succeeded");
    let count = |is: bool| i32::from(is);
    JobRecord {
        name: plan.name.to_string(),
        namespace: plan.namespace.clone(),
        uid: plan.run_id.to_string(),
        created: Some(*created),
        started: Some(*created),
        finished: ended.map(|ended| ended.at),
        conditions: ended.map(|ended| condition(plan, progress, ended, ending)).into_iter().collect(),
        counts: JobCounts {
            active: count(ended.is_none()),
            succeeded: count(succeeded),
            failed: count(ended.is_some() && !succeeded),
            terminating: 0,
        },
        footprint: plan.footprint,
        ending: ending.cloned(),
        complete: true,
        labels: plan.labels.clone(),
        run_id: Some(plan.run_id.to_string()),
        size: plan.size.as_ref().map(ToString::to_string),
        flow: Some(plan.flow.identity.clone()),
        user: Some(plan.user.name.clone()),
        user_label: Some(plan.user.label.clone()),
        maker: Maker::Sbrun,
        plan: Some(Box::new(plan.clone())),
        ..JobRecord::default()
    }
}

/// Returns the one pod as the kubelet would have reported it.
pub(super) fn attempt(identity: &Identity, progress: &Progress, ending: Option<&Ending>) -> AttemptRecord {
    let Identity { plan, created } = identity;
    let scheduled = ConditionRecord { kind: "PodScheduled".into(), status: "True".into(), since: Some(*created), ..ConditionRecord::default() };
    let (phase, container) = match &progress.ended {
        None => ("Running", ContainerState::Running { started: Some(*created) }),
        Some(ended) => (phase(ended, progress), ContainerState::Terminated(termination(identity, progress, ended))),
    };
    let overdue = progress.overdue.is_some();
    AttemptRecord {
        pod: plan.name.to_string(),
        uid: plan.run_id.to_string(),
        created: Some(*created),
        accepted: Some(*created),
        phase: phase.to_owned(),
        reason: overdue.then(|| "DeadlineExceeded".to_owned()),
        message: overdue.then(|| "Pod was active on the node longer than the specified deadline".to_owned()),
        scheduled: Some(scheduled),
        deleted: ending.map(|ending| ending.at),
        container,
        peak_memory: (progress.peak_memory > 0).then_some(progress.peak_memory),
        cpu_milliseconds: progress.cpu_time.and_then(|time| u64::try_from(time.as_millis()).ok()),
        out_of_memory_kills: progress.out_of_memory_kills + u64::from(progress.over_limit.is_some()),
        ..AttemptRecord::default()
    }
}

/// Returns the final phase. After its deadline a pod has failed, whatever its exit code.
fn phase(ended: &Ended, progress: &Progress) -> &'static str {
    match ended.how {
        How::Exited { code: 0, .. } if progress.overdue.is_none() => "Succeeded",
        _ => "Failed",
    }
}

fn termination(identity: &Identity, progress: &Progress, ended: &Ended) -> Termination {
    let limit = identity.plan.footprint.memory;
    let (exit_code, reason, message) = match &ended.how {
        How::NotStarted(failure) => (failure.exit_code, "StartError", failure.message.clone()),
        How::Exited { code, killed: true } => match progress.over_limit {
            Some(used) => {
                (*code, "OOMKilled", format!("used {used}, the limit is {limit}; enforced by looking at the processes, without a control group"))
            }
            None if progress.out_of_memory_kills > 0 => (*code, "OOMKilled", String::new()),
            None => (*code, "Error", String::new()),
        },
        How::Exited { code: 0, .. } => (0, "Completed", String::new()),
        How::Exited { code, .. } => (*code, "Error", String::new()),
    };
    Termination { exit_code, reason: reason.to_owned(), message, started: Some(identity.created), finished: Some(ended.at) }
}

/// Returns the Job's last condition. Reasons and messages are those of the Job controller.
fn condition(plan: &LaunchPlan, progress: &Progress, ended: &Ended, ending: Option<&Ending>) -> ConditionRecord {
    let code = match &ended.how {
        How::Exited { code, .. } => *code,
        How::NotStarted(failure) => failure.exit_code,
    };
    let (kind, reason, message) = if ending.is_some() {
        ("Failed", "DeadlineExceeded", "Job was active longer than specified deadline".to_owned())
    } else if phase(ended, progress) == "Succeeded" {
        ("Complete", "CompletionsReached", "Reached expected number of succeeded pods".to_owned())
    } else if code == 0 {
        ("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit".to_owned())
    } else {
        let pod = format!("{}/{}", plan.namespace, plan.name);
        ("Failed", "PodFailurePolicy", format!("Container flow for pod {pod} failed with exit code {code} matching FailJob rule at index 1"))
    };
    ConditionRecord { kind: kind.to_owned(), status: "True".to_owned(), reason: reason.to_owned(), message, since: Some(ended.at) }
}
