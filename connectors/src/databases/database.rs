//! The interface of a database: what the driver of each kind implements.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::{Duration, Instant};

use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::stream::BoxStream;
use portolan_catalog::{ColumnStatistics, DatabaseRelation};

use crate::error::{Error, ErrorKind, Result};
use crate::fragment::FragmentEstimate;
use crate::source::Footprint;
use crate::sql::{ColumnUsage, SqlDialect, SqlQuery};

/// A database and the account that reads it. It connects when it is first used, and again after a failure.
///
/// Every error names the database by [`Origin::shown`] for everybody, and by [`Origin::url`] for the owner only. No
/// error contains a credential.
#[async_trait]
pub(crate) trait Database: Debug + Send + Sync {
    /// Returns the names of the database.
    fn origin(&self) -> &Origin;

    /// Returns the SQL of the database.
    fn dialect(&self) -> &'static SqlDialect;

    /// Returns the relation in a `FROM` clause, without an alias: a quoted name, or the query in brackets.
    fn clause_of(&self, relation: &DatabaseRelation) -> String {
        let quoted = |name: &str| crate::sql::quoted_name(name, self.dialect());
        match relation {
            DatabaseRelation::Table { schema: Some(schema), name } => format!("{}.{}", quoted(schema), quoted(name)),
            DatabaseRelation::Table { schema: None, name } => quoted(name),
            DatabaseRelation::Query(text) => format!("({text}\n)"),
        }
    }

    /// Returns the columns of a table, a view or a query. `wanted` has the types that the contract determines, by the
    /// names of the columns in the database: a column has that type if the database can return it exactly.
    ///
    /// # Errors
    /// `NotFound` for a relation that does not exist, with the nearest name; `PermissionDenied` without rights;
    /// `InvalidQuery` for a query that is not a single `SELECT`; `SiteUnavailable` if the database does not respond, or
    /// does not exist yet.
    async fn describe(
        &self,
        relation: &DatabaseRelation,
        wanted: &BTreeMap<String, DataType>,
        until: Instant,
    ) -> Result<DescribedTable>;

    /// Lists the tables and views of a schema that the account may read, or of the default schema.
    ///
    /// # Errors
    /// `NotFound` for an unknown schema, with the nearest name; `SiteUnavailable` if the database does not respond, or does
    /// not exist yet.
    async fn tables(&self, schema: Option<&str>, until: Instant) -> Result<Vec<TableName>>;

    /// Runs a query. The columns have the names and types of `schema`, which the dialect's casts determine; a value that
    /// does not fit is an error that names the column. Dropping the stream stops the query at the database.
    ///
    /// # Errors
    /// `InvalidData` for a value that does not fit; `DeadlineExceeded`; `ResourceExhausted` if no connection is free;
    /// `PermissionDenied` without rights; `SiteUnavailable` if the database fails.
    async fn query(
        &self,
        query: SqlQuery,
        schema: SchemaRef,
        context: RunContext,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>>;

    /// Returns the database's own estimate of a query, without running it. By default nothing is known.
    ///
    /// # Errors
    /// As [`Database::query`].
    async fn estimate(&self, _: &SqlQuery, _: RunContext) -> Result<FragmentEstimate> {
        Ok(FragmentEstimate::default())
    }

    /// Returns a state of the relation's data that changes with the data, if the database has one without reading rows.
    async fn footprint(&self, _: &DatabaseRelation, _until: Instant) -> Option<Footprint> {
        None
    }

    /// Returns the database's statistics of a relation, if it has any.
    async fn statistics(&self, _: &DatabaseRelation, _: &DescribedTable, _until: Instant) -> Option<TableStatistics> {
        None
    }

    /// Adds rows in one transaction and returns their number. `columns` are the names in the database, in the order of
    /// the rows' columns. If the stream fails or this future is dropped, no row is added.
    ///
    /// # Errors
    /// `InvalidQuery` for a value that the table does not accept; the error of `rows`; otherwise as [`Database::query`].
    async fn append(
        &self,
        relation: &DatabaseRelation,
        columns: &[String],
        rows: BoxStream<'static, Result<RecordBatch>>,
        context: RunContext,
    ) -> Result<u64>;
}

/// The time after which a connection may be free again.
const EXHAUSTED_RETRY: Duration = Duration::from_secs(1);

/// The names of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The name for everybody, such as `PostgreSQL \`warehouse\``, with the server's name in the contract.
    pub(crate) shown: String,
    /// The URL for the owner, without credentials: `postgres://host:5432/database`.
    pub(crate) url: String,
}

