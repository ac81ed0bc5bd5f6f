//! Putting a log together from streams that break: no line twice, every gap announced.
//!
//! The kubelet stamps each line with the time at which it came, and reads from a given second on. What was emitted
//! since that second is remembered as time and hash; a new stream has to repeat it, and what comes after is new.
//! A count of lines would not do: the log may have been rotated on its node meanwhile, and then the start of what
//! a new stream should repeat is missing, or all of it.
//!
//! Rules of the kubelet that this relies on (k8s.io/cri-client `pkg/logs`, 1.36): `sinceTime` is cut to the second and
//! applied to each chunk of 16 KiB, inclusive; only a chunk at the start of a line is stamped, with nine digits; the
//! rest of a long line follows without a stamp.

use jiff::Timestamp;

use self::{
    stamp::StampParser,
    window::{Entry, Step, Window},
};
use crate::model::job_event::{Gap, LineTime, LogEvent};

pub mod whole;

mod stamp;
mod window;

/// A line of up to this many bytes, its stamp included, is handled whole; what is longer is passed on in pieces.
const WHOLE_LINE: usize = 64 * 1024;
/// Several lines travel as one event, up to about this size.
const BATCH: usize = 64 * 1024;
const ROTATED: &str = "the log was rotated on its node";

/// What becomes of the time that the platform puts before each line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stamps {
    /// Nobody wants it.
    #[default]
    Dropped,
    /// It stays in front of the line.
    InLines,
    /// It is told beside the bytes.
    Beside,
}

/// The state of one container's log.
#[derive(Debug)]
pub struct LogResume {
    wanted: Stamps,
    stamps: StampParser,
    window: Window,
    /// The start of a line whose end has not come yet.
    pending: Vec<u8>,
    /// What happens to the rest of a line that is longer than [`WHOLE_LINE`].
    rest: Option<Rest>,
    /// How much of the newest line has been emitted, when that line has no end yet.
    open: Option<usize>,
    /// Time of the newest line of this stream; its continuations have no stamp of their own.
    line_time: Option<i64>,
    /// Whether this stream was asked to start at a time, so that it may start in the middle of a line.
    asked_since: bool,
    events: Vec<Event>,
}

/// The rest of a long line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// It was emitted before the break.
    Drop,
    /// This much was emitted before the break, the remainder is new.
    EmitAfter(usize),
}

#[derive(Debug)]
enum Event {
    Bytes { at: Option<i64>, times: Vec<(usize, i64)>, bytes: Vec<u8> },
    Gap { after: Option<i64>, until: Option<i64>, why: &'static str },
}

impl LogResume {
    /// Returns the state before the first stream.
    #[must_use]
    pub fn new(wanted: Stamps) -> Self {
        Self {
            wanted,
            stamps: StampParser::default(),
            window: Window::default(),
            pending: Vec::new(),
            rest: None,
            open: None,
            line_time: None,
            asked_since: false,
            events: Vec::new(),
        }
    }

    /// Returns the time to ask the next stream to start at: a whole second, because the platform knows no other.
    #[must_use]
    pub fn resume_point(&self) -> Option<Timestamp> {
        Timestamp::from_nanosecond(self.window.since()?.into()).ok()
    }

