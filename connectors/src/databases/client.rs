//! A database as ports and fragments use it: calls of its driver on the I/O runtime, within their time limits. A fault of
//! a driver ends its query and nothing else.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use portolan_catalog::DatabaseRelation;
use tokio::runtime::Handle;
use tokio::time::timeout_at;

use super::database::{Database, DescribedTable, Origin, RunContext, TableName, TableStatistics};
use super::on_runtime::OnRuntime;
use crate::error::{Error, ErrorKind, Result};
use crate::fragment::FragmentEstimate;
use crate::panics::caught_async;
use crate::source::{Footprint, SourceCounter};
use crate::sql::SqlQuery;

/// The time limit for what a database says about a table.
const DESCRIPTION_TIME: Duration = Duration::from_secs(30);
/// The time limit for figures that a node does without.
const FIGURES_TIME: Duration = Duration::from_secs(10);
/// The time that a driver has after the deadline of a write, to find out whether the rows were added.
const ANSWER: Duration = Duration::from_secs(5);

/// A database whose driver runs on the I/O runtime.
pub(super) struct DatabaseClient {
    database: Arc<dyn Database>,
    /// The runtime on which the connections live.
    io: Handle,
    /// Counts the queries that fail.
    counter: Arc<SourceCounter>,
}

impl DatabaseClient {
    /// Returns a client whose connections live on the present runtime.
    ///
    /// # Errors
    /// `Internal` outside of a tokio runtime.
    pub(super) fn new(database: Arc<dyn Database>, counter: Arc<SourceCounter>) -> Result<Self> {
        let io = Handle::try_current().map_err(|e| {
            let what = format!("{}: connections need a tokio runtime", database.origin().shown);
            Error::new(ErrorKind::Internal, what).with_source(e)
        })?;
        Ok(Self { database, io, counter })
    }

    pub(super) fn database(&self) -> &dyn Database {
        self.database.as_ref()
    }

    pub(super) fn origin(&self) -> &Origin {
        self.database.origin()
    }

    /// Returns the columns of a relation, as [`Database::describe`] does.
    ///
    /// # Errors
    /// As [`Database::describe`].
    pub(super) async fn describe(
        &self,
        relation: &DatabaseRelation,
        wanted: &BTreeMap<String, DataType>,
    ) -> Result<DescribedTable> {
        let until = Instant::now() + DESCRIPTION_TIME;
        self.within(until, self.database.describe(relation, wanted, until)).await
    }

    /// Lists the tables and views of a schema, as [`Database::tables`] does.
    ///
    /// # Errors
    /// As [`Database::tables`].
    pub(super) async fn tables(&self, schema: Option<&str>) -> Result<Vec<TableName>> {
        let until = Instant::now() + DESCRIPTION_TIME;
        self.within(until, self.database.tables(schema, until)).await
    }

    /// Returns a state of the relation's data, if the database has one and responds.
    pub(super) async fn footprint(&self, relation: &DatabaseRelation) -> Option<Footprint> {
        let until = Instant::now() + FIGURES_TIME;
        let footprint = async { Ok(self.database.footprint(relation, until).await) };
        self.within(until, footprint.boxed()).await.ok().flatten()
    }

    /// Returns the database's statistics of a relation, if it has some and responds.
    pub(super) async fn statistics(
        &self,
        relation: &DatabaseRelation,
        described: &DescribedTable,
    ) -> Option<TableStatistics> {
        let until = Instant::now() + FIGURES_TIME;
        let statistics = async { Ok(self.database.statistics(relation, described, until).await) };
        self.within(until, statistics.boxed()).await.ok().flatten()
    }

    /// Returns the database's own estimate of a query.
    ///
    /// # Errors
    /// As [`Database::estimate`].
    pub(super) async fn estimate(&self, query: &SqlQuery, deadline: Instant) -> Result<FragmentEstimate> {
        let deadline = deadline.min(Instant::now() + FIGURES_TIME);
        self.within(deadline, self.database.estimate(query, RunContext { query_id: None, deadline })).await
    }

    /// Runs a query, as [`Database::query`] does. The rows end at the deadline.
    ///
    /// # Errors
    /// As [`Database::query`].
    pub(super) async fn query(
        self: &Arc<Self>,
        query: SqlQuery,
        schema: SchemaRef,
        context: RunContext,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let deadline = context.deadline;
        let started = self.within(deadline, self.database.query(query, schema, context)).await;
        let rows = started.map_err(|error| self.of_query(error))?;
        let client = self.clone();
        let rows = stream::try_unfold((client, rows), move |(client, mut rows)| async move {
            let next = async { rows.next().await.transpose() };
            let next = client.timed(deadline, next).await.map_err(|error| client.of_query(error))?;
            Ok(next.map(|batch| (batch, (client, rows))))
        });
        Ok(OnRuntime::new(&self.io, rows.boxed()).boxed())
    }

    /// Adds rows, as [`Database::append`] does.
    ///
    /// # Errors
    /// As [`Database::append`].
    pub(super) async fn append(
        &self,
        relation: &DatabaseRelation,
        columns: &[String],
        rows: BoxStream<'static, Result<RecordBatch>>,
        context: RunContext,
    ) -> Result<u64> {
        // The rows come from a plan, whose tasks belong to the caller's runtime.
        let rows = match Handle::try_current() {
            Ok(own) => OnRuntime::new(&own, rows).boxed(),
            Err(_) => rows,
        };
        // The driver ends at the deadline, and then knows whether the rows were added.
        let until = context.deadline + ANSWER;
        self.within(until, self.database.append(relation, columns, rows, context)).await
    }

    /// Awaits a call of the driver on the I/O runtime.
    async fn within<T>(&self, deadline: Instant, call: BoxFuture<'_, Result<T>>) -> Result<T> {
        OnRuntime::new(&self.io, self.timed(deadline, call).boxed()).await
    }

    /// Awaits a call of the driver within the time limit. A panic is an error.
    async fn timed<T>(&self, deadline: Instant, call: impl Future<Output = Result<T>>) -> Result<T> {
        match timeout_at(deadline.into(), caught_async(call)).await {
            Ok(Ok(done)) => done,
            Ok(Err(panic)) => Err(Error::new(ErrorKind::Internal, format!("{}: {panic}", self.origin().shown))),
            Err(_) => Err(self.origin().late()),
        }
    }

    /// Returns an error of a query as the caller sees it, who has neither written the query nor has the account. Counts it.
    fn of_query(&self, error: Error) -> Error {
        if !matches!(error.kind(), ErrorKind::DeadlineExceeded | ErrorKind::Cancelled) {
            self.counter.failed_to_read();
        }
        let (kind, hint) = match error.kind() {
            ErrorKind::NotFound | ErrorKind::InvalidQuery => {
                (ErrorKind::InvalidData, ": was a table altered after its port was opened?")
            }
            ErrorKind::Unauthenticated => (ErrorKind::SiteUnavailable, ""),
            _ => return error,
        };
        let owner = format!("{}{hint}", error.owner_chain());
        let shown = Error::new(kind, format!("{}{hint}", error.chain())).for_owner(owner);
        shown.with_retry_after(error.retry_after())
    }
}

impl fmt::Debug for DatabaseClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseClient").field("database", &self.origin().shown).finish_non_exhaustive()
    }
}
