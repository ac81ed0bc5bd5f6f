use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{
    error::{Error, ErrorKind, Result},
    model::{
        footprint::Footprint,
        instance_map::{Defaults, InstanceMap},
        launch_plan::OnInterrupt,
        quantity::{Cpu, Memory},
    },
};

const MAP: &str = "\
version: 1
cluster: {namespace: flows}
defaults:
  timeout: 3h
  env: {TZ: UTC, LEVEL: info}
  labels: {team: data}
  template: job.yaml
sizes:
  small: {footprint: {cpu: 1500m, memory: 6Gi}}
  large:
    footprint: {cpu: 8, memory: 60Gi}
    timeout: 5h
    env: {LEVEL: debug}
";

fn map() -> InstanceMap {
    let template = "{apiVersion: batch/v1, kind: Job}";
    InstanceMap::parse(MAP, "instance-map.yaml", &mut |_| Ok(template.to_owned())).expect("a good map")
}

fn variables(pairs: &[(&str, &str)]) -> Variables {
    Variables::from(&pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

/// Resolves flags, variables, a flow's header and the map above.
fn resolved(flags: &Flags, pairs: &[(&str, &str)], header: &str) -> Result<Settings> {
    let (map, directives) = (map(), Directives::parse(header, "flow.py")?);
    let layers = Layers {
        flags,
        variables: &variables(pairs),
        directives: &directives,
        map: Some(&map),
        user_defaults: &Defaults::default(),
        in_pipeline: false,
    };
    resolve(&layers)
}

#[test]
fn the_strongest_layer_decides_and_is_named() {
    let flags = Flags { timeout: Some("1h".into()), ..Flags::default() };
    let pairs: &[_] = &[("SBRUN_TIMEOUT", "2h"), ("SBRUN_SIZE", "large")];
    let header = "# sbrun: timeout=4h size=small\n";
    let timeout = |flags: &Flags, pairs: &[(&str, &str)], header: &str| {
        let timeout = resolved(flags, pairs, header).expect("good settings").timeout;
        (timeout.value.as_secs() / 3600, timeout.origin.to_string())
    };
    let none = Flags::default();
    assert_eq!(timeout(&flags, pairs, header), (1, "flag --timeout".into()));
    assert_eq!(timeout(&none, pairs, header), (2, "variable SBRUN_TIMEOUT".into()));
    assert_eq!(timeout(&none, &pairs[1..], header), (4, "directive in flow.py line 1".into()));
    assert_eq!(timeout(&none, &pairs[1..], ""), (5, "size large in instance-map.yaml line 12".into()));
    assert_eq!(timeout(&none, &[("SBRUN_SIZE", "small")], ""), (3, "defaults in instance-map.yaml line 4".into()));
    let settings = resolved(&none, &[], "").expect("good settings");
    assert_eq!((settings.grace.value, settings.grace.origin.to_string()), (Duration::from_secs(110), "built-in".into()));
    assert_eq!(settings.namespace.map(|namespace| namespace.origin.to_string()), Some("cluster in instance-map.yaml line 2".into()));
}

#[test]
fn variables_and_labels_join_one_by_one() {
    let flags = Flags { env: vec!["A=1".into(), "A=2".into()], label: vec!["team=ops".into()], ..Flags::default() };
    let settings =
        resolved(&flags, &[("SBRUN_ENV", "B='two words' TZ=CET"), ("SBRUN_SIZE", "large")], "# sbrun: env=C=3 env=B=x\n").expect("good settings");
    let pairs = |settings: &BTreeMap<String, Setting<String>>| {
        settings.iter().map(|(name, setting)| format!("{name}={} {}", setting.value, setting.origin)).collect::<Vec<_>>()
    };
    let expected = [
        "A=2 flag --env",
        "B=two words variable SBRUN_ENV",
        "C=3 directive in flow.py line 1",
        "LEVEL=debug size large in instance-map.yaml line 13",
        "TZ=CET variable SBRUN_ENV",
    ];
    assert_eq!(pairs(&settings.env), expected);
    assert_eq!(pairs(&settings.labels), ["team=ops flag --label"]);
}

#[test]
fn lists_of_all_layers_count() {
    let flags = Flags { include: vec!["c".into()], ..Flags::default() };
    let settings = resolved(&flags, &[("SBRUN_INCLUDE", "b1 b2")], "# sbrun: include=a").expect("good settings");
    assert_eq!(settings.include.iter().map(|setting| setting.value.as_str()).collect::<Vec<_>>(), ["a", "b1", "b2", "c"]);
}

#[test]
fn cpu_and_memory_stay_within_the_size() {
    let flags = |cpu: Option<&str>, memory: Option<&str>| Flags {
        size: Some("small".into()),
        cpu: cpu.map(Into::into),
        memory: memory.map(Into::into),
        ..Flags::default()
    };
    let footprint = |flags: &Flags| resolved(flags, &[], "").map(|settings| settings.footprint);
    let expected = |cpu, memory| Footprint { cpu: Cpu(cpu), memory: Memory::from_mib(memory), ..Footprint::default() };
    assert_eq!(footprint(&flags(None, None)).ok(), Some(Some(expected(1500, 6144))));
    assert_eq!(footprint(&flags(Some("1"), Some("2Gi"))).ok(), Some(Some(expected(1000, 2048))));
    let error = footprint(&flags(Some("4"), Some("10Gi"))).expect_err("too much");
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (
            ErrorKind::Rejected,
            "4 CPUs are asked for by flag --cpu, and size `small` gives 1.5 CPUs; 10 GiB are asked for by flag --memory, and size `small` gives 6 GiB"
        )
    );
    assert_eq!(error.hints(), ["sizes that give that much: `large`"]);
    let error = footprint(&flags(Some("400"), None)).expect_err("too much");
    assert_eq!(error.hints(), ["no size of the instance map gives that much"]);
}

#[test]
fn an_unknown_size_names_who_asked() {
    let error = resolved(&Flags::default(), &[], "# sbrun: size=larg").expect_err("unknown");
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Rejected, "unknown size `larg`"));
    assert_eq!(error.hints().last().map(String::as_str), Some("it is asked for by directive in flow.py line 1"));
}

