//! What a waiting job is told: sentences, numbers, advice, and what is detail.

use super::builders::*;
use crate::model::{
    diagnose::{diagnose, state_word},
    evidence::{ContainerState, Evidence, Termination},
    quantity::{Cpu, GIB, Memory},
    reason::Reason,
    story::{Cause, Phase, Story},
};

const FULL: &str = "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 No preemption victims found.";

fn waiting_with(change: impl FnOnce(&mut Evidence)) -> Story {
    diagnose(&mk_evidence([mk_unscheduled(FULL)]).with(change), at(200))
}

fn cause(story: &Story) -> &Cause {
    story.cause.as_ref().expect("a cause")
}

fn reasons(story: &Story) -> Vec<Reason> {
    story.cause.iter().chain(&story.details).map(|cause| cause.reason).collect()
}

#[test]
fn a_full_node_says_how_full_and_who_runs_there() {
    let story = waiting_with(|evidence| {
        evidence.nodes = Some(vec![mk_node(NODE)]);
        evidence.neighbours = vec![mk_neighbour("flows/load-1", "ben", 3000, 8)];
    });
    assert_eq!(cause(&story).summary, "1 node of size `xlarge` is full: 2 CPUs asked, 1 CPUs free");
    assert_eq!(cause(&story).evidence[0].text, "flows/load-1 (ben): 3 CPUs, 8 GiB");
    assert_eq!(story.unknown, ["no autoscaler has said anything about this pod"]);
}

#[test]
fn expired_events_are_spoken_of_only_when_they_may_have_expired() {
    let evidence = mk_evidence([mk_unscheduled(FULL)]).with(|evidence| evidence.nodes = Some(Vec::new()));
    for (seconds, words) in [
        (3000, "no autoscaler has said anything about this pod"),
        (3001, "no autoscaler has said anything about this pod (events expire after about an hour)"),
    ] {
        assert_eq!(diagnose(&evidence, at(seconds)).unknown, [words], "{seconds}");
    }
}

#[test]
fn a_machine_that_is_too_small_gives_both_numbers() {
    let story = waiting_with(|evidence| evidence.nodes = Some(vec![mk_node(NODE).with(|node| node.allocatable.memory = Memory(3 * GIB))]));
    assert_eq!(cause(&story).summary, "the job can never fit: 4 GiB asked, a node of size `xlarge` has 3 GiB");
}

#[test]
fn the_nearest_obstacle_is_the_cause_and_the_others_are_detail() {
    let story = waiting_with(|evidence| {
        let small = mk_node("b-small").with(|node| node.allocatable.cpu = Cpu(1000));
        let tainted = mk_node("c-tainted").with(|node| node.taints.push(mk_taint("team", "ml")));
        let cordoned = mk_node("d-cordoned").with(|node| node.cordoned = true);
        let booting = mk_node("e-booting").with(|node| node.taints.push(mk_taint("startup-taint.cluster-autoscaler.kubernetes.io/x", "")));
        let unready = mk_unready(-60).with(|node| node.name = "f-unready".into());
        evidence.nodes = Some(vec![small, tainted, cordoned, booting, unready, mk_node(NODE)]);
        evidence.neighbours = vec![mk_neighbour("flows/load-1", "ben", 3000, 8)];
    });
    assert_eq!(
        reasons(&story),
        [
            Reason::SchedulingInsufficient,
            Reason::NodeStartupTaint,
            Reason::NodeNotReady,
            Reason::SchedulingCordoned,
            Reason::SchedulingTaint,
            Reason::SchedulingNeverFits,
        ]
    );
    assert!(story.details.iter().all(|cause| !cause.hopeless), "another node may take it");
}

#[test]
fn nodes_of_other_sizes_do_not_count() {
    let story = waiting_with(|evidence| {
        evidence.nodes = Some(vec![mk_node(NODE).with(|node| node.labels.clear())]);
        change_plan(evidence, |plan| plan.placement.node_groups.clear());
    });
    assert_eq!(reasons(&story), [Reason::SchedulingNoSuchGroup]);
}

#[test]
fn a_wrong_selector_is_told_with_what_exists() {
    let story = waiting_with(|evidence| {
        evidence.nodes = Some(Vec::new());
        evidence.known_labels = [("sbrun.dev/size".to_owned(), vec!["small".to_owned(), "x-large".to_owned()])].into();
    });
    assert_eq!(cause(&story).summary, "node group `flows-xlarge` has no node, and no autoscaler has said anything about the pod");
    assert_eq!(cause(&story).evidence[1].text, "small, x-large");
    assert_eq!(
        cause(&story).next,
        [
            "sbrun doctor   (checks map, tags, autoscaler and permissions)",
            "did you mean `node_selector: {sbrun.dev/size: x-large}` in size `xlarge` of the instance map?",
            "kubectl -n kube-system get pods,deployments | grep -i -e autoscaler -e karpenter",
        ]
    );
}

