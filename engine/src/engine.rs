//! Opens sessions, and accepts the fragments that other nodes send.

mod builder;

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::SessionConfig;
use portolan_catalog::{Diagnostics, DomainName, MeshSnapshot, PortRef, PortStatistics};
use portolan_connectors::{CatalogAnswer, FragmentHead, LocalDomain, OwnerKey, Peer, SiteId};

pub use self::builder::EngineBuilder;
use crate::exchange::LiveEdges;
use crate::mesh::CatalogReader;
use crate::state::{EngineState, QueryContext};
use crate::{
    EngineMetrics, EstimatedFragment, Limits, PeerOptions, Principal, QueryStream, ReceivedFragment, Result, Session,
    Usage, derived, query,
};

/// An engine that answers SQL over the ports of the domains that it owns or reaches through peers. A clone is cheap.
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

    /// Returns the names of the scalar functions, each with its chapter in DataFusion's reference.
    pub fn functions(&self) -> Vec<(String, &'static str)> {
        let functions = self.0.base.scalar_functions().iter();
        let chapter = |f: &ScalarUDF| f.documentation().map_or("Other Functions", |d| d.doc_section.label);
        functions.map(|(name, function)| (name.clone(), chapter(function))).collect()
    }

    /// Returns a configuration with what the remote scans of one query need: the peers of this engine, and the head of
    /// the query at the node that plans it. Tasks with the configuration decode and run the parts of a plan that
    /// [`RemoteScanCodec`](crate::RemoteScanCodec) encoded. Each plan needs its own configuration.
    #[must_use]
    pub fn with_remote_scans(&self, config: SessionConfig, head: FragmentHead) -> SessionConfig {
        let query = QueryContext::new(head, self.0.limits().key_bytes, self.0.metrics.clone());
        config.with_extension(Arc::new(LiveEdges::new(self.0.mesh.view(), Arc::new(query))))
    }

    /// Opens a session.
    pub fn session(&self, principal: Principal) -> Session {
        Session::new(self, principal, false)
    }

    /// Opens a session for one call of a client that has no session. If the client is anonymous, all calls from its
    /// address may see and stop what runs in the session.
    pub fn brief_session(&self, principal: Principal) -> Session {
        Session::new(self, principal, true)
    }

    /// Runs one statement in a session of its own, anonymously.
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

    /// Returns when a thread that drives plans has run a task, which shows that a new principal's query can start. A
    /// principal whose own query holds its threads does not keep others from theirs.
    ///
    /// # Errors
    /// `Internal` if the task ended abnormally.
    pub async fn respond(&self) -> Result<()> {
        self.0.cpu.run(&Principal::anonymous(), async { Ok(()) }).await
    }

    /// Adds a peer, and fetches its catalog in the background, at once and at every refresh interval. If there is a peer
    /// with the same identity, the new one takes its place: its domains stay known until it answers.
    pub fn add_peer(&self, peer: Arc<dyn Peer>, options: PeerOptions) {
        self.0.mesh.add_peer(peer, options);
    }

    /// Removes a peer, and the peers that were learned from it. Running queries go on. Returns false if there is no such
    /// peer.
    pub fn remove_peer(&self, id: &SiteId) -> bool {
        self.0.mesh.remove_peer(id)
    }

    /// Replaces the keys that domains of other nodes are pinned to, as [`EngineBuilder::domain_keys`] sets them.
    pub fn set_domain_keys(&self, keys: BTreeMap<DomainName, Vec<OwnerKey>>) {
        self.0.mesh.pin_domains(keys);
    }

    /// Changes the limits of later queries, and the shares of principals in later sessions. `memory`, `query_memory`,
    /// `host_memory` and `spill_bytes` stay as they are.
    pub fn set_limits(&self, limits: &Limits) {
        self.0.set_limits(limits);
    }

    /// Returns the mesh as it is known now.
    pub fn mesh(&self) -> Arc<MeshSnapshot> {
        self.0.mesh.snapshot()
    }

    /// Fetches every peer's catalog now, and returns when each peer has answered or failed.
    pub async fn refresh(&self) {
        self.0.mesh.refresh_all().await;
    }

    /// Replaces a local domain with a newly loaded version, and plans the queries of its derived ports. Running queries
    /// keep the old version.
    pub fn replace_local_domain(&self, domain: LocalDomain) {
        let before = self.0.mesh.local(&domain.catalog.domain);
        let opened = derived::open(&self.0.base, domain, before.as_ref());
        self.0.mesh.replace_local(opened.logged());
    }

    /// Checks the derived ports of a domain: plans their queries, and compares the columns with the contracts. An engine
    /// that owns the domain closes the ports with faults.
    ///
    /// # Errors
    /// The faults of all derived ports, with their places in the contracts.
    pub fn check_derived_ports(domain: &LocalDomain) -> std::result::Result<(), Diagnostics> {
        derived::check(&builder::base_state(1, Limits::default().query_memory, Arc::default()), domain)
    }

    /// Changes the statistics of these ports of a local domain. Peers get them with their next catalog request.
    pub fn update_statistics(&self, domain: &DomainName, statistics: &BTreeMap<PortRef, Arc<PortStatistics>>) {
        self.0.mesh.update_statistics(domain, statistics);
        if let Some(before) = self.0.mesh.local(domain).filter(derived::has_derived_ports) {
            // The estimates of derived ports follow from the statistics of their inputs.
            let opened = derived::open(&self.0.base, before.clone(), Some(&before));
            self.0.mesh.replace_local_if_same(&before, opened.logged());
        }
    }

    /// Keeps the present version of a local domain, and marks its products with the reason why the newest version was
    /// not loaded.
    pub fn report_load_error(&self, domain: &DomainName, error: &str) {
        self.0.mesh.report_load_error(domain, error);
    }

    /// Returns the identity of this engine: each engine of each process has another one. A node recognises itself by it
    /// in its own list of peers.
    pub fn instance(&self) -> &str {
        self.0.mesh.instance()
    }

    /// Returns the answer to `reader`, who requests this engine's catalog. `known` is the version that it has.
    pub fn catalog(&self, known: Option<&str>, reader: CatalogReader) -> CatalogAnswer {
        self.0.mesh.answer(known, reader)
    }

    /// Plans and starts a fragment that another node sent.
    ///
    /// # Errors
    /// `InvalidQuery` for bytes that are not a fragment, or for a fragment with anything but known plan nodes over
    /// ports; `NotFound` for a port that this node does not have; `PermissionDenied` beyond the limit on hops;
    /// `ResourceExhausted` for more bytes of keys than are accepted.
    pub async fn fragment(&self, fragment: ReceivedFragment) -> Result<QueryStream> {
        query::run_fragment(&self.0, fragment).await
    }

    /// Estimates a fragment that another node may send. The fragment is planned and not run.
    ///
    /// # Errors
    /// As for [`Engine::fragment`].
    pub async fn estimate_fragment(&self, fragment: ReceivedFragment) -> Result<EstimatedFragment> {
        query::estimate_fragment(&self.0, fragment).await
    }
}
