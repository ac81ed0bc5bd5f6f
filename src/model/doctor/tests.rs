//! Each check with what is well and what is not, and what nobody could see.

mod cluster;
mod group;
mod machine;
mod prefect;

use super::*;
use crate::model::{
    access,
    autoscaler_status::{AutoscalerStatus, GroupStatus},
    autoscaler_tags::{EKS_NODE_GROUP, ENABLED},
    footprint::Allocatable,
    node_group::{AccountGroup, NodePool, Requirement, SuspendedProcess},
    quantity::{Cpu, Memory},
};

const MAP: &str = "
version: 1
cluster: {server: https://prod.example, region: eu-west-1, name: prod}
defaults: {image: x}
sizes:
  xlarge:
    node_group: flows-xlarge
    instance_type: m5.xlarge
    footprint: {cpu: 3, memory: 12Gi}
    spot: true
    node_selector: {workload: xl}
    tolerations: [{key: workload, operator: Equal, value: xl, effect: NoSchedule}]
";

fn map(text: &str) -> InstanceMap {
    let template = r#"{"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": {"priorityClassName": "low",
        "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}}}}"#;
    InstanceMap::parse(text, "map.yaml", &mut |_| Ok(template.to_owned())).expect("the map is right")
}

fn seen<T>(value: T) -> Sighting<T> {
    Sighting::Seen { value, at: Timestamp::UNIX_EPOCH }
}

fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A group that fits [`MAP`] in every respect.
fn mk_group() -> AccountGroup {
    AccountGroup {
        name: "flows-xlarge".into(),
        max_size: 5,
        zones: vec!["eu-west-1a".into()],
        tags: tags(&[
            (ENABLED, "true"),
            ("k8s.io/cluster-autoscaler/prod", "owned"),
            ("k8s.io/cluster-autoscaler/node-template/label/workload", "xl"),
            ("k8s.io/cluster-autoscaler/node-template/taint/workload", "xl:NoSchedule"),
        ]),
        instance_types: vec![("m5.xlarge".into(), None)],
        spot: Some(true),
        ..AccountGroup::default()
    }
}

fn mk_deployment(arguments: &[&str]) -> AutoscalerDeployment {
    let usual = [
        "--expander=least-waste",
        "--ignore-daemonsets-utilization=true",
        "--skip-nodes-with-system-pods=false",
        "--scale-down-delay-type-local=true",
        "--node-group-auto-discovery=asg:tag=k8s.io/cluster-autoscaler/enabled,k8s.io/cluster-autoscaler/prod",
    ];
    AutoscalerDeployment {
        namespace: "kube-system".into(),
        name: "ca".into(),
        image: "cluster-autoscaler:v1.36.1".into(),
        ready: 1,
        wanted: 1,
        flags: AutoscalerDeployment::flags_of(usual.into_iter().chain(arguments.iter().copied())),
    }
}

fn mk_node() -> NodeRecord {
    NodeRecord {
        name: "ip-10-0-0-1".into(),
        labels: tags(&[("workload", "xl"), ("alpha.eksctl.io/nodegroup-name", "flows-xlarge")]),
        taints: vec![mk_taint("workload", "xl")],
        allocatable: Allocatable { cpu: Cpu(3920), memory: Memory::from_mib(14_162), ..Allocatable::default() },
        ..NodeRecord::default()
    }
}

fn mk_taint(key: &str, value: &str) -> Taint {
    Taint { key: key.into(), value: value.into(), effect: "NoSchedule".into() }
}

fn mk_daemon(memory: u64) -> DaemonSet {
    let everything = Toleration { key: None, operator: Some("Exists".into()), value: None, effect: None };
    DaemonSet {
        name: "kube-system/agent".into(),
        footprint: Footprint { cpu: Cpu(100), memory: Memory::from_mib(memory), ..Footprint::default() },
        tolerations: vec![everything],
        ..DaemonSet::default()
    }
}

/// A set-up in which all is well.
fn mk_survey() -> Survey {
    let status = AutoscalerStatus {
        updated: Some(Timestamp::UNIX_EPOCH),
        state: Some("Running".into()),
        groups: vec![GroupStatus { name: "flows-xlarge".into(), ..GroupStatus::default() }],
        is_complete: true,
        ..AutoscalerStatus::default()
    };
    Survey {
        now: Timestamp::UNIX_EPOCH,
        namespace: "flows".into(),
        region: Some("eu-west-1".into()),
        scaling: Scaling {
            account: seen(vec![mk_group()]),
            autoscaler: seen(status),
            pools: Sighting::Absent { at: Timestamp::UNIX_EPOCH },
            ..Scaling::default()
        },
        nodes: seen(vec![mk_node()]),
        daemon_sets: seen(vec![mk_daemon(512)]),
        autoscaler: seen(mk_deployment(&[])),
        version: seen("v1.36.3".into()),
        missing_rights: seen(Vec::new()),
        admissions: BTreeMap::from([(SizeName("xlarge".into()), seen(Admission::Admitted))]),
        rule_breaker: seen(Admission::Refused("no".into())),
        ..Survey::default()
    }
}

/// Returns what is not well, each as `severity code subject: message`.
fn problems(map: &InstanceMap, survey: &Survey) -> Vec<String> {
    problems_of(map, None, survey)
}

fn problems_of(map: &InstanceMap, only: Option<&SizeName>, survey: &Survey) -> Vec<String> {
    let found = examine(map, only, survey);
    let words = |finding: &Finding| format!("{} {} {}: {}", finding.severity.as_str(), finding.code, finding.subject, finding.message);
    found.iter().filter(|finding| finding.severity != Severity::Good).map(words).collect()
}

fn with_group(change: impl FnOnce(&mut AccountGroup)) -> Vec<String> {
    let mut group = mk_group();
    change(&mut group);
    let survey = mk_survey();
    let scaling = Scaling { account: seen(vec![group]), ..survey.scaling };
    problems(&map(MAP), &Survey { scaling, ..survey })
}

#[test]
fn a_set_up_without_faults_passes_every_check() {
    let (map, survey) = prefect::mk_joined();
    let found = examine(&map, None, &survey);
    assert_eq!(problems(&map, &survey), Vec::<String>::new());
    let passed: Vec<&str> = found.iter().map(|finding| finding.code).collect();
    for check in Check::ALL {
        // What only pools or templates have, is not looked at where there are none.
        let elsewhere = matches!(check, Check::SizeKnown | Check::PoolExists | Check::PoolGrace | Check::JobVolume);
        assert_eq!(passed.contains(&check.code()), !elsewhere, "{}", check.code());
    }
}

#[test]
fn codes_are_unique_and_documented() {
    let codes: std::collections::BTreeSet<&str> = Check::ALL.iter().map(|check| check.code()).collect();
    assert_eq!(codes.len(), Check::ALL.len());
    let documented = include_str!("../../../docs/doctor.md");
    for check in Check::ALL {
        let row = format!("| `{}` | {} | {} |", check.code(), check.good(), check.consequence());
        assert!(documented.contains(&row), "docs/doctor.md lacks the row:\n{row}");
    }
}

#[test]
fn what_could_not_be_seen_is_unknown_once_and_never_passes() {
    let closed = |what: &str| Sighting::Unseen(format!("{what} cannot be seen"));
    let survey = Survey {
        now: Timestamp::UNIX_EPOCH,
        scaling: Scaling {
            account: Sighting::Unseen("no credentials".into()),
            autoscaler: Sighting::Unseen("no status".into()),
            ..Scaling::default()
        },
        nodes: Sighting::Unseen("no nodes".into()),
        daemon_sets: Sighting::Unseen("no daemon sets".into()),
        autoscaler: Sighting::Unseen("no Deployment".into()),
        missing_rights: Sighting::Unseen("no rules".into()),
        admissions: BTreeMap::from([(SizeName("xlarge".into()), closed("admission"))]),
        rule_breaker: Sighting::Unseen("no dry run".into()),
        ..Survey::default()
    };
    let found = examine(&map(MAP), None, &survey);
    assert!(found.iter().all(|finding| matches!(finding.severity, Severity::Good | Severity::Unknown)), "{found:#?}");
    let unknown: Vec<&str> = found.iter().filter(|finding| finding.severity == Severity::Unknown).map(|finding| finding.message.as_str()).collect();
    assert_eq!(
        unknown,
        ["no credentials", "no status", "no nodes", "no daemon sets", "no rules", "no dry run", "no Deployment", "admission cannot be seen"]
    );
    let good: Vec<&str> = found.iter().filter(|finding| finding.severity == Severity::Good).map(|finding| finding.code).collect();
    assert_eq!(good, ["Map.Valid", "Map.Doubtful", "Map.Cluster", "Map.Image", "Size.Group", "Job.Priority", "Job.Grace"]);
}

#[test]
fn the_map_alone_can_be_looked_at() {
    let text = MAP
        .replace("{server: https://prod.example, region: eu-west-1, name: prod}", "{}")
        .replace("{image: x}", "{}")
        .replace("    node_group: flows-xlarge\n", "");
    assert_eq!(
        problems(&map(&text), &Survey::default()),
        [
            "warning Map.Cluster instance map: it has no `cluster.server`",
            "warning Map.Image instance map: no image for `xlarge`",
            "warning Size.Group size xlarge: it names no node group",
        ]
    );
}
