//! Queries are begun when they are announced, so that their owners are at work while the client comes back for the rows.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portolan_engine::{Error, ErrorKind, Result};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::fetch::Rows;

/// How long a query that was begun waits for somebody to fetch it. One that is fetched later begins anew.
const LAPSES: Duration = Duration::from_secs(1);

type Begun = AbortOnDropHandle<Result<Rows>>;

/// The first run of a query, until somebody fetches its rows.
pub(crate) struct HeadStart(Arc<Mutex<Option<Begun>>>);

impl HeadStart {
    /// Begins what `rows` starts; it is given up when nobody came for it in time, or at `stop`.
    pub(crate) fn of(rows: impl Future<Output = Result<Rows>> + Send + 'static, stop: CancellationToken) -> Self {
        let begun = Arc::new(Mutex::new(Some(AbortOnDropHandle::new(tokio::spawn(rows)))));
        let waiting = Arc::downgrade(&begun);
        tokio::spawn(async move {
            // Either way, its time is over.
            let _ = tokio::time::timeout(LAPSES, stop.cancelled()).await;
            if let Some(begun) = waiting.upgrade() {
                drop(taken(&begun));
            }
        });
        Self(begun)
    }

    /// The rows, for the first who asks in time.
    pub(crate) async fn rows(&self) -> Option<Result<Rows>> {
        let begun = taken(&self.0)?;
        let broken = |e| Error::new(ErrorKind::Internal, "starting the statement ended abnormally").with_source(e);
        Some(begun.await.map_err(broken).and_then(|rows| rows))
    }
}

fn taken(begun: &Mutex<Option<Begun>>) -> Option<Begun> {
    begun.lock().unwrap_or_else(PoisonError::into_inner).take()
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
        (HeadStart::of(async move { Ok(rows.boxed()) }, stop.clone()), given_up)
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
}
