//! Flow runs of Prefect: its state is the verdict, whatever exit codes and Job conditions say.

use super::{
    builders::*,
    scenarios::flow_runs::{mk_complete, mk_waiting_for_worker, with_state},
};
use crate::model::{
    diagnose::{diagnose, too_many_attempts},
    node_group::Sighting,
    outcome::Outcome,
    prefect::flow_run::StateType,
    reason::Reason,
    story::{Phase, Story},
};

fn verdict(story: &Story) -> Option<(Outcome, Reason, u8)> {
    story.verdict.as_ref().map(|verdict| (verdict.outcome, verdict.cause.reason, verdict.exit_code))
}

#[test]
fn the_state_is_the_verdict_where_exit_codes_lie() {
    for (kind, name, expected) in [
        (StateType::Completed, "Completed", (Outcome::Succeeded, Reason::FlowSucceeded, 0)),
        (StateType::Failed, "Failed", (Outcome::Failed, Reason::FlowFailed, 1)),
        (StateType::Cancelled, "Cancelled", (Outcome::Cancelled, Reason::CancelledByUser, 143)),
    ] {
        let story = diagnose(&with_state(mk_complete(), kind, name, "said so", 100), at(102));
        assert_eq!(verdict(&story), Some(expected), "{name}");
        let evidence = &story.verdict.expect("a verdict").cause.evidence;
        assert!(evidence.iter().any(|proof| proof.source == "state of flow run calm-crab"), "{evidence:?}");
    }
}

#[test]
fn a_crash_is_held_and_then_judged_by_the_pod() {
    let killed = mk_evidence([mk_ended(137, "OOMKilled")]);
    let crashed = with_state(killed, StateType::Crashed, "Crashed", "no active pods", 100);
    assert_eq!(diagnose(&crashed, at(144)).held_until, Some(at(145)));
    assert_eq!(verdict(&diagnose(&crashed, at(145))), Some((Outcome::OutOfMemory, Reason::FlowOutOfMemory, 137)));
    let silent = with_state(mk_complete(), StateType::Crashed, "Crashed", "aborted", 100);
    let story = diagnose(&silent, at(145));
    assert_eq!(verdict(&story), Some((Outcome::Failed, Reason::FlowCrashed, 1)));
    assert_eq!(story.verdict.expect("a verdict").cause.summary, "the flow run crashed: aborted");
    let refused = with_state(mk_evidence([]), StateType::Crashed, "Crashed", "Failed to submit flow run to infrastructure: no", 100);
    assert_eq!(verdict(&diagnose(&refused, at(145))), Some((Outcome::Rejected, Reason::RejectedAdmission, 78)));
}

#[test]
fn a_supervisor_ends_well_although_its_flow_was_killed() {
    let oom = |kind, name| {
        let evidence = with_state(mk_complete(), kind, name, "Process exited with status code: -9", 100);
        let killed = evidence.with(|evidence| evidence.attempts = vec![mk_ended(0, "OOMKilled").with(|attempt| attempt.phase = "Succeeded".into())]);
        verdict(&diagnose(&killed, at(145)))
    };
    assert_eq!(oom(StateType::Crashed, "Crashed"), Some((Outcome::OutOfMemory, Reason::FlowOutOfMemory, 137)));
    assert_eq!(oom(StateType::Failed, "Failed"), Some((Outcome::OutOfMemory, Reason::FlowChildOutOfMemory, 137)));
    assert_eq!(oom(StateType::Completed, "Completed"), Some((Outcome::Succeeded, Reason::FlowSucceeded, 0)));
}

#[test]
fn a_process_that_died_unseen_is_not_waited_for() {
    let running = with_state(mk_complete(), StateType::Running, "Running", "", 50);
    let story = diagnose(&running, at(110));
    assert_eq!((verdict(&story), story.held_until), (None, Some(at(146))));
    assert_ne!(story.phase, Phase::Pending, "no next attempt is promised");
    assert_eq!(verdict(&diagnose(&running, at(146))), Some((Outcome::Failed, Reason::FlowCrashed, 1)));
}

#[test]
fn a_retry_is_awaited_unless_nobody_is_left_to_start_it() {
    let awaiting = with_state(mk_complete(), StateType::Scheduled, "AwaitingRetry", "", 102);
    let story = diagnose(&awaiting, at(400));
    assert_eq!((story.phase, story.cause.as_ref().map(|cause| cause.reason)), (Phase::Pending, Some(Reason::PrefectAwaitingRetry)));
    assert_eq!(too_many_attempts(&story, 2, at(400)), None);
    assert_eq!(too_many_attempts(&story, 1, at(400)).map(|ending| ending.outcome), Some(Outcome::Lost));
    let stranded = awaiting.with(|evidence| {
        let Sighting::Seen { value, .. } = &mut evidence.flow_run else { panic!("a flow run") };
        value.run.retry_type = Some("in_process".into());
    });
    assert_eq!(diagnose(&stranded, at(120)).held_until, Some(at(146)));
    assert_eq!(verdict(&diagnose(&stranded, at(146))), Some((Outcome::Lost, Reason::LostStranded, 75)));
}

#[test]
fn a_worker_that_is_away_is_named_with_its_last_heartbeat() {
    let summary = |is_online: Option<bool>| diagnose(&mk_waiting_for_worker("Late", false, is_online), at(10)).cause.expect("a cause").summary;
    assert_eq!(summary(Some(false)), format!("no worker of work pool `flows` is online; `w` was last heard of at {}", at(1)));
    assert_eq!(summary(None), "work pool `flows` has never had a worker");
    assert!(summary(Some(true)).contains("every 10 to 15 seconds"));
}

#[test]
fn without_an_api_a_process_that_ended_with_0_is_no_success() {
    let unseen = with_state(mk_complete(), StateType::Running, "", "", 0)
        .with(|evidence| evidence.flow_run = Sighting::Unseen("the flow run: no answer".into()));
    assert_eq!(diagnose(&unseen, at(150)).held_until, Some(at(160)));
    assert_eq!(verdict(&diagnose(&unseen, at(160))), Some((Outcome::Unknown, Reason::UnknownPrefect, 76)));
    let failed = mk_failed([mk_ended(3, "Error")], "BackoffLimitExceeded", "").with(|evidence| evidence.flow_run = Sighting::Unseen("x".into()));
    assert_eq!(verdict(&diagnose(&failed, at(200))).map(|(outcome, ..)| outcome), Some(Outcome::Failed));
}
