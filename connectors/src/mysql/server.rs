//! A server: how a connection to it is opened, and how a running query is stopped.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error as MysqlError, IoError, Opts, OptsBuilder, Row, SslOpts};
use portolan_catalog::DatabaseKind;
use tokio::net::lookup_host;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::errors;
use super::values::text;
use crate::databases::{Origin, tls};
use crate::error::{Error, ErrorKind, Result};
use crate::source_options::DatabaseOptions;
use crate::sql::{self, SqlDialect};

/// The time after which the operating system tests an idle connection.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// The largest packet, in bytes.
const MAX_PACKET: usize = 1 << 30;

/// The SQL mode of every session. Quotes, `||` and backslashes mean what they mean in standard SQL, and a value that does
/// not fit is an error. `NO_AUTO_VALUE_ON_ZERO` keeps a zero from becoming a generated number.
const SQL_MODE: &str = "ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES,NO_UNSIGNED_SUBTRACTION,\
                        ONLY_FULL_GROUP_BY,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO";

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavor {
    MariaDb,
    MySql,
}

impl Flavor {
    fn of(kind: DatabaseKind) -> Option<Self> {
        match kind {
            DatabaseKind::MariaDb => Some(Self::MariaDb),
            DatabaseKind::MySql => Some(Self::MySql),
            DatabaseKind::Postgres | DatabaseKind::Sqlite => None,
        }
    }

    pub(super) fn dialect(self) -> &'static SqlDialect {
        match self {
            Self::MariaDb => &sql::MARIADB,
            Self::MySql => &sql::MYSQL,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::MariaDb => "MariaDB",
            Self::MySql => "MySQL",
        }
    }

    fn type_name(self) -> &'static str {
        match self {
            Self::MariaDb => DatabaseKind::MariaDb.type_name(),
            Self::MySql => DatabaseKind::MySql.type_name(),
        }
    }

    /// The first version that is supported: older ones lack a collation of bytes.
    fn oldest(self) -> (u32, u32, u32) {
        match self {
            Self::MariaDb => (10, 5, 0),
            Self::MySql => (8, 0, 17),
        }
    }

    /// Returns the statements that set up a session.
    fn settings(self) -> String {
        let (collation, own) = match self {
            // Hash joins compare the whole condition again, so a hash by a collation loses no row and adds none.
            // The cache of subqueries compares outer strings in the collation of their column. Aria loses rows of an
            // index whose condition it checks on the index. A hash join that filters its table by the row ids of an index
            // loses almost all rows. Only this many bytes of a string are sorted and grouped. A list of 1,000 numbers or more
            // would become a subquery: `EXPLAIN` has no useful estimate for it, and the server then reads the whole table
            // although an index has the keys. In a table of 1 M rows, 2,000 keys of an index take 15 ms instead of 330 ms,
            // and 16,000 keys 85 ms instead of 440 ms. Without an index there is no difference.
            Self::MariaDb => (
                "utf8mb4_nopad_bin",
                "join_cache_level = 4, optimizer_switch = \
                 'subquery_cache=off,index_condition_pushdown=off,rowid_filter=off', max_sort_length = 196620, sort_buffer_size = 8388608, \
                 in_predicate_conversion_threshold = 0",
            ),
            Self::MySql => ("utf8mb4_0900_bin", "information_schema_stats_expiry = 0"),
        };
        // A server's own `sql_select_limit` would cut results off, and `sql_auto_is_null` changes `IS NULL`. Notes
        // report values that a table has changed.
        format!(
            "SET NAMES utf8mb4 COLLATE {collation}; SET SESSION sql_mode = '{SQL_MODE}', time_zone = '+00:00', \
             sql_select_limit = 18446744073709551615, sql_auto_is_null = 0, sql_notes = 1, {own}; \
             SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"
        )
    }

    /// Returns the statement that stops queries after a time, and gives a slow reader that time.
    pub(super) fn time_limit(self, left: Duration) -> String {
        let limit = match self {
            Self::MariaDb => format!("max_statement_time = {:.3}", left.as_secs_f64().max(0.001)),
            Self::MySql => format!("max_execution_time = {}", left.as_millis().clamp(1, u128::from(u32::MAX))),
        };
        // The server closes a connection whose reader pauses for longer. Its default is 60 seconds.
        format!("SET SESSION {limit}, net_write_timeout = {}", left.as_secs().clamp(60, 86_400) + 10)
    }
}

