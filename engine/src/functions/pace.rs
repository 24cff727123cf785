//! The number of rows that a call should get at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::cost::Cost;

/// The size of a result that one call should not exceed, in bytes.
const BYTES_AT_ONCE: u64 = 8 << 20;
/// The time that one call should not exceed, in units of about a nanosecond.
pub(super) const WORK_AT_ONCE: u64 = 50_000_000;

/// The number of cheaper rows after which the pace rises.
const CHEAPER_ROWS: usize = 1 << 16;

/// The number of rows that a call should get at once, by the most expensive row of the last calls.
///
/// The partitions of an operator share one pace. Cheap rows of one of them must not let another one read many expensive rows.
#[derive(Debug)]
pub(super) struct Pace {
    rows: AtomicUsize,
    /// The number of cheaper rows since the pace was set.
    cheaper: AtomicUsize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { rows: AtomicUsize::new(usize::MAX), cheaper: AtomicUsize::new(0) }
    }
}

impl Pace {
    /// Sets the pace by the most expensive row of a call for so many rows.
    pub(super) fn set(&self, row: &Cost, called: usize) {
        let rows = (BYTES_AT_ONCE / row.bytes.max(1)).min(WORK_AT_ONCE / row.time_in_all().max(1)).max(1);
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        let is_cheaper = rows > self.rows();
        if is_cheaper && self.cheaper.fetch_add(called, Ordering::Relaxed).saturating_add(called) < CHEAPER_ROWS {
            return;
        }
        self.cheaper.store(0, Ordering::Relaxed);
        self.rows.store(rows, Ordering::Relaxed);
    }

    /// Returns the number of rows.
    pub(super) fn rows(&self) -> usize {
        self.rows.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cheap_rows_of_one_partition_do_not_speed_up_another() {
        let pace = Pace::default();
        assert_eq!(pace.rows(), usize::MAX);
        pace.set(&Cost::string(100_000), 16);
        let slow = pace.rows();
        assert!(slow < 100, "{slow}");
        pace.set(&Cost::string(10), CHEAPER_ROWS - 1);
        assert_eq!(pace.rows(), slow);
        pace.set(&Cost::string(10), 1);
        assert!(pace.rows() > 16 * slow, "{}", pace.rows());
        // An expensive row slows it down at once.
        pace.set(&Cost::string(100_000), 1);
        assert_eq!(pace.rows(), slow);
    }
}
