//! The processes of this machine: from `/proc`, else from `ps`.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use nix::unistd::Pid;

use crate::local::flow_environment::MARK;

/// A process number and its start time, which together mean one process for ever. Without a start time a number may be
/// reused.
pub(super) type Identity = (i32, String);

/// A living process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: Pid,
    pub(super) identity: Identity,
    parent: Pid,
    group: Pid,
    /// Bytes of memory, where `ps` said so; read when needed from `/proc`.
    resident: Option<u64>,
}

/// Returns every living process; zombies are not alive.
pub(super) fn all() -> Vec<Process> {
    from_proc().unwrap_or_else(from_ps)
}

fn process_folders() -> Option<impl Iterator<Item = (i32, PathBuf)>> {
    let entries = fs::read_dir("/proc").ok()?.flatten();
    Some(entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path()))))
}

fn from_proc() -> Option<Vec<Process>> {
    // Without a mounted /proc there is not even ourselves.
    fs::metadata("/proc/self/stat").ok()?;
    Some(process_folders()?.filter_map(|(pid, folder)| parse_stat(pid, &fs::read_to_string(folder.join("stat")).ok()?)).collect())
}

/// Reads `/proc/<pid>/stat`. The name in parentheses may have spaces and parentheses itself.
fn parse_stat(pid: i32, stat: &str) -> Option<Process> {
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse().ok().map(Pid::from_raw);
    let alive = !matches!(*fields.first()?, "Z" | "X");
    let identity = (pid, (*fields.get(19)?).to_owned());
    alive.then_some(Process { pid: Pid::from_raw(pid), identity, parent: number(1)?, group: number(2)?, resident: None })
}

fn from_ps() -> Vec<Process> {
    let mut command = Command::new("/bin/ps");
    // The C locale fixes the form of the start time.
    command.args(["-A", "-o", "pid=,ppid=,pgid=,rss=,stat=,lstart="]).env("LC_ALL", "C").stdin(Stdio::null()).stderr(Stdio::null());
    let text = command.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().filter_map(parse_ps).collect()
}

fn parse_ps(line: &str) -> Option<Process> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let [pid, parent, group, kibibytes, state, start @ ..] = fields.as_slice() else { return None };
    let number = |text: &str| text.parse().ok();
    let pid = number(pid)?;
    let resident = Some(kibibytes.parse::<u64>().ok()? * 1024);
    let process = Process {
        pid: Pid::from_raw(pid),
        identity: (pid, start.join(" ")),
        parent: Pid::from_raw(number(parent)?),
        group: Pid::from_raw(number(group)?),
        resident,
    };
    (!state.starts_with('Z')).then_some(process)
}

/// Returns the processes of one tree: the leader, its group, everyone recognised before, and all their descendants.
pub(super) fn tree(all: Vec<Process>, leader: Option<Pid>, known: &BTreeSet<Identity>) -> Vec<Process> {
    let belongs =
        |process: &Process| leader.is_some_and(|leader| process.pid == leader || process.group == leader) || known.contains(&process.identity);
    let (mut tree, mut others): (Vec<_>, Vec<_>) = all.into_iter().partition(belongs);
    let mut parents: BTreeSet<_> = tree.iter().map(|process| process.pid).chain(leader).collect();
    loop {
        let (children, rest): (Vec<_>, Vec<_>) = others.into_iter().partition(|process| parents.contains(&process.parent));
        if children.is_empty() {
            return tree;
        }
        parents.extend(children.iter().map(|process| process.pid));
        tree.extend(children);
        others = rest;
    }
}

/// Returns the processes whose environment has the mark of this run, which survives orphaning and new sessions. Linux only.
pub(super) fn carriers(mark: &str) -> Vec<Pid> {
    let mark = format!("{MARK}={mark}");
    let carries = |folder: &PathBuf| {
        fs::read(folder.join("environ")).is_ok_and(|variables| variables.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()))
    };
    process_folders().into_iter().flatten().filter(|(_, folder)| carries(folder)).map(|(pid, _)| Pid::from_raw(pid)).collect()
}

