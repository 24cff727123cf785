//! The pool: a bounded number of connections, each with a clean session.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool::managed::{self, Metrics, Object, Pool, RecycleError, RecycleResult};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::server::Server;
use super::session::Session;
use crate::databases::pool;
use crate::error::{Error, Result};

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
        let pool = pool::pool(Manager(server.clone()), &server.options)?;
        Ok(Self { pool, server })
    }

    /// Returns a session that must end by `deadline`.
    ///
    /// # Errors
    /// As [`pool::connection`], and as [`Server::connect`].
    pub(super) async fn session(&self, deadline: Instant) -> Result<Session> {
        let wait = Duration::from_secs(self.server.options.connection_wait);
        let connection = pool::connection(&self.pool, &self.server.origin, wait, deadline).await?;
        Ok(Session::new(connection, self.server.clone(), deadline))
    }
}

/// A connection on its way out of the pool. It keeps its place in the pool until it is dropped.
pub(super) struct Removed(Option<Object<Manager>>);

impl Removed {
    pub(super) fn new(connection: Object<Manager>) -> Self {
        Self(Some(connection))
    }

    /// Returns the number of the connection at its server, and the address of the server.
    pub(super) fn place(&self) -> Option<(u32, IpAddr)> {
        let connection = self.0.as_ref()?;
        Some((connection.id(), *connection.opts().resolved_ips().as_ref()?.first()?))
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
