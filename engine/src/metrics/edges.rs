//! The rows, bytes and join keys that cross edges between nodes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::SystemTime;

use portolan_connectors::{FragmentHead, TraceContext, lock};

use super::{Metrics, Span, SpanKind, outcome_name};
use crate::ErrorKind;
use crate::progress::EdgeCounters;

/// The largest number of edges that are counted separately. Further edges are counted together.
const MAX_EDGES: usize = 1000;
/// The name under which further edges are counted.
const OTHER: &str = "other";

/// The totals of all edges in one direction, by name.
#[derive(Debug, Default)]
pub(super) struct Edges(Mutex<BTreeMap<String, Arc<EdgeTotals>>>);

/// The totals of the edges with one name.
#[derive(Debug, Default)]
pub(crate) struct EdgeTotals {
    rows: AtomicU64,
    bytes: AtomicU64,
    keys: AtomicU64,
    key_bytes: AtomicU64,
    errors: AtomicU64,
}

/// The totals of the edges with one name, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EdgeMetrics {
    /// The number of rows.
    pub rows: u64,
    /// The bytes of the rows on the wire.
    pub bytes: u64,
    /// The number of join keys that were sent to the site of the rows.
    pub keys: u64,
    /// The bytes of these join keys.
    pub key_bytes: u64,
    /// The number of edges that ended with an error.
    pub errors: u64,
}

/// A handle that counts the rows of a fragment while they are sent to another node. It counts nothing for the rows of a
/// session.
#[derive(Clone, Debug, Default)]
pub struct SentEdge(pub(crate) Option<Arc<EdgeTotals>>);

/// The rows of one fragment that another site runs, which are counted as they come. If it is dropped before its end,
/// its outcome is `cancelled`.
#[derive(Debug)]
pub(crate) struct EdgeWork {
    metrics: Arc<Metrics>,
    totals: Arc<EdgeTotals>,
    counters: Arc<EdgeCounters>,
    query_id: String,
    trace: TraceContext,
    started: SystemTime,
    outcome: OnceLock<Option<ErrorKind>>,
}

impl Edges {
    /// Returns the totals with this name.
    pub(super) fn of(&self, name: &str) -> Arc<EdgeTotals> {
        let mut edges = lock(&self.0);
        if let Some(totals) = edges.get(name) {
            return totals.clone();
        }
        let name = if edges.len() < MAX_EDGES { name } else { OTHER };
        edges.entry(name.to_owned()).or_default().clone()
    }

    pub(super) fn read(&self) -> BTreeMap<String, EdgeMetrics> {
        lock(&self.0).iter().map(|(name, totals)| (name.clone(), totals.read())).collect()
    }
}

impl EdgeTotals {
    fn add(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn read(&self) -> EdgeMetrics {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        EdgeMetrics {
            rows: of(&self.rows),
            bytes: of(&self.bytes),
            keys: of(&self.keys),
            key_bytes: of(&self.key_bytes),
            errors: of(&self.errors),
        }
    }
}

impl SentEdge {
    /// Counts rows, and bytes on the wire.
    pub fn add(&self, rows: u64, bytes: u64) {
        if let Some(totals) = &self.0 {
            totals.add(rows, bytes);
        }
    }
}

impl EdgeWork {
    /// Starts to count the edge with these counters, for the query of `head`.
    pub(crate) fn start(metrics: &Arc<Metrics>, head: &FragmentHead, counters: &Arc<EdgeCounters>) -> Arc<Self> {
        Arc::new(Self {
            metrics: metrics.clone(),
            totals: metrics.received.of(&counters.domains.join(",")),
            counters: counters.clone(),
            query_id: head.query_id.clone(),
            trace: head.trace.child(),
            started: SystemTime::now(),
            outcome: OnceLock::new(),
        })
    }

    /// Returns the span of the edge, which the fragment is a part of.
    pub(crate) fn trace(&self) -> &TraceContext {
        &self.trace
    }

    /// Counts rows that came, and their bytes on the wire.
    pub(crate) fn received(&self, rows: usize, bytes: usize) {
        self.totals.add(rows as u64, bytes as u64);
    }

    /// Counts join keys that were sent.
    pub(crate) fn sent_keys(&self, keys: usize, bytes: usize) {
        self.totals.keys.fetch_add(keys as u64, Ordering::Relaxed);
        self.totals.key_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Ends the edge. Only the first outcome counts.
    pub(crate) fn end(&self, outcome: Option<ErrorKind>) {
        if self.outcome.set(outcome).is_ok() && outcome.is_some() {
            self.totals.errors.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for EdgeWork {
    fn drop(&mut self) {
        let outcome = self.outcome.get().copied().unwrap_or(Some(ErrorKind::Cancelled));
        let span = || Span {
            trace: self.trace.clone(),
            kind: SpanKind::Edge {
                domains: self.counters.domains.clone(),
                site: self.counters.site.clone(),
                rows: self.counters.rows.load(Ordering::Relaxed),
                bytes: self.counters.bytes.load(Ordering::Relaxed),
            },
            query_id: self.query_id.clone(),
            started: self.started,
            ended: SystemTime::now(),
            outcome: outcome_name(outcome),
        };
        self.metrics.report(span, self.trace.is_sampled());
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::Principal;

    #[test]
    fn edges_are_counted_by_name_up_to_a_bound() {
        let edges = Edges::default();
        for n in 0..MAX_EDGES + 5 {
            edges.of(&format!("d{n}")).add(1, 10);
        }
        edges.of("d3").add(1, 10);
        let read = edges.read();
        assert_eq!(read.len(), MAX_EDGES + 1);
        assert_eq!((read["d3"].rows, read["d3"].bytes, read[OTHER].rows), (2, 20, 5));
    }

    #[test]
    fn an_edge_counts_under_the_domains_of_its_rows() {
        let metrics = Metrics::new(None);
        let head = FragmentHead::new("q", Principal::anonymous(), Instant::now() + Duration::from_secs(60));
        let counters = EdgeCounters::new(vec!["geo".to_owned(), "sales".to_owned()], "grpc://a:1".to_owned());
        let edge = EdgeWork::start(&metrics, &head, &Arc::new(counters));
        assert_eq!(edge.trace().parent_id(), Some(head.trace.span_id()));
        edge.received(3, 100);
        edge.sent_keys(7, 50);
        edge.end(Some(ErrorKind::SiteUnavailable));
        edge.end(None);
        let expected = EdgeMetrics { rows: 3, bytes: 100, keys: 7, key_bytes: 50, errors: 1 };
        assert_eq!(metrics.read().received, BTreeMap::from([("geo,sales".to_owned(), expected)]));
    }
}
