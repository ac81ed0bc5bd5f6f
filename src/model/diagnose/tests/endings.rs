//! Ends: what explains them, what is held, who did it, and what is left when the pod is gone.

use super::builders::*;
use crate::model::{
    diagnose::diagnose,
    evidence::{AttemptRecord, ContainerState, Evidence, JobCounts, Termination},
    outcome::Outcome,
    reason::Reason,
    story::{Cause, Phase, Proof, Story, Verdict},
};

fn verdict(evidence: &Evidence, now: i64) -> Verdict {
    diagnose(evidence, at(now)).verdict.expect("a verdict")
}

fn end(evidence: &Evidence, now: i64) -> (Outcome, Reason, u8) {
    let verdict = verdict(evidence, now);
    (verdict.outcome, verdict.cause.reason, verdict.exit_code)
}

fn is_open(story: &Story) -> bool {
    story.verdict.is_none() && story.held_until.is_none()
}

#[test]
fn a_kill_without_explanation_is_held_for_45_seconds() {
    for code in [137, 143] {
        let evidence = mk_evidence([mk_ended(code, "Error")]);
        let held = diagnose(&evidence, at(144));
        assert_eq!((held.verdict, held.held_until, held.phase), (None, Some(at(145)), Phase::Running));
        let over = diagnose(&evidence, at(145));
        assert_eq!((over.held_until, over.verdict.map(|verdict| verdict.cause.reason)), (None, Some(Reason::FlowKilled)));
    }
}

#[test]
fn attempts_whose_pods_are_gone_are_counted() {
    let mut evidence = mk_evidence([mk_ended(137, "Error")]);
    let job = evidence.job.as_mut().unwrap();
    job.counts = JobCounts { failed: 2, active: 1, ..Default::default() };
    let story = diagnose(&evidence, at(200));
    assert_eq!(story.attempts, 3);
    let numbers: Vec<u32> = story.phases.iter().map(|start| start.attempt).collect();
    assert_eq!((numbers.first(), numbers.last()), (Some(&1), Some(&3)), "{:?}", story.phases);
}

#[test]
fn a_kill_on_this_machine_is_not_held() {
    let local = mk_ended(137, "Error").with(|attempt| attempt.node = None);
    let verdict = verdict(&mk_evidence([local]), 100);
    assert_eq!((verdict.cause.reason, verdict.cause.next), (Reason::FlowKilled, Vec::new()));
}

#[test]
fn news_of_the_node_explains_a_kill_when_it_comes_in_time() {
    let evidence = mk_evidence([mk_ended(137, "Error")]);
    let gone = |seconds| evidence.clone().with(|evidence| evidence.attempts[0].node_gone = Some(at(seconds)));
    assert_eq!(end(&gone(130), 131), (Outcome::Lost, Reason::LostNodeGone, 75));
    // Seen later it says nothing: an empty node goes after ten minutes.
    assert_eq!(end(&gone(700), 701), (Outcome::Killed, Reason::FlowKilled, 137));

    let event = |reason: &str, seconds| {
        evidence.clone().with(|evidence| evidence.events = vec![mk_event(("Node", NODE), reason, "node event", "x", at(seconds))])
    };
    assert_eq!(end(&event("Shutdown", 90), 110).1, Reason::LostNodeShutdown);
    assert_eq!(end(&event("RemovingNode", 120), 121).1, Reason::LostNodeGone);
    assert_eq!(end(&event("CordonAndDrain", 20), 121).1, Reason::LostDrained);
    assert_eq!(end(&event("RemovingNode", 146), 150).1, Reason::FlowKilled);
    assert_eq!(end(&event("NodeHasSufficientMemory", 90), 150).1, Reason::FlowKilled);

    let silent = evidence.clone().with(|evidence| evidence.nodes = Some(vec![mk_unready(125)]));
    assert_eq!(end(&silent, 126).1, Reason::LostNodeGone);
}

#[test]
fn a_drained_flow_that_ends_with_another_code_is_lost_all_the_same() {
    let drained = mk_ended(1, "Error").with(|attempt| {
        attempt.disruption = Some(mk_condition("DisruptionTarget", "EvictionByEvictionAPI", "Eviction API: evicting", at(95)));
        attempt.deleted = Some(at(95));
    });
    let evidence = mk_evidence([drained]).with(|evidence| {
        evidence.events = vec![mk_pod_event("Evicted", "Evicted pod: Underutilized", "karpenter", 95)];
    });
    let verdict = verdict(&evidence, 101);
    assert_eq!((verdict.outcome, verdict.flow_exit_code), (Outcome::Lost, None));
    assert_eq!(verdict.cause.summary, "the pod was drained from node `node-1` (karpenter: Evicted pod: Underutilized)");
    assert_eq!(verdict.cause.next, ["sbrun rerun etl-1"]);
}

