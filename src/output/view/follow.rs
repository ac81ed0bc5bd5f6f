//! The follow loop as people and machines see it: a redrawn line, a line per change, or one document per event.

use std::{borrow::Cow, fs::File, io::Write};

use jiff::Timestamp;
use serde::Serialize;

use super::story::status_line;
use crate::{
    error::Result,
    model::{
        job_event::{Gap, JobEvent},
        outcome::{Fault, Outcome},
        reason::Reason,
        story::{Phase, Story},
    },
    output::{
        format,
        style::Role,
        terminal_filter::TerminalFilter,
        ui::{Format, Ui},
        wording,
    },
};

/// Shows the events of one job.
#[derive(Debug)]
pub struct FollowView {
    started: Timestamp,
    filter: Option<TerminalFilter>,
    last_byte: Option<u8>,
    quiet_changes: bool,
    log_file: Option<File>,
    last_line: String,
}

impl FollowView {
    /// Returns a view of a job that is followed since `started`. `raw` lets every escape sequence through to a terminal.
    #[must_use]
    pub fn new(ui: &Ui, started: Timestamp, raw: bool) -> Self {
        let filtered = ui.output_is_on_terminal() && !raw;
        Self { started, filter: filtered.then(TerminalFilter::new), last_byte: None, quiet_changes: false, log_file: None, last_line: String::new() }
    }

    /// Also writes the flow's output, unfiltered, to this file, instead of what it holds.
    #[must_use]
    pub fn with_log_file(mut self, file: Option<File>) -> Self {
        self.log_file = file.filter(|file| file.set_len(0).is_ok() || !file.metadata().is_ok_and(|metadata| metadata.is_file()));
        self
    }

    /// Also writes the flow's output after what an earlier attempt has written to this file.
    #[must_use]
    pub fn with_further_log_file(mut self, file: Option<File>) -> Self {
        self.log_file = file;
        self
    }

    /// Leaves changes of phase out of it: `logs` shows the output only.
    #[must_use]
    pub fn output_only(mut self) -> Self {
        self.quiet_changes = true;
        self
    }

    /// Shows one event.
    pub fn show(&mut self, ui: &mut Ui, event: JobEvent, now: Timestamp) -> Result<()> {
        if let JobEvent::Output(bytes) = &event {
            self.keep(ui, bytes);
        }
        if ui.format() == Format::Jsonl {
            return EventLine::new(&event, now).map_or(Ok(()), |line| ui.document(&format::json_line(&line)?));
        }
        match event {
            JobEvent::Changed(story) => self.changed(ui, &story, now),
            JobEvent::Heartbeat(story) => self.heartbeat(ui, &story, now),
            JobEvent::Attempt { number, pod } => {
                self.finish_line(ui)?;
                Self::talk(ui, Role::Caution, &format!("attempt {number} starts (pod {pod})"));
            }
            JobEvent::Output(bytes) => self.output(ui, bytes),
            JobEvent::Gap(gap) => {
                self.finish_line(ui)?;
                Self::talk(ui, Role::Caution, &gap_words(&gap));
            }
            JobEvent::Notice(text) => Self::talk(ui, Role::Caution, &text),
            JobEvent::Finished(_) | JobEvent::Asking => {
                ui.clear_progress();
                self.finish_line(ui)?;
            }
        }
        Ok(())
    }

    fn changed(&mut self, ui: &mut Ui, story: &Story, now: Timestamp) {
        if self.quiet_changes {
            return;
        }
        if story.phase == Phase::Running {
            ui.clear_progress();
        }
        let line = status_line(story);
        if ui.stderr_is_terminal() && story.phase != Phase::Running {
            ui.progress(&line);
        } else if line != self.last_line {
            self.talk_at(ui, &line, now);
        }
        self.last_line = line;
    }

    fn heartbeat(&mut self, ui: &mut Ui, story: &Story, now: Timestamp) {
        let redrawn = ui.stderr_is_terminal() && story.phase < Phase::Running;
        if !(self.quiet_changes || redrawn) {
            self.talk_at(ui, &format!("still {}", status_line(story)), now);
        }
    }

