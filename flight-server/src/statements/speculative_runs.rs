//! Speculative runs: a query starts when it is announced, so that its owners work before the client fetches the rows.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portolan_connectors::lock;
use portolan_engine::{Error, ErrorKind, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::execution::Rows;

/// The time that a started query waits for a client to fetch its rows. A later fetch starts the query again.
const LAPSES: Duration = Duration::from_secs(1);
/// The largest number of started queries that no client has fetched yet. A query that has ended holds rows, but no
/// admission slot.
const MOST: usize = 256;

/// The starter of speculative runs, with a bound on their number.
pub(crate) struct SpeculativeRuns(Arc<Semaphore>);

/// The speculative run of a query, until a client fetches its rows. It is empty until the run starts.
#[derive(Clone, Default)]
pub(crate) struct SpeculativeRun(Arc<Mutex<Option<StartedRun>>>);

struct StartedRun {
    rows: AbortOnDropHandle<Result<Rows>>,
    _lapse: AbortOnDropHandle<()>,
    _permit: OwnedSemaphorePermit,
}

impl SpeculativeRuns {
    /// Starts `rows` as the run of a query, if there is room. The run is cancelled if no client fetches it in time, or
    /// at `stop`.
    pub(crate) fn start(
        &self,
        run: &SpeculativeRun,
        rows: impl Future<Output = Result<Rows>> + Send + 'static,
        stop: &CancellationToken,
    ) {
        let Ok(permit) = self.0.clone().try_acquire_owned() else { return };
        let (waiting, stop) = (Arc::downgrade(&run.0), stop.clone());
        let lapse = async move {
            // In both cases, the run is over.
            let _ = tokio::time::timeout(LAPSES, stop.cancelled()).await;
            if let Some(run) = waiting.upgrade() {
                drop(taken(&run));
            }
        };
        *lock(&run.0) = Some(StartedRun {
            rows: AbortOnDropHandle::new(tokio::spawn(rows)),
            _lapse: AbortOnDropHandle::new(tokio::spawn(lapse)),
            _permit: permit,
        });
    }
}

impl Default for SpeculativeRuns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }
}

impl SpeculativeRun {
    /// Cancels the run, because its rows are not those that the query would return now.
    pub(crate) fn cancel(&self) {
        drop(taken(&self.0));
    }

    /// Returns the rows to the first client that requests them in time; `None` if the query has to start again.
    pub(crate) async fn rows(&self) -> Option<Result<Rows>> {
        let started = taken(&self.0)?;
        match started.rows.await {
            // A client's request may wait for resources that a speculative run did not get.
            Ok(Err(e)) if matches!(e.kind(), ErrorKind::ResourceExhausted | ErrorKind::DeadlineExceeded) => None,
            Ok(rows) => Some(rows),
            Err(e) => {
                Some(Err(Error::new(ErrorKind::Internal, "starting the statement ended abnormally").with_source(e)))
            }
        }
    }
}

fn taken(run: &Mutex<Option<StartedRun>>) -> Option<StartedRun> {
    lock(run).take()
}

impl fmt::Debug for SpeculativeRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpeculativeRun").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures::{StreamExt, stream};
    use tokio::sync::oneshot;

    use super::*;

    /// Returns a started run, and a channel that closes when the run is cancelled.
    fn running(stop: &CancellationToken) -> (SpeculativeRun, oneshot::Receiver<()>) {
        let (held, cancelled) = oneshot::channel();
        let rows = stream::once(async move {
            let _held: oneshot::Sender<()> = held;
            std::future::pending().await
        });
        (started(&SpeculativeRuns::default(), async move { Ok(rows.boxed()) }, stop), cancelled)
    }

    fn started(
        runs: &SpeculativeRuns,
        rows: impl Future<Output = Result<Rows>> + Send + 'static,
        stop: &CancellationToken,
    ) -> SpeculativeRun {
        let run = SpeculativeRun::default();
        runs.start(&run, rows, stop);
        run
    }

    #[tokio::test]
    async fn the_first_client_in_time_has_the_rows() {
        let (run, mut cancelled) = running(&CancellationToken::new());
        let rows = run.rows().await.unwrap().unwrap();
        assert!(run.rows().await.is_none());
        tokio::time::sleep(LAPSES + LAPSES / 4).await;
        assert!(cancelled.try_recv().is_err_and(|e| e == oneshot::error::TryRecvError::Empty));
        drop(rows);
        assert!(cancelled.await.is_err());
    }

    #[tokio::test]
    async fn a_run_that_nobody_fetches_is_cancelled() {
        let (late, cancelled) = running(&CancellationToken::new());
        tokio::time::timeout(2 * LAPSES, cancelled).await.unwrap().unwrap_err();
        assert!(late.rows().await.is_none());

        let stop = CancellationToken::new();
        let (stopped, cancelled) = running(&stop);
        stop.cancel();
        tokio::time::timeout(LAPSES / 2, cancelled).await.unwrap().unwrap_err();
        assert!(stopped.rows().await.is_none());

        let (forgotten, cancelled) = running(&CancellationToken::new());
        drop(forgotten);
        tokio::time::timeout(LAPSES / 2, cancelled).await.unwrap().unwrap_err();
    }

    #[tokio::test]
    async fn no_more_runs_are_started_than_there_is_room_for() {
        let (runs, stop) = (SpeculativeRuns(Arc::new(Semaphore::new(1))), CancellationToken::new());
        let rows = || async { Ok(stream::empty().boxed()) };
        let first = started(&runs, rows(), &stop);
        assert!(started(&runs, rows(), &stop).rows().await.is_none());
        assert!(first.rows().await.is_some());
        assert!(started(&runs, rows(), &stop).rows().await.is_some());
        let stale = started(&runs, rows(), &stop);
        stale.cancel();
        assert!(stale.rows().await.is_none());
        let refused = async { Err(Error::new(ErrorKind::ResourceExhausted, "no slot")) };
        assert!(started(&runs, refused, &stop).rows().await.is_none());
        let failed = async { Err(Error::new(ErrorKind::SiteUnavailable, "down")) };
        assert!(started(&runs, failed, &stop).rows().await.is_some_and(|rows| rows.is_err()));
    }
}
