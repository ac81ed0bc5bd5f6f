//! What `doctor` found.

use serde::Serialize;

use crate::{
    model::doctor::{Finding, Severity},
    output::{
        format::SCHEMA,
        style::{Painter, Role},
        wording,
    },
};

/// Findings as a document.
#[derive(Debug, Serialize)]
pub struct FindingsView {
    schema: u32,
    map: Option<String>,
    cluster: Option<String>,
    errors: usize,
    warnings: usize,
    unknown: usize,
    ok: usize,
    findings: Vec<FindingView>,
}

/// One finding as a document.
#[derive(Debug, Serialize)]
struct FindingView {
    severity: &'static str,
    code: &'static str,
    subject: String,
    message: String,
    consequence: Option<String>,
    remedies: Vec<String>,
    #[serde(skip)]
    severe: Severity,
}

impl FindingsView {
    /// Returns findings, worst first; `map` and `cluster` are what was looked at.
    #[must_use]
    pub fn new(map: Option<String>, cluster: Option<String>, findings: Vec<Finding>) -> Self {
        let count = |severity: Severity| findings.iter().filter(|finding| finding.severity == severity).count();
        let [errors, warnings, unknown, ok] = [Severity::Error, Severity::Warning, Severity::Unknown, Severity::Good].map(count);
        let view = |finding: Finding| {
            let Finding { severity, code, subject, message, consequence, remedies } = finding;
            FindingView { severity: severity.as_str(), code, subject, message, consequence, remedies, severe: severity }
        };
        let findings = findings.into_iter().map(view).collect();
        Self { schema: SCHEMA, map, cluster, errors, warnings, unknown, ok, findings }
    }

    /// Returns whether something keeps jobs from running.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Returns the codes of errors and warnings, each once.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for finding in self.findings.iter().filter(|finding| finding.severe <= Severity::Warning) {
            if !names.iter().any(|name| name == finding.code) {
                names.push(finding.code.to_owned());
            }
        }
        names
    }

    /// Returns the findings for people; what is as it should be only when `all` is wanted.
    #[must_use]
    pub fn text(&self, painter: Painter, all: bool) -> String {
        let shown = self.findings.iter().filter(|finding| all || finding.severe != Severity::Good);
        shown.map(|finding| finding.text(painter)).collect::<Vec<_>>().join("\n")
    }

    /// Returns `2 errors, 1 warning, 3 unknown, 23 ok`.
    #[must_use]
    pub fn summary(&self) -> String {
        let counts = [
            (self.errors, wording::count(self.errors, "error")),
            (self.warnings, wording::count(self.warnings, "warning")),
            (self.unknown, format!("{} unknown", self.unknown)),
            (self.ok, format!("{} ok", self.ok)),
        ];
        let counts: Vec<String> = counts.into_iter().filter(|(count, _)| *count > 0).map(|(_, words)| words).collect();
        let of_map = self.map.as_ref().map(|map| format!("; instance map: {map}")).unwrap_or_default();
        format!("{}{of_map}", counts.join(", "))
    }
}

impl FindingView {
    fn text(&self, painter: Painter) -> String {
        let (mark, role) = match self.severe {
            Severity::Error => ("✗", Role::Bad),
            Severity::Warning => ("!", Role::Caution),
            Severity::Unknown => ("?", Role::Strong),
            Severity::Good => ("✓", Role::Good),
        };
        let head = painter.paint(role, &format!("{mark} {}", self.severity));
        let code = painter.paint(Role::Faint, &format!("[{}]", self.code));
        let mut lines = vec![format!("{head}: {}: {}  {code}", self.subject, self.message)];
        lines.extend(self.consequence.iter().map(|consequence| format!("  so {consequence}")));
        let heading = |index: usize| if index == 0 { "  next: " } else { "        " };
        let remedies = self.remedies.iter().enumerate();
        lines.extend(remedies.map(|(index, remedy)| format!("{}{}", heading(index), painter.paint(Role::Command, remedy))));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(severity: Severity, code: &'static str) -> Finding {
        Finding { severity, code, subject: "size small".into(), message: "it is so".into(), consequence: None, remedies: Vec::new() }
    }

    #[test]
    fn what_is_wrong_is_shown_with_what_mends_it() {
        let wrong = Finding {
            consequence: Some("nothing works".into()),
            remedies: vec!["do this".into(), "or that".into()],
            ..finding(Severity::Error, "Map.Valid")
        };
        let found =
            vec![wrong, finding(Severity::Warning, "Map.Image"), finding(Severity::Unknown, "Rights.Account"), finding(Severity::Good, "Size.Group")];
        let view = FindingsView::new(Some("map.yaml".into()), None, found);
        let shown = "✗ error: size small: it is so  [Map.Valid]\n  so nothing works\n  next: do this\n        or that\n\
                     ! warning: size small: it is so  [Map.Image]\n? unknown: size small: it is so  [Rights.Account]";
        assert_eq!(view.text(Painter::default(), false), shown);
        assert_eq!(view.text(Painter::default(), true), format!("{shown}\n✓ ok: size small: it is so  [Size.Group]"));
        assert_eq!(view.summary(), "1 error, 1 warning, 1 unknown, 1 ok; instance map: map.yaml");
        assert_eq!(view.names(), ["Map.Valid", "Map.Image"]);
        let document = serde_json::to_value(&view).expect("JSON");
        assert_eq!((&document["errors"], &document["findings"][0]["severity"]), (&1.into(), &"error".into()));
    }
}
