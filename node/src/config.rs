//! A node's config file: parsed strictly, checked against the file system, with diagnostics that point into the file.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::ToSocketAddrs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portolan_catalog::yaml::{self, Document};
use portolan_catalog::{Diagnostics, DomainName};
use portolan_connectors::files::SourceOptions;
use portolan_engine::{Limits, LinkOverride};
use serde::Deserialize;

use crate::units::{Length, Size};

mod check;
mod delegation;
mod tokens;

pub use delegation::{AllowedConfig, OwnIdentityConfig, TrustedKey, TrustedNodeConfig};
pub use tokens::{Jwks, OneOrMore, TokenConfig};

/// A listing of every port's data is cheap, and not free in an object store.
const STATISTICS_INTERVAL: Duration = Duration::from_secs(60);

/// A node's config. Paths in it start from the folder that it lies in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// The domain that the node serves; absent for a gateway.
    pub domain: Option<DomainName>,
    /// Where it listens. Default: `127.0.0.1:50051`; port 0 takes a free one.
    #[serde(default = "default_listen")]
    pub listen: String,
    /// The folder with the domain's descriptors. Default: `products`.
    pub products: Option<PathBuf>,
    /// The other nodes of the mesh.
    #[serde(default)]
    pub peers: Vec<PeerConfig>,
    /// What does not belong in a contract: for each `server` that one names, how to reach it.
    #[serde(default)]
    pub sources: HashMap<String, SourceOptions>,
    /// Who may log in.
    #[serde(default)]
    pub users: Vec<UserConfig>,
    /// Whose tokens are taken.
    #[serde(default)]
    pub tokens: Vec<TokenConfig>,
    /// Who it is to other nodes.
    #[serde(default)]
    pub node: OwnIdentityConfig,
    /// The nodes that it believes when they say on whose behalf they ask. None: whoever sends a fragment asks itself.
    #[serde(default)]
    pub trusted_nodes: Vec<TrustedNodeConfig>,
    /// Whether one may come without logging in. Default: only where it listens on loopback and has neither users nor
    /// another way to say who one is.
    pub anonymous: Option<bool>,
    /// TLS on the listener.
    pub tls: Option<TlsConfig>,
    /// Whether it may listen beyond loopback without TLS. Default: no.
    #[serde(default)]
    pub allow_plaintext: bool,
    /// What bounds its queries.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// How often peers are asked for their catalogs. Default: 5s.
    pub refresh_interval: Option<Length>,
    /// How often it looks whether the data of its ports has changed, to take their statistics anew. Default: 1m.
    pub statistics_interval: Option<Length>,
    /// What it logs, as in `info` or `portolan=debug`; the variable `PORTOLAN_LOG` goes first. Default: `info`.
    pub log: Option<String>,
    /// Where operators spill. Default: the system's temporary folder.
    pub spill_folder: Option<PathBuf>,
    /// Threads that drive plans. Default: the machine's cores.
    pub cpu_threads: Option<usize>,
}

impl Default for NodeConfig {
    /// The config of an empty file: a gateway on loopback.
    fn default() -> Self {
        Self {
            domain: None,
            listen: default_listen(),
            products: None,
            peers: vec![],
            sources: HashMap::new(),
            users: vec![],
            tokens: vec![],
            node: OwnIdentityConfig::default(),
            trusted_nodes: vec![],
            anonymous: None,
            tls: None,
            allow_plaintext: false,
            limits: LimitsConfig::default(),
            refresh_interval: None,
            statistics_interval: None,
            log: None,
            spill_folder: None,
            cpu_threads: None,
        }
    }
}

/// Another node.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// Its URL: `grpc://host:port`, or `grpc+tls://host:port`.
    pub url: String,
    /// The user to log in as there.
    pub user: Option<String>,
    /// That user's password.
    pub password: Option<Secret>,
    /// The environment variable with that user's password.
    pub password_env: Option<String>,
    /// Certificates (PEM) to trust: needed for a `grpc+tls://` URL, since the system's are not used.
    pub ca: Option<PathBuf>,
    /// This node's certificate for it (PEM).
    pub cert: Option<PathBuf>,
    /// The key of that certificate (PEM).
    pub key: Option<PathBuf>,
    /// What it is called in what this node signs for it, and calls itself in `node.audiences`. Default: its URL.
    pub audience: Option<String>,
    /// Time of a round trip to it. Default: measured.
    pub latency: Option<Length>,
    /// Bytes a second from it. Default: measured.
    pub bandwidth: Option<Size>,
}

impl PeerConfig {
    /// Returns a peer at `url` without a login, whose link is measured.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            user: None,
            password: None,
            password_env: None,
            ca: None,
            cert: None,
            key: None,
            audience: None,
            latency: None,
            bandwidth: None,
        }
    }

    /// What is given of the link to it.
    pub fn link(&self) -> LinkOverride {
        let bandwidth = self.bandwidth.map(|size| size.0 as f64);
        LinkOverride { latency: self.latency.map(|length| length.0), bandwidth }
    }
}

/// Somebody who may log in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserConfig {
    /// The name.
    pub name: String,
    /// What `portolan hash-password` gave for the password; absent for one who shows a client certificate.
    pub password_hash: Option<Secret>,
    /// Whether it is a node of the mesh, which may send fragments.
    #[serde(default)]
    pub node: bool,
    /// The groups that it is in.
    #[serde(default)]
    pub groups: BTreeSet<String>,
    /// What else is known of it.
    #[serde(default)]
    pub attributes: BTreeMap<String, Vec<String>>,
    /// Whether it may see and stop what others run.
    #[serde(default)]
    pub admin: bool,
}

