//! The database that a contract names, checked against the config: an account goes only to the host that the config
//! names, and files stay within their root.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use portolan_catalog::{DatabaseAddress, DatabaseKind};

use super::database::Origin;
use crate::fence::{Fence, LocalBounds};
use crate::file_calls::FileCalls;
use crate::source_options::DatabaseOptions;
use crate::source_options::SourceOptions;

/// A database that the node may connect to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Target {
    /// A server in the network, and the name of the database there.
    Server { host: String, port: u16, database: String },
    /// A file, without links.
    File(PathBuf),
}

impl Target {
    /// Checks the address in a contract. `server` is the name of the contract's server.
    ///
    /// # Errors
    /// The reason why the node does not connect to it, for the owner: it may name a host or a path.
    pub(super) async fn of(
        server: &str,
        kind: DatabaseKind,
        address: &DatabaseAddress,
        options: &SourceOptions,
        bounds: &Arc<LocalBounds>,
        calls: &FileCalls,
    ) -> Result<Self, String> {
        match address {
            DatabaseAddress::Server { host, port, database } => {
                check_host(server, kind, (host, *port), &options.database)?;
                Ok(Self::Server { host: host.clone(), port: *port, database: database.clone() })
            }
            DatabaseAddress::File { path, base } => {
                let (server, root, bounds) = (server.to_owned(), options.root.clone(), bounds.clone());
                let path = base.join(path);
                calls.run(move || file(&server, root.as_deref(), &bounds, &path)).await?.map(Self::File)
            }
        }
    }

    /// Returns the names of the database. `server` is the name of the contract's server.
    pub(super) fn origin(&self, kind: DatabaseKind, server: &str) -> Origin {
        Origin { shown: format!("{} `{server}`", kind.product()), url: self.url(kind) }
    }

    /// Returns the URL for the owner.
    fn url(&self, kind: DatabaseKind) -> String {
        let scheme = kind.type_name();
        match self {
            Self::Server { host, port, database } if host.contains(':') && !host.starts_with('[') => {
                format!("{scheme}://[{host}]:{port}/{database}")
            }
            Self::Server { host, port, database } => format!("{scheme}://{host}:{port}/{database}"),
            Self::File(path) => format!("{scheme}://{}", path.display()),
        }
    }
}

/// Checks that the config has an account for this host and no other.
fn check_host(
    server: &str,
    kind: DatabaseKind,
    (host, port): (&str, u16),
    options: &DatabaseOptions,
) -> Result<(), String> {
    let key = format!("sources.{server}.database");
    let Some(named) = &options.host else {
        let product = kind.product();
        return Err(format!(
            "the node has no account for this {product} database: add `{key}` with `host` and `user` to the node's config"
        ));
    };
    if !options.is_for(kind, host, port) {
        return Err(format!(
            "the contract names the host `{host}:{port}`, and `{key}.host` in the node's config names `{named}`: the \
             account goes to no other host, so correct one of them"
        ));
    }
    match options.user {
        Some(_) => Ok(()),
        None => Err(format!("the node has no account for `{named}`: add `{key}.user` to the node's config")),
    }
}

/// Returns the place of a file within its root, without links.
fn file(server: &str, root: Option<&Path>, bounds: &LocalBounds, path: &Path) -> Result<PathBuf, String> {
    let fence = Fence::new(server, root, bounds)?;
    let name = path.display().to_string();
    let found = fence.resolve(path).map_err(|error| error.message(&name))?;
    match found.is_dir() {
        true => Err(format!("expected a file with a database, got the folder {name}")),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn check(host: &str, port: u16, named: Option<&str>, user: Option<&str>) -> Result<(), String> {
        let options = DatabaseOptions {
            host: named.map(str::to_owned),
            user: user.map(str::to_owned),
            ..DatabaseOptions::default()
        };
        check_host("warehouse", DatabaseKind::Postgres, (host, port), &options)
    }

    #[test]
    fn an_account_goes_only_to_the_host_that_the_config_names() {
        for (host, port, named) in [
            ("db.example.org", 5432, "db.example.org"),
            ("DB.example.org", 5432, "db.example.org:5432"),
            ("db.example.org", 5433, "db.example.org:5433"),
            ("::1", 5432, "::1"),
            ("::1", 5433, "[::1]:5433"),
            ("[::1]", 5432, "::1"),
        ] {
            check(host, port, Some(named), Some("reader")).unwrap();
        }
        for (host, port, named) in [
            ("evil.example", 5432, "db.example.org"),
            ("db.example.org", 5433, "db.example.org"),
            ("db.example.org", 5432, "db.example.org:5433"),
            ("db.example.org.evil.example", 5432, "db.example.org"),
            ("::1", 5433, "::1"),
            ("::1:5433", 5432, "::1"),
        ] {
            let refused = check(host, port, Some(named), Some("reader")).unwrap_err();
            let both = refused.contains(&format!("`{host}:{port}`")) && refused.contains(&format!("names `{named}`"));
            assert!(both, "{refused}");
        }
    }

    #[test]
    fn an_account_must_be_in_the_config() {
        let refused = check("db", 5432, None, Some("reader")).unwrap_err();
        assert!(refused.contains("add `sources.warehouse.database` with `host` and `user`"), "{refused}");
        let refused = check("db", 5432, Some("db"), None).unwrap_err();
        assert!(refused.contains("add `sources.warehouse.database.user`"), "{refused}");
    }

    #[tokio::test]
    async fn a_file_lies_within_its_root() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("data");
        std::fs::create_dir(&root).unwrap();
        for file in ["data/a.db", "secret.db"] {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        let options = SourceOptions { root: Some(root.clone()), ..SourceOptions::default() };
        let of = async |path: &str| {
            let address = DatabaseAddress::File { path: path.to_owned(), base: root.clone() };
            let (bounds, calls) = (Arc::default(), FileCalls::default());
            Target::of("lake", DatabaseKind::Sqlite, &address, &options, &bounds, &calls).await
        };
        let found = of("a.db").await.unwrap();
        assert_eq!(found, Target::File(root.canonicalize().unwrap().join("a.db")));
        assert!(found.url(DatabaseKind::Sqlite).starts_with("sqlite:///"));
        assert!(of("../secret.db").await.unwrap_err().contains("`sources.lake.root`"));
        assert!(of(".").await.unwrap_err().contains("expected a file with a database, got the folder"));
        assert!(of("b.db").await.unwrap_err().contains("cannot be read"));
    }

    #[test]
    fn a_url_has_the_address() {
        let url = |host: &str| {
            let (host, database) = (host.to_owned(), "shop".to_owned());
            Target::Server { host, port: 5432, database }.url(DatabaseKind::Postgres)
        };
        assert_eq!(url("db"), "postgres://db:5432/shop");
        assert_eq!(url("::1"), "postgres://[::1]:5432/shop");
    }
}
