use pretty::*;
use proptest::prelude::*;

use super::*;
use crate::model::launch_plan::Placement;

mod pretty {
    use super::InstanceMap;

    /// Returns a map that must be good. It has no templates.
    pub(super) fn map(text: &str) -> InstanceMap {
        InstanceMap::parse(text, "instance-map.yaml", &mut no_templates).unwrap_or_else(|found| panic!("{found:#?}"))
    }

    /// Returns the problems of a map as people read them.
    pub(super) fn problems(text: &str) -> Vec<String> {
        let found = InstanceMap::parse(text, "instance-map.yaml", &mut no_templates).err();
        found.map(|found| found.problems.iter().map(ToString::to_string).collect()).unwrap_or_default()
    }

    pub(super) fn no_templates(_: &str) -> Result<String, String> {
        Err("there is no such file".to_owned())
    }
}

const GOOD: &str = "version: 1\nsizes:\n  small:\n    footprint: {cpu: 1500m, memory: 6Gi}\n";

/// Returns a map whose one size has these further lines.
fn with_size(lines: &str) -> String {
    format!("version: 1\nsizes:\n  small:\n    {}\n", lines.replace('\n', "\n    "))
}

#[test]
fn the_example_is_a_good_map() {
    let example = map(include_str!("../../../instance-map.yaml"));
    let footprints: Vec<(&str, String, String)> = example
        .sizes
        .iter()
        .map(|size| (size, size.footprint(&example.defaults)))
        .map(|(size, footprint)| (size.name.0.as_str(), footprint.cpu.to_kubernetes(), footprint.memory.to_kubernetes()))
        .collect();
    let expected = [
        ("small", "750m", "2Gi"),
        ("medium", "3830m", "14402Mi"),
        ("large", "7660m", "59115Mi"),
        ("xlarge", "15640m", "117800Mi"),
        ("xlarge-od", "15640m", "117800Mi"),
    ];
    assert_eq!(footprints, expected.map(|(name, cpu, memory)| (name, cpu.to_owned(), memory.to_owned())));
    assert_eq!(example.warnings, []);
}

/// Returns the keys that a part of the map may have, as the answer to an unknown key lists them.
fn keys_of(text: &str) -> Vec<String> {
    let problems = problems(text);
    let (_, listed) = problems[0].split_once("known here are ").expect("a list of keys");
    listed.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect()
}

#[test]
fn the_manual_has_every_key() {
    const MANUAL: &str = include_str!("../../../docs/instance-map.md");
    let example = MANUAL.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let template = "{apiVersion: batch/v1, kind: Job}";
    let map = InstanceMap::parse(example, "manual", &mut |_| Ok(template.to_owned())).unwrap_or_else(|found| panic!("{found:#?}"));
    assert_eq!(map.warnings, []);
    let parts =
        ["zzzzzzzzzz: 1", "cluster: {zzzzzzzzzz: 1}", "prefect: {zzzzzzzzzz: 1}", "defaults: {zzzzzzzzzz: 1}"].map(|part| format!("{part}\n{GOOD}"));
    for key in parts.into_iter().chain([with_size("footprint: {cpu: 1, memory: 1Gi}\nzzzzzzzzzz: 1")]).flat_map(|text| keys_of(&text)) {
        assert!(MANUAL.contains(&format!("| `{key}` |")), "the manual does not explain `{key}`");
        assert!(example.contains(&format!("{key}:")), "the manual's example does not have `{key}`");
    }
}

#[test]
fn everything_is_reported_at_once_and_in_order() {
    let text = "\
version: 1
cluster: {server: prod, context: ana}
defaults:
  timeout: 90
  grace: 30s
  colour: blue
  image: a
  image: b
sizes:
  small:
    footprnt: {cpu: 1, memory: 1Gi}
  Large_:
    instance_type: m5.large
    footprint: {cpu: 8, memory: 512}
    spot: yes
    fallback: smal
";
    let expected = [
        "line 2, column 19: cluster.server: `prod` is not an address; write it like `https://example.com`",
        "line 2, column 25: cluster.context: unknown key `context`; known here are `server`, `namespace`, `region` and `name`",
        "line 4, column 12: defaults.timeout: `90` has no unit; write it like `90s` or `90m`",
        "line 5, column 10: defaults.grace: `30s` is less than 1m40s: the notice of a spot instance is 120s, and the flow needs most of it",
        "line 6, column 3: defaults.colour: unknown key `colour`; known here are",
        "line 8, column 3: defaults.image: is there twice, first in line 7",
        "line 11, column 5: sizes.small.footprnt: unknown key `footprnt`; did you mean `footprint`?",
        "line 12, column 3: sizes.Large_: `Large_` cannot be a label value: letters, digits and inner `-`, `_` and `.`, at most 63",
        "line 14, column 33: sizes.Large_.footprint.memory: `512` is 512 bytes; write it like `512Mi` or `512Gi`",
        "line 15, column 11: sizes.Large_.spot: must be `true` or `false`, not `yes`",
        "line 16, column 5: sizes.Large_.fallback: there is no size `smal`; did you mean `small`?",
    ];
    let found = problems(text);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
}

