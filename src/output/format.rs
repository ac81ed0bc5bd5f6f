//! Documents for machines. The only importer of the YAML renderer.

use jiff::Timestamp;
use serde::Serialize;

use super::terminal_filter::steers;
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
    serde_json::to_string_pretty(document).map(escaped).map_err(|error| Error::internal("cannot write JSON").caused_by(error))
}

/// Returns one JSON document on one line.
pub fn json_line<T: Serialize>(document: &T) -> Result<String> {
    serde_json::to_string(document).map(escaped).map_err(|error| Error::internal("cannot write JSON").caused_by(error))
}

/// Returns the same JSON with escapes for what would steer a terminal: only strings can hold that, and serde_json escapes no more of it
/// than JSON demands.
fn escaped(json: String) -> String {
    let must_go = |character: char| steers(character) && character != '\n';
    if !json.contains(must_go) {
        return json;
    }
    let escape = |character: char| if must_go(character) { format!("\\u{:04x}", u32::from(character)) } else { character.to_string() };
    json.chars().map(escape).collect()
}

/// Returns one YAML document without a final line feed.
pub fn yaml<T: Serialize>(document: &T) -> Result<String> {
    let text = serde_yaml::to_string(document).map_err(|error| Error::internal("cannot write YAML").caused_by(error))?;
    Ok(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_shows_as_it_is_and_means_the_same() {
        let texts = ["a\u{9b}2Jb\u{7f}", "x\u{202e}gpj\u{2066}\u{2069}", "\u{1b}[2J\ttab\nline", "ümläut עברית 🦀"];
        for json in [json(&texts).unwrap(), json_line(&texts).unwrap()] {
            assert!(!json.contains(|character| steers(character) && character != '\n'), "{json:?}");
            assert_eq!(serde_json::from_str::<[String; 4]>(&json).unwrap(), texts);
            assert!(json.contains("ümläut עברית 🦀"));
        }
    }
}
