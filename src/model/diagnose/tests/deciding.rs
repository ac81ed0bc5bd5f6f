//! What a follower has to put an end to.

use super::{
    builders::*,
    scenarios::{groups::no_capacity, scenarios},
};
use crate::model::{
    diagnose::{decide, diagnose},
    evidence::{Evidence, Maker},
    identity::SizeName,
    launch_plan::{OnNoCapacity, TimeLimits},
    outcome::Outcome,
    story::Phase,
};

fn decision_with(evidence: &Evidence, limits: &TimeLimits, now: i64) -> Option<(Outcome, String, String)> {
    let now = at(now);
    let ending = decide(&diagnose(evidence, now), evidence, limits, now)?;
    assert_eq!((ending.by.as_str(), ending.at), ("sbrun", now));
    Some((ending.outcome, ending.reason, ending.message.expect("a message")))
}

fn decision(evidence: &Evidence, now: i64) -> Option<(Outcome, String)> {
    decision_with(evidence, &mk_plan().limits, now).map(|(outcome, reason, _)| (outcome, reason))
}

#[test]
fn what_waiting_cannot_mend_is_rejected_at_once_and_nothing_else_is() {
    for scenario in scenarios() {
        let story = diagnose(&scenario.evidence, at(30));
        let hopeless = story.verdict.is_none() && story.cause.as_ref().is_some_and(|cause| cause.hopeless);
        let expected = hopeless.then(|| (Outcome::Rejected, story.cause.expect("a cause").reason.code().to_owned()));
        assert_eq!(decision(&scenario.evidence, 30), expected, "{}", scenario.name);
    }
}

#[test]
fn a_wait_for_a_node_ends_with_what_it_waited_for() {
    let evidence = mk_evidence([mk_unscheduled("no nodes available to schedule pods")]).with(|evidence| evidence.nodes = Some(Vec::new()));
    assert_eq!(decision(&evidence, 1200), None);
    let (outcome, reason, message) = decision_with(&evidence, &mk_plan().limits, 1201).expect("a decision");
    assert_eq!((outcome, reason.as_str()), (Outcome::NoNode, "Timeout.Pending"));
    assert_eq!(message, "waited 20m; ScaleUp.Unexplained: node group `flows-xlarge` has no node, and no autoscaler has said anything about the pod");
}

#[test]
fn a_wait_for_quota_ends_like_one_for_a_node() {
    let message = "pods \"x\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3";
    let evidence = mk_evidence([]).with(|evidence| evidence.events = vec![mk_refusal(message)]);
    assert_eq!(decision(&evidence, 1199), None);
    assert_eq!(decision(&evidence, 1200), Some((Outcome::NoNode, "Timeout.Pending".into())));
}

#[test]
fn a_second_attempt_waits_as_long_as_the_first() {
    let lost = mk_ended(143, "Error").with(|attempt| attempt.disruption = Some(mk_condition("DisruptionTarget", "DeletionByPodGC", "", at(99))));
    let second = mk_unscheduled("no nodes available to schedule pods").with(|attempt| attempt.created = Some(at(1000)));
    let evidence = mk_evidence([lost, second]).with(|evidence| change_plan(evidence, |plan| plan.infrastructure_retries = 1));
    assert_eq!(decision(&evidence, 2100), None);
    assert_eq!(decision(&evidence, 2200), Some((Outcome::NoNode, "Timeout.Pending".into())));
}

#[test]
fn a_queue_has_its_own_limit() {
    // Nothing says "queued" yet but the story itself.
    let evidence = mk_evidence([mk_unscheduled("no nodes available to schedule pods")]);
    let queued = diagnose(&evidence, at(10)).with(|story| {
        story.phase = Phase::Queued;
        story.phases.last_mut().expect("a phase").phase = Phase::Queued;
    });
    let decided = |now: i64| decide(&queued, &evidence, &mk_plan().limits, at(now)).map(|ending| ending.reason);
    assert_eq!(decided(43_200), None);
    assert_eq!(decided(43_201), Some("Timeout.Queue".into()));
}

#[test]
fn an_image_that_may_come_has_three_minutes() {
    let message = "Back-off pulling image \"x\": ErrImagePull: dial tcp 10.0.0.9:443: i/o timeout";
    let evidence = mk_evidence([mk_waiting("ImagePullBackOff", message)]);
    assert_eq!(decision(&evidence, 187), None);
    assert_eq!(decision(&evidence, 188), Some((Outcome::Rejected, "Image.Unreachable".into())));
    // The states alternate; the first event says since when it fails.
    let alternating = evidence.with(|evidence| {
        evidence.attempts[0] = mk_waiting("ErrImagePull", message).with(|attempt| attempt.accepted = Some(at(6)));
        let crate::model::evidence::ContainerState::Waiting { since, .. } = &mut evidence.attempts[0].container else { return };
        *since = Some(at(170));
        evidence.events = vec![mk_pod_event("Failed", "Failed to pull image \"x\": dial tcp: i/o timeout", "kubelet", 9)];
    });
    assert_eq!(decision(&alternating, 188), None);
    assert_eq!(decision(&alternating, 189), Some((Outcome::Rejected, "Image.Unreachable".into())));
}

#[test]
fn a_missing_secret_may_still_come_until_the_pending_timeout() {
    let evidence = mk_evidence([mk_waiting("CreateContainerConfigError", "secret \"api\" not found")]);
    assert_eq!(decision(&evidence, 1200), None);
    assert_eq!(decision(&evidence, 1201), Some((Outcome::Rejected, "Config.SecretMissing".into())));
    let account = "pods \"x\" is forbidden: error looking up service account flows/flows: serviceaccount \"flows\" not found";
    let evidence = mk_evidence([]).with(|evidence| evidence.events = vec![mk_refusal(account)]);
    assert_eq!(decision(&evidence, 1200), Some((Outcome::Rejected, "Config.ServiceAccountMissing".into())));
}

