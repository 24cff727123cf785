//! A read that has begun, and the record of its end.

use std::sync::Arc;
use std::time::Instant;

use crate::bounds;
use crate::chain::{Draft, Effect};
use crate::entry::{End, Entry, Outcome};
use crate::queue::Queue;

/// A read whose `began` record is durable. Dropping it records its end, with the outcome [`Outcome::Dropped`].
#[must_use = "dropping an open read records its end"]
pub struct OpenRead {
    queue: Arc<Queue>,
    began: Instant,
    end: End,
}

impl OpenRead {
    pub(crate) fn new(queue: Arc<Queue>, sequence: u64) -> Self {
        let end = End { read: sequence, outcome: Outcome::Dropped, ..End::default() };
        Self { queue, began: Instant::now(), end }
    }

    /// Returns the sequence number of the `began` record.
    pub fn sequence(&self) -> u64 {
        self.end.read
    }

    /// Counts rows and bytes that leave this node.
    pub fn sent(&mut self, rows: u64, bytes: u64) {
        self.end.rows = self.end.rows.saturating_add(rows);
        self.end.bytes = self.end.bytes.saturating_add(bytes);
    }

    /// Records the end of the read. It does not wait for the disk.
    pub fn end(mut self, mut outcome: Outcome) {
        if let Outcome::Failed { error } = &mut outcome {
            bounds::cut(error, bounds::MAX_NAME);
        }
        self.end.outcome = outcome;
    }
}

impl Drop for OpenRead {
    fn drop(&mut self) {
        self.end.duration_us = self.began.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
        let read = self.end.read;
        match Draft::event(&Entry::Ended(std::mem::take(&mut self.end))) {
            Ok(draft) => self.queue.end(Draft { effect: Effect::Ends(read), ..draft }),
            Err(error) => tracing::error!(%error, "an audit record of a read's end cannot be encoded"),
        }
    }
}
