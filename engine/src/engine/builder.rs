//! Builds an engine from its domains, peers and limits.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionState;
use datafusion::prelude::SessionConfig;
use portolan_audit::Store;
use portolan_catalog::DomainName;
use portolan_connectors::{LocalDomain, LocalFileOpener, OwnerKey, Peer};

use super::Engine;
use crate::exchange::MeshPlanner;
use crate::execution::accounts::Accounts;
use crate::execution::admission::Admission;
use crate::execution::pressure::{Pressure, ProcessMemory, ResidentMemory};
use crate::execution::runtime::CpuRuntime;
use crate::execution::spill_folder::SpillFolder;
use crate::functions::{BoundedFunctions, TableFunctions};
use crate::mesh::{FilterCheck, Mesh, Owners, PeerOptions};
use crate::metrics::Metrics;
use crate::names::RESERVED_CATALOG;
use crate::planner::govern::filter_errors;
use crate::state::{Activity, Audit, EngineState, Governance, MemoryGuard};
use crate::{Error, ErrorKind, Limits, Result, SpanSink, derived, upstream};

/// A builder of an [`Engine`].
#[derive(Debug)]
pub struct EngineBuilder {
    domains: Vec<LocalDomain>,
    peers: Vec<(Arc<dyn Peer>, PeerOptions)>,
    key: Option<OwnerKey>,
    domain_keys: BTreeMap<DomainName, Vec<OwnerKey>>,
    owners_file: Option<PathBuf>,
    refresh_interval: Duration,
    limits: Limits,
    cpu_threads: usize,
    spill_folder: Option<PathBuf>,
    runtime: Option<Arc<RuntimeEnv>>,
    spans: Option<Arc<dyn SpanSink>>,
    process_memory: Arc<dyn ResidentMemory>,
    local_files: Option<Arc<dyn LocalFileOpener>>,
    strict_policies: bool,
    audit: Option<Audit>,
}

impl Default for EngineBuilder {
    fn default() -> Self {
        Self {
            domains: vec![],
            peers: vec![],
            key: None,
            domain_keys: BTreeMap::new(),
            owners_file: None,
            refresh_interval: Duration::from_secs(5),
            limits: Limits::default(),
            cpu_threads: std::thread::available_parallelism().map_or(2, usize::from),
            spill_folder: None,
            runtime: None,
            spans: None,
            process_memory: Arc::new(ProcessMemory),
            local_files: None,
            strict_policies: false,
            audit: None,
        }
    }
}

impl EngineBuilder {
    /// Adds a domain that this engine owns. One process can own several. The engine plans the queries of its derived
    /// ports. A derived port whose query has faults is closed: [`Engine::check_derived_ports`] returns the faults.
    #[must_use]
    pub fn local_domain(mut self, domain: LocalDomain) -> Self {
        self.domains.push(domain);
        self
    }

    /// Adds another node. The engine fetches the node's catalog in the background, at once and at every refresh
    /// interval.
    #[must_use]
    pub fn peer(self, peer: Arc<dyn Peer>) -> Self {
        self.peer_with(peer, PeerOptions::default())
    }

    /// Adds another node as [`EngineBuilder::peer`] does, with options. The planner uses the speed of the link in the
    /// options. It slows nothing down.
    #[must_use]
    pub fn peer_with(mut self, peer: Arc<dyn Peer>, options: PeerOptions) -> Self {
        self.peers.push((peer, options));
        self
    }

    /// Sets the key of this engine: the key that signs its catalog towards other nodes. A peer with the same key is a
    /// replica, and may claim the domains of this engine. Default: none.
    #[must_use]
    pub fn key(mut self, key: OwnerKey) -> Self {
        self.key = Some(key);
        self
    }

    /// Pins a domain of other nodes to these keys: only a peer with one of them may claim the domain. By default, the
    /// first peer that claims a domain owns it.
    #[must_use]
    pub fn domain_keys(mut self, domain: DomainName, keys: Vec<OwnerKey>) -> Self {
        self.domain_keys.insert(domain, keys);
        self
    }

