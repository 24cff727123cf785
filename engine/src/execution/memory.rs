//! The memory of one query: a limit of its own, that of its principal, and the limit that all queries of the engine
//! share. If the process comes near what its host allows, the limit of each query is smaller.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{
    FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, TrackConsumersPool,
};

use super::budget::{Budget, REFUSED};
use super::pressure::Pressure;

/// The number of a query's operators that a memory error names.
const LARGEST_CONSUMERS_NAMED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(2);

/// If the pressure on the memory of the host is high, a query may reserve its limit divided by this number. To spill
/// needs memory too: the sorters of a query reserve up to an eighth of its limit for their merges.
const PRESSURE_DIVISOR: usize = 4;

/// The error in the place of one that names operators: they may hold rows that are hidden from the principal.
pub(super) const WITHOUT_OPERATORS: &str = "the query needs more memory than one of its limits allows (limits.query_memory, limits.memory, `memory` in `shares`, or \
     the memory of the host): it reads a governed or a derived port, so no operator and no amount is shown";

/// The memory of one query. If any limit is reached, operators that can spill do so, and other operators fail.
#[derive(Debug)]
pub(crate) struct QueryMemory {
    own: TrackConsumersPool<FairSpillPool>,
    limit: usize,
    /// The memory of the query's principal, which is a part of that of all queries.
    principal: Arc<Budget>,
    pressure: Arc<Pressure>,
    /// True if no error may show what the operators hold.
    hides_operators: Arc<AtomicBool>,
}

impl QueryMemory {
    pub(crate) fn new(
        limit: usize,
        principal: Arc<Budget>,
        pressure: Arc<Pressure>,
        hides_operators: Arc<AtomicBool>,
    ) -> Self {
        let own = TrackConsumersPool::new(FairSpillPool::new(limit), LARGEST_CONSUMERS_NAMED);
        Self { own, limit, principal, pressure, hides_operators }
    }

    fn reserve(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        // A budget refuses even nothing if more is in use than its limit.
        if additional > 0 {
            self.check_pressure(additional)?;
            self.principal.take(additional).map_err(|e| DataFusionError::ResourcesExhausted(e.context().to_owned()))?;
        }
        self.own.try_grow(reservation, additional).inspect_err(|_| self.principal.give(additional))
    }

