//! All processes of one run: who they are, what they use, how they end.

use std::{
    collections::BTreeSet,
    process::ExitStatus,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal as UnixSignal, kill, killpg},
    unistd::Pid,
};

use crate::local::{
    cgroup::Cgroup,
    processes::{self, Identity, Process},
};

/// How long killed processes may take to vanish.
const GONE_LIMIT: Duration = Duration::from_secs(2);
const GONE_PAUSE: Duration = Duration::from_millis(5);

/// A signal that sbrun passes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT, as Ctrl-C sends it.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP.
    Hangup,
    /// SIGQUIT.
    Quit,
    /// SIGUSR1.
    User1,
    /// SIGUSR2.
    User2,
}

impl From<Signal> for UnixSignal {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Interrupt => Self::SIGINT,
            Signal::Terminate => Self::SIGTERM,
            Signal::Hangup => Self::SIGHUP,
            Signal::Quit => Self::SIGQUIT,
            Signal::User1 => Self::SIGUSR1,
            Signal::User2 => Self::SIGUSR2,
        }
    }
}

/// How the memory limit is enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enforcement {
    /// By the kernel, on the whole process tree.
    Cgroup,
    /// By looking at the process tree a few times a second.
    Sampling {
        /// Why there is no control group.
        why: String,
    },
}

/// What a process tree uses at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Bytes of memory that cannot be given back: anonymous and shared.
    pub(super) memory: u64,
    /// CPU time since the start, where it is counted.
    pub(super) cpu_time: Option<Duration>,
    /// Processes that the kernel killed at the limit since the start.
    pub(super) out_of_memory_kills: u64,
}

/// The flow's process and everything it started.
#[derive(Debug)]
pub(super) struct Tree {
    /// The flow's process, which leads a process group of its own.
    leader: Pid,
    /// What the environment of all its processes says.
    mark: String,
    cgroup: Option<Cgroup>,
    /// Everyone ever recognised, so that orphans stay recognised. Only without a control group.
    known: Mutex<BTreeSet<Identity>>,
    /// Whether the leader was reaped: from then on its number may belong to a stranger. Locked while signals are sent.
    reaped: Mutex<bool>,
}

impl Tree {
    /// Returns the tree below a process that was just started.
    pub(super) fn new(leader: Pid, mark: String, cgroup: Option<Cgroup>) -> Self {
        Self { leader, mark, cgroup, known: Mutex::default(), reaped: Mutex::new(false) }
    }

    /// Passes a signal on to the flow's process group, as a terminal would.
    pub(super) fn signal(&self, signal: Signal) {
        let signal = UnixSignal::from(signal);
        if !*self.reaped() {
            // Who is gone by now needs no signal.
            killpg(self.leader, signal).ok();
        }
    }

    /// Asks every process to end.
    pub(super) fn terminate(&self, signal: Signal) {
        let reaped = self.reaped();
        for process in self.members(*reaped) {
            kill(process, UnixSignal::from(signal)).ok();
            // A stopped process would not notice.
            kill(process, UnixSignal::SIGCONT).ok();
        }
    }

    /// Ends every process; returns when none is left, or after two seconds.
    pub(super) fn kill(&self) {
        let reaped = self.reaped();
        if let Some(cgroup) = &self.cgroup {
            return cgroup.kill();
        }
        let start = Instant::now();
        loop {
            let mut left = self.members(*reaped);
            left.extend(self.strays());
            if left.is_empty() || start.elapsed() > GONE_LIMIT {
                return;
            }
            for process in left {
                kill(process, UnixSignal::SIGKILL).ok();
            }
            thread::sleep(GONE_PAUSE);
        }
    }

    /// Reaps the leader. No signal is sent meanwhile, and none to its number afterwards.
    pub(super) fn reap<T>(&self, wait: impl FnOnce() -> T) -> T {
        let mut reaped = self.reaped();
        let status = wait();
        *reaped = true;
        status
    }

    /// Returns what the tree uses. Shared pages are only counted exactly (which is slow) when it matters: above `noted`.
    pub(super) fn usage(&self, noted: u64) -> Usage {
        match &self.cgroup {
            Some(cgroup) => cgroup.usage(),
            None => Usage { memory: processes::memory(&self.recognised(*self.reaped()), noted), ..Usage::default() },
        }
    }

    /// Returns the most memory ever charged, where the kernel says so.
    pub(super) fn charged_peak(&self) -> Option<u64> {
        self.cgroup.as_ref().and_then(Cgroup::charged_peak)
    }

    /// Returns whether the kernel enforces the limit.
    pub(super) fn has_cgroup(&self) -> bool {
        self.cgroup.is_some()
    }

    /// Removes the control group, when there is one and it is empty.
    pub(super) fn remove(&self) {
        if let Some(cgroup) = &self.cgroup {
            cgroup.remove();
        }
    }

    fn reaped(&self) -> std::sync::MutexGuard<'_, bool> {
        self.reaped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn members(&self, reaped: bool) -> Vec<Pid> {
        match &self.cgroup {
            Some(cgroup) => cgroup.members(),
            None => self.recognised(reaped).iter().map(|process| process.pid).collect(),
        }
    }

    /// Returns the living processes of the tree, and remembers them.
    fn recognised(&self, reaped: bool) -> Vec<Process> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let leader = (!reaped).then_some(self.leader);
        let tree = processes::tree(processes::all(), leader, &known);
        *known = tree.iter().map(|process| process.identity.clone()).collect();
        tree
    }

    /// Returns processes that left the tree and still carry its mark.
    fn strays(&self) -> Vec<Pid> {
        processes::carriers(&self.mark)
    }
}

/// Returns the exit code of a shell for this status: 128 + n for signal n.
pub(super) fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}
