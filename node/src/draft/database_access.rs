//! The database of a draft: its URL, and the access that the node's config needs.

use std::fmt::{self, Write as _};
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use portolan_catalog::nearest::nearest;
use portolan_catalog::{DatabaseAddress, DatabaseKind};
use portolan_connectors::Secret;
use portolan_connectors::{DatabaseOptions, TlsMode};
use url::Url;

use super::descriptors::yaml_string;
use super::names::identifier;
use crate::{Error, NodeConfig, Result};

/// The endings of the names of files of SQLite.
const SQLITE_ENDINGS: [&str; 3] = ["db", "sqlite", "sqlite3"];
/// The schema of PostgreSQL in which tables are by default.
const DEFAULT_SCHEMA: &str = "public";
/// The parameters of a URL.
const PARAMETERS: [&str; 3] = ["schema", "sslmode", "sslrootcert"];
const EXAMPLES: &str = "`postgres://user@host/database`, `mariadb://…`, `mysql://…` or `sqlite:///path/file.db`";

/// The URL of a database. Neither `Debug` nor an error shows the password.
#[derive(Clone)]
pub struct DatabaseUrl {
    /// The kind of the database.
    pub kind: DatabaseKind,
    /// The address of the database.
    pub address: DatabaseAddress,
    /// The schema, for a kind that has schemas in a database.
    pub schema: Option<String>,
    /// The account.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
    tls: Option<TlsMode>,
    ca: Option<PathBuf>,
}

/// The database of a drafted product, as a node's config has it: without the password.
#[derive(Clone, Debug)]
pub struct DatabaseAccess {
    /// The name of the contracts' server.
    pub(super) server: String,
    pub(super) kind: DatabaseKind,
    pub(super) address: DatabaseAddress,
    pub(super) schema: Option<String>,
    user: Option<String>,
    password_variable: Option<String>,
    tls: Option<TlsMode>,
    ca: Option<PathBuf>,
}

impl DatabaseUrl {
    /// True if a text is the URL of a database.
    pub fn is_url(text: &str) -> bool {
        text.split_once(':').is_some_and(|(scheme, _)| kind(scheme).is_some())
    }

