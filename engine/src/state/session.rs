//! An open session: its identifier, settings and tables, and its engine.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use portolan_connectors::{TraceContext, lock};
use tokio_util::sync::CancellationToken;

use super::tables::SessionTables;
use super::{ClientIdentity, EngineState};
use crate::execution::accounts::Account;
use crate::{Error, ErrorKind, Principal, Result, Settings};

/// An open session. Cloning is cheap, and clones share settings and tables.
#[derive(Clone, Debug)]
pub(crate) struct SessionHandle {
    pub(crate) engine: Arc<EngineState>,
    pub(crate) shared: Arc<Shared>,
    /// The span of the client that statements are a part of, if there is one. Clones may have different ones.
    pub(crate) trace: Option<TraceContext>,
}

/// The state that the clones of a session share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: String,
    pub(crate) principal: Principal,
    /// What the principal of the session uses, in all of its sessions.
    pub(crate) account: Arc<Account>,
    pub(crate) opened: SystemTime,
    pub(crate) tables: SessionTables,
    /// The signal that the session was closed, which cancels its queries.
    pub(crate) closed: CancellationToken,
    settings: Mutex<Settings>,
    /// True if the session ends with the call that opened it.
    brief: AtomicBool,
}

impl SessionHandle {
    /// Returns the time for a query: the session's setting, at most the engine's limit.
    pub(crate) fn query_timeout(&self) -> Duration {
        let limit = self.engine.limits().query_timeout;
        self.settings().query_timeout.map_or(limit, |timeout| timeout.min(limit))
    }

    /// Opens a session on an engine. `brief` is true if the session ends with the call that opened it.
    pub(crate) fn open(engine: Arc<EngineState>, principal: Principal, brief: bool) -> Self {
        let account = engine.accounts.of(&principal);
        let shared = Arc::new(Shared {
            id: uuid::Uuid::new_v4().to_string(),
            principal,
            opened: SystemTime::now(),
            tables: SessionTables::new(account.tables.clone(), engine.limits().session_tables),
            account,
            closed: CancellationToken::new(),
            settings: Mutex::default(),
            brief: AtomicBool::new(brief),
        });
        engine.activity.opened(&shared);
        Self { engine, shared, trace: None }
    }

    pub(crate) fn id(&self) -> &str {
        &self.shared.id
    }

    pub(crate) fn principal(&self) -> &Principal {
        &self.shared.principal
    }

    /// Returns the current settings.
    pub(crate) fn settings(&self) -> Settings {
        self.change_settings(|settings| settings.clone())
    }

    /// Changes the settings, and returns what `change` returns.
    pub(crate) fn change_settings<T>(&self, change: impl FnOnce(&mut Settings) -> T) -> T {
        change(&mut lock(&self.shared.settings))
    }

    /// Checks that the session is open.
    ///
    /// # Errors
    /// `Unauthenticated`.
    pub(crate) fn require_open(&self) -> Result<()> {
        match self.shared.closed.is_cancelled() {
            true => Err(Error::new(ErrorKind::Unauthenticated, "the session was closed: log in again")),
            false => Ok(()),
        }
    }
}

impl Shared {
    /// Returns the client of the session.
    pub(crate) fn client(&self) -> ClientIdentity {
        let brief = self.brief.load(Ordering::Relaxed);
        ClientIdentity { principal: self.principal.clone(), session: Some(self.id.clone()), brief }
    }

    /// Keeps the session beyond the call that opened it.
    pub(crate) fn keep(&self) {
        self.brief.store(false, Ordering::Relaxed);
    }

    /// Stops the session's queries, and drops its tables.
    pub(crate) fn close(&self) {
        self.closed.cancel();
        self.tables.clear();
    }
}
