mod random;

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Event, Node, Pod, ResourceQuota},
};
use serde::de::DeserializeOwned;

use super::*;
use crate::{
    kubernetes::manifest::{self, tests::mk_plan},
    model::{
        evidence::{
            AttemptRecord, ConditionRecord, ContainerState, EventRecord, JobCounts, Maker, NeighbourRecord, NodeRecord, QuotaRecord, Termination,
        },
        footprint::{Allocatable, Footprint},
        identity::SizeName,
        launch_plan::{LaunchPlan, Taint},
        quantity::{Cpu, Memory},
    },
};

fn object<K: DeserializeOwned>(yaml: &str) -> K {
    serde_yaml::from_str(yaml).expect("the object is as Kubernetes has it")
}

fn at(clock: &str) -> Timestamp {
    format!("2026-11-24T{clock}Z").parse().expect("a time")
}

fn pod(yaml: &str) -> AttemptRecord {
    attempt_record(&object::<Pod>(yaml))
}

#[test]
fn a_job_says_which_run_it_is_and_whose() {
    let facts = |metadata: &str| {
        let record = metadata_record(&object(metadata));
        [record.run_id, record.size, record.flow, record.user, record.user_label].map(Option::unwrap_or_default)
    };
    let labels = "sbrun.dev/run-id: 01r, sbrun.dev/size: small, sbrun.dev/flow: etl-1a, sbrun.dev/user: ana-2b";
    assert_eq!(facts(&format!("labels: {{{labels}}}")), ["01r", "small", "etl-1a", "ana-2b", "ana-2b"]);
    let annotations = "sbrun.dev/flow: Etl, sbrun.dev/user: Ana";
    assert_eq!(facts(&format!("labels: {{{labels}}}\nannotations: {{{annotations}}}")), ["01r", "small", "Etl", "Ana", "ana-2b"]);
    assert_eq!(facts("labels: {prefect.io/flow-run-id: 7f3e}"), ["7f3e", "", "", "", ""]);
    let plan = LaunchPlan { size: Some(SizeName("X.Large".into())), ..mk_plan() };
    let job: Job = serde_json::from_value(manifest::render(&plan).expect("the plan can be rendered").job).expect("a Job");
    let record = job_record(&job);
    assert_eq!((record.run_id, record.size, record.user_label), (Some(plan.run_id.0), Some("X.Large".into()), Some(plan.user.label)));
}