    /// Takes bytes of a stream, cut anywhere.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let end = memchr::memchr(b'\n', bytes).map(|index| index + 1);
            let (part, complete) = end.map_or((bytes, false), |end| (&bytes[..end], true));
            bytes = &bytes[part.len()..];
            if self.rest.is_some() {
                self.feed_rest(part, complete);
            } else if self.pending.is_empty() && complete && part.len() <= WHOLE_LINE {
                self.line(part, true);
            } else {
                self.feed_pending(part, complete);
            }
        }
    }

    fn feed_pending(&mut self, part: &[u8], complete: bool) {
        let room = WHOLE_LINE - self.pending.len();
        if part.len() > room || (part.len() == room && !complete) {
            let (head, rest) = part.split_at(room);
            self.pending.extend_from_slice(head);
            let head = std::mem::take(&mut self.pending);
            self.line(&head, false);
            if !rest.is_empty() {
                self.feed_rest(rest, complete);
            }
        } else {
            self.pending.extend_from_slice(part);
            if complete {
                let line = std::mem::take(&mut self.pending);
                self.line(&line, true);
                self.pending = line;
                self.pending.clear();
            }
        }
    }

    fn feed_rest(&mut self, part: &[u8], complete: bool) {
        if let Some(Rest::EmitAfter(emitted)) = &mut self.rest {
            let skipped = part.len().min(*emitted);
            *emitted -= skipped;
            let new = &part[skipped..];
            if !new.is_empty() {
                self.open = self.open.map(|length| length + new.len());
                self.emit(None, new);
            }
        }
        if complete {
            // A dropped line may be older than the one that is open.
            if self.rest.take() != Some(Rest::Drop) {
                self.open = None;
            }
        }
    }

    /// Handles a whole line, or the first [`WHOLE_LINE`] bytes of a longer one.
    fn line(&mut self, raw: &[u8], complete: bool) {
        let (time, length) = self.stamps.parse(raw).map_or((None, 0), |(time, length)| (Some(time), length));
        let body = &raw[length..];
        if time.is_none() && self.asked_since && self.line_time.is_none() {
            // The tail of a line that began before the second that was asked for, and so before the break.
            self.rest = (!complete).then_some(Rest::Drop);
            return;
        }
        self.line_time = time.or(self.line_time);
        let entry = Entry::new(self.line_time, body);
        match self.window.step(entry) {
            Step::Known => self.rest = (!complete).then_some(Rest::Drop),
            Step::Newest => {
                // Everything after this line is new, and so is the end of it if it was cut.
                let emitted = self.open.map(|length| length.saturating_sub(body.len()));
                self.rest = (!complete).then(|| emitted.map_or(Rest::Drop, Rest::EmitAfter));
            }
            Step::New { missing } => {
                if missing {
                    self.gap(self.window.newest_before(), time, ROTATED);
                }
                self.emit(time, if self.wanted == Stamps::InLines { raw } else { body });
                self.open = (!complete).then_some(body.len());
                self.rest = (!complete).then_some(Rest::EmitAfter(0));
            }
        }
    }

    fn emit(&mut self, at: Option<i64>, bytes: &[u8]) {
        let told = at.filter(|_| self.wanted == Stamps::Beside);
        match self.events.last_mut() {
            Some(Event::Bytes { at: newest, times, bytes: batch }) if batch.len() + bytes.len() <= BATCH => {
                *newest = at.or(*newest);
                times.extend(told.map(|time| (batch.len(), time)));
                batch.extend_from_slice(bytes);
            }
            _ => self.events.push(Event::Bytes { at, times: told.map(|time| (0, time)).into_iter().collect(), bytes: bytes.to_vec() }),
        }
    }

    fn gap(&mut self, after: Option<i64>, until: Option<i64>, why: &'static str) {
        self.events.push(Event::Gap { after, until, why });
    }

    /// Notes that a stream ended or broke, and that the next one will start at [`Self::resume_point`].
    ///
    /// A line without its end is forgotten: it comes again, whole.
    pub fn reconnect(&mut self) {
        self.pending.clear();
        self.rest = None;
        self.line_time = None;
        self.asked_since = self.window.since().is_some();
        if let Some((newest, latest)) = self.window.replay() {
            // The next stream leaves out whatever was written since the clock went back.
            self.gap(Some(newest), Some(latest), "the clock of the node was set back");
        }
    }

    /// Notes that a stream came to the end of the log: what has no line feed by now will get none.
    pub fn finish(&mut self) {
        let last = std::mem::take(&mut self.pending);
        if !last.is_empty() {
            self.line(&last, true);
        }
        if self.window.is_unmatched() {
            self.gap(self.window.newest_before(), None, ROTATED);
        }
    }

    /// Returns whether a full batch is waiting.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.events.len() > 1 || matches!(self.events.first(), Some(Event::Bytes { bytes, .. }) if bytes.len() >= BATCH / 2)
    }

    /// Returns what has come out since the last time, in order.
    pub fn take(&mut self) -> Vec<LogEvent> {
        let time = |nanoseconds: Option<i64>| nanoseconds.and_then(|nanoseconds| Timestamp::from_nanosecond(nanoseconds.into()).ok());
        let line_time = |(offset, at)| time(Some(at)).map(|at| LineTime { offset, at });
        let public = |event| match event {
            Event::Bytes { at, times, bytes } => LogEvent::Bytes { at: time(at), times: times.into_iter().filter_map(line_time).collect(), bytes },
            Event::Gap { after, until, why } => LogEvent::Gap(Gap { after: time(after), until: time(until), why: why.to_owned() }),
        };
        self.events.drain(..).map(public).collect()
    }
}

#[cfg(test)]
mod tests;
