//! Autoscaler, node pools, rights and admission.

use super::*;

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
    assert_eq!(
        with(seen(vec![NodePool { termination_grace_period: Some(Duration::from_secs(3600)), ..pool.clone() }])),
        ["warning Pool.Grace node pool flows-xlarge: its `terminationGracePeriod` is 1h, a job may run for 6h"]
    );
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