    /// Writes a line with the time since the submission, as a pipeline's log wants it.
    fn talk_at(&self, ui: &mut Ui, text: &str, now: Timestamp) {
        let seconds = now.duration_since(self.started).as_secs().max(0);
        let clock = ui.painter().paint(Role::Faint, &format!("{:02}:{:02}", seconds / 60, seconds % 60));
        ui.status(&format!("{clock} {text}"));
    }

    fn talk(ui: &mut Ui, role: Role, text: &str) {
        let line = ui.painter().paint(role, &format!("[sbrun: {text}]"));
        ui.say(&line);
    }

    /// Writes output to the log file; one that cannot be written any more is a warning, for the job goes on.
    fn keep(&mut self, ui: &mut Ui, bytes: &[u8]) {
        if let Some(file) = &mut self.log_file
            && let Err(error) = file.write_all(bytes)
        {
            ui.warning(&format!("the log file is not complete: {error}"));
            self.log_file = None;
        }
    }

    fn output(&mut self, ui: &mut Ui, bytes: Vec<u8>) {
        ui.clear_progress();
        self.last_byte = bytes.last().copied().or(self.last_byte);
        let bytes = match &mut self.filter {
            Some(filter) => filter.filter(&bytes),
            None => bytes,
        };
        if !ui.is_for_people() {
            return ui.talk(&bytes); // standard output belongs to the document
        }
        if let Err(error) = ui.data(&bytes) {
            let cause = error.causes().first().cloned().unwrap_or_default();
            ui.warning(&format!("standard output cannot be written ({cause}); the job goes on, `sbrun logs` has its output"));
            ui.close();
        }
    }

    /// Ends an output line that the flow left open, so that what sbrun says starts on a line of its own. A pipe gets the flow's
    /// bytes and nothing else; then standard error goes to a new line, since a pipeline often shows both in one log.
    fn finish_line(&mut self, ui: &mut Ui) -> Result<()> {
        let open = self.last_byte.take().is_some_and(|byte| byte != b'\n');
        if open && ui.is_for_people() && ui.stdout_is_terminal() {
            return ui.data(b"\n");
        }
        if open {
            ui.status("");
        }
        Ok(())
    }
}

/// Returns the words for lost output.
#[must_use]
pub fn gap_words(gap: &Gap) -> String {
    let clock = |time: Timestamp| time.strftime("%H:%M:%S").to_string();
    match (gap.after, gap.until) {
        (Some(after), Some(until)) => {
            let missing = wording::span(until.duration_since(after).as_secs());
            format!("output between {} and {} ({missing}) may be missing: {}", clock(after), clock(until), gap.why)
        }
        (Some(after), None) => format!("output after {} may be missing: {}", clock(after), gap.why),
        (None, _) => format!("output may be missing: {}", gap.why),
    }
}

/// One event as one JSON document on one line.
#[derive(Debug, Serialize)]
struct EventLine<'event> {
    schema: u32,
    event: &'static str,
    at: Timestamp,
    #[serde(flatten)]
    details: Details<'event>,
}

/// What the kinds of events have to say.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Details<'event> {
    Standing {
        phase: Phase,
        attempts: u32,
        reason: Option<Reason>,
        summary: Option<&'event str>,
        queue_place: Option<u32>,
        queue_length: Option<u32>,
    },
    Attempt {
        attempt: u32,
        pod: &'event str,
    },
    Output {
        text: Cow<'event, str>,
    },
    Gap {
        after: Option<Timestamp>,
        until: Option<Timestamp>,
        why: &'event str,
    },
    Notice {
        text: &'event str,
    },
    Finished {
        outcome: Option<Outcome>,
        fault: Option<Fault>,
        exit_code: Option<u8>,
        flow_exit_code: Option<i32>,
        reason: Option<Reason>,
        summary: Option<&'event str>,
    },
}

impl<'event> EventLine<'event> {
    /// Returns the document of an event; none for one that only matters to a terminal.
    fn new(event: &'event JobEvent, now: Timestamp) -> Option<Self> {
        let (event, details) = match event {
            JobEvent::Changed(story) => ("changed", Details::standing(story)),
            JobEvent::Heartbeat(story) => ("heartbeat", Details::standing(story)),
            JobEvent::Attempt { number, pod } => ("attempt", Details::Attempt { attempt: *number, pod }),
            JobEvent::Output(bytes) => ("output", Details::Output { text: String::from_utf8_lossy(bytes) }),
            JobEvent::Gap(Gap { after, until, why }) => {
                ("gap", Details::Gap { after: after.map(format::milliseconds), until: until.map(format::milliseconds), why })
            }
            JobEvent::Notice(text) => ("notice", Details::Notice { text }),
            JobEvent::Asking => return None,
            JobEvent::Finished(story) => ("finished", Details::finished(story)),
        };
        Some(Self { schema: format::SCHEMA, event, at: format::milliseconds(now), details })
    }
}

