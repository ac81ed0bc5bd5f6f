//! Every moment of the recordings of real autoscalers.

use std::{fmt::Write as _, time::Duration};

use super::builders::Surroundings;
use crate::{
    model::{
        diagnose::tests::recordings::Moment,
        instance_map::Defaults,
        node_group::{Scaling, Sighting},
        scale_state::{SurveyInput, survey},
    },
    output::view::node_group::NodeGroups,
};

const SIZES: &str = "  \
  small: {node_group: flows-small, instance_type: m5.xlarge, node_selector: {sbrun.dev/size: small}}
  xlarge: {node_group: flows-xlarge, instance_type: r5.4xlarge, node_selector: {sbrun.dev/size: xlarge}}
  single: {node_group: flows-single, instance_type: m5.xlarge, node_selector: {sbrun.dev/size: single}}
";
const POOLS: &str = "  small: {node_pool: flows-small, instance_type: m5.xlarge, node_selector: {sbrun.dev/size: small}}\n";
/// How long the autoscaler of the recordings lets nodes be unneeded.
const UNNEEDED: Duration = Duration::from_secs(15);

/// Returns table and sentences of a moment; `scaling` changes what may be seen.
fn shown(path: &str, sizes: &str, scaling: impl Fn(Scaling) -> Scaling) -> String {
    let moment = Moment::open(path);
    let (map, occupancy, scaling) = (Surroundings::new(sizes), moment.occupancy(), scaling(moment.scaling()));
    let found = survey(&SurveyInput {
        sizes: &map.sizes,
        defaults: &Defaults::default(),
        size: None,
        all: false,
        scaling: &scaling,
        occupancy: &occupancy,
        unneeded_time: Some(UNNEEDED),
        now: moment.now,
    });
    let document = NodeGroups::new(&found, moment.now);
    let mut text = format!("== {path}\n{}\n", document.table(Some(100)));
    for sentence in document.sentences() {
        writeln!(text, "- {sentence}").expect("a string takes everything");
    }
    text
}

fn all(paths: &[&str], sizes: &str, scaling: impl Fn(Scaling) -> Scaling) -> String {
    paths.iter().map(|path| shown(path, sizes, &scaling)).collect::<Vec<_>>().join("\n")
}

const OF_AUTO_SCALING: [&str; 18] = [
    "cluster-autoscaler/from-zero/1-unschedulable",
    "cluster-autoscaler/from-zero/2-scale-up-triggered",
    "cluster-autoscaler/from-zero/3-instance-booting",
    "cluster-autoscaler/from-zero/4-node-ready",
    "cluster-autoscaler/from-zero/5-running",
    "cluster-autoscaler/from-zero/5b-running-seen-by-autoscaler",
    "cluster-autoscaler/from-zero/6-complete",
    "cluster-autoscaler/from-zero/7-deletion-candidate",
    "cluster-autoscaler/from-zero/8-scaled-down",
    "cluster-autoscaler/max-size/1-pending",
    "cluster-autoscaler/never-fits/1-pending",
    "cluster-autoscaler/never-joins/1-launched",
    "cluster-autoscaler/never-joins/2-timed-out",
    "cluster-autoscaler/never-joins/3-backoff",
    "cluster-autoscaler/no-capacity/1-scale-up-failed",
    "cluster-autoscaler/no-capacity/2-backoff",
    "cluster-autoscaler/node-lost/1-running",
    "cluster-autoscaler/node-lost/2-instance-gone",
];
const OF_KARPENTER: [&str; 7] = [
    "karpenter/from-zero/1-pending",
    "karpenter/from-zero/2-running",
    "karpenter/from-zero/3-complete",
    "karpenter/from-zero/4-node-removed",
    "karpenter/limit-reached/1-pending",
    "karpenter/limit-reached/2-third-runs",
    "karpenter/node-deleted/1-draining",
];

#[test]
fn groups_of_the_cluster_autoscaler() {
    insta::assert_snapshot!(all(&OF_AUTO_SCALING, SIZES, |scaling| scaling));
}

#[test]
fn the_same_without_access_to_the_account() {
    insta::assert_snapshot!(all(&OF_AUTO_SCALING, SIZES, |scaling| Scaling {
        account: Sighting::Unseen("AWS: there are no credentials".into()),
        ..scaling
    }));
}

#[test]
fn pools_of_karpenter() {
    insta::assert_snapshot!(all(&OF_KARPENTER, POOLS, |scaling| scaling));
}
