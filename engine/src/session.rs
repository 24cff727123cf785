//! A session: a principal with settings and tables, and the statements that it runs.

mod register;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::stream::BoxStream;

use crate::query::{ingest, settings};
use crate::state::SessionHandle;
use crate::{Engine, IngestMode, IngestTarget, Prepared, Principal, QueryStream, Result, Settings, TraceContext};

/// A session on an engine. Cloning is cheap, and clones share settings and tables. The tables end with the last clone. A
/// statement that runs goes on after that, unless [`Session::close`] or [`Session::cancel`] has stopped it.
///
/// Statements need a tokio runtime with time. The engine plans and drives them on its own threads.
///
/// # Examples
/// ```
/// use std::sync::Arc;
///
/// use portolan_engine::arrow::array::{ArrayRef, Int64Array};
/// use portolan_engine::{Engine, Principal, RecordBatch};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let session = Engine::builder().build()?.session(Principal::new("ann"));
/// let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
/// session.register_batches("list", vec![RecordBatch::try_from_iter([("id", ids)])?]).await?;
/// session.set("portolan.query_timeout", "30")?;
/// let rows = session.sql("SELECT id FROM list WHERE id > 1").await?.collect().await?;
/// assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Session(SessionHandle);

impl Session {
    pub(crate) fn new(engine: &Engine, principal: Principal, brief: bool) -> Self {
        Self(SessionHandle::open(engine.inner(), principal, brief))
    }

    pub(crate) fn handle(&self) -> &SessionHandle {
        &self.0
    }

    /// Returns the identifier of the session, as in `mesh.sessions`. It is not a token, and gives no access.
    pub fn id(&self) -> &str {
        self.0.id()
    }

    /// Returns the same session, whose statements are a part of this span of a client. Without one, each statement
    /// starts a trace of its own.
    #[must_use]
    pub fn traced(mut self, trace: Option<TraceContext>) -> Self {
        self.0.trace = trace;
        self
    }

    /// Returns the span of a client that the session's statements are a part of.
    pub fn trace(&self) -> Option<&TraceContext> {
        self.0.trace.as_ref()
    }

    /// Returns the engine of the session.
    pub fn engine(&self) -> Engine {
        Engine::of(self.0.engine.clone())
    }

    /// Returns the principal of the session.
    pub fn principal(&self) -> &Principal {
        self.0.principal()
    }

    /// Returns the current settings.
    pub fn settings(&self) -> Settings {
        self.0.settings()
    }

    /// Changes one setting, as `SET name = value` does.
    ///
    /// # Errors
    /// As [`Settings::set`]; `NotFound` if the catalog does not exist.
    pub fn set(&self, name: &str, value: &str) -> Result<()> {
        settings::set(&self.0, name, value)
    }

    /// Resets one setting to its default, as `RESET name` does.
    ///
    /// # Errors
    /// As [`Settings::reset`].
    pub fn reset(&self, name: &str) -> Result<()> {
        settings::reset(&self.0, name)
    }

    /// Returns the session's tables with their columns, ordered by name.
    pub fn tables(&self) -> Vec<(String, SchemaRef)> {
        let tables = self.0.shared.tables.snapshot();
        tables.iter().map(|(name, content)| (name.clone(), content.schema.clone())).collect()
    }

    /// Returns the session's views with their columns, ordered by name.
    pub fn views(&self) -> Vec<(String, SchemaRef)> {
        let views = self.0.shared.tables.views();
        views.iter().map(|(name, view)| (name.clone(), view.columns.clone())).collect()
    }

    /// Cancels the statements that the session runs, and returns their number. Each statement ends with an error of the
    /// kind `Cancelled`. The session stays open. [`QueryStream::cancel_handle`] cancels one statement.
    pub fn cancel(&self) -> usize {
        self.0.engine.activity.cancel_queries_of(self.id())
    }

    /// Closes the session: stops its statements, drops its tables and views, and refuses further statements.
    pub fn close(&self) {
        self.0.shared.close();
    }

    /// True if the session is closed.
    pub fn is_closed(&self) -> bool {
        self.0.shared.closed.is_cancelled()
    }

    /// Parses and plans one statement, without running it.
    ///
    /// # Errors
    /// `InvalidQuery` or `NotFound`, with the place in the statement and the nearest names.
    pub async fn prepare(&self, sql: &str) -> Result<Prepared> {
        Prepared::new(&self.0, sql).await
    }

    /// Parses, plans and starts one statement without parameters.
    ///
    /// # Errors
    /// As [`Session::prepare`] and [`Prepared::execute`].
    pub async fn sql(&self, sql: &str) -> Result<QueryStream> {
        Box::pin(self.prepare(sql)).await?.execute(&[]).await
    }

    /// Stores uploaded rows, and returns their number. Columns are matched by name, and further columns of the target
    /// are NULL. All rows take effect, or none.
    ///
    /// # Errors
    /// - `AlreadyExists` or `NotFound`, depending on `mode`.
    /// - `PermissionDenied` if the port accepts no rows from the principal.
    /// - `InvalidQuery` if the target lacks a column, or values do not fit.
    /// - `ResourceExhausted` if the rows exceed the limit of a session's tables.
    /// - The error that `rows` ends with.
    pub async fn ingest(
        &self,
        target: &IngestTarget,
        mode: IngestMode,
        columns: SchemaRef,
        rows: BoxStream<'static, Result<RecordBatch>>,
    ) -> Result<u64> {
        ingest(&self.0, target, mode, columns, rows).await
    }
}
