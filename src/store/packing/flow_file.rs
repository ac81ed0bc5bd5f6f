//! The flow's own file: where it is, how it is run, and whether it can be.

use std::{
    fs::{self, Metadata},
    io,
    path::{Component, Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    model::launch_plan::Interpreter,
    store::packing::PackingOptions,
};

/// How alike two names must be to be offered (0 to 1, Jaro and Winkler).
const ALIKE: f64 = 0.85;

/// A flow's file that exists and can be run as far as its name and mode tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FlowFile {
    /// As the user wrote it.
    pub(super) typed: PathBuf,
    /// The root as the user would write it.
    pub(super) typed_root: PathBuf,
    /// The root, absolute and without links.
    pub(super) root: PathBuf,
    /// The file, absolute and without links.
    pub(super) path: PathBuf,
    /// The file below the root, with `/`.
    pub(super) file: String,
    /// How it is run.
    pub(super) interpreter: Interpreter,
    /// Top folder of the repository around the root.
    pub(super) repository: Option<PathBuf>,
}

impl FlowFile {
    /// Returns the flow as the user wrote it, for messages.
    pub(super) fn name(&self) -> String {
        self.typed.display().to_string()
    }

    /// Returns the folder so many levels above the root, as the user would write it after `--root`.
    pub(super) fn root_above(&self, levels: usize) -> String {
        if levels == 0 {
            return self.typed_root.display().to_string();
        }
        let mut folder = self.typed_root.clone();
        for _ in 0..levels {
            match folder.components().next_back() {
                Some(Component::Normal(_)) => {
                    folder.pop();
                }
                Some(Component::CurDir) | None => folder = PathBuf::from(".."),
                _ => folder.push(".."),
            }
        }
        if folder.as_os_str().is_empty() { ".".to_owned() } else { folder.display().to_string() }
    }

    /// Returns how many folders above the root are looked at as parts of the same project: up to the top of the repository,
    /// and without a repository the one around the root.
    pub(super) fn levels_above(&self) -> usize {
        let Some(top) = &self.repository else { return 1 };
        self.root.ancestors().take_while(|folder| folder != top).count()
    }
}

/// Finds the flow and its root. Links to the file are resolved, as Python does for `sys.path[0]`.
pub(super) fn locate(typed: &Path, options: &PackingOptions) -> Result<FlowFile> {
    let name = typed.display();
    let metadata = fs::metadata(typed).map_err(|error| missing(typed, error))?;
    if metadata.is_dir() {
        return Err(is_folder(typed));
    }
    if !metadata.is_file() {
        return Err(Error::rejected(format!("`{name}` is not a plain file")).hinted("write the flow to a file first"));
    }
    if metadata.len() == 0 {
        return Err(Error::rejected(format!("`{name}` is empty")));
    }
    // Opened once to know that it can be: the error for the flow itself advises other things than that for a file beside it.
    let path = fs::File::open(typed).and_then(|_| fs::canonicalize(typed)).map_err(|error| missing(typed, error))?;
    let folder = path.parent().unwrap_or(&path);
    let root = match &options.root {
        Some(root) => canonical_root(root)?,
        None => folder.to_path_buf(),
    };
    let relative = path.strip_prefix(&root).map_err(|_| {
        Error::rejected(format!("`{name}` does not lie below the root `{}`", root.display()))
            .hinted(format!("give a folder around it: `--root {}`", folder.display()))
    })?;
    let file = relative.to_str().ok_or_else(|| not_utf8(relative))?.replace(std::path::MAIN_SEPARATOR, "/");
    let interpreter = if path.extension().is_some_and(|extension| extension == "py") { Interpreter::Python } else { Interpreter::Executable };
    if interpreter == Interpreter::Executable && !is_executable(&metadata) {
        return Err(not_executable(typed));
    }
    let typed_root = typed_root(typed, options, &root);
    let repository = root.ancestors().find(|folder| folder.join(".git").exists()).map(Path::to_path_buf);
    Ok(FlowFile { typed: typed.to_path_buf(), typed_root, root, path, file, interpreter, repository })
}

/// Checks what the file holds: only now is it read.
pub(super) fn check_content(flow: &FlowFile, content: &[u8]) -> Result<()> {
    let name = flow.name();
    if content.iter().all(u8::is_ascii_whitespace) {
        return Err(Error::rejected(format!("`{name}` is empty")));
    }
    match flow.interpreter {
        Interpreter::Python => check_encoding(&name, content),
        Interpreter::Executable => check_loadable(&name, content),
    }
}

