//! The flow's files as they travel with the Job.

use serde::{Deserialize, Serialize};

use crate::model::quantity::Memory;

/// The most that a package may weigh, packed.
pub const PACKAGE_LIMIT: Memory = Memory(5 << 20);
/// Up to here the package travels inside the Job, in one request.
pub const INLINE_LIMIT: Memory = Memory(128 << 10);
/// The most that one ConfigMap carries; etcd takes 1 MiB with everything around it.
pub const CHUNK_LIMIT: usize = 900 << 10;

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
    /// Its size in bytes, where known.
    pub size: Option<Memory>,
}
