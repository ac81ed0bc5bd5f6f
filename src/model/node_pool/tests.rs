use super::*;

const GIB: u64 = 1 << 30;

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn mk_footprint(cpu: u64, memory: u64) -> Footprint {
    Footprint { cpu: Cpu(cpu), memory: Memory(memory), ..Footprint::default() }
}

fn mk_requirement(key: &str, operator: &str, values: &[&str]) -> Requirement {
    Requirement { key: key.into(), operator: operator.into(), values: values.iter().map(|value| (*value).to_owned()).collect() }
}

fn mk_limit(resource: &str, limit: &str, in_use: &str, needed: &str, for_good: bool) -> ReachedLimit {
    ReachedLimit { resource: resource.into(), limit: limit.into(), in_use: in_use.into(), needed: needed.into(), for_good }
}

#[test]
fn a_limit_is_reached_when_one_more_machine_would_exceed_it() {
    let pool = NodePool {
        limits: texts(&[("cpu", "8"), ("memory", "64Gi"), ("nvidia.com/gpu", "1"), ("nodes", "2"), ("example.com/tpu", "many")]),
        in_use: texts(&[("cpu", "4500m"), ("memory", "1Gi"), ("nodes", "1")]),
        ..NodePool::default()
    };
    assert_eq!(pool.reached_limits(&mk_footprint(3500, 4 * GIB), None), []);
    assert_eq!(pool.reached_limits(&mk_footprint(3501, 4 * GIB), None), [mk_limit("cpu", "8 CPUs", "4.5 CPUs", "3.501 CPUs", false)]);
    // The job would fit into what is left, but the machine does not.
    let machine = Allocatable { cpu: Cpu(3920), memory: Memory(15 * GIB), ..Allocatable::default() };
    assert_eq!(pool.reached_limits(&mk_footprint(1000, GIB), Some(&machine)), [mk_limit("cpu", "8 CPUs", "4.5 CPUs", "3.92 CPUs", false)]);
    let two_gpus = Footprint { gpu: 2, ..mk_footprint(1000, 65 * GIB) };
    let expected = [mk_limit("memory", "64 GiB", "1 GiB", "65 GiB", true), mk_limit("nvidia.com/gpu", "1 GPU", "0 GPUs", "2 GPUs", true)];
    assert_eq!(pool.reached_limits(&two_gpus, None), expected);
}

#[test]
fn a_full_pool_takes_no_node_whatever_it_is_for() {
    let pool = NodePool { limits: texts(&[("nodes", "2")]), in_use: texts(&[("nodes", "2")]), ..NodePool::default() };
    assert_eq!(pool.reached_limits(&mk_footprint(1, 1), None), [mk_limit("nodes", "2 nodes", "2 nodes", "1 node", false)]);
    let closed = NodePool { limits: texts(&[("cpu", "0")]), ..NodePool::default() };
    assert_eq!(closed.reached_limits(&mk_footprint(1000, 1), None), [mk_limit("cpu", "0 CPUs", "0 CPUs", "1 CPU", true)]);
    assert_eq!(NodePool::default().reached_limits(&mk_footprint(1_000_000, 1), None), []);
}

#[test]
fn labels_are_compared_as_karpenter_compares_them() {
    let pool = NodePool {
        name: "flows-small".into(),
        labels: texts(&[("sbrun.dev/size", "small")]),
        requirements: vec![
            mk_requirement("team", "In", &["a", "b"]),
            mk_requirement("team", "NotIn", &["b"]),
            mk_requirement("rack", "Exists", &[]),
            mk_requirement("generation", "Gt", &["4"]),
            mk_requirement("generation", "Lte", &["6"]),
            mk_requirement("node.kubernetes.io/instance-type", "In", &["m5.large"]),
        ],
        ..NodePool::default()
    };
    for (key, value, had) in [
        ("sbrun.dev/size", "small", true),
        ("sbrun.dev/size", "large", false),
        ("karpenter.sh/nodepool", "flows-small", true),
        ("karpenter.sh/nodepool", "flows", false),
        ("team", "a", true),
        ("team", "b", false),
        ("rack", "7", true),
        ("generation", "4", false),
        ("generation", "6", true),
        ("generation", "seven", false),
        ("unheard-of", "x", false),
        ("example.com/unheard-of", "x", false),
        ("topology.kubernetes.io/zone", "eu-west-1a", true),
        ("karpenter.k8s.aws/instance-family", "m5", true),
        ("node.kubernetes.io/instance-type", "m5.xlarge", false),
    ] {
        let selector = texts(&[(key, value)]);
        let expected = if had { vec![] } else { vec![(key, value)] };
        assert_eq!(pool.missing_labels(&selector), expected, "{key}={value}");
    }
}

