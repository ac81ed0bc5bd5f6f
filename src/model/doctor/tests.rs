//! Each check with what is well and what is not, and what nobody could see.

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
    let found = examine(&map(MAP), None, &mk_survey());
    assert_eq!(problems(&map(MAP), &mk_survey()), Vec::<String>::new());
    let passed: Vec<&str> = found.iter().map(|finding| finding.code).collect();
    for check in Check::ALL {
        // What only pools or templates have, is not looked at where there are none.
        let elsewhere = matches!(check, Check::SizeKnown | Check::PoolExists | Check::JobVolume);
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
fn settings_of_a_group_that_mislead_the_autoscaler_or_end_jobs() {
    assert_eq!(with_group(|group| group.min_size = 2), ["warning Group.Rest node group flows-xlarge: its minimum is 2"]);
    assert_eq!(
        with_group(|group| group.max_size = 0),
        ["error Queue.AtMaximum node group flows-xlarge: node group `flows-xlarge` has a maximum of 0: it can have no machine at all"]
    );
    assert_eq!(
        with_group(|group| group.desired_unit = Some("vcpu".into())),
        ["error Group.Unit node group flows-xlarge: its sizes are counted in `vcpu`"]
    );
    assert_eq!(
        with_group(|group| group.instance_types[0].1 = Some("4".into())),
        ["error Group.Unit node group flows-xlarge: it gives weights to `m5.xlarge`"]
    );
    assert_eq!(with_group(|group| group.instance_types[0].1 = Some("1".into())), Vec::<String>::new());
    assert_eq!(
        with_group(|group| group.instance_types.push(("m5.large".into(), None))),
        [
            "error Group.Machines node group flows-xlarge: its first instance type is `m5.xlarge` (4 CPUs, 16 GiB), but it may also start `m5.large` \
             (2 CPUs, 8 GiB)",
            "error Group.Types node group flows-xlarge: it starts `m5.large`, which size `xlarge` does not name",
        ]
    );
    assert_eq!(
        with_group(|group| group.instance_types.push(("m5a.xlarge".into(), None))),
        ["warning Group.Types node group flows-xlarge: it starts `m5a.xlarge`, which size `xlarge` does not name"]
    );
    assert_eq!(
        with_group(|group| group.by_requirements = true),
        ["warning Group.Machines node group flows-xlarge: AWS chooses its instance types by requirements"]
    );
    assert_eq!(
        with_group(|group| group.spot = Some(false)),
        ["warning Group.Spot node group flows-xlarge: its machines are on demand, and the map says otherwise"]
    );
    let suspend = |name: &str| SuspendedProcess { name: name.into(), reason: String::new() };
    assert_eq!(
        with_group(|group| group.suspended = vec![suspend("Launch"), suspend("Terminate")]),
        [
            "error Capacity.LaunchSuspended node group flows-xlarge: node group `flows-xlarge` starts no machines: somebody suspended its process `Launch`",
            "error Group.Terminate node group flows-xlarge: somebody suspended its process `Terminate`",
        ]
    );
    assert_eq!(
        with_group(|group| group.zones.push("eu-west-1b".into())),
        ["warning Group.Balance node group flows-xlarge: its process `AZRebalance` balances 2 zones"]
    );
    let balanced = with_group(|group| {
        group.zones.push("eu-west-1b".into());
        group.suspended = vec![suspend("AZRebalance")];
    });
    assert_eq!(balanced, Vec::<String>::new());
    assert_eq!(
        with_group(|group| group.capacity_rebalance = true),
        ["warning Group.Rebalance node group flows-xlarge: its capacity rebalancing is on"]
    );
}

#[test]
fn tags_that_are_missing_or_say_something_else() {
    let without = |key: &'static str| move |group: &mut AccountGroup| drop(group.tags.remove(key));
    let label = "k8s.io/cluster-autoscaler/node-template/label/workload";
    let taint = "k8s.io/cluster-autoscaler/node-template/taint/workload";
    assert_eq!(with_group(without(label)), [format!("error Tags.Labels node group flows-xlarge: it lacks the tag `{label}=xl`")]);
    assert_eq!(
        with_group(|group| drop(group.tags.insert(label.into(), "l".into()))),
        [
            "error Tags.Labels node group flows-xlarge: its tag says that its nodes have the label `workload=l`, jobs of size `xlarge` ask for `workload=xl`"
        ]
    );
    assert_eq!(
        with_group(|group| drop(group.tags.insert(taint.into(), "l:NoSchedule".into()))),
        [
            "error Tags.Taints node group flows-xlarge: its tag promises the taint `workload=l:NoSchedule`, which jobs of size `xlarge` do not tolerate"
        ]
    );
    assert_eq!(
        with_group(|group| drop(group.tags.insert(taint.into(), "xl".into()))),
        [format!("error Tags.Taints node group flows-xlarge: its tag `{taint}` is `xl`, which the autoscaler drops without a word")]
    );
    // It is listed by the autoscaler, so it was found before the tag was lost.
    assert_eq!(with_group(without(ENABLED)), [format!("warning Tags.Discovery node group flows-xlarge: it lacks the tag `{ENABLED}=true`")]);
    assert_eq!(
        with_group(|group| drop(group.tags.insert("k8s.io/cluster-autoscaler/node-template/resources/memory".into(), "8Gi".into()))),
        ["error Tags.Resources node group flows-xlarge: its tag says that a node has 8Gi of memory, a job of size `xlarge` asks for 12Gi"]
    );
    // EKS can tell what the tags of its own groups leave out.
    let managed = |group: &mut AccountGroup| {
        group.tags.remove(label);
        group.tags.insert(EKS_NODE_GROUP.into(), "flows-xlarge".into());
    };
    assert_eq!(with_group(managed), [format!("warning Tags.Labels node group flows-xlarge: it lacks the tag `{label}=xl`")]);
}

#[test]
fn remedies_are_ready_to_be_pasted() {
    let survey = mk_survey();
    let group = AccountGroup { tags: BTreeMap::new(), ..mk_group() };
    let status = AutoscalerStatus { groups: Vec::new(), ..survey.scaling.autoscaler.value().expect("it is seen").clone() };
    let scaling = Scaling { account: seen(vec![group]), autoscaler: seen(status), ..survey.scaling };
    let found = examine(&map(MAP), None, &Survey { scaling, ..survey });
    let of = |code: &str| found.iter().find(|finding| finding.code == code).expect(code).remedies.clone();
    let tag =
        |key: &str, value: &str| format!("ResourceId=flows-xlarge,ResourceType=auto-scaling-group,Key={key},Value={value},PropagateAtLaunch=false");
    let command = format!(
        "aws autoscaling create-or-update-tags --tags {} {} --region eu-west-1",
        tag(ENABLED, "true"),
        tag("k8s.io/cluster-autoscaler/prod", "true")
    );
    assert_eq!(of("ScaleUp.GroupNotDiscovered"), std::slice::from_ref(&command));
    assert_eq!(of("Tags.Discovery"), [command]);
    let label = tag("k8s.io/cluster-autoscaler/node-template/label/workload", "xl");
    assert_eq!(of("Tags.Labels"), [format!("aws autoscaling create-or-update-tags --tags {label} --region eu-west-1")]);
}

#[test]
fn storage_is_only_known_by_a_tag() {
    let text = MAP.replace("spot: true", "spot: true\n    ephemeral_storage: 50Gi");
    let tag = "k8s.io/cluster-autoscaler/node-template/resources/ephemeral-storage";
    assert_eq!(problems(&map(&text), &mk_survey()), [format!("error Tags.Resources node group flows-xlarge: it lacks the tag `{tag}=50Gi`")]);
}

fn with_node(change: impl FnOnce(&mut NodeRecord)) -> Vec<String> {
    let mut node = mk_node();
    change(&mut node);
    problems(&map(MAP), &Survey { nodes: seen(vec![node]), ..mk_survey() })
}

#[test]
fn nodes_that_are_there_settle_it() {
    assert_eq!(
        with_node(|node| drop(node.labels.insert("workload".into(), "l".into()))),
        ["error Placement.Labels node group flows-xlarge: its node ip-10-0-0-1 has not `workload=xl`, but `workload=l`"]
    );
    assert_eq!(
        with_node(|node| node.taints.push(mk_taint("team", "a"))),
        [
            "error Placement.Taints node group flows-xlarge: its node ip-10-0-0-1 has the taint `team=a:NoSchedule`, which jobs of size `xlarge` do not tolerate"
        ]
    );
    assert_eq!(with_node(|node| node.taints.push(mk_taint("node.kubernetes.io/not-ready", ""))), Vec::<String>::new());
    assert_eq!(with_node(|node| node.taints.clear()), ["warning Placement.Others node group flows-xlarge: its nodes have no taint"]);
    assert_eq!(
        with_node(|node| node.allocatable.memory = Memory::from_mib(12_500)),
        ["error Placement.Footprint node group flows-xlarge: a job of size `xlarge` does not fit on its node ip-10-0-0-1 beside 1 daemon sets: \
             12 GiB asked, 11.7 GiB left"]
    );
}

#[test]
fn without_a_node_the_daemon_sets_count_on_the_machine_to_come() {
    let survey = Survey { nodes: seen(Vec::new()), daemon_sets: seen(vec![mk_daemon(2048)]), ..mk_survey() };
    let expected = "warning Placement.Footprint node group flows-xlarge: a job of size `xlarge` does not fit on its machine beside 1 daemon sets: \
                    12 GiB asked, 11.8 GiB left";
    assert_eq!(problems(&map(MAP), &survey), [expected]);
    let elsewhere = DaemonSet { tolerations: Vec::new(), ..mk_daemon(2048) };
    assert_eq!(problems(&map(MAP), &Survey { daemon_sets: seen(vec![elsewhere]), ..survey }), Vec::<String>::new());
}

fn with_deployment(change: impl FnOnce(&mut AutoscalerDeployment), arguments: &[&str]) -> Vec<String> {
    let mut deployment = mk_deployment(arguments);
    change(&mut deployment);
    problems(&map(MAP), &Survey { autoscaler: seen(deployment), ..mk_survey() })
}

#[test]
fn the_autoscaler_runs_in_the_right_version_with_the_right_flags() {
    assert_eq!(with_deployment(|deployment| deployment.ready = 0, &[]), ["error Autoscaler.Runs Cluster Autoscaler: none of its 1 pods is ready"]);
    assert_eq!(
        with_deployment(|deployment| (deployment.ready, deployment.wanted) = (0, 0), &[]),
        ["error Autoscaler.Runs Cluster Autoscaler: its Deployment has 0 replicas"]
    );
    assert_eq!(
        with_deployment(|deployment| deployment.image = "cluster-autoscaler:v1.30.0".into(), &[]),
        ["warning Autoscaler.Version Cluster Autoscaler: it is of version 1.30, the cluster of 1.36"]
    );
    assert_eq!(
        with_deployment(|_| (), &["--scale-down-enabled=false"]),
        ["error Autoscaler.Idle Cluster Autoscaler: it runs with `--scale-down-enabled=false`"]
    );
    assert_eq!(
        with_deployment(|_| (), &["--scale-down-unneeded-time=2h"]),
        ["warning Autoscaler.Idle Cluster Autoscaler: it keeps idle machines for 2h"]
    );
    assert_eq!(
        with_deployment(|_| (), &["--expander=random", "--write-status-configmap=false"]),
        [
            "warning Autoscaler.Flags Cluster Autoscaler: it runs with `--expander=random` instead of `--expander=least-waste`",
            "warning Autoscaler.Flags Cluster Autoscaler: it runs with `--write-status-configmap=false` instead of `--write-status-configmap=true`",
        ]
    );
    let told = |deployment: &mut AutoscalerDeployment| drop(deployment.flags.remove("skip-nodes-with-system-pods"));
    assert_eq!(with_deployment(told, &[]), ["warning Autoscaler.Flags Cluster Autoscaler: it runs without `--skip-nodes-with-system-pods=false`"]);
}

#[test]
fn an_autoscaler_that_is_down_is_told_once() {
    let survey = mk_survey();
    let text = format!("{MAP}  large:\n    node_group: flows-large\n    footprint: {{cpu: 1, memory: 1Gi}}\n    node_selector: {{a: b}}\n");
    let scaling = Scaling { autoscaler: Sighting::Absent { at: Timestamp::UNIX_EPOCH }, account: Sighting::NotAsked, ..survey.scaling };
    let found = problems(&map(&text), &Survey { scaling, nodes: seen(Vec::new()), ..survey });
    let down: Vec<&String> = found.iter().filter(|text| text.contains("ScaleUp.AutoscalerDown")).collect();
    assert_eq!(down.len(), 1, "{found:#?}");
}

#[test]
fn a_pool_is_judged_by_what_its_machines_will_be() {
    let text = MAP.replace("node_group: flows-xlarge", "node_pool: flows-xlarge");
    let pool = NodePool {
        name: "flows-xlarge".into(),
        labels: tags(&[("workload", "xl")]),
        taints: vec![mk_taint("workload", "xl")],
        requirements: vec![
            Requirement { key: "node.kubernetes.io/instance-type".into(), operator: "In".into(), values: vec!["m5.xlarge".into()] },
            Requirement { key: "karpenter.sh/capacity-type".into(), operator: "In".into(), values: vec!["spot".into()] },
        ],
        ..NodePool::default()
    };
    let with = |pools: Sighting<Vec<NodePool>>| {
        let survey = mk_survey();
        let scaling = Scaling { account: Sighting::NotAsked, pools, ..survey.scaling };
        problems(&map(&text), &Survey { scaling, nodes: seen(Vec::new()), ..survey })
    };
    assert_eq!(with(seen(vec![pool.clone()])), Vec::<String>::new());
    assert_eq!(with(Sighting::Absent { at: Timestamp::UNIX_EPOCH }), ["error Pool.Exists node pool flows-xlarge: this cluster has no Karpenter"]);
    assert_eq!(
        with(seen(vec![NodePool { name: "flows-xlage".into(), ..pool.clone() }])),
        ["error Pool.Exists node pool flows-xlarge: there is no such node pool; there are `flows-xlage`"]
    );
    let wrong = NodePool {
        labels: BTreeMap::new(),
        taints: vec![mk_taint("team", "a")],
        requirements: vec![
            Requirement { key: "node.kubernetes.io/instance-type".into(), operator: "In".into(), values: vec!["m5.large".into()] },
            Requirement { key: "karpenter.sh/capacity-type".into(), operator: "In".into(), values: vec!["on-demand".into()] },
        ],
        ..pool
    };
    assert_eq!(
        with(seen(vec![wrong])),
        [
            "error Placement.Labels node pool flows-xlarge: none of its machines will have `workload=xl`, which jobs of size `xlarge` ask for",
            "error Placement.Taints node pool flows-xlarge: its machines have the taint `team=a:NoSchedule`, which jobs of size `xlarge` do not tolerate",
            "error Group.Types node pool flows-xlarge: its requirements exclude `m5.xlarge`, which size `xlarge` names",
            "warning Group.Spot node pool flows-xlarge: its machines are on demand, and the map says otherwise",
        ]
    );
}

#[test]
fn a_template_may_keep_its_jobs_from_every_machine() {
    let text = MAP.replace("image: x", "image: x, template: job.yaml, grace: 15m");
    let survey = Survey {
        priorities: BTreeMap::from([("low".into(), seen(-20))]),
        claim_zones: BTreeMap::from([("data".into(), seen(vec!["eu-west-1c".into()]))]),
        ..mk_survey()
    };
    assert_eq!(
        problems(&map(&text), &survey),
        [
            "error Job.Priority size xlarge: its jobs have priority -20, the autoscaler looks at none below -10",
            "warning Job.Grace size xlarge: its grace is 15m, the autoscaler's longest is 10m",
            "warning Job.Volume size xlarge: claim `data` is in `eu-west-1c`, node group `flows-xlarge` also starts machines in `eu-west-1a`",
        ]
    );
    let unseen = Survey {
        priorities: BTreeMap::from([("low".into(), Sighting::Unseen("you may not get priorityclasses".into()))]),
        claim_zones: BTreeMap::from([("data".into(), Sighting::Absent { at: Timestamp::UNIX_EPOCH })]),
        ..mk_survey()
    };
    assert_eq!(
        problems(&map(&text.replace(", grace: 15m", "")), &unseen),
        [
            "error Job.Volume size xlarge: there is no PersistentVolumeClaim `data`",
            "unknown Job.Priority size xlarge: PriorityClass `low`: you may not get priorityclasses",
        ]
    );
}

#[test]
fn rights_and_rules() {
    let missing = |right: Right, namespace: Option<&str>, verbs: Vec<&'static str>, needed| MissingRight {
        right,
        namespace: namespace.map(Into::into),
        verbs,
        needed,
    };
    let survey = Survey {
        missing_rights: seen(vec![
            missing(access::JOBS[0], Some("flows"), vec!["create", "patch"], true),
            missing(access::NODES[0], None, vec!["list"], false),
            missing(access::NODES[2], None, vec!["list"], false), // of node pools, which the map does not name
        ]),
        admissions: BTreeMap::from([(SizeName("xlarge".into()), seen(Admission::Refused("a Job runs on the machines of one size".into())))]),
        rule_breaker: seen(Admission::Admitted),
        ..mk_survey()
    };
    assert_eq!(
        problems(&map(MAP), &survey),
        [
            "error Admission.Size size xlarge: the cluster refuses its jobs: a Job runs on the machines of one size",
            "error Rights.Jobs you: you may not create or patch `jobs` in namespace `flows`: submitting, following, cancelling, keeping verdicts, \
             cleaning; taking back a failed submission",
            "warning Rights.Sight you: you may not list `nodes` in the whole cluster: labels, taints, what would fit, which are idle",
            "warning Admission.Rules admission policy: a Job that breaks the rules would be admitted",
        ]
    );
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

#[test]
fn a_new_size_is_told_everything_that_it_lacks() {
    let survey = mk_survey();
    let group = AccountGroup { name: "flows-huge".into(), tags: tags(&[(ENABLED, "true")]), ..AccountGroup::default() };
    let scaling = Scaling { account: seen(vec![group]), ..survey.scaling };
    let name = SizeName("huge".into());
    let found = examine(&map(MAP), Some(&name), &Survey { scaling, ..survey });
    let lacking: Vec<(&str, String)> = found
        .iter()
        .filter(|finding| finding.severity != Severity::Good)
        .map(|finding| (finding.code, finding.remedies.last().cloned().unwrap_or_default()))
        .collect();
    let tag = |key: &str, value: &str| {
        let tag = format!(
            "ResourceId=flows-huge,ResourceType=auto-scaling-group,Key=k8s.io/cluster-autoscaler/{key},Value={value},PropagateAtLaunch=false"
        );
        format!("aws autoscaling create-or-update-tags --tags {tag} --region eu-west-1")
    };
    assert_eq!(
        lacking,
        [
            ("Size.Known", "or write under `sizes`: huge: {node_group: flows-huge, instance_type: TYPE}".to_owned()),
            ("Tags.Discovery", tag("prod", "owned")),
            ("Tags.Labels", tag("node-template/label/sbrun.dev/size", "huge")),
            ("Tags.Taints", tag("node-template/taint/sbrun.dev/size", "huge:NoSchedule")),
            ("Admission.Size", "sbrun setup map policy --apply, once the map has it".to_owned()),
        ]
    );
}