#[test]
fn what_cannot_be_read_names_its_origin() {
    let error = resolved(&Flags { timeout: Some("90".into()), ..Flags::default() }, &[], "").expect_err("no unit");
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Usage, "flag --timeout: `90` has no unit; write it like `90s` or `90m`"));
    let pairs: &[_] = &[("SBRUN_LEASE", "5s"), ("SBRUN_ENV", "A='x")];
    let error = resolved(&Flags { cpu: Some("many".into()), ..Flags::default() }, pairs, "").expect_err("three problems");
    assert_eq!(error.to_string(), "3 settings cannot be used");
    assert_eq!(
        error.causes(),
        [
            "variable SBRUN_ENV: the quote ' is not closed",
            "flag --cpu: `many` is not an amount; write it like `2`, `0.5` or `1500m`",
            "variable SBRUN_LEASE: `5s` is less than 10s: a short loss of the connection would end the job",
        ]
    );
}

#[test]
fn without_a_map_the_users_defaults_and_what_is_built_in_hold() {
    let user = map().defaults;
    let layers = Layers {
        flags: &Flags { size: Some("any".into()), ..Flags::default() },
        variables: &Variables::default(),
        directives: &Directives::default(),
        map: None,
        user_defaults: &user,
        in_pipeline: true,
    };
    let settings = resolve(&layers).expect("good settings");
    assert_eq!((settings.timeout.value.as_secs(), settings.footprint), (3 * 3600, None));
    assert_eq!(settings.on_interrupt, Setting::built_in(OnInterrupt::Cancel));
    assert!(matches!(settings.template, Some(Setting { value: TemplateChoice::Loaded(_), .. })));
    assert_eq!(settings.limits().timeout, Duration::from_secs(3 * 3600));
}

#[test]
fn directives_stand_in_the_header() {
    let source =
        "#!/usr/bin/env python3\n# A flow.\n\n#sbrun: size=large\n  # sbrun: image=\"a b\" pending-timeout=1h\nimport os\n# sbrun: timeout=1h\n";
    let error = Directives::parse(source, "flow.py").expect_err("a bad image");
    assert_eq!(error.to_string(), "the `sbrun:` comments of `flow.py` have a problem");
    assert_eq!(error.causes(), ["line 5: image: `a b` is not an image; write it like `registry.example/flows:1`"]);
    let directives = Directives::parse(&source.replace("a b", "a"), "flow.py").expect("good directives");
    let found: Vec<String> = directives.texts.values().flatten().map(|setting| format!("{} {}", setting.value, setting.origin)).collect();
    assert_eq!(found, ["large directive in flow.py line 4", "a directive in flow.py line 5", "1h directive in flow.py line 5"]);
    assert_eq!(directives.warnings, ["flow.py line 7: this `sbrun:` comment stands below the first code, so it is not read"]);
    assert_eq!(Directives::parse("\u{feff}// sbrun: size=a\nfn main() {}", "flow.rs").map(|found| found.texts.len()).ok(), Some(1));
    assert_eq!(Directives::parse("", "flow.py").ok(), Some(Directives::default()));
}

