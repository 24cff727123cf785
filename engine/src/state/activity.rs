//! The activity of an engine: the open sessions and the running queries. The client of each, and administrators, can
//! see and stop it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

use portolan_connectors::lock;

use super::session::Shared;
use super::{ClientIdentity, RunningQuery};
use crate::{Error, ErrorKind, Result};

/// The open sessions and running queries of an engine.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    sessions: Mutex<BTreeMap<String, Weak<Shared>>>,
    queries: Mutex<BTreeMap<u64, Arc<RunningQuery>>>,
    next: AtomicU64,
}

/// A guard that lists a query until it is dropped.
#[derive(Debug)]
pub(crate) struct ActivityGuard {
    pub(crate) query: Arc<RunningQuery>,
    number: u64,
    activity: Arc<Activity>,
}

impl Activity {
    /// Lists a session until it is dropped or closed.
    pub(crate) fn opened(&self, session: &Arc<Shared>) {
        let mut sessions = lock(&self.sessions);
        // Dropped sessions are removed when the list has doubled, so that opening a session stays cheap.
        if sessions.len().is_power_of_two() {
            sessions.retain(|_, session| session.strong_count() > 0);
        }
        sessions.insert(session.id.clone(), Arc::downgrade(session));
    }

    /// Lists a query.
    pub(crate) fn started(self: &Arc<Self>, query: RunningQuery) -> ActivityGuard {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let query = Arc::new(query);
        lock(&self.queries).insert(number, query.clone());
        ActivityGuard { query, number, activity: self.clone() }
    }

    /// Returns the sessions that `viewer` may see, ordered by identifier.
    pub(crate) fn sessions(&self, viewer: &ClientIdentity) -> Vec<Arc<Shared>> {
        let sessions = lock(&self.sessions).values().filter_map(Weak::upgrade).collect::<Vec<_>>();
        sessions.into_iter().filter(|s| !s.closed.is_cancelled() && viewer.may_manage(&s.client())).collect()
    }

    /// Returns the number of open sessions.
    pub(crate) fn open_sessions(&self) -> usize {
        // The last reference to a session may be dropped here, so the lock must not be held.
        let sessions: Vec<_> = lock(&self.sessions).values().filter_map(Weak::upgrade).collect();
        sessions.iter().filter(|session| !session.closed.is_cancelled()).count()
    }

    /// Returns the queries that `viewer` may see, the oldest first.
    pub(crate) fn queries(&self, viewer: &ClientIdentity) -> Vec<Arc<RunningQuery>> {
        lock(&self.queries).values().filter(|q| viewer.may_manage(&q.client)).cloned().collect()
    }

    /// Returns the query that has reserved the most memory, and the bytes. Of queries with equally many megabytes, it is
    /// the oldest one, which had the most time to get memory that nothing counts. `None` if no query's end may free
    /// memory. The process has not held more memory since `settled`.
    pub(crate) fn largest_query(&self, settled: Option<Instant>) -> Option<(Arc<RunningQuery>, usize)> {
        let queries = lock(&self.queries);
        let reserved = queries.values().rev().filter_map(|query| Some((query.clone(), query.reserved(settled)?)));
        // Of equals, this returns the last one.
        reserved.max_by_key(|(_, bytes)| bytes >> 20)
    }

    /// Cancels every query with this identifier that runs at this node, and returns their number.
    ///
    /// # Errors
    /// `NotFound` if `viewer` can see none. The error does not reveal whether another principal runs one.
    pub(crate) fn cancel_query(&self, viewer: &ClientIdentity, id: &str) -> Result<usize> {
        let found: Vec<_> = self.queries(viewer).into_iter().filter(|q| q.id == id).collect();
        if found.is_empty() {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!(
                    "this node runs no query `{id}` of yours: `SELECT query_id FROM mesh.queries` lists your queries"
                ),
            ));
        }
        found.iter().for_each(|query| query.stop.cancel());
        Ok(found.len())
    }

    /// Closes a session.
    ///
    /// # Errors
    /// `NotFound` if `viewer` can see no session with this identifier.
    pub(crate) fn close_session(&self, viewer: &ClientIdentity, id: &str) -> Result<()> {
        let found = self.sessions(viewer).into_iter().find(|s| s.id == id);
        let session = found.ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!(
                    "this node has no open session `{id}` of yours: `SELECT session_id FROM mesh.sessions` lists \
                     your sessions"
                ),
            )
        })?;
        session.close();
        Ok(())
    }

    /// Cancels every query that a session runs, and returns their number.
    pub(crate) fn cancel_queries_of(&self, session: &str) -> usize {
        let is_own = |query: &&Arc<RunningQuery>| query.client.session.as_deref() == Some(session);
        let own: Vec<_> = lock(&self.queries).values().filter(is_own).cloned().collect();
        own.iter().for_each(|query| query.stop.cancel());
        own.len()
    }

    /// Returns the number of queries that a session runs.
    pub(crate) fn queries_of(&self, session: &str) -> usize {
        lock(&self.queries).values().filter(|q| q.client.session.as_deref() == Some(session)).count()
    }
}

impl Drop for ActivityGuard {
    fn drop(&mut self) {
        lock(&self.activity.queries).remove(&self.number);
    }
}
