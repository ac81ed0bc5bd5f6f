//! Whether a source defines a Prefect flow, and what it is called.

use crate::model::python_imports::source::{Line, logical_lines};

/// A Prefect flow, as its source tells without being run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefectFlow {
    /// What Prefect calls it.
    pub name: String,
    /// The function.
    pub function: String,
    /// How often Prefect runs it again when it fails.
    pub retries: Retries,
}

/// A flow's own retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retries {
    /// This many; what is not said is none, unless Prefect's settings say otherwise.
    Known(u32),
    /// They are computed.
    Unknown,
}

/// Returns the Prefect flow that a source defines, or nothing when it defines none.
///
/// Of several it is the one that the source calls under `if __name__ == "__main__":`, else the last. A name that is
/// computed is not known; then it is the function's, with hyphens, as Prefect has it.
#[must_use]
pub fn flow(source: &str) -> Option<PrefectFlow> {
    let lines = logical_lines(source);
    let decorators = decorators(&lines);
    if decorators.is_empty() {
        return None;
    }
    let mut flows: Vec<PrefectFlow> = Vec::new();
    let mut decorated: Option<&Line> = None;
    for line in &lines {
        if let Some(decorator) = line.text.strip_prefix('@') {
            let callee: String = decorator.split('(').next().unwrap_or_default().split_whitespace().collect();
            if decorators.contains(&callee) {
                decorated = Some(line);
            }
        } else if let Some(decorator) = decorated.take()
            && let Some(function) = function_name(&line.text)
        {
            let name = name_argument(decorator).unwrap_or_else(|| function.replace('_', "-"));
            let own = retries_argument(&decorator.text).unwrap_or(Retries::Known(0));
            flows.push(PrefectFlow { name, function: function.to_owned(), retries: with_options(&lines, function).unwrap_or(own) });
        }
    }
    let called = flows.iter().position(|flow| is_called_as_main(&lines, &flow.function)).or(flows.len().checked_sub(1))?;
    Some(flows.swap_remove(called))
}

/// Returns the `retries` of a call, when it has any; `**options` may hold some.
fn retries_argument(text: &str) -> Option<Retries> {
    let compact: String = text.split_whitespace().collect();
    let value = ["(retries=", ",retries="].iter().find_map(|start| compact.split_once(start)).map(|(_, rest)| rest);
    match value {
        Some(value) => {
            let literal = value.split([',', ')']).next().unwrap_or_default();
            Some(literal.parse().map_or(Retries::Unknown, Retries::Known))
        }
        None => compact.contains("**").then_some(Retries::Unknown),
    }
}

/// Returns the `retries` of `function.with_options(…)`, wherever it stands.
fn with_options(lines: &[Line], function: &str) -> Option<Retries> {
    let call = format!("{function}.with_options(");
    lines.iter().find_map(|line| {
        let compact: String = line.text.split_whitespace().collect();
        let (_, arguments) = compact.split_once(&call)?;
        retries_argument(&format!("({arguments}"))
    })
}

/// Returns what the flow decorator is called in this source: `flow`, `prefect.flow`, or under another name.
fn decorators(lines: &[Line]) -> Vec<String> {
    let mut names = Vec::new();
    for line in lines {
        if let Some(modules) = line.text.strip_prefix("import ") {
            for module in modules.split(',') {
                match module.split_whitespace().collect::<Vec<_>>().as_slice() {
                    ["prefect"] => names.push("prefect.flow".to_owned()),
                    ["prefect", "as", name] => names.push(format!("{name}.flow")),
                    _ => {}
                }
            }
        } else if let Some((module, imported)) = line.text.strip_prefix("from ").and_then(|rest| rest.split_once(" import"))
            && matches!(module.trim(), "prefect" | "prefect.flows")
        {
            for name in imported.trim().trim_matches(['(', ')']).split(',') {
                match name.split_whitespace().collect::<Vec<_>>().as_slice() {
                    ["flow"] => names.push("flow".to_owned()),
                    ["flow", "as", name] => names.push((*name).to_owned()),
                    _ => {}
                }
            }
        }
    }
    names
}

/// Returns the string of the decorator's `name=…`, when it is a plain one.
fn name_argument(line: &Line) -> Option<String> {
    let compact: String = line.text.split_whitespace().collect();
    let rest = ["(name=\"", ",name=\""].iter().find_map(|start| compact.split_once(start)).map(|(_, rest)| rest)?;
    let index: usize = rest.split_once('"')?.0.parse().ok()?;
    line.strings.get(index).filter(|name| !name.is_empty() && !name.contains('\\')).cloned()
}

fn function_name(text: &str) -> Option<&str> {
    let text = text.strip_prefix("async ").map_or(text, str::trim_start);
    text.strip_prefix("def ")?.split(['(', '[']).next().map(str::trim).filter(|name| !name.is_empty())
}

fn is_called_as_main(lines: &[Line], function: &str) -> bool {
    let is_main = |line: &&Line| line.text.starts_with("if __name__") && line.strings.iter().any(|text| text == "__main__");
    let Some(start) = lines.iter().position(|line| is_main(&line)) else { return false };
    let body = lines[start + 1..].iter().take_while(|line| line.indent > lines[start].indent);
    let calls = |text: &str| {
        text.match_indices(function).any(|(index, _)| {
            let before = text[..index].chars().next_back();
            !before.is_some_and(|character| character.is_alphanumeric() || character == '_') && text[index + function.len()..].starts_with(['(', '.'])
        })
    };
    std::iter::once(&lines[start]).chain(body).any(|line| calls(&line.text))
}
