//! Three versions of a template become one: what sbrun wrote last, what is there, and what the map asks for now.
//!
//! Where only one side changed something, its word counts; so what people edited stays. Where both did, or where an edit touches
//! what sbrun decides alone, that is a conflict, which somebody has to settle.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::rules;

/// Three versions, merged.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// The result; where there are conflicts, with what is wanted.
    pub template: Value,
    /// What is not as sbrun would have it, because somebody edited it.
    pub kept: Vec<Difference>,
    /// What cannot be kept and changed at the same time.
    pub conflicts: Vec<Difference>,
}

/// A part of a template that is not as sbrun would have it.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Where: `job_configuration.job_manifest.spec.template.spec.containers[prefect-job].env`.
    pub path: String,
    /// What is there.
    pub there: Option<Value>,
    /// What sbrun would have there.
    pub wanted: Option<Value>,
}

/// Returns `wanted` with the edits that `there` has over `written`. A template that sbrun did not write has no `written`.
#[must_use]
pub fn merge(written: Option<&Value>, there: &Value, wanted: &Value) -> Merged {
    let mut merger = Merger { kept: Vec::new(), conflicts: Vec::new() };
    let template = merger.value("", written, Some(there), Some(wanted)).unwrap_or_default();
    Merged { template, kept: merger.kept, conflicts: merger.conflicts }
}

/// Returns a key as a part of a path.
pub(super) fn step(key: &str) -> String {
    if key.contains(['.', '/']) { format!("\"{key}\"") } else { key.to_owned() }
}

struct Merger {
    kept: Vec<Difference>,
    conflicts: Vec<Difference>,
}

impl Merger {
    fn value(&mut self, path: &str, written: Option<&Value>, there: Option<&Value>, wanted: Option<&Value>) -> Option<Value> {
        if there == wanted {
            return wanted.cloned();
        }
        if let Some(merged) = self.inside(path, written, there, wanted) {
            return Some(merged);
        }
        let difference = || Difference { path: path.to_owned(), there: there.cloned(), wanted: wanted.cloned() };
        if there == written {
            return wanted.cloned();
        }
        if wanted == written && !rules::is_fixed(path) {
            self.kept.push(difference());
            return there.cloned();
        }
        self.conflicts.push(difference());
        wanted.cloned()
    }

    /// Returns what becomes of two documents, or of two lists of named things, part by part; none for anything else.
    fn inside(&mut self, path: &str, written: Option<&Value>, there: Option<&Value>, wanted: Option<&Value>) -> Option<Value> {
        if let (Some(Value::Object(there)), Some(Value::Object(wanted))) = (there, wanted) {
            let written = written.and_then(Value::as_object);
            let mut merged = Map::new();
            for key in keys(wanted.keys(), there.keys()) {
                let path = if path.is_empty() { step(key) } else { format!("{path}.{}", step(key)) };
                let part = self.value(&path, written.and_then(|written| written.get(key)), there.get(key), wanted.get(key));
                merged.extend(part.map(|part| (key.to_owned(), part)));
            }
            return Some(Value::Object(merged));
        }
        let (there, wanted) = (named(there?)?, named(wanted?)?);
        let written = written.and_then(named).unwrap_or_default();
        let find = |list: &[(&str, &'_ Value)], name: &str| list.iter().find(|(known, _)| *known == name).map(|(_, item)| (*item).clone());
        let mut merged = Vec::new();
        for name in keys(wanted.iter().map(|(name, _)| *name), there.iter().map(|(name, _)| *name)) {
            let (written, there, wanted) = (find(&written, name), find(&there, name), find(&wanted, name));
            merged.extend(self.value(&format!("{path}[{name}]"), written.as_ref(), there.as_ref(), wanted.as_ref()));
        }
        Some(Value::Array(merged))
    }
}

/// Returns the keys of both, each once, those of the first in front.
fn keys<'k, T: AsRef<str> + ?Sized + 'k>(first: impl Iterator<Item = &'k T>, second: impl Iterator<Item = &'k T>) -> Vec<&'k str> {
    let mut seen = BTreeSet::new();
    first.chain(second).map(AsRef::as_ref).filter(|key| seen.insert(*key)).collect()
}

/// Returns the items of a list by their names; none when one has no name, or two have the same.
fn named(list: &Value) -> Option<Vec<(&str, &Value)>> {
    let items: Vec<(&str, &Value)> = list.as_array()?.iter().map(|item| Some((item["name"].as_str()?, item))).collect::<Option<_>>()?;
    let names: BTreeSet<&str> = items.iter().map(|(name, _)| *name).collect();
    (names.len() == items.len()).then_some(items)
}
