//! Queries are begun when they are announced, so that their owners are at work while the client comes back for the rows.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portolan_engine::{Error, ErrorKind, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::execution::Rows;

/// How long a query that was begun waits for somebody to fetch it. One that is fetched later begins anew.
const LAPSES: Duration = Duration::from_secs(1);
/// Queries that were begun and not fetched, at most. Those that have ended hold rows, and no place.
const MOST: usize = 256;

/// Begins queries, so many at once.
pub(crate) struct HeadStarts(Arc<Semaphore>);

/// The first run of a query, until somebody fetches its rows; nothing until it is begun.
#[derive(Clone, Default)]
pub(crate) struct HeadStart(Arc<Mutex<Option<Begun>>>);

struct Begun {
    rows: AbortOnDropHandle<Result<Rows>>,
    _lapse: AbortOnDropHandle<()>,
    _permit: OwnedSemaphorePermit,
}

impl HeadStarts {
    /// Begins what `rows` starts, if there is room; it is given up when nobody came for it in time, or at `stop`.
    pub(crate) fn begin(
        &self,
        head_start: &HeadStart,
        rows: impl Future<Output = Result<Rows>> + Send + 'static,
        stop: &CancellationToken,
    ) {
        let Ok(permit) = self.0.clone().try_acquire_owned() else { return };
        let (waiting, stop) = (Arc::downgrade(&head_start.0), stop.clone());
        let lapse = async move {
            // Either way, its time is over.
            let _ = tokio::time::timeout(LAPSES, stop.cancelled()).await;
            if let Some(begun) = waiting.upgrade() {
                drop(taken(&begun));
            }
        };
        *lock(&head_start.0) = Some(Begun {
            rows: AbortOnDropHandle::new(tokio::spawn(rows)),
            _lapse: AbortOnDropHandle::new(tokio::spawn(lapse)),
            _permit: permit,
        });
    }
}

impl Default for HeadStarts {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }
}

impl HeadStart {
    /// Ends it: its rows are not what they would be now.
    pub(crate) fn give_up(&self) {
        drop(taken(&self.0));
    }

    /// The rows, for the first who asks in time; `None` where the query has to begin anew.
    pub(crate) async fn rows(&self) -> Option<Result<Rows>> {
        let begun = taken(&self.0)?;
        match begun.rows.await {
            // Who asks may wait for what was not to be had ahead.
            Ok(Err(e)) if matches!(e.kind(), ErrorKind::ResourceExhausted | ErrorKind::DeadlineExceeded) => None,
            Ok(rows) => Some(rows),
            Err(e) => {
                Some(Err(Error::new(ErrorKind::Internal, "starting the statement ended abnormally").with_source(e)))
            }
        }
    }
}

fn taken(begun: &Mutex<Option<Begun>>) -> Option<Begun> {
    lock(begun).take()
}

fn lock(begun: &Mutex<Option<Begun>>) -> MutexGuard<'_, Option<Begun>> {
    begun.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for HeadStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeadStart").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures::{StreamExt, stream};
    use tokio::sync::oneshot;

    use super::*;

    /// A query that was begun, and what tells when it is given up.
    fn begun(stop: &CancellationToken) -> (HeadStart, oneshot::Receiver<()>) {
        let (held, given_up) = oneshot::channel();
        let rows = stream::once(async move {
            let _held: oneshot::Sender<()> = held;
            std::future::pending().await
        });
        (started(&HeadStarts::default(), async move { Ok(rows.boxed()) }, stop), given_up)
    }

    fn started(
        starts: &HeadStarts,
        rows: impl Future<Output = Result<Rows>> + Send + 'static,
        stop: &CancellationToken,
    ) -> HeadStart {
        let head_start = HeadStart::default();
        starts.begin(&head_start, rows, stop);
        head_start
    }

    #[tokio::test]
    async fn the_first_who_comes_in_time_has_the_rows() {
        let (head_start, mut given_up) = begun(&CancellationToken::new());
        let rows = head_start.rows().await.unwrap().unwrap();
        assert!(head_start.rows().await.is_none());
        tokio::time::sleep(LAPSES + LAPSES / 4).await;
        assert!(given_up.try_recv().is_err_and(|e| e == oneshot::error::TryRecvError::Empty));
        drop(rows);
        assert!(given_up.await.is_err());
    }

    #[tokio::test]
    async fn what_nobody_comes_for_is_given_up() {
        let (late, given_up) = begun(&CancellationToken::new());
        tokio::time::timeout(2 * LAPSES, given_up).await.unwrap().unwrap_err();
        assert!(late.rows().await.is_none());

        let stop = CancellationToken::new();
        let (stopped, given_up) = begun(&stop);
        stop.cancel();
        tokio::time::timeout(LAPSES / 2, given_up).await.unwrap().unwrap_err();
        assert!(stopped.rows().await.is_none());

        let (forgotten, given_up) = begun(&CancellationToken::new());
        drop(forgotten);
        tokio::time::timeout(LAPSES / 2, given_up).await.unwrap().unwrap_err();
    }

    #[tokio::test]
    async fn no_more_are_begun_than_there_is_room_for() {
        let (starts, stop) = (HeadStarts(Arc::new(Semaphore::new(1))), CancellationToken::new());
        let rows = || async { Ok(stream::empty().boxed()) };
        let first = started(&starts, rows(), &stop);
        assert!(started(&starts, rows(), &stop).rows().await.is_none());
        assert!(first.rows().await.is_some());
        assert!(started(&starts, rows(), &stop).rows().await.is_some());
        let stale = started(&starts, rows(), &stop);
        stale.give_up();
        assert!(stale.rows().await.is_none());
        let refused = async { Err(Error::new(ErrorKind::ResourceExhausted, "no place")) };
        assert!(started(&starts, refused, &stop).rows().await.is_none());
        let failed = async { Err(Error::new(ErrorKind::SiteUnavailable, "down")) };
        assert!(started(&starts, failed, &stop).rows().await.is_some_and(|rows| rows.is_err()));
    }
}
