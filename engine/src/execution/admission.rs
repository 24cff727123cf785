//! Admission: a number of queries run at once, a number of queries wait, and the rest are refused. Each principal has a
//! fair share of the slots and of the queue. If the pressure on the memory of the host is high, one query runs at a
//! time, and so do some fragments of one query.

mod queue;

use std::sync::Arc;
use std::time::Instant;

use crate::limits::{Allowance, three_quarters};
use crate::{Limits, Principal, Result};

pub(crate) use self::queue::Slot;
use self::queue::{Entrant, FairQueue};
use super::pressure::Pressure;

/// The number of fragments that run at once for each query that may run. Fragments have slots of their own, because
/// two nodes whose queries wait for each other's fragments must not block each other.
const FRAGMENTS_PER_QUERY: usize = 4;
/// The slots for queries that read nothing but views of the node itself. They have slots of their own, because these
/// views show what holds all other slots.
const SYSTEM_QUERIES: usize = 8;
/// The number of such queries that wait.
const SYSTEM_QUEUE: usize = 256;
/// The slots that only administrators get, if all others are taken.
const FOR_ADMINISTRATORS: usize = 2;

/// The settings with the numbers of slots and of waiting queries, for errors.
const SETTINGS: &str = " (limits.concurrent_queries, limits.queued_queries)";

/// The admission of queries and fragments. Clones are the same admission.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    queries: Arc<FairQueue>,
    system_queries: Arc<FairQueue>,
    fragments: Arc<FairQueue>,
}

/// The kind of a query, which decides which slots it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// A query of a session.
    Query,
    /// A query of a session that reads nothing but views of the node itself.
    SystemQuery,
    /// A fragment of another node's query.
    Fragment,
}

impl Admission {
    pub(crate) fn new(limits: &Limits, pressure: &Arc<Pressure>) -> Self {
        let (slots, queue) = (limits.concurrent_queries, limits.queued_queries);
        let reserve = FOR_ADMINISTRATORS;
        let queries = FairQueue::new("queries", SETTINGS, slots, reserve, queue);
        let system_queries = FairQueue::new("queries on the node itself", "", SYSTEM_QUERIES, reserve, SYSTEM_QUEUE);
        let fragments = FairQueue::new("fragments", SETTINGS, of_fragments(slots), 0, of_fragments(queue));
        Self {
            queries: Arc::new(queries.under(pressure.clone())),
            // The views of the node itself show what holds the memory.
            system_queries: Arc::new(system_queries),
            fragments: Arc::new(fragments.under(pressure.clone())),
        }
    }

    /// Changes the numbers of slots and of waiting queries. Running queries keep their slots.
    pub(crate) fn set_limits(&self, limits: &Limits) {
        let (slots, queue) = (limits.concurrent_queries, limits.queued_queries);
        self.queries.resize(slots, queue);
        self.fragments.resize(of_fragments(slots), of_fragments(queue));
    }

    /// Waits for a slot for the query with this identifier, at most until the deadline. Principals take turns, and the
    /// one with the fewest running queries for its weight goes first.
    ///
    /// # Errors
    /// `ResourceExhausted`, with the time to try again, if the queue is full, if this principal has more queries in it
    /// than others, or if the pressure on the memory of the host stays high; `DeadlineExceeded`.
    pub(crate) async fn enter(
        &self,
        kind: Admitted,
        query: &str,
        principal: &Principal,
        allowance: &Allowance,
        deadline: Instant,
    ) -> Result<Slot> {
        self.queue(kind).enter(entrant(kind, query, principal, allowance), deadline).await
    }

    /// Takes a slot for a speculative query, whose rows no client has requested yet. More than half of the slots must
    /// be free.
    ///
    /// # Errors
    /// `ResourceExhausted`.
    pub(crate) fn enter_speculatively(
        &self,
        kind: Admitted,
        query: &str,
        principal: &Principal,
        allowance: &Allowance,
    ) -> Result<Slot> {
        self.queue(kind).enter_speculatively(&entrant(kind, query, principal, allowance))
    }