/// Asserts that a map has one problem, which begins like this.
fn assert_problem(text: &str, expected: &str) {
    let found = problems(text);
    assert!(found.len() == 1 && found[0].starts_with(expected), "{text}\n{found:#?}\n{expected}");
}

#[test]
fn problems_of_the_file_are_found() {
    for (text, expected) in [
        (String::new(), "line 1, column 1: the map is empty; docs/instance-map.md shows what belongs there"),
        ("[1]".into(), "line 1, column 1: must be a mapping with `version` and `sizes`, not a list"),
        ("version: 1".into(), "line 1, column 1: `sizes` is missing"),
        ("version: 1\nsizes:".into(), "line 2, column 1: sizes: there is no size; write at least one"),
        ("version: 1\nsizes: []".into(), "line 2, column 8: sizes: must be a mapping of keys to values, not a list"),
        (GOOD.replace("version: 1\n", ""), "line 1, column 1: `version: 1` is missing"),
        (GOOD.replace("version: 1", "version: one"), "line 1, column 10: version: `one` is not a version of the map; write `version: 1`"),
        (format!("{GOOD}  small: {{instance_type: m5.large}}"), "line 5, column 3: sizes.small: is there twice, first in line 3"),
        (format!("{GOOD}requires: new"), "line 5, column 11: requires: `new` is not a version; write it like `>=0.2`"),
        ("version: 1\n  sizes: x".into(), "line 2, column 8: this is not YAML: mapping values are not allowed in this context"),
    ] {
        assert_problem(&text, expected);
    }
}

