//! The pressure on the memory of the host: the memory that the process holds, compared with what the host allows it.
//!
//! Budgets and pools count what operators reserve. They do not count copies of wide values, the state of some
//! aggregates, decoded pages, messages, plans, and what the allocator keeps. The kernel counts all of it, and ends a
//! process that goes beyond its limit. So the engine also compares the process with that limit, and acts before the
//! kernel does:
//!
//! - If the pressure is high, one query runs at a time ([`super::admission`]), and each one may reserve only a part of
//!   its memory ([`super::memory`]). Operators that can spill do so.
//! - If the pressure is critical, the guard ends the largest query (`state/memory_guard.rs`).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::Usage;

/// From this part of the limit on, the pressure is high. With the defaults of a node, queries and session tables can
/// reserve five eighths of the limit, so the process holds memory that nothing counts.
const HIGH: (u64, u64) = (3, 4);
/// From this part on, the pressure is critical. The rest of the limit has to be enough until a query that is ended has
/// returned its memory.
const CRITICAL: (u64, u64) = (7, 8);

/// The memory of the process and its limit, which the parts of an engine share.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    /// The memory that the host allows the process to hold, in bytes. Without it, there is never pressure.
    limit: Option<u64>,
    /// The memory that the process held last, in bytes; 0 if it is not known.
    resident: AtomicU64,
    is_high: AtomicBool,
}

/// The amount of pressure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Low,
    High,
    Critical,
}

impl Pressure {
    /// Returns the pressure on a limit, which is low until the first reading.
    pub(crate) fn new(limit: Option<u64>) -> Arc<Self> {
        Arc::new(Self { limit, ..Self::default() })
    }

    /// True if there is a limit.
    pub(crate) fn has_limit(&self) -> bool {
        self.limit.is_some()
    }

    /// Compares the memory that the process holds now with the limit.
    pub(crate) fn observe(&self, resident: u64) -> Level {
        let limit = self.limit.unwrap_or(u64::MAX);
        let level = if resident >= part(limit, CRITICAL) {
            Level::Critical
        } else if resident >= part(limit, HIGH) {
            Level::High
        } else {
            Level::Low
        };
        self.is_high.store(level != Level::Low, Ordering::Relaxed);
        self.resident.store(resident, Ordering::Relaxed);
        level
    }

    /// True if the pressure is high or critical.
    pub(crate) fn is_high(&self) -> bool {
        self.is_high.load(Ordering::Relaxed)
    }

    /// Returns the memory that the process held last, and the limit. `None` if one of them is not known.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let held = self.resident.load(Ordering::Relaxed);
        Some(Usage { held, limit: self.limit? }).filter(|_| held > 0)
    }
}

fn part(limit: u64, (parts, of): (u64, u64)) -> u64 {
    limit / of * parts
}

impl fmt::Display for Pressure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (held, limit) = (self.resident.load(Ordering::Relaxed), self.limit.unwrap_or(u64::MAX));
        write!(f, "the process holds {held} of the {limit} bytes of memory that its host allows (limits.host_memory)")
    }
}

/// A reader of the memory that the process holds.
pub(crate) trait ResidentMemory: fmt::Debug + Send + Sync {
    /// Returns the memory in bytes, if the system reports it.
    fn bytes(&self) -> Option<u64>;
}

/// The memory that the system reports for this process, without pages of files. The kernel drops pages of files when it
/// needs memory, and ends a process only for the rest. Swapped memory is not part of it either. The size of the address
/// space would be no measure: most of the stack of each thread is never used.
///
/// The number is that of the process, not of its control group, which also has the page cache and other processes.
/// Systems other than Linux report none.
#[derive(Debug)]
pub(crate) struct ProcessMemory;

impl ResidentMemory for ProcessMemory {
    fn bytes(&self) -> Option<u64> {
        anonymous(&std::fs::read_to_string("/proc/self/status").ok()?)
    }
}

/// Returns the resident memory without pages of files, in the content of `/proc/self/status`.
fn anonymous(status: &str) -> Option<u64> {
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    // Old kernels and some sandboxes report only the whole.
    kib("RssAnon:").or_else(|| kib("VmRSS:"))?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_levels_are_parts_of_the_limit() {
        let pressure = Pressure::new(Some(800));
        assert!(!pressure.is_high() && pressure.usage().is_none());
        let levels = [599, 600, 699, 700, 5000, 10].map(|resident| (pressure.observe(resident), pressure.is_high()));
        let (low, high, critical) = ((Level::Low, false), (Level::High, true), (Level::Critical, true));
        assert_eq!(levels, [low, high, high, critical, critical, low]);
        assert_eq!(pressure.usage(), Some(Usage { held: 10, limit: 800 }));
        assert!(pressure.to_string().contains("10 of the 800 bytes"), "{pressure}");
    }

    #[test]
    fn without_a_limit_there_is_no_pressure() {
        let pressure = Pressure::new(None);
        assert_eq!((pressure.observe(1 << 60), pressure.is_high(), pressure.usage()), (Level::Low, false, None));
    }

    #[test]
    fn pages_of_files_do_not_count() {
        let status = "VmRSS:\t  20480 kB\nRssAnon:\t    1024 kB\nRssFile:\t   19456 kB\n";
        assert_eq!(anonymous(status), Some(1 << 20));
        assert_eq!(anonymous("VmRSS:\t  20480 kB\n"), Some(20 << 20));
        assert_eq!((anonymous(""), anonymous("RssAnon:\n")), (None, None));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_holds_memory() {
        assert!(ProcessMemory.bytes().is_some_and(|bytes| bytes > 100 << 10));
    }
}
