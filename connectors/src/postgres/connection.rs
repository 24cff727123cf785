//! Connections: to the host, with TLS, with the account of the config, and with the settings that make the results of a
//! query depend on nothing but the query.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, io};

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, BufReader};
use tokio::net::{TcpStream, lookup_host};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::errors::{self, Work};
use crate::databases::{Origin, tls};
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;
use crate::source_options::DatabaseOptions;

/// The settings of each session. Those of the account, the database and the server may be others.
const SETTINGS: &str = "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; \
     SET search_path = ''; SET standard_conforming_strings = on; SET default_transaction_read_only = on; \
     SET extra_float_digits = 1; SET bytea_output = 'hex'; SET transform_null_equals = off; \
     SET quote_all_identifiers = off; SET client_min_messages = warning";
/// The name of sessions that run no query.
const APPLICATION: &str = "portolan";
/// The oldest version of PostgreSQL that connections accept: older ones do not say which collations are deterministic.
const OLDEST: u32 = 12;
/// The bytes that a connection reads from its socket at once.
const READ_BUFFER: usize = 64 << 10;
/// A connection that was idle for longer must answer before it is used.
const TRUSTED_IDLE: Duration = Duration::from_secs(20);

/// The host, the database and the account, and the way to connect to them.
pub(super) struct Connections {
    origin: Origin,
    host: String,
    port: u16,
    database: String,
    user: Option<String>,
    password: Option<Secret>,
    tls: Option<MakeRustlsConnect>,
    connect_timeout: Duration,
    /// The runtime of the connections. Queries run on others, which computations keep busy.
    io: Handle,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// A connection that was authenticated.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) client: Client,
    /// The major version of the server.
    pub(super) version: u32,
    /// The address of the server that the connection goes to. A host may have several.
    address: SocketAddr,
    /// The task that reads and writes.
    task: AbortHandle,
    returned: Instant,
}

impl Connection {
    /// Notes that the connection goes back to the pool.
    pub(super) fn returned(&mut self) {
        self.returned = Instant::now();
    }

    /// Closes the connection without waiting for the server.
    pub(super) fn abort(self) {
        self.task.abort();
    }
}

impl Connections {
    /// Returns the connections of a database, of which there are none yet.
    ///
    /// # Errors
    /// The certificates of authorities cannot be read; there is no tokio runtime.
    pub(super) fn new(
        origin: Origin,
        host: &str,
        port: u16,
        database: &str,
        options: &DatabaseOptions,
    ) -> Result<Self> {
        let io = Handle::try_current().map_err(|e| {
            let what = format!("{} can only be opened on a tokio runtime", origin.shown);
            Error::new(ErrorKind::Internal, what).with_source(e)
        })?;
        let tls = match tls::is_used(options, host) {
            true => Some(tls::client_config(options.ca.as_deref()).map_err(|e| e.within(&origin.shown))?),
            false => None,
        };
        Ok(Self {
            origin,
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port,
            database: database.to_owned(),
            user: options.user.clone(),
            password: options.password.clone(),
            tls: tls.map(MakeRustlsConnect::new),
            connect_timeout: Duration::from_secs(options.connect_timeout),
            io,
        })
    }

    /// Returns the runtime of the connections.
    pub(super) fn io(&self) -> &Handle {
        &self.io
    }

    /// Cancels the statement that runs on a connection. Returns when the server has done so: a later statement of the
    /// connection is not affected.
    pub(super) async fn cancel(&self, connection: &Connection) -> Result<()> {
        let lost = |e| errors::error(&self.origin, Work::Connect, Instant::now(), e);
        let token = connection.client.cancel_token();
        let (socket, mut watched) =
            twice(self.socket(&[connection.address]).await?).map_err(|e| self.unreachable(&e))?;
        match &self.tls {
            Some(tls) => {
                token.cancel_query_raw(socket, rustls_connect::<TcpStream>(tls, &self.host)).await.map_err(lost)?
            }
            None => token.cancel_query_raw(socket, NoTls).await.map_err(lost)?,
        }
        // The server closes the connection after it has sent the signal.
        let mut rest = [0; 64];
        while matches!(watched.read(&mut rest).await, Ok(1..)) {}
        Ok(())
    }