#[test]
fn problems_of_one_size_are_found() {
    for (lines, expected) in [
        (
            "spot: true",
            "line 3, column 3: sizes.small: needs a `footprint` such as `{cpu: 1500m, memory: 6Gi}`, or an `instance_type` to compute it from",
        ),
        (
            "instance_type: m7i.larg",
            "line 4, column 5: sizes.small.instance_type: unknown instance type `m7i.larg`: give a `footprint`, since none can be computed; did you mean `m7i.large`?",
        ),
        (
            "instance_type: m5.large\njobs_per_node: 2\nfootprint: {cpu: 1, memory: 1Gi}",
            "line 5, column 5: sizes.small.jobs_per_node: `footprint` in line 6 is there too; keep one of them",
        ),
        ("instance_type: m5.large\njobs_per_node: 0", "line 5, column 20: sizes.small.jobs_per_node: `0` is not a whole number from 1 to 110"),
        (
            "instance_type: m5.large\ninstance_types: [m5.large]",
            "line 5, column 5: sizes.small.instance_types: `instance_type` is there too; keep one of them",
        ),
        (
            "instance_type: m5.large\nfootprint: {cpu: 1, memory: 8Gi}",
            "line 5, column 5: sizes.small.footprint: 8 GiB are asked for, and `m5.large` never has more than 7.3 GiB for pods",
        ),
        (
            "instance_type: g5.xlarge\ngpu: 2",
            "line 3, column 3: sizes.small: 2 GPUs are asked for, and `g5.xlarge` never has more than 1 GPUs for pods",
        ),
        (
            "instance_type: m5.large\nreserved: {memory: 8Gi}",
            "line 3, column 3: sizes.small: nothing is left of `m5.large` for a job, after what is reserved",
        ),
        ("footprint: {cpu: 1}", "line 4, column 5: sizes.small.footprint: needs `cpu` and `memory`, such as `{cpu: 1500m, memory: 6Gi}`"),
        ("footprint: {cpu: 0, memory: 1Gi}", "line 4, column 22: sizes.small.footprint.cpu: `0` is no CPU at all; write it like `2` or `1500m`"),
        ("instance_type: m5.large\nnode_groups: []", "line 5, column 18: sizes.small.node_groups: the list is empty"),
        ("instance_type: m5.large\nnode_groups: a", "line 5, column 18: sizes.small.node_groups: must be a list such as `[a, b]`, not `a`"),
        ("instance_type: [m5.large]", "line 4, column 20: sizes.small.instance_type: must be one value, not a list"),
        (
            "instance_type: m5.large\nnode_group: a\nnode_pool: b",
            "line 6, column 5: sizes.small.node_pool: a node group is there too; keep one of them",
        ),
        (
            "instance_type: m5.large\ntolerations: [{operator: Exists, value: x}]",
            "line 5, column 19: sizes.small.tolerations[0]: `operator: Exists` takes no `value`",
        ),
        (
            "instance_type: m5.large\ntolerations: [{value: x}]",
            "line 5, column 19: sizes.small.tolerations[0]: needs a `key`, or `operator: Exists` for every taint",
        ),
        (
            "instance_type: m5.large\ntolerations: [{key: a, effect: Never}]",
            "line 5, column 36: sizes.small.tolerations[0].effect: `Never` is not one of NoSchedule, PreferNoSchedule, NoExecute",
        ),
        (
            "instance_type: m5.large\nlabels: {sbrun.dev/user: me}",
            "line 5, column 14: sizes.small.labels.sbrun.dev/user: `sbrun.dev/user` is set by sbrun itself",
        ),
        ("instance_type: m5.large\nenv: {1A: x}", "line 5, column 11: sizes.small.env.1A: `1A` is no name of an environment variable"),
        ("instance_type: m5.large\nenv: {A: [1]}", "line 5, column 14: sizes.small.env.A: must be one value, not a list"),
        ("instance_type: m5.large\nimage:", "line 5, column 10: sizes.small.image: has no value"),
        ("instance_type: m5.large\ntemplate: job.yaml", "line 5, column 15: sizes.small.template: `job.yaml`: there is no such file"),
        ("instance_type: m5.large\nprice_per_hour: -1", "line 5, column 21: sizes.small.price_per_hour: `-1` is not a price; write it like `0.42`"),
        ("instance_type: m5.large\nfallback: small", "line 5, column 5: sizes.small.fallback: goes round in a circle: small → small"),
    ] {
        assert_problem(&with_size(lines), expected);
    }
}

#[test]
fn problems_between_sizes_are_found() {
    let two = |first: &str, second: &str| format!("version: 1\nsizes:\n  a: {first}\n  b: {second}\n");
    for (text, expected) in [
        (
            two("{instance_type: m5.large, fallback: b}", "{instance_type: m5.large, fallback: a}"),
            "line 3, column 32: sizes.a.fallback: goes round in a circle: a → b → a",
        ),
        (
            two(
                "{instance_type: m5.large, node_group: g, node_selector: {s: a}}",
                "{instance_type: m5.xlarge, node_group: g, node_selector: {s: b}}",
            ),
            "line 4, column 33: sizes.b.node_group: `g` also belongs to size `a`, which has other machines",
        ),
        (
            two("{instance_type: m5.large, node_pool: g}", "{instance_type: m5.large, node_pool: g, node_selector: {s: b}}"),
            "line 3, column 3: sizes.a: shares `g` with size `b`, so it needs a `node_selector` that the group's nodes have",
        ),
    ] {
        assert_problem(&text, expected);
    }
}

#[test]
fn a_map_for_a_newer_sbrun_says_only_that() {
    let newer = "version: 1\nrequires: '>=99.1'\nfuture: 1\nfuture: 2\nsizes: {a: {new: 1}}";
    assert_eq!(
        problems(newer),
        [format!("line 2, column 11: requires: this map needs sbrun >=99.1, and this is {}: upgrade sbrun", env!("CARGO_PKG_VERSION"))]
    );
    assert_eq!(problems("version: 2\nfuture: 1"), ["line 1, column 10: version: this sbrun reads version 1 of the map, not 2: upgrade sbrun"]);
    for fine in ["'>=0.2'", "0.1.0", "'>= 0.2.0'"] {
        assert_eq!(problems(&format!("{GOOD}requires: {fine}")), Vec::<String>::new(), "{fine}");
    }
}

