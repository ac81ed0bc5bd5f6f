//! What holds for every scenario.

use super::{
    builders::at,
    scenarios::{
        Expected::{Hopeless, Over, Waits},
        Scenario, scenarios,
    },
};
use crate::model::{
    diagnose::diagnose,
    outcome::Outcome::{Cancelled, Lost, NoNode},
    reason::Reason,
};

#[test]
fn every_scenario_comes_out_as_it_must() {
    for Scenario { name, evidence, now, expected } in scenarios() {
        let story = diagnose(&evidence, at(now));
        let found = match (&story.verdict, &story.cause) {
            (Some(verdict), _) => Some(Over(verdict.outcome, verdict.cause.reason, verdict.exit_code, verdict.flow_exit_code)),
            (None, Some(cause)) if cause.hopeless => Some(Hopeless(cause.reason, story.phase)),
            (None, Some(cause)) => Some(Waits(cause.reason, story.phase)),
            (None, None) => None,
        };
        assert_eq!(found, Some(expected), "{name}: {story:#?}");
    }
}

#[test]
fn every_reason_has_a_scenario() {
    let reason = |scenario: &Scenario| match scenario.expected {
        Waits(reason, _) | Hopeless(reason, _) | Over(_, reason, ..) => reason,
    };
    let shown: Vec<Reason> = scenarios().iter().map(reason).collect();
    let missing: Vec<&Reason> = Reason::ALL.iter().filter(|reason| !shown.contains(reason)).collect();
    assert_eq!(missing, Vec::<&Reason>::new());
}

#[test]
fn texts_follow_the_house_rules() {
    for Scenario { name, evidence, now, .. } in scenarios() {
        let story = diagnose(&evidence, at(now));
        for cause in story.verdict.iter().map(|verdict| &verdict.cause).chain(&story.cause).chain(&story.details) {
            let first = cause.summary.chars().next().expect("a summary");
            assert!(!first.is_uppercase() && !cause.summary.ends_with('.') && !cause.summary.contains('\n'), "{name}: {}", cause.summary);
            assert!(!cause.summary.contains("Some(") && !cause.summary.contains("  "), "{name}: {}", cause.summary);
            assert!(cause.evidence.iter().all(|proof| !proof.source.is_empty() && !proof.text.is_empty()), "{name}: {:?}", cause.evidence);
        }
    }
}

#[test]
fn only_what_may_be_repeated_is_advised_to_be() {
    for Scenario { name, evidence, now, .. } in scenarios() {
        let Some(verdict) = diagnose(&evidence, at(now)).verdict else { continue };
        let repeats = verdict.cause.next.iter().any(|next| next == "sbrun rerun etl-1");
        let may = matches!(verdict.outcome, Lost | NoNode | Cancelled);
        assert!(may || !repeats, "{name}: {:?}", verdict.cause.next);
    }
}
