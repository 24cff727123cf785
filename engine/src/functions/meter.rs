//! The meter of the calls of one statement: how much they may still take.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use datafusion::common::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use tokio_util::sync::CancellationToken;

use crate::execution::errors::{cancelled, into_datafusion, timed_out};

/// The largest constant that is evaluated while a query is planned, in bytes, and the longest time for it.
const PLANNED_BYTES: u64 = 64 << 10;
const PLANNED_WORK: u64 = 1_000_000;
/// The size of all these constants of one statement, in bytes, and the time for all of them.
const ALL_PLANNED_BYTES: u64 = 1 << 20;
const ALL_PLANNED_WORK: u64 = 100_000_000;

/// The meter of the calls of one statement. The calls may take little while the statement is planned, and then as much
/// as the run has.
#[derive(Default)]
pub(crate) struct WorkMeter {
    planned_bytes: AtomicU64,
    planned_work: AtomicU64,
    run: Option<RunLimits>,
    runs: AtomicBool,
}

/// The memory, the deadline and the stop signal of one run of a query.
struct RunLimits {
    memory: Arc<dyn MemoryPool>,
    deadline: Instant,
    stop: CancellationToken,
}

impl WorkMeter {
    /// Returns the meter of a run that is still being planned.
    pub(crate) fn new(memory: Arc<dyn MemoryPool>, deadline: Instant, stop: CancellationToken) -> Self {
        Self { run: Some(RunLimits { memory, deadline, stop }), ..Self::default() }
    }

    /// Ends planning.
    pub(crate) fn start(&self) {
        self.runs.store(true, Ordering::Relaxed);
    }

    pub(super) fn runs(&self) -> bool {
        self.runs.load(Ordering::Relaxed)
    }

    /// True if a constant of this size and time may be evaluated while the statement is planned.
    pub(super) fn plans(&self, bytes: u64, work: u64) -> bool {
        let within = |spent: &AtomicU64, more: u64, one: u64, all: u64| {
            more <= one && spent.fetch_add(more, Ordering::Relaxed).saturating_add(more) <= all
        };
        within(&self.planned_bytes, bytes, PLANNED_BYTES, ALL_PLANNED_BYTES)
            && within(&self.planned_work, work, PLANNED_WORK, ALL_PLANNED_WORK)
    }

    /// Fails if the run has been cancelled, or is past its deadline.
    pub(super) fn check(&self) -> Result<()> {
        let Some(run) = &self.run else { return Ok(()) };
        if run.stop.is_cancelled() {
            return Err(into_datafusion(cancelled()));
        }
        match Instant::now() > run.deadline {
            true => Err(into_datafusion(timed_out(""))),
            false => Ok(()),
        }
    }

    /// Reserves the memory of a result. `None` if no run has begun.
    pub(super) fn reserve(&self, function: &str, bytes: usize) -> Result<Option<MemoryReservation>> {
        let Some(run) = &self.run else { return Ok(None) };
        let reservation = MemoryConsumer::new(format!("result of `{function}`")).register(&run.memory);
        reservation.try_grow(bytes)?;
        Ok(Some(reservation))
    }
}

impl fmt::Debug for WorkMeter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkMeter").field("runs", &self.runs).finish_non_exhaustive()
    }
}
