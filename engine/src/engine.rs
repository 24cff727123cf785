//! Builds an engine, opens sessions on it, and accepts the fragments that other nodes send.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::SessionConfig;
use portolan_catalog::{DomainName, MeshSnapshot, PortRef, PortStatistics};
use portolan_connectors::{CatalogAnswer, FragmentHead, LocalDomain, Peer};

use crate::exchange::{LiveEdges, MeshPlanner};
use crate::execution::accounts::Accounts;
use crate::execution::admission::Admission;
use crate::execution::runtime::CpuRuntime;
use crate::mesh::{LinkOverride, Mesh};
use crate::names::RESERVED_CATALOG;
use crate::state::{EngineState, QueryContext};
use crate::{
    Error, ErrorKind, EstimatedFragment, Limits, Principal, QueryStream, Result, SentFragment, Session, query, upstream,
};

/// An engine that answers SQL over the ports of the domains that it owns or reaches through peers. A clone is cheap.
#[derive(Clone, Debug)]
pub struct Engine(Arc<EngineState>);

/// A builder of an [`Engine`].
#[derive(Debug)]
pub struct EngineBuilder {
    domains: Vec<LocalDomain>,
    peers: Vec<(Arc<dyn Peer>, LinkOverride)>,
    refresh_interval: Duration,
    limits: Limits,
    cpu_threads: usize,
    spill_folder: Option<PathBuf>,
    runtime: Option<Arc<RuntimeEnv>>,
}

impl Default for EngineBuilder {
    fn default() -> Self {
        Self {
            domains: vec![],
            peers: vec![],
            refresh_interval: Duration::from_secs(5),
            limits: Limits::default(),
            cpu_threads: std::thread::available_parallelism().map_or(2, usize::from),
            spill_folder: None,
            runtime: None,
        }
    }
}

impl EngineBuilder {
    /// Adds a domain that this engine owns. One process can own several.
    #[must_use]
    pub fn local_domain(mut self, domain: LocalDomain) -> Self {
        self.domains.push(domain);
        self
    }

    /// Adds another node. The engine fetches the node's catalog in the background, at once and at every refresh
    /// interval.
    #[must_use]
    pub fn peer(self, peer: Arc<dyn Peer>) -> Self {
        self.peer_with_link(peer, LinkOverride::default())
    }

    /// Adds another node as [`EngineBuilder::peer`] does, and sets the speed of the link to it. The engine measures
    /// what is not set while the nodes communicate. The planner uses these values. They slow nothing down.
    #[must_use]
    pub fn peer_with_link(mut self, peer: Arc<dyn Peer>, link: LinkOverride) -> Self {
        self.peers.push((peer, link));
        self
    }

    /// Sets the interval at which the engine fetches the peers' catalogs. Default: 5 seconds.
    #[must_use]
    pub fn refresh_interval(mut self, interval: Duration) -> Self {
        self.refresh_interval = interval;
        self
    }

    /// Sets the limits of the engine's queries.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the number of threads that drive plans, and of partitions of a plan. Default: the machine's cores.
    #[must_use]
    pub fn cpu_threads(mut self, threads: usize) -> Self {
        self.cpu_threads = threads.max(1);
        self
    }

    /// Sets the folder to which operators spill. Default: the system's temporary folder.
    #[must_use]
    pub fn spill_folder(mut self, folder: PathBuf) -> Self {
        self.spill_folder = Some(folder);
        self
    }

    /// Sets the object stores and caches that ports were opened with. Default: new ones.
    #[must_use]
    pub fn runtime_env(mut self, runtime: Arc<RuntimeEnv>) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Builds the engine. The caller must run on a tokio runtime with I/O and time: connections use that runtime. The
    /// engine drives plans on its own threads.
    ///
    /// # Errors
    /// `InvalidQuery` if two local domains have the same name; `Internal` if threads or the spill folder are not
    /// available.
    pub fn build(self) -> Result<Engine> {
        let runtime = self.disk_bound_runtime()?;
        let base = base_state(self.cpu_threads, self.limits.query_memory, runtime);
        let mesh = Mesh::new(self.domains, self.peers)?;
        mesh.start_refreshing(self.refresh_interval)?;
        Ok(Engine(Arc::new(EngineState {
            mesh,
            admission: Admission::new(&self.limits),
            accounts: Accounts::new(&self.limits),
            activity: Arc::default(),
            limits: self.limits,
            cpu: CpuRuntime::new(self.cpu_threads)?,
            base,
        })))
    }

