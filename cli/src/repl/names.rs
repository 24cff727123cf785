//! The names of the mesh for completion: fetched in the background, so that a key press never waits for a node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use tokio_util::task::AbortOnDropHandle;

use crate::connection::Connection;

/// How old names may be before they are fetched again.
const MAX_AGE: Duration = Duration::from_secs(15);
/// How many columns of the mesh are kept.
const MAX_COLUMNS: usize = 50_000;

/// Domain to product to port to columns with their types.
pub type Ports = BTreeMap<String, BTreeMap<String, BTreeMap<String, Vec<(String, String)>>>>;

/// What completion knows.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// The ports.
    pub ports: Ports,
    /// The functions.
    pub functions: BTreeSet<String>,
}

/// Names that are kept fresh.
#[derive(Debug, Default)]
pub struct NameCache {
    names: Arc<RwLock<Arc<Names>>>,
    fetch: Option<(Instant, AbortOnDropHandle<()>)>,
}

impl NameCache {
    /// Reads the names as they are now, from any thread.
    pub fn reader(&self) -> impl Fn() -> Arc<Names> + Send + use<> {
        let names = self.names.clone();
        move || names.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Starts to fetch the names if they are old.
    pub fn refresh(&mut self, connection: &Connection) {
        if self.fetch.as_ref().is_some_and(|(started, _)| started.elapsed() < MAX_AGE) {
            return;
        }
        let (names, connection) = (self.names.clone(), connection.clone());
        let fetch = tokio::spawn(async move {
            let fetched = fetch(&connection).await;
            *names.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(fetched);
        });
        self.fetch = Some((Instant::now(), AbortOnDropHandle::new(fetch)));
    }
}

/// What cannot be fetched is left out: completion is a comfort.
async fn fetch(connection: &Connection) -> Names {
    let mut names = Names::default();
    let sql =
        "SELECT domain, product, port, \"column\", type FROM mesh.columns ORDER BY domain, product, port, position";
    for row in rows(connection, sql).await {
        let [domain, product, port, column, data_type] = row.as_slice() else { continue };
        let port =
            names.ports.entry(domain.clone()).or_default().entry(product.clone()).or_default().entry(port.clone());
        port.or_default().push((column.clone(), data_type.clone()));
    }
    let sql = "SELECT DISTINCT routine_name FROM information_schema.routines";
    names.functions = rows(connection, sql).await.into_iter().flatten().collect();
    names
}

async fn rows(connection: &Connection, sql: &str) -> Vec<Vec<String>> {
    match connection.query(sql, MAX_COLUMNS).await {
        Ok((_, batches)) => batches.iter().flat_map(texts).collect(),
        Err(e) => {
            tracing::debug!("no names for completion: {}", e.chain());
            vec![]
        }
    }
}

fn texts(batch: &RecordBatch) -> Vec<Vec<String>> {
    let columns: Vec<_> = batch.columns().iter().flat_map(|column| cast(column, &DataType::Utf8)).collect();
    (0..batch.num_rows())
        .map(|row| columns.iter().map(|column| column.as_string::<i32>().value(row).to_string()).collect())
        .collect()
}
