//! Whatever the evidence, there is a story, and its parts agree.

use jiff::Timestamp;
use proptest::{collection::vec, option, prelude::*, sample::select};

use super::builders::*;
use crate::model::{
    diagnose::{attempt_causes, decide, diagnose, is_finished, state_word},
    evidence::{AttemptRecord, ConditionRecord, ContainerState, EventRecord, Evidence, JobRecord, Maker, NodeRecord, Termination},
    outcome::Outcome,
    story::Phase,
};

const WORDS: &[&str] = &[
    "",
    "Failed",
    "Succeeded",
    "Pending",
    "Running",
    "Evicted",
    "DeadlineExceeded",
    "Unschedulable",
    "SchedulingGated",
    "PodFailurePolicy",
    "BackoffLimitExceeded",
    "EvictionByEvictionAPI",
    "DeletionByPodGC",
    "TerminationByKubelet",
    "OutOfcpu",
    "OOMKilled",
    "Error",
    "StartError",
    "ContainerStatusUnknown",
    "ImagePullBackOff",
    "CreateContainerConfigError",
    "FailedCreate",
    "FailedMount",
    "TriggeredScaleUp",
    "RemovingNode",
    "Preempted",
    "Pulling",
];
const MESSAGES: &[&str] = &[
    "",
    ": ",
    "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable. preemption: 0/3 nodes are available.",
    "0/3 nodes are available: ",
    "persistentvolumeclaim \"",
    "Error creating: pods \"x\" is forbidden: exceeded quota: q, requested: a=,=b, used: , limited: ",
    "exceeded quota: ",
    "Container flow for pod flows/x failed with exit code 99999999999999999999 matching FailJob rule at index 1",
    "Container flow for pod flows/x failed with exit code 7 matching FailJob rule at index 1",
    "Pod flows/x has condition DisruptionTarget matching FailJob rule at index 0",
    "couldn't find key  in Secret ",
    "secret \"\" not found",
    "references non-existent secret key: ",
    "image \"ünïcode",
    "Back-off pulling image \"x\": ErrImagePull: x: not found",
    "dial tcp",
];

fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![8 => (-1000i64..10_000).prop_map(at), 1 => Just(Timestamp::MIN), 1 => Just(Timestamp::MAX)]
}

fn word() -> impl Strategy<Value = String> {
    select(WORDS).prop_map(ToOwned::to_owned)
}

fn message() -> impl Strategy<Value = String> {
    prop_oneof![4 => select(MESSAGES).prop_map(ToOwned::to_owned), 1 => ".{0,40}"]
}

fn condition(kinds: &'static [&'static str]) -> impl Strategy<Value = ConditionRecord> {
    (select(kinds), select(vec!["", "True", "False", "Unknown"]), word(), message(), option::of(time()))
        .prop_map(|(kind, status, reason, message, since)| ConditionRecord { kind: kind.into(), status: status.into(), reason, message, since })
}

fn container() -> impl Strategy<Value = ContainerState> {
    let ended =
        (select(vec![0, 1, 7, 75, 126, 127, 137, 139, 143, 255, -1, i32::MAX, i32::MIN]), word(), message(), option::of(time()), option::of(time()))
            .prop_map(|(exit_code, reason, message, started, finished)| {
                ContainerState::Terminated(Termination { exit_code, reason, message, started, finished })
            });
    prop_oneof![
        Just(ContainerState::Unknown),
        (word(), message(), option::of(time())).prop_map(|(reason, message, since)| ContainerState::Waiting { reason, message, since }),
        option::of(time()).prop_map(|started| ContainerState::Running { started }),
        ended,
    ]
}

fn attempt() -> impl Strategy<Value = AttemptRecord> {
    let times = (option::of(time()), option::of(time()), option::of(time()), option::of(time()), option::of(time()));
    let words = (word(), option::of(word()), option::of(message()), any::<bool>());
    let states = (option::of(condition(&["PodScheduled"])), option::of(condition(&["DisruptionTarget"])), container(), container(), 0u64..2);
    (times, words, states).prop_map(|((created, accepted, deleted, gone, node_gone), (phase, reason, message, bound), states)| {
        let (scheduled, disruption, container, other, out_of_memory_kills) = states;
        AttemptRecord {
            pod: POD.into(),
            created,
            accepted,
            phase,
            reason,
            message,
            node: bound.then(|| NODE.into()),
            scheduled,
            disruption,
            deleted,
            gone,
            node_gone,
            container,
            others: [("other".to_owned(), other)].into(),
            out_of_memory_kills,
            ..AttemptRecord::default()
        }
    })
}

fn event() -> impl Strategy<Value = EventRecord> {
    let object = select(vec![("Pod", POD), ("Job", "etl-1"), ("Node", NODE)]);
    (object, word(), message(), select(vec!["kubelet", "karpenter", "job-controller"]), option::of(time()), option::of(time()))
        .prop_map(|(object, reason, message, source, first, last)| EventRecord { first, last, ..mk_event(object, &reason, &message, source, at(0)) })
}

fn node() -> impl Strategy<Value = NodeRecord> {
    let key = select(vec!["team", "node.kubernetes.io/not-ready", "karpenter.sh/disrupted", "x/agent-not-ready"]);
    (any::<bool>(), any::<bool>(), option::of(key), 0u64..5000, vec(condition(&["Ready"]), 0..2)).prop_map(
        |(named, cordoned, key, cpu, conditions)| {
            let mut node = mk_node(if named { NODE } else { "node-2" });
            node.taints.extend(key.map(|key| mk_taint(key, "")));
            node.allocatable.cpu.0 = cpu;
            NodeRecord { cordoned, conditions, ..node }
        },
    )
}

