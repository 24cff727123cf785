//! Assembles a node from its config: the ports of its domain, its peers and its engine.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use datafusion::execution::runtime_env::RuntimeEnv;
use portolan_catalog::{DomainCatalog, DomainName, load_domain};
use portolan_connectors::node::{NodeCredentials, NodeIdentity, NodeOptions, NodeSite, NodeTls};
use portolan_connectors::{LocalDomain, OpenOptions, OwnerKey, Sources, open_domain_with};
use portolan_engine::{Engine, Limits};

use crate::admin::Admin;
use crate::config::{NodeConfig, PeerConfig};
use crate::host::{MemoryLimit, memory_limits};
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
    pub(crate) config: Arc<NodeConfig>,
    pub(crate) runtime: Arc<RuntimeEnv>,
    /// The key that signs the catalog of the domain.
    pub(crate) own_key: OwnKey,
    /// The openers of the domain's ports.
    pub(crate) sources: Arc<Sources>,
    /// The domain in the engine; `None` for a gateway.
    pub(crate) opened: Arc<Mutex<Option<LocalDomain>>>,
    pub(crate) status: Arc<NodeStatus>,
    /// The listener for operators, if the config has one.
    admin: Option<Arc<Admin>>,
    #[cfg(feature = "telemetry")]
    pub(crate) telemetry: Option<Arc<Telemetry>>,
}

/// Builds a [`Node`]. Without any call it is a gateway on loopback with the defaults of the config file.
#[derive(Clone, Debug, Default)]
pub struct NodeBuilder {
    config: NodeConfig,
    requires_sources: bool,
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

    /// Makes a source that does not respond an error of [`NodeBuilder::build`].
    #[must_use]
    pub fn require_sources(mut self) -> Self {
        self.requires_sources = true;
        self
    }

    /// Removes the listener for operators and the export of telemetry from the config: for a process that does not serve.
    /// The node of this config may run in another process, which has the address.
    #[must_use]
    pub fn without_services(mut self) -> Self {
        self.config.admin = None;
        self.config.telemetry = None;
        self
    }