#[test]
fn a_flow_that_ends_well_while_it_is_drained_succeeded() {
    let drained = mk_ended(0, "Completed").with(|attempt| {
        attempt.disruption = Some(mk_condition("DisruptionTarget", "EvictionByEvictionAPI", "Eviction API: evicting", at(95)));
        attempt.deleted = Some(at(95));
    });
    assert_eq!(end(&mk_evidence([drained]), 101).0, Outcome::Succeeded);
}

#[test]
fn memory_says_limit_peak_and_code() {
    let killed = mk_evidence([mk_ended(137, "OOMKilled").with(|attempt| attempt.peak_memory = Some(4 << 30))]);
    let over = verdict(&killed, 101);
    assert_eq!((over.cause.summary.as_str(), over.peak_memory), ("the flow was killed at its memory limit of 4 GiB, peak 4 GiB", Some(4 << 30)));
    assert_eq!(over.cause.next, ["sbrun sizes", "sbrun rerun etl-1 --size LARGER"]);
    let child = mk_evidence([mk_ended(1, "OOMKilled")]);
    assert_eq!(verdict(&child, 101).cause.summary, "a process of the flow was killed at its memory limit of 4 GiB, and the flow ended with code 1");
    let fine = mk_evidence([mk_ended(0, "Completed").with(|attempt| attempt.out_of_memory_kills = 1)]);
    assert_eq!(verdict(&fine, 101).warnings, ["Flow.ChildOutOfMemory: a process of the flow was killed at its memory limit of 4 GiB"]);
    let sidecar = |code| {
        mk_evidence([mk_ended(code, "Error").with(|attempt| {
            let killed = Termination { exit_code: 137, reason: "OOMKilled".into(), ..Termination::default() };
            attempt.others = [("proxy".to_owned(), ContainerState::Terminated(killed))].into();
        })])
    };
    assert_eq!(end(&sidecar(137), 101).0, Outcome::OutOfMemory);
    assert_eq!(end(&sidecar(7), 101), (Outcome::Failed, Reason::FlowFailed, 7));
}

#[test]
fn a_failure_shows_the_last_lines_of_output() {
    let evidence = mk_evidence([mk_ended(7, "Error")]).with(|evidence| {
        evidence.log_tail = Some("1\n2\n3\nTraceback (most recent call last):\n  File \"etl.py\"\nValueError: no rows\n".into());
    });
    let cause = verdict(&evidence, 101).cause;
    assert_eq!(cause.evidence[0].text, "Error (exit code 7)");
    assert_eq!(cause.evidence[1].text, "2\n3\nTraceback (most recent call last):\n  File \"etl.py\"\nValueError: no rows");
    assert_eq!(cause.next, ["sbrun logs etl-1"]);
}

#[test]
fn a_footprint_in_the_termination_message_is_no_output() {
    let evidence = mk_evidence([mk_ended(7, "Error").with(|attempt| {
        let ContainerState::Terminated(termination) = &mut attempt.container else { return };
        termination.message = "{\"peak\": 1}".into();
    })]);
    assert_eq!(verdict(&evidence, 101).cause.evidence.len(), 1);
}

#[test]
fn a_start_error_shows_the_telling_part_of_the_runtimes_words() {
    let evidence = mk_evidence([mk_ended(128, "StartError").with(|attempt| {
        let ContainerState::Terminated(termination) = &mut attempt.container else { return };
        termination.message =
            "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to \
                               start container process: exec: \"python3\": executable file not found in $PATH: unknown"
                .into();
    })]);
    let summary = "the flow could not be started on node `node-1` (code 128): exec: \"python3\": executable file not found in $PATH: unknown";
    assert_eq!(verdict(&evidence, 101).cause.summary, summary);
}