    async fn connect(&self) -> Result<Connection> {
        let addresses: Vec<_> =
            lookup_host((self.host.as_str(), self.port)).await.map_err(|e| self.unreachable(&e))?.collect();
        let socket = self.socket(&addresses).await?;
        let address = socket.peer_addr().map_err(|e| self.unreachable(&e))?;
        let socket = BufReader::with_capacity(READ_BUFFER, socket);
        let config = self.config()?;
        let lost = |e| errors::error(&self.origin, Work::Connect, Instant::now(), e);
        let (client, version, task) = match &self.tls {
            Some(tls) => {
                let tls = rustls_connect::<BufReader<TcpStream>>(tls, &self.host);
                let (client, connection) = config.connect_raw(socket, tls).await.map_err(lost)?;
                (client, version(connection.parameter("server_version")), self.io.spawn(connection).abort_handle())
            }
            None => {
                let (client, connection) = config.connect_raw(socket, NoTls).await.map_err(lost)?;
                (client, version(connection.parameter("server_version")), self.io.spawn(connection).abort_handle())
            }
        };
        if version < OLDEST {
            let what = format!("{}: expected PostgreSQL {OLDEST} or later, got {version}", self.origin.shown);
            return Err(Error::new(ErrorKind::Unsupported, what));
        }
        client.batch_execute(SETTINGS).await.map_err(lost)?;
        Ok(Connection { client, version, address, task, returned: Instant::now() })
    }

    fn config(&self) -> Result<Config> {
        let mut config = Config::new();
        config.dbname(&self.database).application_name(APPLICATION);
        config.ssl_mode(if self.tls.is_some() { SslMode::Require } else { SslMode::Disable });
        config.user(self.user.as_deref().unwrap_or(APPLICATION));
        if let Some(password) = &self.password {
            let unknown = |cause: String| {
                let what = format!("{}: the password in the node's config cannot be read", self.origin.shown);
                let details = format!("{what}: {cause}");
                Error::new(ErrorKind::SiteUnavailable, what).for_owner(details)
            };
            config.password(password.reveal().map_err(unknown)?);
        }
        Ok(config)
    }

    /// Connects to the first address that answers.
    async fn socket(&self, addresses: &[SocketAddr]) -> Result<TcpStream> {
        let socket = TcpStream::connect(addresses).await.map_err(|e| self.unreachable(&e))?;
        socket.set_nodelay(true).map_err(|e| self.unreachable(&e))?;
        Ok(socket)
    }

    fn unreachable(&self, cause: &io::Error) -> Error {
        let what = format!("{} cannot be reached", self.origin.shown);
        let details = format!("{what} ({}): {cause}", self.origin.url);
        Error::new(ErrorKind::SiteUnavailable, format!("{what}: {}", cause.kind())).for_owner(details)
    }

    fn silent(&self) -> Error {
        let what = format!("{} did not accept a connection within {:?}", self.origin.shown, self.connect_timeout);
        let details = format!("{what} ({})", self.origin.url);
        Error::new(ErrorKind::SiteUnavailable, what).for_owner(details)
    }
}

/// A shared [`Connections`], as the pool uses it.
#[derive(Clone, Debug)]
pub(super) struct Connector(pub(super) Arc<Connections>);

impl Manager for Connector {
    type Type = Connection;
    type Error = Error;

    async fn create(&self) -> Result<Connection> {
        let connections = self.0.clone();
        // If this future is dropped, the attempt goes on, and the connection is closed.
        let attempt = self.0.io.spawn(async move { timeout(connections.connect_timeout, connections.connect()).await });
        let ended = |e| {
            let what = format!("{}: the runtime of the connections has ended", self.0.origin.shown);
            Error::new(ErrorKind::Internal, what).with_source(e)
        };
        attempt.await.map_err(ended)?.map_err(|_| self.0.silent())?
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<Error> {
        let lost = |e| RecycleError::Backend(errors::error(&self.0.origin, Work::Connect, Instant::now(), e));
        if connection.client.is_closed() {
            return Err(RecycleError::message("the connection is closed"));
        }
        if connection.returned.elapsed() > TRUSTED_IDLE {
            connection.client.check_connection().await.map_err(lost)?;
        }
        Ok(())
    }
}

/// Returns a socket twice. The connection stays open until both are dropped.
fn twice(socket: TcpStream) -> io::Result<(TcpStream, TcpStream)> {
    let socket = socket.into_std()?;
    let second = socket.try_clone()?;
    Ok((TcpStream::from_std(socket)?, TcpStream::from_std(second)?))
}

fn rustls_connect<S>(tls: &MakeRustlsConnect, host: &str) -> <MakeRustlsConnect as MakeTlsConnect<S>>::TlsConnect
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Ok(connect) = MakeTlsConnect::<S>::make_tls_connect(&mut tls.clone(), host);
    connect
}

/// Returns the major version in the server's name of its version, such as `15.18 (Debian 15.18-0+deb12u1)` or `17beta1`.
fn version(name: Option<&str>) -> u32 {
    let name = name.unwrap_or_default();
    let end = name.find(|c: char| !c.is_ascii_digit()).unwrap_or(name.len());
    name[..end].parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_the_first_number() {
        let cases = [("15.18 (Debian 15.18-0+deb12u1)", 15), ("17beta1", 17), ("9.6.24", 9), ("12", 12), ("devel", 0)];
        for (name, expected) in cases {
            assert_eq!(version(Some(name)), expected, "{name}");
        }
        assert_eq!(version(None), 0);
    }
}
