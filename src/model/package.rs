//! The flow's files as they travel with the Job.
//!
//! A Python flow travels as one archive that [`bootstrap::BOOTSTRAP`] unpacks in the pod into a writable folder. Any other
//! flow travels file by file and the kubelet lays the files out, so that nothing is asked of the image.

pub mod archive;
pub mod bootstrap;
pub mod delivery;
pub mod never_sent;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    error::{Error, Result},
    model::quantity::Memory,
};

/// The most that a package may weigh, packed.
pub const PACKAGE_LIMIT: Memory = Memory(5 << 20);
/// The most that a package may weigh, unpacked: sources shrink to a fifth or less, so more than this cannot pass the
/// packed limit but as a bomb, and need not be read at all.
pub const UNPACKED_LIMIT: Memory = Memory(64 << 20);
/// Up to here the package travels inside the Job, in one request.
pub const INLINE_LIMIT: Memory = Memory(128 << 10);
/// The most that one ConfigMap carries; etcd takes 1 MiB with everything around it.
pub const CHUNK_LIMIT: usize = 900 << 10;
/// The most files that a package may have: more is a forgotten ignore rule, not a program.
pub const FILE_LIMIT: usize = 10_000;
/// How many entries of the one-line summary are named.
const NAMED_IN_SUMMARY: usize = 2;
/// How many of the largest files an error names.
const NAMED_LARGEST: usize = 5;

/// One file of a package. Its path is relative to the root, with `/` between folders, and never leaves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackagedFile {
    /// Relative path.
    pub path: String,
    /// Whether the file may be executed.
    pub executable: bool,
    /// The bytes.
    pub content: Vec<u8>,
}

/// The files of a flow, sorted by path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Package {
    /// The files.
    pub files: Vec<PackagedFile>,
    /// What lies beside the flow and is not sent.
    pub left_out: Vec<LeftOut>,
}

/// A file or folder that is not sent, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Relative path; folders end with `/`.
    pub path: String,
    /// Why, such as `.gitignore`, `secret`, `version control`.
    pub reason: String,
    /// The rule that did it, where a person wrote one, such as ``line `data/` of .gitignore``.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Its size in bytes, where known.
    pub size: Option<Memory>,
    /// Whether nobody would miss it: caches and version control are not worth a line at submission.
    pub expected: bool,
}

impl LeftOut {
    /// Returns whether this entry is `path` or a folder around it.
    #[must_use]
    pub fn covers(&self, path: &str) -> bool {
        self.path == path || (self.path.ends_with('/') && path.starts_with(&self.path))
    }
}

impl Package {
    /// Returns a file by its relative path.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&PackagedFile> {
        self.files.binary_search_by(|file| file.path.as_str().cmp(path)).ok().map(|index| &self.files[index])
    }

    /// Returns the sum of all contents, unpacked.
    #[must_use]
    pub fn total_size(&self) -> Memory {
        Memory(self.files.iter().map(|file| file.content.len() as u64).sum())
    }

    /// Returns the hexadecimal SHA-256 over paths, modes and contents: the same for the same files, whatever packs them.
    ///
    /// Every part is preceded by its length, so that no two packages share a text.
    #[must_use]
    pub fn content_sha256(&self) -> String {
        let mut hash = Sha256::new();
        for file in &self.files {
            for part in [file.path.as_bytes(), file.content.as_slice()] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
            hash.update([u8::from(file.executable)]);
        }
        data_encoding::HEXLOWER.encode(&hash.finalize())
    }

    /// Returns one line about what is not sent, or nothing when only caches and version control stay behind.
    #[must_use]
    pub fn left_out_summary(&self) -> Option<String> {
        let noteworthy: Vec<&LeftOut> = self.left_out.iter().filter(|entry| !entry.expected).collect();
        if noteworthy.is_empty() {
            return None;
        }
        let mut parts: Vec<String> =
            noteworthy.iter().take(NAMED_IN_SUMMARY).map(|entry| format!("{} ({})", printable(&entry.path), entry.reason)).collect();
        let more = noteworthy.len().saturating_sub(NAMED_IN_SUMMARY);
        if more > 0 {
            parts.push(format!("{more} more"));
        }
        Some(format!("left out: {}; see --dry-run", parts.join(", ")))
    }

    /// Returns the error for a package that is too large, naming the largest files and the ways out.
    fn too_large(&self, packed: Memory, limit: Memory) -> Error {
        let sizes: Vec<(String, Memory)> = self.files.iter().map(|file| (file.path.clone(), Memory(file.content.len() as u64))).collect();
        too_large(&format!("the flow's files weigh {packed} packed, the limit is {limit}"), sizes)
    }
}

/// Returns an error for too much beside a flow, naming the largest of `sizes` and the ways out.
#[must_use]
pub fn too_large(message: &str, mut sizes: Vec<(String, Memory)>) -> Error {
    sizes.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
    let example = sizes.first().map_or_else(|| "data/**".to_owned(), |(path, _)| exclusion_of(path));
    let largest: Vec<String> = sizes.iter().take(NAMED_LARGEST).map(|(path, size)| format!("`{}` ({size})", printable(path))).collect();
    Error::rejected(message)
        .hinted(format!("the largest: {}", largest.join(", ")))
        .hinted(format!("leave them out with `--exclude '{example}'` or a line `{example}` in .sbrunignore; --include brings single files back"))
        .hinted("what a flow always needs belongs in its image, data in object storage")
}

/// Returns the pattern that leaves out a path: a folder with all that is in it.
fn exclusion_of(path: &str) -> String {
    path.strip_suffix('/').map_or_else(|| path.to_owned(), |folder| format!("{folder}/**"))
}

/// Returns a path without control characters, for messages.
#[must_use]
pub fn printable(path: &str) -> String {
    path.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

/// Returns whether a relative path stays below its root, has no empty or dotted part, and could be laid out by any unpacker.
#[must_use]
pub fn is_safe_path(path: &str) -> bool {
    !path.is_empty() && !path.contains('\0') && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Returns the files sorted, or an error when two share a path, or one leaves the root.
fn sorted(mut files: Vec<PackagedFile>) -> Result<Package> {
    if let Some(file) = files.iter().find(|file| !is_safe_path(&file.path)) {
        return Err(Error::rejected(format!("the recorded package has the path `{}`, which leaves its folder", printable(&file.path))));
    }
    files.sort_by(|left, right| left.path.cmp(&right.path));
    if let Some(pair) = files.windows(2).find(|pair| pair[0].path == pair[1].path) {
        return Err(Error::rejected(format!("the package has `{}` twice", printable(&pair[0].path))));
    }
    Ok(Package { files, left_out: Vec::new() })
}

#[cfg(test)]
mod tests;