/// A server, with the account that its connections use.
pub(super) struct Server {
    pub(super) flavor: Flavor,
    pub(super) origin: Origin,
    pub(super) options: DatabaseOptions,
    host: String,
    port: u16,
    database: String,
    /// The options for TLS; `None` for connections without it.
    tls: Option<SslOpts>,
    /// Held while a query is stopped: stopping takes one connection beside the pool, and never more.
    stopping: Mutex<()>,
}

impl Server {
    /// Returns a server to which no connection is open yet.
    ///
    /// # Errors
    /// Another kind of database; the certificates of authorities cannot be read.
    pub(super) fn new(
        kind: DatabaseKind,
        origin: Origin,
        host: &str,
        port: u16,
        database: &str,
        options: &DatabaseOptions,
    ) -> Result<Self> {
        let flavor = Flavor::of(kind).ok_or_else(|| {
            Error::new(ErrorKind::Internal, format!("expected MariaDB or MySQL, got `{}`", kind.type_name()))
        })?;
        let tls = match tls::is_used(options, host) {
            true => Some(ssl_opts(options).map_err(|e| e.within(&origin.shown))?),
            false => None,
        };
        // The driver uses the provider of the process. If another part has installed one, it is the same one.
        let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        Ok(Self {
            flavor,
            origin,
            options: options.clone(),
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            database: database.to_owned(),
            tls,
            stopping: Mutex::new(()),
        })
    }

    /// Opens a connection and sets up its session.
    ///
    /// # Errors
    /// `SiteUnavailable` if there is no connection in time, or the server refuses the account; `InvalidData` if the
    /// server is of another kind than the contract says; `Unsupported` for an old server.
    pub(super) async fn connect(&self) -> Result<Conn> {
        let limit = self.options.connect_timeout;
        match timeout(Duration::from_secs(limit), self.open()).await {
            Ok(connected) => connected,
            Err(_) => {
                let late = |name: &str| format!("{name} did not accept a connection within {limit} seconds");
                Err(Error::new(ErrorKind::SiteUnavailable, late(&self.origin.shown))
                    .for_owner(late(&self.origin.for_owner())))
            }
        }
    }

    async fn open(&self) -> Result<Conn> {
        let mut conn = self.authenticated().await?;
        let failed = |e| errors::failed(&self.origin, &e);
        let version: Option<Row> = conn.query_first("SELECT VERSION()").await.map_err(failed)?;
        self.check_version(&version.and_then(|row| text(&row, 0)).unwrap_or_default())?;
        conn.query_drop(self.flavor.settings()).await.map_err(failed)?;
        Ok(conn)
    }

    /// Connects to the first address of the host that answers. The options of the connection have this address only.
    async fn authenticated(&self) -> Result<Conn> {
        let failed = |e: &MysqlError| errors::not_connected(&self.origin, e);
        let found = lookup_host((self.host.as_str(), self.port)).await;
        let addresses: Vec<_> = found.map_err(|e| failed(&e.into()))?.map(|address| address.ip()).collect();
        let mut last = MysqlError::from(io::Error::new(io::ErrorKind::NotFound, "the host has no address"));
        for address in addresses {
            match Conn::new(self.opts(address)?).await {
                Ok(conn) => return Ok(conn),
                Err(error) if is_refused(&error) => last = error,
                Err(error) => return Err(failed(&error)),
            }
        }
        Err(failed(&last))
    }

