//! The pool: a bounded number of connections, each with a clean session.

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool::Runtime;
use deadpool::managed::{self, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult, Timeouts};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::errors;
use super::server::Server;
use super::session::Session;
use crate::error::{Error, ErrorKind, Result};

/// The time that the server has to answer before a connection is used again.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// Opens connections for the pool.
pub(super) struct Manager(Arc<Server>);

impl managed::Manager for Manager {
    type Type = Conn;
    type Error = Error;

    async fn create(&self) -> Result<Conn> {
        self.0.connect().await
    }

    async fn recycle(&self, conn: &mut Conn, _: &Metrics) -> RecycleResult<Error> {
        // The server closes idle connections, and ends.
        conn.ping().await.map_err(|_| RecycleError::message("the connection is closed"))
    }
}

/// The connections to a database.
pub(super) struct Connections {
    pool: Pool<Manager>,
    server: Arc<Server>,
}

impl Connections {
    pub(super) fn new(server: Arc<Server>) -> Result<Self> {
        let pool = Pool::builder(Manager(server.clone()))
            .max_size(server.options.connections.max(1))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|e| Error::new(ErrorKind::Internal, format!("the pool of connections cannot be created: {e}")))?;
        Ok(Self { pool, server })
    }

    /// Returns a session that must end by `deadline`.
    ///
    /// # Errors
    /// `ResourceExhausted` if no connection becomes free in time; otherwise as [`Server::connect`].
    pub(super) async fn session(&self, deadline: Instant) -> Result<Session> {
        let wait = Duration::from_secs(self.server.options.connection_wait);
        let left = deadline.saturating_duration_since(Instant::now());
        let timeouts =
            Timeouts { wait: Some(wait.min(left)), create: Some(left), recycle: Some(ANSWER_TIME.min(left)) };
        match self.pool.timeout_get(&timeouts).await {
            Ok(connection) => Ok(Session::new(connection, self.server.clone(), deadline)),
            Err(PoolError::Backend(error)) => Err(error),
            Err(PoolError::Timeout(_)) if Instant::now() >= deadline => Err(errors::late(&self.server.origin)),
            Err(PoolError::Timeout(_)) => Err(self.exhausted()),
            Err(error) => Err(Error::new(
                ErrorKind::Internal,
                format!("the pool of connections to {} failed: {error}", self.server.origin.shown),
            )),
        }
    }

    fn exhausted(&self) -> Error {
        let options = &self.server.options;
        Error::new(
            ErrorKind::ResourceExhausted,
            format!(
                "all {} connections to {} were in use for {} seconds: try again later, or raise \
                 `sources.<server>.database.connections` in the config",
                options.connections, self.server.origin.shown, options.connection_wait
            ),
        )
        .with_retry_after(Duration::from_secs(1))
    }
}

/// A connection on its way out of the pool. It keeps its place in the pool until it is dropped.
pub(super) struct Removed(Option<Object<Manager>>);

impl Removed {
    pub(super) fn new(connection: Object<Manager>) -> Self {
        Self(Some(connection))
    }

    pub(super) fn id(&self) -> Option<u32> {
        self.0.as_ref().map(|connection| connection.id())
    }
}

impl Drop for Removed {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            close(Object::take(connection));
        }
    }
}

/// Closes a connection without reading the rest of its result, which the driver does when it drops a connection. A
/// connection whose command was interrupted is closed at once: so a command is begun and dropped.
fn close(mut conn: Conn) {
    use futures::FutureExt;
    drop(conn.ping().now_or_never());
}
