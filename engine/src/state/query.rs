//! A query that an engine runs: what others see of it, and what its fragments have in common.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime};

use portolan_connectors::Delegation;
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
    pub(crate) query_id: String,
    /// On whose behalf it runs.
    pub(crate) principal: Principal,
    /// How many nodes the query went through before it came here.
    pub(crate) hops: u32,
    /// These nodes, as far as they are known.
    pub(crate) via: Vec<String>,
    pub(crate) deadline: Instant,
    /// Bytes of keys that may go with a fragment.
    pub(crate) key_bytes: usize,
    /// Since when fragments wait for keys, once they do.
    pub(crate) waiting_since: OnceLock<Instant>,
    /// Whether somebody wants to know what each operator did.
    pub(crate) measured: bool,
}

impl QueryContext {
    /// Returns the principal in the form that goes with its fragments.
    pub(crate) fn delegation(&self) -> Delegation {
        let (name, groups, attributes) = (self.principal.name(), self.principal.groups(), self.principal.attributes());
        // What somebody may do to others' queries holds at the node where it was granted, and does not travel.
        Delegation {
            principal: name.to_owned(),
            groups: groups.clone(),
            attributes: attributes.clone(),
            via: self.via.clone(),
        }
    }
}