/// TLS on the listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate chain (PEM).
    pub cert: PathBuf,
    /// Its key (PEM).
    pub key: PathBuf,
    /// If given, clients show a certificate that one of these signed (PEM), and are let in under the name in it.
    pub client_ca: Option<PathBuf>,
    /// Whether they must. Default: `required`.
    pub client_certificate: Option<ClientCertificate>,
}

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificate {
    /// None but those with a certificate can connect.
    Required,
    /// Who shows none can log in otherwise.
    Optional,
}

/// What bounds the node's queries; see [`Limits`] for meanings and defaults.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// Memory of one query.
    pub query_memory: Option<Size>,
    /// Memory of all queries together.
    pub memory: Option<Size>,
    /// Time of one query.
    pub query_timeout: Option<Length>,
    /// Queries at once.
    pub concurrent_queries: Option<usize>,
    /// Queries in line.
    pub queued_queries: Option<usize>,
    /// Nodes that a query may go through.
    pub max_hops: Option<u32>,
    /// Disk for spilling.
    pub spill: Option<Size>,
    /// Keys that go or come with a fragment.
    pub keys: Option<Size>,
    /// The tables of one session.
    pub session_tables: Option<Size>,
}

/// Text that is never printed.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

fn default_listen() -> String {
    "127.0.0.1:50051".into()
}

impl NodeConfig {
    /// Reads and checks the config in `file`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(file: &Path) -> Result<Self, Diagnostics> {
        Self::parse(&yaml::read(file)?, file)
    }

    /// Checks `text` as a config that lies in `file`; its paths come out joined with that file's folder.
    ///
    /// # Errors
    /// As [`NodeConfig::load`].
    pub fn parse(text: &str, file: &Path) -> Result<Self, Diagnostics> {
        let document = Document::parse(text, file)?;
        let mut config: Self = yaml::parse(text, file)?;
        config.resolve_paths(file.parent().unwrap_or(Path::new("")));
        config.check(&document)?;
        Ok(config)
    }

    /// The folder with descriptors, where the node serves a domain.
    pub fn products_folder(&self) -> Option<&Path> {
        self.domain.as_ref().and(self.products.as_deref())
    }

    fn is_on_loopback(&self) -> bool {
        self.listen.to_socket_addrs().is_ok_and(|mut addresses| addresses.all(|address| address.ip().is_loopback()))
    }

    /// Whether one may come without logging in.
    pub fn allows_anonymous(&self) -> bool {
        self.anonymous.unwrap_or_else(|| !self.knows_anybody() && self.is_on_loopback())
    }

    /// Whether there is a way to say who one is.
    fn knows_anybody(&self) -> bool {
        let users = !self.users.is_empty() || !self.tokens.is_empty() || self.asks_for_certificates();
        users || !self.trusted_nodes.is_empty()
    }

    fn asks_for_certificates(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some())
    }

    /// The limits, defaults filled in.
    pub fn limits(&self) -> Limits {
        let (given, mut limits) = (&self.limits, Limits::default());
        if let Some(Size(bytes)) = given.memory {
            limits.memory = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
        if let Some(Size(bytes)) = given.query_memory {
            limits.query_memory = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
        if let Some(Length(time)) = given.query_timeout {
            limits.query_timeout = time;
        }
        if let Some(Size(bytes)) = given.spill {
            limits.spill_bytes = bytes;
        }
        if let Some(Size(bytes)) = given.keys {
            limits.key_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
        if let Some(Size(bytes)) = given.session_tables {
            limits.session_tables = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
        limits.concurrent_queries = given.concurrent_queries.unwrap_or(limits.concurrent_queries);
        limits.queued_queries = given.queued_queries.unwrap_or(limits.queued_queries);
        limits.max_hops = given.max_hops.unwrap_or(limits.max_hops);
        limits
    }

    /// How often peers are asked for their catalogs, where it is given.
    pub fn refresh_interval(&self) -> Option<Duration> {
        self.refresh_interval.map(|length| length.0)
    }

    /// How often the node looks whether the data of its ports has changed.
    pub fn statistics_interval(&self) -> Duration {
        self.statistics_interval.map_or(STATISTICS_INTERVAL, |length| length.0)
    }

    fn resolve_paths(&mut self, base: &Path) {
        if self.domain.is_some() {
            self.products = Some(base.join(self.products.as_deref().unwrap_or(Path::new("products"))));
        }
        let peers = self.peers.iter_mut().flat_map(|p| [&mut p.ca, &mut p.cert, &mut p.key]).flatten();
        let tls =
            self.tls.iter_mut().flat_map(|t| [Some(&mut t.cert), Some(&mut t.key), t.client_ca.as_mut()]).flatten();
        let keys = self.tokens.iter_mut().filter_map(|token| token.jwks.path_mut());
        for path in peers.chain(tls).chain(keys).chain(self.spill_folder.as_mut()) {
            *path = base.join(&*path);
        }
        for path in self.key_files() {
            *path = base.join(&*path);
        }
    }
}

#[cfg(test)]
mod tests;
