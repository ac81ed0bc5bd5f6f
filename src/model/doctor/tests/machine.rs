//! Nodes that are there, machines to come, and what a template asks of them.

use super::*;

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
            "error Placement.Taints node group flows-xlarge: its node ip-10-0-0-1 has the taint `team=a:NoSchedule`, which jobs of size `xlarge` do not tolerate",
            "warning Tags.Taints node group flows-xlarge: it lacks the tag `k8s.io/cluster-autoscaler/node-template/taint/team=a:NoSchedule`",
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
