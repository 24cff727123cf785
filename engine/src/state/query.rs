//! A query that an engine runs: what others see of it, and what its fragments have in common.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime};

use portolan_connectors::FragmentHead;
use tokio_util::sync::CancellationToken;

use crate::{Principal, ProgressHandle};

/// A query that is planned, waits, or runs.
#[derive(Debug)]
pub(crate) struct RunningQuery {
    /// The query's identity, the same at every node that it reaches.
    pub(crate) id: String,
    /// The session that it runs in; `None` for a part of another node's query.
    pub(crate) session: Option<String>,
    pub(crate) principal: Principal,
    /// The statement; `None` for a part of another node's query.
    pub(crate) sql: Option<String>,
    pub(crate) started: SystemTime,
    /// How far it is, once it runs.
    pub(crate) progress: OnceLock<ProgressHandle>,
    /// Ends it.
    pub(crate) stop: CancellationToken,
}

/// What the fragments of one query have in common.
#[derive(Debug)]
pub(crate) struct QueryContext {
    /// The head of each of them, before the hop to its site.
    pub(crate) head: FragmentHead,
    /// Bytes of keys that may go with a fragment.
    pub(crate) key_bytes: usize,
    /// Since when fragments wait for keys, once they do.
    pub(crate) waiting_since: OnceLock<Instant>,
}

impl QueryContext {
    /// Returns the context of a query, before any of its fragments waits.
    pub(crate) fn new(head: FragmentHead, key_bytes: usize) -> Self {
        Self { head, key_bytes, waiting_since: OnceLock::new() }
    }
}
