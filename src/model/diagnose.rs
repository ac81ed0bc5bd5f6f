//! From evidence to story: the one place that knows causes.

use jiff::Timestamp;

use crate::model::{
    evidence::Evidence,
    story::{Phase, Story},
};

/// Returns what `evidence` means at `now`.
#[must_use]
pub fn diagnose(evidence: &Evidence, now: Timestamp) -> Story {
    let _ = (evidence, now);
    Story {
        phase: Phase::Submitted,
        phases: Vec::new(),
        attempts: 0,
        cause: None,
        details: Vec::new(),
        verdict: None,
        held_until: None,
        unknown: Vec::new(),
    }
}