    /// Refuses to reserve more if the pressure on the memory of the host is high, unless the query holds little.
    fn check_pressure(&self, additional: usize) -> Result<()> {
        if !self.pressure.is_high() {
            return Ok(());
        }
        let held = self.own.reserved();
        if held.saturating_add(additional) <= self.limit / PRESSURE_DIVISOR {
            return Ok(());
        }
        // Only this kind of error makes operators spill.
        Err(DataFusionError::ResourcesExhausted(format!(
            "{}, the operators of the query hold {held} bytes, and {additional} {REFUSED}",
            self.pressure
        )))
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
        self.principal.take_anyway(additional);
        self.own.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.own.shrink(reservation, shrink);
        self.principal.give(shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.reserve(reservation, additional).map_err(|e| {
            if !self.hides_operators.load(Ordering::Relaxed) {
                return e;
            }
            // Only this kind of error makes operators spill. The log of the node has the reason.
            tracing::debug!("{}", e.strip_backtrace());
            DataFusionError::ResourcesExhausted(WITHOUT_OPERATORS.to_owned())
        })
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
    use crate::ErrorKind;
    use crate::execution::errors::from_datafusion;

    fn query(principal: &Arc<Budget>) -> Arc<dyn MemoryPool> {
        query_under(&Pressure::new(None), principal)
    }

    fn query_under(pressure: &Arc<Pressure>, principal: &Arc<Budget>) -> Arc<dyn MemoryPool> {
        Arc::new(QueryMemory::new(60, principal.clone(), pressure.clone(), Arc::default()))
    }

    #[test]
    fn no_limit_shows_the_operators_above_hidden_rows() {
        let hides_operators = Arc::<AtomicBool>::default();
        let budget = Budget::new(100, "limits.memory");
        let memory = QueryMemory::new(60, budget.clone(), Pressure::new(None), hides_operators.clone());
        let pool: Arc<dyn MemoryPool> = Arc::new(memory);
        let hidden = MemoryConsumer::new("HashJoinInput").register(&pool);
        hidden.try_grow(50).unwrap();
        let above = MemoryConsumer::new("Sorter").register(&pool);
        let error = from_datafusion(&above.try_grow(20).unwrap_err());
        assert!(error.context().contains("HashJoinInput"), "{error}");
        hides_operators.store(true, Ordering::Relaxed);
        let error = from_datafusion(&above.try_grow(20).unwrap_err());
        assert_eq!((error.kind(), error.context()), (ErrorKind::ResourceExhausted, WITHOUT_OPERATORS));
        // The limit of another budget.
        budget.take(50).unwrap();
        let error = from_datafusion(&above.try_grow(5).unwrap_err());
        assert_eq!(error.context(), WITHOUT_OPERATORS);
    }

    #[test]
    fn every_bound_holds_and_what_is_given_back_is_free() {
        let all = Budget::new(100, "limits.memory");
        let ann = Budget::part_of(Some(all.clone()), 80, "`memory` of `ann` in `shares`");
        let (a, b, c) = (query(&ann), query(&ann), query(&all));
        let first = MemoryConsumer::new("a").register(&a);
        first.try_grow(50).unwrap();
        // The query's own limit. None of the shared memory stays taken.
        assert!(first.try_grow(20).is_err());
        assert_eq!((ann.held(), all.held()), (50, 50));
        // The limit of the principal, although the query's own limit would allow it.
        let second = MemoryConsumer::new("b").register(&b);
        second.try_grow(30).unwrap();
        let error = second.try_grow(5).unwrap_err();
        assert!(matches!(&error, DataFusionError::ResourcesExhausted(text) if text.contains("`memory` of `ann`")));
        let third = MemoryConsumer::new("c").register(&c);
        third.try_grow(20).unwrap();
        assert!(third.try_grow(5).unwrap_err().to_string().contains("limits.memory"));
        third.grow(5);
        assert_eq!((ann.held(), all.held()), (80, 105));
        second.try_grow(0).unwrap();
        drop((first, third));
        second.try_grow(5).unwrap();
        drop(second);
        assert_eq!((ann.held(), all.held()), (0, 0));
    }

    #[test]
    fn under_pressure_a_query_may_reserve_a_part_of_its_memory() {
        let (pressure, all) = (Pressure::new(Some(1000)), Budget::new(100, "limits.memory"));
        let (large, small) = (query_under(&pressure, &all), query_under(&pressure, &all));
        let large = MemoryConsumer::new("a").with_can_spill(true).register(&large);
        let small = MemoryConsumer::new("b").register(&small);
        large.try_grow(40).unwrap();
        pressure.observe(800);
        let error = large.try_grow(1).unwrap_err();
        assert!(matches!(&error, DataFusionError::ResourcesExhausted(_)), "{error}");
        let said = from_datafusion(&error);
        assert!(said.context().starts_with("the process holds 800 of the 1000 bytes"), "{said}");
        assert!(said.context().contains("limits.host_memory") && said.context().contains("hold 40 bytes, and 1 more"));
        // Nothing is requested, and what spills becomes free.
        large.try_grow(0).unwrap();
        large.shrink(35);
        large.try_grow(10).unwrap();
        assert!(large.try_grow(1).is_err());
        small.try_grow(15).unwrap();
        assert!(small.try_grow(1).is_err());
        assert_eq!(all.held(), 30);
        pressure.observe(700);
        large.try_grow(45).unwrap();
        small.try_grow(1).unwrap();
    }
}
