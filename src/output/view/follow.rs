//! The follow loop as people and machines see it: a redrawn line, a line per change, or one document per event.

use jiff::Timestamp;
use serde_json::json;

use super::{report::JobReport, story::status_line};
use crate::{
    error::Result,
    model::{
        evidence::Evidence,
        job_event::{Gap, JobEvent},
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
    log_file: Option<std::fs::File>,
    last_line: String,
}

impl FollowView {
    /// Returns a view of a job that is followed since `started`. `raw` lets every escape sequence through to a terminal.
    #[must_use]
    pub fn new(ui: &Ui, started: Timestamp, raw: bool) -> Self {
        let filtered = ui.stdout_is_terminal() && !raw;
        Self { started, filter: filtered.then(TerminalFilter::new), last_byte: None, quiet_changes: false, log_file: None, last_line: String::new() }
    }

    /// Also writes the flow's output, unfiltered, to this file.
    #[must_use]
    pub fn with_log_file(mut self, file: Option<std::fs::File>) -> Self {
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
        if ui.format() == Format::Jsonl {
            return show_line(ui, &event, now);
        }
        match event {
            JobEvent::Changed(story) => self.changed(ui, &story, now),
            JobEvent::Heartbeat(story) => self.heartbeat(ui, &story, now),
            JobEvent::Attempt { number, pod } => {
                self.finish_line(ui)?;
                Self::talk(ui, Role::Caution, &format!("attempt {number} starts (pod {pod})"));
            }
            JobEvent::Output(bytes) => self.output(ui, bytes)?,
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
        ui.talk(format!("{line}\n").as_bytes());
    }

    fn output(&mut self, ui: &mut Ui, bytes: Vec<u8>) -> Result<()> {
        ui.clear_progress();
        if let Some(file) = &mut self.log_file {
            use std::io::Write;
            file.write_all(&bytes).map_err(|error| crate::error::Error::failed("cannot write to the log file").caused_by(error))?;
        }
        self.last_byte = bytes.last().copied().or(self.last_byte);
        let bytes = match &mut self.filter {
            Some(filter) => filter.filter(&bytes),
            None => bytes,
        };
        if ui.is_for_people() {
            return ui.data(&bytes);
        }
        ui.talk(&bytes); // standard output belongs to the document
        Ok(())
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

/// Writes one event as one JSON document.
fn show_line(ui: &mut Ui, event: &JobEvent, now: Timestamp) -> Result<()> {
    let document = match event {
        JobEvent::Changed(story) | JobEvent::Heartbeat(story) => {
            let kind = if matches!(event, JobEvent::Changed(_)) { "changed" } else { "heartbeat" };
            let cause = story.cause.as_ref();
            json!({"schema": format::SCHEMA, "event": kind, "at": now, "phase": story.phase, "attempts": story.attempts,
                   "reason": cause.map(|cause| cause.reason), "summary": cause.map(|cause| &cause.summary)})
        }
        JobEvent::Attempt { number, pod } => json!({"schema": format::SCHEMA, "event": "attempt", "at": now, "attempt": number, "pod": pod}),
        JobEvent::Output(bytes) => json!({"schema": format::SCHEMA, "event": "output", "at": now, "text": String::from_utf8_lossy(bytes)}),
        JobEvent::Gap(gap) => json!({"schema": format::SCHEMA, "event": "gap", "at": now, "after": gap.after, "until": gap.until, "why": gap.why}),
        JobEvent::Asking => return Ok(()),
        JobEvent::Notice(text) => json!({"schema": format::SCHEMA, "event": "notice", "at": now, "text": text}),
        JobEvent::Finished(story) => {
            let report = JobReport::new(&Evidence::default(), story);
            json!({"schema": format::SCHEMA, "event": "finished", "at": now, "outcome": report.outcome, "exit_code": report.exit_code,
                   "flow_exit_code": report.flow_exit_code, "reason": report.reason, "summary": report.summary})
        }
    };
    ui.line(&format::json_line(&document)?)
}
