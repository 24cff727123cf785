//! The resources that this process uses, as far as the system reports them in `/proc`.

use std::path::Path;

/// The resources that this process uses. `None`: the system does not report the number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProcessMetrics {
    /// The resident memory, in bytes.
    pub(crate) resident: Option<u64>,
    pub(crate) threads: Option<u64>,
    /// The number of open file handles, sockets included.
    pub(crate) open_files: Option<u64>,
}

impl ProcessMetrics {
    /// Reads the present numbers.
    pub(crate) fn read() -> Self {
        let folder = Path::new("/proc/self");
        let status = std::fs::read_to_string(folder.join("status")).unwrap_or_default();
        let files = std::fs::read_dir(folder.join("fd")).ok();
        Self {
            resident: number(&status, "VmRSS:").and_then(|kib| kib.checked_mul(1024)),
            threads: number(&status, "Threads:"),
            // One of the handles reads the folder.
            open_files: files.map(|files| (files.count() as u64).saturating_sub(1)),
        }
    }
}

/// Returns the number in the line of `/proc/self/status` with this name.
fn number(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_names() {
        let status = "Name:\tportolan\nVmRSS:\t   20480 kB\nThreads:\t7\n";
        assert_eq!((number(status, "VmRSS:"), number(status, "Threads:")), (Some(20_480), Some(7)));
        assert_eq!((number(status, "VmSwap:"), number("VmRSS:\n", "VmRSS:")), (None, None));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_uses_memory_threads_and_files() {
        let ProcessMetrics { resident, threads, open_files } = ProcessMetrics::read();
        assert!(resident.is_some_and(|bytes| bytes > 1 << 20), "{resident:?}");
        assert!(threads.is_some_and(|threads| threads > 0) && open_files.is_some_and(|files| files >= 3));
    }
}
