//! A running query: the facts that others can see, and the context that its fragments share.

use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use datafusion::execution::memory_pool::MemoryPool;
use portolan_connectors::FragmentHead;

use super::ClientIdentity;
use crate::ProgressHandle;
use crate::execution::admission::Admitted;
use crate::execution::stop::Stop;
use crate::metrics::{Metrics, Work};

/// The size of a small query, in bytes.
const LITTLE: usize = 1 << 20;

/// A query that is planned, waits, or runs.
#[derive(Debug)]
pub(crate) struct RunningQuery {
    /// The identifier of the query, which is the same at every node on the query's path.
    pub(crate) id: String,
    /// The client of the query.
    pub(crate) client: ClientIdentity,
    /// The statement; `None` for a fragment of another node's query.
    pub(crate) sql: Option<String>,
    pub(crate) started: SystemTime,
    /// The progress of the query, once it runs.
    pub(crate) progress: OnceLock<ProgressHandle>,
    /// The memory of the query, once it has a slot.
    pub(crate) memory: OnceLock<RunningMemory>,
    /// The signal that stops the query.
    pub(crate) stop: Stop,
    /// The query as it is counted.
    pub(crate) work: Arc<Work>,
}

/// The memory of a query that has a slot.
#[derive(Debug)]
pub(crate) struct RunningMemory {
    pub(crate) pool: Arc<dyn MemoryPool>,
    pub(crate) kind: Admitted,
    /// The time when the query got its slot.
    pub(crate) since: Instant,
}

impl RunningQuery {
    /// Returns a query that starts now. It has neither progress nor memory yet.
    pub(crate) fn new(id: String, client: ClientIdentity, sql: Option<String>, stop: Stop, work: Arc<Work>) -> Self {
        let (progress, memory) = (OnceLock::new(), OnceLock::new());
        Self { id, client, sql, started: SystemTime::now(), progress, memory, stop, work }
    }

    /// Returns the bytes that the operators of the query have reserved, if ending the query may free memory. `None` for
    /// a query that waits or was stopped, and for these small queries:
    ///
    /// - a query on the node itself, which shows what holds the memory,
    /// - a query that runs only since `settled`, because the process has not held more memory since then.
    pub(crate) fn reserved(&self, settled: Option<Instant>) -> Option<usize> {
        let RunningMemory { pool, kind, since } = self.memory.get()?;
        let bytes = pool.reserved();
        let is_innocent = *kind == Admitted::SystemQuery || settled.is_some_and(|settled| *since > settled);
        let spared = is_innocent && bytes < LITTLE;
        (!spared && !self.stop.is_stopped()).then_some(bytes)
    }
}

/// The context that the fragments of one query share.
#[derive(Debug)]
pub(crate) struct QueryContext {
    /// The head of each fragment, before the hop to its site.
    pub(crate) head: FragmentHead,
    /// The largest size of a fragment's join keys, in bytes.
    pub(crate) key_bytes: usize,
    /// The counters of the engine.
    pub(crate) metrics: Arc<Metrics>,
    /// The time when fragments started to wait for join keys.
    pub(crate) waiting_since: OnceLock<Instant>,
}

impl QueryContext {
    /// Returns the context of a query, before any fragment waits.
    pub(crate) fn new(head: FragmentHead, key_bytes: usize, metrics: Arc<Metrics>) -> Self {
        Self { head, key_bytes, metrics, waiting_since: OnceLock::new() }
    }
}
