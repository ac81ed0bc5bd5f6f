//! Every moment of the recordings of real autoscalers.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::PathBuf, time::Duration};

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
    let mut text = format!("== {path}\n{}\n", document.table(Some(120)));
    for sentence in document.sentences() {
        writeln!(text, "- {sentence}").expect("a string takes everything");
    }
    text
}

fn all(of: &str, sizes: &str, scaling: impl Fn(Scaling) -> Scaling) -> String {
    moments(of).iter().map(|path| shown(path, sizes, &scaling)).collect::<Vec<_>>().join("\n")
}

/// Returns every moment that an autoscaler was recorded in, in order.
fn moments(of: &str) -> Vec<String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recorded");
    let names =
        |folder: PathBuf| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<BTreeSet<_>>();
    let within = |scenario: String| names(root.join(of).join(&scenario)).into_iter().map(move |moment| format!("{of}/{scenario}/{moment}"));
    names(root.join(of)).into_iter().flat_map(within).collect()
}

#[test]
fn groups_of_the_cluster_autoscaler() {
    insta::assert_snapshot!(all("cluster-autoscaler", SIZES, |scaling| scaling));
}

#[test]
fn the_same_without_access_to_the_account() {
    insta::assert_snapshot!(all("cluster-autoscaler", SIZES, |scaling| Scaling {
        account: Sighting::Unseen("AWS: there are no credentials".into()),
        ..scaling
    }));
}

#[test]
fn pools_of_karpenter() {
    insta::assert_snapshot!(all("karpenter", POOLS, |scaling| scaling));
}
