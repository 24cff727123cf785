//! Admission: a number of queries run at once, a number of queries wait, and the rest are refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Error, ErrorKind, Limits, Result};

/// The number of fragments that run at once for each query that may run. Fragments have places of their own, because
/// two nodes whose queries wait for each other's fragments must not block each other.
const FRAGMENTS_PER_QUERY: usize = 4;

/// The admission of queries and fragments.
#[derive(Debug)]
pub(crate) struct Admission {
    queries: SlotQueue,
    fragments: SlotQueue,
}

#[derive(Debug)]
struct SlotQueue {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    may_wait: usize,
    what: &'static str,
    setting: usize,
}

/// A slot that a query holds while it runs.
#[derive(Debug)]
pub(crate) struct Slot {
    _permit: OwnedSemaphorePermit,
}

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Self {
        let line = |places: usize, may_wait, what| SlotQueue {
            places: Arc::new(Semaphore::new(places.clamp(1, Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
            may_wait,
            what,
            setting: places,
        };
        Self {
            queries: line(limits.concurrent_queries, limits.queued_queries, "queries"),
            fragments: line(
                limits.concurrent_queries.saturating_mul(FRAGMENTS_PER_QUERY),
                limits.queued_queries.saturating_mul(FRAGMENTS_PER_QUERY),
                "fragments",
            ),
        }
    }

    pub(crate) async fn query(&self, deadline: Instant) -> Result<Slot> {
        self.queries.enter(deadline).await
    }

    /// Takes a place for a speculative query, whose rows no client has requested yet. It takes only a free place, and
    /// only if more than half of the places are free.
    ///
    /// # Errors
    /// `ResourceExhausted`.
    pub(crate) fn query_ahead(&self) -> Result<Slot> {
        let free = self.queries.places.available_permits() > self.queries.setting.div_ceil(2);
        let permit = free.then(|| self.queries.places.clone().try_acquire_owned().ok()).flatten();
        let permit = permit
            .ok_or_else(|| Error::new(ErrorKind::ResourceExhausted, "no place is free for a speculative query"))?;
        Ok(Slot { _permit: permit })
    }

    pub(crate) async fn fragment(&self, deadline: Instant) -> Result<Slot> {
        self.fragments.enter(deadline).await
    }
}

impl SlotQueue {
    async fn enter(&self, deadline: Instant) -> Result<Slot> {
        if let Ok(permit) = self.places.clone().try_acquire_owned() {
            return Ok(Slot { _permit: permit });
        }
        let _waiting = Waiting::join(self)?;
        match tokio::time::timeout_at(deadline.into(), self.places.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Slot { _permit: permit }),
            Ok(Err(_)) => Err(Error::new(ErrorKind::Cancelled, "the engine is shutting down")),
            Err(_) => Err(Error::new(
                ErrorKind::DeadlineExceeded,
                format!(
                    "{} {} are running, and none of them ended before the timeout of this one",
                    self.setting, self.what
                ),
            )),
        }
    }
}

/// A query in the queue, which is counted while it waits.
struct Waiting<'a>(&'a SlotQueue);

impl<'a> Waiting<'a> {
    fn join(line: &'a SlotQueue) -> Result<Self> {
        let admitted =
            line.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < line.may_wait).then_some(n + 1));
        match admitted {
            Ok(_) => Ok(Self(line)),
            Err(waiting) => Err(Error::new(
                ErrorKind::ResourceExhausted,
                format!(
                    "{} {} are running and {waiting} are waiting (limits.concurrent_queries, \
                     limits.queued_queries): try again later",
                    line.setting, line.what
                ),
            )),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn refuses_past_the_line_and_admits_when_a_place_is_free() {
        let limits = Limits { concurrent_queries: 1, queued_queries: 1, ..Limits::default() };
        let admission = Arc::new(Admission::new(&limits));
        let soon = Instant::now() + Duration::from_secs(60);
        let first = admission.query(soon).await.unwrap();
        let second = tokio::spawn({
            let admission = admission.clone();
            async move { admission.query(soon).await }
        });
        while admission.queries.waiting.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(admission.query(soon).await.unwrap_err().kind(), ErrorKind::ResourceExhausted);
        drop(first);
        let second = second.await.unwrap().unwrap();
        let past = Instant::now();
        assert_eq!(admission.query(past).await.unwrap_err().kind(), ErrorKind::DeadlineExceeded);
        assert_eq!(admission.queries.waiting.load(Ordering::Relaxed), 0);
        // Fragments do not wait for queries.
        admission.fragment(soon).await.unwrap();
        drop(second);
        admission.query(soon).await.unwrap();
    }

    #[tokio::test]
    async fn half_of_the_places_are_for_those_who_ask() {
        let admission = Admission::new(&Limits { concurrent_queries: 4, queued_queries: 0, ..Limits::default() });
        let ahead: Vec<_> = std::iter::from_fn(|| admission.query_ahead().ok()).collect();
        assert_eq!(ahead.len(), 2);
        let asked = [admission.query(Instant::now()).await.unwrap(), admission.query(Instant::now()).await.unwrap()];
        assert_eq!(admission.query_ahead().unwrap_err().kind(), ErrorKind::ResourceExhausted);
        drop((ahead, asked));
        admission.query_ahead().unwrap();
        let single = Admission::new(&Limits { concurrent_queries: 1, ..Limits::default() });
        assert_eq!(single.query_ahead().unwrap_err().kind(), ErrorKind::ResourceExhausted);
    }
}
