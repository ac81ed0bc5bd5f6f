//! Screens of several sizes, as a terminal without colour shows them.

use ratatui::{Terminal, backend::TestBackend};

use super::*;
use crate::{
    model::reason::Reason,
    output::view::node_group::{Hindrance, MachineEntry, NodeGroupEntry, NodeGroups},
};

fn entry(size: &str, state: &'static str, counts: [u32; 5], maximum: u32) -> NodeGroupEntry {
    let [busy, idle, booting, leaving, not_ready] = counts;
    let machine = |index: u32| MachineEntry { node: Some(format!("{size}-{index}")), ..MachineEntry::default() };
    NodeGroupEntry {
        size: Some(size.into()),
        node_groups: vec![format!("flows-{size}")],
        state: Some(state),
        ready: Some(busy + idle),
        busy: Some(busy),
        idle: Some(idle),
        booting: Some(booting),
        leaving: Some(leaving),
        not_ready: Some(not_ready),
        max_size: Some(maximum),
        machines: (0..counts.iter().sum()).map(machine).collect(),
        ..NodeGroupEntry::default()
    }
}

fn document() -> NodeGroups {
    let mut failing = entry("xlarge-spot", "failing", [0, 0, 0, 0, 0], 3);
    failing.jobs_waiting = Some(2);
    failing.hindrances = vec![Hindrance {
        reason: Reason::CapacitySpot,
        summary: "AWS has no spot machine for node group `flows-xlarge-spot` in us-east-1a".into(),
        evidence: Vec::new(),
        next: Vec::new(),
    }];
    NodeGroups {
        schema: 1,
        time: "2026-11-25T14:03:12Z".parse().unwrap(),
        node_groups: vec![entry("small", "scaling_up", [2, 1, 1, 0, 0], 5), entry("large", "scaling_down", [7, 0, 0, 1, 1], 100), failing],
        unknown: Vec::new(),
    }
}

fn view() -> WatchView {
    let step = |minutes: i64, machines| Step { at: document().time - jiff::SignedDuration::from_mins(minutes), machines };
    WatchView::new(document(), vec![step(60, 2), step(45, 8), step(20, 3)], "prod".into(), false)
}

fn screen(view: &WatchView, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view.draw(frame)).unwrap();
    let lines: Vec<String> = terminal.backend().to_string().lines().map(|line| line.trim_matches('"').trim_end().to_owned()).collect();
    format!("\n{}\n", lines.join("\n"))
}

#[test]
fn on_a_wide_terminal() {
    insta::assert_snapshot!(screen(&view(), 120, 30));
}

#[test]
fn on_80_columns() {
    insta::assert_snapshot!(screen(&view(), 80, 24));
}

#[test]
fn on_40_columns() {
    insta::assert_snapshot!(screen(&view(), 40, 24));
}

#[test]
fn on_a_low_terminal_groups_come_first() {
    insta::assert_snapshot!(screen(&view(), 80, 8));
}

#[test]
fn no_terminal_is_too_small() {
    for width in 1..24 {
        for height in 1..16 {
            drop(screen(&view(), width, height));
        }
    }
}

#[test]
fn trouble_takes_the_place_of_the_title_and_what_was_seen_stays() {
    let mut view = view();
    view.trouble("cannot reach the API server: connection refused".into());
    let text = screen(&view, 80, 24);
    assert!(text.contains("seen at 14:03:12 UTC · cannot reach the API server"), "{text}");
    assert!(text.contains("small"), "{text}");
    view.update(document());
    assert!(!screen(&view, 80, 24).contains("cannot reach"));
}

#[test]
fn machines_are_counted_once_and_forgotten_after_an_hour() {
    let mut view = view();
    assert_eq!(machines(&view.document), 13);
    let mut later = document();
    later.time += jiff::SignedDuration::from_mins(50);
    later.node_groups.truncate(1);
    later.node_groups.push(later.node_groups[0].clone());
    view.update(later);
    assert_eq!(view.steps.iter().map(|step| step.machines).collect::<Vec<_>>(), [3, 13, 4]);
}
