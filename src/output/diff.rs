//! Differences of texts. The only importer of the diff crate.

use similar::TextDiff;

use super::style::{Painter, Role};

/// Lines around a change.
const CONTEXT: usize = 3;

/// Returns how `old` becomes `new` as a unified diff, without a final line feed; empty when they are equal. `None` stands for nothing at all.
#[must_use]
pub fn unified(name: &str, old: Option<&str>, new: Option<&str>) -> String {
    let header = |text: Option<&str>, side: &str| text.map_or_else(|| "/dev/null".to_owned(), |_| format!("{side}/{name}"));
    let headers = (header(old, "live"), header(new, "next"));
    let difference = TextDiff::from_lines(old.unwrap_or_default(), new.unwrap_or_default());
    let text = difference.unified_diff().context_radius(CONTEXT).header(&headers.0, &headers.1).missing_newline_hint(false).to_string();
    text.trim_end_matches('\n').to_owned()
}

/// Returns a unified diff with what goes and what comes in colour.
#[must_use]
pub fn painted(difference: &str, painter: Painter) -> String {
    let lines = difference.lines().map(|line| {
        let role = match line.as_bytes() {
            [b'-', b'-', b'-', b' ', ..] | [b'+', b'+', b'+', b' ', ..] => Role::Strong,
            [b'@', b'@', ..] => Role::Faint,
            [b'+', ..] => Role::Good,
            [b'-', ..] => Role::Bad,
            _ => return line.to_owned(),
        };
        painter.paint(role, line)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_shown_with_what_surrounds_it() {
        let old = "a: 1\nb: 2\nc: 3\nd: 4\ne: 5\nf: 6\n";
        let new = "a: 1\nb: 2\nc: 3\nd: 4\ne: 50\nf: 6\n";
        let expected = "--- live/x\n+++ next/x\n@@ -2,5 +2,5 @@\n b: 2\n c: 3\n d: 4\n-e: 5\n+e: 50\n f: 6";
        assert_eq!(unified("x", Some(old), Some(new)), expected);
        assert_eq!(unified("x", Some(old), Some(old)), "");
        assert_eq!(unified("x", None, Some("a: 1\n")), "--- /dev/null\n+++ next/x\n@@ -0,0 +1 @@\n+a: 1");
        let new = unified("x", None, Some("a: 1\n"));
        assert_eq!(painted(&new, Painter::default()), new);
        assert!(painted(&new, Painter { color: true }).contains("\u{1b}[32m+a: 1\u{1b}[0m"));
    }
}