#[test]
fn a_pool_is_spot_when_it_starts_nothing_else() {
    let pool = |values: &[&str]| NodePool { requirements: vec![mk_requirement("karpenter.sh/capacity-type", "In", values)], ..NodePool::default() };
    assert_eq!(pool(&["spot"]).is_spot(), Some(true));
    assert_eq!(pool(&["on-demand", "reserved"]).is_spot(), Some(false));
    assert_eq!(pool(&["spot", "on-demand"]).is_spot(), None);
    assert_eq!(NodePool::default().is_spot(), None);
}

#[test]
fn claims_are_told_by_their_names() {
    assert!(is_claim_of("flows-small-2wx68", "flows-small"));
    assert!(!is_claim_of("flows-small-2wx68", "flows"));
    assert!(!is_claim_of("flows-small", "flows-small"));
    assert!(!is_claim_of("flows-small-2wx6-", "flows-small"));
    let long = "p".repeat(63);
    assert!(is_claim_of(&format!("{}abcde", &long[..58]), &long));
}

#[test]
fn capacity_failures_are_told_in_the_clouds_words() {
    // Karpenter 1.14, `lifecycle/events.go`; the AWS provider's words from reports of users.
    let event = |reason: &str, message: &str| EventRecord { reason: reason.into(), message: message.into(), ..EventRecord::default() };
    let all = event(
        "InsufficientCapacityError",
        "NodeClaim flows-small-2wx68 event: insufficient capacity, all requested instance types were unavailable during launch",
    );
    assert_eq!(capacity_failure(&all), Some("all requested instance types were unavailable during launch"));
    let fleet = event(
        "InsufficientCapacityError",
        "NodeClaim flows-small-2wx68 event: creating instance, insufficient capacity, with fleet error(s), InsufficientInstanceCapacity: \
         We currently do not have sufficient m7g.8xlarge capacity in the Availability Zone you requested (eu-west-1c).",
    );
    let words = "with fleet error(s), InsufficientInstanceCapacity: We currently do not have sufficient m7g.8xlarge capacity in the \
                 Availability Zone you requested (eu-west-1c).";
    assert_eq!(capacity_failure(&fleet), Some(words));
    assert_eq!(capacity_failure(&event("InsufficientCapacityError", "in other words")), Some("in other words"));
    assert_eq!(capacity_failure(&event("Launched", "insufficient capacity, not at all")), None);
}

#[test]
fn words_on_other_pools_prove_nothing() {
    let taint = |value: &str| Taint { key: "sbrun.dev/size".into(), value: value.into(), effect: "NoSchedule".into() };
    let pool = NodePool { name: "small".into(), taints: vec![taint("small")], ..NodePool::default() };
    let limit = "all available instance types exceed limits for nodepool (NodePool=small)";
    let fits = "no instance type has enough resources, requirements=karpenter.sh/initialized In [true], karpenter.sh/nodepool In [small], \
                sbrun.dev/size In [small], resources={\"cpu\":\"100\",\"memory\":\"4Gi\",\"pods\":\"1\"}";
    let own_taint = "did not tolerate taint (taint=sbrun.dev/size=small:NoSchedule)";
    let labels = "incompatible requirements, label \"team\" does not have known values";
    for (words, own) in [
        (limit.to_owned(), vec![limit]),
        (fits.to_owned(), vec![fits]),
        (format!("did not tolerate taint (taint=sbrun.dev/size=large:NoSchedule); {limit}"), vec![limit]),
        (format!("{own_taint}; did not tolerate taint (taint=boot:NoExecute)"), vec![own_taint]),
        (limit.replace("=small", "=small-2"), vec![]),
        (fits.replace("nodepool In [small]", "nodepool In [large]"), vec![]),
        (labels.to_owned(), vec![labels]),
    ] {
        assert_eq!(pool.refusals(&format!("Failed to schedule pod, {words}")), own, "{words}");
    }
}

#[test]
fn a_refused_launch_is_told_from_one_that_nobody_has_tried() {
    let claim = |kind: &str, status: &str, reason: &str| NodeClaim {
        conditions: vec![ConditionRecord { kind: kind.into(), status: status.into(), reason: reason.into(), ..ConditionRecord::default() }],
        ..NodeClaim::default()
    };
    assert!(claim("Launched", "Unknown", "LaunchFailed").refused_launch().is_some());
    assert!(claim("Launched", "Unknown", "UnauthorizedOperation").refused_launch().is_some());
    assert_eq!(claim("Launched", "Unknown", "AwaitingReconciliation").refused_launch(), None);
    assert_eq!(claim("Launched", "True", "Launched").refused_launch(), None);
    assert_eq!(claim("Registered", "Unknown", "NodeNotFound").refused_launch(), None);
}
