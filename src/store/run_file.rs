//! What this machine remembers of the runs that it launched: enough to find them again, and no secrets.
//!
//! A run file is a convenience: none can be written without a home, and every command works without them. Callers turn an
//! error of this module into a warning.

use std::{
    fs, io,
    io::{Read, Write},
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::private;
use crate::{
    environment::{self, Environment},
    error::{Error, Result},
    model::identity::{JobName, RunId, base32},
};

/// How long a run is remembered.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How many runs are remembered.
const KEPT: usize = 1000;
/// The most that a run file may hold; a larger one is none of ours.
const SIZE_LIMIT: u64 = 64 << 10;

/// One run as this machine remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFile {
    /// Version of this format.
    pub schema: u32,
    /// The run.
    pub run_id: RunId,
    /// Its Job.
    pub name: JobName,
    /// Namespace of the Job.
    pub namespace: String,
    /// Name of the kubeconfig's context; none inside a pod.
    pub context: Option<String>,
    /// Address of the API server.
    pub server: String,
    /// The idempotency key.
    pub key: Option<String>,
    /// When the run was launched.
    pub created: Timestamp,
}

impl RunFile {
    /// The version of the format that is written.
    pub const SCHEMA: u32 = 1;
}

/// The folder of run files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFiles {
    folder: PathBuf,
}

impl RunFiles {
    /// Returns the folder `runs` of the state folder, or nothing without a home.
    #[must_use]
    pub fn of(environment: &Environment) -> Option<Self> {
        environment.state_dir().map(|state| Self { folder: state.join("runs") })
    }

    /// Remembers a run; one of the same run id is replaced. Whole or not at all, readable by its owner only.
    pub fn write(&self, run: &RunFile) -> Result<()> {
        let shown = self.folder.display();
        let failed = |error: io::Error| Error::failed(format!("cannot remember the run in `{shown}`")).caused_by(error);
        let name = file_name(&run.run_id).ok_or_else(|| Error::internal(format!("run id `{}` is no file name", run.run_id)))?;
        private::make_folder(&self.folder).map_err(failed)?;
        let text = serde_json::to_vec_pretty(run).map_err(|error| Error::internal("cannot write a run file").caused_by(error))?;
        let draft = self.folder.join(format!(".{}.draft", base32(&environment::random::<10>())));
        let written = private::create(&draft).and_then(|mut file| file.write_all(&text)).and_then(|()| fs::rename(&draft, self.folder.join(name)));
        written.map_err(|error| {
            // Nothing to add when even this fails: the error is the one above.
            drop(fs::remove_file(&draft));
            failed(error)
        })
    }

    /// Returns all runs, newest first. What cannot be read is passed over.
    #[must_use]
    pub fn list(&self) -> Vec<RunFile> {
        let mut runs: Vec<RunFile> = self.paths().iter().filter_map(|path| read(path)).collect();
        runs.sort_by(|left, right| right.created.cmp(&left.created).then_with(|| right.run_id.cmp(&left.run_id)));
        runs
    }

    /// Returns the newest run whose Job has this name, or that has this run id.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<RunFile> {
        self.list().into_iter().find(|run| run.name.as_str() == name || run.run_id.0 == name)
    }

    /// Forgets runs that were written more than 30 days ago, and the oldest beyond 1000.
    pub fn prune(&self, now: Timestamp) {
        let written =
            |path: &PathBuf| fs::symlink_metadata(path).and_then(|metadata| metadata.modified()).ok().and_then(|time| Timestamp::try_from(time).ok());
        let mut files: Vec<(Timestamp, PathBuf)> = self.paths().into_iter().filter_map(|path| Some((written(&path)?, path))).collect();
        files.sort_by(|left, right| right.cmp(left));
        let is_old = |time: Timestamp| now.duration_since(time) > KEPT_FOR;
        for (index, (time, path)) in files.iter().enumerate() {
            if index >= KEPT || is_old(*time) {
                // Another sbrun may have forgotten it just now.
                drop(fs::remove_file(path));
            }
        }
    }

    fn paths(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect()
    }
}

