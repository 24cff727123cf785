//! Ports over the tables, views and queries of a SQLite file.
//!
//! SQLite runs in this process. Each query has a thread and a connection of its own, which reads one snapshot of the file.
//! A value has a type of its own in SQLite: the reader checks each value, and comparisons run in SQLite only over columns
//! whose values have been checked.
//!
//! No code may open the file but SQLite: when a process closes a file, the system releases all locks that the process
//! has on it.

mod append;
mod checks;
mod comparable;
mod declared;
mod describe;
mod forms;
mod link;
mod permitted;
mod place;
mod pool;
mod read;
mod schema;
mod statistics;
mod stop;
mod stored;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::stream::BoxStream;
use portolan_catalog::DatabaseRelation;

use self::checks::Checks;
use self::describe::{Describing, SCHEMA};
use self::place::Place;
use self::pool::Pool;
use self::read::Reading;
use self::schema::EntryKind;
use crate::databases::{Database, DescribedTable, Origin, RunContext, TableName, TableStatistics};
use crate::error::{ErrorKind, Result};
use crate::source::Footprint;
use crate::source_options::DatabaseOptions;
use crate::sql::{SQLITE, SqlDialect, SqlQuery};

/// A SQLite file.
pub(crate) struct SqliteDatabase {
    pool: Arc<Pool>,
    checks: Arc<Checks>,
}

impl SqliteDatabase {
    /// Returns the database in a file, which is opened when it is first used. The path is absolute, and the node may read
    /// it.
    ///
    /// # Errors
    /// `InvalidQuery` for a path that SQLite cannot open.
    pub(crate) fn new(origin: Origin, path: PathBuf, options: &DatabaseOptions) -> Result<Self> {
        let wait = Duration::from_secs(options.connection_wait);
        let place = Place { origin, path, lock_wait: wait };
        if !place.path.is_absolute() || place.path.as_os_str().as_encoded_bytes().contains(&0) {
            return Err(place.error(ErrorKind::InvalidQuery, "expected the absolute path of a file"));
        }
        Ok(Self { pool: Pool::new(place, options.connections, wait), checks: Arc::default() })
    }
}

impl fmt::Debug for SqliteDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteDatabase").field("origin", self.origin()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Database for SqliteDatabase {
    fn origin(&self) -> &Origin {
        &self.pool.place.origin
    }

    fn dialect(&self) -> &'static SqlDialect {
        &SQLITE
    }

    async fn describe(
        &self,
        relation: &DatabaseRelation,
        wanted: &BTreeMap<String, DataType>,
        until: Instant,
    ) -> Result<DescribedTable> {
        let (from, checks, place) = (self.clause_of(relation), self.checks.clone(), self.pool.place.clone());
        let (relation, wanted) = (relation.clone(), wanted.clone());
        let describing = move |link: &mut link::Link, stop: &stop::Stop| {
            Describing { link, place: &place, stop, checks: &checks, from }.run(&relation, &wanted)
        };
        self.pool.run(until, describing).await
    }

    async fn tables(&self, schema: Option<&str>, until: Instant) -> Result<Vec<TableName>> {
        let place = self.pool.place.clone();
        if let Some(schema) = schema.filter(|schema| !schema.eq_ignore_ascii_case(SCHEMA)) {
            let text = format!("there is no schema `{schema}`: a SQLite file has only the schema `{SCHEMA}`");
            return Err(place.error(ErrorKind::NotFound, text));
        }
        let listing = move |link: &mut link::Link, stop: &stop::Stop| {
            let entries = schema::entries(&link.connection).map_err(|error| place.failed(&error, stop))?;
            let named = |entry: schema::Entry| TableName {
                schema: None,
                name: entry.name,
                is_view: entry.kind == EntryKind::View,
            };
            Ok(entries.into_iter().map(named).collect())
        };
        self.pool.run(until, listing).await
    }

    async fn query(
        &self,
        query: SqlQuery,
        schema: SchemaRef,
        context: RunContext,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        read::rows(&self.pool, Reading { text: query.text, schema, checks: self.checks.clone() }, context).await
    }

    async fn footprint(&self, _: &DatabaseRelation, _until: Instant) -> Option<Footprint> {
        let path = self.pool.place.path.clone();
        tokio::task::spawn_blocking(move || footprint(&path)).await.ok().flatten()
    }

    async fn statistics(
        &self,
        relation: &DatabaseRelation,
        described: &DescribedTable,
        until: Instant,
    ) -> Option<TableStatistics> {
        let DatabaseRelation::Table { name, .. } = relation else { return None };
        let (name, described, place) = (name.clone(), described.clone(), self.pool.place.clone());
        let reading = move |link: &mut link::Link, stop: &stop::Stop| {
            let statistics = statistics::statistics(link, stop, &name, &described);
            statistics.map_err(|error| place.failed(&error, stop))
        };
        let read = self.pool.run(until, reading).await;
        read.inspect_err(|error| tracing::debug!(error = error.owner_chain(), "no statistics")).ok().flatten()
    }

    async fn append(
        &self,
        relation: &DatabaseRelation,
        columns: &[String],
        rows: BoxStream<'static, Result<RecordBatch>>,
        context: RunContext,
    ) -> Result<u64> {
        append::append(&self.pool, relation, columns, rows, context).await
    }
}

/// Returns the state of the file and of its write-ahead log, from their metadata alone.
fn footprint(path: &Path) -> Option<Footprint> {
    // SQLite puts the log beside the file itself, not beside a link to it.
    let path = std::fs::canonicalize(path).ok()?;
    let file = std::fs::metadata(&path).ok()?;
    let mut log = path.into_os_string();
    log.push("-wal");
    let log = std::fs::metadata(log).ok();
    let size = log.as_ref().map_or(0, Metadata::len);
    let version = format!("{} {}", state(&file), log.as_ref().map(state).unwrap_or_default());
    Some(Footprint { bytes: file.len() + size, version })
}

/// Returns the size of a file, the time of its last change, and its number.
fn state(file: &Metadata) -> String {
    let changed = file.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    #[cfg(unix)]
    let number = std::os::unix::fs::MetadataExt::ino(file);
    #[cfg(not(unix))]
    let number = 0;
    format!("{number}:{}:{}", file.len(), changed.map_or(0, |age| age.as_nanos()))
}
