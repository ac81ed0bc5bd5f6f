//! Charts for terminals of several widths.

use jiff::SignedDuration;

use super::*;
use crate::model::{identity::SizeName, machine_history::Step};

fn time(hours: i64) -> Timestamp {
    "2026-11-25T12:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(hours)
}

fn history() -> MachineHistory {
    let step = |hours, machines| Step { at: time(hours), machines };
    MachineHistory {
        from: time(-24),
        until: time(0),
        steps: vec![step(-24, 0), step(-20, 1), step(-18, 3), step(-10, 2), step(-9, 0), step(-2, 1)],
        launches: 4,
        terminations: 3,
        interruptions: 1,
        failures: Some(vec![Failure { at: time(-19), message: "Could not launch Spot Instances.".into() }]),
        machine_seconds: 30 * 3600,
        unknown: Vec::new(),
    }
}

fn histories() -> Histories {
    let of = |size: &str| GroupSurvey { size: Some(SizeName(size.into())), node_groups: vec![format!("flows-{size}")], ..GroupSurvey::default() };
    let empty = MachineHistory::from_lives(&[], time(-1), time(0));
    let entries =
        vec![HistoryEntry::new(&of("xlarge"), history(), "scaling_activities", Some(0.42)), HistoryEntry::new(&of("small"), empty, "cluster", None)];
    Histories::new(time(-24), time(0), entries, vec!["AWS: there are no credentials".into()])
}

#[test]
fn in_a_pipe() {
    insta::assert_snapshot!(histories().charts(None));
}

#[test]
fn on_40_columns() {
    insta::assert_snapshot!(histories().charts(Some(40)));
}

#[test]
fn sentences_say_what_charts_do_not() {
    insta::assert_snapshot!(histories().sentences().join("\n"));
}

#[test]
fn as_a_document() {
    let document = serde_json::to_value(histories()).unwrap();
    let group = &document["node_groups"][0];
    assert_eq!(group["series"][1], serde_json::json!({"time": "2026-11-24T16:00:00Z", "machines": 1}));
    assert_eq!((group["machine_seconds"].as_u64(), group["cost"].as_f64()), (Some(108_000), Some(12.6)));
    assert_eq!(group["failures"][0]["message"], "Could not launch Spot Instances.");
    assert!(document["node_groups"][1]["cost"].is_null());
    assert!(group.get("history").is_none());
}

#[test]
fn as_svg() {
    let svg = histories().svg().unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
    for text in ["xlarge (flows-xlarge)", "up to 3 machines", "small (flows-small)", "polygon", "now"] {
        assert!(svg.contains(text), "{text}: {svg}");
    }
}
