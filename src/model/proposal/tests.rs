//! What is proposed of clusters and accounts as people have them.

use jiff::Timestamp;

use super::*;
use crate::model::{
    autoscaler_status::{AutoscalerStatus, GroupStatus},
    autoscaler_tags::{LABEL, TAINT},
    instance_map::InstanceMap,
    launch_plan::Taint,
    node_group::{AccountGroup, EKS_NODE_GROUP, INSTANCE_TYPE, NodePool, Requirement, Sighting},
    quantity::{Cpu, Memory},
};

fn seen<T>(value: T) -> Sighting<T> {
    Sighting::Seen { value, at: Timestamp::UNIX_EPOCH }
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A group at 0 whose tags tell label and taint `workload=<workload>`.
fn mk_group(name: &str, instance_type: &str, workload: &str) -> AccountGroup {
    let (label, taint) = (format!("{LABEL}workload"), format!("{TAINT}workload"));
    AccountGroup {
        name: name.into(),
        max_size: 5,
        instance_types: vec![(instance_type.into(), None)],
        tags: [(label, workload.to_owned()), (taint, format!("{workload}:NoSchedule"))].into(),
        spot: Some(false),
        ..AccountGroup::default()
    }
}

fn mk_node(name: &str, labels: &[(&str, &str)], mebibytes: u64) -> NodeRecord {
    NodeRecord {
        name: name.into(),
        labels: pairs(labels),
        allocatable: Allocatable { cpu: Cpu(3920), memory: Memory::from_mib(mebibytes), ..Allocatable::default() },
        ..NodeRecord::default()
    }
}

fn of_account(groups: Vec<AccountGroup>) -> Seen {
    Seen { scaling: Scaling { account: seen(groups), ..Scaling::default() }, ..Seen::default() }
}

fn names(proposal: &Proposal) -> Vec<&str> {
    proposal.sizes.iter().map(|size| size.name.as_str()).collect()
}

/// Returns the map that a proposal makes, which must be readable.
fn map(proposal: &Proposal) -> (String, InstanceMap) {
    let text = new_map(&Frame { image: Some("x:1".into()), ..Frame::default() }, &proposal.sizes);
    let map = InstanceMap::parse(&text, "instance-map.yaml", &mut |_| Err("no template".into()));
    (text.clone(), map.unwrap_or_else(|problems| panic!("{problems:?}\n{text}")))
}

#[test]
fn groups_at_0_become_sizes_the_smallest_first() {
    let groups = vec![
        mk_group("flows-xlarge", "r5.4xlarge", "flows-xl"),
        mk_group("flows-small", "m5.large", "flows-s"),
        AccountGroup { min_size: 2, ..mk_group("system", "m5.large", "system") },
        AccountGroup { max_size: 0, ..mk_group("flows-off", "m5.large", "off") },
    ];
    let proposal = propose(&of_account(groups), &Wishes::default());
    assert_eq!(names(&proposal), ["small", "xlarge"]);
    let left_out = [("flows-off", "its maximum is 0"), ("system", "it does not rest at 0: its minimum is 2")];
    assert_eq!(proposal.left_out, left_out.map(|(name, reason)| (name.to_owned(), reason.to_owned())));
    let (text, map) = map(&proposal);
    let expected = "\
# Which size of job runs on which machines. docs/instance-map.md says what else can stand here.
version: 1
defaults:
  image: x:1
sizes:
  small:
    node_group: flows-small
    instance_type: m5.large
    footprint: {cpu: 1930m, memory: 6848Mi}    # computed for m5.large
    spot: false
    node_selector: {workload: flows-s}
    tolerations: [{key: workload, operator: Equal, value: flows-s, effect: NoSchedule}]
  xlarge:
    node_group: flows-xlarge
    instance_type: r5.4xlarge
    footprint: {cpu: 15890m, memory: 118272Mi}    # computed for r5.4xlarge
    spot: false
    node_selector: {workload: flows-xl}
    tolerations: [{key: workload, operator: Equal, value: flows-xl, effect: NoSchedule}]
";
    assert_eq!(text, expected);
    assert_eq!(map.sizes.len(), 2);
}

#[test]
fn footprints_are_measured_where_there_is_a_node() {
    let labels = [("workload", "flows-s"), (EKS_NODE_GROUP, "flows-small"), (INSTANCE_TYPE, "m5.xlarge")];
    let everything = Toleration { key: None, operator: Some("Exists".into()), value: None, effect: None };
    let footprint = Footprint { cpu: Cpu(100), memory: Memory::from_mib(300), ..Footprint::default() };
    let daemon = DaemonSet { footprint, tolerations: vec![everything], ..DaemonSet::default() };
    let seen = Seen {
        nodes: vec![mk_node("n1", &labels, 14_400), mk_node("n2", &labels, 14_300)],
        daemon_sets: vec![daemon.clone(), daemon],
        ..of_account(vec![mk_group("flows-small", "m5.xlarge", "flows-s")])
    };
    let proposal = propose(&seen, &Wishes::default());
    let room = proposal.sizes[0].room.as_ref().expect("it is measured");
    assert_eq!((room.footprint.cpu, room.footprint.memory), (Cpu(3720), Memory::from_mib(13_696)));
    assert_eq!(room.origin, "measured on node n2, less 2 daemon sets");
}

#[test]
fn groups_of_several_zones_are_one_size() {
    let groups = ["a", "b", "c"].map(|zone| mk_group(&format!("flows-xl-{zone}"), "r5.4xlarge", "flows-xl"));
    let mut groups: Vec<AccountGroup> = groups.into();
    groups.push(mk_group("flows-s-a", "m5.large", "flows-s"));
    let proposal = propose(&of_account(groups), &Wishes::default());
    assert_eq!(names(&proposal), ["s-a", "xl"]);
    assert_eq!(proposal.sizes[1].node_groups, ["flows-xl-a", "flows-xl-b", "flows-xl-c"]);
    map(&proposal);
}

#[test]
fn spot_sizes_fall_back_to_like_machines_on_demand() {
    let groups = vec![
        AccountGroup { spot: Some(true), ..mk_group("flows-xl-spot", "r5.4xlarge", "xl-spot") },
        mk_group("flows-xl", "r5.4xlarge", "xl"),
        AccountGroup { spot: Some(true), ..mk_group("flows-gpu", "g5.12xlarge", "gpu") },
    ];
    let proposal = propose(&of_account(groups), &Wishes::default());
    let fallbacks: Vec<(&str, Option<&str>)> = proposal.sizes.iter().map(|size| (size.name.as_str(), size.fallback.as_deref())).collect();
    assert_eq!(fallbacks, [("xl", None), ("xl-spot", Some("xl")), ("gpu", None)]);
    let (text, _) = map(&proposal);
    assert!(text.contains("gpu: 4"), "{text}");
}

/// Most people may not look into the account: the status lists the groups, and the nodes tell the rest.
#[test]
fn the_cluster_alone_has_to_do_where_the_account_is_closed() {
    let group = |name: &str| GroupStatus { name: name.into(), min_size: Some(0), max_size: Some(5), ..GroupStatus::default() };
    let managed = "eks-flows-small-1ac6b2b4-8f0c-43a6-9d2e-0f5a7f3f8a11";
    let status = AutoscalerStatus { groups: vec![group(managed), group("flows-large")], is_complete: true, ..AutoscalerStatus::default() };
    let labels = [(EKS_NODE_GROUP, "flows-small"), (INSTANCE_TYPE, "m5.large"), ("eks.amazonaws.com/capacityType", "SPOT")];
    let taint = Taint { key: "flows".into(), value: String::new(), effect: "NoSchedule".into() };
    let seen = Seen {
        scaling: Scaling { account: Sighting::Unseen("no credentials".into()), autoscaler: seen(status), ..Scaling::default() },
        nodes: vec![NodeRecord { taints: vec![taint], ..mk_node("n1", &labels, 7000) }],
        ..Seen::default()
    };
    let proposal = propose(&seen, &Wishes::default());
    let nothing = "nothing is known of its nodes: it has none now, and no tags tell their labels";
    assert_eq!(proposal.left_out, [("flows-large".to_owned(), nothing.to_owned())]);
    let [size] = proposal.sizes.as_slice() else { panic!("{proposal:#?}") };
    assert_eq!((size.node_groups.as_slice(), size.spot), (["flows-small".to_owned()].as_slice(), Some(true)));
    assert_eq!(size.node_selector, pairs(&[(EKS_NODE_GROUP, "flows-small")]));
    let (text, _) = map(&proposal);
    assert!(text.contains("tolerations: [{key: flows, operator: Exists, effect: NoSchedule}]"), "{text}");
    assert!(text.contains("# its tags could not be seen"), "{text}");
    assert!(text.contains("footprint: {cpu: 1930m, memory: 6976Mi}    # measured on node n1\n"), "no more than an m5.large can have: {text}");
}

#[test]
fn a_group_of_which_nothing_is_known_is_a_comment_when_it_is_asked_for() {
    let group = AccountGroup { instance_types: Vec::new(), ..mk_group("flows-odd", "", "odd") };
    let groups = vec![group, mk_group("flows-small", "m5.large", "s")];
    let proposal = propose(&of_account(groups), &Wishes::default());
    let (text, map) = map(&proposal);
    assert!(text.contains("  # odd:\n  #   # nothing is known of its machines: write its `instance_type`\n  #   node_group: flows-odd\n"), "{text}");
    assert_eq!(map.sizes.len(), 1);
}

#[test]
fn pools_are_sizes_by_what_their_machines_will_be() {
    let pool = NodePool {
        name: "flows".into(),
        taints: vec![Taint { key: "flows".into(), value: "yes".into(), effect: "NoSchedule".into() }],
        requirements: vec![
            Requirement { key: INSTANCE_TYPE.into(), operator: "In".into(), values: vec!["m5.xlarge".into(), "m5a.xlarge".into()] },
            Requirement { key: "karpenter.sh/capacity-type".into(), operator: "In".into(), values: vec!["spot".into()] },
        ],
        ..NodePool::default()
    };
    let seen = Seen { scaling: Scaling { pools: seen(vec![pool]), ..Scaling::default() }, ..Seen::default() };
    let proposal = propose(&seen, &Wishes::default());
    let size = &proposal.sizes[0];
    assert_eq!((size.name.as_str(), size.node_pool.as_deref(), size.spot), ("flows", Some("flows"), Some(true)));
    assert_eq!(size.node_selector, pairs(&[("karpenter.sh/nodepool", "flows")]));
    assert_eq!(size.instance_types, ["m5.xlarge", "m5a.xlarge"]);
    map(&proposal);
}

#[test]
fn the_label_made_for_it_goes_before_others_and_names_the_size() {
    let mut group = mk_group("flows-7", "m5.large", "w");
    group.tags.insert(format!("{LABEL}sbrun.dev/size"), "tiny".into());
    let proposal = propose(&of_account(vec![group, mk_group("flows-8", "m5.xlarge", "v")]), &Wishes::default());
    assert_eq!(names(&proposal), ["tiny", "8"]);
    assert_eq!(proposal.sizes[0].node_selector, pairs(&[("sbrun.dev/size", "tiny")]));
}

#[test]
fn wishes_come_first() {
    let groups = vec![AccountGroup { min_size: 1, ..mk_group("always", "m5.large", "a") }, mk_group("flows-xl", "m5.xlarge", "b")];
    let wishes = Wishes { groups: vec!["always".into()], names: BTreeMap::from([("always".into(), "warm".into())]), ..Wishes::default() };
    assert_eq!(names(&propose(&of_account(groups.clone()), &wishes)), ["warm"]);
    let wishes = Wishes { known_groups: vec!["flows-xl".into()], ..Wishes::default() };
    let proposal = propose(&of_account(groups), &wishes);
    assert!(proposal.sizes.is_empty());
    assert!(proposal.left_out.contains(&("flows-xl".to_owned(), "the map has a size for it".to_owned())));
}

#[test]
fn names_are_unique_and_usable() {
    let groups = vec![mk_group("a.small", "m5.large", "a"), mk_group("b.small", "m5.large", "b"), mk_group("c_", "m5.large", "c")];
    let wishes = Wishes { names: BTreeMap::from([("a.small".into(), "s".into()), ("b.small".into(), "s".into())]), ..Wishes::default() };
    assert_eq!(names(&propose(&of_account(groups), &wishes)), ["s", "s-2", "c_"]);
}

#[test]
fn sizes_are_added_to_a_map_and_nothing_else_is_touched() {
    let proposal = propose(&of_account(vec![mk_group("flows-xl", "m5.xlarge", "b")]), &Wishes::default());
    let own = "version: 1 # ours\nsizes:\n    # the small one\n    small:\n        footprint: {cpu: 1, memory: 1Gi}\n\n# and now the rest\ndefaults:\n    env: {TZ: UTC}\n";
    let text = added_to(own, &proposal.sizes).expect("it is written line by line");
    let (before, after) = own.split_once("\n# and now").expect("the comment");
    assert!(text.starts_with(before) && text.ends_with(&format!("\n# and now{after}")), "{text}");
    let map = InstanceMap::parse(&text, "m", &mut |_| Err("no template".into())).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
    assert_eq!(map.sizes.iter().map(|size| size.name.0.as_str()).collect::<Vec<_>>(), ["small", "flows-xl"]);
    assert_eq!(added_to("version: 1\nsizes: {small: {footprint: {cpu: 1, memory: 1Gi}}}\n", &proposal.sizes), None);
}

#[test]
fn texts_that_are_something_else_to_others_are_quoted() {
    let mut group = mk_group("flows", "m5.large", "true");
    group.tags.insert(format!("{LABEL}version"), "1.10".into());
    let proposal = propose(&of_account(vec![group]), &Wishes::default());
    let (text, map) = map(&proposal);
    assert!(text.contains("value: \"true\""), "{text}");
    assert!(map.sizes[0].placement().node_selector.values().all(|value| value == "true" || value == "1.10"));
}
