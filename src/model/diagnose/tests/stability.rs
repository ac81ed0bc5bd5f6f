//! A verdict that was given once is given again, whatever is observed after it.

use super::{builders::*, scenarios::scenarios};
use crate::model::{
    diagnose::diagnose,
    evidence::{AttemptRecord, ContainerState, Evidence, NodeRecord},
    outcome::Outcome,
    reason::Reason,
    story::Verdict,
};

/// What may not change: the rest of a verdict are words and times.
type Core = (Outcome, Reason, u8, Option<i32>);

/// What is observed next.
type Change = Box<dyn Fn(&mut Evidence)>;

fn core(verdict: &Verdict) -> Core {
    (verdict.outcome, verdict.cause.reason, verdict.exit_code, verdict.flow_exit_code)
}

/// Observes one life step by step: at every step the verdict so far must stay. Returns the last one, and at which step it came.
fn observe(steps: &[(i64, Evidence)]) -> Option<(usize, Core)> {
    let mut first = None;
    for (step, (now, evidence)) in steps.iter().enumerate() {
        let found = diagnose(evidence, at(*now)).verdict.as_ref().map(core);
        match (&first, found) {
            (Some((_, first)), found) => assert_eq!(Some(*first), found, "at step {step}"),
            (None, Some(found)) => first = Some((step, found)),
            (None, None) => {}
        }
    }
    first
}

/// Returns one life: each change adds to what was observed before it.
fn life(changes: Vec<(i64, Change)>) -> Vec<(i64, Evidence)> {
    let mut evidence = mk_evidence([]);
    let step = |(now, change): (i64, Change)| {
        change(&mut evidence);
        (now, evidence.clone())
    };
    changes.into_iter().map(step).collect()
}

fn becomes(attempt: AttemptRecord) -> Change {
    Box::new(move |evidence| {
        let deleted = evidence.attempts.last().and_then(|last| last.deleted);
        let disruption = evidence.attempts.last().and_then(|last| last.disruption.clone());
        evidence.attempts = vec![attempt.clone().with(|attempt| {
            attempt.deleted = attempt.deleted.or(deleted);
            attempt.disruption = attempt.disruption.take().or(disruption);
        })];
    })
}

fn job_says(kind: &'static str, reason: &'static str, message: &'static str, seconds: i64) -> Change {
    Box::new(move |evidence| {
        let job = evidence.job.as_mut().expect("a job");
        job.conditions.push(mk_condition(kind, reason, message, at(seconds)));
        if matches!(kind, "Failed" | "Complete") {
            job.finished = Some(at(seconds));
        }
    })
}

fn pod_goes(seconds: i64) -> Change {
    Box::new(move |evidence| evidence.attempts[0].gone = Some(at(seconds)))
}

fn node_goes(seconds: i64) -> Change {
    Box::new(move |evidence| {
        evidence.nodes = Some(Vec::new());
        evidence.attempts[0].node_gone = Some(at(seconds));
    })
}

fn job_goes(seconds: i64) -> Change {
    Box::new(move |evidence| evidence.job_gone = Some(at(seconds)))
}

const EXIT_143: &str = "Container flow for pod flows/etl-1-abcde failed with exit code 143 matching FailJob rule at index 1";
const DISRUPTED: &str = "Pod flows/etl-1-abcde has condition DisruptionTarget matching FailJob rule at index 0";
const DEADLINE: &str = "Job was active longer than specified deadline";

#[test]
fn a_success_stays_one() {
    let steps = life(vec![
        (1, becomes(mk_attempt())),
        (3, becomes(mk_unscheduled("no nodes available to schedule pods"))),
        (8, becomes(mk_waiting("ContainerCreating", ""))),
        (20, becomes(mk_running())),
        (101, becomes(mk_ended(0, "Completed"))),
        (102, job_says("SuccessCriteriaMet", "CompletionsReached", "", 102)),
        (103, job_says("Complete", "CompletionsReached", "", 103)),
        (700, node_goes(700)),
        (760, pod_goes(760)),
        (700_000, job_goes(700_000)),
    ]);
    assert_eq!(observe(&steps), Some((4, (Outcome::Succeeded, Reason::FlowSucceeded, 0, Some(0)))));
}

#[test]
fn a_failure_stays_one() {
    let code_7 = "Container flow for pod flows/etl-1-abcde failed with exit code 7 matching FailJob rule at index 1";
    let steps = life(vec![
        (20, becomes(mk_running())),
        (101, becomes(mk_ended(7, "Error"))),
        (102, job_says("FailureTarget", "PodFailurePolicy", code_7, 102)),
        (103, job_says("Failed", "PodFailurePolicy", code_7, 103)),
        (104, pod_goes(104)),
        (700, node_goes(700)),
        (800, job_goes(800)),
    ]);
    assert_eq!(observe(&steps), Some((1, (Outcome::Failed, Reason::FlowFailed, 7, Some(7)))));
}