impl<'event> Details<'event> {
    fn standing(story: &'event Story) -> Self {
        let cause = story.cause.as_ref();
        Self::Standing {
            phase: story.phase,
            attempts: story.attempts,
            reason: cause.map(|cause| cause.reason),
            summary: cause.map(|cause| cause.summary.as_str()),
            queue_place: story.place.map(|(place, _)| place),
            queue_length: story.place.map(|(_, of)| of),
        }
    }

    fn finished(story: &'event Story) -> Self {
        let verdict = story.verdict.as_ref();
        Self::Finished {
            outcome: verdict.map(|verdict| verdict.outcome),
            fault: verdict.and_then(|verdict| verdict.outcome.fault()),
            exit_code: verdict.map(|verdict| verdict.exit_code),
            flow_exit_code: verdict.and_then(|verdict| verdict.flow_exit_code),
            reason: verdict.map(|verdict| verdict.cause.reason),
            summary: verdict.map(|verdict| verdict.cause.summary.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::story::{Cause, Verdict};

    fn story(verdict: Option<Verdict>) -> Story {
        Story {
            phase: Phase::Pending,
            phases: Vec::new(),
            attempts: 1,
            cause: Some(Cause::new(Reason::SchedulingWaiting, "it waits")),
            details: Vec::new(),
            verdict,
            place: None,
            usual_seconds: None,
            held_until: None,
            unknown: Vec::new(),
        }
    }

    fn verdict() -> Verdict {
        Verdict {
            outcome: Outcome::Failed,
            exit_code: 7,
            flow_exit_code: Some(7),
            cause: Cause::new(Reason::FlowFailed, "the flow ended with 7"),
            finished: None,
            waited_seconds: None,
            scale_up_seconds: None,
            run_seconds: None,
            attempts: 1,
            peak_memory: None,
            cpu_milliseconds: None,
            warnings: Vec::new(),
        }
    }

    #[test]
    fn events_are_documents_that_begin_with_their_schema() {
        let now: Timestamp = "2026-11-24T10:00:01.123456789Z".parse().unwrap();
        let gap = Gap { after: Some(now), until: None, why: "rotated".into() };
        for (event, expected) in [
            (
                JobEvent::Changed(story(None)),
                r#""changed",AT,"phase":"pending","attempts":1,"reason":"Scheduling.Waiting","summary":"it waits","queue_place":null,"queue_length":null}"#,
            ),
            (
                JobEvent::Heartbeat(story(None)),
                r#""heartbeat",AT,"phase":"pending","attempts":1,"reason":"Scheduling.Waiting","summary":"it waits","queue_place":null,"queue_length":null}"#,
            ),
            (JobEvent::Attempt { number: 2, pod: "etl-b".into() }, r#""attempt",AT,"attempt":2,"pod":"etl-b"}"#),
            (JobEvent::Output(b"a\xff\n".to_vec()), "\"output\",AT,\"text\":\"a\u{fffd}\\n\"}"),
            (JobEvent::Gap(gap), r#""gap",AT,"after":"2026-11-24T10:00:01.123Z","until":null,"why":"rotated"}"#),
            (JobEvent::Notice("hm".into()), r#""notice",AT,"text":"hm"}"#),
            (
                JobEvent::Finished(story(Some(verdict()))),
                r#""finished",AT,"outcome":"failed","fault":"flow","exit_code":7,"flow_exit_code":7,"reason":"Flow.Failed","summary":"the flow ended with 7"}"#,
            ),
        ] {
            let expected = expected.replace("AT", r#""at":"2026-11-24T10:00:01.123Z""#);
            let line = format::json_line(&EventLine::new(&event, now).expect("a document")).unwrap();
            assert_eq!(line, format!(r#"{{"schema":1,"event":{expected}"#));
        }
        assert!(EventLine::new(&JobEvent::Asking, now).is_none());
    }
}
