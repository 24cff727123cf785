//! A session: a principal, its settings, and the statements it runs.

use std::sync::{Arc, Mutex};

use crate::engine::Inner;
use crate::{Engine, Prepared, Principal, QueryStream, Result, Settings};

/// A session on an engine. Cheap to clone; clones share the settings.
#[derive(Clone, Debug)]
pub struct Session {
    pub(crate) engine: Arc<Inner>,
    pub(crate) principal: Principal,
    settings: Arc<Mutex<Settings>>,
}

impl Session {
    pub(crate) fn new(engine: &Engine, principal: Principal) -> Self {
        Self { engine: engine.inner(), principal, settings: Arc::default() }
    }

    /// On whose behalf it runs.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The settings as they are now.
    pub fn settings(&self) -> Settings {
        self.settings.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Changes one setting, as `SET name = value` does.
    ///
    /// # Errors
    /// As [`Settings::set`].
    pub fn set(&self, name: &str, value: &str) -> Result<()> {
        self.settings.lock().unwrap_or_else(std::sync::PoisonError::into_inner).set(name, value)
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
        self.prepare(sql).await?.execute(&[]).await
    }
}