    /// Starts the listener for operators, opens the ports of the domain, and starts the engine. Must be called on a
    /// tokio runtime.
    ///
    /// The port of a source that does not respond stays closed, and its product has a `load_error`. The node opens the
    /// port when the source responds.
    ///
    /// # Errors
    /// Every fault of the descriptors and of the data; a peer's URL, password or key that cannot be used; an engine
    /// that does not start; an address for operators that is in use.
    pub async fn build(self) -> Result<Node> {
        let Self { config, requires_sources } = self;
        for warning in config.exposed_files() {
            tracing::warn!("{warning}");
        }
        let host = memory_limits();
        let found = host.first().map(|limit| limit.bytes);
        let (limits, host_memory) = (config.limits(found), config.host_memory(found));
        log_memory(&limits, &host);
        let runtime = Arc::new(RuntimeEnv::default());
        let mut builder = Engine::builder().limits(limits).runtime_env(runtime.clone());
        let sources = Arc::new(sources(&config));
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
        let opened = open(&config, &sources, &runtime, requires_sources).await?;
        if let Some(domain) = opened.clone() {
            builder = builder.local_domain(domain);
        }
        let identity = config.identity()?.map(Arc::new);
        let own_key = OwnKey::load(&config, identity.as_deref())?;
        builder = builder.key(OwnerKey::new(own_key.key.public().to_string()));
        for (domain, keys) in config.domain_keys()? {
            builder = builder.domain_keys(domain, keys);
        }
        if let Some(file) = config.owners_file() {
            builder = builder.owners_file(file);
        }
        for peer in &config.peers {
            let site = NodeSite::new(&peer.url, node_options(peer, identity.clone())?)
                .map_err(|e| Error::config(e.chain()))?;
            builder = builder.peer_with(Arc::new(site), peer.options());
        }
        if let Some(interval) = config.refresh_interval() {
            builder = builder.refresh_interval(interval);
        }
        if let Some(folder) = &config.spill_folder {
            builder = builder.spill_folder(folder.clone());
        }
        if let Some(threads) = config.cpu_threads {
            builder = builder.cpu_threads(threads);
        }
        let engine = builder.build()?;
        status.has_engine(engine.clone());
        let opened = Arc::new(Mutex::new(opened));
        Ok(Node {
            engine,
            config: Arc::new(config),
            runtime,
            own_key,
            sources,
            opened,
            status,
            admin,
            #[cfg(feature = "telemetry")]
            telemetry,
        })
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

    /// Returns the URL of the listener for operators, if the config has one.
    pub fn admin_url(&self) -> Option<String> {
        self.admin.as_ref().map(|admin| admin.url())
    }

    /// Returns the config.
    pub fn config(&self) -> &NodeConfig {
        &self.config
    }
}

/// Logs the memory that the host allows the process to use, and the limits of queries.
fn log_memory(limits: &Limits, host: &[MemoryLimit]) {
    let found: Vec<_> = host.iter().map(|limit| format!("{} ({})", limit.bytes, limit.origin)).collect();
    let found = if found.is_empty() { "unknown".to_owned() } else { found.join(", ") };
    let Limits { memory, query_memory, host_memory, .. } = *limits;
    tracing::info!(memory, query_memory, host = found, "memory limits in bytes");
    if let Some(host) = host_memory.filter(|host| memory as u64 > host / 4 * 3) {
        tracing::warn!(
            "limits.memory is {memory} bytes, but from {} bytes on, queries run one at a time: that is three quarters \
             of the memory of the host (limits.host_memory)",
            host / 4 * 3
        );
    } else if let Some(least) = host.first().filter(|least| memory as u64 > least.bytes) {
        tracing::warn!(
            "limits.memory is {memory} bytes, but the host allows the process {} bytes ({}): the system may end the \
             process before queries spill or are refused",
            least.bytes,
            least.origin
        );
    }
}

/// Reads the domain's descriptors and opens every port. Returns `None` for a gateway.
pub(crate) async fn open(
    config: &NodeConfig,
    sources: &Sources,
    runtime: &Arc<RuntimeEnv>,
    requires_all: bool,
) -> Result<Option<LocalDomain>> {
    let Some(catalog) = load(config).await? else { return Ok(None) };
    let options = OpenOptions { timeout: config.open_timeout(), requires_all };
    Ok(Some(open_domain_with(catalog, sources, runtime, options).await?))
}

/// Returns the openers of all kinds of sources, with the options in the config.
pub(crate) fn sources(config: &NodeConfig) -> Sources {
    Sources::default().with_files(config.file_sources())
}

/// Reads the domain's descriptors. Returns `None` for a gateway.
///
/// # Errors
/// Every fault of the descriptors.
pub(crate) async fn load(config: &NodeConfig) -> Result<Option<DomainCatalog>> {
    let (Some(domain), Some(folder)) = (config.domain.clone(), config.products_folder()) else { return Ok(None) };
    let folder = folder.to_path_buf();
    let loaded = tokio::task::spawn_blocking(move || load_domain(&domain, &folder)).await;
    Ok(Some(loaded.map_err(|e| Error::failed("reading descriptors ended abnormally").with_source(e))??))
}

fn node_options(peer: &PeerConfig, identity: Option<Arc<NodeIdentity>>) -> Result<NodeOptions> {
    let password = match (&peer.password, &peer.password_env) {
        (Some(password), _) => Some(password.reveal().to_string()),
        (None, Some(variable)) => Some(
            std::env::var(variable)
                .map_err(|e| Error::config(format!("cannot read the variable `{variable}`")).with_source(e))?,
        ),
        (None, None) => None,
    };
    let credentials = peer.user.clone().zip(password).map(|(user, password)| NodeCredentials { user, password });
    let tls = NodeTls {
        ca_file: peer.ca.clone(),
        cert_file: peer.cert.clone(),
        key_file: peer.key.clone(),
        ..NodeTls::default()
    };
    let (audience, allow_plaintext) = (peer.audience.clone(), peer.allow_plaintext);
    Ok(NodeOptions { credentials, tls, identity, audience, allow_plaintext, ..NodeOptions::default() })
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
