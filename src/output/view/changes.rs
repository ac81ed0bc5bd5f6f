//! What applying manifests changes.

use serde::Serialize;
use serde_json::Value;

use crate::{
    error::Result,
    output::{
        diff,
        format::{self, SCHEMA},
        style::Painter,
        wording,
    },
};

/// Changes as a document.
#[derive(Debug, Serialize)]
pub struct Changes {
    schema: u32,
    /// Whether they have been made.
    pub applied: bool,
    changes: Vec<ChangeView>,
    unchanged: usize,
}

/// One change as a document.
#[derive(Debug, Serialize)]
struct ChangeView {
    object: String,
    namespace: Option<String>,
    change: &'static str,
    diff: String,
}

impl Changes {
    /// Returns no changes yet.
    #[must_use]
    pub fn new() -> Self {
        Self { schema: SCHEMA, applied: false, changes: Vec::new(), unchanged: 0 }
    }

    /// Adds an object with how it is and how it would be.
    ///
    /// # Errors
    /// When it cannot be written as YAML.
    pub fn add(&mut self, object: &str, namespace: Option<&str>, live: Option<&Value>, next: &Value) -> Result<()> {
        if live == Some(next) {
            self.unchanged += 1;
            return Ok(());
        }
        let text = |value: &Value| format::yaml(value).map(|text| text + "\n");
        let (old, new) = (live.map(text).transpose()?, text(next)?);
        let path = namespace.map_or_else(|| object.to_owned(), |namespace| format!("{namespace}/{object}"));
        self.changes.push(ChangeView {
            object: object.to_owned(),
            namespace: namespace.map(ToOwned::to_owned),
            change: if live.is_some() { "update" } else { "create" },
            diff: diff::unified(&path, old.as_deref(), Some(&new)),
        });
        Ok(())
    }

    /// Returns whether nothing would change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Returns the names of the objects that change.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.changes.iter().map(|change| change.object.clone()).collect()
    }

    /// Returns the differences, for people.
    #[must_use]
    pub fn differences(&self, painter: Painter) -> String {
        self.changes.iter().map(|change| diff::painted(&change.diff, painter)).collect::<Vec<_>>().join("\n")
    }

    /// Returns `3 objects to create and 1 to change`.
    #[must_use]
    pub fn summary(&self) -> String {
        let created = self.changes.iter().filter(|change| change.change == "create").count();
        let updated = self.changes.len() - created;
        match (created, updated) {
            (0, updated) => format!("{} to change", wording::count(updated, "object")),
            (created, 0) => format!("{} to create", wording::count(created, "object")),
            (created, updated) => format!("{} to create and {updated} to change", wording::count(created, "object")),
        }
    }

    /// Returns what became of each object, one a line.
    #[must_use]
    pub fn outcome(&self) -> String {
        let line = |change: &ChangeView| {
            let place = change.namespace.as_ref().map(|namespace| format!(" in {namespace}")).unwrap_or_default();
            format!("{}{place} {}", change.object, if change.change == "create" { "created" } else { "changed" })
        };
        self.changes.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

impl Default for Changes {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_alike_is_only_counted() {
        let mut changes = Changes::new();
        let (one, two) = (json!({"a": 1}), json!({"a": 2}));
        changes.add("role/x", Some("flows"), Some(&one), &one).expect("YAML");
        assert!(changes.is_empty());
        changes.add("role/y", Some("flows"), Some(&one), &two).expect("YAML");
        changes.add("namespace/flows", None, None, &two).expect("YAML");
        assert_eq!(changes.summary(), "1 object to create and 1 to change");
        assert_eq!(changes.outcome(), "role/y in flows changed\nnamespace/flows created");
        let document = serde_json::to_value(&changes).expect("JSON");
        assert_eq!(document["unchanged"], 1);
        assert_eq!(document["changes"][0]["diff"], "--- live/flows/role/y\n+++ next/flows/role/y\n@@ -1 +1 @@\n-a: 1\n+a: 2");
        assert_eq!(document["changes"][1]["diff"], "--- /dev/null\n+++ next/namespace/flows\n@@ -0,0 +1 @@\n+a: 2");
        assert!(changes.differences(Painter { color: true }).contains("\u{1b}["));
    }
}
