//! What an engine counts about its work: plain counters, which a program renders in the format of its monitoring.
//!
//! [`EngineMetrics`] is a copy of all counters at one moment. A [`SpanSink`] gets each piece of work when it has ended.

mod edges;
mod histogram;
mod span;
mod work;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use self::edges::Edges;
pub use self::edges::{EdgeMetrics, SentEdge};
pub(crate) use self::edges::{EdgeTotals, EdgeWork};
pub use self::histogram::HistogramMetrics;
pub use self::span::{Span, SpanKind, SpanSink};
use self::work::WorkCounters;
pub(crate) use self::work::{Work, WorkKind};
use crate::ErrorKind;

/// The counters of an engine.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    queries: WorkCounters,
    fragments: WorkCounters,
    estimates: WorkCounters,
    /// The rows from other sites, by the domains that they come from.
    received: Edges,
    /// The rows for other nodes, by the name of the node.
    sent: Edges,
    spilled_bytes: AtomicU64,
    ended_for_memory: AtomicU64,
    spans: Option<Arc<dyn SpanSink>>,
}

/// The counters of an engine at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct EngineMetrics {
    /// The queries of sessions: statements that read rows, and uploads.
    pub queries: WorkMetrics,
    /// The fragments that other nodes sent.
    pub fragments: WorkMetrics,
    /// The estimates that other nodes requested for fragments.
    pub estimates: WorkMetrics,
    /// The number of open sessions.
    pub sessions: u64,
    /// The memory of the operators of queries and fragments, in bytes.
    pub memory: Usage,
    /// The memory of the tables of sessions, in bytes.
    pub session_tables: Usage,
    /// The memory that the process holds, without pages of files, and that its host allows, in bytes. `None` if
    /// [`Limits::host_memory`](crate::Limits::host_memory) is not set, or the system does not report the memory.
    pub host_memory: Option<Usage>,
    /// The queries and fragments that the engine has ended because the process came near this limit.
    pub ended_for_memory: u64,
    /// The disk space of spilled data and kept results, in bytes.
    pub spill: Usage,
    /// The bytes that operators have spilled since the engine started.
    pub spilled_bytes: u64,
    /// The edges from other sites, by the domains whose rows they carry.
    pub received: BTreeMap<String, EdgeMetrics>,
    /// The edges to other nodes, by the name of the node.
    pub sent: BTreeMap<String, EdgeMetrics>,
}

/// The counters of one kind of work at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct WorkMetrics {
    /// The pieces of work that are planned or run now.
    pub running: u64,
    /// The pieces of work that wait for a slot now.
    pub queued: u64,
    /// The pieces of work that have ended, by their outcome: `ok`, or the kind of the error.
    pub ended: BTreeMap<&'static str, u64>,
    /// The time from the start to the end.
    pub duration: HistogramMetrics,
    /// The time from the start to the first rows.
    pub first_batch: HistogramMetrics,
    /// The time that work waited for a slot.
    pub admission: HistogramMetrics,
}

/// The use of a limited resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The part in use.
    pub held: u64,
    /// The limit.
    pub limit: u64,
}

impl Metrics {
    pub(crate) fn new(spans: Option<Arc<dyn SpanSink>>) -> Arc<Self> {
        Arc::new(Self { spans, ..Self::default() })
    }

    /// Counts work that was refused before it started.
    pub(crate) fn refused(&self, kind: WorkKind, error: ErrorKind) {
        self.of(kind).count(Some(error));
    }

    /// Counts bytes that the operators of a query have spilled.
    pub(crate) fn spilled(&self, bytes: usize) {
        self.spilled_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts a query or fragment that was ended because of the memory of the host.
    pub(crate) fn ended_for_memory(&self) {
        self.ended_for_memory.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the totals of the rows that a node gets.
    pub(crate) fn sent_to(&self, node: &str) -> Arc<EdgeTotals> {
        self.sent.of(node)
    }

    /// Returns what this type counts. The engine adds the rest.
    pub(crate) fn read(&self) -> EngineMetrics {
        EngineMetrics {
            queries: self.queries.read(),
            fragments: self.fragments.read(),
            estimates: self.estimates.read(),
            spilled_bytes: self.spilled_bytes.load(Ordering::Relaxed),
            ended_for_memory: self.ended_for_memory.load(Ordering::Relaxed),
            received: self.received.read(),
            sent: self.sent.read(),
            ..EngineMetrics::default()
        }
    }

    fn of(&self, kind: WorkKind) -> &WorkCounters {
        match kind {
            WorkKind::Query => &self.queries,
            WorkKind::Fragment => &self.fragments,
            WorkKind::Estimate => &self.estimates,
        }
    }

    /// Reports a span that has ended, if its trace is recorded.
    fn report(&self, span: impl FnOnce() -> Span, sampled: bool) {
        if let Some(spans) = self.spans.as_ref().filter(|_| sampled) {
            spans.ended(span());
        }
    }
}

/// Returns the name of an outcome: `ok`, or the kind of the error.
fn outcome_name(outcome: Option<ErrorKind>) -> &'static str {
    outcome.map_or("ok", ErrorKind::name)
}
