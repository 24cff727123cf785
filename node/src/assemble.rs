//! Puts a node together from its config: the domain's ports, the peers, the engine, and what the server is told.

use std::sync::{Arc, Mutex};

use datafusion::execution::runtime_env::RuntimeEnv;
use portolan_catalog::{DomainCatalog, load_domain};
use portolan_connectors::files::FileSources;
use portolan_connectors::node::{NodeCredentials, NodeIdentity, NodeOptions, NodeSite, NodeTls};
use portolan_connectors::{LocalDomain, open_domain};
use portolan_engine::Engine;
use portolan_flight_server::{AuthOptions, ClientCertificates, ServerOptions, ServerTls, User};

use crate::config::{ClientCertificate, NodeConfig, PeerConfig, TokenConfig};
use crate::{Error, Result};

/// A node that does not listen yet.
#[derive(Clone, Debug)]
pub struct Node {
    /// Answers queries.
    pub engine: Engine,
    pub(crate) config: Arc<NodeConfig>,
    pub(crate) runtime: Arc<RuntimeEnv>,
    /// The domain as the engine has it; `None` for a gateway.
    pub(crate) opened: Arc<Mutex<Option<LocalDomain>>>,
}

impl Node {
    /// Opens the domain's ports and starts the engine. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// Everything that is wrong with descriptors and data; an engine that does not start.
    pub async fn assemble(config: NodeConfig) -> Result<Self> {
        let runtime = Arc::new(RuntimeEnv::default());
        let mut builder = Engine::builder().limits(config.limits()).runtime_env(runtime.clone());
        let opened = open(&config, &runtime).await?;
        if let Some(domain) = opened.clone() {
            builder = builder.local_domain(domain);
        }
        let identity = config.identity()?.map(Arc::new);
        for peer in &config.peers {
            let site = NodeSite::new(&peer.url, node_options(peer, identity.clone())?)
                .map_err(|e| Error::config(e.chain()))?;
            builder = builder.peer_with_link(Arc::new(site), peer.link());
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
        Ok(Self { engine, config: Arc::new(config), runtime, opened: Arc::new(Mutex::new(opened)) })
    }

    /// The config.
    pub fn config(&self) -> &NodeConfig {
        &self.config
    }

    /// What the server is told.
    ///
    /// # Errors
    /// A URL that keys are not taken from.
    pub fn server_options(&self) -> Result<ServerOptions> {
        let mut options = ServerOptions::new(&self.config.listen);
        options.allow_plaintext = self.config.allow_plaintext;
        options.auth = AuthOptions {
            anonymous: Some(self.config.allows_anonymous()),
            users: self
                .config
                .users
                .iter()
                .map(|user| User {
                    name: user.name.clone(),
                    password_hash: user.password_hash.as_ref().map(|hash| hash.reveal().into()),
                    node: user.node,
                    groups: user.groups.clone(),
                    attributes: user.attributes.clone(),
                    admin: user.admin,
                })
                .collect(),
            issuers: self.config.tokens.iter().map(TokenConfig::issuer).collect::<Result<_, _>>()?,
        };
        options.delegation = self.config.delegation()?;
        options.tls = self.config.tls.as_ref().map(|tls| ServerTls {
            cert: tls.cert.clone(),
            key: tls.key.clone(),
            clients: tls.client_ca.clone().map(|ca| ClientCertificates {
                ca,
                optional: tls.client_certificate == Some(ClientCertificate::Optional),
            }),
        });
        Ok(options)
    }
}

/// Reads the domain's descriptors and opens every port that they name; `None` for a gateway.
pub(crate) async fn open(config: &NodeConfig, runtime: &Arc<RuntimeEnv>) -> Result<Option<LocalDomain>> {
    let Some(catalog) = load(config).await? else { return Ok(None) };
    let files = FileSources::new(config.sources.clone());
    Ok(Some(open_domain(catalog, &files, runtime).await?))
}

async fn load(config: &NodeConfig) -> Result<Option<DomainCatalog>> {
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
    Ok(NodeOptions { credentials, tls, identity, audience: peer.audience.clone() })
}
