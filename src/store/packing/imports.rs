//! What the scan of the imports means for a submission: an error for what would surely fail, a note for what may.

use std::collections::BTreeSet;

use crate::{
    error::{Error, Result},
    model::{
        package::{LeftOut, Package, bootstrap::FLOW_FOLDER},
        python_imports::{Finding, Problem, Sources, missing_modules},
    },
    store::packing::{PackingOptions, flow_file::FlowFile},
};

/// How many missing modules one error names.
const NAMED: usize = 5;

/// Checks that every local module which the flow imports is sent and found. Returns notes about those that may be missed.
pub(super) fn check(flow: &FlowFile, options: &PackingOptions, package: &Package, declared: &BTreeSet<String>) -> Result<Vec<String>> {
    let is_file = |path: &str| flow.root.join(path).is_file();
    let search = search_folders(options.python_path.as_deref());
    let sources = Sources { package, flow: &flow.file, search: &search, levels_above: flow.levels_above(), is_file: &is_file, declared };
    let (notes, problems): (Vec<Finding>, Vec<Finding>) =
        missing_modules(&sources).into_iter().partition(|finding| finding.optional || is_deliberate(flow, options, package, finding));
    if problems.is_empty() {
        return Ok(notes.iter().map(|finding| note(package, finding)).collect());
    }
    Err(error(flow, package, &problems))
}

/// Returns the entries of a `PYTHONPATH` that lie in the root, as folders below it; in the pod the root is [`FLOW_FOLDER`].
fn search_folders(python_path: Option<&str>) -> Vec<String> {
    let below_root = |entry: &str| {
        let relative = match entry.strip_prefix(FLOW_FOLDER) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
            _ if entry.is_empty() || entry.starts_with('/') => return None,
            _ => entry,
        };
        let parts: Vec<&str> = relative.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        (!parts.contains(&"..")).then(|| parts.join("/"))
    };
    python_path.unwrap_or_default().split(':').filter_map(below_root).collect()
}

/// Returns whether the user said that the module is not to be sent, or an installed project provides it: the image has it then.
fn is_deliberate(flow: &FlowFile, options: &PackingOptions, package: &Package, finding: &Finding) -> bool {
    match &finding.problem {
        Problem::NotSent => left_out(package, &finding.path).is_some_and(|entry| entry.reason == "--exclude"),
        Problem::NotSearched(folder) | Problem::OutsideRoot(folder) => {
            let top = finding.module.split('.').next().unwrap_or_default();
            options.exclude.iter().any(|pattern| pattern.trim_matches('/') == top) || is_installable(flow, folder)
        }
    }
}

/// Returns whether a folder is a project that gets installed: its modules are then found without any path.
fn is_installable(flow: &FlowFile, folder: &str) -> bool {
    let folder = flow.root.join(folder);
    let project = std::fs::read_to_string(folder.join("pyproject.toml")).unwrap_or_default();
    folder.join("setup.py").is_file() || project.lines().any(|line| line.trim() == "[build-system]")
}

fn left_out<'a>(package: &'a Package, path: &str) -> Option<&'a LeftOut> {
    package.left_out.iter().find(|entry| entry.covers(path))
}

/// Says why a module would be missing, after "imports `x`, but".
fn explain(package: &Package, finding: &Finding) -> String {
    let path = &finding.path;
    match &finding.problem {
        Problem::NotSent => {
            let entry = left_out(package, path);
            let why = entry.map_or_else(|| "left out".to_owned(), |entry| entry.rule.clone().unwrap_or_else(|| entry.reason.clone()));
            format!("`{path}` is not sent ({why})")
        }
        Problem::NotSearched(_) => format!("`{path}` lies outside the flow's folder, where Python does not look"),
        Problem::OutsideRoot(_) => format!("`{path}` lies outside the root, which is all that is sent"),
    }
}

fn note(package: &Package, finding: &Finding) -> String {
    format!("`{}` imports `{}`, but {}; the image must hold it", finding.importer, finding.module, explain(package, finding))
}

fn error(flow: &FlowFile, package: &Package, problems: &[Finding]) -> Error {
    let sentence =
        |finding: &Finding| format!("`{}` line {} imports `{}`, but {}", finding.importer, finding.line, finding.module, explain(package, finding));
    let mut message: Vec<String> = problems.iter().take(NAMED).map(sentence).collect();
    if problems.len() > NAMED {
        message.push(format!("{} more imports would fail", problems.len() - NAMED));
    }
    let mut hints: Vec<String> = Vec::new();
    for finding in problems.iter().take(NAMED) {
        for hint in advice(flow, package, finding) {
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
    }
    Error::rejected(message.join("\n")).with_hints(hints)
}

fn advice(flow: &FlowFile, package: &Package, finding: &Finding) -> Vec<String> {
    let path = &finding.path;
    let top = finding.module.split('.').next().unwrap_or_default();
    let in_image = format!("if the image holds `{top}`: `--exclude {top}`");
    match &finding.problem {
        Problem::NotSent => match left_out(package, path) {
            Some(entry) if entry.rule.is_none() && !entry.expected => {
                vec![format!("`{}` is never sent ({}): give the module another name or place", entry.path, entry.reason)]
            }
            Some(entry) => vec![format!("send it with `--include {path}` or the line `!/{}` in the root's .sbrunignore", entry.path)],
            None => vec![format!("send it with `--include {path}`")],
        },
        Problem::NotSearched(folder) => {
            let folder = if folder.is_empty() { "." } else { folder };
            vec![format!("let Python look there: `--env PYTHONPATH={folder}`, or move the flow beside it"), in_image]
        }
        Problem::OutsideRoot(folder) => {
            let root = flow.root_above(folder.split('/').count());
            vec![format!("send the folder around both: `--root {root} --env PYTHONPATH=.`"), in_image]
        }
    }
}
