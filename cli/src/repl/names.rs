//! The names of the mesh for completion. A background task fetches them, so that a key press never waits for a node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portolan_connectors::lock;
use tokio_util::task::AbortOnDropHandle;

use super::describe::{strings_of, type_name};
use crate::connection::Connection;

/// The age at which names are fetched again.
const MAX_AGE: Duration = Duration::from_secs(15);
/// The largest number of columns of the mesh that are kept.
const MAX_COLUMNS: usize = 50_000;

/// The catalog of the node's own tables. Its schemas are `mesh`, which is visible in every catalog, and `session`, with
/// the tables of the session.
const OWN_CATALOG: &str = "portolan";
const MESH: &str = "mesh";
const SESSION: &str = "session";

/// The names and types of columns.
pub type Columns = Vec<(String, String)>;
/// Tables by name.
pub type Tables = BTreeMap<String, Columns>;

/// The names that completion suggests.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Tables by catalog and schema: the ports by domain and product, and the node's own tables.
    pub catalogs: BTreeMap<String, BTreeMap<String, Tables>>,
    /// The functions.
    pub functions: BTreeSet<String>,
    /// The session's default catalog and schema, if they are set.
    pub current: [Option<String>; 2],
}

impl Names {
    /// Returns the domains.
    pub fn domains(&self) -> impl Iterator<Item = &str> {
        self.catalogs.keys().map(String::as_str).filter(|catalog| *catalog != OWN_CATALOG)
    }

    /// Returns the schemas that can be named without a catalog.
    pub fn schemas(&self) -> impl Iterator<Item = &str> {
        self.schemas_of(self.current[0].as_deref().unwrap_or(OWN_CATALOG)).chain([MESH])
    }

    /// Returns the products of a domain, or the schemas of another catalog.
    pub fn schemas_of(&self, catalog: &str) -> impl Iterator<Item = &str> {
        self.catalogs.get(catalog).into_iter().flat_map(BTreeMap::keys).map(String::as_str)
    }

    /// Returns the full names of the ports whose own name begins with `prefix`, which is in lower case.
    pub fn ports_called(&self, prefix: &str) -> Vec<[&str; 3]> {
        let mut found = vec![];
        for (domain, products) in self.catalogs.iter().filter(|(catalog, _)| *catalog != OWN_CATALOG) {
            for (product, ports) in products {
                let called = ports.keys().filter(|port| port.to_lowercase().starts_with(prefix));
                found.extend(called.map(|port| [domain.as_str(), product.as_str(), port.as_str()]));
            }
        }
        found
    }

    /// Returns the tables of all schemas that `path` may refer to. Without a path, the tables that can be named without
    /// one.
    pub fn tables(&self, path: &[&str]) -> Vec<&Tables> {
        let of = |catalog: &str, schema: &str| {
            let catalog = if schema == MESH { OWN_CATALOG } else { catalog };
            self.catalogs.get(catalog)?.get(schema)
        };
        let [catalog, schema] = self.current.each_ref().map(Option::as_deref);
        let (catalog, schema) = (catalog.unwrap_or(OWN_CATALOG), schema.unwrap_or(MESH));
        let found = match path {
            [] => vec![of(OWN_CATALOG, SESSION), of(catalog, schema)],
            [schema] => vec![of(catalog, schema)],
            [catalog, schema] => vec![of(catalog, schema)],
            _ => vec![],
        };
        found.into_iter().flatten().collect()
    }

    /// Returns the columns of the table that a name refers to.
    pub fn columns(&self, name: &[&str]) -> Option<&Columns> {
        let (table, path) = name.split_last()?;
        self.tables(path).into_iter().find_map(|tables| tables.get(*table))
    }
}

/// A cache of names that is refreshed in the background.
#[derive(Debug, Default)]
pub struct NameCache {
    names: Arc<Mutex<Arc<Names>>>,
    fetch: Option<(Instant, AbortOnDropHandle<()>)>,
}

impl NameCache {
    /// Marks the names as old, so that the next refresh fetches them.
    pub fn expire(&mut self) {
        self.fetch = None;
    }

    /// Returns a function that reads the current names, from any thread.
    pub fn reader(&self) -> impl Fn() -> Arc<Names> + Send + use<> {
        let names = self.names.clone();
        move || lock(&names).clone()
    }

    /// Starts to fetch the names if they are old.
    pub fn refresh(&mut self, connection: &Connection) {
        if self.fetch.as_ref().is_some_and(|(started, _)| started.elapsed() < MAX_AGE) {
            return;
        }
        let (names, connection) = (self.names.clone(), connection.clone());
        let fetch = tokio::spawn(async move {
            let fetched = fetch(&connection).await;
            *lock(&names) = Arc::new(fetched);
        });
        self.fetch = Some((Instant::now(), AbortOnDropHandle::new(fetch)));
    }
}

/// Fetches the names. Omits names that cannot be fetched, because completion is optional.
async fn fetch(connection: &Connection) -> Names {
    let mut names = Names::default();
    let sql = "SELECT table_catalog, table_schema, table_name, column_name, data_type FROM information_schema.columns \
        WHERE table_schema <> 'information_schema' ORDER BY table_catalog, table_schema, table_name, ordinal_position";
    for row in rows(connection, sql).await {
        let [catalog, schema, table, column, data_type] = row.as_slice() else { continue };
        let tables = names.catalogs.entry(catalog.clone()).or_default().entry(schema.clone()).or_default();
        tables.entry(table.clone()).or_default().push((column.clone(), type_name(data_type)));
    }
    for (setting, current) in ["catalog", "schema"].into_iter().zip(&mut names.current) {
        let shown = rows(connection, &format!("SHOW {setting}")).await;
        *current = shown.into_iter().flatten().nth(1).filter(|value| !value.is_empty());
    }
    let functions = rows(connection, "SHOW FUNCTIONS").await;
    names.functions = functions.into_iter().filter_map(|row| row.into_iter().next()).collect();
    names
}

async fn rows(connection: &Connection, sql: &str) -> Vec<Vec<String>> {
    let found = match connection.query(sql, MAX_COLUMNS).await {
        Ok((_, batches)) => strings_of(&batches),
        Err(e) => Err(e.into()),
    };
    found.unwrap_or_else(|e| {
        tracing::debug!("no names for completion: {}", e.owner_chain());
        vec![]
    })
}
