//! Writing the output of one attempt while it is followed.

use std::{
    fs,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{
    KeptLog,
    format::{Mark, Origin, beginning},
    plain, private,
};
use crate::model::job_event::{Gap, LineTime, LogEvent};

/// A file that is being written. What has been recorded is in the file at once: a killed follower leaves all that it had.
#[derive(Debug)]
pub struct Recording {
    file: fs::File,
    path: PathBuf,
    origin: Origin,
    limit: u64,
    size: u64,
    /// Whether the last line has no end yet.
    open: bool,
    /// Time of the newest line.
    newest: Option<Timestamp>,
}

impl Recording {
    pub(super) fn create(path: PathBuf, origin: Origin, limit: u64) -> io::Result<Self> {
        let file = private::create(&path)?;
        let mut recording = Self { file, path, origin, limit, size: 0, open: false, newest: None };
        recording.write(&mark(&Mark::Log(recording.origin.clone()))?)?;
        Ok(recording)
    }

    /// Records what a log delivered.
    pub fn record(&mut self, event: &LogEvent) -> io::Result<()> {
        match event {
            LogEvent::Bytes { at, times, bytes } => {
                self.newest = at.or(self.newest);
                let text = self.lines(times, bytes);
                self.write(&text)
            }
            LogEvent::Gap(gap) => self.gap(gap.clone()),
            LogEvent::Unavailable(why) => self.gap(Gap { after: self.newest, until: None, why: why.clone() }),
            LogEvent::End => {
                let open = self.open;
                self.mark(&Mark::End { open })?;
                self.replace_others();
                Ok(())
            }
        }
    }

    fn lines(&mut self, times: &[LineTime], bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::with_capacity(bytes.len() + bytes.len() / 2);
        let (mut times, mut offset) = (times.iter().peekable(), 0);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let at = times.next_if(|time| time.offset == offset).map(|time| time.at);
            if self.open && at.is_some() {
                text.push(b'\n');
            }
            if !self.open || at.is_some() {
                text.extend(beginning(at).into_bytes());
            }
            text.extend(line);
            offset += line.len();
            self.open = !line.ends_with(b"\n");
        }
        text
    }

    fn gap(&mut self, gap: Gap) -> io::Result<()> {
        let Gap { after, until, why } = gap;
        let open = self.open;
        self.mark(&Mark::Gap { after, until, why, open })
    }

    fn mark(&mut self, what: &Mark) -> io::Result<()> {
        let line = mark(what)?;
        let text = if std::mem::take(&mut self.open) { [b"\n", line.as_slice()].concat() } else { line };
        self.write(&text)
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        if self.size + text.len() as u64 > self.limit {
            self.drop_older_half()?;
        }
        self.file.write_all(text)?;
        self.size += text.len() as u64;
        Ok(())
    }

    /// Goes on in a new file that has the newer half of this one.
    fn drop_older_half(&mut self) -> io::Result<()> {
        let mut kept = Vec::new();
        self.file.seek(SeekFrom::Start(self.size.saturating_sub(self.limit / 2)))?;
        self.file.read_to_end(&mut kept)?;
        let whole = kept.iter().position(|byte| *byte == b'\n').map(|end| end + 1).filter(|start| *start < kept.len());
        let (start, beginning) = whole.map_or((0, &b"- "[..]), |start| (start, b""));
        let head = [mark(&Mark::Log(self.origin.clone()))?, mark(&Mark::Dropped)?, beginning.to_vec()].concat();
        let draft = self.path.with_extension("draft");
        self.file = private::create(&draft)?;
        self.file.write_all(&head)?;
        self.file.write_all(&kept[start..])?;
        fs::rename(&draft, &self.path)?;
        self.size = (head.len() + kept.len() - start) as u64;
        Ok(())
    }

    /// Gives the log its name as a whole one, and removes what other followers have in part. Of two that end together one replaces the
    /// other, so that there always is one.
    fn replace_others(&mut self) {
        let Some(folder) = self.path.parent().map(Path::to_path_buf) else { return };
        let stem = stem(&self.origin);
        let whole = folder.join(format!("{stem}.log"));
        let is_fuller = KeptLog::open(whole.clone()).is_some_and(|log| log.complete && log.size > self.size);
        if !is_fuller && fs::rename(&self.path, &whole).is_ok() {
            self.path.clone_from(&whole);
        }
        for path in fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())) {
            let in_part = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&format!("{stem}."))) && path != whole;
            if in_part && whole.exists() {
                drop(fs::remove_file(path)); // another sbrun may have done so
            }
        }
    }
}

/// Returns how the files of an attempt are called.
pub(super) fn stem(origin: &Origin) -> String {
    let [job, pod] = [&origin.job_uid, &origin.pod_uid].map(|uid| plain(uid));
    format!("{job}.{pod}")
}

fn mark(mark: &Mark) -> io::Result<Vec<u8>> {
    mark.line().map_err(|error| io::Error::other(error.message().to_owned()))
}
