//! `$SBRUN_RESULT_FILE`: emptied at the start, written at once at the end.

use std::{fs, io::Write, path::PathBuf};

use serde::Serialize;

use crate::{
    environment::Environment,
    error::{Error, ErrorKind, Result},
    model::outcome::{Fault, Outcome},
    output::{
        format,
        ui::{Format, Ui},
    },
};

/// The file that gets the result.
#[derive(Debug)]
pub struct ResultFile(Option<PathBuf>);

/// The result of a launch that never became a job: the fields of a job's report that make sense then.
#[derive(Debug, Serialize)]
struct Refusal {
    schema: u32,
    name: Option<String>,
    outcome: Option<Outcome>,
    fault: Option<Fault>,
    exit_code: u8,
    flow_exit_code: Option<i32>,
    reason: Option<String>,
    summary: String,
    causes: Vec<String>,
    next: Vec<String>,
}

impl ResultFile {
    /// Empties the file that the environment names, so that a stale result is never read.
    pub fn start(environment: &Environment) -> Result<Self> {
        let Some(path) = environment.get("SBRUN_RESULT_FILE").map(PathBuf::from) else { return Ok(Self(None)) };
        fs::write(&path, b"").map_err(|error| {
            Error::failed(format!("cannot write the result file `{}`", path.display())).caused_by(error).hinted("SBRUN_RESULT_FILE names it")
        })?;
        Ok(Self(Some(path)))
    }

    /// Writes the result, by one call, so that a reader sees nothing or all of it. A file that cannot be written any more is a
    /// warning: the flow's verdict stands.
    pub fn finish<T: Serialize>(&self, document: &T, ui: &mut Ui) {
        let Some(path) = &self.0 else { return };
        let write = || -> Result<()> {
            let text = format::json(document)? + "\n";
            let file = fs::OpenOptions::new().write(true).open(path);
            file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| Error::failed("it cannot be written").caused_by(error))
        };
        if let Err(error) = write() {
            let cause = error.causes().first().cloned().unwrap_or_default();
            ui.warning(&format!("the result file `{}` stays empty: {cause}", path.display()));
        }
    }

    /// Writes the result of a launch that an error ended, and to standard output where a document is wanted.
    pub fn refuse(&self, error: &Error, ui: &mut Ui) -> Result<()> {
        let exit_code = error.kind().exit_code();
        let refusal = Refusal {
            schema: format::SCHEMA,
            name: None,
            outcome: (exit_code == crate::model::exit_code::ExitCode::REJECTED).then_some(Outcome::Rejected),
            fault: fault(error.kind()),
            exit_code: exit_code.0,
            flow_exit_code: None,
            reason: None,
            summary: error.message().to_owned(),
            causes: error.causes(),
            next: error.hints().to_vec(),
        };
        self.finish(&refusal, ui);
        if matches!(ui.format(), Format::Json | Format::Yaml | Format::Jsonl) { ui.show(&refusal, |_| String::new(), Vec::new) } else { Ok(()) }
    }
}

/// Returns where the cause of an error lies.
fn fault(kind: ErrorKind) -> Option<Fault> {
    match kind {
        ErrorKind::Usage | ErrorKind::Rejected | ErrorKind::NotAllowed => Some(Fault::Request),
        ErrorKind::Unreachable => Some(Fault::Infrastructure),
        ErrorKind::Failed | ErrorKind::Internal => None,
    }
}
