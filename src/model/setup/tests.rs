use super::*;

fn map(text: &str) -> InstanceMap {
    let mut template = |_: &str| {
        Ok(r#"{"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": {"tolerations": [{"key": "extra", "operator": "Exists"}]}}}}"#
            .to_owned())
    };
    InstanceMap::parse(text, "instance-map.yaml", &mut template).expect("the map is right")
}

const SIZES: &str = "version: 1\ndefaults: {image: x, service_account: flows}\nsizes:\n  \
     small: {footprint: {cpu: 1, memory: 1Gi}}\n  \
     large: {footprint: {cpu: 4, memory: 8Gi}, service_account: big, node_selector: {workload: xl, zone: a}, tolerations: [{key: w, operator: Exists, effect: NoSchedule}]}\n  \
     wide: {footprint: {cpu: 8, memory: 8Gi}, node_selector: {workload: xl, zone: a}, tolerations: [{key: w, operator: Exists, effect: NoSchedule}]}\n";

fn resolved(asked: Asked) -> Setup {
    Setup::resolve(&map(SIZES), "flows", asked)
}

#[test]
fn sizes_with_one_placement_share_a_rule() {
    let rule = |sizes: &[&str], labels: &[&str], tolerations: &[&str]| {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        PlacementRule { sizes: owned(sizes), labels: owned(labels), tolerations: owned(tolerations) }
    };
    let expected = [
        rule(&["small"], &["sbrun.dev/size=small"], &["sbrun.dev/size=small"]),
        rule(&["large", "wide"], &["workload=xl", "zone=a"], &["w:NoSchedule"]),
    ];
    assert_eq!(resolved(Asked::default()).placements, expected);
}

#[test]
fn tolerations_of_a_template_are_allowed_too() {
    let text = "version: 1\nsizes:\n  a: {image: x, footprint: {cpu: 1, memory: 1Gi}, template: job.json}\n";
    let setup = Setup::resolve(&map(text), "flows", Asked::default());
    assert_eq!(setup.placements[0].tolerations, ["sbrun.dev/size=a", "extra"]);
}

#[test]
fn tolerations_that_mean_the_same_read_the_same() {
    let toleration = |key: Option<&str>, operator: Option<&str>, value: Option<&str>, effect: Option<&str>| {
        let owned = |text: Option<&str>| text.map(ToOwned::to_owned);
        toleration_words(&Toleration { key: owned(key), operator: owned(operator), value: owned(value), effect: owned(effect) })
    };
    assert_eq!(toleration(Some("k"), None, Some("v"), None), "k=v");
    assert_eq!(toleration(Some("k"), Some("Equal"), Some("v"), Some("")), "k=v");
    assert_eq!(toleration(Some("k"), Some("Exists"), None, Some("NoExecute")), "k:NoExecute");
    assert_eq!(toleration(None, Some("Exists"), None, None), "");
    assert_eq!(toleration(Some("k"), Some("Gt"), Some("5"), None), "k Gt 5", "an operator of its own, not a value");
}

#[test]
fn nobody_is_invented_and_accounts_of_the_namespace_are_made() {
    let setup = resolved(Asked::default());
    assert_eq!(setup.people, [Subject::Group(USER_GROUP.into())]);
    assert_eq!(setup.own_accounts(), ["big", "flows", "prefect-worker", "sbrun-ci"]);
    let asked = Asked {
        user_groups: vec!["data-team".into()],
        ci_accounts: vec!["ci/runner".parse().expect("a name"), "default".parse().expect("a name")],
        worker: Some("prefect/worker".parse().expect("a name")),
        ..Asked::default()
    };
    let setup = resolved(asked);
    assert_eq!(setup.own_accounts(), ["big", "flows"], "other namespaces are not ours, and `default` is there");
    assert_eq!(setup.pipelines[0], Subject::ServiceAccount { namespace: "ci".into(), name: "runner".into() });
    let group_only = resolved(Asked { ci_groups: vec!["ci".into()], ..Asked::default() });
    assert_eq!(group_only.pipelines, [Subject::Group("ci".into())]);
    assert!("a/b/c".parse::<AccountName>().is_err() && "A".parse::<AccountName>().is_err() && "/b".parse::<AccountName>().is_err());
}