#[test]
fn the_wait_of_an_earlier_attempt_does_not_count() {
    let lost = mk_ended(143, "Error").with(|attempt| attempt.disruption = Some(mk_condition("DisruptionTarget", "DeletionByPodGC", "", at(1999))));
    let second = mk_waiting("CreateContainerConfigError", "secret \"api\" not found").with(|attempt| {
        attempt.created = Some(at(2000));
        attempt.scheduled = Some(mk_condition("PodScheduled", "", "", at(2000)));
    });
    let evidence = mk_evidence([lost, second]).with(|evidence| change_plan(evidence, |plan| plan.infrastructure_retries = 1));
    assert_eq!(decision(&evidence, 3199), None);
    assert_eq!(decision(&evidence, 3200), Some((Outcome::Rejected, "Config.SecretMissing".into())));
}

#[test]
fn a_slow_start_on_a_node_is_not_timed() {
    let evidence = mk_evidence([mk_waiting("ContainerCreating", "")]);
    assert_eq!(decision(&evidence, 20_000), None);
}

#[test]
fn silence_counts_from_the_last_output_or_the_start() {
    let limits = TimeLimits { stall_timeout: Some(std::time::Duration::from_secs(300)), ..mk_plan().limits };
    let silent = mk_evidence([mk_running()]);
    assert_eq!(decision_with(&silent, &limits, 309), None);
    assert_eq!(decision_with(&silent, &limits, 310).map(|(outcome, reason, _)| (outcome, reason)), Some((Outcome::TimedOut, "Timeout.Stall".into())));
    let heard = silent.clone().with(|evidence| evidence.last_output = Some(at(100)));
    assert_eq!(decision_with(&heard, &limits, 399), None);
    assert_eq!(decision_with(&heard, &limits, 400), Some((Outcome::TimedOut, "Timeout.Stall".into(), "last output at 2026-11-24T10:01:40Z".into())));
    let earlier = silent.clone().with(|evidence| evidence.last_output = Some(at(2)));
    assert_eq!(decision_with(&earlier, &limits, 309), None, "an earlier attempt's output");
    let stopping = silent.with(|evidence| evidence.attempts[0].deleted = Some(at(300)));
    assert_eq!(decision_with(&stopping, &limits, 900), None);
    assert_eq!(decision(&heard, 900), None, "no limit was asked for");
}

#[test]
fn nothing_is_decided_twice_or_for_others() {
    let hopeless = mk_evidence([mk_waiting("ErrImageNeverPull", "Container image \"x\" is not present with pull policy of Never")]);
    let expected = Some((Outcome::Rejected, "Image.NotFound".to_owned()));
    assert_eq!(decision(&hopeless, 30), expected);
    let changed = |change: fn(&mut Evidence)| decision(&hopeless.clone().with(change), 5000);
    assert_eq!(changed(|evidence| evidence.job.as_mut().expect("a job").maker = Maker::PrefectWorker), None);
    assert_eq!(
        changed(|evidence| evidence.job.as_mut().expect("a job").ending = Some(mk_ending(Outcome::Cancelled, "Cancelled.ByUser", None))),
        None
    );
    assert_eq!(changed(|evidence| evidence.job.as_mut().expect("a job").suspended = true), None);
    assert_eq!(changed(|evidence| evidence.job_gone = Some(at(9))), None);
    assert_eq!(changed(|evidence| evidence.job.as_mut().expect("a job").deleted = Some(at(9))), None);
    assert_eq!(changed(|evidence| evidence.job = None), None);
}

#[test]
fn no_capacity_is_acted_on_once_the_group_has_tried_its_zones() {
    let decided = |choice: OnNoCapacity, fallback: Option<&str>, now: i64| {
        let evidence = no_capacity().with(|evidence| {
            change_plan(evidence, |plan| {
                plan.on_no_capacity = choice;
                plan.fallback = fallback.map(|size| SizeName(size.into()));
            });
        });
        decision_with(&evidence, &mk_plan().limits, now)
    };
    // The launch failed at second 10.
    assert_eq!(decided(OnNoCapacity::Wait, None, 600), None);
    assert_eq!(decided(OnNoCapacity::Fail, None, 24), None);
    let (outcome, reason, message) = decided(OnNoCapacity::Fail, None, 25).expect("a decision");
    assert_eq!((outcome, reason.as_str()), (Outcome::NoNode, "Capacity.Spot"));
    assert_eq!(message, "the cloud has no spot machine for node group `flows-xlarge`");
    assert_eq!(decided(OnNoCapacity::Fallback, None, 600), None, "there is nothing to fall back on");
    assert!(decided(OnNoCapacity::Fallback, Some("xlarge-od"), 25).is_some());
}

#[test]
fn what_else_could_take_the_job_is_the_first_advice() {
    let evidence = no_capacity().with(|evidence| change_plan(evidence, |plan| plan.fallback = Some(SizeName("xlarge-od".into()))));
    let cause = diagnose(&evidence, at(60)).cause.expect("a cause");
    assert_eq!(
        cause.next[..2],
        ["sbrun rerun etl-1 --size xlarge-od   (the size's fallback)", "sbrun sizes   (what else there is, and what is warm)"]
    );
}
