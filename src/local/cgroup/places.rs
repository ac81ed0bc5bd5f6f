//! Where the control groups of this process are mounted.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::Version;

/// The folders of the groups that this process is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) version: Version,
    /// Top of the hierarchy that controls memory, as far as it is visible here.
    pub(super) mount: PathBuf,
    /// Own group of the hierarchy that controls memory.
    pub(super) memory: PathBuf,
    /// Own group of the hierarchy that shares out CPU.
    pub(super) cpu: Option<PathBuf>,
    /// Own group of the hierarchy that counts CPU time.
    pub(super) cpu_time: Option<PathBuf>,
}

impl Places {
    /// Returns the places of this process; none where nothing controls memory, such as outside Linux.
    pub(super) fn of_this_process() -> Option<Self> {
        let read = |file: &str| fs::read_to_string(Path::new("/proc/self").join(file)).ok();
        Self::parse(&read("mountinfo")?, &read("cgroup")?)
    }

    /// Reads `/proc/self/mountinfo` and `/proc/self/cgroup`.
    fn parse(mounts: &str, groups: &str) -> Option<Self> {
        let place = |controller: Option<&str>| {
            let (root, mount) = mounts.lines().find_map(|line| mounted(line, controller))?;
            let own = groups.lines().find_map(|line| member(line, controller))?;
            // In a container the path counts from the host's top, and the mount shows a part of it.
            let below = Path::new(own).strip_prefix(root).ok()?;
            let inside = !below.components().any(|component| component.as_os_str() == "..");
            inside.then(|| (PathBuf::from(mount), Path::new(mount).join(below).components().collect::<PathBuf>()))
        };
        if let Some((mount, memory)) = place(Some("memory")) {
            let own = |controller| place(Some(controller)).map(|(_, folder)| folder);
            return Some(Self { version: Version::V1, mount, memory, cpu: own("cpu"), cpu_time: own("cpuacct") });
        }
        let (mount, memory) = place(None)?;
        Some(Self { version: Version::V2, cpu: Some(memory.clone()), cpu_time: Some(memory.clone()), mount, memory })
    }
}

/// Returns root and mount point of a line of `mountinfo` that mounts this controller, or version 2 for none.
fn mounted<'a>(line: &'a str, controller: Option<&str>) -> Option<(&'a str, &'a str)> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut fields = filesystem.split(' ');
    let (kind, options) = (fields.next()?, fields.nth(1)?);
    let fits = match controller {
        Some(controller) => kind == "cgroup" && options.split(',').any(|option| option == controller),
        None => kind == "cgroup2",
    };
    let mut fields = mount.split(' ').skip(3);
    fits.then_some((fields.next()?, fields.next()?))
}

/// Returns the path of a line of `/proc/self/cgroup` about this controller, or version 2 for none.
fn member<'a>(line: &'a str, controller: Option<&str>) -> Option<&'a str> {
    let mut fields = line.splitn(3, ':');
    let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let fits = match controller {
        Some(controller) => controllers.split(',').any(|name| name == controller),
        None => number == "0" && controllers.is_empty(),
    };
    fits.then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(mount: &str, own: &str) -> Places {
        Places { version: Version::V2, mount: mount.into(), memory: own.into(), cpu: Some(own.into()), cpu_time: Some(own.into()) }
    }

    #[test]
    fn the_own_group_is_found_on_host_and_in_container() {
        let v1 = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                  36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
                  41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let v1_place = |memory: &str, cpu: &str| {
            let cpu = Some(PathBuf::from(cpu));
            Places { version: Version::V1, mount: "/sys/fs/cgroup/memory".into(), memory: memory.into(), cpu_time: cpu.clone(), cpu }
        };
        let v1_container = v1.replace(" / ", " /docker/a ");
        let v2_host = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        let cases = [
            (v1, "4:memory:/user/x\n2:cpu,cpuacct:/\n0::/\n", Some(v1_place("/sys/fs/cgroup/memory/user/x", "/sys/fs/cgroup/cpu,cpuacct"))),
            (
                &v1_container,
                "4:memory:/docker/a\n2:cpu,cpuacct:/docker/a/b\n",
                Some(v1_place("/sys/fs/cgroup/memory", "/sys/fs/cgroup/cpu,cpuacct/b")),
            ),
            (v2_host, "0::/user.slice/session-1.scope\n", Some(v2("/sys/fs/cgroup", "/sys/fs/cgroup/user.slice/session-1.scope"))),
            (v2_host, "0::/\n", Some(v2("/sys/fs/cgroup", "/sys/fs/cgroup"))),
            (v2_host, "0::/../other\n", None),
            ("22 1 8:1 / / rw - ext4 /dev/sda rw\n", "", None),
        ];
        for (mounts, groups, expected) in cases {
            assert_eq!(Places::parse(mounts, groups), expected, "{groups}");
        }
    }
}
