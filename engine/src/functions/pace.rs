//! The number of rows that a call should get at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::cost::Cost;

/// The size of a result that one call should not exceed, in bytes.
const BYTES_AT_ONCE: u64 = 8 << 20;
/// The time that one call should not exceed, in units of about a nanosecond.
pub(super) const WORK_AT_ONCE: u64 = 50_000_000;

/// The number of rows that a call should get at once, by the most expensive row of the last call.
#[derive(Debug)]
pub(super) struct Pace(AtomicUsize);

impl Default for Pace {
    fn default() -> Self {
        Self(AtomicUsize::new(usize::MAX))
    }
}

impl Pace {
    /// Sets the pace by the most expensive row of a call.
    pub(super) fn set(&self, row: &Cost) {
        let rows = (BYTES_AT_ONCE / row.bytes.max(1)).min(WORK_AT_ONCE / row.time_in_all().max(1)).max(1);
        self.0.store(usize::try_from(rows).unwrap_or(usize::MAX), Ordering::Relaxed);
    }

    /// Returns the number of rows.
    pub(super) fn rows(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}
