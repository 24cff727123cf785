//! One PostgreSQL server for all tests of this process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use portolan_testbed::postgres::PostgresServer;
use tokio::sync::OnceCell;

/// Returns the server, or `None` without PostgreSQL's programs, after a message. Under CI, it panics instead.
pub async fn server() -> Option<&'static PostgresServer> {
    static SERVER: OnceCell<Option<PostgresServer>> = OnceCell::const_new();
    SERVER.get_or_init(start).await.as_ref()
}

/// Starts a server of a test's own, which the test may stop. Returns `None` as [`server`] does.
pub async fn start() -> Option<PostgresServer> {
    let Some(programs) = PostgresServer::programs() else {
        super::missing("PostgreSQL (`initdb`, `postgres`)", "ports over PostgreSQL are");
        return None;
    };
    Some(PostgresServer::start(&programs).await.unwrap_or_else(|e| panic!("{}", e.owner_chain())))
}

/// Starts a server as [`start`] does, at this port of loopback.
pub async fn start_at(port: u16) -> PostgresServer {
    let programs = PostgresServer::programs().expect("the programs were found before");
    PostgresServer::start_at(&programs, port).await.unwrap_or_else(|e| panic!("{}", e.owner_chain()))
}