    fn disk_bound_runtime(&self) -> Result<Arc<RuntimeEnv>> {
        let builder = match &self.runtime {
            Some(runtime) => RuntimeEnvBuilder::from_runtime_env(runtime),
            None => RuntimeEnvBuilder::new(),
        };
        let mode = match &self.spill_folder {
            Some(folder) => DiskManagerMode::Directories(vec![folder.clone()]),
            None => DiskManagerMode::OsTmpDirectory,
        };
        builder
            .with_disk_manager_builder(
                DiskManagerBuilder::default().with_mode(mode).with_max_temp_directory_size(self.limits.spill_bytes),
            )
            .build_arc()
            .map_err(|e| Error::new(ErrorKind::Internal, "the spill folder cannot be used").with_source(e))
    }
}

/// A smaller reservation is not enough for a merge.
const MIN_MERGE_RESERVATION: usize = 256 << 10;

fn base_state(partitions: usize, query_memory: usize, runtime: Arc<RuntimeEnv>) -> SessionState {
    let mut config = SessionConfig::new()
        .with_target_partitions(partitions)
        .with_information_schema(true)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(RESERVED_CATALOG, "mesh");
    let options = config.options_mut();
    // Errors show positions.
    options.sql_parser.collect_spans = true;
    // A check of DataFusion refuses plans whose physical columns may be NULL although the logical ones may not. A union
    // of a literal and a column becomes such a plan (docs: upstream notes). The engine converts rows to the promised
    // schema anyway.
    options.execution.skip_physical_aggregate_schema_check = true;
    // Each sorter reserves this much memory to merge the rows that it spilled. If memory is small, this must be a small
    // part of it.
    let to_merge = query_memory / (8 * partitions);
    options.execution.sort_spill_reservation_bytes =
        to_merge.clamp(MIN_MERGE_RESERVATION, options.execution.sort_spill_reservation_bytes);
    upstream::state_builder()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_query_planner(Arc::new(MeshPlanner))
        .build()
}

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
        let query = QueryContext::new(head, self.0.limits.key_bytes);
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

    /// Returns the mesh as it is known now.
    pub fn mesh(&self) -> Arc<MeshSnapshot> {
        self.0.mesh.snapshot()
    }

    /// Fetches every peer's catalog now, and returns when each peer has answered or failed.
    pub async fn refresh(&self) {
        self.0.mesh.refresh_all().await;
    }

    /// Replaces a local domain with a newly loaded version. Running queries keep the old version.
    pub fn replace_local_domain(&self, domain: LocalDomain) {
        self.0.mesh.replace_local(domain);
    }

    /// Changes the statistics of these ports of a local domain. Peers get them with their next catalog request.
    pub fn update_statistics(&self, domain: &DomainName, statistics: &BTreeMap<PortRef, Arc<PortStatistics>>) {
        self.0.mesh.update_statistics(domain, statistics);
    }

    /// Keeps the present version of a local domain, and marks its products with the reason why the newest version was
    /// not loaded.
    pub fn report_load_error(&self, domain: &DomainName, error: &str) {
        self.0.mesh.report_load_error(domain, error);
    }

    /// Returns the answer to a peer that requests this engine's catalog.
    pub fn catalog(&self, known: Option<&str>) -> CatalogAnswer {
        self.0.mesh.answer(known)
    }

    /// Plans and starts a fragment that another node sent.
    ///
    /// # Errors
    /// `InvalidQuery` for bytes that are not a fragment, or for a fragment with anything but known plan nodes over
    /// ports; `NotFound` for a port that this node does not have; `PermissionDenied` beyond the limit on hops;
    /// `ResourceExhausted` for more bytes of keys than are accepted.
    pub async fn fragment(&self, fragment: SentFragment) -> Result<QueryStream> {
        query::run_fragment(&self.0, fragment).await
    }

    /// Estimates a fragment that another node may send. The fragment is planned and not run.
    ///
    /// # Errors
    /// As for [`Engine::fragment`].
    pub async fn estimate_fragment(&self, fragment: SentFragment) -> Result<EstimatedFragment> {
        query::estimate_fragment(&self.0, fragment).await
    }
}
