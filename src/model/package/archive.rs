//! A package as one deterministic `tar.gz`, and back.

use std::io::Read;

use flate2::{Compression, GzBuilder, read::GzDecoder};

use crate::{
    error::{Error, Result},
    model::{
        package::{CHUNK_LIMIT, Package, PackagedFile, UNPACKED_LIMIT, is_safe_path, printable, sorted},
        quantity::Memory,
    },
};

/// What headers and padding of the largest package may add to its contents.
const HEADER_ALLOWANCE: u64 = 32 << 20;

/// Returns the package as a `tar.gz`: the same bytes for the same files.
///
/// Sorted, without times and owners, modes 0644 and 0755 only, nothing of this machine in the gzip header.
pub fn archive(package: &Package) -> Result<Vec<u8>> {
    let unusable = |error: std::io::Error| Error::internal("cannot pack the flow's files").caused_by(error);
    let gzip = GzBuilder::new().operating_system(255).write(Vec::new(), Compression::default());
    let mut builder = tar::Builder::new(gzip);
    for file in &package.files {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(file.content.len() as u64);
        header.set_mode(if file.executable { 0o755 } else { 0o644 });
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        builder.append_data(&mut header, &file.path, file.content.as_slice()).map_err(unusable)?;
    }
    builder.into_inner().and_then(flate2::write::GzEncoder::finish).map_err(unusable)
}

/// Splits an archive into parts that fit a ConfigMap each.
#[must_use]
pub fn chunks(archive: &[u8]) -> Vec<&[u8]> {
    archive.chunks(CHUNK_LIMIT).collect()
}

impl Package {
    /// Returns the files of an archive that [`archive`] made.
    ///
    /// An archive may have been changed since, so everything that could do harm is refused: paths that leave the root,
    /// links, devices, names that are not UTF-8, and more than [`UNPACKED_LIMIT`] unpacked.
    pub fn from_archive(bytes: &[u8]) -> Result<Self> {
        let damaged = |error: std::io::Error| Error::failed("the recorded package cannot be read").caused_by(error);
        let limited = GzDecoder::new(bytes).take(UNPACKED_LIMIT.0 + HEADER_ALLOWANCE);
        let mut tar = tar::Archive::new(limited);
        let mut files = Vec::new();
        let mut total = 0u64;
        for entry in tar.entries().map_err(damaged)? {
            let mut entry = entry.map_err(damaged)?;
            let path = String::from_utf8(entry.path_bytes().into_owned())
                .map_err(|error| Error::rejected("the recorded package has a name that is not UTF-8").caused_by(error))?;
            if !is_safe_path(&path) {
                return Err(Error::rejected(format!("the recorded package has the path `{}`, which leaves its folder", printable(&path))));
            }
            if entry.header().entry_type() != tar::EntryType::Regular {
                return Err(Error::rejected(format!("`{}` of the recorded package is not a plain file", printable(&path))));
            }
            total = total.saturating_add(entry.size());
            if total > UNPACKED_LIMIT.0 {
                return Err(Error::rejected(format!("the recorded package is {} or more unpacked, the limit is {UNPACKED_LIMIT}", Memory(total))));
            }
            let executable = entry.header().mode().map_err(damaged)? & 0o100 != 0;
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(damaged)?;
            if content.len() as u64 != entry.size() {
                return Err(Error::failed(format!("the recorded package ends within `{}`", printable(&path))));
            }
            files.push(PackagedFile { path, executable, content });
        }
        sorted(files)
    }
}
