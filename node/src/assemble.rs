//! Assembles a node from its config: the ports of its domain, its peers and its engine.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use datafusion::execution::runtime_env::RuntimeEnv;
use portolan_audit::Store;
use portolan_catalog::{Descriptors, Diagnostic, Diagnostics, DomainCatalog, DomainName, load_descriptors};
use portolan_connectors::files::StatementFiles;
use portolan_connectors::{
    LocalDomain, OpenOptions, OwnerKey, Sources, install_crypto_provider, lock, open_domain_with,
};
use portolan_engine::{Engine, EngineBuilder};

use crate::admin::Admin;
use crate::audit::with_audit;
use crate::config::{AuditConfig, NodeConfig, PeerConfig};
use crate::digest::{FileDigests, descriptors_digest, digest_now, digests_of_descriptors};
use crate::host::{log_memory, memory_limits};
use crate::open::{OpenedInPart, apart, open_in_part};
use crate::peers::{Identity, with_peers};
use crate::policy_files::{log_openness, policy_files};
use crate::state::OwnKey;
use crate::status::NodeStatus;
#[cfg(feature = "telemetry")]
use crate::telemetry::Telemetry;
use crate::{Error, Result};

/// A node that does not listen yet. A clone is cheap, and shares the engine.
///
/// # Examples
///
/// A node from a config file that serves until Ctrl-C:
///
/// ```no_run
/// use std::path::Path;
///
/// use portolan_node::{Node, NodeConfig};
///
/// # async fn run() -> portolan_node::Result<()> {
/// let config = NodeConfig::load(Path::new("node.yaml"))?;
/// let node = Node::builder().config(config).build().await?;
/// let server = node.bind().await?;
/// println!("listening at {}", server.url());
/// server.serve(async { drop(tokio::signal::ctrl_c().await) }).await
/// # }
/// ```
///
/// A gateway that runs queries of this process only:
///
/// ```no_run
/// use portolan_engine::Principal;
/// use portolan_node::Node;
/// use portolan_node::config::PeerConfig;
///
/// # async fn run() -> portolan_node::Result<()> {
/// let node = Node::builder().peer(PeerConfig::new("grpc://127.0.0.1:50052")).build().await?;
/// // The engine fetches the catalogs of its peers in the background. A program that queries at once waits for them.
/// node.engine().refresh().await;
/// let session = node.engine().session(Principal::new("analytics"));
/// let rows = session.sql("SELECT * FROM mesh.ports").await?;
/// println!("{} columns", rows.schema().fields().len());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Node {
    pub(crate) engine: Engine,
    pub(crate) runtime: Arc<RuntimeEnv>,
    /// The key that signs the catalog of the domain.
    pub(crate) own_key: OwnKey,
    /// The identity of the node towards its peers.
    pub(crate) identity: Identity,
    current: Arc<Mutex<Current>>,
    /// The digest of the descriptors before they were read; `None` for a gateway.
    pub(crate) descriptors_digest: Option<u64>,
    /// The digest of the folder with the policies of the mesh before it was read; `None` if there is none.
    pub(crate) policies_digest: Option<u64>,
    pub(crate) status: Arc<NodeStatus>,
    /// The files that statements may name, if they may name any.
    pub(crate) statement_files: Option<StatementFiles>,
    /// True if statements may name every file that the process can read. Such a node does not serve.
    pub(crate) reads_every_file: bool,
    /// The listener for operators, if the config has one.
    admin: Option<Arc<Admin>>,
    /// The store of audit records, if the node keeps any.
    pub(crate) audit: Option<Store>,
    #[cfg(feature = "telemetry")]
    pub(crate) telemetry: Option<Arc<Telemetry>>,
}

/// The parts of a node that a reload replaces. A clone is a snapshot of them.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    /// The config in effect.
    pub(crate) config: Arc<NodeConfig>,
    /// The openers of the domain's ports.
    pub(crate) sources: Arc<Sources>,
    /// The domain; `None` for a gateway.
    pub(crate) served: Option<ServedDomain>,
}

/// The domain of a node.
#[derive(Clone, Debug)]
pub(crate) struct ServedDomain {
    /// The domain as its newest valid descriptors describe it.
    pub(crate) declared: Arc<DomainCatalog>,
    /// The digests of the descriptors before they were read.
    pub(crate) files: Arc<FileDigests>,
    /// The domain in the engine.
    pub(crate) domain: LocalDomain,
    /// The config under which the ports were opened.
    pub(crate) config: Arc<NodeConfig>,
}

/// Builds a [`Node`]. Without any call it is a gateway on loopback with the defaults of the config file.
#[derive(Clone, Debug, Default)]
pub struct NodeBuilder {
    pub(crate) config: NodeConfig,
    requires_sources: bool,
    pub(crate) reads_local_files: bool,
}