#[test]
fn a_flow_that_failed_has_its_own_code() {
    let seen = pod("
metadata: {name: etl-1, uid: p1, creationTimestamp: '2026-11-24T10:00:00Z'}
spec: {restartPolicy: Never, nodeName: n1, containers: [{name: logger}, {name: flow}]}
status:
  phase: Failed
  startTime: '2026-11-24T10:00:01Z'
  conditions: [{type: PodScheduled, status: 'True', lastTransitionTime: '2026-11-24T10:00:01Z'}]
  containerStatuses:
  - {name: logger, ready: false, restartCount: 0, image: '', imageID: '', state: {terminated: {exitCode: 0, reason: Completed}}}
  - {name: flow, ready: false, restartCount: 0, image: '', imageID: '', state: {terminated: {exitCode: 7, reason: Error, message: 'no',
     startedAt: '2026-11-24T10:00:02Z', finishedAt: '2026-11-24T10:00:05Z'}}}
");
    let expected = AttemptRecord {
        pod: "etl-1".into(),
        container_name: "flow".into(),
        uid: "p1".into(),
        created: Some(at("10:00:00")),
        accepted: Some(at("10:00:01")),
        phase: "Failed".into(),
        node: Some("n1".into()),
        scheduled: Some(ConditionRecord {
            kind: "PodScheduled".into(),
            status: "True".into(),
            since: Some(at("10:00:01")),
            ..ConditionRecord::default()
        }),
        container: ContainerState::Terminated(Termination {
            exit_code: 7,
            reason: "Error".into(),
            message: "no".into(),
            started: Some(at("10:00:02")),
            finished: Some(at("10:00:05")),
        }),
        others: [("logger".to_owned(), ContainerState::Terminated(Termination { reason: "Completed".into(), ..Termination::default() }))].into(),
        ..AttemptRecord::default()
    };
    assert_eq!(seen, expected);
}

#[test]
fn an_end_is_found_in_the_last_state_when_nothing_restarts() {
    let yaml = |policy: &str| {
        format!(
            "
metadata: {{name: etl-1, uid: p1}}
spec: {{restartPolicy: {policy}, containers: [{{name: flow}}]}}
status:
  containerStatuses:
  - {{name: flow, ready: false, restartCount: 1, image: '', imageID: '', state: {{waiting: {{reason: CrashLoopBackOff}}}},
     lastState: {{terminated: {{exitCode: 137, reason: OOMKilled}}}}}}
"
        )
    };
    let killed = ContainerState::Terminated(Termination { exit_code: 137, reason: "OOMKilled".into(), ..Termination::default() });
    assert_eq!(pod(&yaml("Never")).container, killed);
    let waiting = ContainerState::Waiting { reason: "CrashLoopBackOff".into(), message: String::new(), since: None };
    assert_eq!(pod(&yaml("OnFailure")).container, waiting);
}

#[test]
fn evictions_and_disruptions_keep_their_words() {
    let seen = pod("
metadata: {name: etl-1, uid: p1, deletionTimestamp: '2026-11-24T10:01:00Z'}
spec: {restartPolicy: Never, nodeName: n1, containers: [{name: flow}]}
status:
  phase: Failed
  reason: Evicted
  message: 'The node was low on resource: memory.'
  conditions:
  - {type: DisruptionTarget, status: 'True', reason: TerminationByKubelet, message: 'low on memory'}
");
    let expected = AttemptRecord {
        pod: "etl-1".into(),
        container_name: "flow".into(),
        uid: "p1".into(),
        phase: "Failed".into(),
        reason: Some("Evicted".into()),
        message: Some("The node was low on resource: memory.".into()),
        node: Some("n1".into()),
        deleted: Some(at("10:01:00")),
        disruption: Some(ConditionRecord {
            kind: "DisruptionTarget".into(),
            status: "True".into(),
            reason: "TerminationByKubelet".into(),
            message: "low on memory".into(),
            since: None,
        }),
        ..AttemptRecord::default()
    };
    assert_eq!(seen, expected);
    let undisturbed = pod("{metadata: {name: a}, status: {conditions: [{type: DisruptionTarget, status: 'False'}]}}");
    assert_eq!((undisturbed.disruption, undisturbed.phase.as_str()), (None, "Pending"));
}

#[test]
fn init_containers_and_sidecars_are_told_from_the_flow() {
    let seen = pod("
metadata: {name: etl-1}
spec: {restartPolicy: Never, initContainers: [{name: fetch}, {name: proxy, restartPolicy: Always}], containers: [{name: flow}]}
status:
  phase: Pending
  startTime: '2026-11-24T10:00:01Z'
  initContainerStatuses:
  - {name: fetch, ready: false, restartCount: 0, image: '', imageID: '', state: {terminated: {exitCode: 1, reason: Error}}}
  - {name: proxy, ready: true, restartCount: 0, image: '', imageID: '', state: {running: {startedAt: '2026-11-24T10:00:03Z'}}}
  containerStatuses:
  - {name: flow, ready: false, restartCount: 0, image: '', imageID: '', state: {waiting: {reason: PodInitializing, message: m}}}
");
    let waiting = ContainerState::Waiting { reason: "PodInitializing".into(), message: "m".into(), since: Some(at("10:00:01")) };
    assert_eq!(seen.container, waiting);
    let failed = ContainerState::Terminated(Termination { exit_code: 1, reason: "Error".into(), ..Termination::default() });
    let running = ContainerState::Running { started: Some(at("10:00:03")) };
    assert_eq!(seen.others, BTreeMap::from([("fetch".to_owned(), failed), ("proxy".to_owned(), running)]));
}

#[test]
fn the_flow_of_a_prefect_worker_is_its_own_container() {
    let of = |containers: &str| flow_container(&object::<Pod>(&format!("{{metadata: {{}}, spec: {{containers: [{containers}]}}}}")));
    assert_eq!(of("{name: side}, {name: prefect-job}").as_deref(), Some("prefect-job"));
    assert_eq!(of("{name: main}, {name: side}").as_deref(), Some("main"));
    assert_eq!(flow_container(&Pod::default()), None);
}

fn rendered_job(status: &str, further: &[(&str, &str)]) -> Job {
    let mut value = manifest::render(&mk_plan()).expect("the plan can be rendered").job;
    value["metadata"]["uid"] = "u1".into();
    value["metadata"]["resourceVersion"] = "17".into();
    value["status"] = serde_yaml::from_str(status).expect("a status");
    for (name, text) in further {
        value["metadata"]["annotations"][*name] = (*text).into();
    }
    serde_json::from_value(value).expect("a Job")
}

#[test]
fn a_job_brings_its_plan_back() {
    let record = job_record(&rendered_job("{active: 1, startTime: '2026-11-24T10:00:00Z', conditions: [{type: Suspended, status: 'False'}]}", &[]));
    let plan = crate::model::launch_plan::LaunchPlan { nonce: String::new(), package: crate::model::package::Package::default(), ..mk_plan() };
    assert_eq!(record.plan.as_deref(), Some(&plan));
    assert_eq!(record.footprint, mk_plan().footprint);
    assert_eq!((record.maker, record.user.as_deref(), record.resource_version.as_str()), (Maker::Sbrun, Some("Ana"), "17"));
    assert_eq!((record.complete, record.leased, record.suspended, record.finished), (true, false, false, None));
    assert_eq!((record.started, record.active_deadline_seconds), (Some(at("10:00:00")), Some(67010)));
    assert_eq!((record.conditions.len(), record.counts), (0, JobCounts { active: 1, ..JobCounts::default() }));
}

#[test]
fn an_ending_counts_only_when_it_brought_the_end_about() {
    let ending = r#"{"outcome":"cancelled","reason":"Cancelled.ByUser","by":"ana","at":"2026-11-24T10:00:00Z"}"#;
    let record = |conditions: &str| job_record(&rendered_job(&format!("{{conditions: [{conditions}]}}"), &[(labels::ENDING, ending)]));
    let condition =
        |kind: &str, reason: &str| format!("{{type: {kind}, status: 'True', reason: {reason}, lastTransitionTime: '2026-11-24T10:00:02Z'}}");
    assert!(record("").ending.is_some());
    assert!(record(&condition("Failed", "DeadlineExceeded")).ending.is_some());
    assert!(record(&condition("FailureTarget", "PodFailurePolicy")).ending.is_some());
    let completed = record(&condition("Complete", "CompletionsReached"));
    assert_eq!((completed.ending, completed.finished), (None, Some(at("10:00:02"))));
    assert_eq!(record(&condition("Failed", "PodFailurePolicy")).ending, None);
}

#[test]
fn what_others_wrote_is_no_plan() {
    let job: Job = object("{metadata: {name: x, labels: {prefect.io/flow-run-id: r}, annotations: {sbrun.dev/plan: '{', sbrun.dev/verdict: '[]'}}}");
    let record = job_record(&job);
    assert_eq!((record.maker, record.plan, record.verdict), (Maker::PrefectWorker, None, None));
}

#[test]
fn events_of_both_forms_are_read() {
    let old = event_record(&object::<Event>(
        "
metadata: {name: e1, creationTimestamp: '2026-11-24T10:00:00Z'}
involvedObject: {kind: Pod, name: etl-1}
type: Warning
reason: FailedScheduling
message: no
source: {component: default-scheduler}
firstTimestamp: '2026-11-24T10:00:01Z'
lastTimestamp: '2026-11-24T10:00:09Z'
count: 3
",
    ));
    let expected = EventRecord {
        object_kind: "Pod".into(),
        object: "etl-1".into(),
        kind: "Warning".into(),
        reason: "FailedScheduling".into(),
        message: "no".into(),
        source: "default-scheduler".into(),
        first: Some(at("10:00:01")),
        last: Some(at("10:00:09")),
        count: 3,
    };
    assert_eq!(old, expected);
    let new = event_record(&object::<Event>(
        "
metadata: {name: e1, creationTimestamp: '2026-11-24T10:00:00Z'}
involvedObject: {kind: Pod, name: etl-1}
type: Warning
reason: FailedScheduling
message: no
source: {}
reportingComponent: default-scheduler
eventTime: '2026-11-24T10:00:01.000000Z'
series: {count: 3, lastObservedTime: '2026-11-24T10:00:09.000000Z'}
",
    ));
    assert_eq!(new, expected);
}

#[test]
fn nodes_neighbours_and_quotas_are_read() {
    let node = node_record(&object::<Node>(
        "
metadata: {name: n1, labels: {a: b}}
spec: {unschedulable: true, providerID: 'aws:///x', taints: [{key: k, effect: NoSchedule}]}
status: {allocatable: {cpu: 3920m, memory: 14Gi, nvidia.com/gpu: '1'}, conditions: [{type: Ready, status: 'False', reason: r, message: m}]}
",
    ));
    let expected = NodeRecord {
        name: "n1".into(),
        labels: [("a".to_owned(), "b".to_owned())].into(),
        taints: vec![Taint { key: "k".into(), value: String::new(), effect: "NoSchedule".into() }],
        cordoned: true,
        allocatable: Allocatable { cpu: Cpu(3920), memory: Memory(14 << 30), gpu: 1, ephemeral_storage: None },
        conditions: vec![ConditionRecord { kind: "Ready".into(), status: "False".into(), reason: "r".into(), message: "m".into(), since: None }],
        provider_id: Some("aws:///x".into()),
        created: None,
    };
    assert_eq!(node, expected);
    let neighbour = |phase: &str| {
        neighbour_record(&object::<Pod>(&format!("
metadata: {{name: p, namespace: x, labels: {{sbrun.dev/user: ana}}, ownerReferences: [{{apiVersion: apps/v1, kind: DaemonSet, name: d, uid: u}}]}}
spec:
  nodeName: n1
  initContainers: [{{name: big, resources: {{requests: {{cpu: '2'}}}}}}, {{name: side, restartPolicy: Always, resources: {{requests: {{cpu: 250m, memory: 1Gi}}}}}}]
  containers: [{{name: a, resources: {{requests: {{cpu: 500m, memory: 1Gi}}}}}}, {{name: b, resources: {{requests: {{cpu: 500m}}}}}}]
status: {{phase: {phase}}}
")))
    };
    let footprint = Footprint { cpu: Cpu(2000), memory: Memory(2 << 30), gpu: 0, ephemeral_storage: None };
    let expected = NeighbourRecord { node: "n1".into(), pod: "x/p".into(), user: Some("ana".into()), footprint, daemon: true };
    assert_eq!(neighbour("Running"), Some(expected));
    assert_eq!(neighbour("Succeeded"), None);
    let quota = |scopes: &str| {
        quota_records(&object::<ResourceQuota>(&format!(
            "
metadata: {{name: q}}
spec: {{scopes: {scopes}, hard: {{pods: '2'}}}}
status: {{hard: {{pods: '2', count/secrets: '9', requests.memory: 8Gi}}, used: {{requests.memory: 1Gi}}}}
"
        )))
    };
    let record =
        |resource: &str, used: &str, hard: &str| QuotaRecord { quota: "q".into(), resource: resource.into(), used: used.into(), hard: hard.into() };
    assert_eq!(quota("[Terminating]"), [record("pods", "0", "2"), record("requests.memory", "1Gi", "8Gi")]);
    assert_eq!(quota("[BestEffort]"), []);
}

mod merging {
    use super::*;
    use crate::model::evidence::JobRecord;

    fn running(uid: &str) -> AttemptRecord {
        AttemptRecord {
            uid: uid.into(),
            pod: uid.into(),
            phase: "Running".into(),
            container: ContainerState::Running { started: None },
            ..AttemptRecord::default()
        }
    }

    fn ended(code: i32, reason: &str) -> ContainerState {
        ContainerState::Terminated(Termination { exit_code: code, reason: reason.into(), ..Termination::default() })
    }

    fn waiting(reason: &str, since: Option<Timestamp>) -> ContainerState {
        ContainerState::Waiting { reason: reason.into(), message: String::new(), since }
    }

    #[test]
    fn an_end_once_seen_is_never_forgotten() {
        let mut evidence = Evidence::default();
        let first = AttemptRecord { phase: "Failed".into(), container: ended(7, "Error"), node: Some("n1".into()), ..running("a") };
        merge::attempts(&mut evidence, vec![first.clone()], at("10:00:00"));
        let synthetic =
            AttemptRecord { phase: "Unknown".into(), container: ended(137, "ContainerStatusUnknown"), deleted: Some(at("10:01:00")), ..running("a") };
        merge::attempts(&mut evidence, vec![synthetic], at("10:01:00"));
        merge::attempts(&mut evidence, Vec::new(), at("10:02:00"));
        merge::attempts(&mut evidence, Vec::new(), at("10:03:00"));
        assert_eq!(evidence.attempts, [AttemptRecord { deleted: Some(at("10:01:00")), gone: Some(at("10:02:00")), ..first }]);
    }

    #[test]
    fn attempts_stay_in_the_order_of_their_creation() {
        let mut evidence = Evidence::default();
        let second = AttemptRecord { created: Some(at("10:05:00")), ..running("a") };
        let first = AttemptRecord { created: Some(at("10:00:00")), ..running("b") };
        merge::attempts(&mut evidence, vec![second, first], at("10:06:00"));
        let names: Vec<&str> = evidence.attempts.iter().map(|attempt| attempt.pod.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
    }

    #[test]
    fn a_reason_to_wait_keeps_its_first_time() {
        let mut evidence = Evidence::default();
        let mut see = |container: ContainerState, clock: &str| {
            merge::attempts(&mut evidence, vec![AttemptRecord { container, ..running("a") }], at(clock));
            evidence.attempts[0].container.clone()
        };
        assert_eq!(see(waiting("ContainerCreating", Some(at("10:00:00"))), "10:00:05"), waiting("ContainerCreating", Some(at("10:00:00"))));
        assert_eq!(see(waiting("ErrImagePull", Some(at("10:00:00"))), "10:00:09"), waiting("ErrImagePull", Some(at("10:00:09"))));
        assert_eq!(see(waiting("ErrImagePull", Some(at("10:00:00"))), "10:00:20"), waiting("ErrImagePull", Some(at("10:00:09"))));
        assert_eq!(see(ContainerState::Unknown, "10:00:21"), waiting("ErrImagePull", Some(at("10:00:09"))));
    }

    #[test]
    fn a_job_of_another_uid_is_not_ours() {
        let record = |uid: &str| JobRecord { uid: uid.into(), ..JobRecord::default() };
        let mut evidence = Evidence::default();
        merge::job(&mut evidence, Some(record("u1")), None, at("10:00:00"));
        merge::job(&mut evidence, Some(record("u2")), Some("u1"), at("10:01:00"));
        merge::job(&mut evidence, None, Some("u1"), at("10:02:00"));
        assert_eq!(
            evidence,
            Evidence { job: Some(record("u1")), job_seen: Some(at("10:00:00")), job_gone: Some(at("10:01:00")), ..Evidence::default() }
        );
    }

    #[test]
    fn events_are_brought_up_to_date_and_outlive_the_server() {
        let event = |reason: &str, last: &str, count: i32| EventRecord {
            reason: reason.into(),
            first: Some(at("10:00:00")),
            last: Some(at(last)),
            count,
            ..EventRecord::default()
        };
        let mut evidence = Evidence::default();
        merge::events(&mut evidence, vec![event("A", "10:00:00", 1), event("B", "10:00:01", 1)]);
        merge::events(&mut evidence, vec![event("A", "10:00:09", 2)]);
        assert_eq!(evidence.events, [event("B", "10:00:01", 1), event("A", "10:00:09", 2)]);
        merge::unknown(&mut evidence, "x".into());
        merge::unknown(&mut evidence, "x".into());
        assert_eq!(evidence.unknown, ["x"]);
    }
}