    /// Sets the file in which the engine remembers the owners of domains across restarts. It need not exist. Default:
    /// none, so that a new engine accepts the first claim to each domain again.
    #[must_use]
    pub fn owners_file(mut self, file: PathBuf) -> Self {
        self.owners_file = Some(file);
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

    /// Sets the number of partitions of a plan, and of threads that drive the plans of a principal with weight 1.
    /// Principals that work at the same time have threads of their own, up to eight times this number. Default: the
    /// machine's cores.
    #[must_use]
    pub fn cpu_threads(mut self, threads: usize) -> Self {
        self.cpu_threads = threads.max(1);
        self
    }

    /// Sets the folder to which operators spill. Default: the system's temporary folder. The engine creates a folder of
    /// its own in it, and removes those of engines whose process was killed.
    #[must_use]
    pub fn spill_folder(mut self, folder: PathBuf) -> Self {
        self.spill_folder = Some(folder);
        self
    }

    /// Sets the object stores and caches that ports were opened with. Ports over files in an object store can be read only
    /// with them. Default: new ones.
    #[must_use]
    pub fn runtime_env(mut self, runtime: Arc<RuntimeEnv>) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Sets the receiver of the spans of queries, fragments and edges. Default: none.
    #[must_use]
    pub fn spans(mut self, spans: Arc<dyn SpanSink>) -> Self {
        self.spans = Some(spans);
        self
    }

    /// Lets the statements of every session read files of this machine, such as `SELECT … FROM 'data.csv'`. `StatementFiles`
    /// of `portolan-connectors` opens them. Default: none, because the clients of a server must not read its files.
    #[must_use]
    pub fn local_files(mut self, files: Arc<dyn LocalFileOpener>) -> Self {
        self.local_files = Some(files);
        self
    }

    /// Keeps the conditions and the join keys of statements above the policies of ports. The rows and bytes that a governed
    /// port reads then do not depend on them, and reveal nothing of hidden rows. Statements read more. Default: false.
    #[must_use]
    pub fn strict_policies(mut self, strict: bool) -> Self {
        self.strict_policies = strict;
        self
    }

    /// Sets the store of audit records. The engine then records each read of a port that it owns, each insert, and each
    /// refusal. No row leaves before the record is durable, and a read that cannot be recorded is refused. In `mesh.audit`,
    /// administrators and the members of the groups `readers` see all records. Other principals see their own ones. Default:
    /// no records.
    #[must_use]
    pub fn audit(mut self, store: Store, readers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.audit = Some(Audit { store, readers: readers.into_iter().map(Into::into).collect() });
        self
    }

    /// Replaces the memory that the system reports for the process.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn process_memory(mut self, memory: Arc<dyn ResidentMemory>) -> Self {
        self.process_memory = memory;
        self
    }

    /// Builds the engine. The caller must run on a tokio runtime with I/O and time: connections use that runtime. The
    /// engine drives plans on its own threads.
    ///
    /// # Errors
    /// `InvalidQuery` if two local domains have the same name, a local domain has other open ports than its catalog, or
    /// the file of owners cannot be read; `Internal` if there is no tokio runtime, or threads or the spill folder are not
    /// available.
    pub fn build(self) -> Result<Engine> {
        let spill_folder = self.own_spill_folder()?;
        let runtime = self.disk_bound_runtime(spill_folder.as_ref())?;
        let base = base_state(self.cpu_threads, self.limits.query_memory, runtime);
        let owners = Owners::open(self.key, self.domain_keys, self.owners_file)?;
        let domains = self.domains.into_iter().map(|domain| derived::open(&base, domain, None).logged());
        let filter_check = FilterCheck { state: base.clone(), errors: filter_errors };
        let mesh = Mesh::open(domains.collect(), self.peers, owners, Some(filter_check))?;
        mesh.start_refreshing(self.refresh_interval)?;
        let pressure = Pressure::new(self.limits.host_memory);
        let admission = Admission::new(&self.limits, &pressure);
        let (activity, metrics) = (Arc::<Activity>::default(), Metrics::new(self.spans));
        let guard =
            MemoryGuard::start(self.process_memory, &pressure, &admission, &activity, &metrics).map_err(|e| {
                Error::new(ErrorKind::Internal, "cannot start the guard over the memory of the host").with_source(e)
            })?;
        Ok(Engine::of(Arc::new(EngineState {
            mesh,
            admission,
            accounts: Accounts::new(&self.limits),
            pressure,
            activity,
            metrics,
            governance: Governance::new(self.strict_policies)?,
            plans: Arc::default(),
            audit: self.audit,
            cpu: CpuRuntime::new(self.cpu_threads, &self.limits)?,
            limits: ArcSwap::from_pointee(self.limits),
            base,
            local_files: self.local_files,
            _memory_guard: guard,
            _spill_folder: spill_folder,
        })))
    }

