//! The memory that the host allows the process to use: the limits of control groups, of the process and of the machine.
//! And the number of files that the process may open.

use std::path::Path;

use portolan_engine::Limits;

/// The folders where control groups are mounted, by version.
const CGROUP_V2: &str = "sys/fs/cgroup";
const CGROUP_V1: &str = "sys/fs/cgroup/memory";
/// The files of a control group that limit its memory, by version. Above `memory.high`, the kernel stalls the process.
const FILES_V2: &[&str] = &["memory.max", "memory.high"];
const FILES_V1: &[&str] = &["memory.limit_in_bytes"];
/// A larger limit of a control group means that there is none.
const UNLIMITED: u64 = 1 << 60;

/// A limit of the memory of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryLimit {
    /// The limit, in bytes.
    pub bytes: u64,
    /// The origin of the limit, in words.
    pub origin: String,
}

/// Returns the limits on the memory of this process, the smallest first. There are none where the system has no
/// `/proc`.
pub fn memory_limits() -> Vec<MemoryLimit> {
    memory_limits_below(Path::new("/"))
}

/// Returns the number of files that the process may open, sockets included, if the system reports it.
pub fn most_files() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/limits").ok()?;
    usize::try_from(soft_limit(&text, "Max open files")?).ok()
}

/// Logs the memory that the host allows the process to use, and the limits of queries.
pub(crate) fn log_memory(limits: &Limits, host: &[MemoryLimit]) {
    let found: Vec<_> = host.iter().map(|limit| format!("{} ({})", limit.bytes, limit.origin)).collect();
    let found = if found.is_empty() { "unknown".to_owned() } else { found.join(", ") };
    let Limits { memory, query_memory, host_memory, .. } = *limits;
    tracing::info!(memory, query_memory, host = found, "memory limits in bytes");
    if let Some(host) = host_memory.filter(|host| memory as u64 > host / 4 * 3) {
        tracing::warn!(
            "limits.memory is {memory} bytes, but from {} bytes on, queries run one at a time: that is three quarters \
             of the memory of the host (limits.host_memory)",
            host / 4 * 3
        );
    } else if let Some(least) = host.first().filter(|least| memory as u64 > least.bytes) {
        tracing::warn!(
            "limits.memory is {memory} bytes, but the host allows the process {} bytes ({}): the system may end the \
             process before queries spill or are refused",
            least.bytes,
            least.origin
        );
    }
}

/// As [`memory_limits`], with another folder in the place of the root.
fn memory_limits_below(root: &Path) -> Vec<MemoryLimit> {
    let read = |file: &str| std::fs::read_to_string(root.join(file)).ok();
    let groups = read("proc/self/cgroup").map(|text| cgroup_files(&text)).unwrap_or_default();
    let groups = groups.into_iter().filter_map(|file| {
        let bytes = cgroup_limit(&read(&file)?)?;
        Some(MemoryLimit { bytes, origin: format!("control group, /{file}") })
    });
    let other = |file: &str, limit: fn(&str) -> Option<u64>, origin: &str| {
        Some(MemoryLimit { bytes: limit(&read(file)?)?, origin: origin.to_owned() })
    };
    let space = other("proc/self/limits", address_space, "address space of the process");
    let data = other("proc/self/limits", data_size, "data of the process");
    let machine = other("proc/meminfo", total_memory, "memory of the machine");
    let mut limits: Vec<_> = groups.chain(space).chain(data).chain(machine).collect();
    limits.sort_by_key(|limit| limit.bytes);
    limits
}

/// Returns the files with the limits of the process's control groups and of their parents, from the content of
/// `/proc/self/cgroup`. In a container, the path of the group may be that of the host, where only the root exists.
fn cgroup_files(text: &str) -> Vec<String> {
    let mut files = vec![];
    for line in text.lines() {
        // The number of the hierarchy, the controllers, and the path of the group. Version 2 has no controllers here.
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (mount, names) = match controllers {
            "" => (CGROUP_V2, FILES_V2),
            _ if controllers.split(',').any(|name| name == "memory") => (CGROUP_V1, FILES_V1),
            _ => continue,
        };
        let mut folder = mount.to_owned();
        let groups = path.split('/').filter(|group| !matches!(*group, "" | "." | ".."));
        for group in std::iter::once(None).chain(groups.map(Some)) {
            if let Some(group) = group {
                folder = format!("{folder}/{group}");
            }
            files.extend(names.iter().map(|name| format!("{folder}/{name}")));
        }
    }
    files
}

/// Returns the limit in the content of a control group's file, if there is one.
fn cgroup_limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|bytes| (1..UNLIMITED).contains(bytes))
}

/// Returns the soft limit of the address space (`RLIMIT_AS`) in the content of `/proc/self/limits`, if there is one.
fn address_space(text: &str) -> Option<u64> {
    soft_limit(text, "Max address space")
}

