//! What the process was given: variables, folders, terminal, clock and chance.
//!
//! The only reader of `std::env`, of the clock and of random numbers. It is read once and passed down as values.

use std::{
    collections::BTreeMap,
    io::IsTerminal,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};

/// The surroundings of this process.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Environment variables that are valid UTF-8.
    pub variables: BTreeMap<String, String>,
    /// Working directory, when it still exists.
    pub current_dir: Option<PathBuf>,
    /// Whether standard input is a terminal.
    pub stdin_is_terminal: bool,
    /// Whether standard output is a terminal.
    pub stdout_is_terminal: bool,
    /// Whether standard error is a terminal.
    pub stderr_is_terminal: bool,
}

/// The pipeline that this process runs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ci {
    /// Who started the pipeline.
    pub actor: Option<String>,
    /// Address of the run.
    pub run_url: Option<String>,
}

impl Environment {
    /// Returns the surroundings of this process.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the process's variables")]
    pub fn from_process() -> Self {
        Self {
            variables: std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?))).collect(),
            current_dir: std::env::current_dir().ok(),
            stdin_is_terminal: std::io::stdin().is_terminal(),
            stdout_is_terminal: std::io::stdout().is_terminal(),
            stderr_is_terminal: std::io::stderr().is_terminal(),
        }
    }

    /// Returns a variable that is set and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Returns the home folder, when there is one.
    #[must_use]
    pub fn home(&self) -> Option<&Path> {
        self.get("HOME").map(Path::new)
    }

    /// Returns the folder of the user's configuration: `$XDG_CONFIG_HOME/sbrun` or `~/.config/sbrun`.
    #[must_use]
    pub fn config_dir(&self) -> Option<PathBuf> {
        self.base_dir("XDG_CONFIG_HOME", ".config")
    }

    /// Returns the folder of run files and kept logs: `$XDG_STATE_HOME/sbrun` or `~/.local/state/sbrun`.
    #[must_use]
    pub fn state_dir(&self) -> Option<PathBuf> {
        self.base_dir("XDG_STATE_HOME", ".local/state")
    }

    fn base_dir(&self, variable: &str, below_home: &str) -> Option<PathBuf> {
        let base = self.get(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        base.or_else(|| self.home().map(|home| home.join(below_home))).map(|base| base.join("sbrun"))
    }

    /// Returns the pipeline, when `CI` is set to anything but `false` or `0`.
    #[must_use]
    pub fn ci(&self) -> Option<Ci> {
        self.get("CI").filter(|value| !matches!(*value, "false" | "0"))?;
        let actor = ["GITHUB_ACTOR", "GITLAB_USER_LOGIN", "BUILDKITE_BUILD_CREATOR", "CIRCLE_USERNAME", "BUILD_REQUESTEDFOR"];
        let github =
            || Some(format!("{}/{}/actions/runs/{}", self.get("GITHUB_SERVER_URL")?, self.get("GITHUB_REPOSITORY")?, self.get("GITHUB_RUN_ID")?));
        let address = ["CI_JOB_URL", "BUILDKITE_BUILD_URL", "CIRCLE_BUILD_URL", "BUILD_URL"];
        Some(Ci {
            actor: actor.iter().find_map(|name| self.get(name)).map(ToOwned::to_owned),
            run_url: github().or_else(|| address.iter().find_map(|name| self.get(name)).map(ToOwned::to_owned)),
        })
    }
}

/// Returns the time.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one reader of the clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Returns how long this machine has been on, the time that it slept included: neither jumps nor stands still.
#[must_use]
pub fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = ClockId::CLOCK_BOOTTIME;
    #[cfg(not(target_os = "linux"))]
    let clock = ClockId::CLOCK_MONOTONIC;
    // Every system has it: zero would only mean leases that are renewed for too short a time.
    clock_gettime(clock).map(Duration::from).unwrap_or_default()
}

/// Returns random bytes of the operating system.
///
/// # Panics
/// When the operating system has no random numbers, which no caller could mend.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has random numbers");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment { variables: variables.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(), ..Environment::default() }
    }

    #[test]
    fn the_clock_since_boot_goes_on() {
        let before = since_boot();
        std::thread::sleep(Duration::from_millis(20));
        let passed = since_boot().saturating_sub(before);
        assert!(before > Duration::ZERO && passed >= Duration::from_millis(20), "{before:?} {passed:?}");
    }

    #[test]
    fn folders_follow_xdg_and_need_no_home() {
        assert_eq!(environment(&[]).state_dir(), None);
        assert_eq!(environment(&[("HOME", "/h")]).state_dir(), Some("/h/.local/state/sbrun".into()));
        assert_eq!(environment(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/c")]).config_dir(), Some("/c/sbrun".into()));
        assert_eq!(environment(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "relative")]).config_dir(), Some("/h/.config/sbrun".into()));
    }

    #[test]
    fn pipelines_are_recognised() {
        assert_eq!(environment(&[("CI", "false")]).ci(), None);
        let github = environment(&[
            ("CI", "true"),
            ("GITHUB_SERVER_URL", "https://g"),
            ("GITHUB_REPOSITORY", "a/b"),
            ("GITHUB_RUN_ID", "7"),
            ("GITHUB_ACTOR", "ana"),
        ]);
        assert_eq!(github.ci(), Some(Ci { actor: Some("ana".into()), run_url: Some("https://g/a/b/actions/runs/7".into()) }));
    }
}
