//! YAML with the position of every value.
//!
//! A map or a template that somebody wrote by hand is answered with line and column, so a parser that forgets them
//! will not do. Scalars stay the text that was written: `1.10` as an environment variable is not the number 1.1.
//! Reading never recurses without a bound and never multiplies: aliases are counted, so a small file cannot become a large one.

use std::{collections::BTreeMap, fmt};

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span};
use serde::Serialize;
use serde_json::{Map, Number};

/// How deep values may be nested. A Job manifest has about twelve levels.
const DEPTH_LIMIT: usize = 64;
/// How much all values together may weigh, with aliases followed: one for each value, and one for each byte of its text.
const WEIGHT_LIMIT: usize = 4 << 20;

/// Where something is written, counted from 1 as editors do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

impl Default for Position {
    fn default() -> Self {
        Self { line: 1, column: 1 }
    }
}

/// A value, and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it begins.
    pub position: Position,
    /// What it is.
    pub value: Value,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text, number, truth value or nothing.
    Scalar {
        /// The text as written, without quotes.
        text: String,
        /// Whether it stood there without quotes, and may so be something else than a text.
        plain: bool,
    },
    /// A list.
    Sequence(Vec<Node>),
    /// Entries in the order of the file. A key may be there twice: who reads them, says so.
    Mapping(Vec<(Key, Node)>),
}

/// The key of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Where it begins.
    pub position: Position,
    /// The text.
    pub text: String,
}

/// Why a text is not YAML, or not such that it could be read here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YamlError {
    /// Where.
    pub position: Position,
    /// What is wrong, in words.
    pub message: String,
}

impl fmt::Display for YamlError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}, column {}: {}", self.position.line, self.position.column, self.message)
    }
}

impl std::error::Error for YamlError {}

impl Node {
    /// Returns the text when this is a scalar that is not nothing.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } if !self.is_null() => Some(text),
            _ => None,
        }
    }

    /// Returns whether nothing is written here, or `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// Returns what kind of value this is, for a sentence: `a list`, `a mapping`, `nothing`, or the text itself.
    #[must_use]
    pub fn kind(&self) -> String {
        match &self.value {
            Value::Sequence(_) => "a list".to_owned(),
            Value::Mapping(_) => "a mapping".to_owned(),
            Value::Scalar { .. } if self.is_null() => "nothing".to_owned(),
            Value::Scalar { text, .. } => format!("`{text}`"),
        }
    }

    /// Returns the value as JSON, with plain scalars read as kubectl reads them; the later of two equal keys wins.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Scalar { text, plain: false } => serde_json::Value::String(text.clone()),
            Value::Scalar { text, plain: true } => plain_scalar(text),
            Value::Sequence(items) => items.iter().map(Self::to_json).collect(),
            Value::Mapping(entries) => {
                serde_json::Value::Object(entries.iter().map(|(key, node)| (key.text.clone(), node.to_json())).collect::<Map<_, _>>())
            }
        }
    }

    fn weight_and_depth(&self) -> (usize, usize) {
        let within = |children: &mut dyn Iterator<Item = (usize, usize)>| {
            children.fold((1, 1), |(weight, depth), (child_weight, child_depth)| (weight + child_weight, depth.max(child_depth + 1)))
        };
        match &self.value {
            Value::Scalar { text, .. } => (1 + text.len(), 1),
            Value::Sequence(items) => within(&mut items.iter().map(Self::weight_and_depth)),
            Value::Mapping(entries) => within(&mut entries.iter().map(|(key, node)| {
                let (weight, depth) = node.weight_and_depth();
                (weight + 1 + key.text.len(), depth)
            })),
        }
    }
}

/// Returns a plain scalar as JSON. A leading zero is octal, as in `defaultMode: 0644` and for kubectl.
fn plain_scalar(text: &str) -> serde_json::Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return serde_json::Value::Null,
        "true" | "True" | "TRUE" => return true.into(),
        "false" | "False" | "FALSE" => return false.into(),
        _ => {}
    }
    let (negative, digits) = text.strip_prefix('-').map_or((false, text.strip_prefix('+').unwrap_or(text)), |rest| (true, rest));
    if digits.starts_with(|character: char| character.is_ascii_digit() || character == '.') {
        let radix = |prefix: &str, base: u32| digits.strip_prefix(prefix).and_then(|rest| u64::from_str_radix(rest, base).ok());
        let octal = || digits.strip_prefix('0').filter(|rest| !rest.is_empty()).and_then(|rest| u64::from_str_radix(rest, 8).ok());
        let integer = radix("0x", 16).or_else(|| radix("0o", 8)).or_else(octal).or_else(|| digits.parse().ok());
        match (integer, negative) {
            (Some(integer), false) => return integer.into(),
            (Some(integer), true) => {
                if let Some(integer) = 0i64.checked_sub_unsigned(integer) {
                    return integer.into();
                }
            }
            (None, _) => {
                if let Some(number) = text.parse().ok().and_then(Number::from_f64) {
                    return number.into();
                }
            }
        }
    }
    serde_json::Value::String(text.to_owned())
}

