//! Standard output is data, standard error is talk.
//!
//! Everything but a flow's own output is passed through [`words`] on its way, so that no text of others that sbrun quotes can
//! steer a terminal. A flow's output has [`Ui::data`] and [`Ui::talk`], and whoever shows it filters it.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use super::{
    format,
    progress::ProgressLine,
    prompt, screen,
    style::{Painter, Role},
    terminal_filter::words,
};
use crate::{
    environment::Environment,
    error::{Error, Result},
};

/// How results are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
    /// Names only.
    Name,
    /// One JSON document a line.
    Jsonl,
}

/// When to colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How to talk.
#[derive(Debug, Clone, Copy, Default)]
pub struct UiOptions {
    /// How results are written.
    pub format: Format,
    /// When to colour.
    pub color: Color,
    /// Whether to say only what was asked for.
    pub quiet: bool,
    /// How much more to say.
    pub verbose: u8,
    /// Whether every question is answered with yes.
    pub yes: bool,
}

/// The terminal, or whatever stands in its place.
#[derive(Debug)]
pub struct Ui {
    options: UiOptions,
    stdout: Painter,
    stderr: Painter,
    stdout_is_terminal: bool,
    stderr_is_terminal: bool,
    shows_output: bool,
    can_prompt: bool,
    width: Option<usize>,
    progress: Option<ProgressLine>,
    stdout_closed: bool,
}

