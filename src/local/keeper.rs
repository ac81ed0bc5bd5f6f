//! Keeps a running flow within its limits, and waits for its end.
//!
//! Two threads, so that neither a busy runtime nor a slow reader of the output can let a flow exceed a limit: the keeper
//! looks at memory and clock, the waiter waits for the flow's process and then ends whatever it left behind.

use std::{
    process::{Child, ExitStatus},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use nix::sys::resource::{UsageWho, getrusage};
use tokio::sync::watch;

use crate::{
    environment,
    local::{
        folder::RunFolder,
        program::StartFailure,
        tree::{Signal, Tree, exit_code},
        watchdog::Watchdog,
    },
    model::{launch_plan::LaunchPlan, quantity::Memory},
};

/// Looking more often than this costs more than it shows.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
/// A flow that allocates 1 GiB/s exceeds a sampled limit by at most a quarter of that.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// The exact count of many large processes is slow: then looking may take up to a quarter of the time, …
const SHARE_OF_LOOKING: u32 = 3;
/// … as long as the limit is still looked after.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// What is known about a run so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// How and when it ended.
    pub(super) ended: Option<Ended>,
    /// When its run timeout struck.
    pub(super) overdue: Option<Timestamp>,
    /// What it used when sbrun killed it for using more than its limit.
    pub(super) over_limit: Option<Memory>,
    /// Highest memory use seen, in bytes.
    pub(super) peak_memory: u64,
    /// CPU time used.
    pub(super) cpu_time: Option<Duration>,
    /// Processes that the kernel killed at the limit.
    pub(super) out_of_memory_kills: u64,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) at: Timestamp,
    pub(super) how: How,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum How {
    /// With an exit code, 128 + n for signal n.
    Exited {
        code: i32,
        /// Whether it was SIGKILL.
        killed: bool,
    },
    /// It was never started.
    NotStarted(StartFailure),
}

/// What the keeper is told.
#[derive(Debug)]
pub(super) enum Request {
    /// This signal now, SIGKILL after this time.
    End(Signal, Duration),
    /// The flow has ended.
    Stop,
}

/// The keeper's and the waiter's side of a run.
#[derive(Debug)]
pub(super) struct Kept {
    /// For requests.
    pub(super) requests: Sender<Request>,
    /// Answers once everything is cleaned up.
    pub(super) clean: Receiver<()>,
}

/// Everything that has to go when the flow has ended.
#[derive(Debug)]
pub(super) struct Belongings {
    pub(super) child: Child,
    pub(super) folder: RunFolder,
    pub(super) watchdog: Option<Watchdog>,
}

/// Starts keeping.
pub(super) fn keep(plan: &LaunchPlan, tree: &Arc<Tree>, belongings: Belongings, progress: watch::Sender<Progress>) -> Kept {
    let (requests, inbox) = channel();
    let (done, clean) = channel();
    let limits = Limits { memory: plan.footprint.memory, grace: plan.limits.grace, timeout: plan.limits.timeout };
    let keeper = Keeper { tree: Arc::clone(tree), progress: progress.clone(), limits, start: Instant::now(), ending: None };
    thread::spawn(move || keeper.run(&inbox));
    let (tree, stop) = (Arc::clone(tree), requests.clone());
    thread::spawn(move || {
        wait(belongings, &tree, &progress);
        stop.send(Request::Stop).ok();
        done.send(()).ok();
    });
    Kept { requests, clean }
}

#[derive(Debug)]
struct Limits {
    /// 0 for none.
    memory: Memory,
    grace: Duration,
    timeout: Duration,
}

#[derive(Debug)]
struct Keeper {
    tree: Arc<Tree>,
    progress: watch::Sender<Progress>,
    limits: Limits,
    start: Instant,
    /// When SIGKILL follows the SIGTERM that was sent.
    ending: Option<Instant>,
}

