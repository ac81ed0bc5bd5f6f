//! Phases and their times.

use super::builders::*;
use crate::model::{
    diagnose::{attempt_causes, diagnose, is_finished, state_word},
    evidence::{Evidence, JobRecord},
    node_group::{NodePool, Scaling, Sighting},
    outcome::Outcome,
    reason::Reason,
    story::{Phase, Story},
};

fn phases(story: &Story) -> Vec<(Phase, i64, u32)> {
    story.phases.iter().map(|start| (start.phase, start.since.duration_since(at(0)).as_secs(), start.attempt)).collect()
}

#[test]
fn a_whole_life_has_all_its_phases() {
    let evidence = mk_evidence([mk_ended(0, "Completed")]).with(|evidence| {
        evidence.events = vec![mk_pod_event("TriggeredScaleUp", "pod triggered scale-up: [{a 0->1 (max: 1)}]", "cluster-autoscaler", 3)];
    });
    let story = diagnose(&evidence, at(200));
    assert_eq!(
        phases(&story),
        [
            (Phase::Submitted, 0, 1),
            (Phase::Pending, 1, 1),
            (Phase::ScalingUp, 3, 1),
            (Phase::Starting, 5, 1),
            (Phase::Running, 10, 1),
            (Phase::Finished, 100, 1),
        ]
    );
    let verdict = story.verdict.expect("a verdict");
    assert_eq!((verdict.waited_seconds, verdict.run_seconds, verdict.attempts), (Some(10), Some(90), 1));
}

#[test]
fn limits_of_another_pool_make_no_queue() {
    let queued = |pool: &str| {
        let words = format!(
            "Failed to schedule pod, all available instance types exceed limits for nodepool (NodePool={pool}); did not tolerate taint (taint=a:NoSchedule)"
        );
        let evidence = mk_evidence([mk_ended(0, "Completed")]).with(|evidence| {
            change_plan(evidence, |plan| (plan.placement.node_groups, plan.placement.node_pool) = (Vec::new(), Some("flows".into())));
            let pools = Sighting::Seen { value: vec![NodePool { name: "flows".into(), ..NodePool::default() }], at: at(199) };
            evidence.scaling = Scaling { pools, ..Scaling::default() };
            evidence.events = vec![mk_pod_event("FailedScheduling", &words, "karpenter", 3)];
        });
        diagnose(&evidence, at(200)).phases.iter().any(|start| start.phase == Phase::Queued)
    };
    assert!(queued("flows"));
    assert!(!queued("other"));
}

#[test]
fn a_warm_node_skips_pending_and_a_local_run_skips_starting() {
    let warm = mk_running().with(|attempt| attempt.scheduled = Some(mk_condition("PodScheduled", "", "", at(1))));
    let story = diagnose(&mk_evidence([warm.clone()]), at(200));
    assert_eq!(phases(&story), [(Phase::Submitted, 0, 1), (Phase::Starting, 1, 1), (Phase::Running, 10, 1)]);
    let local = warm.with(|attempt| attempt.node = None);
    assert_eq!(phases(&diagnose(&mk_evidence([local]), at(200))), [(Phase::Submitted, 0, 1), (Phase::Running, 10, 1)]);
}

#[test]
fn times_of_several_clocks_never_go_back() {
    let skewed = mk_running().with(|attempt| attempt.container = crate::model::evidence::ContainerState::Running { started: Some(at(3)) });
    let story = diagnose(&mk_evidence([skewed]), at(200));
    assert_eq!(phases(&story).last(), Some(&(Phase::Running, 5, 1)));
}

fn retried(change: impl FnOnce(&mut Evidence)) -> Evidence {
    let lost = mk_ended(143, "Error").with(|attempt| {
        attempt.disruption = Some(mk_condition("DisruptionTarget", "EvictionByEvictionAPI", "Eviction API: evicting", at(95)));
    });
    mk_evidence([lost]).with(|evidence| change_plan(evidence, |plan| plan.infrastructure_retries = 1)).with(change)
}

