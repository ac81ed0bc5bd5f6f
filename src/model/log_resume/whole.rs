//! A log that no longer grows, read from its start: bytes can be counted, so that no line needs a stamp.

use crate::model::job_event::{Gap, LogEvent};

/// As many bytes before a break have to be there again after it.
const ANCHOR: usize = 1024;
/// About the size of an event.
const BATCH: usize = 64 * 1024;

/// The state of a log that is read as a whole. A new stream starts at the beginning, and what was emitted is skipped.
#[derive(Debug, Default)]
pub struct WholeLog {
    emitted: u64,
    /// The last bytes that were emitted.
    anchor: Vec<u8>,
    skip: u64,
    /// The last bytes that were skipped.
    skipped: Vec<u8>,
    events: Vec<LogEvent>,
}

impl WholeLog {
    /// Takes bytes of a stream, cut anywhere.
    pub fn feed(&mut self, bytes: &[u8]) {
        let known = bytes.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
        let (known, new) = bytes.split_at(known);
        if !known.is_empty() {
            self.skip -= known.len() as u64;
            keep_end(&mut self.skipped, known);
            if self.skip == 0 && self.skipped != self.anchor {
                let why = "the log was rotated on its node while it was read".to_owned();
                self.events.push(LogEvent::Gap(Gap { after: None, until: None, why }));
            }
        }
        if new.is_empty() {
            return;
        }
        self.emitted += new.len() as u64;
        match self.events.last_mut() {
            Some(LogEvent::Bytes { bytes, .. }) if bytes.len() + new.len() <= BATCH => bytes.extend_from_slice(new),
            _ => self.events.push(LogEvent::Bytes { at: None, times: Vec::new(), bytes: new.to_vec() }),
        }
    }

    /// Notes that a stream broke, and that the next one starts at the beginning.
    pub fn reconnect(&mut self) {
        self.skip = self.emitted;
        self.skipped.clear();
    }

    /// Notes that a stream came to the end of the log.
    pub fn finish(&mut self) {
        if self.skip > 0 {
            let why = "the log is shorter than it was".to_owned();
            self.events.push(LogEvent::Gap(Gap { after: None, until: None, why }));
        }
    }

    /// Returns whether a full batch is waiting.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.events.len() > 1 || matches!(self.events.first(), Some(LogEvent::Bytes { bytes, .. }) if bytes.len() >= BATCH / 2)
    }

    /// Returns what has come out since the last time, in order.
    pub fn take(&mut self) -> Vec<LogEvent> {
        let newest = self.events.iter().rev().find_map(|event| if let LogEvent::Bytes { bytes, .. } = event { Some(bytes) } else { None });
        if let Some(bytes) = newest {
            keep_end(&mut self.anchor, bytes);
        }
        std::mem::take(&mut self.events)
    }
}

/// Appends bytes and keeps the last [`ANCHOR`] of all.
fn keep_end(end: &mut Vec<u8>, bytes: &[u8]) {
    end.extend_from_slice(&bytes[bytes.len().saturating_sub(ANCHOR)..]);
    end.drain(..end.len().saturating_sub(ANCHOR));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn joined(events: Vec<LogEvent>) -> (Vec<u8>, usize) {
        let mut gaps = 0;
        let bytes = events.into_iter().flat_map(|event| {
            if let LogEvent::Bytes { bytes, .. } = event {
                return bytes;
            }
            gaps += 1;
            Vec::new()
        });
        (bytes.collect(), gaps)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn broken_streams_make_one_log(
            text in proptest::collection::vec(any::<u8>(), 0..5000),
            breaks in proptest::collection::vec((0usize..5000, 1usize..3000), 0..6),
        ) {
            let (mut log, mut events) = (WholeLog::default(), Vec::new());
            for (end, piece) in breaks {
                for piece in text[..end.min(text.len())].chunks(piece) {
                    log.feed(piece);
                    events.extend(log.take());
                }
                log.reconnect();
            }
            log.feed(&text);
            log.finish();
            events.extend(log.take());
            prop_assert_eq!(joined(events), (text, 0));
        }
    }

    #[test]
    fn another_log_in_the_same_place_is_a_gap() {
        let mut log = WholeLog::default();
        log.feed(b"one two ");
        let mut events = log.take();
        log.reconnect();
        log.feed(b"ten elevthree");
        events.extend(log.take());
        assert_eq!(joined(events), (b"one two three".to_vec(), 1));
        log.reconnect();
        log.feed(b"short");
        log.finish();
        assert_eq!(joined(log.take()), (Vec::new(), 1));
    }
}
