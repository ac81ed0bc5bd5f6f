//! Reading a mapping key by key, so that every problem is found and none stops the reading.

use std::{collections::BTreeMap, sync::Arc};

use super::{Located, MapProblem, Place};
use crate::model::{
    settings::value::{self, Parsed},
    suggestion,
    yaml::{Key, Node, Position, Value},
};

/// How many characters of a message are shown. The longest of ours, the list of a size's keys, has some 600.
const TEXT_LIMIT: usize = 800;

/// One entry: its path for people, where its key stands, and its value.
#[derive(Debug, Clone)]
pub(super) struct Field<'n> {
    pub(super) path: String,
    pub(super) position: Position,
    pub(super) node: &'n Node,
}

/// The entries of a mapping that are not read yet.
pub(super) struct Fields<'n> {
    path: String,
    entries: Vec<(&'n Key, &'n Node)>,
    known: Vec<&'static str>,
}

/// What returns the text of a template that the map names, or why it cannot be read.
pub(super) type ReadTemplate<'a> = &'a mut dyn FnMut(&str) -> Result<String, String>;

/// Collects what is wrong while the map is read.
pub(super) struct Reader<'a> {
    pub(super) name: Arc<str>,
    pub(super) section: Arc<str>,
    pub(super) problems: Vec<MapProblem>,
    pub(super) warnings: Vec<MapProblem>,
    pub(super) read_template: ReadTemplate<'a>,
}

/// Returns a text for one line of an answer: the value of a key may be a whole document, and may hold control characters.
fn one_line(text: &str) -> String {
    let mut line: String = text.chars().take(TEXT_LIMIT).map(|character| if character.is_control() { ' ' } else { character }).collect();
    if text.chars().nth(TEXT_LIMIT).is_some() {
        line.push('…');
    }
    line
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

impl<'n> Fields<'n> {
    /// Takes the entry of this key. What nobody takes is unknown.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Field<'n>> {
        self.known.push(key);
        let index = self.entries.iter().position(|(found, _)| found.text == key)?;
        let (found, node) = self.entries.remove(index);
        Some(Field { path: joined(&self.path, key), position: found.position, node })
    }

    /// Takes all entries, where the keys are the user's own.
    pub(super) fn take_all(&mut self) -> Vec<(&'n Key, Field<'n>)> {
        let entries = std::mem::take(&mut self.entries).into_iter();
        entries.map(|(key, node)| (key, Field { path: joined(&self.path, &key.text), position: key.position, node })).collect()
    }
}

impl Reader<'_> {
    pub(super) fn problem(&mut self, position: Position, key: &str, message: impl AsRef<str>) {
        self.problems.push(MapProblem { position, key: one_line(key), message: one_line(message.as_ref()), suggestion: None });
    }

    pub(super) fn warning(&mut self, position: Position, key: &str, message: impl AsRef<str>) {
        self.warnings.push(MapProblem { position, key: one_line(key), message: one_line(message.as_ref()), suggestion: None });
    }

    /// Adds to the newest problem what was probably meant.
    pub(super) fn suggest(&mut self, meant: Option<String>) {
        if let Some(newest) = self.problems.last_mut() {
            newest.suggestion = meant;
        }
    }

    pub(super) fn place(&self, position: Position) -> Place {
        Place { name: Arc::clone(&self.name), section: Arc::clone(&self.section), position }
    }

    /// Returns the entries of a mapping; of equal keys the first. Nothing at all is an empty mapping: all its entries may be commented out.
    pub(super) fn fields<'n>(&mut self, field: &Field<'n>) -> Fields<'n> {
        let mut fields = Fields { path: field.path.clone(), entries: Vec::new(), known: Vec::new() };
        match &field.node.value {
            Value::Mapping(entries) => {
                let mut first_places: BTreeMap<&str, Position> = BTreeMap::new();
                for (key, node) in entries {
                    if let Some(first) = first_places.get(key.text.as_str()) {
                        self.problem(key.position, &joined(&field.path, &key.text), format!("is there twice, first in line {}", first.line));
                    } else {
                        first_places.insert(&key.text, key.position);
                        fields.entries.push((key, node));
                    }
                }
            }
            _ if field.node.is_null() => {}
            _ => self.problem(field.node.position, &field.path, format!("must be a mapping of keys to values, not {}", field.node.kind())),
        }
        fields
    }

    /// Reports every entry that nobody took.
    pub(super) fn finish(&mut self, fields: Fields<'_>) {
        for (key, _) in fields.entries {
            let meant = suggestion::closest(&key.text, fields.known.iter().copied()).map(ToOwned::to_owned);
            let known =
                if meant.is_none() { format!("; known here are {}", suggestion::listed(fields.known.iter().copied())) } else { String::new() };
            self.problem(key.position, &joined(&fields.path, &key.text), format!("unknown key `{}`{known}", one_line(&key.text)));
            self.suggest(meant);
        }
    }

    /// Returns the text of a scalar.
    pub(super) fn scalar<'n>(&mut self, field: &Field<'n>) -> Option<&'n str> {
        let text = field.node.text();
        if text.is_none() {
            let message = if field.node.is_null() { "has no value".to_owned() } else { format!("must be one value, not {}", field.node.kind()) };
            self.problem(field.node.position, &field.path, message);
        }
        text
    }

    /// Returns what a scalar means.
    pub(super) fn parsed<T>(&mut self, field: Option<Field<'_>>, parse: impl FnOnce(&str) -> Parsed<T>) -> Option<Located<T>> {
        let field = field?;
        match parse(self.scalar(&field)?) {
            Ok(value) => Some(Located { value, place: self.place(field.position) }),
            Err(message) => {
                self.problem(field.node.position, &field.path, message);
                None
            }
        }
    }

    /// Returns whether something is so, written without quotes.
    pub(super) fn truth(&mut self, field: Option<Field<'_>>) -> Option<bool> {
        self.parsed(field, value::truth).map(|located| located.value)
    }

    /// Returns the items of a list of scalars that is not empty.
    pub(super) fn list<T>(&mut self, field: Option<Field<'_>>, parse: impl Fn(&str) -> Parsed<T>) -> Option<Vec<Located<T>>> {
        let field = field?;
        let items = self.items(&field)?;
        if items.is_empty() {
            self.problem(field.node.position, &field.path, "the list is empty");
        }
        Some(items.into_iter().filter_map(|item| self.parsed(Some(item), &parse)).collect())
    }

    /// Returns the items of a list.
    pub(super) fn items<'n>(&mut self, field: &Field<'n>) -> Option<Vec<Field<'n>>> {
        let Value::Sequence(items) = &field.node.value else {
            self.problem(field.node.position, &field.path, format!("must be a list such as `[a, b]`, not {}", field.node.kind()));
            return None;
        };
        let item = |(index, node): (usize, &'n Node)| Field { path: format!("{}[{index}]", field.path), position: node.position, node };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// Returns a mapping of the user's own keys to texts.
    pub(super) fn texts(
        &mut self,
        field: Option<Field<'_>>,
        parse_key: impl Fn(&str) -> Parsed<String>,
        parse_value: impl Fn(&str) -> Parsed<String>,
    ) -> Option<BTreeMap<String, Located<String>>> {
        let mut fields = self.fields(&field?);
        let mut texts = BTreeMap::new();
        for (key, field) in fields.take_all() {
            if let Err(message) = parse_key(&key.text) {
                self.problem(key.position, &field.path, message);
            } else if let Some(value) = self.parsed(Some(field), &parse_value) {
                texts.insert(key.text.clone(), value);
            }
        }
        Some(texts)
    }
}
