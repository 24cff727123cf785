//! Counts what the databases send: the rows of their statements, and the bytes of all connections to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use portolan_node::{Error, Result};
use portolan_testbed::mesh::DomainDatabase;
use portolan_testbed::postgres::PostgresServer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::sides::failed;

const BUFFER_BYTES: usize = 64 << 10;
/// The rows of all statements since the last reset, by database.
const ROWS: &str = "SELECT d.datname::text, coalesce(sum(s.rows), 0)::bigint FROM pg_database d \
                    LEFT JOIN pg_stat_statements s ON s.dbid = d.oid GROUP BY d.datname";

/// What a database sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// The rows of its statements.
    pub rows: u64,
    /// The bytes of its connections.
    pub bytes: u64,
}

/// A proxy before each database. The proxies end with this value.
pub struct Traffic {
    databases: Vec<DomainDatabase>,
    bytes: Vec<Arc<AtomicU64>>,
    statements: tokio_postgres::Client,
    _proxies: JoinSet<()>,
}

impl Traffic {
    /// Starts a proxy for each database.
    ///
    /// # Errors
    /// A server without `pg_stat_statements`; no free port.
    pub async fn watch(server: &PostgresServer, databases: &[DomainDatabase]) -> Result<Self> {
        let statements = server.connect("postgres").await?;
        statements.batch_execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").await.map_err(failed)?;
        let (mut proxies, mut behind, mut bytes) = (JoinSet::new(), vec![], vec![]);
        for database in databases {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await;
            let bound = listener.and_then(|listener| Ok((listener.local_addr()?.port(), listener)));
            let (port, listener) = bound.map_err(|e| Error::failed("there is no free port").with_source(e))?;
            let counter = Arc::new(AtomicU64::new(0));
            proxies.spawn(accept(listener, server.port(), Arc::clone(&counter)));
            let mut database = database.clone();
            database.server["port"] = port.into();
            database.sources["warehouse"]["database"]["host"] = format!("127.0.0.1:{port}").into();
            behind.push(database);
            bytes.push(counter);
        }
        Ok(Self { databases: behind, bytes, statements, _proxies: proxies })
    }

    /// Returns the databases with the addresses of their proxies.
    pub fn databases(&self) -> &[DomainDatabase] {
        &self.databases
    }

    /// Begins to count anew.
    ///
    /// # Errors
    /// A server that has ended.
    pub async fn reset(&self) -> Result<()> {
        self.statements.execute("SELECT pg_stat_statements_reset()", &[]).await.map_err(failed)?;
        self.bytes.iter().for_each(|bytes| bytes.store(0, Ordering::Relaxed));
        Ok(())
    }

    /// Returns what each database sent, in the order of the databases.
    ///
    /// # Errors
    /// A server that has ended.
    pub async fn sent(&self) -> Result<Vec<Sent>> {
        let rows = self.statements.query(ROWS, &[]).await.map_err(failed)?;
        let rows_of = |name: &str| {
            let row = rows.iter().find(|row| row.get::<_, &str>(0) == name);
            row.map_or(0, |row| row.get::<_, i64>(1).unsigned_abs())
        };
        let sent = self.databases.iter().zip(&self.bytes);
        Ok(sent
            .map(|(database, bytes)| Sent { rows: rows_of(database.domain), bytes: bytes.load(Ordering::Relaxed) })
            .collect())
    }
}

/// Accepts connections for the server at this port.
async fn accept(listener: TcpListener, port: u16, bytes: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let bytes = Arc::clone(&bytes);
        connections.spawn(async move {
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let uncounted = AtomicU64::new(0);
            tokio::select! {
                () = copy(from_client, to_server, &uncounted) => {}
                () = copy(from_server, to_client, &bytes) => {}
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Copies bytes until either end closes.
async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, bytes: &AtomicU64) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        bytes.fetch_add(read as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
