//! A terminal of a given size, with a shell in it, as a person would have it: tmux.

use std::{
    path::Path,
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use super::sandbox::{SBRUN, Sandbox};

/// What the shell shows when it waits for a command.
const PROMPT: &str = "ready>";
/// The longest wait for something to show.
const LONGEST: Duration = Duration::from_secs(60);
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A terminal; gone when it is dropped.
pub(crate) struct Terminal {
    socket: String,
}

impl Terminal {
    /// Opens a terminal in the working directory of a sandbox, with its variables, in which `sbrun` is a command.
    pub(crate) fn open(sandbox: &Sandbox, width: u16, height: u16) -> Self {
        let terminal = Self { socket: format!("sbrun-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)) };
        let sbrun = sandbox.prepare([""]);
        let mut command = terminal.tmux();
        command.args(["-u", "-f", "/dev/null", "new-session", "-d", "-x", &width.to_string(), "-y", &height.to_string(), "sh"]);
        command.env_clear().envs(sbrun.get_envs().filter_map(|(name, value)| Some((name, value?)))).env_remove("COLUMNS");
        command.env("LANG", "C.UTF-8").current_dir(sandbox.path(""));
        ok(&mut command);
        // Two halves, so that the line itself does not look like the prompt.
        let (left, right) = PROMPT.split_at(3);
        terminal.type_line(&format!("PS1='{left}''{right}'; alias sbrun={SBRUN}; clear"));
        terminal.until(PROMPT);
        terminal
    }

    fn tmux(&self) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.socket]);
        command
    }

    /// Types a line, and the key at its end.
    pub(crate) fn type_line(&self, line: &str) {
        ok(self.tmux().args(["send-keys", "-l", "--", line]));
        self.press("Enter");
    }

    /// Presses a key, by tmux's name of it.
    pub(crate) fn press(&self, key: &str) {
        ok(self.tmux().args(["send-keys", key]));
    }

    /// Changes the size.
    pub(crate) fn resize(&self, width: u16, height: u16) {
        ok(self.tmux().args(["resize-window", "-x", &width.to_string(), "-y", &height.to_string()]));
    }

    /// Returns what is on the screen, without colours.
    pub(crate) fn screen(&self) -> String {
        text(&ok(self.tmux().args(["capture-pane", "-p"])))
    }

    /// Returns what is on the screen, with the escape sequences of colours.
    pub(crate) fn colours(&self) -> String {
        text(&ok(self.tmux().args(["capture-pane", "-p", "-e"])))
    }

    /// Keeps every byte that the terminal gets from now on in a file.
    pub(crate) fn record(&self, path: &Path) {
        ok(self.tmux().args(["pipe-pane", "-o", &format!("cat > '{}'", path.display())]));
    }

    /// Closes the terminal, as a person closes a window.
    pub(crate) fn close(&self) {
        ok(self.tmux().arg("kill-pane"));
    }

    /// Waits until the screen shows `wanted`, and returns it.
    #[track_caller]
    pub(crate) fn until(&self, wanted: &str) -> String {
        let start = Instant::now();
        loop {
            let screen = self.screen();
            if screen.contains(wanted) {
                return screen;
            }
            assert!(start.elapsed() < LONGEST, "`{wanted}` never shows:\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Returns the process that the shell runs.
    pub(crate) fn child(&self) -> i32 {
        let shell = text(&ok(self.tmux().args(["display-message", "-p", "#{pane_pid}"])));
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", shell.trim())).unwrap();
        children.split_whitespace().next().expect("the shell runs something").parse().unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.tmux().arg("kill-server").output());
    }
}

#[track_caller]
fn ok(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
