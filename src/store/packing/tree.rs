//! The walk through the folders around a flow, by names and metadata alone.

use std::{
    collections::BTreeMap,
    fs::{self, FileType},
    io,
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    model::{
        package::{
            FILE_LIMIT, LeftOut, PACKAGE_LIMIT, UNPACKED_LIMIT,
            never_sent::{StaysBehind, is_never_sent},
            printable, too_large,
        },
        quantity::Memory,
    },
    store::packing::{
        PackingOptions,
        flow_file::{FlowFile, is_executable, not_utf8},
        rules::{Rules, Ruling},
        unreadable,
    },
};

/// The most entries that are looked at, so that a flow in a home folder is refused and not walked for minutes.
const ENTRY_LIMIT: usize = 100_000;

/// A file that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Path below the root, with `/`.
    pub(super) path: String,
    /// Where its content is: elsewhere for a link.
    pub(super) source: PathBuf,
    /// Bytes.
    pub(super) size: u64,
    /// Whether it may be executed.
    pub(super) executable: bool,
}

/// What lies around a flow.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tree {
    /// What is sent.
    pub(super) files: Vec<Found>,
    /// What is not.
    pub(super) left_out: Vec<LeftOut>,
}

impl Tree {
    /// Returns an error when the files are too large to be worth reading.
    pub(super) fn check_size(&self, flow: &FlowFile) -> Result<()> {
        let total = Memory(self.files.iter().map(|found| found.size).sum());
        if total <= UNPACKED_LIMIT {
            return Ok(());
        }
        let message =
            format!("`{}` and the files beside it are {total}, and at most {UNPACKED_LIMIT} may travel, {PACKAGE_LIMIT} packed", flow.name());
        Err(too_large(&message, self.largest()))
    }

    /// Returns the sizes of top-level files and folders; of a folder that is mainly one file, that file.
    fn largest(&self) -> Vec<(String, Memory)> {
        let mut folders: BTreeMap<&str, (u64, &Found)> = BTreeMap::new();
        for found in &self.files {
            let top = found.path.split_once('/').map_or(found.path.as_str(), |(top, _)| top);
            let entry = folders.entry(top).or_insert((0, found));
            entry.0 += found.size;
            if found.size > entry.1.size {
                entry.1 = found;
            }
        }
        let name = |top: &str, total: u64, largest: &Found| {
            if largest.size * 2 >= total { (largest.path.clone(), Memory(largest.size)) } else { (format!("{top}/"), Memory(total)) }
        };
        folders.into_iter().map(|(top, (total, largest))| name(top, total, largest)).collect()
    }

    /// Returns the error for too many files, naming the folders that have the most.
    fn too_many(&self, flow: &FlowFile, limit: usize) -> Error {
        let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
        for found in &self.files {
            *folders.entry(found.path.split_once('/').map_or("", |(top, _)| top)).or_default() += 1;
        }
        let mut folders: Vec<(&str, usize)> = folders.into_iter().filter(|(top, _)| !top.is_empty()).collect();
        folders.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let error = Error::rejected(format!("more than {limit} files lie beside `{}`", flow.name()));
        let error = match folders.first() {
            Some((first, _)) => {
                let named: Vec<String> = folders.iter().take(3).map(|(top, count)| format!("`{}/` ({count})", printable(top))).collect();
                error
                    .hinted(format!("most of them in {}, as far as was looked", named.join(", ")))
                    .hinted(format!("leave them out with `--exclude '{first}/**'` or a line `{first}/` in .sbrunignore"))
            }
            None => error,
        };
        error.hinted("or put the flow into a folder of its own")
    }
}

/// Walks the folders around a flow.
pub(super) fn walk(flow: &FlowFile, options: &PackingOptions) -> Result<Tree> {
    if is_never_sent(&flow.file) {
        return Err(Error::rejected(format!("`{}` is among what is never sent: keys, credentials, version control", flow.name()))
            .hinted("move or rename the flow"));
    }
    let mut walk = Walk { flow, rules: Rules::new(flow, options)?, tree: Tree::default(), entries: 0 };
    walk.folder(&Folder { real: flow.root.clone(), relative: String::new(), linked: false, left_out: None })?;
    walk.add_flow()?;
    walk.rules.check_includes()?;
    Ok(walk.tree)
}