#[test]
fn a_lost_attempt_is_followed_by_a_pending_one() {
    let story = diagnose(&retried(|_| ()), at(105));
    assert_eq!((story.phase, story.attempts, story.verdict.clone()), (Phase::Pending, 1, None));
    assert_eq!(phases(&story).last(), Some(&(Phase::Pending, 100, 2)));
    let cause = story.cause.expect("a cause");
    assert_eq!(cause.summary, "attempt 1 ended, the next one follows: the pod was drained from node `node-1`");

    let evidence = retried(|evidence| evidence.attempts.push(mk_attempt().with(|attempt| attempt.created = Some(at(112)))));
    let story = diagnose(&evidence, at(115));
    assert_eq!((story.attempts, phases(&story).last().copied()), (2, Some((Phase::Pending, 112, 2))));
    let causes = attempt_causes(&evidence, at(115));
    assert_eq!(causes.iter().map(|(number, cause)| (*number, cause.reason)).collect::<Vec<_>>(), [(1, Reason::LostDrained)]);
}

#[test]
fn the_last_loss_ends_the_job() {
    let evidence = retried(|evidence| {
        let second = evidence.attempts[0].clone().with(|attempt| attempt.pod = "etl-1-fghij".into());
        evidence.attempts.push(second);
    });
    let verdict = diagnose(&evidence, at(200)).verdict.expect("a verdict");
    assert_eq!((verdict.outcome, verdict.attempts), (Outcome::Lost, 2));
}

#[test]
fn the_flows_own_failure_is_not_repeated() {
    let evidence = retried(|evidence| evidence.attempts = vec![mk_ended(7, "Error")]);
    assert_eq!(diagnose(&evidence, at(200)).verdict.expect("a verdict").exit_code, 7);
}

#[test]
fn a_job_of_somebody_else_is_over_when_its_controller_says_so() {
    let foreign = |evidence: Evidence| evidence.with(|evidence| evidence.job.as_mut().expect("a job").plan = None);
    let open = diagnose(&foreign(mk_evidence([mk_ended(7, "Error")])), at(200));
    assert_eq!(open.verdict, None);
    let over = diagnose(&foreign(mk_failed([mk_ended(7, "Error")], "BackoffLimitExceeded", "Job has reached the specified backoff limit")), at(200));
    assert_eq!(over.verdict.expect("a verdict").exit_code, 7);
    let success = diagnose(&foreign(mk_evidence([mk_ended(0, "Completed")])), at(200));
    assert_eq!(success.verdict.expect("a verdict").outcome, Outcome::Succeeded);
}

#[test]
fn a_job_alone_says_whether_it_is_finished() {
    let with_condition = |kind: &str| mk_job().with(|job| job.conditions = vec![mk_condition(kind, "", "", at(9))]);
    let table: [(&str, JobRecord, bool); 6] = [
        ("active", mk_job(), false),
        ("complete", with_condition("Complete"), true),
        ("failed", with_condition("Failed"), true),
        ("on its way", with_condition("FailureTarget"), false),
        ("suspended", with_condition("Suspended").with(|job| job.suspended = true), false),
        (
            "cancelled while suspended",
            mk_job().with(|job| (job.suspended, job.ending) = (true, Some(mk_ending(Outcome::Cancelled, "Cancelled.ByUser", None)))),
            true,
        ),
    ];
    for (name, job, finished) in table {
        assert_eq!(is_finished(&job), finished, "{name}");
    }
}

#[test]
fn a_list_needs_one_word() {
    let word = |evidence: Evidence| state_word(&diagnose(&evidence, at(200)));
    assert_eq!(word(mk_evidence([mk_running()])), "running");
    assert_eq!(word(mk_evidence([mk_unscheduled("no nodes available to schedule pods")])), "pending");
    assert_eq!(word(mk_evidence([mk_ended(137, "OOMKilled")])), "out_of_memory");
}
