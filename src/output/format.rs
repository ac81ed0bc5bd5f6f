//! Documents for machines. The only importer of the YAML renderer.

use jiff::Timestamp;
use serde::Serialize;

use crate::error::{Error, Result};

/// The version of every JSON document.
pub const SCHEMA: u32 = 1;

/// Returns a time as events carry it: whole milliseconds, since nobody's clock knows more.
#[must_use]
pub fn milliseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}

/// Returns one JSON document, indented, without a final line feed.
pub fn json<T: Serialize>(document: &T) -> Result<String> {
    serde_json::to_string_pretty(document).map_err(|error| Error::internal("cannot write JSON").caused_by(error))
}

/// Returns one JSON document on one line.
pub fn json_line<T: Serialize>(document: &T) -> Result<String> {
    serde_json::to_string(document).map_err(|error| Error::internal("cannot write JSON").caused_by(error))
}

/// Returns one YAML document without a final line feed.
pub fn yaml<T: Serialize>(document: &T) -> Result<String> {
    let text = serde_yaml::to_string(document).map_err(|error| Error::internal("cannot write YAML").caused_by(error))?;
    Ok(text.trim_end().to_owned())
}