#[test]
fn what_may_be_wrong_is_a_warning() {
    let warnings = |text: &str| map(text).warnings.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        warnings(&with_size("instance_type: m9x.large\nfootprint: {cpu: 1, memory: 1Gi}")),
        ["line 4, column 5: sizes.small.instance_type: unknown instance type `m9x.large`; did you mean `m1.large`?"]
    );
    // 6903 MiB are sure, 7518 MiB are possible, and 512 MiB are for daemon sets.
    assert_eq!(
        warnings(&with_size("instance_type: m5.large\nfootprint: {cpu: 1, memory: 7000Mi}")),
        ["line 5, column 5: sizes.small.footprint: 6.8 GiB are asked for, and `m5.large` may have only 6.2 GiB for pods, after what is reserved"]
    );
    assert_eq!(warnings(&with_size("instance_type: m5.large\nfootprint: {cpu: 1500m, memory: 6Gi}")), Vec::<String>::new());
}

#[test]
fn an_error_lists_the_problems_as_causes() {
    let found = InstanceMap::parse("version: 1\nx: 1\nsizes: {}", "maps/instance-map.yaml", &mut no_templates).expect_err("problems");
    let error = Error::from(found);
    assert_eq!(error.to_string(), "the instance map `maps/instance-map.yaml` has 2 problems");
    assert_eq!(error.kind(), crate::error::ErrorKind::Rejected);
    assert!(error.causes()[0].starts_with("line 2, column 1: x: unknown key `x`"), "{:?}", error.causes());
    assert_eq!(error.causes()[1..], ["line 3, column 1: sizes: there is no size; write at least one"]);
    let many = (0..80).map(|number| format!("x{number}: 1\n")).collect::<Vec<_>>().concat();
    let error = Error::from(InstanceMap::parse(&many, "m", &mut no_templates).expect_err("problems"));
    assert_eq!((error.causes().len(), error.causes().last().map(String::as_str)), (51, Some("and 32 more")));
}

#[test]
fn a_size_says_where_its_jobs_run() {
    let sizes = map("version: 1\nsizes:\n  a: {instance_type: m5.large, node_group: g, spot: true}\n  b: {footprint: {cpu: 1, memory: 1Gi}, node_pool: p, node_selector: {w: x}, tolerations: []}\n").sizes;
    let toleration = Toleration { key: Some("sbrun.dev/size".into()), operator: Some("Equal".into()), value: Some("a".into()), effect: None };
    assert_eq!(
        sizes[0].placement(),
        Placement {
            region: None,
            cluster: None,
            node_groups: vec!["g".into()],
            node_pool: None,
            instance_types: vec!["m5.large".into()],
            spot: Some(true),
            node_selector: [("sbrun.dev/size".to_owned(), "a".to_owned())].into(),
            tolerations: vec![toleration],
        }
    );
    let expected = Placement { node_pool: Some("p".into()), node_selector: [("w".to_owned(), "x".to_owned())].into(), ..Placement::default() };
    assert_eq!(sizes[1].placement(), expected);
}

#[test]
fn a_footprint_is_computed_from_the_smallest_machine() {
    let footprint = |lines: &str| {
        let map = map(&with_size(lines));
        let footprint = map.sizes[0].footprint(&map.defaults);
        (footprint.cpu.0, footprint.memory.mib(), footprint.gpu)
    };
    // m5.xlarge: 3920m and 14162 MiB.
    assert_eq!(footprint("instance_type: m5.xlarge"), (3670, 13650, 0));
    assert_eq!(footprint("instance_type: m5.xlarge\nreserved: {cpu: '0', memory: 0}"), (3920, 14162, 0));
    assert_eq!(footprint("instance_type: m5.xlarge\njobs_per_node: 3"), (1220, 4550, 0));
    assert_eq!(footprint("instance_types: [m5.xlarge, m5.large]"), (1680, 6391, 0));
    assert_eq!(footprint("instance_type: g5.12xlarge\njobs_per_node: 2").2, 2);
    assert_eq!(footprint("instance_type: g5.12xlarge\ngpu: 0").2, 0);
    assert_eq!(footprint("instance_type: g5.xlarge\nfootprint: {cpu: 1, memory: 1Gi}\ngpu: 1"), (1000, 1024, 1));
}