/// Returns the file of a run id, or nothing when the id could lead out of the folder.
fn file_name(run_id: &RunId) -> Option<String> {
    let is_plain = !run_id.0.is_empty() && run_id.0.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_plain.then(|| format!("{run_id}.json"))
}

/// Reads a run file, unless it is a link, too large or not ours.
fn read(path: &Path) -> Option<RunFile> {
    let mut text = Vec::new();
    private::open(path).ok()?.take(SIZE_LIMIT).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok().filter(|run: &RunFile| run.schema <= RunFile::SCHEMA)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: u64, name: &str) -> RunFile {
        RunFile {
            schema: RunFile::SCHEMA,
            run_id: RunId::new(number, [0; 10]),
            name: JobName::parse(name).unwrap(),
            namespace: "flows".into(),
            context: Some("prod".into()),
            server: "https://cluster.example".into(),
            key: None,
            created: Timestamp::from_millisecond(i64::try_from(number).unwrap()).unwrap(),
        }
    }

    fn files(folder: &Path) -> RunFiles {
        let variables = [("XDG_STATE_HOME".to_owned(), folder.to_str().unwrap().to_owned())].into();
        RunFiles::of(&Environment { variables, ..Environment::default() }).unwrap()
    }

    #[test]
    fn runs_are_found_again_newest_first() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        assert_eq!(RunFiles::of(&Environment::default()), None);
        assert_eq!(files.list(), []);
        let (first, second) = (run(1, "etl-a"), run(2, "etl-b"));
        files.write(&first).unwrap();
        files.write(&second).unwrap();
        assert_eq!(files.list(), [second.clone(), first.clone()]);
        assert_eq!(files.find("etl-a"), Some(first.clone()));
        assert_eq!(files.find(&second.run_id.0), Some(second));
        assert_eq!(files.find("etl"), None);

        let again = RunFile { name: JobName::parse("etl-a-2").unwrap(), ..first };
        files.write(&again).unwrap();
        assert_eq!(files.find(&again.run_id.0), Some(again));
        assert_eq!(files.list().len(), 2);
    }

    #[test]
    fn a_run_id_cannot_leave_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let bad = RunFile { run_id: RunId("../escape".into()), ..run(1, "a") };
        assert!(files(folder.path()).write(&bad).is_err());
        assert!(!folder.path().join("sbrun/escape.json").exists());
    }

    #[cfg(unix)]
    #[test]
    fn files_are_private_and_links_are_not_followed() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        let run = run(1, "etl-a");
        files.write(&run).unwrap();
        let path = files.folder.join(format!("{}.json", run.run_id));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&files.folder)), (0o600, 0o700));

        let victim = folder.path().join("victim");
        fs::rename(&path, &victim).unwrap();
        let precious = fs::read(&victim).unwrap();
        symlink(&victim, &path).unwrap();
        assert_eq!(files.list(), []);
        let changed = RunFile { namespace: "other".into(), ..run.clone() };
        files.write(&changed).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), precious);
        assert_eq!(files.list(), [changed]);

        let elsewhere = tempfile::tempdir().unwrap();
        fs::remove_dir_all(&files.folder).unwrap();
        symlink(elsewhere.path(), &files.folder).unwrap();
        assert!(files.write(&run).is_err());
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }

    #[test]
    fn old_runs_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        let run = run(1, "etl-a");
        files.write(&run).unwrap();
        let now = environment::now();
        files.prune(now + SignedDuration::from_hours(29 * 24));
        assert_eq!(files.list().len(), 1);
        files.prune(now + SignedDuration::from_hours(31 * 24));
        assert_eq!(files.list(), []);
    }

    #[test]
    fn strangers_in_the_folder_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        files.write(&run(1, "etl-a")).unwrap();
        fs::write(files.folder.join("broken.json"), "{").unwrap();
        fs::write(files.folder.join("newer.json"), r#"{"schema": 2}"#).unwrap();
        fs::create_dir(files.folder.join("folder.json")).unwrap();
        assert_eq!(files.list().len(), 1);
    }
}