/// Returns the one document of a text, `None` when nothing is in it.
pub fn parse(text: &str) -> Result<Option<Node>, YamlError> {
    let options = granit_parser::options! { emit_comments: false };
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| scan_error(&error))?;
        builder.take(event, position(&span))?;
    }
    Ok(builder.document)
}

fn position(span: &Span) -> Position {
    Position { line: span.start.line().max(1), column: span.start.col() + 1 }
}

fn scan_error(error: &ScanError) -> YamlError {
    let marker = error.marker();
    YamlError { position: Position { line: marker.line().max(1), column: marker.col() + 1 }, message: format!("this is not YAML: {}", error.info()) }
}

/// A list or mapping that is not complete yet.
struct Frame {
    node: Node,
    anchor: usize,
    key: Option<Key>,
}

#[derive(Default)]
struct Builder {
    open: Vec<Frame>,
    anchors: BTreeMap<usize, Node>,
    weight: usize,
    documents: usize,
    document: Option<Node>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, position: Position) -> Result<(), YamlError> {
        let refuse = |message: &str| Err(YamlError { position, message: message.to_owned() });
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return refuse("a second document begins here; only one is read");
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                if tag.as_ref().is_some_and(|tag| !tag.is_yaml_core_schema()) {
                    return refuse("tags are not known here; remove it");
                }
                let plain = style == ScalarStyle::Plain && tag.is_none();
                self.complete(Node { position, value: Value::Scalar { text: text.into_owned(), plain } }, anchor)?;
            }
            Event::SequenceStart(_, anchor, _) => self.begin(Value::Sequence(Vec::new()), anchor, position)?,
            Event::MappingStart(_, anchor, _) => self.begin(Value::Mapping(Vec::new()), anchor, position)?,
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(Frame { node, anchor, .. }) = self.open.pop() {
                    self.complete(node, anchor)?;
                }
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return refuse("this alias stands inside the value that it names");
                };
                let (weight, depth) = node.weight_and_depth();
                if self.open.len() + depth > DEPTH_LIMIT {
                    return refuse("values are nested too deep here");
                }
                self.weigh(weight, position)?;
                self.complete(node, 0)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, value: Value, anchor: usize, position: Position) -> Result<(), YamlError> {
        if self.open.len() >= DEPTH_LIMIT {
            return Err(YamlError { position, message: format!("values are nested deeper than {DEPTH_LIMIT} levels here") });
        }
        self.open.push(Frame { node: Node { position, value }, anchor, key: None });
        Ok(())
    }

    fn weigh(&mut self, weight: usize, position: Position) -> Result<(), YamlError> {
        self.weight += weight;
        if self.weight > WEIGHT_LIMIT {
            return Err(YamlError { position, message: "with its aliases followed this is too large".to_owned() });
        }
        Ok(())
    }

    /// Puts a complete value where it belongs.
    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), YamlError> {
        let position = node.position;
        if let Value::Scalar { text, .. } = &node.value {
            self.weigh(1 + text.len(), position)?;
        } else {
            self.weigh(1, position)?;
        }
        if anchor > 0 {
            // The copy that later aliases are made of; it weighs as much again.
            self.weigh(node.weight_and_depth().0, position)?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(frame) = self.open.last_mut() else {
            self.document = Some(node);
            return Ok(());
        };
        match &mut frame.node.value {
            Value::Sequence(items) => items.push(node),
            Value::Mapping(entries) => match frame.key.take() {
                Some(key) => entries.push((key, node)),
                None => match node.value {
                    Value::Scalar { text, .. } if text != "<<" => frame.key = Some(Key { position, text }),
                    Value::Scalar { .. } => {
                        let message = "`<<` is not known here; write the keys out, or move them to `defaults`".to_owned();
                        return Err(YamlError { position, message });
                    }
                    _ => return Err(YamlError { position, message: "a key must be a text, not a list or mapping".to_owned() }),
                },
            },
            Value::Scalar { .. } => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