#[test]
fn sizes_are_found_or_suggested() {
    let map = map(include_str!("../../../instance-map.yaml"));
    assert_eq!(map.size(&SizeName("large".into())).map(|size| size.name.0.as_str()).ok(), Some("large"));
    let error = map.size(&SizeName("xlarg".into())).expect_err("unknown");
    assert_eq!(error.to_string(), "unknown size `xlarg`");
    let hints = ["did you mean `xlarge`?", "the instance map `instance-map.yaml` offers `small`, `medium`, `large`, `xlarge` and `xlarge-od`"];
    assert_eq!(error.hints(), hints);
    let larger = map.sizes_holding(&crate::model::footprint::Footprint { cpu: Cpu(7000), ..Default::default() });
    assert_eq!(larger.iter().map(|size| size.name.0.as_str()).collect::<Vec<_>>(), ["large", "xlarge", "xlarge-od"]);
}

#[test]
fn the_next_size_has_more_memory_and_no_less_of_anything_else() {
    let size = |name: &str, cpu: u32, memory: &str, more: &str| format!("  {name}: {{footprint: {{cpu: {cpu}, memory: {memory}}}{more}}}\n");
    let sizes = [
        size("small", 4, "8Gi", ""),
        size("narrow", 2, "16Gi", ""),
        size("gpu", 8, "16Gi", ", gpu: 1"),
        size("dear", 4, "32Gi", ", price_per_hour: 3"),
        size("cheap", 4, "32Gi", ", price_per_hour: 2"),
        size("spot", 4, "32Gi", ", spot: true, price_per_hour: 1"),
        size("huge-spot", 8, "64Gi", ", spot: true"),
        size("huge", 8, "64Gi", ""),
    ];
    let map = map(&format!("version: 1\nsizes:\n{}", sizes.concat()));
    let after = |name: &str, memory: Option<&str>| {
        let profile = map.size(&SizeName(name.into())).expect("a size");
        let mut had = profile.footprint(&map.defaults);
        had.memory = memory.map_or(had.memory, |memory| memory.parse().expect("an amount"));
        map.next_size(profile, &had).map(|size| size.name.0.as_str())
    };
    assert_eq!(after("small", None), Some("cheap"), "no fewer CPUs, no GPU, the same kind of machine, then the price");
    assert_eq!(after("narrow", None), Some("cheap"));
    assert_eq!(after("spot", None), Some("huge-spot"));
    assert_eq!((after("huge", None), after("huge-spot", None), after("gpu", None)), (None, None, None));
    assert_eq!(after("dear", Some("9Gi")), Some("dear"), "what it has and did not use");
}

#[test]
fn another_cluster_is_refused_and_the_fitting_context_named() {
    let map = map(&format!("{GOOD}cluster: {{server: 'https://ABC.eks.amazonaws.com', region: eu-west-1, name: prod}}"));
    let contexts = |list: &[(&str, &str)]| list.iter().map(|(context, server)| ((*context).to_owned(), (*server).to_owned())).collect::<Vec<_>>();
    assert!(map.check_cluster("https://abc.eks.amazonaws.com:443/", &[]).is_ok());
    let hints = |list: &[(&str, &str)]| map.check_cluster("https://other", &contexts(list)).expect_err("another").hints().to_vec();
    assert_eq!(hints(&[("a", "https://other"), ("b", "https://abc.eks.amazonaws.com")]), ["add `--context b`"]);
    assert_eq!(
        hints(&[("b", "https://abc.eks.amazonaws.com"), ("c", "https://abc.eks.amazonaws.com/")]),
        ["add `--context b`; these contexts fit: `b` and `c`"]
    );
    assert_eq!(
        hints(&[("a", "https://other")]),
        ["no context of the kubeconfig leads there", "to add one: `aws eks update-kubeconfig --region eu-west-1 --name prod`"]
    );
    let error = map.check_cluster("https://other", &[]).expect_err("another");
    assert_eq!(error.kind(), crate::error::ErrorKind::Rejected);
    assert_eq!(
        error.to_string(),
        "the instance map `instance-map.yaml` is for the cluster `prod` at https://ABC.eks.amazonaws.com, and the current one is at https://other"
    );
}

