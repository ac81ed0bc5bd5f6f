//! What has been emitted of the last second or so, and where in it a new stream stands.

use std::collections::{HashMap, VecDeque};

/// As many lines are remembered; a burst of more in one second loses the older ones.
const REMEMBERED: usize = 64 * 1024;
const SECOND: i64 = 1_000_000_000;
/// Lines of standard output and standard error are stamped before they are put in order.
const DISORDER: i64 = 100_000_000;

/// One line: when it came, and a hash of it or of its first part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    time: i64,
    hash: u64,
}

impl Entry {
    /// Returns the entry of a line; one without any time counts as older than all others.
    pub(super) fn new(time: Option<i64>, body: &[u8]) -> Self {
        Self { time: time.unwrap_or(i64::MIN), hash: hash(body) }
    }
}

/// Returns a quick hash. It only has to tell neighbouring lines apart, and nobody gains from a collision.
fn hash(bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| (hash.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(bytes.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let hash = rest.iter().fold(hash, |hash, byte| mix(hash, u64::from(*byte)));
    hash ^ (hash >> 29)
}

/// What a line of a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It was emitted before.
    Known,
    /// It was emitted before, and it was the last one that was.
    Newest,
    /// It is new.
    New {
        /// Lines between the last emitted one and this one may be missing.
        missing: bool,
    },
}

/// The lines emitted since the second that a new stream would start at, and the place of the present stream in them.
#[derive(Debug, Default)]
pub(super) struct Window {
    entries: VecDeque<Entry>,
    /// The latest time of any line.
    latest: Option<i64>,
    /// Lines up to this time were forgotten because there were too many.
    forgotten: Option<i64>,
    replay: Option<Replay>,
    /// Time of the last line before the newest gap.
    newest_before: Option<i64>,
}

/// A stream that still repeats what was emitted before it.
#[derive(Debug)]
struct Replay {
    /// What it should repeat, in order; never empty.
    expected: Vec<Entry>,
    /// The latest time of that.
    latest: i64,
    /// It is taken to have begun with this one; more than 0 when the start was rotated away.
    start: usize,
    /// So many of its lines have come.
    seen: usize,
    /// Set when the order is not that of before: then what is expected only counts by number.
    counts: Option<HashMap<Entry, usize>>,
}

impl Window {
    /// Returns the second that a new stream has to start at, in nanoseconds.
    pub(super) fn since(&self) -> Option<i64> {
        let latest = self.latest.filter(|latest| *latest != i64::MIN)?;
        Some((latest - DISORDER).div_euclid(SECOND) * SECOND)
    }

    /// Returns the time of the last line that was emitted before a gap.
    pub(super) fn newest_before(&self) -> Option<i64> {
        self.newest_before
    }

    /// Prepares for a stream that repeats. Returns the times of the newest and the latest line if the clock was set
    /// back between them.
    pub(super) fn replay(&mut self) -> Option<(i64, i64)> {
        let newest = self.entries.back()?.time;
        let since = self.since().unwrap_or(i64::MIN);
        let expected: Vec<Entry> = self.entries.iter().copied().filter(|entry| entry.time >= since).collect();
        let latest = expected.iter().map(|entry| entry.time).max();
        self.replay = latest.map(|latest| Replay { expected, latest, start: 0, seen: 0, counts: None });
        self.latest.filter(|_| newest < since).map(|latest| (newest, latest))
    }

    /// Returns whether a stream that has ended did not get as far as what was emitted; then
    /// [`Self::newest_before`] is the end of that.
    pub(super) fn is_unmatched(&mut self) -> bool {
        // With counts, the gap has been told.
        let replay = self.replay.take().filter(|replay| replay.counts.is_none());
        self.newest_before = replay.as_ref().and_then(Replay::newest_time);
        replay.is_some()
    }

    /// Says what the stream's next line is, and remembers it when it is new.
    pub(super) fn step(&mut self, entry: Entry) -> Step {
        let step = match &mut self.replay {
            None => Step::New { missing: false },
            Some(replay) => {
                if replay.seen == 0 && self.forgotten.is_some_and(|forgotten| entry.time <= forgotten && forgotten != i64::MIN) {
                    return Step::Known;
                }
                replay.step(entry)
            }
        };
        if let Step::New { missing } = step {
            let replay = self.replay.take_if(|replay| replay.counts.is_none() || replay.is_past(entry));
            if missing {
                let newest = self.replay.as_ref().or(replay.as_ref()).and_then(Replay::newest_time);
                self.newest_before = newest;
            }
            self.remember(entry);
        } else if step == Step::Newest {
            self.replay = None;
        }
        step
    }

    fn remember(&mut self, entry: Entry) {
        if self.latest.is_none_or(|latest| latest < entry.time) {
            self.latest = Some(entry.time);
        }
        self.entries.push_back(entry);
        let since = self.since().unwrap_or(i64::MIN);
        while self.entries.front().is_some_and(|first| first.time < since) {
            self.entries.pop_front();
        }
        if self.entries.len() > REMEMBERED {
            // All lines of one moment go together, so that what is left begins with a moment of its own.
            let first = self.entries.pop_front().map(|first| first.time);
            while self.entries.len() > 1 && self.entries.front().map(|next| next.time) == first {
                self.entries.pop_front();
            }
            self.forgotten = first;
        }
    }
}

impl Replay {
    fn newest_time(&self) -> Option<i64> {
        self.expected.last().map(|entry| entry.time).filter(|time| *time != i64::MIN)
    }

    /// Returns whether a line is later than everything that was emitted.
    fn is_past(&self, entry: Entry) -> bool {
        self.latest < entry.time
    }

    fn step(&mut self, entry: Entry) -> Step {
        if let Some(counts) = &mut self.counts {
            return match counts.get_mut(&entry).filter(|count| **count > 0) {
                Some(count) => {
                    *count -= 1;
                    Step::Known
                }
                None => Step::New { missing: false },
            };
        }
        if self.expected[self.start + self.seen] == entry {
            return self.advance();
        }
        // The log does not begin where it should: rotated. Find the first place that explains what has come so far.
        let came = &self.expected[self.start..self.start + self.seen];
        let fits = |start: usize| {
            let rest = &self.expected[start..];
            let common = rest.len().min(came.len());
            rest[..common] == came[..common] && rest.get(came.len()).is_none_or(|next| *next == entry)
        };
        let Some(start) = (self.start + 1..self.expected.len()).find(|start| fits(*start)) else {
            return self.unexplained(entry);
        };
        self.start = start;
        match (start + self.seen).cmp(&self.expected.len()) {
            std::cmp::Ordering::Less => self.advance(),
            // The line before this one was the newest.
            std::cmp::Ordering::Equal => Step::New { missing: false },
            // Lines that look like older ones were taken for them.
            std::cmp::Ordering::Greater => Step::New { missing: true },
        }
    }

    /// Takes a line as the expected one.
    fn advance(&mut self) -> Step {
        self.seen += 1;
        if self.start + self.seen == self.expected.len() { Step::Newest } else { Step::Known }
    }

    /// Handles a line that nothing explains: what was last emitted is gone from the log.
    fn unexplained(&mut self, entry: Entry) -> Step {
        if !self.is_past(entry) {
            // It is no later than what was emitted, so more of that may follow: tell by number what is known.
            let mut counts = HashMap::new();
            for known in &self.expected[self.start + self.seen..] {
                *counts.entry(*known).or_default() += 1;
            }
            self.counts = Some(counts);
        }
        Step::New { missing: true }
    }
}