#[test]
fn a_drain_is_not_judged_before_the_flow_has_ended() {
    let draining = mk_running().with(|attempt| {
        attempt.disruption = Some(mk_condition("DisruptionTarget", "EvictionByEvictionAPI", "Eviction API: evicting", at(90)));
        attempt.deleted = Some(at(90));
    });
    let steps = life(vec![
        (20, becomes(mk_running())),
        (91, becomes(draining)),
        (101, becomes(mk_ended(143, "Error"))),
        (102, job_says("FailureTarget", "PodFailurePolicy", DISRUPTED, 102)),
        (103, pod_goes(103)),
        (104, job_says("Failed", "PodFailurePolicy", DISRUPTED, 104)),
        (200, node_goes(200)),
    ]);
    assert_eq!(observe(&steps), Some((2, (Outcome::Lost, Reason::LostDrained, 75, None))));
}

#[test]
fn a_spot_reclaim_without_a_word_is_a_lost_node() {
    let collected = mk_running().with(|attempt| {
        attempt.phase = "Failed".into();
        attempt.disruption = Some(mk_condition("DisruptionTarget", "DeletionByPodGC", "PodGC: node no longer exists", at(150)));
    });
    let steps = life(vec![
        (20, becomes(mk_running())),
        (100, Box::new(|evidence| evidence.nodes = Some(vec![mk_unready(80)]))),
        (110, node_goes(110)),
        (151, becomes(collected)),
        (152, pod_goes(152)),
        (153, job_says("Failed", "PodFailurePolicy", DISRUPTED, 153)),
    ]);
    assert_eq!(observe(&steps), Some((3, (Outcome::Lost, Reason::LostNodeGone, 75, None))));
}

#[test]
fn a_kill_is_judged_once_the_wait_for_news_is_over() {
    let steps = life(vec![
        (101, becomes(mk_ended(137, "Error"))),
        (102, job_says("Failed", "PodFailurePolicy", EXIT_143, 102)),
        (146, pod_goes(146)),
        (700, node_goes(700)),
    ]);
    assert_eq!(observe(&steps), Some((2, (Outcome::Killed, Reason::FlowKilled, 137, Some(137)))));
    let explained = life(vec![
        (101, becomes(mk_ended(137, "Error"))),
        (120, node_goes(120)),
        (160, pod_goes(160)),
        (900, job_says("Failed", "PodFailurePolicy", EXIT_143, 102)),
    ]);
    assert_eq!(observe(&explained), Some((1, (Outcome::Lost, Reason::LostNodeGone, 75, None))));
}

#[test]
fn a_cancel_is_judged_by_the_jobs_word() {
    let ended_by = |evidence: &mut Evidence| {
        evidence.job.as_mut().expect("a job").ending = Some(mk_ending(Outcome::Cancelled, "Cancelled.ByUser", None));
    };
    let steps = life(vec![
        (20, becomes(mk_running())),
        (50, Box::new(ended_by)),
        (51, becomes(mk_running().with(|attempt| attempt.deleted = Some(at(51))))),
        (52, job_says("FailureTarget", "DeadlineExceeded", DEADLINE, 51)),
        (101, becomes(mk_ended(143, "Error"))),
        (102, job_says("Failed", "DeadlineExceeded", DEADLINE, 102)),
        (103, pod_goes(103)),
        (104, job_goes(104)),
    ]);
    assert_eq!(observe(&steps), Some((4, (Outcome::Cancelled, Reason::CancelledByUser, 143, None))));
}

#[test]
fn a_cancel_that_came_too_late_changes_nothing() {
    let ended_by = |evidence: &mut Evidence| {
        evidence.job.as_mut().expect("a job").ending =
            Some(mk_ending(Outcome::Cancelled, "Cancelled.ByUser", None).with(|ending| ending.at = at(102)));
    };
    let steps =
        life(vec![(101, becomes(mk_ended(7, "Error"))), (103, Box::new(ended_by)), (104, job_says("Failed", "DeadlineExceeded", DEADLINE, 104))]);
    assert_eq!(observe(&steps), Some((0, (Outcome::Failed, Reason::FlowFailed, 7, Some(7)))));
}

#[test]
fn a_deleted_job_was_cancelled_whatever_its_flow_then_returned() {
    let steps = life(vec![
        (20, becomes(mk_running())),
        (91, becomes(mk_running().with(|attempt| attempt.deleted = Some(at(90))))),
        (92, job_goes(92)),
        (101, becomes(mk_ended(0, "Completed"))),
        (102, pod_goes(102)),
    ]);
    assert_eq!(observe(&steps), Some((3, (Outcome::Cancelled, Reason::CancelledDeleted, 143, None))));
}

