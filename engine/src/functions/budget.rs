//! What the calls of one run may spend.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use datafusion::common::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use tokio_util::sync::CancellationToken;

use crate::execution::errors::{cancelled, into_datafusion, timed_out};

/// The memory, the deadline and the stop signal of one run of a query.
pub(crate) struct CallBudget {
    memory: Arc<dyn MemoryPool>,
    deadline: Instant,
    stop: CancellationToken,
    runs: AtomicBool,
}

impl CallBudget {
    /// Returns the budget of a run that is still being planned.
    pub(crate) fn new(memory: Arc<dyn MemoryPool>, deadline: Instant, stop: CancellationToken) -> Self {
        Self { memory, deadline, stop, runs: AtomicBool::new(false) }
    }

    /// Ends planning: calls may now take as much as the run has.
    pub(crate) fn start(&self) {
        self.runs.store(true, Ordering::Relaxed);
    }

    pub(super) fn runs(&self) -> bool {
        self.runs.load(Ordering::Relaxed)
    }

    /// Fails if the run has been cancelled, or is past its deadline.
    pub(super) fn check(&self) -> Result<()> {
        if self.stop.is_cancelled() {
            return Err(into_datafusion(cancelled()));
        }
        match Instant::now() > self.deadline {
            true => Err(into_datafusion(timed_out(""))),
            false => Ok(()),
        }
    }

    /// Reserves the memory of a result.
    pub(super) fn reserve(&self, function: &str, bytes: usize) -> Result<MemoryReservation> {
        let reservation = MemoryConsumer::new(format!("result of `{function}`")).register(&self.memory);
        reservation.try_grow(bytes)?;
        Ok(reservation)
    }
}

impl fmt::Debug for CallBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallBudget").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