impl NodeBuilder {
    /// Replaces all earlier settings with `config`.
    #[must_use]
    pub fn config(mut self, config: NodeConfig) -> Self {
        self.config = config;
        self
    }

    /// Sets the domain that the node serves, and the folder with the domain's descriptors.
    #[must_use]
    pub fn domain(mut self, domain: DomainName, products: impl Into<PathBuf>) -> Self {
        self.config.domain = Some(domain);
        self.config.products = Some(products.into());
        self
    }

    /// Sets the address that the node listens on: `host:port`. Port 0 selects a free port.
    #[must_use]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.config.listen = address.into();
        self
    }

    /// Adds another node of the mesh.
    #[must_use]
    pub fn peer(mut self, peer: PeerConfig) -> Self {
        self.config.peers.push(peer);
        self
    }

    /// Makes a port that cannot be opened, and options of a source that no contract names, errors of
    /// [`NodeBuilder::build`].
    #[must_use]
    pub fn require_sources(mut self) -> Self {
        self.requires_sources = true;
        self
    }

    /// Lets statements name every file that the process can read, unless the config decides otherwise: for a process whose
    /// user is the only client. The node does not [bind](Node::bind) an address then.
    #[must_use]
    pub fn with_local_files(mut self) -> Self {
        self.reads_local_files = true;
        self
    }

    /// Removes the listener for operators, the export of telemetry and the audit records from the config: for a process that
    /// does not serve. The node of this config may run in another process, which has the address and the records.
    #[must_use]
    pub fn without_services(mut self) -> Self {
        self.config.admin = None;
        self.config.telemetry = None;
        self.config.audit = Some(AuditConfig::disabled());
        self
    }

    /// Starts the listener for operators, opens the ports of the domain, and starts the engine. Must be called on a
    /// tokio runtime.
    ///
    /// A port that cannot be opened is closed, and has a `load_error` in `mesh.ports`. A node that serves opens the port as
    /// soon as it can.
    ///
    /// # Errors
    /// Every fault of the descriptors; a peer's URL, password or key that cannot be used; an engine that does not start;
    /// an address for operators that is in use; audit records that cannot be written.
    pub async fn build(self) -> Result<Node> {
        let (node, faults) = self.build_in_part().await?;
        if faults.is_empty() { Ok(node) } else { Err(Diagnostics(faults).into()) }
    }

    /// As [`NodeBuilder::build`], also if required ports have faults, which it returns. These ports are closed.
    pub(crate) async fn build_in_part(self) -> Result<(Node, Vec<Diagnostic>)> {
        install_crypto_provider();
        let Self { config, requires_sources, reads_local_files } = self;
        let config = Arc::new(config);
        for warning in config.exposed_files() {
            tracing::warn!("{warning}");
        }
        let host = memory_limits();
        let found = host.first().map(|limit| limit.bytes);
        let (limits, host_memory) = (config.limits(found), config.host_memory(found));
        log_memory(&limits, &host);
        let runtime = Arc::new(RuntimeEnv::default());
        let mut builder = Engine::builder().limits(limits).runtime_env(runtime.clone());
        let sources = Arc::new(config.configure(Sources::default()));
        let domain = config.domain.as_ref().map(DomainName::as_str);
        let status = Arc::new(NodeStatus::new(domain, host_memory, sources.counters().clone()));
        let admin = match &config.admin {
            Some(admin) => Some(Arc::new(Admin::start(&admin.listen, status.clone()).await?)),
            None => None,
        };
        #[cfg(feature = "telemetry")]
        let telemetry = match &config.telemetry {
            Some(given) => Some(Arc::new(Telemetry::start(given, &status)?)),
            None => None,
        };
        #[cfg(feature = "telemetry")]
        if let Some(telemetry) = &telemetry {
            builder = builder.spans(telemetry.spans());
        }
        let policies_digest = digest_now(config.policies.as_deref(), descriptors_digest).await;
        let descriptors_digest = digest_now(config.products_folder(), descriptors_digest).await;
        let files = Arc::new(digest_now(config.products_folder(), digests_of_descriptors).await.unwrap_or_default());
        let (served, faults) = match load(&config).await? {
            Some(descriptors) => {
                let (served, faults) = open(&config, &sources, &runtime, descriptors, files, requires_sources).await?;
                (Some(served), faults)
            }
            None => (None, vec![]),
        };
        if let Some(served) = served.clone() {
            builder = builder.local_domain(served.domain);
        }
        let identity = config.identity()?.map(Arc::new);
        let own_key = OwnKey::load(&config, identity.as_deref())?;
        builder = builder.key(OwnerKey::new(own_key.key.public().to_string()));
        builder = with_resources(with_peers(builder, &config, &identity)?, &config);
        let statement_files = config.statement_files(reads_local_files);
        if let Some(files) = statement_files.clone() {
            builder = builder.local_files(Arc::new(files));
        }
        let (builder, audit) = with_audit(builder, &config).await?;
        let engine = apart(move || builder.build()).await??;
        status.has_engine(engine.clone());
        let reads_every_file = config.reads_every_file(reads_local_files);
        let current = Current { config, sources, served };
        let node = Node {
            engine,
            statement_files,
            reads_every_file,
            runtime,
            own_key,
            identity,
            current: Arc::new(Mutex::new(current)),
            descriptors_digest,
            policies_digest,
            status,
            admin,
            audit,
            #[cfg(feature = "telemetry")]
            telemetry,
        };
        Ok((node, faults))
    }
}