#[test]
fn only_the_runtime_and_the_bootstrap_say_that_a_flow_was_never_started() {
    let ended = |code: i32, message: &str| {
        mk_evidence([mk_ended(code, "Error").with(|attempt| {
            let ContainerState::Terminated(termination) = &mut attempt.container else { return };
            termination.message = message.into();
        })])
    };
    let rejected = (Outcome::Rejected, Reason::FlowStartError, 78);
    assert_eq!(end(&ended(1, "exec /sbrun/flow/flow.sh: no such file or directory"), 200), rejected);
    assert_eq!(end(&ended(255, "exec /sbrun/flow/flow.sh: exec format error\n"), 200), rejected);
    assert_eq!(end(&ended(126, "sbrun: cannot start the flow: [Errno 28] No space left on device\n"), 200), rejected);
    assert_eq!(end(&ended(127, "sh: 1: exec: convert: not found\n"), 200), (Outcome::Failed, Reason::FlowFailed, 127));
    assert_eq!(end(&ended(1, "printed before\nexec /x: no such file\n"), 200), (Outcome::Failed, Reason::FlowFailed, 1));
    assert_eq!(end(&ended(127, ""), 200), (Outcome::Failed, Reason::FlowFailed, 127));
}

#[test]
fn a_deleted_pod_waits_for_the_jobs_word() {
    let stopped = |code| mk_ended(code, if code == 0 { "Completed" } else { "Error" }).with(|attempt| attempt.deleted = Some(at(90)));
    for code in [0, 1, 143] {
        assert!(is_open(&diagnose(&mk_evidence([stopped(code)]), at(500))), "{code}");
    }
    let complete = mk_evidence([stopped(0)]).with(|evidence| {
        evidence.job.as_mut().expect("a job").conditions = vec![mk_condition("SuccessCriteriaMet", "CompletionsReached", "", at(101))];
    });
    assert_eq!(end(&complete, 102).0, Outcome::Succeeded);
    let cancelled = mk_ended_by([stopped(0)], mk_ending(Outcome::Cancelled, "Cancelled.ByUser", None));
    assert_eq!(end(&cancelled, 102), (Outcome::Cancelled, Reason::CancelledByUser, 143));
    let timed_out = mk_failed([stopped(143)], "DeadlineExceeded", "Job was active longer than specified deadline");
    assert_eq!(end(&timed_out, 102), (Outcome::TimedOut, Reason::TimeoutRun, 124));
}

#[test]
fn a_flow_that_ended_before_its_pod_was_deleted_ended_by_itself() {
    let cleaned = |code| mk_evidence([mk_ended(code, "Error").with(|attempt| attempt.deleted = Some(at(101)))]);
    assert_eq!(end(&cleaned(0), 200).0, Outcome::Succeeded);
    assert_eq!(end(&cleaned(7), 200), (Outcome::Failed, Reason::FlowFailed, 7));
}

#[test]
fn a_cancel_says_who_and_why_and_waits_for_the_flows_end() {
    let ending = mk_ending(Outcome::Cancelled, "Cancelled.ByUser", Some("wrong day"));
    let stopping = mk_ended_by([mk_running().with(|attempt| attempt.deleted = Some(at(50)))], ending).with(|evidence| {
        let job = evidence.job.as_mut().expect("a job");
        job.conditions.retain(|condition| condition.kind == "FailureTarget");
        job.finished = None;
    });
    let story = diagnose(&stopping, at(102));
    assert_eq!((story.phase, story.verdict.clone()), (Phase::Running, None));
    assert_eq!(story.cause.map(|cause| cause.summary), Some("cancelled by ana: wrong day".into()));
    let over = stopping.with(|evidence| evidence.attempts[0].gone = Some(at(160)));
    let cause = verdict(&over, 161).cause;
    assert_eq!((cause.reason, cause.summary.as_str()), (Reason::CancelledByUser, "cancelled by ana: wrong day"));
    assert_eq!((cause.evidence[0].at, cause.next), (Some(at(50)), vec!["sbrun rerun etl-1".to_owned()]));
}

#[test]
fn a_suspended_job_that_was_cancelled_is_over_although_its_controller_says_nothing() {
    let evidence = mk_evidence([]).with(|evidence| {
        let job = evidence.job.as_mut().expect("a job");
        (job.suspended, job.started, job.ending) = (true, None, Some(mk_ending(Outcome::Cancelled, "Cancelled.ByUser", None)));
    });
    assert_eq!(end(&evidence, 102), (Outcome::Cancelled, Reason::CancelledByUser, 143));
}

#[test]
fn a_rejection_carries_its_cause_once() {
    let ending = mk_ending(Outcome::Rejected, "Image.NotFound", Some("the registry does not have image `x`"));
    let message = "Back-off pulling image \"x\": ErrImagePull: x: not found";
    let story = diagnose(&mk_ended_by([mk_waiting("ImagePullBackOff", message)], ending), at(200));
    let verdict = story.verdict.expect("a verdict");
    assert_eq!((verdict.outcome, verdict.cause.reason, verdict.exit_code), (Outcome::Rejected, Reason::ImageNotFound, 78));
    assert_eq!(verdict.cause.summary, "the registry does not have image `x`");
    assert!(verdict.cause.evidence.iter().any(|proof| proof.text.contains("ErrImagePull")), "{:?}", verdict.cause.evidence);
    assert_eq!(story.details, Vec::<Cause>::new());
}

