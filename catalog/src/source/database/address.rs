//! The address of a database in a contract: a host with a port and a database, or the file of SQLite.

use std::net::Ipv6Addr;
use std::path::Path;

use serde_json::Value;

use crate::model::{DatabaseAddress, DatabaseKind};
use crate::odcs::{ContractServer, wrong};
use crate::server_rules::NO_CREDENTIALS;
use crate::source::files::scheme;
use crate::{Diagnostic, Place};

const HOST: &str = "expected the name or the address of a host, such as `db.example.org`";

/// A server that is a database.
pub(super) struct Server<'a, F> {
    pub(super) server: &'a ContractServer,
    pub(super) kind: DatabaseKind,
    /// Returns the place of a key of the server.
    pub(super) at: &'a F,
}

impl<F: Fn(&str) -> Place> Server<'_, F> {
    /// Returns the address. `folder` is that of the contract. Adds every fault to `errors`.
    pub(super) fn address(&self, folder: &Path, errors: &mut Vec<Diagnostic>) -> Option<DatabaseAddress> {
        let before = errors.len();
        errors.extend(self.keys_without_meaning());
        let address = match self.kind.usual_port() {
            Some(port) => self.in_network(port, errors),
            None => self.in_file(folder, errors),
        };
        address.filter(|_| errors.len() == before)
    }

    fn in_network(&self, usual_port: u16, errors: &mut Vec<Diagnostic>) -> Option<DatabaseAddress> {
        let mut add = |key: &str, message: String| errors.push(wrong((self.at)(key), message));
        let required = |key: &str| format!("the key `{key}` is missing");
        let host = self.server.host.as_deref().ok_or_else(|| required("host")).and_then(host);
        let host = host.map_err(|message| add("host", message)).ok();
        let port = self.server.port.as_ref().map_or(Ok(usual_port), port);
        let port = port.map_err(|message| add("port", message)).ok();
        let database = match self.server.database.as_deref() {
            None => Err(required("database")),
            Some(name) if name.trim().is_empty() || name.contains(char::is_control) => {
                Err("expected the name of a database".to_owned())
            }
            Some(name) => Ok(name.to_owned()),
        };
        let database = database.map_err(|message| add("database", message)).ok();
        Some(DatabaseAddress::Server { host: host?, port: port?, database: database? })
    }

    fn in_file(&self, folder: &Path, errors: &mut Vec<Diagnostic>) -> Option<DatabaseAddress> {
        let (key, path) = match (&self.server.path, &self.server.database) {
            (Some(_), Some(_)) => {
                let message = "`path` names the file of the database, too: remove one of them";
                errors.push(wrong((self.at)("database"), message));
                return None;
            }
            (Some(path), None) => ("path", path),
            (None, Some(path)) => ("database", path),
            (None, None) => {
                errors.push(wrong((self.at)("path"), "the key `path` is missing: the file of the database"));
                return None;
            }
        };
        // SQLite reads such names as URIs and as databases in memory.
        if path.trim().is_empty() || path.starts_with(':') || path.starts_with("file:") || scheme(path).is_some() {
            let message = "expected the path of a file, such as `../data/shop.db`";
            errors.push(wrong((self.at)(key), message));
            return None;
        }
        let base = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
        Some(DatabaseAddress::File { path: path.clone(), base })
    }

    /// Returns the errors for keys that have no meaning for a database of this kind.
    fn keys_without_meaning(&self) -> Vec<Diagnostic> {
        let ContractServer { location, endpoint_url, format, encoding, delimiter, account, schema, .. } = self.server;
        let product = self.kind.product();
        let of_files = "describes files, and the server is a database".to_owned();
        let is_file = self.kind.usual_port().is_none();
        let of_server = format!("has no meaning for {product}, which reads a file");
        let in_database = format!("has no meaning for {product}: `database` names the database");
        let keys = [
            ("location", location.is_some(), &of_files),
            ("endpointUrl", endpoint_url.is_some(), &of_files),
            ("format", format.is_some(), &of_files),
            ("encoding", encoding.is_some(), &of_files),
            ("delimiter", delimiter.is_some(), &of_files),
            ("path", self.server.path.is_some() && !is_file, &of_files),
            ("host", self.server.host.is_some() && is_file, &of_server),
            ("port", self.server.port.is_some() && is_file, &of_server),
            ("schema", schema.is_some() && is_file, &of_server),
            ("schema", schema.is_some() && !is_file && self.kind != DatabaseKind::Postgres, &in_database),
        ];
        let found = keys.into_iter().filter(|(_, is_set, _)| *is_set);
        let found = found.map(|(key, _, reason)| wrong((self.at)(key), format!("`{key}` {reason}")));
        found.chain(account.iter().map(|_| wrong((self.at)("account"), NO_CREDENTIALS))).collect()
    }
}

/// Returns the host that a text names. No message repeats the text, which may contain a password.
fn host(text: &str) -> Result<String, String> {
    if text.contains('@') {
        return Err(NO_CREDENTIALS.to_owned());
    }
    if scheme(text).is_some() {
        return Err(format!("{HOST}, got a URL: put its parts into `host`, `port` and `database`"));
    }
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if inner.parse::<Ipv6Addr>().is_ok() {
        return Ok(inner.to_owned());
    }
    if text.contains(':') {
        return Err(format!("{HOST}, got one with a port: put it into `port`"));
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    match !text.is_empty() && text.len() <= 253 && text.chars().all(is_name) {
        true => Ok(text.to_owned()),
        false => Err(HOST.to_owned()),
    }
}

/// Returns the port that a value stands for.
fn port(value: &Value) -> Result<u16, String> {
    let number = match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_u64().and_then(|number| u16::try_from(number).ok()),
    };
    number.filter(|port| *port != 0).ok_or_else(|| "expected a port from 1 to 65535".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_and_addresses() {
        for text in ["db.example.org", "localhost", "10.0.0.1", "::1", "db_1"] {
            assert_eq!(host(text), Ok(text.to_owned()));
        }
        assert_eq!(host("[2001:db8::1]"), Ok("2001:db8::1".to_owned()));
        for text in ["", " ", "db:5432", "a,b", "/var/run/postgresql", "${DB_HOST}", "postgres://db", "d\u{fc}b"] {
            assert!(host(text).is_err(), "{text}");
        }
        for text in ["me:hunter2@db", "postgres://me:hunter2@db/x"] {
            assert_eq!(host(text), Err(NO_CREDENTIALS.to_owned()));
        }
    }

    #[test]
    fn ports_are_numbers() {
        assert_eq!((port(&5432.into()), port(&"5433".into())), (Ok(5432), Ok(5433)));
        for value in [Value::from(0), 65536.into(), (-1).into(), "0".into(), "${DB_PORT}".into(), "".into()] {
            assert!(port(&value).is_err(), "{value}");
        }
    }
}
