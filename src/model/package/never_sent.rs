//! What is never sent, and what is not sent unless somebody asks for it, by name alone.

use crate::model::package::LeftOut;

/// Folders of version control; `.git` is a file in a worktree.
const VERSION_CONTROL: &[&str] = &[".git", ".hg", ".svn", ".jj", ".bzr"];
/// Folders that hold credentials of the person, not of the flow.
const SECRET_FOLDERS: &[&str] = &[".aws", ".azure", ".gcloud", ".gnupg", ".kube", ".ssh"];
/// Files that hold credentials.
const SECRET_FILES: &[&str] = &[
    ".dockercfg",
    ".git-credentials",
    ".htpasswd",
    ".netrc",
    ".npmrc",
    ".pgpass",
    ".pypirc",
    ".vault-token",
    "_netrc",
    "application_default_credentials.json",
    "credentials.json",
    "kubeconfig",
];
/// Files that hold private keys, by their ending.
const SECRET_ENDINGS: &[&str] = &[".pem", ".key", ".p12", ".pfx", ".jks", ".kdbx", ".ppk", ".keystore", ".kubeconfig", ".tfstate"];
/// Private keys of SSH, with any ending but those in [`KEY_LOOKALIKES`].
const SSH_KEYS: &[&str] = &["id_rsa", "id_dsa", "id_ecdsa", "id_ed25519"];
/// Endings that make a file named like a key none.
const KEY_LOOKALIKES: &[&str] = &[".pub", ".py"];
/// Endings of `.env` files that are there to be read by others.
const ENV_EXAMPLES: &[&str] = &[".example", ".sample", ".template", ".dist"];
/// Secrets that are only known with their folder.
const SECRET_PATHS: &[&str] = &[".docker/config.json", ".config/gcloud", ".streamlit/secrets.toml"];
/// Folders that tools make again by themselves.
const CACHES: &[&str] =
    &["__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".tox", ".nox", ".ipynb_checkpoints", ".eggs", ".DS_Store"];

/// Why a name stays behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaysBehind {
    /// `.git` and its like: never sent.
    VersionControl,
    /// Keys and credentials: never sent, whatever `--include` says.
    Secret,
    /// Made again by tools: sent when `--include` names it.
    Cache,
    /// A virtual environment: its interpreter is not the pod's. Sent when `--include` names it.
    VirtualEnvironment,
    /// Packages of Node: sent when `--include` names it.
    NodeModules,
}

impl StaysBehind {
    /// Returns whether nothing can bring it back.
    #[must_use]
    pub fn always(self) -> bool {
        matches!(self, Self::VersionControl | Self::Secret)
    }

    /// Returns the entry of the list of what is left out.
    #[must_use]
    pub fn left_out(self, path: String) -> LeftOut {
        let reason = match self {
            Self::VersionControl => "version control",
            Self::Secret => "secret",
            Self::Cache => "cache",
            Self::VirtualEnvironment => "virtual environment",
            Self::NodeModules => "node_modules",
        };
        LeftOut { path, reason: reason.to_owned(), rule: None, size: None, expected: self != Self::Secret }
    }
}

/// Returns whether and why a relative path stays behind, by the name of its last part and the folders before it.
///
/// Capitals make no difference: some file systems know none.
#[must_use]
pub fn stays_behind(path: &str) -> Option<StaysBehind> {
    let path = path.to_lowercase();
    let name = path.rsplit('/').next().unwrap_or(&path);
    if VERSION_CONTROL.contains(&name) {
        return Some(StaysBehind::VersionControl);
    }
    if is_secret(name) || SECRET_PATHS.iter().any(|secret| path == *secret || path.ends_with(&format!("/{secret}"))) {
        return Some(StaysBehind::Secret);
    }
    if CACHES.iter().any(|cache| cache.eq_ignore_ascii_case(name)) || [".pyc", ".pyo"].iter().any(|ending| name.ends_with(ending)) {
        return Some(StaysBehind::Cache);
    }
    (name == "node_modules").then_some(StaysBehind::NodeModules)
}

/// Returns whether any part of a path is never sent: for links, which may point into a folder that is not walked.
#[must_use]
pub fn is_never_sent(path: &str) -> bool {
    let ends = path.match_indices('/').map(|(index, _)| index).chain([path.len()]);
    ends.into_iter().any(|end| stays_behind(&path[..end]).is_some_and(StaysBehind::always))
}

fn is_secret(name: &str) -> bool {
    let environment = name.starts_with(".env") && !ENV_EXAMPLES.iter().any(|ending| name.ends_with(ending));
    let key = SSH_KEYS.iter().any(|key| name.starts_with(key)) && !KEY_LOOKALIKES.iter().any(|ending| name.ends_with(ending));
    let ending = SECRET_ENDINGS.iter().any(|ending| name.ends_with(ending)) || name.contains(".tfstate.");
    environment || key || ending || SECRET_FOLDERS.contains(&name) || SECRET_FILES.contains(&name)
}
