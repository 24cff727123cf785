//! The threads that read the file, at most one for each connection, and the connections that are free.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::link::Link;
use super::place::Place;
use super::stop::{Stop, StopOnDrop};
use crate::error::{Error, ErrorKind, Result};
use crate::panics::caught;
use crate::poison::lock;

/// The time that a thread has to notice its deadline.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// The threads and the free connections.
pub(super) struct Pool {
    pub(super) place: Arc<Place>,
    permits: Arc<Semaphore>,
    connections: usize,
    wait: Duration,
    free: Mutex<Vec<Link>>,
}

/// The right to run one thread.
pub(super) struct Permit(OwnedSemaphorePermit);

impl Pool {
    pub(super) fn new(place: Place, connections: usize, wait: Duration) -> Arc<Self> {
        let connections = connections.max(1);
        let permits = Arc::new(Semaphore::new(connections));
        Arc::new(Self { place: Arc::new(place), permits, connections, wait, free: Mutex::default() })
    }

    /// Waits for the right to run a thread.
    ///
    /// # Errors
    /// `ResourceExhausted` if none is free within the time to wait, `DeadlineExceeded` if the deadline is before it.
    pub(super) async fn permit(&self, deadline: Instant) -> Result<Permit> {
        let wait = self.wait.min(deadline.saturating_duration_since(Instant::now()));
        match tokio::time::timeout(wait, self.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Permit(permit)),
            _ if wait < self.wait => {
                Err(self.place.error(ErrorKind::DeadlineExceeded, "no connection was free before the deadline"))
            }
            _ => Err(self.place.origin.exhausted(self.connections)),
        }
    }

    /// Runs work over a connection that reads, in a thread of its own.
    pub(super) fn start<T: Send + 'static>(
        self: &Arc<Self>,
        permit: Permit,
        stop: &Arc<Stop>,
        work: impl FnOnce(&mut Link, &Stop) -> Result<T> + Send + 'static,
    ) -> oneshot::Receiver<Result<T>> {
        let pool = self.clone();
        self.spawn(permit, stop, move |stop| pool.over_link(stop, work))
    }

    /// Runs work in a thread of its own.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        permit: Permit,
        stop: &Arc<Stop>,
        work: impl FnOnce(&Arc<Stop>) -> Result<T> + Send + 'static,
    ) -> oneshot::Receiver<Result<T>> {
        let (sender, receiver) = oneshot::channel();
        let (place, stop) = (self.place.clone(), stop.clone());
        let body = move || {
            let result = caught(|| work(&stop)).unwrap_or_else(|panic| {
                Err(place.error(ErrorKind::Internal, "a bug ended the query").with_source(panic))
            });
            // The connection is free before its result arrives.
            drop(permit.0);
            drop(sender.send(result));
        };
        if let Err(error) = std::thread::Builder::new().name("sqlite".to_owned()).spawn(body) {
            tracing::warn!(%error, "cannot start a thread");
        }
        receiver
    }

    /// Runs work over a connection that reads, and waits for its result. If the future is dropped, the work stops.
    ///
    /// # Errors
    /// As [`Pool::permit`], and the error of the work.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        until: Instant,
        work: impl FnOnce(&mut Link, &Stop) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit = self.permit(until).await?;
        let stop = StopOnDrop(Stop::new(until));
        let result = self.start(permit, &stop.0, work);
        self.result_of(result, until).await
    }

    /// Waits for the result of a thread.
    ///
    /// # Errors
    /// The error of the work; `DeadlineExceeded` for a thread that hangs.
    pub(super) async fn result_of<T>(&self, result: oneshot::Receiver<Result<T>>, until: Instant) -> Result<T> {
        match tokio::time::timeout_at((until + GRACE).into(), result).await {
            Ok(Ok(result)) => result,
            _ => Err(self.place.lost(until)),
        }
    }

    fn over_link<T>(&self, stop: &Arc<Stop>, work: impl FnOnce(&mut Link, &Stop) -> Result<T>) -> Result<T> {
        let failed = |error: rusqlite::Error| self.place.failed(&error, stop);
        let mut link = self.link().map_err(failed)?;
        stop.attach(&mut link.connection, self.place.lock_wait).map_err(failed)?;
        let result = work(&mut link, stop);
        let is_clean = stop.detach(&mut link.connection).and_then(|()| link.end()).is_ok();
        // A file that failed may be gone or damaged: the next query opens it again.
        if is_clean && !result.as_ref().is_err_and(|error: &Error| error.kind() == ErrorKind::SiteUnavailable) {
            lock(&self.free).push(link);
        }
        result
    }

    /// Returns a free connection to the file that is at the path now, or opens one.
    fn link(&self) -> rusqlite::Result<Link> {
        loop {
            let Some(link) = lock(&self.free).pop() else { break };
            if !link.is_stale(&self.place) {
                return Ok(link);
            }
        }
        Link::open(&self.place)
    }
}