struct Walk<'a> {
    flow: &'a FlowFile,
    rules: Rules,
    tree: Tree,
    entries: usize,
}

/// A folder that is walked.
struct Folder {
    /// Where it is.
    real: PathBuf,
    /// Where it lies below the root; empty for the root.
    relative: String,
    /// Whether a link led here.
    linked: bool,
    /// The entry that left it out: then only what `--include` asks for is taken.
    left_out: Option<LeftOut>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Folder) -> Result<()> {
        let shown = if folder.relative.is_empty() { "." } else { &folder.relative };
        let mut entries = fs::read_dir(&folder.real).and_then(|entries| {
            // Counted while they are read: one folder can hold millions.
            let mut read = Vec::new();
            for entry in entries {
                let entry = entry?;
                read.push((entry.file_name(), entry.file_type()?));
                if self.entries + read.len() > ENTRY_LIMIT {
                    break;
                }
            }
            Ok(read)
        });
        if let Ok(entries) = &mut entries {
            entries.sort_by(|left, right| left.0.cmp(&right.0));
        }
        let entries = entries.map_err(|error| unreadable(shown, error))?;
        let logical = self.flow.root.join(&folder.relative);
        self.rules.enter(&folder.real, &logical, &folder.relative);
        for (name, kind) in entries {
            self.entries += 1;
            if self.entries > ENTRY_LIMIT {
                return Err(self.tree.too_many(self.flow, ENTRY_LIMIT));
            }
            let path = folder.real.join(&name);
            let Some(name) = name.to_str() else {
                self.unnameable(folder, &logical.join(&name))?;
                continue;
            };
            let relative = if folder.relative.is_empty() { name.to_owned() } else { format!("{}/{name}", folder.relative) };
            self.entry(folder, &path, relative, kind)?;
        }
        self.rules.leave();
        Ok(())
    }

    /// A name that is not UTF-8 is no matter as long as some rule leaves it out.
    fn unnameable(&mut self, folder: &Folder, logical: &Path) -> Result<()> {
        let relative = logical.strip_prefix(&self.flow.root).unwrap_or(logical);
        match self.rules.ruling(&relative.to_string_lossy(), logical, false) {
            Ruling::Send if folder.left_out.is_none() => Err(not_utf8(relative)),
            _ => Ok(()),
        }
    }

    fn entry(&mut self, folder: &Folder, path: &Path, relative: String, kind: FileType) -> Result<()> {
        let logical = self.flow.root.join(&relative);
        let is_folder = if kind.is_symlink() { path.is_dir() } else { kind.is_dir() };
        let mut ruling = self.rules.ruling(&relative, &logical, is_folder);
        if matches!(ruling, Ruling::Send) && is_folder && is_environment(path) {
            ruling = self.rules.ruling_on_environment(&relative, &logical);
        }
        match ruling {
            Ruling::LeaveOut { entry, always } => self.leave_out(folder, path, &relative, kind, entry, always),
            Ruling::Send => {
                if let Some(entry) = folder.left_out.as_ref().filter(|_| !self.rules.includes(&logical, is_folder)) {
                    // Only on the way to what `--include` asks for.
                    let descend = kind.is_dir() && self.rules.may_include_below(&relative, entry);
                    let left_out = Some(entry.clone());
                    return if descend {
                        self.folder(&Folder { real: path.to_path_buf(), relative, linked: folder.linked, left_out })
                    } else {
                        Ok(())
                    };
                }
                self.send(folder, path, relative, kind)
            }
        }
    }

    fn leave_out(&mut self, folder: &Folder, path: &Path, relative: &str, kind: FileType, mut entry: LeftOut, always: bool) -> Result<()> {
        if kind.is_file() {
            entry.size = fs::symlink_metadata(path).ok().map(|metadata| Memory(metadata.len()));
        }
        let descend = kind.is_dir() && !always && self.rules.may_include_below(relative, &entry);
        if folder.left_out.is_none() {
            self.tree.left_out.push(entry.clone());
        }
        if descend {
            self.folder(&Folder { real: path.to_path_buf(), relative: relative.to_owned(), linked: folder.linked, left_out: Some(entry) })?;
        }
        Ok(())
    }

    fn send(&mut self, folder: &Folder, path: &Path, relative: String, kind: FileType) -> Result<()> {
        if kind.is_symlink() {
            return self.link(folder, path, relative);
        }
        if kind.is_dir() {
            return self.folder(&Folder { real: path.to_path_buf(), relative, linked: folder.linked, left_out: None });
        }
        if kind.is_file() {
            return self.file(path, relative);
        }
        self.stay(relative, special(kind));
        Ok(())
    }

    fn file(&mut self, path: &Path, relative: String) -> Result<()> {
        let metadata = fs::metadata(path).map_err(|error| unreadable(&relative, error))?;
        self.rules.note_sent(&self.flow.root.join(&relative));
        self.tree.files.push(Found { path: relative, source: path.to_path_buf(), size: metadata.len(), executable: is_executable(&metadata) });
        if self.tree.files.len() > FILE_LIMIT {
            return Err(self.tree.too_many(self.flow, FILE_LIMIT));
        }
        Ok(())
    }

    /// A link within the root becomes what it points to; a folder is followed once, so that no circle can be walked.
    fn link(&mut self, folder: &Folder, path: &Path, relative: String) -> Result<()> {
        let target = match fs::canonicalize(path) {
            Ok(target) => target,
            Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied) => return Err(unreadable(&relative, error)),
            Err(_) => {
                self.stay(relative, "broken link");
                return Ok(());
            }
        };
        let Ok(within) = target.strip_prefix(&self.flow.root) else { return Err(self.points_outside(&relative, &target)) };
        if is_never_sent(&within.to_string_lossy()) {
            self.tree.left_out.push(StaysBehind::Secret.left_out(relative));
            return Ok(());
        }
        let metadata = fs::metadata(&target).map_err(|error| unreadable(&relative, error))?;
        if metadata.is_file() {
            return self.file(&target, relative);
        }
        if !metadata.is_dir() {
            self.stay(relative, special(metadata.file_type()));
        } else if folder.linked {
            self.stay(format!("{relative}/"), "link in a linked folder");
        } else if folder.real.starts_with(&target) {
            self.stay(format!("{relative}/"), "link to a folder around it");
        } else {
            self.folder(&Folder { real: target, relative, linked: true, left_out: None })?;
        }
        Ok(())
    }

    fn points_outside(&self, link: &str, target: &Path) -> Error {
        let root = &self.flow.root;
        let error =
            Error::rejected(format!("the link `{}` points to `{}`, outside of the root `{}`", printable(link), target.display(), root.display()))
                .hinted(format!("leave it out with `--exclude '{link}'` or a line `{link}` in .sbrunignore, or put a copy in its place"));
        let levels = (1..=self.flow.levels_above()).find(|levels| root.ancestors().nth(*levels).is_some_and(|folder| target.starts_with(folder)));
        // A root as wide as the file system is no help.
        match levels.filter(|levels| root.ancestors().nth(*levels).is_some_and(|folder| folder.parent().is_some())) {
            Some(levels) => error.hinted(format!("or send the folder around both: `--root {}`", self.flow.root_above(levels))),
            None => error,
        }
    }

    fn stay(&mut self, path: String, reason: &str) {
        self.tree.left_out.push(LeftOut { path, reason: reason.to_owned(), rule: None, size: None, expected: false });
    }

    /// The flow itself is sent whatever the rules say: it was named.
    fn add_flow(&mut self) -> Result<()> {
        let file = &self.flow.file;
        self.tree.left_out.retain(|entry| entry.path != *file);
        if self.tree.files.iter().any(|found| found.path == *file) {
            return Ok(());
        }
        self.file(&self.flow.path, file.clone())
    }
}

/// Returns whether a folder is a virtual environment of Python or of conda.
fn is_environment(folder: &Path) -> bool {
    folder.join("pyvenv.cfg").is_file() || folder.join("conda-meta").is_dir()
}

#[cfg(unix)]
fn special(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    match kind {
        kind if kind.is_socket() => "socket",
        kind if kind.is_fifo() => "named pipe",
        _ => "device",
    }
}

#[cfg(not(unix))]
fn special(_kind: FileType) -> &'static str {
    "not a plain file"
}