impl Ui {
    /// Returns the terminal of this process.
    #[must_use]
    pub fn new(options: UiOptions, environment: &Environment) -> Self {
        let dumb = environment.get("TERM") == Some("dumb");
        let color = |is_terminal: bool| match options.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto if environment.get("NO_COLOR").is_some() => false,
            Color::Auto if environment.get("CLICOLOR_FORCE").is_some_and(|value| value != "0") => true,
            Color::Auto => is_terminal && !dumb && environment.get("CLICOLOR") != Some("0"),
        };
        let columns = environment.get("COLUMNS").and_then(|text| text.parse().ok()).filter(|width| *width >= 20);
        let terminal = || dialoguer::console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
        Self {
            stdout: Painter { color: color(environment.stdout_is_terminal) },
            stderr: Painter { color: color(environment.stderr_is_terminal) },
            stdout_is_terminal: environment.stdout_is_terminal,
            stderr_is_terminal: environment.stderr_is_terminal && !dumb,
            shows_output: if options.format == Format::Table { environment.stdout_is_terminal } else { environment.stderr_is_terminal },
            can_prompt: environment.stdin_is_terminal && environment.stderr_is_terminal,
            width: if environment.stdout_is_terminal { columns.or_else(terminal) } else { None },
            progress: None,
            stdout_closed: false,
            options,
        }
    }

    /// Returns how results are written.
    #[must_use]
    pub fn format(&self) -> Format {
        self.options.format
    }

    /// Returns whether results are for people.
    #[must_use]
    pub fn is_for_people(&self) -> bool {
        self.options.format == Format::Table
    }

    /// Returns the painter of standard output.
    #[must_use]
    pub fn data_painter(&self) -> Painter {
        self.stdout
    }

    /// Returns the painter of standard error.
    #[must_use]
    pub fn painter(&self) -> Painter {
        self.stderr
    }

    /// Returns the columns of standard output; none in a pipe, where nothing may be cut.
    #[must_use]
    pub fn width(&self) -> Option<usize> {
        self.width
    }

    /// Returns whether standard output is a terminal.
    #[must_use]
    pub fn stdout_is_terminal(&self) -> bool {
        self.stdout_is_terminal
    }

    /// Returns whether a terminal shows the flow's output: that of standard output, or of standard error where standard output belongs
    /// to a document.
    #[must_use]
    pub fn output_is_on_terminal(&self) -> bool {
        self.shows_output
    }

    /// Returns whether standard error is a terminal that can redraw a line.
    #[must_use]
    pub fn stderr_is_terminal(&self) -> bool {
        self.stderr_is_terminal
    }

    /// Returns whether somebody can answer a question.
    #[must_use]
    pub fn can_prompt(&self) -> bool {
        self.can_prompt
    }

    /// Returns whether only what was asked for is said.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.options.quiet
    }

    /// Returns whether nobody reads standard output any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.stdout_closed
    }

    /// Gives standard output up: nothing more is written there.
    pub fn close(&mut self) {
        self.stdout_closed = true;
    }

    /// Writes a flow's bytes to standard output, as they are. A closed pipe is no error: see [`Self::is_closed`].
    pub fn data(&mut self, bytes: &[u8]) -> Result<()> {
        if self.stdout_closed {
            return Ok(());
        }
        let write = || {
            let mut stdout = io::stdout().lock();
            stdout.write_all(bytes).and_then(|()| stdout.flush())
        };
        match self.around_progress(write) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.stdout_closed = true;
                Ok(())
            }
            Err(error) => Err(Error::failed("cannot write to standard output").caused_by(error)),
        }
    }

    /// Writes a flow's bytes to standard error, as they are: when standard output belongs to a document.
    pub fn talk(&mut self, bytes: &[u8]) {
        self.around_progress(|| {
            let mut stderr = io::stderr().lock();
            if stderr.write_all(bytes).and_then(|()| stderr.flush()).is_err() {
                // Nobody reads standard error; there is nowhere left to say so.
            }
        });
    }

    /// Writes text and a line feed to standard output.
    pub fn line(&mut self, text: &str) -> Result<()> {
        self.data(format!("{}\n", words(text)).as_bytes())
    }

    /// Writes a document and a line feed to standard output. It is data, and only a terminal gets less than all of it.
    pub fn document(&mut self, text: &str) -> Result<()> {
        if self.stdout_is_terminal { self.line(text) } else { self.data(format!("{text}\n").as_bytes()) }
    }

    /// Writes a line to standard error, also when quiet.
    pub fn say(&mut self, text: &str) {
        self.talk(format!("{}\n", words(text)).as_bytes());
    }

    /// Writes a document in the format asked for; `table` and `names` render it for people.
    pub fn show<T: Serialize>(&mut self, document: &T, table: impl FnOnce(&Self) -> String, names: impl FnOnce() -> Vec<String>) -> Result<()> {
        match self.options.format {
            Format::Table => Some(table(self)).filter(|text| !text.is_empty()).map_or(Ok(()), |text| self.line(&text)),
            Format::Json => self.document(&format::json(document)?),
            Format::Jsonl => self.document(&format::json_line(document)?),
            Format::Yaml => self.document(&format::yaml(document)?),
            Format::Name => Some(names().join("\n")).filter(|text| !text.is_empty()).map_or(Ok(()), |text| self.line(&text)),
        }
    }

    /// Writes a line to standard error, unless quiet.
    pub fn status(&mut self, text: &str) {
        if !self.options.quiet {
            self.say(text);
        }
    }

    /// Writes a line to standard error with `--verbose`.
    pub fn detail(&mut self, text: &str) {
        if self.options.verbose > 0 {
            self.status(text);
        }
    }

    /// Writes a warning to standard error, also when quiet.
    pub fn warning(&mut self, text: &str) {
        let heading = self.stderr.paint(Role::Caution, "warning:");
        self.say(&format!("{heading} {text}"));
    }

    /// Writes an error with its causes and hints to standard error.
    pub fn error(&mut self, error: &Error) {
        self.progress = None;
        let mut lines = vec![format!("{} {}", self.stderr.paint(Role::Bad, "error:"), error.message())];
        lines.extend(error.causes().iter().map(|cause| format!("  caused by: {}", cause.replace('\n', "\n    "))));
        lines.extend(error.hints().first().map(|_| String::new()));
        let heading = self.stderr.paint(Role::Command, "hint:");
        lines.extend(error.hints().iter().map(|hint| format!("{heading} {}", hint.replace('\n', "\n      "))));
        self.say(&lines.join("\n"));
    }

    /// Shows `text` on the redrawn line, where a terminal shows one; else nothing.
    pub fn progress(&mut self, text: &str) {
        if self.options.quiet || !self.stderr_is_terminal {
            return;
        }
        self.progress.get_or_insert_with(|| ProgressLine::start(self.stderr.color)).set(text);
    }

    /// Takes the redrawn line away.
    pub fn clear_progress(&mut self) {
        self.progress = None;
    }

    /// Asks before something that cannot be undone: `--yes` answers, and without a terminal it is an error that says so.
    pub fn confirm(&mut self, question: &str) -> Result<bool> {
        if self.options.yes {
            return Ok(true);
        }
        if !self.can_prompt {
            return Err(Error::usage(format!("cannot ask without a terminal: {question}")).hinted("pass `--yes` to answer yes"));
        }
        self.clear_progress();
        Ok(prompt::confirm(question))
    }

    fn around_progress<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.progress {
            Some(line) => line.around(write),
            None => write(),
        }
    }
}

/// Writes one line to standard error when no [`Ui`] is at hand: calls that take long tell so from wherever they are.
///
/// A live view has the terminal for itself, and says of its own when nothing answers.
pub fn notice(text: &str) {
    if screen::is_open() {
        return;
    }
    let mut stderr = io::stderr().lock();
    if writeln!(stderr, "[sbrun: {}]", words(text)).is_err() {
        // Nobody reads standard error; there is nowhere left to say so.
    }
}

/// Ends a live view or an open question, so that what is written next can be read and the shell gets the terminal as it was.
pub fn give_terminal_back() {
    screen::restore();
    prompt::restore();
}

/// Says that a panic was a bug of sbrun and shows the cursor again.
pub fn bug() {
    let mut stderr = io::stderr().lock();
    let cursor = if io::IsTerminal::is_terminal(&stderr) { "\u{1b}[?25h" } else { "" };
    let text = "this is a bug in sbrun; a job that was submitted goes on: look for it with `sbrun list --mine`";
    if writeln!(stderr, "{cursor}error: {text}").is_err() {
        // Nobody reads standard error; there is nowhere left to say so.
    }
}