    /// Parses a URL, such as `postgres://ann@db.example.org/shop?schema=sales`, or the path of a file of SQLite.
    ///
    /// # Errors
    /// A text that is no such URL. No error repeats the password.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
            let path = Path::new(text);
            let is_sqlite = path.extension().is_some_and(|end| SQLITE_ENDINGS.iter().any(|own| end == *own));
            return match is_sqlite || path.is_file() {
                true => Self::file(text),
                // A text with an account may have a password.
                false if text.contains('@') => {
                    Err(Error::config(format!("expected the URL of a database: {EXAMPLES}")))
                }
                false => Err(Error::config(format!("expected the URL of a database: {EXAMPLES}; got `{text}`"))),
            };
        };
        match kind(scheme) {
            Some(DatabaseKind::Sqlite) => Self::file(rest.strip_prefix("//").unwrap_or(rest)),
            Some(kind) => Self::server(kind, text),
            None => {
                let suggestion = nearest(scheme, DatabaseKind::ALL.map(DatabaseKind::type_name));
                let hint = suggestion.map(|name| format!("; did you mean `{name}://`?")).unwrap_or_default();
                Err(Error::config(format!("`{scheme}://` is no database: expected {EXAMPLES}{hint}")))
            }
        }
    }

    fn file(path: &str) -> Result<Self> {
        let found = Path::new(path).canonicalize().ok().filter(|path| path.is_file());
        let Some(found) = found else { return Err(Error::config(format!("there is no file {path}"))) };
        let Some(path) = found.to_str() else {
            return Err(Error::config(format!("{path} is no valid Unicode, so a contract cannot name it: rename it")));
        };
        let base = found.parent().unwrap_or(Path::new("/")).to_path_buf();
        let address = DatabaseAddress::File { path: path.to_owned(), base };
        let (kind, schema, user, password) = (DatabaseKind::Sqlite, None, None, None);
        Ok(Self { kind, address, schema, user, password, tls: None, ca: None })
    }

    fn server(kind: DatabaseKind, text: &str) -> Result<Self> {
        let scheme = kind.type_name();
        // The reason of the parser does not repeat the URL.
        let url = Url::parse(text).map_err(|e| Error::config(format!("the URL of the database is not valid: {e}")))?;
        let expected = |what: &str| Error::config(format!("expected `{scheme}://user@host/database`: {what}"));
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| expected("the host is missing"))?;
        let host = decoded(host.trim_start_matches('[').trim_end_matches(']'))?;
        let database = decoded(url.path().trim_start_matches('/'))?;
        if database.is_empty() || database.contains('/') {
            return Err(expected("the name of the database is missing, or has more than one part"));
        }
        let port = url.port().or(kind.usual_port()).unwrap_or_default();
        let user = Some(url.username()).filter(|user| !user.is_empty()).map(decoded).transpose()?;
        let mut found = Self {
            kind,
            address: DatabaseAddress::Server { host, port, database },
            schema: None,
            user,
            password: url.password().map(decoded).transpose()?,
            tls: None,
            ca: None,
        };
        for (name, value) in url.query_pairs() {
            found.set(&name, value.into_owned())?;
        }
        Ok(found)
    }

    /// Sets a parameter. The names are those of PostgreSQL's own programs.
    fn set(&mut self, name: &str, value: String) -> Result<()> {
        match name {
            "schema" => self.set_schema(&value)?,
            "sslmode" => {
                self.tls = Some(match value.as_str() {
                    "disable" => TlsMode::Disable,
                    "require" | "verify-ca" | "verify-full" => TlsMode::Verify,
                    _ => {
                        return Err(Error::config(format!(
                            "`sslmode`: expected `disable` or `verify-full`, got `{value}`"
                        )));
                    }
                });
            }
            "sslrootcert" => {
                let path = std::path::absolute(&value).map_err(|e| Error::config(format!("{value}: {e}")))?;
                self.ca = Some(path);
            }
            _ => {
                let suggestion = nearest(name, PARAMETERS);
                let hint = suggestion.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
                let known = PARAMETERS.map(|name| format!("`{name}`")).join(", ");
                return Err(Error::config(format!(
                    "the URL of a database has no parameter `{name}`: expected one of {known}{hint}"
                )));
            }
        }
        Ok(())
    }

    /// Sets the schema.
    ///
    /// # Errors
    /// A kind that has no schemas in a database; another schema than that of the URL.
    pub fn set_schema(&mut self, schema: &str) -> Result<()> {
        if self.kind != DatabaseKind::Postgres {
            let product = self.kind.product();
            return Err(Error::config(format!(
                "{product} has no schemas in a database: leave out the schema `{schema}`"
            )));
        }
        match &self.schema {
            Some(other) if other != schema => {
                Err(Error::config(format!("the URL has the schema `{other}`, got `{schema}`: leave out one of them")))
            }
            _ => {
                self.schema = Some(schema.to_owned());
                Ok(())
            }
        }
    }

    /// Returns the schema to draft. `None` for a kind that has no schemas in a database.
    pub fn schema(&self) -> Option<&str> {
        let default = (self.kind == DatabaseKind::Postgres).then_some(DEFAULT_SCHEMA);
        self.schema.as_deref().or(default)
    }

    /// Returns the name that the database suggests for the contracts' server.
    pub fn server_name(&self) -> String {
        let name = match &self.address {
            DatabaseAddress::Server { database, .. } => identifier(database),
            DatabaseAddress::File { path, .. } => {
                Path::new(path).file_stem().map(|stem| identifier(&stem.to_string_lossy())).unwrap_or_default()
            }
        };
        if name.is_empty() { "database".to_owned() } else { name }
    }

    /// Returns the name that the schema, or else the database, suggests for a product.
    pub fn product_name(&self) -> String {
        let own = self.schema.as_deref().filter(|schema| *schema != DEFAULT_SCHEMA).map(identifier);
        own.filter(|name| !name.is_empty()).unwrap_or_else(|| self.server_name())
    }

    /// Returns the variable that the kind's own programs read the password from. `None` for files.
    pub fn usual_variable(&self) -> Option<&'static str> {
        match self.kind {
            DatabaseKind::Postgres => Some("PGPASSWORD"),
            DatabaseKind::MariaDb | DatabaseKind::MySql => Some("MYSQL_PWD"),
            DatabaseKind::Sqlite => None,
        }
    }

    /// Returns the address for people, without credentials.
    pub fn shown(&self) -> String {
        match &self.address {
            DatabaseAddress::Server { host, port, database } => {
                format!("{}://{}/{database}", self.kind.type_name(), host_and_port(host, *port, None))
            }
            DatabaseAddress::File { path, .. } => path.clone(),
        }
    }

    /// Returns the account for this database in a node's config: the name of the contracts' server, and the options. The
    /// server is `server`, or else the usual one, or else the only server whose account goes to the host. An account of
    /// another user than that of the URL does not count.
    pub fn configured<'a>(
        &self,
        server: Option<&str>,
        config: &'a NodeConfig,
    ) -> Option<(&'a str, &'a DatabaseOptions)> {
        let DatabaseAddress::Server { host, port, .. } = &self.address else { return None };
        let is_own = |options: &DatabaseOptions| {
            let is_user = options.user.is_some() && (self.user.is_none() || self.user == options.user);
            is_user && options.is_for(self.kind, host, *port)
        };
        let named = server.map_or_else(|| self.server_name(), str::to_owned);
        let all = config.sources.iter().map(|(name, source)| (name.as_str(), &source.database));
        let mut own = all.filter(|(_, options)| is_own(options)).collect::<Vec<_>>();
        if server.is_some() || config.sources.contains_key(&named) {
            own.retain(|(name, _)| *name == named);
        }
        // Of several accounts, none is the obvious one.
        own.pop().filter(|_| own.is_empty())
    }

    /// Returns the options of a connection for this draft.
    pub fn options(&self, password: Option<String>) -> DatabaseOptions {
        DatabaseOptions {
            host: self.config_host(),
            user: self.user.clone(),
            password: password.map(Secret::new),
            tls: self.tls,
            ca: self.ca.clone(),
            ..DatabaseOptions::default()
        }
    }

    /// Returns the access that a node's config needs. `password_variable` is the environment variable of the node that
    /// has the password, if the account has a password.
    pub fn access(&self, server: String, password_variable: Option<String>) -> DatabaseAccess {
        DatabaseAccess {
            server,
            kind: self.kind,
            address: self.address.clone(),
            schema: self.schema().map(str::to_owned),
            user: self.user.clone(),
            password_variable,
            tls: self.tls,
            ca: self.ca.clone(),
        }
    }

    fn config_host(&self) -> Option<String> {
        config_host(self.kind, &self.address)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DatabaseUrl").field(&self.shown()).finish()
    }
}