#[test]
fn missing_defaults_are_filled_in_one_by_one() {
    let of = |defaults: &str| map(&format!("{GOOD}defaults: {defaults}")).defaults;
    let joined = of("{image: a, env: {A: '1', B: '1'}}").or(of("{image: b, timeout: 2h, env: {B: '2', C: '2'}}"));
    let env: Vec<(&str, &str)> = joined.env.iter().map(|(name, value)| (name.as_str(), value.value.as_str())).collect();
    assert_eq!(env, [("A", "1"), ("B", "1"), ("C", "2")]);
    assert_eq!(joined.image.map(|image| image.value), Some("a".into()));
    assert_eq!(joined.timeout.map(|timeout| timeout.value), Some(Duration::from_secs(7200)));
}

#[test]
fn values_keep_the_text_that_was_written() {
    let map = map(&format!("{GOOD}defaults: {{env: {{A: 1.10, B: yes, C: '', D: 007}}}}"));
    let env: Vec<&str> = map.defaults.env.values().map(|value| value.value.as_str()).collect();
    assert_eq!(env, ["1.10", "yes", "", "007"]);
}

#[test]
fn a_template_is_read_and_checked_with_the_map() {
    let text = with_size("instance_type: m5.large\ntemplate: job.yaml");
    let parse = |template: &'static str| {
        InstanceMap::parse(&text, "m", &mut |name| if name == "job.yaml" { Ok(template.to_owned()) } else { Err("other".into()) })
    };
    let map = parse("{apiVersion: batch/v1, kind: Job, spec: {template: {spec: {volumes: []}}}}").expect("a good template");
    let template = map.sizes[0].own.template.as_ref().expect("there").value.clone();
    assert_eq!(template.manifest.pointer("/kind"), Some(&"Job".into()));
    let found = parse("{apiVersion: batch/v1, kind: Job, spec: {backoffLimit: 3, parallelism: 2}}").expect_err("two problems");
    let expected = [
        "line 5, column 15: sizes.small.template: `job.yaml`: `spec.backoffLimit` is 3, it can only be 0: one owner of retries: use `infrastructure_retries`",
        "line 5, column 15: sizes.small.template: `job.yaml`: `spec.parallelism` is 2, it can only be 1: a job is one pod",
    ];
    assert_eq!(found.problems.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
}

/// Lines of a map, of which any number in any order may come.
fn any_line() -> impl Strategy<Value = String> {
    let keys = "(version|requires|cluster|defaults|sizes|small|large|footprint|cpu|memory|instance_type|node_group|fallback|env|reserved|timeout|tolerations|x)";
    let values = "( 1| 2h| 6Gi| small| large| m5.large| \\{\\}| \\[\\]| \\[\\{key: a\\}\\]| \\{cpu: 1, memory: 1Gi\\}| 'x| &a| \\*a| ~|)";
    (0usize..4, keys, values).prop_map(|(depth, key, value)| format!("{}{key}:{value}\n", "  ".repeat(depth)))
}

proptest! {
    #[test]
    fn no_text_makes_the_map_panic(text in "\\PC{0,200}") {
        drop(InstanceMap::parse(&text, "m", &mut no_templates));
    }

    #[test]
    fn no_map_makes_the_map_panic(lines in proptest::collection::vec(any_line(), 0..12)) {
        let text = format!("version: 1\nsizes:\n{}", lines.concat());
        match InstanceMap::parse(&text, "m", &mut no_templates) {
            Ok(map) => prop_assert!(map.sizes.iter().all(|size| size.footprint(&map.defaults).memory.0 > 0)),
            Err(found) => prop_assert!(!found.problems.is_empty()),
        }
    }
}

#[test]
fn a_work_pool_has_a_name_that_prefect_takes() {
    let of = |name: &str| problems(&format!("prefect: {{work_pool: {name}}}\n{GOOD}")).join("; ");
    assert_eq!(of("flows of ours"), "");
    assert_eq!(map(&format!("prefect: {{work_pool: flows}}\n{GOOD}")).prefect.work_pool.map(|pool| pool.value), Some("flows".to_owned()));
    for (bad, words) in [("a/b", "it has `/`"), ("a%b", "it has `%`"), ("Prefect-flows", "begin with `prefect`"), ("' '", "is empty")] {
        assert!(of(bad).contains(words), "{bad}: {}", of(bad));
    }
}
