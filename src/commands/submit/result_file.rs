//! `$SBRUN_RESULT_FILE`: emptied at the start, written at once at the end.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{
    environment::Environment,
    error::{Error, Result},
    output::format,
};

/// The file that gets the result.
#[derive(Debug)]
pub struct ResultFile(Option<PathBuf>);

impl ResultFile {
    /// Empties the file that the environment names, so that a stale result is never read.
    pub fn start(environment: &Environment) -> Result<Self> {
        let Some(path) = environment.get("SBRUN_RESULT_FILE").map(PathBuf::from) else { return Ok(Self(None)) };
        fs::write(&path, b"").map_err(|error| cannot_write(&path, error))?;
        Ok(Self(Some(path)))
    }

    /// Writes the result in one step: a reader sees nothing or all of it.
    pub fn finish<T: Serialize>(&self, document: &T) -> Result<()> {
        let Some(path) = &self.0 else { return Ok(()) };
        let text = format::json(document)? + "\n";
        if !path.is_file() {
            return fs::write(path, text).map_err(|error| cannot_write(path, error)); // a pipe or a device: there is nothing to swap
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|error| cannot_write(path, error))?;
        std::io::Write::write_all(&mut file, text.as_bytes()).map_err(|error| cannot_write(path, error))?;
        file.persist(path).map_err(|error| cannot_write(path, error.error))?;
        Ok(())
    }
}

fn cannot_write(path: &Path, error: std::io::Error) -> Error {
    Error::failed(format!("cannot write the result file `{}`", path.display())).caused_by(error).hinted("SBRUN_RESULT_FILE names it")
}