impl DatabaseAccess {
    /// Returns the name of the contracts' server.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Returns the environment variable of the node that has the password, if the account has a password.
    pub fn password_variable(&self) -> Option<&str> {
        self.password_variable.as_deref()
    }

    /// Returns the file of the database, if it is a file.
    pub fn file(&self) -> Option<&Path> {
        match &self.address {
            DatabaseAddress::File { path, .. } => Some(Path::new(path)),
            DatabaseAddress::Server { .. } => None,
        }
    }

    /// Returns the entry of the server in the `sources` of a node's config, as lines of YAML. `None` for a file, which
    /// needs no access.
    pub fn config(&self) -> Option<String> {
        let host = config_host(self.kind, &self.address)?;
        let mut text = format!("  {}:\n    database:\n      host: {}\n", yaml_string(&self.server), yaml_string(&host));
        if let Some(user) = &self.user {
            _ = writeln!(text, "      user: {}", yaml_string(user));
        }
        if let Some(variable) = &self.password_variable {
            _ = writeln!(text, "      password: {{env: {}}}", yaml_string(variable));
        }
        match self.tls {
            Some(TlsMode::Disable) => text.push_str("      tls: disable\n"),
            Some(TlsMode::Verify) => text.push_str("      tls: verify\n"),
            None => {}
        }
        if let Some(ca) = &self.ca {
            _ = writeln!(text, "      ca: {}", yaml_string(&ca.display().to_string()));
        }
        Some(text)
    }
}

/// Returns the kind of database that the scheme of a URL stands for.
fn kind(scheme: &str) -> Option<DatabaseKind> {
    match scheme.to_ascii_lowercase().as_str() {
        "postgresql" => Some(DatabaseKind::Postgres),
        scheme => DatabaseKind::ALL.into_iter().find(|kind| kind.type_name() == scheme),
    }
}

/// True for the scheme of a URL. A single letter is a drive.
fn is_scheme(text: &str) -> bool {
    text.len() > 1 && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn config_host(kind: DatabaseKind, address: &DatabaseAddress) -> Option<String> {
    match address {
        DatabaseAddress::Server { host, port, .. } => Some(host_and_port(host, *port, kind.usual_port())),
        DatabaseAddress::File { .. } => None,
    }
}

/// Returns a host, and its port unless it is the usual one.
fn host_and_port(host: &str, port: u16, usual: Option<u16>) -> String {
    match (Some(port) == usual, host.parse::<Ipv6Addr>().is_ok()) {
        (true, _) => host.to_owned(),
        (false, true) => format!("[{host}]:{port}"),
        (false, false) => format!("{host}:{port}"),
    }
}

/// Returns a part of a URL without its escapes.
fn decoded(text: &str) -> Result<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    let text = decoded.map_err(|_| Error::config("the URL of the database has an escape that is no UTF-8"))?;
    match text.contains(char::is_control) {
        true => Err(Error::config("the URL of the database has a control character")),
        false => Ok(text.into_owned()),
    }
}

#[cfg(test)]
mod tests;