    fn check_version(&self, version: &str) -> Result<()> {
        let found = if version.contains("MariaDB") { Flavor::MariaDb } else { Flavor::MySql };
        if found != self.flavor {
            return Err(Error::new(
                ErrorKind::InvalidData,
                format!(
                    "expected {} at {}, got {} ({version}): set the custom property `portolan.type` of this server to `{}` in the \
                     contract",
                    self.flavor.name(),
                    self.origin.shown,
                    found.name(),
                    found.type_name()
                ),
            ));
        }
        let oldest = found.oldest();
        if parsed_version(version).is_some_and(|version| version < oldest) {
            let (major, minor, patch) = oldest;
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "expected {} {major}.{minor}.{patch} or later at {}, got {version}",
                    found.name(),
                    self.origin.shown
                ),
            ));
        }
        Ok(())
    }

    /// Returns the options of connections to one address of the host.
    fn opts(&self, address: IpAddr) -> Result<Opts> {
        let password = match &self.options.password {
            Some(secret) => Some(secret.reveal().map_err(|why| {
                let unknown = format!("the password for {} cannot be read", self.origin.shown);
                Error::new(ErrorKind::SiteUnavailable, unknown.clone()).for_owner(format!("{unknown}: {why}"))
            })?),
            None => None,
        };
        let builder = OptsBuilder::default()
            .ip_or_hostname(self.host.clone())
            .tcp_port(self.port)
            .resolved_ips(Some([address]))
            .db_name(Some(self.database.clone()))
            .user(self.options.user.clone())
            .pass(password)
            // A socket would be another way than the host that the config names.
            .prefer_socket(false)
            // Otherwise, the server says how large its own packets may be.
            .max_allowed_packet(Some(MAX_PACKET))
            .tcp_keepalive(Some(KEEPALIVE));
        Ok(builder.ssl_opts(self.tls.clone()).into())
    }

    /// Stops a connection and its query at the server with this address, through another connection. The other servers of
    /// a host have other connections of the same number.
    pub(super) async fn kill(&self, id: u32, address: IpAddr) {
        let kill = async {
            let _one_at_a_time = self.stopping.lock().await;
            let mut conn = Conn::new(self.opts(address)?).await.map_err(|e| errors::not_connected(&self.origin, &e))?;
            // An unknown number means that the query has ended meanwhile.
            let _ = conn.query_drop(format!("KILL CONNECTION {id}")).await;
            conn.disconnect().await.map_err(|e| errors::failed(&self.origin, &e))
        };
        match timeout(Duration::from_secs(self.options.connect_timeout), kill).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(
                database = %self.origin.shown, error = %error.owner_chain(),
                "a query could not be stopped: the time limit of its statement stops it"
            ),
            Err(_) => tracing::warn!(
                database = %self.origin.shown,
                "a query could not be stopped in time: the time limit of its statement stops it"
            ),
        }
    }
}

/// Returns options for TLS with the authorities of the config and no others.
fn ssl_opts(options: &DatabaseOptions) -> Result<SslOpts> {
    let authorities = tls::authorities(options.ca.as_deref())?;
    let authorities = authorities.iter().map(|certificate| certificate.to_vec().into());
    Ok(SslOpts::default().with_root_certs(authorities.collect()).with_disable_built_in_roots(true))
}

/// True if an address did not accept a connection. Another address of the host may.
fn is_refused(error: &MysqlError) -> bool {
    // A certificate that is not trusted is invalid data.
    matches!(error, MysqlError::Io(IoError::Io(e)) if e.kind() != io::ErrorKind::InvalidData)
}

/// Returns the numbers of a version such as `10.11.6-MariaDB` or `5.5.5-10.11.6-MariaDB`, the form for old clients.
fn parsed_version(version: &str) -> Option<(u32, u32, u32)> {
    let version = version.strip_prefix("5.5.5-").unwrap_or(version);
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_three_numbers() {
        for (version, expected) in [
            ("10.11.6-MariaDB-0+deb12u1", Some((10, 11, 6))),
            ("5.5.5-10.4.2-MariaDB", Some((10, 4, 2))),
            ("8.0.36", Some((8, 0, 36))),
            ("8.4.0-log", Some((8, 4, 0))),
            ("none", None),
        ] {
            assert_eq!(parsed_version(version), expected, "{version}");
        }
    }

    #[test]
    fn the_time_limit_is_in_the_units_of_the_server() {
        let left = Duration::from_millis(2_500);
        assert_eq!(Flavor::MariaDb.time_limit(left), "SET SESSION max_statement_time = 2.500, net_write_timeout = 70");
        assert_eq!(Flavor::MySql.time_limit(left), "SET SESSION max_execution_time = 2500, net_write_timeout = 70");
        assert!(Flavor::MariaDb.time_limit(Duration::ZERO).contains("max_statement_time = 0.001,"), "0 is no limit");
    }
}
