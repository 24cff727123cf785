//! PostgreSQL. Queries run as `COPY (…) TO STDOUT (FORMAT binary)`, and their rows are decoded into Arrow's arrays.

mod append;
mod connection;
mod describe;
mod errors;
mod estimate;
mod ranges;
mod read;
mod rows;
mod session;
mod statistics;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use deadpool::managed::Pool;
use futures::stream::BoxStream;
use portolan_catalog::DatabaseRelation;

use self::connection::{Connections, Connector};
use crate::databases::{Database, DescribedTable, Origin, RunContext, TableName, TableStatistics, pool};
use crate::error::Result;
use crate::fragment::FragmentEstimate;
use crate::source::Footprint;
use crate::source_options::DatabaseOptions;
use crate::sql::{POSTGRES, SqlDialect, SqlQuery, quoted_name};

/// The schema of a table whose contract has none.
const DEFAULT_SCHEMA: &str = "public";

/// A database of a PostgreSQL server.
#[derive(Debug)]
pub(crate) struct PostgresDatabase(Arc<Shared>);

/// The state that the sessions of a database share.
#[derive(Debug)]
struct Shared {
    origin: Origin,
    connections: Arc<Connections>,
    pool: Pool<Connector>,
    /// The time that a query waits for a connection.
    wait: Duration,
    /// The largest number of connections that read one table.
    scan_connections: usize,
}

impl PostgresDatabase {
    /// Returns a database to which no connection is open yet.
    ///
    /// # Errors
    /// The file with the certificates of authorities cannot be read; there is no tokio runtime.
    pub(crate) fn new(
        origin: Origin,
        host: &str,
        port: u16,
        database: &str,
        options: &DatabaseOptions,
    ) -> Result<Self> {
        let connections = Arc::new(Connections::new(origin.clone(), host, port, database, options)?);
        let pool = pool::pool(Connector(connections.clone()), options)?;
        let wait = Duration::from_secs(options.connection_wait);
        Ok(Self(Arc::new(Shared { origin, connections, pool, wait, scan_connections: options.scan_connections })))
    }
}

#[async_trait]
impl Database for PostgresDatabase {
    fn origin(&self) -> &Origin {
        &self.0.origin
    }

    fn dialect(&self) -> &'static SqlDialect {
        &POSTGRES
    }

    fn clause_of(&self, relation: &DatabaseRelation) -> String {
        clause_of(relation)
    }

    async fn describe(
        &self,
        relation: &DatabaseRelation,
        wanted: &BTreeMap<String, DataType>,
        until: Instant,
    ) -> Result<DescribedTable> {
        describe::describe(&self.0, relation, wanted, until).await
    }

    async fn tables(&self, schema: Option<&str>, until: Instant) -> Result<Vec<TableName>> {
        describe::tables(&self.0, schema, until).await
    }

    async fn query(
        &self,
        query: SqlQuery,
        schema: SchemaRef,
        context: RunContext,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        read::query(&self.0, query, schema, context).await
    }

    async fn estimate(&self, query: &SqlQuery, context: RunContext) -> Result<FragmentEstimate> {
        estimate::estimate(&self.0, &query.text, &context).await
    }

    async fn footprint(&self, relation: &DatabaseRelation, until: Instant) -> Option<Footprint> {
        statistics::footprint(&self.0, relation, until).await
    }

    async fn statistics(
        &self,
        relation: &DatabaseRelation,
        table: &DescribedTable,
        until: Instant,
    ) -> Option<TableStatistics> {
        statistics::statistics(&self.0, relation, table, until).await
    }

    async fn append(
        &self,
        relation: &DatabaseRelation,
        columns: &[String],
        rows: BoxStream<'static, Result<RecordBatch>>,
        context: RunContext,
    ) -> Result<u64> {
        append::append(&self.0, relation, columns, rows, &context).await
    }
}

/// Returns a relation in a `FROM` clause. Sessions have no search path, so a table has its schema.
fn clause_of(relation: &DatabaseRelation) -> String {
    match relation {
        DatabaseRelation::Table { schema, name } => {
            format!("{}.{}", quoted(schema.as_deref().unwrap_or(DEFAULT_SCHEMA)), quoted(name))
        }
        DatabaseRelation::Query(text) => format!("({text}\n)"),
    }
}

/// Returns a name in quotes.
fn quoted(name: &str) -> String {
    quoted_name(name, &POSTGRES)
}
