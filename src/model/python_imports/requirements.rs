//! Dependencies that a flow declares. They are not installed: the image must hold them, and submit says so.

use std::collections::BTreeSet;

use crate::model::{
    package::Package,
    python_imports::resolve::{join, parent},
};

/// How many names a note gives before it counts.
const NAMED: usize = 8;

/// The distributions that one file declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// Where, such as `requirements.txt`.
    pub source: String,
    /// Names without versions and extras, as written, in order.
    pub names: Vec<String>,
}

impl Declared {
    /// Returns the note for people: ``the image must hold pandas, requests (requirements.txt)``.
    #[must_use]
    pub fn note(&self) -> String {
        let mut names = self.names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        if self.names.len() > NAMED {
            names = format!("{names} and {} more", self.names.len() - NAMED);
        }
        format!("the image must hold {names} ({})", self.source)
    }
}

/// Returns what is declared for a flow: its own PEP 723 block, else `requirements.txt` and `pyproject.toml` beside it or in the root.
#[must_use]
pub fn declared(package: &Package, flow: &str) -> Vec<Declared> {
    let text = |path: &str| package.find(path).map(|file| String::from_utf8_lossy(&file.content).into_owned());
    let found = |source: &str, names: Vec<String>| (!names.is_empty()).then(|| Declared { source: source.to_owned(), names });
    if let Some(script) = text(flow).and_then(|source| found(flow, script_block(&source))) {
        return vec![script];
    }
    let mut declared = Vec::new();
    for file in ["requirements.txt", "pyproject.toml"] {
        let places = [join(parent(flow), file), file.to_owned()];
        let read = places.iter().find_map(|path| text(path).map(|text| (path, text)));
        let Some((path, text)) = read else { continue };
        let names = if file == "requirements.txt" { requirements(&text) } else { project(&text) };
        declared.extend(found(path, names));
    }
    declared
}

/// Returns the names of all declarations in the form in which imports are compared with them.
#[must_use]
pub fn names(declared: &[Declared]) -> BTreeSet<String> {
    declared.iter().flat_map(|declared| &declared.names).map(|name| normalised(name)).collect()
}

/// Returns a name as PEP 503 compares names, with underscores: imports cannot have hyphens.
#[must_use]
pub fn normalised(name: &str) -> String {
    name.to_lowercase().replace(['-', '.'], "_")
}

/// Returns the distribution's name at the start of a requirement (PEP 508), or nothing for options, paths and addresses.
fn distribution(requirement: &str) -> Option<String> {
    let end = requirement.find(|character: char| !character.is_ascii_alphanumeric() && !matches!(character, '-' | '_' | '.'));
    let (name, rest) = requirement.split_at(end.unwrap_or(requirement.len()));
    let is_name = name.starts_with(|first: char| first.is_ascii_alphanumeric()) && !rest.starts_with([':', '/', '\\']);
    (is_name && !name.eq_ignore_ascii_case("python")).then(|| name.to_owned())
}

fn requirements(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter_map(distribution).collect()
}

/// Returns the dependencies of a PEP 723 block, `# /// script`.
fn script_block(source: &str) -> Vec<String> {
    let lines = source.lines().skip_while(|line| line.trim_end() != "# /// script").skip(1);
    let block: Vec<&str> = lines
        .take_while(|line| line.trim_end() != "# ///")
        .map_while(|line| line.strip_prefix('#'))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    array(&block, "").iter().filter_map(|item| distribution(item)).collect()
}

/// Returns the dependencies of a `pyproject.toml`: the standard's array, else Poetry's table.
fn project(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let standard: Vec<String> = array(&lines, "[project]").iter().filter_map(|item| distribution(item)).collect();
    if !standard.is_empty() {
        return standard;
    }
    let table =
        lines.iter().skip_while(|line| line.trim() != "[tool.poetry.dependencies]").skip(1).take_while(|line| !line.trim_start().starts_with('['));
    table.filter(|line| line.contains('=')).filter_map(|line| distribution(line.trim())).collect()
}

/// Returns the strings of the array `dependencies` in a section of TOML; the empty section is the top.
fn array(lines: &[&str], section: &str) -> Vec<String> {
    let mut current = "";
    for (index, line) in lines.iter().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            current = line;
        }
        let value = line.strip_prefix("dependencies").map(str::trim_start).and_then(|rest| rest.strip_prefix('='));
        if let Some(value) = value.filter(|_| current == section) {
            return strings(std::iter::once(value).chain(lines[index + 1..].iter().copied()));
        }
    }
    Vec::new()
}

/// Returns the string literals up to the bracket that closes the array.
fn strings<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut strings = Vec::new();
    for line in lines {
        let mut rest = line;
        while let Some(start) = rest.find(['"', '\'', '#', ']']) {
            let mark = rest.as_bytes()[start];
            match mark {
                b']' => return strings,
                b'#' => break,
                quote => {
                    let after = &rest[start + 1..];
                    let Some(end) = after.find(char::from(quote)) else { break };
                    strings.push(after[..end].to_owned());
                    rest = &after[end + 1..];
                }
            }
        }
    }
    strings
}