#[test]
fn a_wrong_label_key_is_told_as_well() {
    let story = waiting_with(|evidence| {
        evidence.nodes = Some(Vec::new());
        evidence.known_labels = [("sbrun.dev/sizes".to_owned(), vec!["xlarge".to_owned()])].into();
        change_plan(evidence, |plan| plan.placement.node_groups.clear());
    });
    assert_eq!(cause(&story).summary, "no node carries `sbrun.dev/size=xlarge`");
    assert_eq!(cause(&story).next[0], "did you mean `node_selector: {sbrun.dev/sizes: xlarge}` in size `xlarge` of the instance map?");
}

#[test]
fn a_taint_comes_with_the_toleration_to_add() {
    let story = waiting_with(|evidence| evidence.nodes = Some(vec![mk_node(NODE).with(|node| node.taints.push(mk_taint("team", "ml")))]));
    assert_eq!(cause(&story).summary, "1 node of size `xlarge` has the taint `team=ml:NoSchedule`, which the job does not tolerate");
    assert_eq!(
        cause(&story).next,
        ["in the instance map, size `xlarge`: tolerations: [{key: team, operator: Equal, value: ml, effect: NoSchedule}]"]
    );
}

#[test]
fn a_taint_that_only_prefers_keeps_nobody_away() {
    let story = waiting_with(|evidence| {
        let soft = |key: &str| mk_taint(key, "1").with(|taint| taint.effect = "PreferNoSchedule".into());
        let taints = [soft("DeletionCandidateOfClusterAutoscaler"), soft("karpenter.sh/disrupted")];
        evidence.nodes = Some(vec![mk_node(NODE).with(|node| node.taints.extend(taints))]);
    });
    // It has room, by all that is known; the scheduler says that it has not.
    assert_eq!(reasons(&story), [Reason::SchedulingInsufficient]);
}

#[test]
fn a_missing_claim_comes_before_full_nodes() {
    let pod = mk_unscheduled("0/1 nodes are available: persistentvolumeclaim \"data\" not found. preemption: none");
    let evidence = mk_evidence([pod]).with(|evidence| {
        evidence.nodes = Some(vec![mk_node(NODE)]);
        evidence.neighbours = vec![mk_neighbour("flows/load-1", "ben", 3000, 8)];
    });
    let story = diagnose(&evidence, at(200));
    assert_eq!(reasons(&story), [Reason::VolumeMissing, Reason::SchedulingInsufficient]);
    assert_eq!(cause(&story).summary, "claim `data` does not exist");
}

#[test]
fn an_autoscaler_may_announce_a_machine_and_take_it_back() {
    let announced = |evidence: &mut Evidence| {
        evidence.nodes = Some(vec![mk_node(NODE).with(|node| node.allocatable.cpu = Cpu(1000))]);
        evidence.events = vec![mk_pod_event("TriggeredScaleUp", "pod triggered scale-up: [{flows-xlarge 0->1 (max: 5)}]", "cluster-autoscaler", 4)];
    };
    let story = waiting_with(announced);
    assert_eq!((story.phase, reasons(&story)), (Phase::ScalingUp, vec![Reason::ScaleUpTriggered, Reason::SchedulingNeverFits]));
    assert!(story.details.iter().all(|cause| !cause.hopeless), "a new machine may be a larger one");
    let story = waiting_with(|evidence| {
        announced(evidence);
        let message = "pod didn't trigger scale-up: 1 in backoff after failed scale-up";
        evidence.events.push(mk_pod_event("NotTriggerScaleUp", message, "cluster-autoscaler", 90));
        evidence.nodes = Some(Vec::new());
    });
    assert_eq!((story.phase, reasons(&story)), (Phase::Pending, vec![Reason::ScaleUpBackoff]));
    assert_eq!(cause(&story).summary, "the Cluster Autoscaler pauses node group `flows-xlarge` after a failure: 1 in backoff after failed scale-up");
}

#[test]
fn a_quota_gives_its_numbers_and_whether_waiting_helps() {
    let refused = |message: &str| diagnose(&mk_evidence([]).with(|evidence| evidence.events = vec![mk_refusal(message)]), at(60));
    let used = refused(
        "pods \"x\" is forbidden: exceeded quota: compute, requested: requests.memory=4Gi, used: requests.memory=6Gi, limited: requests.memory=8Gi",
    );
    assert_eq!(cause(&used).summary, "quota `compute` has no room now: requests.memory asks 4Gi, 6Gi of 8Gi are in use");
    assert!(!cause(&used).hopeless);
    let small = refused(
        "pods \"x\" is forbidden: exceeded quota: compute, requested: pods=1,requests.cpu=800m, used: pods=1,requests.cpu=0, limited: \
         pods=1,requests.cpu=500m",
    );
    assert_eq!(cause(&small).summary, "the job asks for more than quota `compute` has: requests.cpu asks 800m, the quota is 500m");
    assert!(cause(&small).hopeless);
    let whole = refused(
        "pods \"x\" is forbidden: exceeded quota: one, requested: pods=1,requests.cpu=2, used: pods=1,requests.cpu=2, limited: pods=1,requests.cpu=2",
    );
    assert!(!cause(&whole).hopeless, "the other pod ends");
    let unset = refused("pods \"x\" is forbidden: failed quota: compute: must specify limits.cpu for: flow");
    assert_eq!((cause(&unset).reason, cause(&unset).hopeless), (Reason::RejectedQuota, true));
}

