//! The folder of one run: the unpacked package, and what a later sbrun needs to clean up after a crashed one.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Component, Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use nix::unistd::geteuid;
use tempfile::TempDir;

use crate::{
    environment::{self, Environment},
    error::{Error, Result},
    local::cgroup,
    model::package::Package,
};

const PREFIX: &str = "sbrun-run-";
/// Held by the owner as long as it lives; works across containers that share the folder, unlike a process id.
const LOCK: &str = "lock";
/// The control groups of the run, one path a line.
const CGROUPS: &str = "cgroups";
/// A folder this young may not be locked yet.
const SETTLED: Duration = Duration::from_secs(60);

/// A folder that only this user can read. Removed when dropped.
#[derive(Debug)]
pub(super) struct RunFolder {
    folder: TempDir,
    _lock: File,
}

/// Returns where temporary files go.
fn temporary(environment: &Environment) -> &Path {
    environment.get("TMPDIR").map_or(Path::new("/tmp"), Path::new)
}

impl RunFolder {
    /// Returns a new folder, and removes those that crashed runs left behind.
    pub(super) fn create(environment: &Environment) -> Result<Self> {
        let parent = temporary(environment);
        remove_stale(parent, environment::now());
        let create = || -> io::Result<Self> {
            let folder = tempfile::Builder::new().prefix(PREFIX).permissions(Permissions::from_mode(0o700)).tempdir_in(parent)?;
            let lock = File::create(folder.path().join(LOCK))?;
            // A file system without locks only means that nobody cleans up after a crash.
            lock.try_lock().ok();
            Ok(Self { folder, _lock: lock })
        };
        create().map_err(|error| no_room(parent, error))
    }

    /// Returns the folder.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the last part of the path: a name that no other run has.
    pub(super) fn name(&self) -> String {
        self.path().file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Unpacks the flow's files and returns their root.
    pub(super) fn unpack(&self, package: &Package) -> Result<PathBuf> {
        let root = self.path().join("files");
        let unpack = || -> io::Result<()> {
            DirBuilder::new().mode(0o700).create(&root)?;
            for file in &package.files {
                let path = root.join(inner(&file.path)?);
                fs::create_dir_all(path.parent().unwrap_or(&root))?;
                let mode = if file.executable { 0o755 } else { 0o644 };
                OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?.write_all(&file.content)?;
            }
            Ok(())
        };
        unpack().map_err(|error| no_room(&root, error))?;
        Ok(root)
    }

    /// Writes down which control groups belong to this run, for whoever has to clean up after a crash.
    pub(super) fn remember(&self, cgroups: &[PathBuf]) {
        let lines: Vec<_> = cgroups.iter().map(|path| path.to_string_lossy()).collect();
        // Only a crash of sbrun and of its watchdog would need it.
        fs::write(self.path().join(CGROUPS), lines.join("\n")).ok();
    }
}

fn no_room(path: &Path, error: io::Error) -> Error {
    Error::failed(format!("the flow's files cannot be written to `{}`", path.display()))
        .caused_by(error)
        .hinted("set TMPDIR to a folder with room, or run with --in-place")
}

/// Returns a package's path when it stays below its root.
fn inner(path: &str) -> io::Result<&Path> {
    let path = Path::new(path);
    let inside = path.components().all(|component| matches!(component, Component::Normal(_)));
    if inside { Ok(path) } else { Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{}` leaves the package", path.display()))) }
}

/// Removes the folders and control groups of runs whose sbrun is gone. Best effort: nothing depends on it.
fn remove_stale(parent: &Path, now: Timestamp) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    let ours = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)).map(|entry| entry.path());
    for folder in ours.filter(|path| is_stale(path, now)) {
        let cgroups = fs::read_to_string(folder.join(CGROUPS)).unwrap_or_default();
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        cgroups.lines().for_each(|path| cgroup::remove_stale(Path::new(path), &name));
        fs::remove_dir_all(&folder).ok();
    }
}

fn is_stale(folder: &Path, now: Timestamp) -> bool {
    let Ok(metadata) = folder.symlink_metadata() else { return false };
    let changed = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
    let settled = changed.is_some_and(|changed| now.duration_since(changed).unsigned_abs() > SETTLED);
    let free = || match File::open(folder.join(LOCK)) {
        Ok(lock) => lock.try_lock().is_ok(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    metadata.is_dir() && metadata.uid() == geteuid().as_raw() && settled && free()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::package::PackagedFile;

    fn mk_environment(parent: &Path) -> Environment {
        Environment { variables: [("TMPDIR".to_owned(), parent.to_string_lossy().into_owned())].into(), ..Environment::default() }
    }

    fn mk_package(files: &[(&str, bool)]) -> Package {
        let file =
            |(path, executable): &(&str, bool)| PackagedFile { path: (*path).into(), executable: *executable, content: path.as_bytes().into() };
        Package { files: files.iter().map(file).collect(), ..Package::default() }
    }

    #[test]
    fn a_package_is_unpacked_for_this_user_only() {
        let parent = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(&mk_environment(parent.path())).unwrap();
        let root = folder.unpack(&mk_package(&[("a/b/run.sh", true), ("flow.py", false)])).unwrap();
        assert_eq!(fs::read(root.join("flow.py")).unwrap(), b"flow.py");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(folder.path()), mode(&root), mode(&root.join("a/b/run.sh")) & 0o100), (0o700, 0o700, 0o100));
        assert_eq!(mode(&root.join("flow.py")) & 0o111, 0);
        drop(folder);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn no_file_leaves_the_folder() {
        let parent = tempfile::tempdir().unwrap();
        for path in ["../out", "/out", "a/../../out"] {
            let folder = RunFolder::create(&mk_environment(parent.path())).unwrap();
            let error = folder.unpack(&mk_package(&[(path, false)])).unwrap_err();
            assert_eq!(error.causes(), [format!("`{path}` leaves the package")]);
        }
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn only_old_folders_that_nobody_holds_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        let held = RunFolder::create(&mk_environment(parent.path())).unwrap();
        let abandoned = parent.path().join("sbrun-run-abandoned");
        fs::create_dir(&abandoned).unwrap();
        fs::write(abandoned.join(LOCK), "").unwrap();
        let other = parent.path().join("other");
        fs::create_dir(&other).unwrap();
        let now = environment::now();
        remove_stale(parent.path(), now);
        assert!(abandoned.exists(), "it could be about to be locked");
        remove_stale(parent.path(), now + SETTLED * 2);
        assert_eq!((held.path().exists(), abandoned.exists(), other.exists()), (true, false, true));
    }
}
