//! How long somebody has not answered, and when that is to be said again.

use jiff::{SignedDuration, Timestamp};

/// How often an outage is mentioned.
const REMIND: SignedDuration = SignedDuration::from_secs(30);

/// Whether somebody answers.
#[derive(Debug, Default)]
pub(super) struct Outage(Option<Silence>);

/// Since when there has been no answer, and when that was last said.
#[derive(Debug)]
struct Silence {
    since: Timestamp,
    said: Option<Timestamp>,
}

impl Outage {
    /// Returns whether there is no answer at present.
    pub(super) fn lasts(&self) -> bool {
        self.0.is_some()
    }

    /// Notes that there is no answer; returns for how many seconds, when it is time to say so.
    pub(super) fn missed(&mut self, now: Timestamp) -> Option<i64> {
        let silence = self.0.get_or_insert(Silence { since: now, said: None });
        let due = silence.said.is_none_or(|said| now.duration_since(said) >= REMIND);
        due.then(|| {
            silence.said = Some(now);
            now.duration_since(silence.since).as_secs()
        })
    }

    /// Notes an answer; returns after how many seconds it came, when there was none before.
    pub(super) fn answered(&mut self, now: Timestamp) -> Option<i64> {
        self.0.take().map(|silence| now.duration_since(silence.since).as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_said_at_once_and_then_now_and_then() {
        let at = |seconds: i64| Timestamp::from_second(seconds).expect("a small number");
        let mut outage = Outage::default();
        assert_eq!((outage.lasts(), outage.answered(at(0))), (false, None));
        let said: Vec<Option<i64>> = [0, 10, 29, 30, 45, 61].map(|second| outage.missed(at(second))).to_vec();
        assert_eq!(said, [Some(0), None, None, Some(30), None, Some(61)]);
        assert!(outage.lasts());
        assert_eq!((outage.answered(at(70)), outage.lasts()), (Some(70), false));
        assert_eq!((outage.missed(at(80)), outage.answered(at(82)), outage.answered(at(83))), (Some(0), Some(2), None));
    }
}
