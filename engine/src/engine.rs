//! Puts an engine together, opens sessions on it, and takes the fragments that other nodes send.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::SpillFile;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::SessionConfig;
use portolan_catalog::{DomainName, MeshSnapshot, PortRef, PortStatistics};
use portolan_connectors::{CatalogAnswer, FragmentHead, LocalDomain, Peer};

use crate::exchange::{LiveEdges, MeshPlanner};
use crate::execution::admission::Admission;
use crate::execution::memory::SharedMemory;
use crate::execution::runtime::CpuRuntime;
use crate::mesh::{LinkOverride, Mesh};
use crate::names::RESERVED_CATALOG;
use crate::state::{EngineState, QueryContext};
use crate::{
    Error, ErrorKind, EstimatedFragment, Limits, Principal, QueryStream, Result, SentFragment, Session, query, upstream,
};

/// Answers SQL across the ports of the domains that it owns or reaches through peers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine(Arc<EngineState>);

/// Puts an [`Engine`] together.
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

    /// Adds another node. Its catalog is fetched in the background, at once and every refresh interval.
    #[must_use]
    pub fn peer(self, peer: Arc<dyn Peer>) -> Self {
        self.peer_with_link(peer, LinkOverride::default())
    }

    /// Adds another node as [`EngineBuilder::peer`] does, and says how fast the link to it is. What is not given is
    /// measured while the nodes talk. Queries are planned by it; nothing is slowed down.
    #[must_use]
    pub fn peer_with_link(mut self, peer: Arc<dyn Peer>, link: LinkOverride) -> Self {
        self.peers.push((peer, link));
        self
    }

    /// How often peers are asked for their catalogs. Default: 5 seconds.
    #[must_use]
    pub fn refresh_interval(mut self, interval: Duration) -> Self {
        self.refresh_interval = interval;
        self
    }

    /// What bounds its queries.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Threads that drive plans, and partitions of a plan. Default: the machine's cores.
    #[must_use]
    pub fn cpu_threads(mut self, threads: usize) -> Self {
        self.cpu_threads = threads.max(1);
        self
    }

    /// Where operators spill. Default: the system's temporary folder.
    #[must_use]
    pub fn spill_folder(mut self, folder: PathBuf) -> Self {
        self.spill_folder = Some(folder);
        self
    }

    /// The object stores and caches that ports were opened with. Default: new ones.
    #[must_use]
    pub fn runtime_env(mut self, runtime: Arc<RuntimeEnv>) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Builds the engine. Must be called on a tokio runtime with I/O and time: connections live there; plans are
    /// driven on threads of the engine's own.
    ///
    /// # Errors
    /// `InvalidQuery` where two local domains have one name; `Internal` where threads or the spill folder cannot be
    /// had.
    pub fn build(self) -> Result<Engine> {
        let runtime = self.disk_bound_runtime()?;
        let base = base_state(self.cpu_threads, self.limits.query_memory, runtime);
        let mesh = Mesh::new(self.domains, self.peers)?;
        mesh.start_refreshing(self.refresh_interval)?;
        Ok(Engine(Arc::new(EngineState {
            mesh,
            admission: Admission::new(&self.limits),
            memory: SharedMemory::new(self.limits.memory),
            held: SharedMemory::new(self.limits.memory / SHARE_OF_SESSIONS),
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

/// All sessions together may hold the memory of queries divided by this.
const SHARE_OF_SESSIONS: usize = 4;
/// Less than this is not enough to merge with.
const MERGE_RESERVATION_LEAST: usize = 256 << 10;

fn base_state(partitions: usize, query_memory: usize, runtime: Arc<RuntimeEnv>) -> SessionState {
    let mut config = SessionConfig::new()
        .with_target_partitions(partitions)
        .with_information_schema(true)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(RESERVED_CATALOG, "mesh");
    let options = config.options_mut();
    // Positions in errors.
    options.sql_parser.collect_spans = true;
    // A check of DataFusion's refuses plans whose physical columns may be NULL where the logical ones may not, which a
    // union of a literal and a column comes to (docs: upstream notes). Rows are brought into the promised form anyway.
    options.execution.skip_physical_aggregate_schema_check = true;
    // Each sorter sets this much aside to merge what it spilled: with little memory it must be a small part of it.
    let to_merge = query_memory / (8 * partitions);
    options.execution.sort_spill_reservation_bytes =
        to_merge.clamp(MERGE_RESERVATION_LEAST, options.execution.sort_spill_reservation_bytes);
    upstream::state_builder()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_query_planner(Arc::new(MeshPlanner))
        .build()
}

impl Engine {
    /// Starts to put an engine together.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    pub(crate) fn of(inner: Arc<EngineState>) -> Self {
        Self(inner)
    }

    pub(crate) fn inner(&self) -> Arc<EngineState> {
        self.0.clone()
    }

    /// The names of the scalar functions, each with the chapter of DataFusion's reference that it stands in.
    pub fn functions(&self) -> Vec<(String, &'static str)> {
        let functions = self.0.base.scalar_functions().iter();
        let chapter = |f: &ScalarUDF| f.documentation().map_or("Other Functions", |d| d.doc_section.label);
        functions.map(|(name, function)| (name.clone(), chapter(function))).collect()
    }

    /// A file for what does not fit into memory, gone when it is dropped; it counts towards `limits.spill_bytes`.
    ///
    /// # Errors
    /// `ResourceExhausted` where there is no room.
    pub fn spill_file(&self, what_for: &str) -> Result<Arc<dyn SpillFile>> {
        self.0.base.runtime_env().disk_manager.create_tmp_file(what_for).map_err(|e| {
            Error::new(ErrorKind::ResourceExhausted, "the spill folder takes no more files").with_source(e)
        })
    }

    /// Returns a configuration with what the remote scans of one query run with: the peers of this engine, and the head
    /// of the query as the node has it that plans it. Tasks with the configuration decode and run the parts of a plan
    /// that [`RemoteScanCodec`](crate::RemoteScanCodec) encoded. Each plan needs a configuration of its own.
    #[must_use]
    pub fn with_remote_scans(&self, config: SessionConfig, head: FragmentHead) -> SessionConfig {
        let query = QueryContext::new(head, self.0.limits.key_bytes);
        config.with_extension(Arc::new(LiveEdges::new(self.0.mesh.view(), Arc::new(query))))
    }

    /// Opens a session.
    pub fn session(&self, principal: Principal) -> Session {
        Session::new(self, principal)
    }

    /// Runs one statement in a session of its own, anonymously.
    ///
    /// # Errors
    /// As [`Session::sql`].
    pub async fn sql(&self, sql: &str) -> Result<QueryStream> {
        self.session(Principal::anonymous()).sql(sql).await
    }

    /// The mesh as it is known now.
    pub fn mesh(&self) -> Arc<MeshSnapshot> {
        self.0.mesh.snapshot()
    }

    /// Asks every peer for its catalog now, and returns when each has answered or failed to.
    pub async fn refresh(&self) {
        self.0.mesh.refresh_all().await;
    }

    /// Puts a newly loaded version of a local domain in the place of the present one. Queries that run keep theirs.
    pub fn replace_local_domain(&self, domain: LocalDomain) {
        self.0.mesh.replace_local(domain);
    }

    /// Changes what is known of the data of these ports of a local domain. Peers learn it when they next ask.
    pub fn update_statistics(&self, domain: &DomainName, statistics: &BTreeMap<PortRef, Arc<PortStatistics>>) {
        self.0.mesh.update_statistics(domain, statistics);
    }

    /// Keeps the present version of a local domain and marks its products with why the newest was not taken.
    pub fn report_load_error(&self, domain: &DomainName, error: &str) {
        self.0.mesh.report_load_error(domain, error);
    }

    /// What this engine answers a peer that asks for its catalog.
    pub fn catalog(&self, known: Option<&str>) -> CatalogAnswer {
        self.0.mesh.answer(known)
    }

    /// Plans and starts a fragment that another node sent.
    ///
    /// # Errors
    /// `InvalidQuery` for bytes that are no fragment, or one that holds anything but known plan nodes over ports;
    /// `NotFound` for a port that is not here; `PermissionDenied` past the bound on hops; `ResourceExhausted` for more
    /// bytes of keys than are taken.
    pub async fn fragment(&self, fragment: SentFragment) -> Result<QueryStream> {
        query::run_fragment(&self.0, fragment).await
    }

    /// What is expected of a fragment that another node may send. It is planned and not run.
    ///
    /// # Errors
    /// As [`Engine::fragment`].
    pub async fn estimate_fragment(&self, fragment: SentFragment) -> Result<EstimatedFragment> {
        query::estimate_fragment(&self.0, fragment).await
    }
}
