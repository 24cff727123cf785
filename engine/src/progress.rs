//! How far a query is: rows and bytes that crossed each edge so far.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use portolan_connectors::{PulledRows, lock};
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
    /// What the site pulled from others, once it said so.
    pub(crate) pulled: Mutex<Vec<PulledRows>>,
}

impl EdgeCounters {
    /// Returns the counters of an edge over which nothing has come yet.
    pub(crate) fn new(domains: Vec<String>, site: String) -> Self {
        Self {
            domains,
            site,
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            bytes_sent: AtomicU64::new(0),
            finished: AtomicBool::new(false),
            pulled: Mutex::default(),
        }
    }

    /// The edge as it is now, then those beyond it, as far as its site told.
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
}

/// Reads how far a query is while somebody else drives it.
#[derive(Clone, Debug, Default)]
pub struct ProgressHandle(Arc<Counters>);

impl ProgressHandle {
    pub(crate) fn new(edges: Vec<Arc<EdgeCounters>>) -> Self {
        Self(Arc::new(Counters { edges: Mutex::new(edges), ..Counters::default() }))
    }

    /// The query goes on over other edges.
    pub(crate) fn replace_edges(&self, edges: Vec<Arc<EdgeCounters>>) {
        *lock(&self.0.edges) = edges;
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
            edges: lock(&self.0.edges).iter().flat_map(|e| e.now()).collect(),
        }
    }
}
