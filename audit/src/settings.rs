//! The bounds of a store.

use std::time::Duration;

/// The bounds of a store.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The size from which on a segment gets no more records: 64 MiB. A segment can exceed it by one group of records.
    pub segment_bytes: u64,
    /// The bound on all segments together when a new segment begins: 4 GiB. The store removes the oldest ones, and records
    /// that it did. With the new segment, the store can exceed the bound by the size of a segment.
    pub max_bytes: u64,
    /// The age from which on the store removes a segment: 365 days after its last record. Segments are removed when a
    /// new one begins and when the store opens. A new segment begins after a sixteenth of this time at the latest.
    pub max_age: Duration,
    /// The bound on reads that have begun, but have no durable record of their end: 4,096. Further reads are refused.
    /// At 16,384 reads the list of open reads would exceed the bound of a line, so that higher numbers have no effect.
    pub max_open_reads: usize,
    /// The bound on the bytes of records that wait for the disk: 16 MiB. Further reads are refused.
    pub queue_bytes: usize,
    /// The longest time for which a record without a waiting caller stays in memory: 200 ms.
    pub write_delay: Duration,
    /// The time between two attempts to write after a write failed: one second.
    pub retry: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            max_bytes: 4 << 30,
            max_age: Duration::from_secs(365 * 24 * 60 * 60),
            max_open_reads: 4096,
            queue_bytes: 16 << 20,
            write_delay: Duration::from_millis(200),
            retry: Duration::from_secs(1),
        }
    }
}

impl Settings {
    /// The longest time for which one segment gets records.
    pub(crate) fn segment_age(&self) -> Duration {
        self.max_age / 16
    }

    /// The bound on open reads, so that a list of them fits in a line.
    pub(crate) fn open_reads(&self) -> usize {
        self.max_open_reads.min(16_384)
    }
}