/// Returns the soft limit of the data (`RLIMIT_DATA`) in the content of `/proc/self/limits`, if there is one.
fn data_size(text: &str) -> Option<u64> {
    soft_limit(text, "Max data size")
}

/// Returns the soft limit with this name in the content of `/proc/self/limits`, if there is one.
fn soft_limit(text: &str, name: &str) -> Option<u64> {
    let limits = text.lines().find_map(|line| line.strip_prefix(name))?;
    limits.split_whitespace().next()?.parse().ok()
}

/// Returns the memory of the machine in the content of `/proc/meminfo`.
fn total_memory(text: &str) -> Option<u64> {
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const MEMINFO: &str = "MemTotal:       16384000 kB\nMemFree:         1000000 kB\n";
    const NO_LIMITS: &str = "Limit                     Soft Limit           Hard Limit           Units     \n\
                             Max data size             unlimited            unlimited            bytes     \n\
                             Max address space         unlimited            unlimited            bytes     \n";

    /// Returns the limits where the root has these files.
    fn limits(files: &[(&str, &str)]) -> Vec<(u64, String)> {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let file = root.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        memory_limits_below(root.path()).into_iter().map(|limit| (limit.bytes, limit.origin)).collect()
    }

    #[test]
    fn the_machine_is_the_limit_if_nothing_else_is() {
        let machine = (16_384_000 * 1024, "memory of the machine".to_owned());
        let groups = ("proc/self/cgroup", "0::/user.slice\n");
        let root = ("sys/fs/cgroup/user.slice/memory.max", "max\n");
        let files = [groups, root, ("proc/self/limits", NO_LIMITS), ("proc/meminfo", MEMINFO)];
        assert_eq!(limits(&files), [machine]);
        assert!(limits(&[]).is_empty());
    }

    #[test]
    fn the_smallest_limit_of_a_group_and_its_parents_comes_first() {
        let found = limits(&[
            ("proc/self/cgroup", "0::/pods/portolan.service\n"),
            ("proc/meminfo", MEMINFO),
            ("sys/fs/cgroup/pods/memory.max", "2147483648\n"),
            ("sys/fs/cgroup/pods/portolan.service/memory.max", "8589934592\n"),
            ("sys/fs/cgroup/pods/portolan.service/memory.high", "4294967296\n"),
        ]);
        let origins: Vec<_> = found.iter().map(|(bytes, origin)| (*bytes >> 30, origin.as_str())).collect();
        assert_eq!(
            origins,
            [
                (2, "control group, /sys/fs/cgroup/pods/memory.max"),
                (4, "control group, /sys/fs/cgroup/pods/portolan.service/memory.high"),
                (8, "control group, /sys/fs/cgroup/pods/portolan.service/memory.max"),
                (15, "memory of the machine"),
            ]
        );
    }

    #[test]
    fn version_1_has_a_folder_and_a_number_of_its_own() {
        let groups = "12:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n0::/docker/1\n";
        let unlimited = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        let group = ("sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "536870912\n");
        let file = "control group, /sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes";
        assert_eq!(limits(&[("proc/self/cgroup", groups), unlimited, group]), [(512 << 20, file.to_owned())]);
        // In a container, the folder of the group is the root.
        let root = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n");
        let file = "control group, /sys/fs/cgroup/memory/memory.limit_in_bytes";
        assert_eq!(limits(&[("proc/self/cgroup", groups), root]), [(512 << 20, file.to_owned())]);
    }

    #[test]
    fn the_limit_of_the_process_counts() {
        let set = NO_LIMITS.replace("Max address space         unlimited ", "Max address space         4294967296");
        let found = limits(&[("proc/self/limits", &set), ("proc/meminfo", MEMINFO)]);
        assert_eq!(found[0], (4 << 30, "address space of the process".to_owned()));
        let set = set.replace("Max data size             unlimited ", "Max data size             2147483648");
        let found = limits(&[("proc/self/limits", &set), ("proc/meminfo", MEMINFO)]);
        assert_eq!(found[0], (2 << 30, "data of the process".to_owned()));
        let files = "Max open files            1024                 524288               files     \n";
        assert_eq!((soft_limit(files, "Max open files"), soft_limit(NO_LIMITS, "Max open files")), (Some(1024), None));
    }

    #[test]
    fn unreadable_files_set_no_limit() {
        let broken = ["", "\n", "0", "-1", "much", "18446744073709551616"];
        assert!(broken.iter().all(|text| cgroup_limit(text).is_none()));
        assert_eq!(address_space("Max address space"), None);
        assert_eq!(total_memory("MemTotal:       99999999999999999999 kB\n"), None);
        assert!(cgroup_files("nonsense\n1:\n2:cpu:/a\n").is_empty());
        assert_eq!(cgroup_files("0::/../..\n"), ["sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.high"]);
    }
}