#[test]
fn quotas_that_would_refuse_every_flow_are_refused() {
    assert_eq!(parse_quota("requests.memory=512Gi"), Ok(("requests.memory".into(), "512Gi".into())));
    assert_eq!(parse_quota("pods=20"), Ok(("pods".into(), "20".into())));
    assert_eq!(parse_quota("requests.nvidia.com/gpu=2").map(|found| found.1), Ok("2".into()));
    for bad in ["limits.cpu=4", "limits.memory=1Gi", "requests.memory=512", "requests.cpu=x", "pods=-1", "pods", "=3", "a b=3"] {
        assert!(parse_quota(bad).is_err(), "{bad}");
    }
    let quota = BTreeMap::from([("requests.cpu".to_owned(), "2".to_owned())]);
    let excess = |resource: &str, amount: &str, footprint: &Footprint| (footprint.cpu.0 > 2000).then(|| format!("{resource} {amount}"));
    assert_eq!(quota_problems(&map(SIZES), &quota, excess), ["size `large`: requests.cpu 2", "size `wide`: requests.cpu 2"]);
}

#[test]
fn what_the_map_makes_less_strict_is_said() {
    let text = "version: 1\nsizes:\n  a: {image: x, footprint: {cpu: 1, memory: 1Gi}, node_selector: {}, tolerations: []}\n  \
                b: {image: x, footprint: {cpu: 1, memory: 1Gi}, run_as_user: image}\n";
    let map = map(text);
    let found = warnings(&map, &Setup::resolve(&map, "flows", Asked::default()));
    assert!(found.len() == 2 && found[0].contains("`a`") && found[1].contains("`b`"), "{found:?}");
    let relaxed = Asked { pod_security: PodSecurity::Baseline, ..Asked::default() };
    assert_eq!(warnings(&map, &Setup::resolve(&map, "flows", relaxed)).len(), 1);
}

#[test]
fn the_autoscaler_changes_its_own_groups_only() {
    let policy = |text: &str| iam::of_autoscaler(&map(text)).map(|policy| policy["Statement"][1].clone());
    let by_tag = policy("version: 1\ncluster: {name: prod}\nsizes:\n  a: {image: x, footprint: {cpu: 1, memory: 1Gi}}\n").expect("a name is enough");
    assert_eq!(by_tag["Condition"]["StringEquals"]["aws:ResourceTag/k8s.io/cluster-autoscaler/prod"], "owned");
    let by_name = policy("version: 1\ncluster: {region: eu-west-1}\nsizes:\n  a: {image: x, node_group: g, footprint: {cpu: 1, memory: 1Gi}}\n");
    let by_name = by_name.expect("a group is enough");
    let group = "arn:aws:autoscaling:eu-west-1:*:autoScalingGroup:*:autoScalingGroupName/";
    assert_eq!(by_name["Resource"], serde_json::json!([format!("{group}g"), format!("{group}eks-g-*")]));
    assert!(policy("version: 1\nsizes:\n  a: {image: x, node_pool: p, footprint: {cpu: 1, memory: 1Gi}}\n").is_err());
}

#[test]
fn the_flags_name_the_cluster_and_balance_zones() {
    let text = "version: 1\ncluster: {name: prod}\nsizes:\n  a: {image: x, node_groups: [g, h], footprint: {cpu: 1, memory: 1Gi}}\n";
    let flags = autoscaler::flags(&map(text));
    let value = |name: &str| flags.iter().find(|flag| flag.flag == name).map(|flag| flag.value.clone());
    assert_eq!(value("node-group-auto-discovery").as_deref(), Some("asg:tag=k8s.io/cluster-autoscaler/enabled,k8s.io/cluster-autoscaler/prod"));
    assert_eq!(value("balance-similar-node-groups").as_deref(), Some("true"));
    let one = autoscaler::flags(&map("version: 1\nsizes:\n  a: {image: x, footprint: {cpu: 1, memory: 1Gi}}\n"));
    assert!(one.iter().all(|flag| flag.flag != "balance-similar-node-groups"));
}
