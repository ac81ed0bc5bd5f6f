//! Auto Scaling groups: their settings and their tags.

use super::*;

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
    // A node of it is there, and has the taint.
    assert_eq!(with_group(without(taint)), [format!("warning Tags.Taints node group flows-xlarge: it lacks the tag `{taint}=xl:NoSchedule`")]);
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

#[test]
fn a_new_size_is_told_everything_that_it_lacks() {
    let survey = mk_survey();
    let group = AccountGroup { name: "flows-huge".into(), tags: tags(&[(ENABLED, "true")]), ..AccountGroup::default() };
    let other = AccountGroup { name: "flows-sohuge".into(), ..AccountGroup::default() };
    let scaling = Scaling { account: seen(vec![other, group]), ..survey.scaling };
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
