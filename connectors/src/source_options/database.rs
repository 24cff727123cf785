//! The options of a database in a node's config: the host and the account, TLS, the pool and limits.

use std::net::Ipv6Addr;
use std::path::PathBuf;

use portolan_catalog::DatabaseKind;
use serde::Deserialize;

use crate::secret::Secret;

/// The access to a database, under `sources.<server>.database` in the config. The account goes only to the host that the
/// config names.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseOptions {
    /// The host that the contract must name, and its port if it is not the usual one: `host` or `host:port`. The account
    /// goes to no other.
    pub host: Option<String>,
    /// The name of the account.
    pub user: Option<String>,
    /// The password of the account.
    pub password: Option<Secret>,
    /// The use of TLS. Default: `verify`, and `disable` for the addresses of this machine.
    pub tls: Option<TlsMode>,
    /// A file with the certificates of the authorities that are trusted, in PEM form. Default: those of the system.
    pub ca: Option<PathBuf>,
    /// The largest number of connections to the database, 1 to 1000. Default: 8.
    pub connections: usize,
    /// The largest number of connections that read one table at the same time, each a range of its rows, 1 to 64.
    /// Default: 2.
    pub scan_connections: usize,
    /// Seconds that a query waits for a free connection, 0 to 3600. Default: 10.
    pub connection_wait: u64,
    /// Seconds that the database has to accept a connection, 1 to 600. Default: 10.
    pub connect_timeout: u64,
}

impl Default for DatabaseOptions {
    fn default() -> Self {
        Self {
            host: None,
            user: None,
            password: None,
            tls: None,
            ca: None,
            connections: 8,
            scan_connections: 2,
            connection_wait: 10,
            connect_timeout: 10,
        }
    }
}

impl DatabaseOptions {
    /// True if the account may go to a database of this kind at this host. A host without a port has the usual one.
    pub fn is_for(&self, kind: DatabaseKind, host: &str, port: u16) -> bool {
        let Some((own, own_port)) = self.host.as_deref().map(split_port) else { return false };
        let is_same = without_brackets(own).eq_ignore_ascii_case(without_brackets(host));
        is_same && own_port.or(kind.usual_port()) == Some(port)
    }

    /// True if the options have an account, or a part of one.
    pub(crate) fn has_credentials(&self) -> bool {
        self.user.is_some() || self.password.is_some()
    }

    /// Returns the faults of single options.
    pub fn faults(&self) -> Vec<OptionFault> {
        let mut faults = vec![];
        let mut add = |key: &'static str, message: String| faults.push(OptionFault { key, message });
        if self.host.as_deref().is_some_and(|host| !is_host(host)) {
            // A URL may contain a password, so the message does not repeat the host.
            add("host", "expected `host` or `host:port`, such as `db.example.org:5432`".to_owned());
        }
        if self.password.is_some() && self.user.is_none() {
            add("password", "`user` is missing: the account of this password".to_owned());
        }
        if self.ca.is_some() && self.tls == Some(TlsMode::Disable) {
            add("ca", "connections have no TLS: remove `ca`, or `tls: disable`".to_owned());
        }
        let bounds = [
            ("connections", self.connections as u64, 1, 1000),
            ("scan_connections", self.scan_connections as u64, 1, 64),
            ("connection_wait", self.connection_wait, 0, 3600),
            ("connect_timeout", self.connect_timeout, 1, 600),
        ];
        for (key, value, smallest, largest) in bounds {
            if !(smallest..=largest).contains(&value) {
                add(key, format!("expected a number from {smallest} to {largest}, got {value}"));
            }
        }
        faults
    }
}

/// Returns the parts of `host` or `host:port`. An address of IPv6 has a port only behind brackets.
fn split_port(named: &str) -> (&str, Option<u16>) {
    let Some((host, port)) = named.rsplit_once(':') else { return (named, None) };
    let is_address = host.contains(':') && !host.ends_with(']');
    match port.parse() {
        Ok(port) if !is_address => (host, Some(port)),
        _ => (named, None),
    }
}

fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// True if a text has the form `host` or `host:port`. An address of IPv6 with a port is between brackets.
fn is_host(text: &str) -> bool {
    if text.parse::<Ipv6Addr>().is_ok() {
        return true;
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_known = match inner {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(is_name),
    };
    is_known && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0))
}

/// A fault of one option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionFault {
    /// The key of the option.
    pub key: &'static str,
    /// The message for a person.
    pub message: String,
}

/// The use of TLS for the connections to a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// Connections have no TLS.
    Disable,
    /// Connections have TLS, and the server's certificate must be valid for its host.
    Verify,
}
