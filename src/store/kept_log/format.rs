//! How kept output is written: lines with their times, and marks.
//!
//! Every line starts with its time and a space, as `kubectl logs --timestamps` has it, or with `- ` where the platform gave none.
//! What starts with `! ` is a mark, in JSON: nothing that a flow prints can be taken for one.

use std::io::{self, BufRead};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Whose output a file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Version of this format.
    pub schema: u32,
    /// Address of the API server.
    pub server: String,
    /// Namespace of the Job.
    pub namespace: String,
    /// Name of the Job.
    pub job: String,
    /// UID of the Job; of a flow run that has several, its id.
    pub job_uid: String,
    /// The run.
    pub run_id: Option<String>,
    /// Name of the attempt's pod.
    pub pod: String,
    /// UID of the pod.
    pub pod_uid: String,
    /// Node of the pod.
    pub node: Option<String>,
    /// When the pod was created.
    pub created: Option<Timestamp>,
}

impl Origin {
    /// The version of the format that is written.
    pub const SCHEMA: u32 = 1;
}

/// What is no output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mark {
    /// The beginning.
    Log(Origin),
    /// What came before was too much.
    Dropped,
    /// Output was lost here. When `open`, the line feed before this mark is none of the output's.
    Gap { after: Option<Timestamp>, until: Option<Timestamp>, why: String, open: bool },
    /// The log was read to its end.
    End { open: bool },
}

impl Mark {
    /// Returns the mark as a line.
    pub(super) fn line(&self) -> Result<Vec<u8>> {
        let text = serde_json::to_string(self).map_err(|error| Error::internal("cannot write a mark").caused_by(error))?;
        Ok(format!("! {text}\n").into_bytes())
    }

    fn leaves_a_line_open(&self) -> bool {
        matches!(self, Self::Gap { open: true, .. } | Self::End { open: true })
    }
}

/// Returns whether the last line of this is the mark of the end.
pub(super) fn is_end(end: &[u8]) -> bool {
    let lines = end.strip_suffix(b"\n").unwrap_or_default();
    let last = lines.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    last.starts_with(br#"! {"end":"#)
}

/// Returns how a line begins.
pub(super) fn beginning(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "- ".to_owned(), |at| format!("{at:.9} "))
}

/// A piece of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// A line with its line feed, if it has one.
    Line { at: Option<Timestamp>, body: Vec<u8> },
    /// A mark.
    Mark(Mark),
}

/// Reads a file piece by piece.
pub(super) struct Lines<R> {
    reader: R,
    /// What has been read ahead: a mark may say that the line before it has no end.
    ahead: Option<Item>,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, ahead: None }
    }

    fn read(&mut self) -> io::Result<Option<Item>> {
        let mut line = Vec::new();
        loop {
            line.clear();
            if self.reader.read_until(b'\n', &mut line)? == 0 {
                return Ok(None);
            }
            let Some(space) = line.iter().position(|byte| *byte == b' ') else { continue };
            let (first, body) = (&line[..space], &line[space + 1..]);
            if first != b"!" {
                let at = std::str::from_utf8(first).ok().and_then(|text| text.parse().ok());
                return Ok(Some(Item::Line { at, body: body.to_vec() }));
            }
            // A mark that was cut off with its writer says nothing.
            if let Ok(mark) = serde_json::from_slice(body) {
                return Ok(Some(Item::Mark(mark)));
            }
        }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = io::Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = |lines: &mut Self| lines.read().transpose();
        let mut item = match self.ahead.take() {
            Some(item) => item,
            None => match read(self)? {
                Ok(item) => item,
                error => return Some(error),
            },
        };
        if let Item::Line { body, .. } = &mut item {
            match read(self) {
                Some(Ok(next)) => {
                    if matches!(&next, Item::Mark(mark) if mark.leaves_a_line_open()) {
                        body.pop();
                    }
                    self.ahead = Some(next);
                }
                Some(error) => return Some(error),
                None => {}
            }
        }
        Some(Ok(item))
    }
}