impl Node {
    /// Starts to build a node.
    pub fn builder() -> NodeBuilder {
        NodeBuilder::default()
    }

    /// Returns the engine, which answers queries.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Returns the domain with its open ports, for an engine of the program's own; `None` for a gateway.
    pub fn local_domain(&self) -> Option<LocalDomain> {
        self.with_current(|current| current.served.as_ref().map(|served| served.domain.clone()))
    }

    /// Returns the runtime in which the ports are open.
    pub fn runtime_env(&self) -> Arc<RuntimeEnv> {
        self.runtime.clone()
    }

    /// Returns the URL of the listener for operators, if the config has one.
    pub fn admin_url(&self) -> Option<String> {
        self.admin.as_ref().map(|admin| admin.url())
    }

    /// Returns the config in effect.
    pub fn config(&self) -> Arc<NodeConfig> {
        self.with_current(|current| current.config.clone())
    }

    /// Returns the parts that a reload replaces, as they are now.
    pub(crate) fn current(&self) -> Current {
        self.with_current(|current| current.clone())
    }

    /// Reads or changes these parts.
    pub(crate) fn with_current<T>(&self, change: impl FnOnce(&mut Current) -> T) -> T {
        change(&mut lock(&self.current))
    }
}

/// Sets the disk and the threads of an engine, and how it applies policies.
pub(crate) fn with_resources(mut builder: EngineBuilder, config: &NodeConfig) -> EngineBuilder {
    if let Some(folder) = &config.spill_folder {
        builder = builder.spill_folder(folder.clone());
    }
    if let Some(threads) = config.cpu_threads {
        builder = builder.cpu_threads(threads);
    }
    builder.strict_policies(config.policy_strict)
}

/// Opens the ports of a domain. Returns every fault if all ports are required: those of the ports, and the options of
/// sources that no contract names. The ports with faults are closed. Otherwise, the faults are in the log.
///
/// # Errors
/// The planner panics.
async fn open(
    config: &Arc<NodeConfig>,
    sources: &Sources,
    runtime: &Arc<RuntimeEnv>,
    descriptors: Descriptors,
    files: Arc<FileDigests>,
    requires_all: bool,
) -> Result<(ServedDomain, Vec<Diagnostic>)> {
    let Descriptors { catalog, servers } = descriptors;
    let (declared, mut faults) = (Arc::new(catalog.clone()), config.unused_sources(&servers));
    let domain = if requires_all {
        let OpenedInPart { domain, errors } = open_in_part(catalog, sources, runtime, config.open_timeout()).await?;
        faults.extend(errors.into_values().flat_map(|Diagnostics(faults)| faults));
        domain
    } else {
        faults.drain(..).for_each(|fault| tracing::warn!("{fault}"));
        let options = OpenOptions { timeout: config.open_timeout(), requires_all: false };
        open_domain_with(catalog, sources, runtime, options).await?
    };
    let policies = policy_files(config, &declared).await?;
    log_openness(&policies, &declared);
    let domain = domain.with_policies(policies);
    Ok((ServedDomain { declared, files, domain, config: config.clone() }, faults))
}

/// Reads the domain's descriptors. Returns `None` for a gateway.
///
/// # Errors
/// Every fault of the descriptors.
pub(crate) async fn load(config: &NodeConfig) -> Result<Option<Descriptors>> {
    let (Some(domain), Some(folder)) = (config.domain.clone(), config.products_folder()) else { return Ok(None) };
    let folder = folder.to_path_buf();
    let loaded = tokio::task::spawn_blocking(move || load_descriptors(&domain, &folder)).await;
    Ok(Some(loaded.map_err(|e| Error::failed("reading descriptors ended abnormally").with_source(e))??))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_gateway_is_built_bound_and_stopped() {
        let node = Node::builder().listen("127.0.0.1:0").build().await.unwrap();
        assert_eq!(node.config().domain, None);
        let server = node.bind().await.unwrap();
        assert!(server.url().starts_with("grpc://127.0.0.1:"), "{}", server.url());
        server.serve(async {}).await.unwrap();
    }

    #[tokio::test]
    async fn a_folder_without_descriptors_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("products");
        let error = Node::builder().domain(DomainName::new("sales"), missing).build().await.unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Config, "{}", error.owner_chain());
    }
}