#[test]
fn all_problems_of_a_header_come_at_once() {
    let causes = |error: Error| error.causes();
    let source = "# sbrun: sise=large timeout=90\n# sbrun: context=prod big\n# sbrun:\n# sbrun: size=a size=b name='x\n# sbrun: size=a size=b\n";
    assert_eq!(
        causes(Directives::parse(source, "flow.py").expect_err("problems")),
        [
            "line 1: unknown key `sise`; did you mean `size`?",
            "line 1: timeout: `90` has no unit; write it like `90s` or `90m`",
            "line 2: `context` is personal and cannot stand in a flow; use the flag or the variable",
            "line 2: `big` has no `=`; write it like `size=large`",
            "line 3: nothing follows; write it like `# sbrun: size=large timeout=2h`",
            "line 4: the quote ' is not closed",
            "line 5: `size` is there twice, first as `a`",
        ]
    );
}

#[test]
fn unknown_variables_are_warned_of() {
    let found = variables(&[
        ("SBRUN_TIMOUT", "1h"),
        ("SBRUN_USER", "ana"),
        ("SBRUN_SIZE", ""),
        ("PATH", "/bin"),
        ("SBRUN_MAP", "m.yaml"),
        ("SBRUN_ZZZZZZZZZ", "1"),
    ]);
    assert_eq!(
        found.warnings,
        [
            "the variable `SBRUN_TIMOUT` means nothing to sbrun; did you mean `SBRUN_TIMEOUT`?",
            "the variable `SBRUN_ZZZZZZZZZ` means nothing to sbrun"
        ]
    );
    assert_eq!(found.texts.keys().collect::<Vec<_>>(), [&Key::Map]);
}

#[test]
fn every_setting_is_listed_with_its_origin() {
    let flags = Flags { size: Some("large".into()), memory: Some("2Gi".into()), ..Flags::default() };
    let listed = resolved(&flags, &[], "").expect("good settings").listed();
    let lines: Vec<String> =
        listed.iter().filter_map(|listed| Some(format!("{}: {} ({})", listed.key, listed.value.as_ref()?, listed.origin.as_ref()?))).collect();
    let expected = [
        "size: large (flag --size)",
        "memory: 2Gi (flag --memory)",
        "timeout: 5h (size large in instance-map.yaml line 12)",
        "pending_timeout: 20m (built-in)",
        "queue_timeout: 12h (built-in)",
        "grace: 1m50s (built-in)",
        "finished_ttl: 7d (built-in)",
        "lease: 10m (built-in)",
        "infrastructure_retries: 0 (built-in)",
        "on_interrupt: detach (built-in)",
        "on_no_capacity: wait (built-in)",
        "on_oom: fail (built-in)",
        "prefect: auto (built-in)",
        "env.LEVEL: debug (size large in instance-map.yaml line 13)",
        "env.TZ: UTC (defaults in instance-map.yaml line 5)",
        "label.team: data (defaults in instance-map.yaml line 6)",
        "run_as_user: 65532 (built-in)",
        "template: job.yaml (defaults in instance-map.yaml line 7)",
        "keep_logs: true (built-in)",
        "namespace: flows (cluster in instance-map.yaml line 2)",
    ];
    assert_eq!(lines, expected);
    assert_eq!(
        listed.iter().filter(|listed| listed.value.is_none()).map(|listed| listed.key.as_str()).collect::<Vec<_>>(),
        ["name", "image", "cpu", "stall_timeout", "service_account", "logs_url", "root", "context", "map"]
    );
}

#[test]
fn names_of_keys_are_spelled_one_way_everywhere() {
    for key in Key::ALL {
        assert_eq!(Key::from_name(key.name()), Some(key));
    }
    assert_eq!((Key::PendingTimeout.flag(), Key::PendingTimeout.variable()), ("--pending-timeout".into(), "SBRUN_PENDING_TIMEOUT".into()));
}

proptest! {
    #[test]
    fn no_header_makes_the_reader_panic(text in "(# ?sbrun:[ a-z='\"\\-]{0,30}\n|\\PC{0,20}\n){0,5}") {
        drop(Directives::parse(&text, "flow.py"));
    }
}
