//! Databases of MariaDB and MySQL: queries in the binary protocol, decoded into Arrow, and rows added in a transaction.
//!
//! Each query has a connection of its own and one snapshot. Two connections cannot share a snapshot, so a table is never
//! read in ranges by several connections.

mod append;
mod columns;
mod decode;
mod describe;
mod encode;
mod enumeration;
mod errors;
mod estimate;
mod metadata;
mod pool;
mod read;
mod server;
mod session;
mod statistics;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::stream::BoxStream;
use portolan_catalog::{DatabaseKind, DatabaseRelation};

use self::pool::Connections;
use self::server::Server;
use crate::databases::{Database, DescribedTable, Origin, RunContext, TableName, TableStatistics};
use crate::error::Result;
use crate::fragment::FragmentEstimate;
use crate::source::Footprint;
use crate::source_options::DatabaseOptions;
use crate::sql::{SqlDialect, SqlQuery};

/// A database of a MariaDB or MySQL server, and the account that reads it.
pub(crate) struct MysqlDatabase {
    server: Arc<Server>,
    connections: Connections,
}

impl fmt::Debug for MysqlDatabase {
    /// Shows the name only: connections contain the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlDatabase").field("origin", &self.server.origin.shown).finish_non_exhaustive()
    }
}

impl MysqlDatabase {
    /// Returns a database. The first use connects to it.
    ///
    /// # Errors
    /// As [`Server::new`].
    pub(crate) fn new(
        kind: DatabaseKind,
        origin: Origin,
        host: &str,
        port: u16,
        database: &str,
        options: &DatabaseOptions,
    ) -> Result<Self> {
        let server = Arc::new(Server::new(kind, origin, host, port, database, options)?);
        let connections = Connections::new(server.clone())?;
        Ok(Self { server, connections })
    }
}

#[async_trait]
impl Database for MysqlDatabase {
    fn origin(&self) -> &Origin {
        &self.server.origin
    }

    fn dialect(&self) -> &'static SqlDialect {
        self.server.flavor.dialect()
    }

    async fn describe(
        &self,
        relation: &DatabaseRelation,
        wanted: &BTreeMap<String, DataType>,
        until: Instant,
    ) -> Result<DescribedTable> {
        let mut session = self.connections.session(until).await?;
        session.limit_time().await?;
        let from = self.clause_of(relation);
        let described = match relation {
            DatabaseRelation::Table { schema, name } => {
                describe::table(&mut session, schema.as_deref(), name, &from, wanted).await
            }
            DatabaseRelation::Query(text) => describe::query(&mut session, text, &from, wanted).await,
        }?;
        session.finish().await;
        Ok(described)
    }

    async fn tables(&self, schema: Option<&str>, until: Instant) -> Result<Vec<TableName>> {
        let mut session = self.connections.session(until).await?;
        session.limit_time().await?;
        let tables = metadata::tables(&mut session, schema).await?;
        session.finish().await;
        Ok(tables)
    }

    async fn query(
        &self,
        query: SqlQuery,
        schema: SchemaRef,
        context: RunContext,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let session = self.connections.session(context.deadline).await?;
        read::query(session, &query.text, schema, context.query_id.as_deref()).await
    }

    async fn estimate(&self, query: &SqlQuery, context: RunContext) -> Result<FragmentEstimate> {
        if !estimate::is_estimated(&query.text) {
            return Ok(FragmentEstimate::default());
        }
        let mut session = self.connections.session(context.deadline).await?;
        session.limit_time().await?;
        let estimate = estimate::estimate(&mut session, &query.text).await?;
        session.finish().await;
        Ok(estimate)
    }

    async fn footprint(&self, relation: &DatabaseRelation, until: Instant) -> Option<Footprint> {
        let DatabaseRelation::Table { schema, name } = relation else { return None };
        let mut session = self.connections.session(until).await.ok()?;
        session.limit_time().await.ok()?;
        let footprint = statistics::footprint(&mut session, schema.as_deref(), name).await.ok()?;
        session.finish().await;
        footprint
    }

    async fn statistics(
        &self,
        relation: &DatabaseRelation,
        described: &DescribedTable,
        until: Instant,
    ) -> Option<TableStatistics> {
        let DatabaseRelation::Table { schema, name } = relation else { return None };
        let mut session = self.connections.session(until).await.ok()?;
        session.limit_time().await.ok()?;
        let from = self.clause_of(relation);
        let known = statistics::statistics(&mut session, schema.as_deref(), name, &from, described).await.ok()?;
        session.finish().await;
        known
    }

    async fn append(
        &self,
        relation: &DatabaseRelation,
        columns: &[String],
        rows: BoxStream<'static, Result<RecordBatch>>,
        context: RunContext,
    ) -> Result<u64> {
        let session = self.connections.session(context.deadline).await?;
        append::append(session, relation, &self.clause_of(relation), columns, rows).await
    }
}