impl Keeper {
    fn run(mut self, inbox: &Receiver<Request>) {
        let mut looking = Duration::ZERO;
        loop {
            match inbox.recv_timeout(self.pause(looking)) {
                Ok(Request::End(signal, grace)) => self.end(signal, grace),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Request::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            self.mind_the_clock();
            let before = Instant::now();
            self.look();
            looking = before.elapsed();
        }
    }

    /// Returns the time until the next look: short in the beginning, so that short runs have a footprint too.
    fn pause(&self, looking: Duration) -> Duration {
        let pause = (self.start.elapsed() / 10).clamp(SHORTEST_PAUSE, LONGEST_PAUSE).max((looking * SHARE_OF_LOOKING).min(LONGEST_REST));
        let next = self.ending.or_else(|| self.start.checked_add(self.limits.timeout));
        next.map_or(pause, |next| pause.min(next.saturating_duration_since(Instant::now()))).max(SHORTEST_PAUSE)
    }

    fn end(&mut self, signal: Signal, grace: Duration) {
        if self.ending.is_none() {
            self.tree.terminate(signal);
        }
        let kill = Instant::now().checked_add(grace);
        // A second request may shorten the grace and never lengthens it.
        self.ending = self.ending.into_iter().chain(kill).min();
    }

    fn mind_the_clock(&mut self) {
        match self.ending {
            Some(kill) if Instant::now() >= kill => self.tree.kill(),
            None if self.start.elapsed() >= self.limits.timeout => {
                self.progress.send_modify(|progress| progress.overdue = Some(environment::now()));
                self.end(Signal::Terminate, self.limits.grace);
            }
            _ => {}
        }
    }

    fn look(&self) {
        let noted = self.progress.borrow().peak_memory;
        let usage = self.tree.usage(noted);
        let limit = self.limits.memory;
        let over = limit.0 > 0 && usage.memory > limit.0 && !self.tree.has_cgroup();
        self.progress.send_modify(|progress| {
            progress.peak_memory = progress.peak_memory.max(usage.memory);
            progress.cpu_time = usage.cpu_time.max(progress.cpu_time);
            progress.out_of_memory_kills = progress.out_of_memory_kills.max(usage.out_of_memory_kills);
            if over && progress.ended.is_none() {
                progress.over_limit.get_or_insert(Memory(usage.memory));
            }
        });
        if over {
            self.tree.kill();
        }
    }
}

/// Waits for the flow's end, ends what it left behind as a container would, and cleans up.
fn wait(mut belongings: Belongings, tree: &Tree, progress: &watch::Sender<Progress>) {
    let before = children_time();
    await_exit(&belongings.child);
    let mut at = environment::now();
    if cfg!(target_os = "linux") {
        // The flow is not reaped yet: its number still means itself.
        tree.kill();
    }
    let status = tree.reap(|| belongings.child.wait());
    if !cfg!(target_os = "linux") {
        at = environment::now();
        tree.kill();
    }
    let usage = tree.usage(u64::MAX);
    // Without a control group: our children's time, in which all descendants are that somebody waited for.
    let cpu_time = usage.cpu_time.or_else(|| Some(children_time()?.saturating_sub(before?)));
    progress.send_modify(|progress| {
        progress.out_of_memory_kills = progress.out_of_memory_kills.max(usage.out_of_memory_kills);
        progress.cpu_time = progress.cpu_time.max(cpu_time);
        if progress.out_of_memory_kills > 0 {
            // The last moments before a kill are too short to be seen.
            progress.peak_memory = progress.peak_memory.max(tree.charged_peak().unwrap_or(0));
        }
        progress.ended = Some(Ended { at, how: how(status) });
    });
    let Belongings { watchdog, folder, .. } = belongings;
    tree.remove();
    drop(folder);
    if let Some(watchdog) = watchdog {
        watchdog.dismiss();
    }
}

fn how(status: std::io::Result<ExitStatus>) -> How {
    const SIGKILL: i32 = 9;
    use std::os::unix::process::ExitStatusExt;
    // Only somebody else's wait for our child could fail this one.
    status.map_or(How::Exited { code: 1, killed: false }, |status| How::Exited { code: exit_code(status), killed: status.signal() == Some(SIGKILL) })
}

/// Returns when the child has ended, without reaping it.
#[cfg(target_os = "linux")]
fn await_exit(child: &Child) {
    use nix::{
        errno::Errno,
        sys::wait::{Id, WaitPidFlag, waitid},
        unistd::Pid,
    };
    let process = Pid::from_raw(i32::try_from(child.id()).unwrap_or_default());
    while waitid(Id::Pid(process), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
}

/// Returns at once: elsewhere only reaping waits.
#[cfg(not(target_os = "linux"))]
fn await_exit(_child: &Child) {}

fn children_time() -> Option<Duration> {
    use nix::sys::time::TimeValLike;
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).ok()?;
    u64::try_from((usage.user_time() + usage.system_time()).num_microseconds()).ok().map(Duration::from_micros)
}