#[test]
fn a_rejection_is_told_by_what_was_seen_when_it_was_decided() {
    let ending = mk_ending(Outcome::Rejected, "Image.Invalid", Some("the image's name is no name"));
    let decisive =
        Cause::new(Reason::ImageInvalid, "as before").proven_by([Proof::new("pod", "InvalidImageName", None)]).advising(["mend it".to_owned()]);
    // Told to go, the kubelet makes up an end of the container that never was one.
    let evidence = mk_ended_by(
        [mk_waiting("PodInitializing", "").with(|attempt| {
            (attempt.phase, attempt.deleted) = ("Failed".into(), Some(at(51)));
            let made_up = Termination { exit_code: 137, reason: "ContainerStatusUnknown".into(), ..Termination::default() };
            attempt.others = [("migration".to_owned(), ContainerState::Terminated(made_up))].into();
        })],
        ending,
    )
    .with(|evidence| evidence.decided_on = vec![Cause::new(Reason::ContainerCreating, "being created"), decisive]);
    let cause = diagnose(&evidence, at(200)).verdict.expect("a verdict").cause;
    assert_eq!((cause.reason, cause.next.as_slice()), (Reason::ImageInvalid, ["mend it".to_owned()].as_slice()));
    assert!(cause.evidence.iter().any(|proof| proof.text == "InvalidImageName"), "{cause:?}");
}

#[test]
fn no_machine_carries_what_it_waited_for() {
    let full = "0/1 nodes are available: 1 Insufficient cpu. preemption: none";
    let evidence = mk_failed([mk_unscheduled(full)], "DeadlineExceeded", "Job was active longer than specified deadline");
    let story = diagnose(&evidence, at(200));
    let cause = story.verdict.expect("a verdict").cause;
    assert_eq!(cause.summary, "no machine in time; Scheduling.Insufficient: the nodes are full: `Insufficient cpu`");
    assert_eq!(story.details[0].reason, Reason::SchedulingInsufficient);
}

#[test]
fn what_the_job_says_is_enough_when_the_pod_is_gone() {
    let said = |message: &str| mk_failed([], "PodFailurePolicy", message);
    let code = |code: i32| said(&format!("Container flow for pod flows/etl-1-x failed with exit code {code} matching FailJob rule at index 1"));
    assert_eq!(end(&code(7), 200), (Outcome::Failed, Reason::FlowFailed, 7));
    assert_eq!(end(&code(77), 200), (Outcome::Failed, Reason::FlowFailed, 1));
    assert_eq!(end(&code(137), 200), (Outcome::Killed, Reason::FlowKilled, 137));
    let disrupted = said("Pod flows/etl-1-abcde has condition DisruptionTarget matching FailJob rule at index 0");
    let told = disrupted.with(|evidence| {
        evidence.attempts = vec![mk_running().with(|attempt| attempt.gone = Some(at(100)))];
        evidence.events = vec![mk_pod_event("Preempted", "Preempted by pod 0f1e on node node-1", "default-scheduler", 99)];
    });
    assert_eq!(end(&told, 200), (Outcome::Lost, Reason::LostPreempted, 75));
    assert_eq!(verdict(&code(7), 200).finished, Some(at(101)));
}

#[test]
fn a_complete_job_without_a_pod_succeeded() {
    let evidence = mk_evidence([]).with(|evidence| {
        evidence.job.as_mut().expect("a job").conditions =
            vec![mk_condition("Complete", "CompletionsReached", "Reached expected number of succeeded pods", at(9))];
    });
    assert_eq!(end(&evidence, 200), (Outcome::Succeeded, Reason::FlowSucceeded, 0));
}

#[test]
fn a_deadline_with_an_unseen_pod_is_no_invitation_to_repeat() {
    let deadline = "Job was active longer than specified deadline";
    let unseen = mk_failed([], "DeadlineExceeded", deadline)
        .with(|evidence| evidence.job.as_mut().expect("a job").counts = JobCounts { failed: 1, ..JobCounts::default() });
    assert_eq!(end(&unseen, 200), (Outcome::TimedOut, Reason::TimeoutRun, 124));
    assert_eq!(end(&mk_failed([], "DeadlineExceeded", deadline), 200), (Outcome::NoNode, Reason::TimeoutPending, 75));
}

