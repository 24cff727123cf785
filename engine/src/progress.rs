//! How far a query is: rows and bytes that crossed each edge so far.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// How far a query is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Rows that left the query so far.
    pub rows: u64,
    /// Whether the last row has left.
    pub finished: bool,
    /// The edges from other sites.
    pub edges: Vec<EdgeProgress>,
}

/// What crossed one edge so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EdgeProgress {
    /// The domains whose ports the fragment reads.
    pub domains: Vec<String>,
    /// The site that the rows come from.
    pub site: String,
    /// Rows so far.
    pub rows: u64,
    /// Bytes on the wire so far.
    pub bytes: u64,
    /// Bytes of keys that were sent to the site.
    #[serde(default)]
    pub bytes_sent: u64,
    /// Whether the edge is done.
    pub finished: bool,
}

/// The counters of one edge, written by the operator that reads it.
#[derive(Debug)]
pub(crate) struct EdgeCounters {
    pub(crate) domains: Vec<String>,
    pub(crate) site: String,
    pub(crate) rows: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) finished: AtomicBool,
}

#[derive(Debug, Default)]
struct Counters {
    rows: AtomicU64,
    finished: AtomicBool,
    edges: Vec<Arc<EdgeCounters>>,
}

/// Reads how far a query is while somebody else drives it.
#[derive(Clone, Debug, Default)]
pub struct ProgressHandle(Arc<Counters>);

impl ProgressHandle {
    pub(crate) fn new(edges: Vec<Arc<EdgeCounters>>) -> Self {
        Self(Arc::new(Counters { edges, ..Counters::default() }))
    }

    pub(crate) fn add_rows(&self, rows: usize) {
        self.0.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(crate) fn finish(&self) {
        self.0.finished.store(true, Ordering::Relaxed);
    }

    /// How far the query is now.
    pub fn now(&self) -> Progress {
        Progress {
            rows: self.0.rows.load(Ordering::Relaxed),
            finished: self.0.finished.load(Ordering::Relaxed),
            edges: self
                .0
                .edges
                .iter()
                .map(|e| EdgeProgress {
                    domains: e.domains.clone(),
                    site: e.site.clone(),
                    rows: e.rows.load(Ordering::Relaxed),
                    bytes: e.bytes.load(Ordering::Relaxed),
                    bytes_sent: e.bytes_sent.load(Ordering::Relaxed),
                    finished: e.finished.load(Ordering::Relaxed),
                })
                .collect(),
        }
    }
}