fn check_encoding(name: &str, content: &[u8]) -> Result<()> {
    let Err(error) = std::str::from_utf8(content) else { return Ok(()) };
    // PEP 263: Python reads any encoding that the first two lines declare.
    if declared_encoding(content)
        .is_some_and(|encoding| !matches!(encoding.to_lowercase().replace('_', "-").as_str(), "utf-8" | "utf8" | "utf-8-sig"))
    {
        return Ok(());
    }
    let line = content[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
    let byte = content.get(error.valid_up_to()).copied().unwrap_or_default();
    Err(Error::rejected(format!("`{name}` is not UTF-8: line {line} has the byte 0x{byte:02x}"))
        .hinted("save it as UTF-8, or declare its encoding in the first line, such as `# -*- coding: latin-1 -*-`"))
}

/// Returns the encoding that one of the first two lines declares (PEP 263).
fn declared_encoding(content: &[u8]) -> Option<String> {
    for line in content.split(|byte| *byte == b'\n').take(2) {
        let line = String::from_utf8_lossy(line);
        let Some(comment) = line.trim_start().strip_prefix('#') else {
            if line.trim().is_empty() {
                continue;
            }
            return None;
        };
        for (index, word) in comment.match_indices("coding") {
            let Some(rest) = comment[index + word.len()..].strip_prefix([':', '=']) else { continue };
            let rest = rest.trim_start();
            let end = rest.find(|character: char| !character.is_ascii_alphanumeric() && !matches!(character, '-' | '_' | '.')).unwrap_or(rest.len());
            return Some(rest[..end].to_owned());
        }
    }
    None
}

/// Checks what the kernel of the node will check: a shell would help itself, a container's runtime does not.
fn check_loadable(name: &str, content: &[u8]) -> Result<()> {
    let first_line = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if content.starts_with(b"#!") {
        if first_line.ends_with(b"\r") {
            let interpreter = String::from_utf8_lossy(&first_line[2..first_line.len() - 1]).trim().to_owned();
            return Err(Error::rejected(format!("`{name}` has Windows line endings: Linux would look for `{interpreter}\\r`"))
                .hinted(format!("convert it: `sed -i 's/\\r$//' {name}`")));
        }
        return Ok(());
    }
    if content.starts_with(b"\x7fELF") {
        return Ok(());
    }
    Err(Error::rejected(format!("`{name}` is neither a `.py` file nor a script with `#!` nor a Linux program"))
        .hinted("begin a script with the line `#!/bin/sh`, or name a Python flow `….py`"))
}

fn canonical_root(root: &Path) -> Result<PathBuf> {
    let name = root.display();
    let canonical = fs::canonicalize(root).map_err(|error| Error::rejected(format!("cannot open the root `{name}`")).caused_by(error))?;
    if !canonical.is_dir() {
        return Err(Error::rejected(format!("the root `{name}` is not a folder")));
    }
    Ok(canonical)
}

/// Returns the root as the user would write it: the folder that was typed, where that leads to the root.
fn typed_root(typed: &Path, options: &PackingOptions, root: &Path) -> PathBuf {
    let candidate = options.root.as_deref().or_else(|| typed.parent()).filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if fs::canonicalize(candidate).is_ok_and(|folder| folder == root) { candidate.to_path_buf() } else { root.to_path_buf() }
}

fn missing(typed: &Path, error: io::Error) -> Error {
    let name = typed.display();
    if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
        return Error::rejected(format!("cannot read the flow `{name}`")).caused_by(error).hinted(format!("look at its permissions: `ls -l {name}`"));
    }
    let message = Error::rejected(format!("there is no file `{name}`"));
    match similar(typed) {
        Some(similar) => message.hinted(format!("did you mean `{}`?", similar.display())),
        None => message,
    }
}

/// Returns the file in the same folder whose name is most like the one that is missing.
fn similar(typed: &Path) -> Option<PathBuf> {
    let wanted = typed.file_name()?.to_str()?;
    let folder = typed.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names = fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let rated = names.map(|name| (strsim::jaro_winkler(wanted, &name), name)).filter(|(likeness, _)| *likeness >= ALIKE);
    let best = rated.max_by(|left, right| left.0.total_cmp(&right.0))?;
    Some(typed.with_file_name(best.1))
}

fn is_folder(typed: &Path) -> Error {
    let error = Error::rejected(format!("`{}` is a folder, not a flow's file", typed.display()));
    let inside = ["flow.py", "main.py", "__main__.py"].map(|name| typed.join(name)).into_iter().find(|path| path.is_file());
    match inside {
        Some(path) => error.hinted(format!("did you mean `{}`?", path.display())),
        None => error.hinted("name the file to run; what lies beside it travels with it"),
    }
}

fn not_executable(typed: &Path) -> Error {
    let name = typed.display();
    let error = Error::rejected(format!("`{name}` is neither a `.py` file nor executable"));
    if typed.extension().is_some_and(|extension| extension == "ipynb") {
        return error.hinted(format!("turn the notebook into a flow: `jupyter nbconvert --to script {name}`"));
    }
    error.hinted(format!("make it executable: `chmod +x {name}`"))
}

pub(super) fn not_utf8(path: &Path) -> Error {
    Error::rejected(format!("the name `{}` is not UTF-8 and cannot travel", path.display())).hinted("rename it, or leave it out with `--exclude`")
}

#[cfg(unix)]
pub(super) fn is_executable(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
pub(super) fn is_executable(_metadata: &Metadata) -> bool {
    true
}
