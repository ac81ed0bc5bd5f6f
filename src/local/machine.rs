//! What this machine has.

use std::{fs, process::Command, thread};

use crate::{
    error::{Error, Result},
    local::cgroup,
    model::{
        footprint::Allocatable,
        quantity::{Cpu, Memory},
    },
};

/// Returns the CPUs, memory and GPUs of this machine, or of the container that sbrun runs in.
///
/// # Errors
/// When the operating system does not say how much memory there is.
pub fn machine() -> Result<Allocatable> {
    let memory = total_memory()
        .ok_or_else(|| Error::failed("this machine does not say how much memory it has").hinted("give the limit yourself, such as `--memory 4Gi`"))?;
    let memory = cgroup::own_limit().map_or(memory, |limit| limit.min(memory));
    // Honours the affinity mask and the CPU quota of control groups.
    let cpus = thread::available_parallelism().map_or(1, |cpus| u64::try_from(cpus.get()).unwrap_or(1));
    let gpu = fs::read_dir("/proc/driver/nvidia/gpus").map_or(0, |gpus| u32::try_from(gpus.count()).unwrap_or(0));
    Ok(Allocatable { cpu: Cpu(cpus * 1000), memory: Memory(memory), gpu, ephemeral_storage: None })
}

/// Returns the bytes of memory: `/proc/meminfo` on Linux, `sysctl` elsewhere.
fn total_memory() -> Option<u64> {
    match fs::read_to_string("/proc/meminfo") {
        Ok(text) => mem_total(&text),
        Err(_) => String::from_utf8(Command::new("/usr/sbin/sysctl").args(["-n", "hw.memsize"]).output().ok()?.stdout).ok()?.trim().parse().ok(),
    }
}

fn mem_total(meminfo: &str) -> Option<u64> {
    let kibibytes: u64 = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn total_memory_is_read_in_bytes() {
        assert_eq!(mem_total("MemTotal:       24683836 kB\nMemFree: 1 kB\n"), Some(24_683_836 * 1024));
        assert_eq!(mem_total("MemFree: 1 kB\n"), None);
    }

    #[test]
    fn this_machine_has_something() {
        let machine = machine().unwrap();
        assert!(machine.cpu >= Cpu(1000) && machine.memory > Memory::from_mib(64), "{machine:?}");
    }
}
