//! A session: a principal with settings and tables, and the statements that it runs.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::{SpillFile, TempFileFactory};
use futures::stream::BoxStream;

use crate::execution::spill::SpillFiles;
use crate::query::{ingest, settings};
use crate::state::SessionHandle;
use crate::{
    Engine, Error, ErrorKind, IngestMode, IngestTarget, Prepared, Principal, QueryStream, Result, Settings,
    TraceContext,
};

/// A session on an engine. Cloning is cheap, and clones share settings and tables.
#[derive(Clone, Debug)]
pub struct Session(SessionHandle);

impl Session {
    pub(crate) fn new(engine: &Engine, principal: Principal, brief: bool) -> Self {
        Self(SessionHandle::open(engine.inner(), principal, brief))
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

    /// Keeps a [brief](Engine::brief_session) session beyond the call that opened it.
    pub fn keep(&self) {
        self.0.shared.keep();
    }

    /// Creates a file for a result that the client fetches later. Dropping the value removes the file. Its bytes count
    /// towards `limits.spill_bytes` and the shares of the principal.
    ///
    /// # Errors
    /// `ResourceExhausted` if there is no room.
    pub fn result_file(&self) -> Result<Arc<dyn SpillFile>> {
        let (engine, account) = (&self.0.engine, &self.0.shared.account);
        let files = SpillFiles::new(engine.base.runtime_env().disk_manager.clone(), account.kept_results.clone());
        files.create_temp_file("a kept result").map_err(|e| {
            let what = "the spill folder accepts no more files";
            Error::new(ErrorKind::ResourceExhausted, what).for_owner(format!("{what}: {e}"))
        })
    }

    /// True if the session has tables or views or runs statements, which would be lost with it.
    pub fn is_in_use(&self) -> bool {
        let tables = &self.0.shared.tables;
        let has_names = !tables.snapshot().is_empty() || !tables.views().is_empty();
        has_names || self.0.engine.activity.queries_of(self.id()) > 0
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