impl Origin {
    /// Returns both names, for the owner.
    pub(crate) fn for_owner(&self) -> String {
        format!("{} ({})", self.shown, self.url)
    }

    /// Returns the error of work for which no connection became free. `most` is the largest number of connections.
    pub(crate) fn exhausted(&self, most: usize) -> Error {
        // The key of the config has the name of the contract's server.
        let server = self.shown.split('`').nth(1).unwrap_or("<server>");
        let exhausted = |name: &str| {
            format!(
                "{name}: all {most} connections are in use; try again later, or set \
                 `sources.{server}.database.connections` in the node's config to more"
            )
        };
        let error = Error::new(ErrorKind::ResourceExhausted, exhausted(&self.shown));
        error.for_owner(exhausted(&self.for_owner())).with_retry_after(EXHAUSTED_RETRY)
    }

    /// Returns the error of work that was not done by its deadline.
    pub(crate) fn late(&self) -> Error {
        let late = |name: &str| format!("{name} did not finish before the deadline");
        Error::new(ErrorKind::DeadlineExceeded, late(&self.shown)).for_owner(late(&self.for_owner()))
    }
}

/// The circumstances in which a query runs.
#[derive(Clone, Debug)]
pub(crate) struct RunContext {
    /// The identity of the query in the mesh, for the database's own list of running queries.
    pub(crate) query_id: Option<String>,
    /// The time by which the query must be done.
    pub(crate) deadline: Instant,
}

/// A table or a view in the list of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableName {
    pub(crate) schema: Option<String>,
    pub(crate) name: String,
    /// True if it is a view.
    pub(crate) is_view: bool,
}

/// A table, a view or a query as the database describes it.
#[derive(Clone, Debug, Default)]
pub(crate) struct DescribedTable {
    /// The columns, in order.
    pub(crate) columns: Vec<DescribedColumn>,
    /// The comment.
    pub(crate) comment: Option<String>,
    /// The columns of the primary key, in key order.
    pub(crate) primary_key: Vec<String>,
    /// The foreign keys.
    pub(crate) references: Vec<Reference>,
    /// True if [`SqlQuery::in_range`] works for it.
    pub(crate) has_ranges: bool,
    /// True if the database stores the rows, and computes them by no view and no query.
    pub(crate) is_stored: bool,
}

/// A column as the database describes it.
#[derive(Clone, Debug)]
pub(crate) struct DescribedColumn {
    /// The name in the database.
    pub(crate) name: String,
    /// The type as the database writes it, such as `numeric(10,2)`.
    pub(crate) native_type: String,
    /// The Arrow type; the reason in words if the column cannot be read.
    pub(crate) data_type: std::result::Result<DataType, String>,
    /// The values as an expression over the alias `t`.
    pub(crate) sql: String,
    /// The operations that the database may apply to the values.
    pub(crate) usage: ColumnUsage,
    /// True if a value may be NULL. Only a checked constraint makes it false.
    pub(crate) nullable: bool,
    /// True if a checked constraint makes the values unique.
    pub(crate) unique: bool,
    /// The comment.
    pub(crate) comment: Option<String>,
    /// The values that an enum type or a `CHECK` permits; empty if any value is permitted.
    pub(crate) enumeration: Vec<String>,
}

/// A foreign key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) name: Option<String>,
    /// The referencing columns.
    pub(crate) columns: Vec<String>,
    /// The referenced table.
    pub(crate) schema: Option<String>,
    pub(crate) table: String,
    /// The referenced columns, in the order of `columns`.
    pub(crate) referenced_columns: Vec<String>,
}

/// The statistics that a database has of a relation.
#[derive(Clone, Debug, Default)]
pub(crate) struct TableStatistics {
    /// The number of rows.
    pub(crate) rows: Option<u64>,
    /// Bytes of the rows as they are stored.
    pub(crate) bytes: Option<u64>,
    /// The statistics of columns, by their names in the database.
    pub(crate) columns: BTreeMap<String, ColumnStatistics>,
}
