//! Scale states told from values, and from what real autoscalers left at every moment of the recordings.

mod builders;
mod closed;
mod joining;
mod recordings;

use super::*;

#[test]
fn states_are_told_from_numbers() {
    let facts = |desired, maximum, present, booting, leaving| ScaleFacts { desired, maximum, present, booting, leaving, ..ScaleFacts::default() };
    for (facts, state) in [
        (facts(Some(0), Some(5), Some(0), Some(0), Some(0)), Some(ScaleState::Empty)),
        (facts(Some(2), Some(5), Some(2), Some(0), Some(0)), Some(ScaleState::Steady)),
        (facts(Some(2), Some(5), Some(1), Some(0), Some(0)), Some(ScaleState::ScalingUp)),
        (facts(Some(2), Some(5), Some(2), Some(1), Some(0)), Some(ScaleState::ScalingUp)),
        (facts(Some(1), Some(5), Some(2), Some(0), Some(0)), Some(ScaleState::ScalingDown)),
        (facts(Some(1), Some(5), Some(1), Some(0), Some(1)), Some(ScaleState::ScalingDown)),
        (facts(Some(5), Some(5), Some(5), Some(0), Some(0)), Some(ScaleState::AtMaximum)),
        (facts(Some(5), Some(5), Some(4), Some(1), Some(0)), Some(ScaleState::ScalingUp)),
        (facts(Some(0), Some(0), Some(0), Some(0), Some(0)), Some(ScaleState::AtMaximum)),
        // Without any autoscaler the nodes have to do, and without those nothing is known.
        (facts(None, None, Some(0), Some(0), Some(0)), Some(ScaleState::Empty)),
        (facts(None, None, Some(3), None, None), Some(ScaleState::Steady)),
        (facts(Some(3), Some(5), None, None, None), Some(ScaleState::Steady)),
        (facts(None, Some(5), None, None, None), None),
    ] {
        assert_eq!(facts.state(), state, "{facts:?}");
    }
    let failing = ScaleFacts { desired: Some(1), present: Some(0), is_failing: true, ..ScaleFacts::default() };
    assert_eq!(failing.state(), Some(ScaleState::Failing));
    let full = ScaleFacts { desired: Some(2), present: Some(2), is_at_limit: true, ..ScaleFacts::default() };
    assert_eq!(full.state(), Some(ScaleState::AtMaximum));
}
