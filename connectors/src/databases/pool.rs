//! The pool of a database's connections: bounded, and with an error that says what to do if it is exhausted.

use std::time::{Duration, Instant};

use deadpool::Runtime;
use deadpool::managed::{Manager, Object, Pool, PoolConfig, PoolError, QueueMode, TimeoutType, Timeouts};

use super::database::Origin;
use crate::error::{Error, ErrorKind, Result};
use crate::source_options::DatabaseOptions;

/// The time in which an idle connection must prove that it still works.
const RECYCLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns a pool with the largest number of connections that the options permit. It has none yet.
///
/// # Errors
/// `Internal` if the pool cannot be built.
pub(crate) fn pool<M: Manager>(manager: M, options: &DatabaseOptions) -> Result<Pool<M>> {
    let timeouts = Timeouts { wait: None, create: None, recycle: Some(RECYCLE_TIMEOUT) };
    // The connection that was used last is the least likely to be closed.
    let config = PoolConfig { max_size: options.connections.max(1), timeouts, queue_mode: QueueMode::Lifo };
    let built = Pool::builder(manager).config(config).runtime(Runtime::Tokio1).build();
    built.map_err(|e| Error::new(ErrorKind::Internal, "cannot build a pool of connections").with_source(e))
}

/// Returns a connection of the pool. Waits for a free one for at most `wait`, and until `until`.
///
/// # Errors
/// `ResourceExhausted` if no connection becomes free in that time; `DeadlineExceeded`; the error of the manager if it
/// cannot connect.
pub(crate) async fn connection<M: Manager<Error = Error>>(
    pool: &Pool<M>,
    origin: &Origin,
    wait: Duration,
    until: Instant,
) -> Result<Object<M>> {
    let timeouts = Timeouts { wait: Some(wait), ..pool.timeouts() };
    let connection = tokio::time::timeout_at(until.into(), pool.timeout_get(&timeouts)).await;
    connection.map_err(|_| origin.late())?.map_err(|e| match e {
        PoolError::Backend(e) => e,
        PoolError::Timeout(TimeoutType::Wait) => origin.exhausted(pool.status().max_size),
        e => Error::new(ErrorKind::Internal, format!("{}: the pool of connections failed", origin.shown))
            .with_detail(&format!(": {e}")),
    })
}

/// Returns a connection if one is free at once, or if the pool can open one more.
pub(crate) async fn free_connection<M: Manager<Error = Error>>(pool: &Pool<M>) -> Option<Object<M>> {
    pool.timeout_get(&Timeouts { wait: Some(Duration::ZERO), ..pool.timeouts() }).await.ok()
}
