//! A control group of Linux for one run: memory limit, CPU share, and the certainty of ending everything in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    local::{cgroup::places::Places, tree::Usage},
    model::footprint::Footprint,
};

mod places;

/// Enters control groups, then becomes the program, which keeps its process id, signals and exit code: the arguments are
/// the files to enter by, `--`, and the program. Done by a shell because nothing else may run between fork and exec.
const ENTER: &str = r#"while [ "$1" != -- ]; do echo $$ > "$1" || exit 125; shift; done; shift; exec "$@""#;
/// How long a group may take to become empty after everything in it was killed.
const EMPTY_LIMIT: Duration = Duration::from_secs(2);
const EMPTY_PAUSE: Duration = Duration::from_millis(5);
/// `cpu.shares` of one whole CPU in version 1.
const SHARES_PER_CPU: u64 = 1024;

/// Which interface of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// One hierarchy for each controller.
    V1,
    /// One hierarchy for all.
    V2,
}

/// The control group of one run. Version 1 has a folder for each controller, version 2 one for all.
#[derive(Debug)]
pub(super) struct Cgroup {
    version: Version,
    memory: PathBuf,
    cpu: Option<PathBuf>,
    cpu_time: Option<PathBuf>,
}

impl Cgroup {
    /// Makes the group `name` with the limits of `footprint`, or says why there can be none.
    pub(super) fn create(name: &str, footprint: &Footprint) -> Result<Self, String> {
        let places = Places::of_this_process().ok_or_else(|| "this system has no control groups".to_owned())?;
        let group = match places.version {
            Version::V1 => Self::create_v1(&places, name, footprint),
            Version::V2 => Self::create_v2(&places, name, footprint),
        };
        let group = group.map_err(|error| format!("no control group can be made: {error}"))?;
        // Making one and entering it are two permissions.
        group.probe().map_err(|error| format!("a control group cannot be entered: {error}"))?;
        Ok(group)
    }

    fn create_v1(places: &Places, name: &str, footprint: &Footprint) -> io::Result<Self> {
        let memory = make(&places.memory, name)?;
        // The rest is worth having and not worth failing for.
        let cpu = places.cpu.as_ref().and_then(|parent| make(parent, name).ok());
        let cpu_time = places.cpu_time.as_ref().and_then(|parent| make(parent, name).ok());
        let group = Self { version: Version::V1, memory, cpu, cpu_time };
        if footprint.memory.0 > 0 {
            write(&group.memory, "memory.limit_in_bytes", &footprint.memory.0.to_string())?;
            // Memory and swap together; the file is missing where swap is not accounted for.
            write(&group.memory, "memory.memsw.limit_in_bytes", &footprint.memory.0.to_string()).ok();
        }
        if let Some(cpu) = &group.cpu {
            write(cpu, "cpu.shares", &shares(footprint).to_string()).ok();
        }
        Ok(group)
    }

    fn create_v2(places: &Places, name: &str, footprint: &Footprint) -> io::Result<Self> {
        // A group with processes, such as our own, may have no limited children: then next to it.
        let beside = places.memory.parent().filter(|parent| parent.starts_with(&places.mount));
        let made = make_v2(&places.memory, name).or_else(|error| beside.map_or(Err(error), |parent| make_v2(parent, name)))?;
        let group = Self { version: Version::V2, cpu: Some(made.clone()), cpu_time: Some(made.clone()), memory: made };
        if footprint.memory.0 > 0 {
            write(&group.memory, "memory.max", &footprint.memory.0.to_string())?;
            write(&group.memory, "memory.swap.max", "0").ok();
            write(&group.memory, "memory.oom.group", "1").ok();
        }
        write(&group.memory, "cpu.weight", &weight(shares(footprint)).to_string()).ok();
        Ok(group)
    }

    fn probe(&self) -> io::Result<()> {
        let mut command = self.enter(Path::new("/bin/sh"));
        let output = command.args(["-c", ":"]).stdin(Stdio::null()).output()?;
        let words = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if output.status.success() { Ok(()) } else { Err(io::Error::other(words())) }
    }

    /// Returns a command that runs `program` inside this group.
    pub(super) fn enter(&self, program: &Path) -> Command {
        let mut command = Command::new("/bin/sh");
        let doors = self.folders().into_iter().map(|folder| folder.join("cgroup.procs"));
        command.args(["-c", ENTER, "sbrun"]).args(doors).arg("--").arg(program);
        command
    }

