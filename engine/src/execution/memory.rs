//! The memory of one query: a limit of its own, and the limit that all queries of the engine share.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{
    FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, TrackConsumersPool,
};

use crate::Usage;

/// The number of a query's operators that a memory error names.
const LARGEST_CONSUMERS_NAMED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(2);

/// The memory that all queries of an engine hold together.
#[derive(Debug)]
pub(crate) struct SharedMemory {
    held: AtomicUsize,
    limit: usize,
}

impl SharedMemory {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { held: AtomicUsize::new(0), limit })
    }

    /// Returns the memory in use, and the limit.
    pub(crate) fn usage(&self) -> Usage {
        Usage { held: self.held.load(Ordering::Relaxed) as u64, limit: self.limit as u64 }
    }

    pub(crate) fn take(&self, bytes: usize) -> Result<()> {
        let fits = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= self.limit);
        match self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => Ok(()),
            Err(held) => Err(DataFusionError::ResourcesExhausted(format!(
                "{held} of {} bytes are in use (limits.memory), and {bytes} more were requested: try again later",
                self.limit
            ))),
        }
    }

    /// Returns the memory that is held, in bytes.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    pub(crate) fn give(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The memory of one query. If either limit is reached, operators that can spill do so, and other operators fail.
#[derive(Debug)]
pub(crate) struct QueryMemory {
    own: TrackConsumersPool<FairSpillPool>,
    shared: Arc<SharedMemory>,
}

impl QueryMemory {
    pub(crate) fn new(limit: usize, shared: Arc<SharedMemory>) -> Self {
        Self { own: TrackConsumersPool::new(FairSpillPool::new(limit), LARGEST_CONSUMERS_NAMED), shared }
    }
}

impl fmt::Display for QueryMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "query memory over {}", self.own)
    }
}

impl MemoryPool for QueryMemory {
    fn name(&self) -> &str {
        "query"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.own.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.own.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        // This request cannot be refused. It is counted, so that others are refused.
        self.shared.held.fetch_add(additional, Ordering::Relaxed);
        self.own.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.own.shrink(reservation, shrink);
        self.shared.give(shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.shared.take(additional)?;
        self.own.try_grow(reservation, additional).inspect_err(|_| self.shared.give(additional))
    }

    fn reserved(&self) -> usize {
        self.own.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.own.memory_limit()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn query(shared: &Arc<SharedMemory>) -> Arc<dyn MemoryPool> {
        Arc::new(QueryMemory::new(60, shared.clone()))
    }

    #[test]
    fn both_bounds_hold_and_what_is_given_back_is_free() {
        let shared = SharedMemory::new(100);
        let (a, b) = (query(&shared), query(&shared));
        let first = MemoryConsumer::new("a").register(&a);
        first.try_grow(50).unwrap();
        // The query's own limit. None of the shared memory stays taken.
        assert!(first.try_grow(20).is_err());
        assert_eq!(shared.held.load(Ordering::Relaxed), 50);
        let second = MemoryConsumer::new("b").register(&b);
        second.try_grow(50).unwrap();
        // The shared limit, although the query's own limit would allow it.
        assert!(second.try_grow(5).unwrap_err().to_string().contains("limits.memory"));
        drop(first);
        second.try_grow(5).unwrap();
        drop(second);
        assert_eq!(shared.held.load(Ordering::Relaxed), 0);
    }
}
