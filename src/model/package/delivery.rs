//! How a package reaches its pod: inside the Job when it is small, else in ConfigMaps.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    error::{Error, Result},
    model::{
        launch_plan::Interpreter,
        package::{CHUNK_LIMIT, INLINE_LIMIT, PACKAGE_LIMIT, Package, PackagedFile, archive, bootstrap::INLINE_FILE, printable, sorted},
        quantity::Memory,
    },
};

/// Where the parts of a package travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// As annotations of the pod template, which a downwardAPI volume shows to the pod. Every content is UTF-8.
    Inline(Vec<Part>),
    /// As binary data of ConfigMaps, one for each group, shown by one projected volume.
    ConfigMaps(Vec<Vec<Part>>),
}

/// One annotation or one key of a ConfigMap, and the file of the volume that it becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Name part of the annotation's key, or key of the ConfigMap: letters, digits and hyphens, unique in the package.
    pub key: String,
    /// Path in the volume, which is mounted on [`super::bootstrap::PACKAGE_FOLDER`] for Python flows and on
    /// [`super::bootstrap::FLOW_FOLDER`] for others.
    pub path: String,
    /// Whether the file gets mode 0555 instead of 0444.
    pub executable: bool,
    /// The bytes.
    pub content: Vec<u8>,
}

impl Delivery {
    /// Returns all parts in order.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        let (inline, groups) = match self {
            Self::Inline(parts) => (parts.as_slice(), [].as_slice()),
            Self::ConfigMaps(groups) => ([].as_slice(), groups.as_slice()),
        };
        inline.iter().chain(groups.iter().flatten())
    }

    /// Returns what is sent, in bytes.
    #[must_use]
    pub fn size(&self) -> Memory {
        Memory(self.parts().map(|part| part.content.len() as u64).sum())
    }

    /// Returns the files again, from the parts as a Job and its ConfigMaps recorded them.
    pub fn unpack(&self, interpreter: Interpreter) -> Result<Package> {
        match (interpreter, self) {
            (Interpreter::Executable, _) => sorted(
                self.parts()
                    .map(|part| PackagedFile { path: part.path.clone(), executable: part.executable, content: part.content.clone() })
                    .collect(),
            ),
            (Interpreter::Python, Self::Inline(parts)) => {
                let text: Vec<u8> = parts.iter().flat_map(|part| part.content.iter().copied()).collect();
                let bytes = STANDARD.decode(text).map_err(|error| Error::failed("the recorded package cannot be read").caused_by(error))?;
                Package::from_archive(&bytes)
            }
            (Interpreter::Python, Self::ConfigMaps(_)) => {
                let mut parts: Vec<&Part> = self.parts().collect();
                parts.sort_by_key(|part| part.key.clone());
                let bytes: Vec<u8> = parts.iter().flat_map(|part| part.content.iter().copied()).collect();
                Package::from_archive(&bytes)
            }
        }
    }
}

impl Package {
    /// Returns the package in the form in which it is sent.
    ///
    /// More than [`PACKAGE_LIMIT`] is an error that names the largest files and the ways out.
    pub fn deliver(&self, interpreter: Interpreter) -> Result<Delivery> {
        match interpreter {
            Interpreter::Python => self.deliver_archive(),
            Interpreter::Executable => self.deliver_files(),
        }
    }

    fn deliver_archive(&self) -> Result<Delivery> {
        let bytes = archive::archive(self)?;
        let packed = Memory(bytes.len() as u64);
        if packed > PACKAGE_LIMIT {
            return Err(self.too_large(packed, PACKAGE_LIMIT));
        }
        let part = |key: &str, path: &str, content: Vec<u8>| Part { key: key.to_owned(), path: path.to_owned(), executable: false, content };
        if packed <= INLINE_LIMIT {
            return Ok(Delivery::Inline(vec![part("package", INLINE_FILE, STANDARD.encode(bytes).into_bytes())]));
        }
        let numbered = archive::chunks(&bytes).into_iter().enumerate().map(|(index, chunk)| {
            let name = format!("part-{index:03}");
            vec![part(&name, &name, chunk.to_vec())]
        });
        Ok(Delivery::ConfigMaps(numbered.collect()))
    }

    fn deliver_files(&self) -> Result<Delivery> {
        let total = self.total_size();
        if total > PACKAGE_LIMIT {
            return Err(self.too_large(total, PACKAGE_LIMIT));
        }
        let parts: Vec<Part> = self.files.iter().enumerate().map(|(index, file)| part_of(index, file)).collect::<Result<_>>()?;
        let is_text = |part: &Part| std::str::from_utf8(&part.content).is_ok();
        if total <= INLINE_LIMIT && parts.len() <= INLINE_FILES && parts.iter().all(is_text) {
            return Ok(Delivery::Inline(parts));
        }
        Ok(Delivery::ConfigMaps(grouped(parts)))
    }
}

/// The most files that become annotations: each also takes an entry in the pod's volume.
const INLINE_FILES: usize = 100;
/// What a file costs a ConfigMap besides its content: key, encoding, entry of the volume.
const FILE_OVERHEAD: usize = 256;

/// Returns the part for one file of an executable flow, or an error when Kubernetes could not carry it.
fn part_of(index: usize, file: &PackagedFile) -> Result<Part> {
    let path = printable(&file.path);
    let size = Memory(file.content.len() as u64);
    if file.content.len() > CHUNK_LIMIT {
        let limit = Memory(CHUNK_LIMIT as u64);
        return Err(Error::rejected(format!("`{path}` is {size}, and a file beside a flow that is no Python file may be {limit} at most"))
            .hinted(format!("leave it out with `--exclude '{path}'`, and put it into the image or object storage"))
            .hinted("a flow in Python may have larger files"));
    }
    if file.path.starts_with("..") {
        return Err(Error::rejected(format!("`{path}` starts with two dots, which Kubernetes does not take beside a flow that is no Python file"))
            .hinted(format!("rename it, or leave it out with `--exclude '{path}'`")));
    }
    Ok(Part { key: format!("file-{index:05}"), path: file.path.clone(), executable: file.executable, content: file.content.clone() })
}

/// Returns the parts in groups that fit a ConfigMap each, in order.
fn grouped(parts: Vec<Part>) -> Vec<Vec<Part>> {
    let mut groups: Vec<Vec<Part>> = Vec::new();
    let mut room = 0;
    for part in parts {
        let weight = part.content.len() + FILE_OVERHEAD;
        match groups.last_mut() {
            Some(group) if weight <= room => {
                group.push(part);
                room -= weight;
            }
            _ => {
                room = (CHUNK_LIMIT + FILE_OVERHEAD).saturating_sub(weight);
                groups.push(vec![part]);
            }
        }
    }
    groups
}