    /// Creates the engine's own folder for spilled data. `None` if the system's temporary folder cannot be used: then
    /// only the queries that spill fail.
    fn own_spill_folder(&self) -> Result<Option<SpillFolder>> {
        let system = std::env::temp_dir();
        let parent = self.spill_folder.as_ref().unwrap_or(&system);
        match SpillFolder::create(parent) {
            Ok(folder) => Ok(Some(folder)),
            Err(error) if self.spill_folder.is_none() => {
                tracing::warn!(folder = %parent.display(), %error, "queries cannot spill: the folder cannot be used");
                Ok(None)
            }
            Err(error) => {
                let what = format!("the spill folder {} cannot be used", parent.display());
                Err(Error::new(ErrorKind::Internal, what).with_source(error))
            }
        }
    }

    fn disk_bound_runtime(&self, spill_folder: Option<&SpillFolder>) -> Result<Arc<RuntimeEnv>> {
        let builder = match &self.runtime {
            Some(runtime) => RuntimeEnvBuilder::from_runtime_env(runtime),
            None => RuntimeEnvBuilder::new(),
        };
        let (mode, left_over) = match spill_folder {
            Some(folder) => (DiskManagerMode::Directories(vec![folder.path().to_owned()]), folder.remove_leftovers()),
            None => (DiskManagerMode::OsTmpDirectory, 0),
        };
        let disk = DiskManagerBuilder::default()
            .with_mode(mode)
            .with_max_temp_directory_size(self.limits.spill_bytes.saturating_sub(left_over))
            .with_max_spill_merge_fan_in(merge_fan_in(self.cpu_threads, self.limits.query_memory));
        builder
            .with_disk_manager_builder(disk)
            .build_arc()
            .map_err(|e| Error::new(ErrorKind::Internal, "the spill folder cannot be used").with_source(e))
    }
}

/// A smaller reservation is not enough for a merge.
const MIN_MERGE_RESERVATION: usize = 256 << 10;
/// The memory of one spilled file in a merge: two batches of a megabyte, each counted twice.
const MERGED_FILE_BYTES: usize = 4 << 20;
/// The largest number of spilled files that one merge reads. More files take another pass.
const MOST_MERGED_FILES: usize = 64;

/// Returns the number of spilled files that one merge reads. By default, a merge reads as many files as fit into the
/// memory that is free, and the sorts of other partitions find none for their merges.
fn merge_fan_in(partitions: usize, query_memory: usize) -> usize {
    let share = query_memory / (2 * partitions);
    (share / MERGED_FILE_BYTES).clamp(2, MOST_MERGED_FILES)
}

/// Returns the state that each statement of an engine starts from.
pub(super) fn base_state(partitions: usize, query_memory: usize, runtime: Arc<RuntimeEnv>) -> SessionState {
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
    let mut builder = upstream::state_builder()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_query_planner(Arc::new(MeshPlanner))
        .with_analyzer_rule(Arc::new(BoundedFunctions));
    // The first planner that plans a relation decides.
    builder.relation_planners().get_or_insert_default().insert(0, Arc::new(TableFunctions));
    builder.build()
}
