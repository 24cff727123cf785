//! A session: a principal, its settings, its tables, and the statements it runs.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::stream::BoxStream;

use crate::query::{ingest, settings};
use crate::state::SessionHandle;
use crate::{Engine, IngestMode, IngestTarget, Prepared, Principal, QueryStream, Result, Settings};

/// A session on an engine. Cheap to clone; clones share settings and tables.
#[derive(Clone, Debug)]
pub struct Session(SessionHandle);

impl Session {
    pub(crate) fn new(engine: &Engine, principal: Principal) -> Self {
        Self(SessionHandle::open(engine.inner(), principal))
    }

    /// Its identity, as `mesh.sessions` shows it. It opens nothing: it is no token.
    pub fn id(&self) -> &str {
        self.0.id()
    }

    /// The engine that it is open on.
    pub fn engine(&self) -> Engine {
        Engine::of(self.0.engine.clone())
    }

    /// On whose behalf it runs.
    pub fn principal(&self) -> &Principal {
        self.0.principal()
    }

    /// The settings as they are now.
    pub fn settings(&self) -> Settings {
        self.0.settings()
    }

    /// Changes one setting, as `SET name = value` does.
    ///
    /// # Errors
    /// As [`Settings::set`]; `NotFound` for a catalog that there is not.
    pub fn set(&self, name: &str, value: &str) -> Result<()> {
        settings::set(&self.0, name, value)
    }

    /// Sets one setting back to its default, as `RESET name` does.
    ///
    /// # Errors
    /// As [`Settings::reset`].
    pub fn reset(&self, name: &str) -> Result<()> {
        settings::reset(&self.0, name)
    }

    /// The tables that it made, with their columns, in the order of their names.
    pub fn tables(&self) -> Vec<(String, SchemaRef)> {
        let tables = self.0.shared.tables.snapshot();
        tables.iter().map(|(name, content)| (name.clone(), content.schema.clone())).collect()
    }

    /// Whether it has tables or runs something, which would be lost with it.
    pub fn is_in_use(&self) -> bool {
        !self.0.shared.tables.snapshot().is_empty() || self.0.engine.activity.queries_of(self.id()) > 0
    }

    /// Ends it: what it runs is stopped, its tables are gone, and it takes no further statement.
    pub fn close(&self) {
        self.0.shared.close();
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.0.shared.closed.is_cancelled()
    }

    /// Parses and plans one statement, without running it.
    ///
    /// # Errors
    /// `InvalidQuery` or `NotFound` with the place in the statement and the nearest names.
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

    /// Takes uploaded rows; gives how many there were. Columns go by their names; those that the target has beside are
    /// NULL. All rows take effect, or none.
    ///
    /// # Errors
    /// `AlreadyExists` or `NotFound`, as `mode` says; `PermissionDenied` for a port that takes no rows from the
    /// principal; `InvalidQuery` for columns that the target lacks, and values that do not fit; `ResourceExhausted` past
    /// the bound of a session's tables; what `rows` ends with.
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