#[test]
fn a_lost_attempt_that_is_repeated_is_no_verdict() {
    let lost = |pod: &str| {
        mk_ended(143, "Error").with(|attempt| {
            attempt.pod = pod.into();
            attempt.disruption = Some(mk_condition("DisruptionTarget", "EvictionByEvictionAPI", "Eviction API: evicting", at(90)));
        })
    };
    let (first, second) = (lost("etl-1-a"), lost("etl-1-b"));
    let steps = life(vec![
        (1, Box::new(|evidence: &mut Evidence| change_plan(evidence, |plan| plan.infrastructure_retries = 1))),
        (101, becomes(first)),
        (112, Box::new(|evidence| evidence.attempts.push(mk_attempt()))),
        (120, Box::new(|evidence| evidence.attempts[1] = mk_running())),
        (201, Box::new(move |evidence| evidence.attempts[1] = second.clone())),
        (202, job_says("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit", 202)),
    ]);
    assert_eq!(observe(&steps), Some((4, (Outcome::Lost, Reason::LostDrained, 75, None))));
}

#[test]
fn silence_is_taken_back_when_the_node_speaks_again() {
    let unready = mk_evidence([mk_running()]).with(|evidence| evidence.nodes = Some(vec![mk_unready(30)]));
    assert_eq!(diagnose(&unready, at(400)).verdict.map(|verdict| verdict.exit_code), Some(76));
    let ready = unready.clone().with(|evidence| evidence.nodes = Some(vec![mk_node(NODE)]));
    assert_eq!(diagnose(&ready, at(460)).verdict, None);
    let ended = ready.with(|evidence| evidence.attempts = vec![mk_ended(0, "Completed")]);
    assert_eq!(diagnose(&ended, at(500)).verdict.map(|verdict| verdict.exit_code), Some(0));
}

/// What comes after every end: nodes go, pods are collected, the Job controller writes its conditions, the TTL removes the Job.
fn aftermaths(evidence: &Evidence) -> Vec<(&'static str, Evidence)> {
    let after = |change: fn(&mut Evidence)| evidence.clone().with(change);
    vec![
        ("time passes", after(|_| ())),
        ("the pods go", after(|evidence| evidence.attempts.iter_mut().for_each(|attempt| attempt.gone = Some(at(8000))))),
        (
            "the nodes go",
            after(|evidence| {
                evidence.nodes = Some(Vec::<NodeRecord>::new());
                evidence.attempts.iter_mut().for_each(|attempt| attempt.node_gone = attempt.node_gone.or(Some(at(8000))));
            }),
        ),
        ("the Job goes", after(|evidence| evidence.job_gone = evidence.job_gone.or(Some(at(8000))))),
        (
            "everything is deleted",
            after(|evidence| {
                evidence.job_gone = evidence.job_gone.or(Some(at(8000)));
                for attempt in &mut evidence.attempts {
                    (attempt.deleted, attempt.gone) = (attempt.deleted.or(Some(at(8000))), Some(at(8001)));
                }
            }),
        ),
        (
            "somebody cancels what is over",
            after(|evidence| {
                let ending = mk_ending(Outcome::Cancelled, "Cancelled.ByUser", None).with(|ending| ending.at = at(8000));
                let job = evidence.job.as_mut().expect("a job");
                // Nobody can write on a Job that is gone.
                job.ending = job.ending.take().or(Some(ending)).filter(|_| evidence.job_gone.is_none());
            }),
        ),
    ]
}

#[test]
fn no_aftermath_changes_a_verdict() {
    for scenario in scenarios() {
        let Some(verdict) = diagnose(&scenario.evidence, at(scenario.now)).verdict.filter(|verdict| verdict.outcome != Outcome::Unknown) else {
            continue;
        };
        for (name, evidence) in aftermaths(&scenario.evidence) {
            let later = diagnose(&evidence, at(9000)).verdict;
            assert_eq!(later.as_ref().map(core), Some(core(&verdict)), "{}, then {name}", scenario.name);
        }
    }
}

#[test]
fn a_container_that_was_seen_to_end_outweighs_a_later_state() {
    // Evidence keeps the strongest state; should an older one come late, the Job's word still holds.
    let evidence = mk_failed([mk_running()], "PodFailurePolicy", EXIT_143).with(|evidence| evidence.attempts[0].gone = Some(at(104)));
    assert!(matches!(evidence.attempts[0].container, ContainerState::Running { .. }));
    assert_eq!(diagnose(&evidence, at(200)).verdict.map(|verdict| verdict.exit_code), Some(143));
}
