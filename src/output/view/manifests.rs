//! Manifests, as `kubectl apply -f -` takes them.

use serde_json::{Value, json};

use crate::{
    error::Result,
    output::{
        format,
        ui::{Format, Ui},
    },
};

/// Writes manifests to standard output: YAML documents, or one `List` as JSON, or one manifest a line; `names` for names only.
pub fn show(ui: &mut Ui, manifests: &[&Value], names: impl FnOnce() -> Vec<String>) -> Result<()> {
    match ui.format() {
        Format::Name => ui.line(&names().join("\n")),
        Format::Json => ui.document(&format::json(&json!({"apiVersion": "v1", "kind": "List", "items": manifests}))?),
        Format::Jsonl => manifests.iter().try_for_each(|manifest| ui.document(&format::json_line(manifest)?)),
        Format::Table | Format::Yaml => manifests.iter().try_for_each(|manifest| ui.document(&format!("---\n{}", format::yaml(manifest)?))),
    }
}
