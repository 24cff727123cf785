//! A session: a principal, its settings, its tables, and the statements it runs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arrow::datatypes::SchemaRef;
use portolan_catalog::DomainName;
use portolan_catalog::nearest::nearest;
use tokio_util::sync::CancellationToken;

use crate::names::{RESERVED_CATALOG, SessionNames};
use crate::state::EngineState;
use crate::state::tables::SessionTables;
use crate::{Engine, Error, ErrorKind, Prepared, Principal, QueryStream, Result, Settings};

/// A session on an engine. Cheap to clone; clones share settings and tables.
#[derive(Clone, Debug)]
pub struct Session {
    pub(crate) engine: Arc<EngineState>,
    pub(crate) shared: Arc<Shared>,
}

/// What the clones of a session share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: String,
    pub(crate) principal: Principal,
    pub(crate) opened: SystemTime,
    pub(crate) tables: SessionTables,
    /// Ends what it runs: it was closed.
    pub(crate) closed: CancellationToken,
    settings: Mutex<Settings>,
}

impl Session {
    pub(crate) fn new(engine: &Engine, principal: Principal) -> Self {
        let engine = engine.inner();
        let shared = Arc::new(Shared {
            id: uuid::Uuid::new_v4().to_string(),
            principal,
            opened: SystemTime::now(),
            tables: SessionTables::new(engine.held.clone(), engine.limits.session_tables),
            closed: CancellationToken::new(),
            settings: Mutex::default(),
        });
        engine.activity.opened(&shared);
        Self { engine, shared }
    }

    /// Its identity, as `mesh.sessions` shows it. It opens nothing: it is no token.
    pub fn id(&self) -> &str {
        &self.shared.id
    }

    /// The engine that it is open on.
    pub fn engine(&self) -> Engine {
        Engine::of(self.engine.clone())
    }

    /// On whose behalf it runs.
    pub fn principal(&self) -> &Principal {
        &self.shared.principal
    }

    /// The settings as they are now.
    pub fn settings(&self) -> Settings {
        self.shared.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes one setting, as `SET name = value` does.
    ///
    /// # Errors
    /// As [`Settings::set`]; `NotFound` for a catalog that there is not.
    pub fn set(&self, name: &str, value: &str) -> Result<()> {
        if name.eq_ignore_ascii_case("catalog") {
            self.known_catalog(value)?;
        }
        self.shared.settings.lock().unwrap_or_else(PoisonError::into_inner).set(name, value)
    }

    /// Sets one setting back to its default, as `RESET name` does.
    ///
    /// # Errors
    /// As [`Settings::reset`].
    pub fn reset(&self, name: &str) -> Result<()> {
        self.shared.settings.lock().unwrap_or_else(PoisonError::into_inner).reset(name)
    }

    fn known_catalog(&self, catalog: &str) -> Result<()> {
        let mesh = self.engine.mesh.snapshot();
        if catalog.is_empty() || catalog == RESERVED_CATALOG || mesh.domains.contains_key(&DomainName::new(catalog)) {
            return Ok(());
        }
        let hint = nearest(catalog, mesh.domains.keys().map(DomainName::as_str));
        let hint = hint.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
        Err(Error::new(ErrorKind::NotFound, format!("there is no domain `{catalog}`{hint}")))
    }

    /// The tables that it made, with their columns, in the order of their names.
    pub fn tables(&self) -> Vec<(String, SchemaRef)> {
        let tables = self.shared.tables.snapshot();
        tables.iter().map(|(name, content)| (name.clone(), content.schema.clone())).collect()
    }

    /// Whether it has tables or runs something, which would be lost with it.
    pub fn is_in_use(&self) -> bool {
        !self.shared.tables.snapshot().is_empty() || self.engine.activity.queries_of(self.id()) > 0
    }

    /// Ends it: what it runs is stopped, its tables are gone, and it takes no further statement.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.is_cancelled()
    }

    /// Parses and plans one statement, without running it.
    ///
    /// # Errors
    /// `InvalidQuery` or `NotFound` with the place in the statement and the nearest names.
    pub async fn prepare(&self, sql: &str) -> Result<Prepared> {
        Prepared::new(self, sql).await
    }

    /// Parses, plans and starts one statement without parameters.
    ///
    /// # Errors
    /// As [`Session::prepare`] and [`Prepared::execute`].
    pub async fn sql(&self, sql: &str) -> Result<QueryStream> {
        Box::pin(self.prepare(sql)).await?.execute(&[]).await
    }

    /// The names that its statements see beside those of the mesh.
    pub(crate) fn names(&self) -> SessionNames {
        let settings = self.settings();
        SessionNames {
            tables: self.shared.tables.snapshot(),
            catalog: settings.catalog,
            schema: settings.schema,
            principal: self.shared.principal.clone(),
            activity: self.engine.activity.clone(),
        }
    }

    pub(crate) fn require_open(&self) -> Result<()> {
        match self.is_closed() {
            true => Err(Error::new(ErrorKind::Unauthenticated, "the session was closed: log in again")),
            false => Ok(()),
        }
    }
}

impl Shared {
    pub(crate) fn close(&self) {
        self.closed.cancel();
        self.tables.clear();
    }
}
