//! An engine: opens sessions, and knows the mesh.

mod builder;

use std::sync::Arc;

use portolan_catalog::{Diagnostics, MeshSnapshot};
use portolan_connectors::LocalDomain;
use portolan_governance::{Policies, Report};

pub use self::builder::EngineBuilder;
use crate::derived::DerivedDomain;
use crate::mesh::{FilterCheck, resolve_policies};
use crate::planner::govern::filter_errors;
use crate::state::EngineState;
use crate::{EngineMetrics, Limits, Principal, QueryStream, Refreshed, Result, Session, Usage, derived};

/// An engine that answers SQL over the ports of the domains that it owns or reaches through peers. A clone is cheap.
///
/// # Examples
/// ```
/// use portolan_engine::{Engine, Limits, Principal};
///
/// # #[tokio::main]
/// # async fn main() -> portolan_engine::Result<()> {
/// let mut limits = Limits::default();
/// limits.query_memory = 512 << 20;
/// let engine = Engine::builder().limits(limits).build()?;
/// let session = engine.session(Principal::new("analytics"));
/// let rows = session.sql("SELECT 6 * 7 AS answer").await?.collect().await?;
/// assert_eq!(rows[0].num_rows(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Engine(Arc<EngineState>);

impl Engine {
    /// Returns a builder of an engine.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    pub(crate) fn of(inner: Arc<EngineState>) -> Self {
        Self(inner)
    }

    pub(crate) fn inner(&self) -> Arc<EngineState> {
        self.0.clone()
    }

    /// Opens a session.
    pub fn session(&self, principal: Principal) -> Session {
        Session::new(self, principal, false)
    }

    /// Runs one statement in a session of its own, for the anonymous principal. Owners may refuse that principal, and
    /// settings and tables end with the statement. [`Engine::session`] opens a session for another principal.
    ///
    /// # Errors
    /// As for [`Session::sql`].
    pub async fn sql(&self, sql: &str) -> Result<QueryStream> {
        self.session(Principal::anonymous()).sql(sql).await
    }

    /// Returns what the engine has counted since it started, and what it uses now.
    pub fn metrics(&self) -> EngineMetrics {
        let disk = &self.0.base.runtime_env().disk_manager;
        EngineMetrics {
            sessions: self.0.activity.open_sessions() as u64,
            memory: self.0.accounts.memory.usage(),
            session_tables: self.0.accounts.tables.usage(),
            host_memory: self.0.pressure.usage(),
            spill: Usage { held: disk.used_disk_space(), limit: disk.max_temp_directory_size() },
            ..self.0.metrics.read()
        }
    }

    /// Returns the mesh as it is known now, with all ports. Sessions see it without the ports that policies hide from their
    /// principals.
    pub fn mesh(&self) -> Arc<MeshSnapshot> {
        self.0.mesh.snapshot()
    }

    /// Fetches every peer's catalog now, and returns which peers answered. Peers that do not answer keep their last known
    /// catalogs. Each peer has ten seconds.
    ///
    /// The engine also fetches the catalogs in the background. A program that sends its first query at once calls this
    /// before it.
    pub async fn refresh(&self) -> Refreshed {
        self.0.mesh.refresh_all().await
    }

    /// Replaces a local domain with a newly loaded version, and plans the queries of its derived ports. Running queries
    /// keep the old version.
    pub fn replace_local_domain(&self, domain: LocalDomain) {
        self.serve(self.planned(domain));
    }

    /// Plans the queries of a local domain's derived ports.
    pub(crate) fn planned(&self, domain: LocalDomain) -> DerivedDomain {
        let before = self.0.mesh.local(&domain.catalog.domain);
        derived::open(&self.0.base, domain, before.as_ref())
    }

    /// Puts a domain in the place of the present one.
    pub(crate) fn serve(&self, planned: DerivedDomain) {
        self.0.mesh.replace_local(planned.logged());
        // Plans would keep the old connections and files open.
        self.0.plans.forget_before(self.0.mesh.view().version);
    }

    /// Checks the derived ports of a domain: plans their queries, and compares the columns with the contracts. An engine
    /// that owns the domain closes the ports with faults.
    ///
    /// # Errors
    /// The faults of all derived ports, with their places in the contracts.
    pub fn check_derived_ports(domain: &LocalDomain) -> std::result::Result<(), Diagnostics> {
        derived::check(&builder::base_state(1, Limits::default().query_memory, Arc::default()), domain)
    }

    /// Checks the policies of a domain: resolves them for its ports, also for the derived ones, and parses their SQL
    /// conditions. Returns the policies as an engine that owns the domain applies them, with all errors and warnings. A
    /// port whose policies have errors is closed. A domain without policies is open to everybody.
    pub fn check_policies(domain: &LocalDomain) -> (Policies, Report) {
        let state = builder::base_state(1, Limits::default().query_memory, Arc::default());
        let files = domain.policies.clone().unwrap_or_default();
        let domain = derived::open(&state, domain.clone(), None).into_domain();
        resolve_policies(&files, &domain.catalog, Some(&FilterCheck { state, errors: filter_errors }))
    }
}

#[cfg(test)]
mod tests;
