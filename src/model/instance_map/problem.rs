//! What is wrong in an instance map: everything at once.

use std::fmt;

use serde::Serialize;

use crate::{error::Error, model::yaml::Position};

/// How many problems an error lists. Behind so many there is one cause, such as a file that is no map.
const LISTED: usize = 50;

/// One thing that is wrong, or may be wrong, in an instance map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MapProblem {
    /// Where.
    #[serde(flatten)]
    pub position: Position,
    /// Path of the key, such as `sizes.small.footprint.cpu`; empty for the file as a whole.
    pub key: String,
    /// What is wrong, in words.
    pub message: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl fmt::Display for MapProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}, column {}: ", self.position.line, self.position.column)?;
        if !self.key.is_empty() {
            write!(formatter, "{}: ", self.key)?;
        }
        formatter.write_str(&self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(formatter, "; did you mean `{suggestion}`?"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong in one instance map, in the order of its lines; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MapProblems {
    /// The map, for people.
    pub name: String,
    /// What is wrong.
    pub problems: Vec<MapProblem>,
}

impl From<MapProblems> for Error {
    /// Returns an error whose causes are the problems, in order.
    fn from(found: MapProblems) -> Self {
        let count = match found.problems.len() {
            1 => "a problem".to_owned(),
            count => format!("{count} problems"),
        };
        let mut lines: Vec<String> = found.problems.iter().take(LISTED).map(ToString::to_string).collect();
        if let Some(more) = found.problems.len().checked_sub(LISTED).filter(|more| *more > 0) {
            lines.push(format!("and {more} more"));
        }
        Self::rejected(format!("the instance map `{}` has {count}", found.name)).caused_by_all(lines)
    }
}
