//! The output of followed jobs, kept on this machine for when pod and log are gone.
//!
//! Each follower of an attempt writes a file of its own; of several the fullest is read. As with run files nothing depends on
//! them: without a home there are none.

use std::{
    collections::BTreeMap,
    fs, io,
    io::{BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp};

use self::format::{Lines, Mark};
pub use self::{
    format::Origin,
    reading::{KeptEnd, Wanted},
    recording::Recording,
};
use super::private;
use crate::{
    environment::{self, Environment},
    model::identity::base32,
};

mod format;
mod reading;
mod recording;

/// How long output is kept after its last line.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(14 * 24);
/// The most that the output of one attempt may take here; then its older half goes.
const LOG_LIMIT: u64 = 64 << 20;
/// The most that all attempts of one job may take.
const JOB_LIMIT: u64 = 256 << 20;
/// The most that all kept output may take.
const TOTAL_LIMIT: u64 = 1 << 30;

/// The folder of kept output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptLogs {
    folder: PathBuf,
    log_limit: u64,
}

/// The kept output of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptLog {
    /// Whose output it is.
    pub origin: Origin,
    /// Whether it was read to its end.
    pub complete: bool,
    path: PathBuf,
    size: u64,
}

impl KeptLogs {
    /// Returns the folder `logs` of the state folder, or nothing without a home.
    #[must_use]
    pub fn of(environment: &Environment) -> Option<Self> {
        environment.state_dir().map(|state| Self { folder: state.join("logs"), log_limit: LOG_LIMIT })
    }

    /// Starts keeping the output of an attempt, and forgets what is too old or too much.
    pub fn record(&self, origin: Origin) -> io::Result<Recording> {
        private::make_folder(&self.folder)?;
        self.prune(environment::now());
        let nonce = base32(&environment::random::<5>());
        let path = self.folder.join(format!("{}.{nonce}.log", recording::stem(&origin)));
        Recording::create(path, origin, self.log_limit)
    }

    /// Returns what was kept of a job, one log for each attempt, the oldest first.
    #[must_use]
    pub fn find(&self, job_uid: &str) -> Vec<KeptLog> {
        let prefix = format!("{}.", plain(job_uid));
        let ours = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix));
        fullest(self.paths().into_iter().filter(ours).filter_map(KeptLog::open))
    }

    /// Returns what was kept of a job that the cluster does not know any more, by its name, its run id or a beginning of its name that
    /// no other kept job has.
    #[must_use]
    pub fn find_by_name(&self, reference: &str, namespace: &str, server: &str) -> Vec<KeptLog> {
        let here = |log: &KeptLog| log.origin.namespace == namespace && log.origin.server == server;
        let all: Vec<KeptLog> = self.paths().into_iter().filter_map(KeptLog::open).filter(here).collect();
        let is_exact = |origin: &Origin| origin.job == reference || origin.run_id.as_deref() == Some(reference);
        let exact: Vec<KeptLog> = all.iter().filter(|log| is_exact(&log.origin)).cloned().collect();
        let found = if exact.is_empty() { all.into_iter().filter(|log| log.origin.job.starts_with(reference)).collect() } else { exact };
        let newest = found.iter().max_by_key(|log| log.origin.created).map(|log| log.origin.job_uid.clone());
        let ambiguous = found.iter().any(|log| found[0].origin.job != log.origin.job);
        fullest(found.into_iter().filter(|log| !ambiguous && Some(&log.origin.job_uid) == newest.as_ref()))
    }

    /// Forgets what is older than 14 days, and the oldest of what is too much.
    pub fn prune(&self, now: Timestamp) {
        let file = |path: PathBuf| {
            let metadata = fs::symlink_metadata(&path).ok()?;
            Some((Timestamp::try_from(metadata.modified().ok()?).ok()?, metadata.len(), path))
        };
        let mut files: Vec<(Timestamp, u64, PathBuf)> = self.paths().into_iter().filter_map(file).collect();
        files.sort_by(|left, right| right.cmp(left));
        let (mut of_job, mut total): (BTreeMap<String, u64>, u64) = (BTreeMap::new(), 0);
        for (written, size, path) in files {
            let of_job = of_job.entry(job_of(&path)).or_default();
            if now.duration_since(written) > KEPT_FOR || *of_job + size > JOB_LIMIT || total + size > TOTAL_LIMIT {
                // Another sbrun may have forgotten it just now.
                drop(fs::remove_file(path));
            } else {
                *of_job += size;
                total += size;
            }
        }
    }

    fn paths(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect()
    }
}

impl KeptLog {
    /// Returns the log in a file, unless that is none of ours.
    fn open(path: PathBuf) -> Option<Self> {
        let mut file = private::open(&path).ok()?;
        let size = file.metadata().ok()?.len();
        let mut end = Vec::new();
        file.seek(SeekFrom::Start(size.saturating_sub(64))).ok()?;
        file.read_to_end(&mut end).ok()?;
        file.rewind().ok()?;
        let Some(Ok(format::Item::Mark(Mark::Log(origin)))) = Lines::new(BufReader::new(file)).next() else { return None };
        (origin.schema <= Origin::SCHEMA).then(|| Self { origin, complete: format::is_end(&end), path, size })
    }
}

/// Returns one log for each pod, the fullest, the oldest pod first.
fn fullest(logs: impl Iterator<Item = KeptLog>) -> Vec<KeptLog> {
    let mut best: BTreeMap<String, KeptLog> = BTreeMap::new();
    for log in logs {
        let known = best.get(&log.origin.pod_uid).map(|known| (known.complete, known.size));
        if known.is_none_or(|known| known < (log.complete, log.size)) {
            best.insert(log.origin.pod_uid.clone(), log);
        }
    }
    let mut logs: Vec<KeptLog> = best.into_values().collect();
    logs.sort_by_key(|log| log.origin.created);
    logs
}

/// Returns an id as a part of a file's name: one that could lead out of the folder, or be taken for two parts, loses what would.
fn plain(id: &str) -> String {
    id.chars().filter(|character| character.is_ascii_alphanumeric() || *character == '-').collect()
}

fn job_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split('.').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