    /// Gives free slots to those who wait, because there is no pressure any more.
    pub(crate) fn admit_waiting(&self) {
        self.queries.admit_waiting();
        self.fragments.admit_waiting();
    }

    fn queue(&self, kind: Admitted) -> &Arc<FairQueue> {
        match kind {
            Admitted::Query => &self.queries,
            Admitted::SystemQuery => &self.system_queries,
            Admitted::Fragment => &self.fragments,
        }
    }
}

/// Returns the number of fragments for a number of queries.
fn of_fragments(queries: usize) -> usize {
    queries.saturating_mul(FRAGMENTS_PER_QUERY)
}

fn entrant(kind: Admitted, query: &str, principal: &Principal, allowance: &Allowance) -> Entrant {
    let (running, waiting) = match kind {
        Admitted::Query => (allowance.concurrent_queries, allowance.queued_queries),
        Admitted::SystemQuery => (three_quarters(SYSTEM_QUERIES), SYSTEM_QUEUE),
        Admitted::Fragment => (of_fragments(allowance.concurrent_queries), of_fragments(allowance.queued_queries)),
    };
    let (account, query, admin) = (principal.account(), query.to_owned(), principal.is_admin());
    Entrant { account, query, weight: allowance.weight, running, waiting, admin }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use futures::future::join_all;

    use super::*;
    use crate::ErrorKind;

    /// An admission with limits.
    struct Trial {
        admission: Admission,
        limits: Limits,
        pressure: Arc<Pressure>,
    }

    impl Trial {
        fn new(concurrent_queries: usize, queued_queries: usize) -> Self {
            let limits = Limits { concurrent_queries, queued_queries, ..Limits::default() };
            let pressure = Pressure::new(Some(1000));
            Self { admission: Admission::new(&limits, &pressure), limits, pressure }
        }

        async fn enter(&self, kind: Admitted, principal: &Principal) -> Result<Slot> {
            self.enter_for(kind, &uuid::Uuid::new_v4().to_string(), principal).await
        }

        async fn enter_for(&self, kind: Admitted, query: &str, principal: &Principal) -> Result<Slot> {
            let deadline = Instant::now() + Duration::from_millis(50);
            self.admission.enter(kind, query, principal, &self.limits.allowance(principal), deadline).await
        }

        fn speculative(&self, principal: &Principal) -> Result<Slot> {
            self.admission.enter_speculatively(Admitted::Query, "q", principal, &self.limits.allowance(principal))
        }
    }

    fn ann() -> Principal {
        Principal::new("ann")
    }

    #[tokio::test]
    async fn each_kind_has_slots_of_its_own() {
        let (trial, ann) = (Trial::new(1, 0), ann());
        let _query = trial.enter(Admitted::Query, &ann).await.unwrap();
        let error = trial.enter(Admitted::Query, &ann).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
        assert!(error.retry_after().is_some());
        let fragments = join_all((0..4).map(|_| trial.enter(Admitted::Fragment, &ann))).await;
        assert!(fragments.iter().all(Result::is_ok));
        assert!(trial.enter(Admitted::Fragment, &ann).await.is_err());
        // One principal leaves two of the system's slots to others.
        let views = join_all((0..6).map(|_| trial.enter(Admitted::SystemQuery, &ann))).await;
        assert!(views.iter().all(Result::is_ok));
        let error = trial.enter(Admitted::SystemQuery, &ann).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
        trial.enter(Admitted::SystemQuery, &Principal::new("bob")).await.unwrap();
    }

    #[tokio::test]
    async fn administrators_have_slots_that_nobody_else_gets() {
        let (trial, root) = (Trial::new(1, 0), Principal::new("root").with_admin(true));
        let _query = trial.enter(Admitted::Query, &ann()).await.unwrap();
        assert!(trial.enter(Admitted::Query, &Principal::new("bob")).await.is_err());
        let own = trial.enter(Admitted::Query, &root).await.unwrap();
        // The share of an administrator is as large as that of others.
        assert!(trial.enter(Admitted::Query, &root).await.is_err());
        let other = Principal::new("admin").with_admin(true);
        let _second = trial.enter(Admitted::Query, &other).await.unwrap();
        assert!(trial.enter(Admitted::Query, &Principal::new("third").with_admin(true)).await.is_err());
        drop(own);
        trial.enter(Admitted::Query, &root).await.unwrap();
    }

    #[tokio::test]
    async fn the_number_of_slots_can_change() {
        let (trial, ann) = (Trial::new(1, 1), ann());
        let first = trial.enter(Admitted::Query, &ann).await.unwrap();
        let more = Limits { concurrent_queries: 4, ..Limits::default() };
        let waiting = trial.enter(Admitted::Query, &ann);
        let resize = async {
            tokio::task::yield_now().await;
            trial.admission.set_limits(&more);
        };
        // The line of a principal keeps the limits of its newest entrant.
        let (waited, ()) = tokio::join!(waiting, resize);
        assert_eq!(waited.unwrap_err().kind(), ErrorKind::DeadlineExceeded);
        let bob = Principal::new("bob");
        let _second = trial.enter(Admitted::Query, &bob).await.unwrap();
        trial.admission.set_limits(&Limits { concurrent_queries: 1, queued_queries: 0, ..Limits::default() });
        drop(first);
        let refused = trial.enter(Admitted::Query, &ann).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ResourceExhausted, "bob has the only slot");
    }

    #[tokio::test]
    async fn speculative_queries_leave_half_of_the_slots_to_others() {
        let trial = Trial::new(4, 0);
        let speculative: Vec<_> = std::iter::from_fn(|| trial.speculative(&ann()).ok()).collect();
        assert_eq!(speculative.len(), 2);
        let bob = Principal::new("bob");
        let requested =
            [trial.enter(Admitted::Query, &bob).await.unwrap(), trial.enter(Admitted::Query, &bob).await.unwrap()];
        assert_eq!(trial.speculative(&ann()).unwrap_err().kind(), ErrorKind::ResourceExhausted);
        drop((speculative, requested));
        trial.speculative(&ann()).unwrap();
        assert_eq!(Trial::new(1, 9).speculative(&ann()).unwrap_err().kind(), ErrorKind::ResourceExhausted);
    }

    #[tokio::test]
    async fn under_pressure_one_query_runs_at_a_time() {
        let (trial, ann, root) = (Trial::new(8, 8), ann(), Principal::new("root").with_admin(true));
        let running = trial.enter(Admitted::Query, &ann).await.unwrap();
        trial.pressure.observe(800);
        for kind in [Admitted::Query, Admitted::Fragment] {
            let _one = trial.enter(kind, &Principal::new("other")).await;
            let error = trial.enter(kind, &ann).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
        }
        assert!(trial.speculative(&ann).is_err());
        // The query of a fragment may need the other one first.
        let mut fragments = vec![];
        for _ in 0..3 {
            fragments.push(trial.enter_for(Admitted::Fragment, "q", &ann).await.unwrap());
        }
        assert!(trial.enter_for(Admitted::Fragment, "q", &Principal::new("other")).await.is_err());
        // Administrators and queries on the node itself find out why.
        let admin = trial.enter(Admitted::Query, &root).await.unwrap();
        let _view = trial.enter(Admitted::SystemQuery, &ann).await.unwrap();
        drop(running);
        // Their queries keep nobody out.
        let _alone = trial.enter(Admitted::Query, &ann).await.unwrap();
        drop(admin);
        let waiting = trial.enter(Admitted::Query, &ann);
        let relief = async {
            tokio::task::yield_now().await;
            trial.pressure.observe(100);
            trial.admission.admit_waiting();
        };
        let (admitted, ()) = tokio::join!(waiting, relief);
        admitted.unwrap();
    }
}
