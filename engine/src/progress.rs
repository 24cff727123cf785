//! The progress of a query: the rows and bytes that have crossed each edge.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use portolan_connectors::{PulledRows, ResultLabel, lock};
use serde::{Deserialize, Serialize};

/// The progress of a query.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Progress {
    /// The number of rows that the query has returned so far.
    pub rows: u64,
    /// True if the query has returned its last row.
    pub finished: bool,
    /// The edges from other sites.
    pub edges: Vec<EdgeProgress>,
    /// The label of the rows, as far as the owners of the ports have reported theirs. An owner reports the label of its
    /// rows before the first one.
    #[serde(default, skip_serializing_if = "ResultLabel::is_empty")]
    pub label: ResultLabel,
}

/// The progress of one edge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EdgeProgress {
    /// The domains whose ports the fragment reads.
    pub domains: Vec<String>,
    /// The site that sends the rows.
    pub site: String,
    /// The number of rows so far.
    pub rows: u64,
    /// The number of bytes on the wire so far.
    pub bytes: u64,
    /// The bytes of join keys that were sent to the site.
    #[serde(default)]
    pub bytes_sent: u64,
    /// True if the edge is done.
    pub finished: bool,
}

/// The counters of one edge, which the operator that reads the edge updates.
#[derive(Debug)]
pub(crate) struct EdgeCounters {
    pub(crate) domains: Vec<String>,
    pub(crate) site: String,
    pub(crate) rows: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) finished: AtomicBool,
    /// The rows that the site fetched from others, once the site has reported them.
    pub(crate) pulled: Mutex<Vec<PulledRows>>,
    /// The label of the rows: that of the plan, until the site has reported its own.
    pub(crate) label: Mutex<ResultLabel>,
}

impl EdgeCounters {
    /// Returns the counters of an edge that nothing has crossed yet.
    pub(crate) fn new(domains: Vec<String>, site: String) -> Self {
        Self {
            domains,
            site,
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            bytes_sent: AtomicU64::new(0),
            finished: AtomicBool::new(false),
            pulled: Mutex::default(),
            label: Mutex::default(),
        }
    }

    /// Returns the progress of the edge, and then of the edges behind it that the site has reported.
    fn now(&self) -> Vec<EdgeProgress> {
        let own = EdgeProgress {
            domains: self.domains.clone(),
            site: self.site.clone(),
            rows: self.rows.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            bytes_sent: self.bytes_sent.load(Ordering::Relaxed),
            finished: self.finished.load(Ordering::Relaxed),
        };
        let beyond = lock(&self.pulled);
        let beyond = beyond.iter().map(|p| EdgeProgress {
            domains: p.domains.clone(),
            site: p.site.clone(),
            rows: p.rows,
            bytes: p.bytes,
            bytes_sent: p.bytes_sent,
            finished: true,
        });
        std::iter::once(own).chain(beyond).collect()
    }
}

#[derive(Debug, Default)]
struct Counters {
    rows: AtomicU64,
    finished: AtomicBool,
    edges: Mutex<Vec<Arc<EdgeCounters>>>,
    /// The label of the ports of this node.
    label: ResultLabel,
}

/// A handle that reads the progress of a running query.
#[derive(Clone, Debug, Default)]
pub struct ProgressHandle(Arc<Counters>);

impl ProgressHandle {
    pub(crate) fn new(edges: Vec<Arc<EdgeCounters>>, label: ResultLabel) -> Self {
        Self(Arc::new(Counters { edges: Mutex::new(edges), label, ..Counters::default() }))
    }

    /// Replaces the edges after the query was planned again.
    pub(crate) fn replace_edges(&self, edges: Vec<Arc<EdgeCounters>>) {
        *lock(&self.0.edges) = edges;
    }

    pub(crate) fn add_rows(&self, rows: usize) {
        self.0.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(crate) fn finish(&self) {
        self.0.finished.store(true, Ordering::Relaxed);
    }

    /// Returns the current progress.
    pub fn now(&self) -> Progress {
        let edges = lock(&self.0.edges);
        let mut label = self.0.label.clone();
        edges.iter().for_each(|edge| label.merge(&lock(&edge.label)));
        Progress {
            rows: self.0.rows.load(Ordering::Relaxed),
            finished: self.0.finished.load(Ordering::Relaxed),
            edges: edges.iter().flat_map(|e| e.now()).collect(),
            label,
        }
    }
}
