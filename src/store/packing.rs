//! From a flow's path to the package that travels with it.
//!
//! Everything that would fail in the pod for want of a file is said here, before any request: by metadata alone where there
//! is too much, by reading the imports where a module would be missing.

mod flow_file;
mod imports;
mod rules;
mod tree;

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use nix::{errno::Errno, fcntl::OFlag};

use crate::{
    error::{Error, Result},
    model::{
        launch_plan::Interpreter,
        package::{Package, PackagedFile, UNPACKED_LIMIT, printable, too_large},
        python_imports::{
            prefect::{self, PrefectFlow},
            requirements,
        },
        quantity::Memory,
    },
    store::packing::tree::Found,
};

/// How often a file is read that is written to meanwhile.
const READINGS: usize = 3;

/// What a user says about the files that travel with a flow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackingOptions {
    /// The root, else the flow's folder. It is the working directory in the pod.
    pub root: Option<PathBuf>,
    /// Patterns of what is sent although a rule leaves it out, as in a `.gitignore`, relative to the root.
    pub include: Vec<String>,
    /// Patterns of what is left out, as in a `.gitignore`, relative to the root; `include` comes first.
    pub exclude: Vec<String>,
    /// The flow's `PYTHONPATH`, where it is set: relative entries count from the root.
    pub python_path: Option<String>,
}

/// A flow with its files, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The files, and what is left out.
    pub package: Package,
    /// The root, absolute and without links.
    pub root: PathBuf,
    /// The flow's file, absolute and without links.
    pub path: PathBuf,
    /// The flow's file below the root, with `/`.
    pub file: String,
    /// How the file is run.
    pub interpreter: Interpreter,
    /// The Prefect flow that the file defines, when it defines one.
    pub prefect_flow: Option<PrefectFlow>,
    /// What people should know before the flow starts, such as dependencies that the image must hold; one line each.
    pub notes: Vec<String>,
}

/// Packs a flow with the files around it.
///
/// Every error is of kind `Rejected` and names the file and the ways out: a flow that is missing, a folder, empty,
/// unreadable, not UTF-8 or not executable; a link out of the root; too many files or too much; a local import that would
/// not be found in the pod. The size *packed* is checked by [`Package::deliver`].
pub fn pack(flow: &Path, options: &PackingOptions) -> Result<Packed> {
    let flow = flow_file::locate(flow, options)?;
    let mut tree = tree::walk(&flow, options)?;
    tree.check_size(&flow)?;
    let mut files = Vec::with_capacity(tree.files.len());
    for found in &tree.files {
        files.push(read(found)?);
    }
    files.sort_by(|left, right| left.path.cmp(&right.path));
    tree.left_out.sort_by(|left, right| left.path.cmp(&right.path));
    let package = Package { files, left_out: tree.left_out };
    let content = package.find(&flow.file).map(|file| file.content.as_slice()).unwrap_or_default();
    flow_file::check_content(&flow, content)?;
    let (mut notes, mut prefect_flow) = (Vec::new(), None);
    if flow.interpreter == Interpreter::Python {
        let declared = requirements::declared(&package, &flow.file);
        notes = imports::check(&flow, options, &package, &requirements::names(&declared))?;
        notes.extend(declared.iter().map(requirements::Declared::note));
        prefect_flow = prefect::flow(&String::from_utf8_lossy(content));
    }
    let flow_file::FlowFile { root, path, file, interpreter, .. } = flow;
    Ok(Packed { package, root, path, file, interpreter, prefect_flow, notes })
}

/// Reads a file of the package; one that is written to meanwhile is read again. One that grew since it was found is not read further
/// than any package may be.
fn read(found: &Found) -> Result<PackagedFile> {
    for _ in 0..READINGS {
        let (content, is_whole) = read_once(found)?;
        if content.len() as u64 > UNPACKED_LIMIT.0 {
            return Err(too_large(
                &format!("`{}` grew past {UNPACKED_LIMIT} while it was read", found.path),
                vec![(found.path.clone(), Memory(content.len() as u64))],
            ));
        }
        if is_whole {
            return Ok(PackagedFile { path: found.path.clone(), executable: found.executable, content });
        }
    }
    Err(restless(&found.path))
}

/// Returns what a file holds, and whether nobody wrote to it meanwhile.
fn read_once(found: &Found) -> Result<(Vec<u8>, bool)> {
    let mut file = open(found)?;
    let mut content = Vec::with_capacity(usize::try_from(found.size).unwrap_or_default());
    let mut read = || -> io::Result<bool> {
        let before = file.metadata()?;
        file.by_ref().take(UNPACKED_LIMIT.0 + 1).read_to_end(&mut content)?;
        let after = file.metadata()?;
        Ok(before.len() == after.len() && before.modified()? == after.modified()?)
    };
    let is_whole = read().map_err(|error| unreadable(&found.path, error))?;
    Ok((content, is_whole))
}

/// Opens a file where it was found. By now a link that leads out of the root may stand there or on the way, or a named pipe, which would
/// block.
fn open(found: &Found) -> Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
    let opened = options.open(&found.source);
    if opened.as_ref().is_err_and(|error| error.raw_os_error() == Some(Errno::ELOOP as i32)) {
        return Err(restless(&found.path));
    }
    let file = opened.map_err(|error| unreadable(&found.path, error))?;
    let is_plain = file.metadata().is_ok_and(|metadata| metadata.is_file());
    let is_there = fs::canonicalize(&found.source).is_ok_and(|path| path == found.source);
    if is_plain && is_there { Ok(file) } else { Err(restless(&found.path)) }
}

/// Returns the error for a file that does not keep still.
fn restless(path: &str) -> Error {
    let shown = printable(path);
    Error::rejected(format!("`{shown}` was changed while it was packed"))
        .hinted("run the command again when nothing writes there")
        .hinted(format!("or leave it out with `--exclude '{shown}'`"))
}

/// Returns the error for a file or folder beside the flow that cannot be read.
fn unreadable(path: &str, error: std::io::Error) -> Error {
    Error::rejected(format!("cannot read `{path}`, which would travel with the flow"))
        .caused_by(error)
        .hinted(format!("make it readable, or leave it out with `--exclude '{path}'` or a line in .sbrunignore"))
        .hinted("or put the flow into a folder of its own")
}

#[cfg(test)]
mod tests;