fn job() -> impl Strategy<Value = JobRecord> {
    let kinds = &["Complete", "Failed", "FailureTarget", "SuccessCriteriaMet", "Suspended"];
    let outcome = select(vec![Outcome::Cancelled, Outcome::NoNode, Outcome::Rejected, Outcome::TimedOut, Outcome::Lost]);
    let ending =
        option::of((outcome, word(), option::of(message())).prop_map(|(outcome, reason, said)| mk_ending(outcome, &reason, said.as_deref())));
    let times = (option::of(time()), option::of(time()), option::of(time()), option::of(time()));
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), 0u32..3, option::of(any::<i64>()));
    (times, flags, vec(condition(kinds), 0..3), ending).prop_map(|((created, started, finished, deleted), flags, conditions, ending)| {
        let (suspended, leased, planned, retries, active_deadline_seconds) = flags;
        let mut job = JobRecord { created, started, finished, deleted, suspended, active_deadline_seconds, conditions, ending, leased, ..mk_job() };
        job.plan.as_mut().expect("a plan").infrastructure_retries = retries;
        if !planned {
            (job.plan, job.maker) = (None, Maker::Other);
        }
        job
    })
}

fn evidence() -> impl Strategy<Value = Evidence> {
    let nodes = option::of(vec(node(), 0..3));
    let times = (option::of(time()), option::of(time()), option::of(time()));
    (option::of(job()), vec(attempt(), 0..3), vec(event(), 0..4), nodes, times).prop_map(|(job, attempts, events, nodes, times)| {
        let (job_seen, job_gone, last_output) = times;
        Evidence { job, job_seen, job_gone, attempts, events, nodes, last_output, ..Evidence::default() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_evidence_makes_a_story_whose_parts_agree(evidence in evidence(), now in time(), later in 0i64..100_000) {
        let story = diagnose(&evidence, now);
        prop_assert_eq!(story.verdict.is_some(), story.phase == Phase::Finished);
        prop_assert!(story.verdict.is_none() || story.held_until.is_none() && story.cause.is_none());
        prop_assert!(story.phases.is_sorted_by_key(|start| (start.since, start.attempt)), "{:?}", story.phases);
        prop_assert!(!state_word(&story).is_empty());
        prop_assert!(attempt_causes(&evidence, now).len() <= evidence.attempts.len().saturating_sub(1));
        let decided = decide(&story, &evidence, &mk_plan().limits, now);
        prop_assert!(decided.is_none() || story.verdict.is_none());
        if let Some(verdict) = story.verdict.filter(|verdict| verdict.outcome != Outcome::Unknown) {
            prop_assert_eq!(verdict.exit_code, verdict.outcome.exit_code(verdict.flow_exit_code).0);
            let now = now.max(at(later));
            let again = diagnose(&evidence, now).verdict.map(|verdict| (verdict.outcome, verdict.cause.reason));
            prop_assert_eq!(again, Some((verdict.outcome, verdict.cause.reason)), "time alone changed the verdict");
        }
        prop_assert!(evidence.job.as_ref().is_none_or(|job| !is_finished(job) || job.suspended || diagnose(&evidence, Timestamp::MAX).verdict.is_some()));
    }
}

/// Returns what nobody's program says.
fn garbage() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[ -~\\n\\t]{0,120}", "([0-9]{1,3}/[0-9]{1,3} |[0-9]+ |[A-Z][a-z]+ |: |, |\"|\\(s\\) ){0,20}"]
}

/// Returns what waits, told in words that mean nothing. What the reasons themselves say is left out: of these only the words decide.
fn unintelligible() -> impl Strategy<Value = Evidence> {
    let waiting = select(vec!["ErrImagePull", "ImagePullBackOff", "ContainerCreating"]);
    let attempt =
        prop_oneof![garbage().prop_map(|text| mk_unscheduled(&text)), (waiting, garbage()).prop_map(|(reason, text)| mk_waiting(reason, &text))];
    let reasons =
        vec!["FailedScheduling", "NotTriggerScaleUp", "TriggeredScaleUp", "FailedMount", "FailedCreate", "Failed", "BackOff", "FailedScaleUp", "x"];
    let source = select(vec!["default-scheduler", "cluster-autoscaler", "kubelet", "karpenter", "job-controller"]);
    let event = (select(reasons), garbage(), source).prop_map(|(reason, text, source)| {
        let object = if reason == "FailedCreate" { ("Job", "etl-1") } else { ("Pod", POD) };
        mk_event(object, reason, &text, source, at(3))
    });
    (attempt, vec(event, 0..4), option::of(Just(vec![mk_node(NODE)]))).prop_map(|(attempt, events, nodes)| {
        let mut evidence = mk_evidence([attempt]);
        (evidence.events, evidence.nodes) = (events, nodes);
        evidence
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_garbage_ends_a_job(evidence in unintelligible(), seconds in 10i64..120) {
        let now = at(seconds);
        let story = diagnose(&evidence, now);
        prop_assert_eq!(&story.verdict, &None);
        prop_assert!(story.cause.iter().chain(&story.details).all(|cause| !cause.hopeless), "{:?}", story.cause);
        prop_assert_eq!(decide(&story, &evidence, &mk_plan().limits, now), None);
    }
}