    /// Returns the folders of this group, each once.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let all: BTreeSet<_> = [Some(&self.memory), self.cpu.as_ref(), self.cpu_time.as_ref()].into_iter().flatten().collect();
        all.into_iter().cloned().collect()
    }

    /// Returns the processes in this group and below it.
    pub(super) fn members(&self) -> Vec<Pid> {
        members(&self.memory)
    }

    /// Ends everything in this group; returns when nothing is left, or after two seconds.
    pub(super) fn kill(&self) {
        kill_all(&self.memory);
    }

    /// Removes this group when it is empty.
    pub(super) fn remove(&self) {
        self.folders().iter().for_each(|folder| remove(folder));
    }

    /// Returns what is used at this moment, as far as the kernel says.
    pub(super) fn usage(&self) -> Usage {
        let (keys, events): (&[&str], _) = match self.version {
            Version::V1 => (&["total_rss", "total_shmem"], "memory.oom_control"),
            // What cannot be given back; `unevictable` would count locked pages twice.
            Version::V2 => (&["anon", "shmem", "slab_unreclaimable", "kernel_stack", "pagetables"], "memory.events"),
        };
        let stat = read_table(&self.memory, "memory.stat");
        let cpu_time = self.cpu_time.as_ref().and_then(|folder| match self.version {
            Version::V1 => read_number(folder, "cpuacct.usage").map(Duration::from_nanos),
            Version::V2 => read_table(folder, "cpu.stat").get("usage_usec").copied().map(Duration::from_micros),
        });
        Usage {
            memory: keys.iter().filter_map(|key| stat.get(*key)).sum(),
            cpu_time,
            out_of_memory_kills: read_table(&self.memory, events).get("oom_kill").copied().unwrap_or(0),
        }
    }

    /// Returns the most memory ever charged, page cache included. After an out-of-memory kill it is the limit.
    pub(super) fn charged_peak(&self) -> Option<u64> {
        read_number(&self.memory, if self.version == Version::V1 { "memory.max_usage_in_bytes" } else { "memory.peak" })
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Ends and removes the group `name` that a crashed sbrun left behind; `folder` is what it wrote down.
pub(super) fn remove_stale(folder: &Path, name: &str) {
    if folder.file_name().is_some_and(|file_name| file_name == name) && folder.join("cgroup.procs").is_file() {
        kill_all(folder);
        remove(folder);
    }
}

/// Returns the smallest memory limit of the control groups that this process is in, in bytes.
pub(super) fn own_limit() -> Option<u64> {
    let places = Places::of_this_process()?;
    let file = if places.version == Version::V1 { "memory.limit_in_bytes" } else { "memory.max" };
    let upward = places.memory.ancestors().take_while(|folder| folder.starts_with(&places.mount));
    upward.filter_map(|folder| read_number(folder, file)).min()
}

fn make(parent: &Path, name: &str) -> io::Result<PathBuf> {
    let folder = parent.join(name);
    match fs::create_dir(&folder) {
        // Two controllers that are mounted together.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(folder),
        result => result.map(|()| folder),
    }
}

fn make_v2(parent: &Path, name: &str) -> io::Result<PathBuf> {
    let enabled = |file: &str| fs::read_to_string(parent.join(file)).is_ok_and(|text| text.split_whitespace().any(|word| word == "memory"));
    if !enabled("cgroup.controllers") {
        return Err(io::Error::other(format!("`{}` does not control memory", parent.display())));
    }
    if !enabled("cgroup.subtree_control") {
        write(parent, "cgroup.subtree_control", "+memory")?;
    }
    write(parent, "cgroup.subtree_control", "+cpu").ok();
    make(parent, name)
}

/// Returns the CPU share of a request, as the kubelet computes it.
fn shares(footprint: &Footprint) -> u64 {
    (footprint.cpu.0.saturating_mul(SHARES_PER_CPU) / 1000).clamp(2, 262_144)
}

/// Returns the weight of version 2 for shares of version 1: 2..=262144 onto 1..=10000, as the kubelet computes it.
fn weight(shares: u64) -> u64 {
    1 + (shares - 2) * 9999 / 262_142
}

fn write(folder: &Path, file: &str, value: &str) -> io::Result<()> {
    fs::write(folder.join(file), value).map_err(|error| io::Error::new(error.kind(), format!("`{file}`: {error}")))
}

fn read_number(folder: &Path, file: &str) -> Option<u64> {
    fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()
}

fn read_table(folder: &Path, file: &str) -> BTreeMap<String, u64> {
    let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
    text.lines().filter_map(|line| line.split_once(' ')).filter_map(|(key, value)| Some((key.to_owned(), value.parse().ok()?))).collect()
}

/// Returns a group's folder after the folders of all groups that the flow made in it.
fn with_children(folder: &Path) -> Vec<PathBuf> {
    let children = fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut all: Vec<_> = children.flat_map(|child| with_children(&child.path())).collect();
    all.push(folder.to_owned());
    all
}

fn members(folder: &Path) -> Vec<Pid> {
    let texts = with_children(folder).into_iter().filter_map(|folder| fs::read_to_string(folder.join("cgroup.procs")).ok());
    let mut processes: Vec<_> = texts.flat_map(|text| text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<_>>()).collect();
    // 0 stands for a process of another process namespace; as a target of kill it would be ourselves.
    processes.retain(|process| *process > 0);
    processes.into_iter().map(Pid::from_raw).collect()
}

fn kill_all(folder: &Path) {
    let start = Instant::now();
    // One write ends everything, new children included, since Linux 5.14.
    let at_once = write(folder, "cgroup.kill", "1").is_ok();
    loop {
        let processes = members(folder);
        if processes.is_empty() || start.elapsed() > EMPTY_LIMIT {
            return;
        }
        if !at_once {
            // Who is gone by now needs no signal.
            for process in processes {
                kill(process, Signal::SIGKILL).ok();
            }
        }
        thread::sleep(EMPTY_PAUSE);
    }
}

fn remove(folder: &Path) {
    // What cannot be removed is empty and without effect.
    for folder in with_children(folder) {
        fs::remove_dir(folder).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::quantity::{Cpu, Memory};

    #[test]
    fn shares_are_those_of_the_kubelet() {
        for (millicores, expected) in [(0, (2, 1)), (250, (256, 10)), (1000, (1024, 39)), (64_000, (65_536, 2500))] {
            let shares = shares(&Footprint { cpu: Cpu(millicores), ..Footprint::default() });
            assert_eq!((shares, weight(shares)), expected, "{millicores}");
        }
    }

    /// Files in the shape of version 2, for machines that only have version 1: what is read and written where, not what the
    /// kernel makes of it.
    #[test]
    fn version_2_takes_the_nearest_group_that_can_be_limited() {
        let mount = tempfile::tempdir().unwrap();
        let (slice, own) = (mount.path().join("slice"), mount.path().join("slice/own.scope"));
        fs::create_dir_all(&own).unwrap();
        for (folder, controllers, enabled) in [(mount.path(), "cpu memory", "cpu memory"), (&slice, "cpu memory", "memory"), (&own, "memory", "")] {
            fs::write(folder.join("cgroup.controllers"), controllers).unwrap();
            fs::write(folder.join("cgroup.subtree_control"), enabled).unwrap();
        }
        // The kernel refuses it to a group with processes.
        fs::remove_file(own.join("cgroup.subtree_control")).unwrap();
        fs::create_dir(own.join("cgroup.subtree_control")).unwrap();
        let places = Places { version: Version::V2, mount: mount.path().into(), memory: own.clone(), cpu: None, cpu_time: None };
        let footprint = Footprint { cpu: Cpu(1000), memory: Memory::from_mib(64), ..Footprint::default() };
        let group = Cgroup::create_v2(&places, "run", &footprint).unwrap();
        assert_eq!(group.folders(), [slice.join("run")]);
        let written = ["memory.max", "memory.swap.max", "memory.oom.group", "cpu.weight"].map(|file| read_number(&group.memory, file));
        assert_eq!(written, [Some(64 << 20), Some(0), Some(1), Some(39)]);
        fs::write(slice.join("run/memory.stat"), "anon 100\nfile 7000\nshmem 20\nkernel_stack 3\nunevictable 50\n").unwrap();
        fs::write(slice.join("run/memory.events"), "low 0\noom 4\noom_kill 2\noom_group_kill 1\n").unwrap();
        fs::write(slice.join("run/cpu.stat"), "usage_usec 1500\nuser_usec 1000\n").unwrap();
        assert_eq!(group.usage(), Usage { memory: 123, cpu_time: Some(Duration::from_micros(1500)), out_of_memory_kills: 2 });
    }

    #[test]
    fn a_crashed_runs_group_is_ended_and_removed() {
        let Ok(group) = Cgroup::create("test-crashed", &Footprint::default()) else { return };
        let mut child = group.enter(Path::new("/bin/sleep")).arg("60").spawn().unwrap();
        let start = Instant::now();
        while group.members().is_empty() && start.elapsed() < Duration::from_secs(5) {
            thread::sleep(EMPTY_PAUSE);
        }
        remove_stale(&group.memory, "another");
        assert_eq!(group.members().len(), 1);
        group.folders().iter().for_each(|folder| remove_stale(folder, "test-crashed"));
        assert_eq!(crate::local::tree::exit_code(child.wait().unwrap()), 137);
        assert!(!group.folders().iter().any(|folder| folder.exists()));
    }

    #[test]
    fn a_group_limits_counts_and_vanishes() {
        let footprint = Footprint { cpu: Cpu(1500), memory: Memory::from_mib(64), ..Footprint::default() };
        // Not root, and nothing delegated: what a run falls back to is tested in `run`.
        let Ok(group) = Cgroup::create("test-vanishes", &footprint) else { return };
        let mut child = group.enter(Path::new("/bin/sh")).args(["-c", "sleep 60 & sleep 60"]).spawn().unwrap();
        let start = Instant::now();
        while group.members().len() < 3 && start.elapsed() < Duration::from_secs(5) {
            thread::sleep(EMPTY_PAUSE);
        }
        assert_eq!(group.members().len(), 3);
        let limit = if group.version == Version::V1 { "memory.limit_in_bytes" } else { "memory.max" };
        assert_eq!(read_number(&group.memory, limit), Some(64 << 20));
        group.kill();
        child.wait().unwrap();
        let usage = group.usage();
        assert!(usage.cpu_time.is_none_or(|time| time > Duration::ZERO), "{usage:?}");
        let folders = group.folders();
        assert!(folders.iter().all(|folder| folder.is_dir()));
        drop(group);
        assert!(!folders.iter().any(|folder| folder.exists()), "{folders:?}");
    }
}