/// Returns the bytes of anonymous and shared memory of these processes.
///
/// Adding up counts pages that a fork shares once for each process. That can only be too much, so the exact count, which
/// takes the kernel some milliseconds for each GiB, is asked for when the sum is above `noted` and there are several.
pub(super) fn memory(processes: &[Process], noted: u64) -> u64 {
    let rough = processes
        .iter()
        .map(|process| process.resident.unwrap_or_else(|| read_sizes(process.pid, "status", ["RssAnon:", "RssShmem:"]).unwrap_or(0)))
        .sum();
    if rough <= noted || processes.len() < 2 {
        return rough;
    }
    let exact: Option<u64> = processes.iter().map(|process| read_sizes(process.pid, "smaps_rollup", ["Pss_Anon:", "Pss_Shmem:"])).sum();
    exact.unwrap_or(rough)
}

/// Returns the sum of two lines of a file in `/proc/<pid>`, in bytes; 0 for a process that is gone, none where the file
/// does not tell.
fn read_sizes(pid: Pid, file: &str, keys: [&str; 2]) -> Option<u64> {
    match fs::read_to_string(format!("/proc/{pid}/{file}")) {
        Ok(text) => parse_sizes(&text, keys),
        // No such process.
        Err(error) if error.raw_os_error() == Some(nix::errno::Errno::ESRCH as i32) || error.kind() == std::io::ErrorKind::NotFound => Some(0),
        Err(_) => None,
    }
}

fn parse_sizes(text: &str, keys: [&str; 2]) -> Option<u64> {
    let size = |key: &str| text.lines().find_map(|line| line.strip_prefix(key))?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok();
    keys.into_iter().map(size).sum::<Option<u64>>().map(|kibibytes| kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_process(pid: i32, parent: i32, group: i32) -> Process {
        Process {
            pid: Pid::from_raw(pid),
            identity: (pid, "1".into()),
            parent: Pid::from_raw(parent),
            group: Pid::from_raw(group),
            resident: Some(10),
        }
    }

    #[test]
    fn a_tree_has_descendants_group_and_orphans_seen_before() {
        let all = vec![
            mk_process(1, 0, 1),
            mk_process(12, 11, 12),
            mk_process(10, 1, 10),
            mk_process(11, 10, 10),
            mk_process(13, 1, 10),
            mk_process(14, 1, 14),
            mk_process(15, 14, 15),
            mk_process(16, 1, 16),
        ];
        let known = BTreeSet::from([(14, "1".to_owned()), (16, "0".to_owned())]);
        let pids = |leader: Option<i32>, known| {
            let mut pids: Vec<_> = tree(all.clone(), leader.map(Pid::from_raw), known).iter().map(|process| process.pid.as_raw()).collect();
            pids.sort_unstable();
            pids
        };
        assert_eq!(pids(Some(10), &known), [10, 11, 12, 13, 14, 15]);
        assert_eq!(pids(None, &known), [14, 15]);
        assert_eq!(pids(None, &BTreeSet::new()), [] as [i32; 0]);
    }

    #[test]
    fn stat_and_ps_are_read() {
        let stat = "12 (a) b (c) S 10 11 9 0 -1 4194304 1 0 0 0 1 2 3 4 20 0 1 0 777 1 1";
        let expected =
            Process { pid: Pid::from_raw(12), identity: (12, "777".into()), parent: Pid::from_raw(10), group: Pid::from_raw(11), resident: None };
        assert_eq!(parse_stat(12, stat), Some(expected.clone()));
        assert_eq!(parse_stat(12, &stat.replace(" S ", " Z ")), None);
        let line = "   12    10    11  3 Ss   Wed Nov  4 10:00:00 2026";
        let expected = Process { identity: (12, "Wed Nov 4 10:00:00 2026".into()), resident: Some(3072), ..expected };
        assert_eq!(parse_ps(line), Some(expected));
        assert_eq!(parse_ps(&line.replace("Ss", "Z+")), None);
        let own = i32::try_from(std::process::id()).unwrap();
        for processes in [all(), from_ps()] {
            assert!(processes.iter().any(|process| process.identity.0 == own), "{processes:?}");
        }
    }

    #[test]
    fn shared_pages_of_forks_are_counted_once() {
        let text = "RssAnon:\t    100 kB\nRssFile:\t   7 kB\nRssShmem:\t     20 kB\n";
        assert_eq!(parse_sizes(text, ["RssAnon:", "RssShmem:"]), Some(120 * 1024));
        assert_eq!(parse_sizes("Pss: 1 kB\n", ["Pss_Anon:", "Pss_Shmem:"]), None);
        assert_eq!(memory(&[mk_process(1, 0, 1)], 0), 10);
    }
}
