//! From an import to the files that it means, as Python's path finder does it.

use crate::model::python_imports::{Sources, statements::Import};

/// The files that an import touches in one folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Resolution {
    /// Files of the package, in the order in which Python would run them.
    pub(super) packaged: Vec<String>,
    /// Modules whose files exist but are not sent: dotted name and file.
    pub(super) missing: Vec<(String, String)>,
    /// Whether the import's first part lies in this folder at all.
    pub(super) found: bool,
}

/// Where one step of a dotted name leads.
enum Step {
    Folder(String),
    File,
    Missing,
    Nowhere,
}

/// Resolves an import below a folder: the module itself, and the imported names that are modules too.
pub(super) fn resolve(sources: &Sources<'_>, folder: &str, import: &Import) -> Resolution {
    let mut resolution = Resolution::default();
    let mut folder = folder.to_owned();
    let parts: Vec<&str> = import.module.split('.').filter(|part| !part.is_empty()).collect();
    // `from . import x` names no module of its own: its folder is there.
    resolution.found = parts.is_empty();
    for part in parts {
        match step(sources, &folder, part, &import.module, &mut resolution) {
            Step::Folder(next) => folder = next,
            Step::File | Step::Missing => {
                resolution.found = true;
                return resolution;
            }
            Step::Nowhere => return resolution,
        }
        // A bare folder proves nothing: a regular package of that name elsewhere comes first.
        resolution.found |= !resolution.packaged.is_empty();
    }
    for name in &import.names {
        let module = if import.module.is_empty() { name.clone() } else { format!("{}.{name}", import.module) };
        if matches!(step(sources, &folder, name, &module, &mut resolution), Step::File | Step::Missing | Step::Folder(_)) {
            resolution.found |= !resolution.packaged.is_empty() || !resolution.missing.is_empty();
        }
    }
    resolution
}

/// Takes one part of `module`'s dotted name: a package comes before a module, a bare folder last.
fn step(sources: &Sources<'_>, folder: &str, part: &str, module: &str, resolution: &mut Resolution) -> Step {
    let stem = join(folder, part);
    let candidates = [(format!("{stem}/__init__.py"), Some(stem.clone())), (format!("{stem}.py"), None)];
    for (path, next) in &candidates {
        if sources.package.find(path).is_some() {
            resolution.packaged.push(path.clone());
            return next.clone().map_or(Step::File, Step::Folder);
        }
    }
    for (path, _) in candidates {
        if (sources.is_file)(&path) {
            resolution.missing.push((module.to_owned(), path));
            return Step::Missing;
        }
    }
    let below = format!("{stem}/");
    let is_folder = sources.package.files.iter().any(|file| file.path.starts_with(&below))
        || sources.package.left_out.iter().any(|entry| entry.path == below || entry.path.starts_with(&below) || entry.covers(&below));
    if is_folder { Step::Folder(stem) } else { Step::Nowhere }
}

/// Returns a path below a folder; the empty folder is the root.
pub(super) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// Returns the folder of a path; that of a name in the root is the empty one.
pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}
