//! Where a flow's code comes from, as `git` tells.
//!
//! It is decoration: no `git`, no repository or a repository that takes too long means that nothing is known.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{process::Command, time::timeout};

use crate::model::launch_plan::Provenance;

/// How long one question to `git` may take; the status of a huge working tree may take minutes.
const PATIENCE: Duration = Duration::from_secs(2);

/// What `git` knows about a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checkout {
    /// Address of the remote `origin`, without credentials.
    pub repository: Option<String>,
    /// Commit of the working tree; ends with `-dirty` when tracked files differ from it. None when that is not known.
    pub commit: Option<String>,
    /// Path of the file in the repository, with `/`.
    pub path: String,
    /// Name of the repository's top folder.
    pub folder: String,
}

impl Checkout {
    /// Returns the identity of a flow: repository and path, such as `github.com/example/flows:etl/daily.py`.
    ///
    /// The same for every way of cloning. A repository without a remote goes by the name of its folder.
    #[must_use]
    pub fn identity(&self) -> String {
        let repository = self.repository.as_deref().map_or_else(|| self.folder.clone(), canonical);
        format!("{repository}:{}", self.path)
    }

    /// Returns where the code comes from, as the Job records it.
    #[must_use]
    pub fn provenance(&self, ci_run: Option<String>) -> Provenance {
        Provenance { git_repository: self.repository.clone(), git_commit: self.commit.clone(), ci_run }
    }
}

/// Asks `git` about a file. Returns nothing outside of a repository, and never fails.
pub async fn describe(file: &Path) -> Option<Checkout> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = file.file_name()?.to_str()?;
    let (place, remote, status) = tokio::join!(
        ask(folder, &["rev-parse", "--show-prefix", "--show-toplevel"]),
        ask(folder, &["config", "--get", "remote.origin.url"]),
        ask(folder, &["status", "--porcelain=v2", "--branch", "--untracked-files=no", "--ignore-submodules"]),
    );
    let place = place?;
    let (prefix, top) = place.split_once('\n')?;
    let top = Path::new(top.trim_end_matches('\n'));
    let commit = status.as_deref().and_then(commit);
    let repository = remote.map(|url| without_credentials(url.trim())).filter(|url| !url.is_empty());
    let folder = top.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Some(Checkout { repository, commit, path: format!("{prefix}{name}"), folder })
}

/// Returns the commit that a status is about, marked when files differ from it; nothing before the first one.
fn commit(status: &str) -> Option<String> {
    let head = status.lines().find_map(|line| line.strip_prefix("# branch.oid ")).filter(|head| *head != "(initial)")?;
    let dirty = status.lines().any(|line| !line.starts_with('#'));
    Some(format!("{head}{}", if dirty { "-dirty" } else { "" }))
}

/// Returns what `git` prints, or nothing when it is missing, fails or takes longer than [`PATIENCE`].
async fn ask(folder: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    // A file system monitor is a program that the repository names; nothing is run here but git.
    command.arg("-c").arg("core.fsmonitor=false").arg("-C").arg(folder).args(arguments);
    command.env("GIT_OPTIONAL_LOCKS", "0").env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.ok()?.ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).ok()).flatten()
}

/// Returns an address without user, password and query, which are where tokens hide.
fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        // `git@host:path` names a user, but no secret.
        return url.to_owned();
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    if path.is_empty() { format!("{scheme}://{host}") } else { format!("{scheme}://{host}/{path}") }
}

/// Returns an address in the one form that all ways of cloning share: `host/path`.
fn canonical(url: &str) -> String {
    let address = match url.split_once("://") {
        Some((_, rest)) => rest.to_owned(),
        // `git@host:path`; a path of this machine has its slash before any colon.
        None => match url.split_once(':') {
            Some((host, path)) if !host.contains('/') => format!("{}/{path}", host.rsplit_once('@').map_or(host, |(_, host)| host)),
            _ => url.to_owned(),
        },
    };
    let address = address.trim_end_matches('/');
    address.strip_suffix(".git").unwrap_or(address).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_never_leave_the_configuration() {
        for (url, bare) in [
            ("https://ana:t0ken@git.example/a/b.git", "https://git.example/a/b.git"),
            ("https://t0ken@git.example/a/b", "https://git.example/a/b"),
            ("https://git.example/a/b?private_token=t0ken", "https://git.example/a/b"),
            ("https://ana:p@ss@git.example", "https://git.example"),
            ("ssh://git@git.example:2222/a/b.git", "ssh://git.example:2222/a/b.git"),
            ("git@git.example:a/b.git", "git@git.example:a/b.git"),
            ("/srv/git/b.git", "/srv/git/b.git"),
        ] {
            assert_eq!(without_credentials(url), bare);
        }
    }

    #[test]
    fn every_way_of_cloning_gives_one_identity() {
        for url in ["https://git.example/a/b.git", "git@git.example:a/b.git", "ssh://git.example/a/b", "https://git.example/a/b/"] {
            let checkout = Checkout { repository: Some(url.into()), path: "etl/daily.py".into(), ..Checkout::default() };
            assert_eq!(checkout.identity(), "git.example/a/b:etl/daily.py", "{url}");
        }
        let local = Checkout { path: "flow.py".into(), folder: "flows".into(), ..Checkout::default() };
        assert_eq!(local.identity(), "flows:flow.py");
    }

    fn git(folder: &Path, arguments: &[&str]) {
        let mut command = std::process::Command::new("git");
        command.arg("-C").arg(folder).args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]).args(arguments);
        let output = command.output().expect("git is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    #[tokio::test]
    async fn a_checkout_is_described_and_its_absence_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let flow = folder.path().join("etl/daily.py");
        std::fs::create_dir(folder.path().join("etl")).unwrap();
        std::fs::write(&flow, "print(1)\n").unwrap();
        assert_eq!(describe(&flow).await, None);

        git(folder.path(), &["init", "-q"]);
        let name = folder.path().canonicalize().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        let fresh = Checkout { repository: None, commit: None, path: "etl/daily.py".into(), folder: name };
        assert_eq!(describe(&flow).await, Some(fresh.clone()));

        git(folder.path(), &["add", "."]);
        git(folder.path(), &["commit", "-qm", "first"]);
        git(folder.path(), &["remote", "add", "origin", "https://ana:t0ken@git.example/a/b.git"]);
        let clean = describe(&flow).await.unwrap();
        assert_eq!(clean.repository.as_deref(), Some("https://git.example/a/b.git"));
        let commit = clean.commit.clone().unwrap();
        assert_eq!(commit.len(), 40, "{commit}");

        std::fs::write(&flow, "print(2)\n").unwrap();
        assert_eq!(describe(&flow).await, Some(Checkout { commit: Some(format!("{commit}-dirty")), ..clean }));
    }
}