#[test]
fn a_refusal_is_past_once_the_pod_exists() {
    let story = waiting_with(|evidence| evidence.events = vec![mk_refusal("pods \"x\" is forbidden: exceeded quota: compute")]);
    assert_eq!(reasons(&story), [Reason::SchedulingInsufficient]);
}

#[test]
fn what_refuses_the_next_attempt_is_the_cause() {
    let refusal = mk_refusal("pods \"x\" is forbidden: exceeded quota: one, requested: pods=1, used: pods=1, limited: pods=1");
    let lost = mk_ended(143, "Error").with(|attempt| attempt.disruption = Some(mk_condition("DisruptionTarget", "DeletionByPodGC", "", at(99))));
    let evidence = mk_evidence([lost]).with(|evidence| {
        change_plan(evidence, |plan| plan.infrastructure_retries = 1);
        evidence.events = vec![mk_event(("Job", "etl-1"), "FailedCreate", &refusal.message, "job-controller", at(111))];
    });
    assert_eq!(reasons(&diagnose(&evidence, at(120))), [Reason::RejectedQuota, Reason::LostNodeGone]);
    let earlier = evidence.with(|evidence| evidence.events = vec![refusal.with(|event| event.last = Some(at(0)))]);
    assert_eq!(reasons(&diagnose(&earlier, at(120))), [Reason::LostNodeGone]);
}

#[test]
fn a_webhook_that_does_not_answer_may_answer_later() {
    let refused = |message: &str| diagnose(&mk_evidence([]).with(|evidence| evidence.events = vec![mk_refusal(message)]), at(60));
    let denied = refused("admission webhook \"p.example\" denied the request: image must come from our registry");
    assert_eq!(
        cause(&denied).summary,
        "the pod is not admitted: admission webhook \"p.example\" denied the request: image must come from our registry"
    );
    assert!(cause(&denied).hopeless);
    let silent = refused(
        "Internal error occurred: failed calling webhook \"p.example\": failed to call webhook: Post \"https://p\": connect: permission denied",
    );
    assert!(!cause(&silent).hopeless);
    assert_eq!(cause(&silent).next, ["see whether the admission webhook of the cluster answers"]);
}

#[test]
fn a_submission_that_is_under_way_is_no_broken_one() {
    let evidence = mk_evidence([]).with(|evidence| {
        let job = evidence.job.as_mut().expect("a job");
        (job.suspended, job.started, job.complete) = (true, None, false);
        change_plan(evidence, |plan| plan.key = Some("run-7".into()));
    });
    let story = diagnose(&evidence, at(20));
    assert_eq!((story.phase, story.cause.clone(), state_word(&story)), (Phase::Submitted, None, "submitted"));
    let story = diagnose(&evidence, at(61));
    assert_eq!(state_word(&story), "incomplete");
    assert_eq!(cause(&story).next, ["sbrun submit --key run-7 …   (the same command again)", "sbrun clean"]);
}

#[test]
fn an_init_container_that_is_stuck_is_named() {
    let evidence = mk_evidence([mk_waiting("PodInitializing", "").with(|attempt| {
        let message = "Back-off pulling image \"sidecar:1\": ErrImagePull: sidecar:1: not found".to_owned();
        attempt.others = [("fetch".to_owned(), ContainerState::Waiting { reason: "ImagePullBackOff".into(), message, since: None })].into();
    })]);
    let story = diagnose(&evidence, at(20));
    assert_eq!(cause(&story).summary, "the registry does not have image `sidecar:1` (container `fetch`)");
}

#[test]
fn an_init_container_that_failed_ends_the_job() {
    let evidence = mk_evidence([mk_waiting("PodInitializing", "").with(|attempt| {
        attempt.phase = "Failed".into();
        let ended = Termination { exit_code: 3, reason: "Error".into(), finished: Some(at(30)), ..Termination::default() };
        attempt.others = [("fetch".to_owned(), ContainerState::Terminated(ended))].into();
    })]);
    let verdict = diagnose(&evidence, at(40)).verdict.expect("a verdict");
    assert_eq!(verdict.cause.summary, "container `fetch` ended with code 3 before the flow could start");
    assert_eq!((verdict.cause.reason, verdict.exit_code), (Reason::FlowStartError, 78));
}

#[test]
fn what_could_not_be_observed_is_passed_on() {
    let story = diagnose(&mk_evidence([mk_running()]).with(|evidence| evidence.unknown = vec!["nodes: not allowed".into()]), at(20));
    assert_eq!(story.unknown, ["nodes: not allowed"]);
}

#[test]
fn nothing_is_known_of_nothing() {
    let story = diagnose(&Evidence::default(), at(0));
    assert_eq!((story.phase, story.cause, story.verdict, story.attempts), (Phase::Submitted, None, None, 0));
}
