//! Ends a run whose sbrun was killed: a flow must not go on unseen, eating the machine.
//!
//! Drop guards do not run on SIGKILL. A small shell waits on a pipe that only sbrun holds open, so it wakes up however
//! sbrun ends. It leads a process group of its own, so that Ctrl-C does not reach it.

use std::{
    io::Write,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use nix::unistd::Pid;

use crate::local::flow_environment::MARK;

/// First line: the flow's process group. Second line: all is well. Arguments: the run's folder, its mark, its control
/// groups.
/// The flow has 5 s to end by itself; sbrun itself has no longer after SIGTERM in a pipeline. Then whoever left its group
/// is found by the mark of [`flow_environment`](super::flow_environment), on Linux.
const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
read -r group
read -r word && exit 0
tries=0
if [ -n "$group" ]; then
    kill -s TERM -- "-$group"
    while [ $tries -lt 50 ] && kill -s 0 -- "-$group"; do sleep 0.1; tries=$((tries + 1)); done
    kill -s KILL -- "-$group"
fi
folder=$1
mark=$2
shift 2
for file in $(grep -Fls -- "$mark" /proc/[0-9]*/environ); do
    process=${file#/proc/}
    kill -s KILL "${process%/environ}"
done
for cgroup; do
    tries=0
    while [ -d "$cgroup" ] && ! rmdir "$cgroup" && [ $tries -lt 50 ]; do
        echo 1 > "$cgroup/cgroup.kill" || kill -s KILL $(cat "$cgroup/cgroup.procs")
        sleep 0.1
        tries=$((tries + 1))
    done
done
rm -rf -- "$folder"
"#;

/// The waiting shell. Dropped without [`Watchdog::dismiss`], it acts.
#[derive(Debug)]
pub(super) struct Watchdog {
    child: Child,
    line: ChildStdin,
}

impl Watchdog {
    /// Starts watching the run with this mark; none when no shell can be started, which only a crash would make felt.
    pub(super) fn start(folder: &Path, mark: &str, cgroups: &[PathBuf]) -> Option<Self> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "sbrun-watchdog"]).arg(folder).arg(format!("{MARK}={mark}")).args(cgroups);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/").process_group(0);
        let mut child = command.spawn().ok()?;
        let line = child.stdin.take()?;
        Some(Self { child, line })
    }

    /// Says which process group to end.
    pub(super) fn watch(&mut self, group: Pid) {
        // A shell that is gone cannot be told anything.
        writeln!(self.line, "{group}").ok();
    }

    /// Ends the watching: everything is cleaned up.
    pub(super) fn dismiss(mut self) {
        writeln!(self.line, "\ndone").ok();
        drop(self.line);
        self.child.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    fn eventually(condition: impl Fn() -> bool) -> bool {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(8) {
            if condition() {
                return true;
            }
            thread::sleep(Duration::from_millis(20));
        }
        false
    }

    fn mk_flow(script: &str) -> (Child, Pid) {
        let child = Command::new("/bin/sh").args(["-c", script]).process_group(0).spawn().unwrap();
        let group = Pid::from_raw(i32::try_from(child.id()).unwrap());
        (child, group)
    }

    #[test]
    fn a_run_ends_with_its_sbrun() {
        let folder = tempfile::tempdir().unwrap();
        let (mut flow, group) = mk_flow("sleep 60 & sleep 60");
        let mut watchdog = Watchdog::start(folder.path(), "no-such-run", &[]).unwrap();
        watchdog.watch(group);
        let Watchdog { mut child, line } = watchdog;
        drop(line);
        let status = flow.wait().unwrap();
        assert_eq!(crate::local::tree::exit_code(status), 143);
        child.wait().unwrap();
        assert!(eventually(|| !folder.path().exists()));
    }

    #[test]
    fn a_dismissed_watchdog_does_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (mut flow, group) = mk_flow("exec sleep 0.3");
        let mut watchdog = Watchdog::start(folder.path(), "no-such-run", &[]).unwrap();
        watchdog.watch(group);
        watchdog.dismiss();
        assert!(flow.wait().unwrap().success());
        assert!(folder.path().exists());
    }
}
