//! The local imports of Python sources, found without running them: a forgotten file shows before submission.
//!
//! Absolute imports are looked for where `python3 flow.py` would look: in the flow's own folder, then in the entries of
//! `PYTHONPATH` that lie in the root. Nothing is reported that does not exist as a file; a module that is found nowhere is
//! presumed to be in the image. Imports by a computed name (`importlib.import_module`) are not seen.

pub mod prefect;
pub mod requirements;
mod resolve;
mod source;
mod standard_library;
mod statements;

use std::collections::{BTreeSet, VecDeque};

use crate::model::{
    package::Package,
    python_imports::{
        resolve::{Resolution, join, parent, resolve},
        statements::{Import, parse},
    },
};

/// What the scan looks at. Paths are relative to the root, with `/`; the root itself is the empty path.
pub struct Sources<'a> {
    /// The files that are sent, and what is left out.
    pub package: &'a Package,
    /// The flow's file.
    pub flow: &'a str,
    /// Further folders in which modules are found: the entries of `PYTHONPATH` that lie in the root.
    pub search: &'a [String],
    /// How many folders above the root belong to the same project; modules are looked for there too.
    pub levels_above: usize,
    /// Returns whether a file exists on disk; its path may begin with `../`.
    pub is_file: &'a dyn Fn(&str) -> bool,
    /// Names of distributions that the image is declared to hold, as [`requirements`] returns them.
    pub declared: &'a BTreeSet<String>,
}

/// A local module that an import would not find in the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The module, as the import names it.
    pub module: String,
    /// The file with the import.
    pub importer: String,
    /// Line of the import, counted from 1.
    pub line: usize,
    /// The file that the import means.
    pub path: String,
    /// Why it would not be found.
    pub problem: Problem,
    /// Whether the flow says itself that it can do without: the import stands in a `try` with `except ImportError`.
    pub optional: bool,
}

/// Why a module that exists here would not be found in the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// It lies in a searched folder and is not sent.
    NotSent,
    /// It lies in the root, in this folder, where Python does not look.
    NotSearched(String),
    /// It lies outside the root, in this folder, such as `..`.
    OutsideRoot(String),
}

/// Returns every local module that would be missing in the pod, in the order in which the imports are met from the flow on.
#[must_use]
pub fn missing_modules(sources: &Sources<'_>) -> Vec<Finding> {
    let mut scan = Scan { sources, findings: Vec::new(), queue: VecDeque::new(), seen: BTreeSet::new(), changes_path: false };
    scan.enqueue(sources.flow);
    while let Some(path) = scan.queue.pop_front() {
        scan.read(&path);
    }
    if scan.changes_path {
        // The flow looks in further folders itself; what is sent may well be found.
        scan.findings.retain(|finding| !matches!(finding.problem, Problem::NotSearched(_)));
    }
    scan.findings
}

struct Scan<'a> {
    sources: &'a Sources<'a>,
    findings: Vec<Finding>,
    queue: VecDeque<String>,
    seen: BTreeSet<String>,
    /// Whether a source that the flow reaches changes `sys.path`: then folders are searched that only a run can tell.
    changes_path: bool,
}

impl Scan<'_> {
    fn enqueue(&mut self, path: &str) {
        if self.seen.insert(path.to_owned()) {
            self.queue.push_back(path.to_owned());
        }
    }

    fn read(&mut self, path: &str) {
        let Some(file) = self.sources.package.find(path) else { return };
        let parsed = parse(&String::from_utf8_lossy(&file.content));
        self.changes_path |= parsed.changes_path;
        for import in parsed.imports {
            self.follow(path, &import);
        }
    }

    fn follow(&mut self, importer: &str, import: &Import) {
        if import.level > 0 {
            self.follow_relative(importer, import);
            return;
        }
        let own = parent(self.sources.flow).to_owned();
        let folders: Vec<String> = std::iter::once(own).chain(self.sources.search.iter().cloned()).collect();
        for folder in &folders {
            if self.found_in(folder, importer, import) {
                return;
            }
        }
        self.look_elsewhere(importer, import, &folders);
    }

    fn follow_relative(&mut self, importer: &str, import: &Import) {
        let mut folder = parent(importer);
        for _ in 1..import.level {
            folder = parent(folder);
        }
        let folder = folder.to_owned();
        self.found_in(&folder, importer, import);
    }

    /// Follows an import into a searched folder; returns whether its first part lies there.
    fn found_in(&mut self, folder: &str, importer: &str, import: &Import) -> bool {
        let resolution = resolve(self.sources, folder, import);
        let Resolution { packaged, missing, found } = resolution;
        for path in packaged {
            self.enqueue(&path);
        }
        for (module, path) in missing {
            self.report(importer, import, &module, path, Problem::NotSent);
        }
        found
    }

    /// Looks for a module where Python will not: in the folders around the flow, within the root and then above it.
    fn look_elsewhere(&mut self, importer: &str, import: &Import, searched: &[String]) {
        let top = import.module.split('.').next().unwrap_or_default();
        if standard_library::contains(top) || self.sources.declared.contains(&requirements::normalised(top)) {
            return;
        }
        let mut within = parent(self.sources.flow);
        while !within.is_empty() {
            within = parent(within);
            if searched.iter().any(|folder| folder == within) {
                continue;
            }
            if let Some(path) = self.module_file(within, top) {
                let problem = if self.sources.package.find(&path).is_some() { Problem::NotSearched(within.to_owned()) } else { Problem::NotSent };
                self.enqueue(&path);
                self.report(importer, import, &import.module, path, problem);
                return;
            }
        }
        for level in 1..=self.sources.levels_above {
            let folder = vec![".."; level].join("/");
            if let Some(path) = self.module_file(&folder, top) {
                self.report(importer, import, &import.module, path, Problem::OutsideRoot(folder));
                return;
            }
        }
    }

    /// Returns the file of a top-level module in a folder, packaged or only on disk. Bare folders do not count.
    fn module_file(&self, folder: &str, name: &str) -> Option<String> {
        let candidates = [join(folder, &format!("{name}/__init__.py")), join(folder, &format!("{name}.py"))];
        candidates.into_iter().find(|path| self.sources.package.find(path).is_some() || (self.sources.is_file)(path))
    }

    fn report(&mut self, importer: &str, import: &Import, module: &str, path: String, problem: Problem) {
        if self.findings.iter().any(|finding| finding.path == path && (!finding.optional || import.optional)) {
            return;
        }
        self.findings.retain(|finding| finding.path != path);
        let module = format!("{}{module}", ".".repeat(import.level));
        let (importer, line, optional) = (importer.to_owned(), import.line, import.optional);
        self.findings.push(Finding { module, importer, line, path, problem, optional });
    }
}

#[cfg(test)]
mod tests;
