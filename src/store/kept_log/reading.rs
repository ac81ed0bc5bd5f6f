//! Reading kept output back.

use std::io::{self, BufReader};

use jiff::Timestamp;

use super::{
    KeptLog,
    format::{Item, Lines, Mark},
    private,
};
use crate::{
    error::{Error, Result},
    model::{
        job_event::{Gap, LogEvent},
        log_resume::Stamps,
        quantity::Memory,
    },
};

/// About the size of an event.
const BATCH: usize = 64 * 1024;

/// What to read of kept output: what can be asked of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Only this many lines from the end.
    pub tail: Option<u64>,
    /// Only from this time on, to the second.
    pub since: Option<Timestamp>,
    /// Whether the platform's time stays before each line.
    pub stamps: Stamps,
}

/// How kept output ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptEnd {
    /// Whether there was no more.
    pub complete: bool,
    /// Time of the last line.
    pub last: Option<Timestamp>,
    /// The last bytes, at most 4 KiB.
    pub tail: Vec<u8>,
}

impl KeptLog {
    /// Tells the output, in order.
    pub fn read(&self, wanted: &Wanted, tell: &mut dyn FnMut(LogEvent) -> Result<()>) -> Result<KeptEnd> {
        let since = wanted.since.and_then(|since| Timestamp::from_second(since.as_second()).ok());
        let mut skip = match wanted.tail {
            Some(tail) => self.count(since)?.saturating_sub(tail),
            None => 0,
        };
        let (mut end, mut batch, mut time) = (KeptEnd { complete: false, last: None, tail: Vec::new() }, Vec::new(), None);
        // What is missing before the first line that is wanted does not matter.
        let mut matters = skip == 0;
        for item in self.lines()? {
            match item.map_err(|error| self.unreadable(error))? {
                Item::Line { at, body } => {
                    time = at.or(time);
                    if time < since {
                        continue;
                    }
                    if skip > 0 {
                        skip -= 1;
                        continue;
                    }
                    (end.last, matters) = (time, true);
                    if let Some(at) = at.filter(|_| wanted.stamps == Stamps::InLines) {
                        batch.extend(super::format::beginning(Some(at)).into_bytes());
                    }
                    batch.extend_from_slice(&body);
                    keep_end(&mut end.tail, &body);
                    if batch.len() >= BATCH {
                        tell(bytes(std::mem::take(&mut batch)))?;
                    }
                }
                Item::Mark(mark) => {
                    if !batch.is_empty() {
                        tell(bytes(std::mem::take(&mut batch)))?;
                    }
                    end.complete = matches!(mark, Mark::End { .. });
                    if let Some(gap) = self.gap(mark).filter(|gap| matters && (since.is_none() || gap.until.or(gap.after) >= since)) {
                        tell(LogEvent::Gap(gap))?;
                    }
                }
            }
        }
        if !batch.is_empty() {
            tell(bytes(batch))?;
        }
        Ok(end)
    }

    /// Returns how many lines there are.
    fn count(&self, since: Option<Timestamp>) -> Result<u64> {
        let (mut count, mut time) = (0, None);
        for item in self.lines()? {
            if let Item::Line { at, .. } = item.map_err(|error| self.unreadable(error))? {
                time = at.or(time);
                count += u64::from(time >= since);
            }
        }
        Ok(count)
    }

    fn lines(&self) -> Result<Lines<BufReader<std::fs::File>>> {
        Ok(Lines::new(BufReader::new(private::open(&self.path).map_err(|error| self.unreadable(error))?)))
    }

    fn gap(&self, mark: Mark) -> Option<Gap> {
        match mark {
            Mark::Gap { after, until, why, .. } => Some(Gap { after, until, why }),
            Mark::Dropped => Some(Gap { after: None, until: None, why: format!("only the last {} were kept", Memory(self.size)) }),
            Mark::Log(_) | Mark::End { .. } => None,
        }
    }

    fn unreadable(&self, error: io::Error) -> Error {
        Error::failed(format!("cannot read the kept output in `{}`", self.path.display())).caused_by(error)
    }
}

fn bytes(bytes: Vec<u8>) -> LogEvent {
    LogEvent::Bytes { at: None, times: Vec::new(), bytes }
}

/// Appends bytes and keeps the last 4 KiB of all.
fn keep_end(end: &mut Vec<u8>, bytes: &[u8]) {
    const KEPT: usize = 4 << 10;
    end.extend_from_slice(&bytes[bytes.len().saturating_sub(KEPT)..]);
    end.drain(..end.len().saturating_sub(KEPT));
}
