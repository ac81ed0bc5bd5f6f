//! All tests of sbrun in one binary. `tests/run` sets up what they need.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a failing helper is a failing test; tests/run speaks through variables"
)]

mod common;

mod architecture;
mod cli;
mod generated;
mod scenarios;

use sbrun::model::reason::Reason;

/// A reason code stands in a scenario that brings its cause about.
#[test]
fn no_reason_is_without_a_scenario() {
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")];
    let mut scenarios = String::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                scenarios += &std::fs::read_to_string(path).unwrap();
            }
        }
    }
    let is_named = |reason: &&Reason| scenarios.contains(&format!("\"{reason}\""));
    let missing: Vec<&Reason> = Reason::ALL.iter().filter(|reason| !is_named(reason)).collect();
    assert!(missing.is_empty(), "no file below tests/scenarios brings these about: {missing:?}");
}

/// A test file that is not declared never runs: every file below `tests/` must be named by its parent.
#[test]
fn no_test_file_is_forgotten() {
    let tests = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for (parent, folder) in [
        ("main.rs", "."),
        ("common.rs", "common"),
        ("cli.rs", "cli"),
        ("scenarios.rs", "scenarios"),
        ("scenarios/kwok.rs", "scenarios/kwok"),
        ("scenarios/kwok/cloud.rs", "scenarios/kwok/cloud"),
        ("scenarios/real.rs", "scenarios/real"),
        ("scenarios/real/prefect.rs", "scenarios/real/prefect"),
    ] {
        let declared = std::fs::read_to_string(tests.join(parent)).unwrap();
        for entry in std::fs::read_dir(tests.join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if let Some(module) = name.strip_suffix(".rs").filter(|module| *module != "main") {
                assert!(declared.contains(&format!("mod {module};")), "tests/{folder}/{name} is not declared in tests/{parent}");
            }
        }
    }
}