#[test]
fn the_pods_deadline_before_the_flow_ran_is_no_timeout_of_the_flow() {
    let stuck = mk_waiting("ImagePullBackOff", "Back-off").with(|attempt| {
        (attempt.phase, attempt.reason) = ("Failed".into(), Some("DeadlineExceeded".into()));
    });
    assert_eq!(end(&mk_evidence([stuck]), 200), (Outcome::NoNode, Reason::TimeoutPending, 75));
}

#[test]
fn the_dead_mans_switch_is_no_lease() {
    let evidence = mk_failed([mk_running().with(|attempt| attempt.gone = Some(at(101)))], "DeadlineExceeded", "Job was active longer");
    let leased = |seconds: i64| {
        evidence.clone().with(|evidence| {
            let job = evidence.job.as_mut().expect("a job");
            (job.leased, job.active_deadline_seconds) = (true, Some(seconds));
        })
    };
    assert_eq!(end(&leased(700), 200).1, Reason::CancelledLease);
    let switch = mk_job().active_deadline_seconds.expect("a deadline");
    assert_eq!(end(&leased(switch), 200).1, Reason::TimeoutRun);
}

#[test]
fn an_orphan_runs_on_when_its_job_is_gone() {
    let orphan = mk_evidence([mk_running()]).with(|evidence| evidence.job_gone = Some(at(60)));
    assert!(is_open(&diagnose(&orphan, at(70))));
    let ended = orphan.with(|evidence| evidence.attempts = vec![mk_ended(7, "Error")]);
    assert_eq!(end(&ended, 101).2, 7);
}

#[test]
fn a_job_that_was_active_a_moment_ago_was_deleted() {
    let gone = |seen: i64, pods: Vec<AttemptRecord>| {
        mk_evidence(pods).with(|evidence| (evidence.job_seen, evidence.job_gone) = (Some(at(seen)), Some(at(60))))
    };
    let vanished = || mk_unscheduled("no nodes available to schedule pods").with(|attempt| attempt.gone = Some(at(60)));
    assert_eq!(end(&gone(57, vec![vanished()]), 61), (Outcome::Cancelled, Reason::CancelledDeleted, 143));
    assert_eq!(end(&gone(1, vec![vanished()]), 61), (Outcome::Unknown, Reason::UnknownJobGone, 76));
    let marked = vanished().with(|attempt| attempt.deleted = Some(at(58)));
    assert_eq!(end(&gone(1, vec![marked]), 61).1, Reason::CancelledDeleted);
    assert_eq!(end(&Evidence { job_gone: Some(at(1)), ..Evidence::default() }, 61).1, Reason::UnknownJobGone);
}

#[test]
fn what_was_seen_of_the_flow_outlives_everything() {
    let evidence = mk_evidence([mk_ended(7, "Error").with(|attempt| attempt.gone = Some(at(300)))]).with(|evidence| {
        evidence.job_gone = Some(at(300));
        evidence.nodes = Some(Vec::new());
    });
    assert_eq!(end(&evidence, 400), (Outcome::Failed, Reason::FlowFailed, 7));
}

#[test]
fn a_kept_verdict_stands_but_for_unknown() {
    let kept = verdict(&mk_evidence([mk_ended(137, "OOMKilled")]), 200);
    let with_kept =
        |evidence: Evidence, kept: &Verdict| evidence.with(|evidence| evidence.job.as_mut().expect("a job").verdict = Some(Box::new(kept.clone())));
    let late = "Container flow for pod flows/etl-1-x failed with exit code 137 matching FailJob rule at index 1";
    assert_eq!(verdict(&with_kept(mk_failed([], "PodFailurePolicy", late), &kept), 9000), kept);

    let unknown = Verdict { outcome: Outcome::Unknown, exit_code: 76, cause: Cause::new(Reason::UnknownNodeUnreachable, "silent"), ..kept };
    assert_eq!(end(&with_kept(mk_evidence([mk_ended(0, "Completed")]), &unknown), 9000).0, Outcome::Succeeded);
    assert!(is_open(&diagnose(&with_kept(mk_evidence([mk_running()]), &unknown), at(9000))), "its node came back");
    let gone = mk_evidence([]).with(|evidence| evidence.job_gone = Some(at(9000)));
    assert_eq!(verdict(&with_kept(gone, &unknown), 9001), unknown);
}
