//! The config file of a node. Unknown keys are errors, files that the config names are checked, and diagnostics have
//! the line of the fault.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portolan_catalog::yaml::{self, Document};
use portolan_catalog::{Diagnostic, Diagnostics, DomainName, load_domain};
use portolan_connectors::SourceOptions;
use portolan_flight_server::{ClientCertificates, ServerTls};
use serde::Deserialize;

use crate::digest::file_digest;
use crate::units::Length;

mod audit;
mod changes;
mod check;
mod delegation;
mod domains;
mod exposed_files;
mod limits;
mod local_files;
mod paths;
mod peers;
mod service;
mod shares;
mod sources;
mod tokens;
mod users;

pub use audit::AuditConfig;
pub(crate) use audit::AuditStore;
pub use delegation::{AllowedConfig, OwnIdentityConfig, TrustedKey, TrustedNodeConfig};
pub use domains::{DomainConfig, PinnedKeys};
pub use limits::LimitsConfig;
pub use local_files::LocalFilesConfig;
pub use peers::PeerConfig;
pub use service::{AdminConfig, LogFormat, TelemetryConfig};
pub use shares::{ShareConfig, SharesConfig};
pub use tokens::{Jwks, OneOrMore, TokenConfig};
pub use users::UserConfig;

/// The default of `statistics_interval`. A listing of every port's data is cheap, but an object store charges for it.
const STATISTICS_INTERVAL: Duration = Duration::from_secs(60);

/// The config of a node. Relative paths in a file start from the folder of the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// The domain that the node serves; absent for a gateway.
    pub domain: Option<DomainName>,
    /// The address that the node listens on. Default: `127.0.0.1:50051`. Port 0 selects a free port.
    #[serde(default = "default_listen")]
    pub listen: String,
    /// The folder with the domain's descriptors. Default: `products`.
    pub products: Option<PathBuf>,
    /// The folder with the policies of the mesh, which every node gets: they bind the ports of each product. Default: none.
    pub policies: Option<PathBuf>,
    /// True if the conditions and join keys of statements stay above the policies of ports, so that the rows and bytes that
    /// the node reads do not depend on them. Default: false.
    #[serde(default)]
    pub policy_strict: bool,
    /// The file with the key of the mesh for the mask `hmac-sha-256`: a random text of at least 32 bytes. Masked columns of
    /// nodes with the same key join. Default: none, and then the mask closes its ports.
    pub mask_key: Option<PathBuf>,
    /// The other nodes of the mesh.
    #[serde(default)]
    pub peers: Vec<PeerConfig>,
    /// The domains of other nodes that are pinned to keys. The first peer that claims any other domain owns it.
    #[serde(default)]
    pub domains: BTreeMap<DomainName, DomainConfig>,
    /// The access to each `server` that a contract names, such as credentials, which do not belong in a contract.
    #[serde(default)]
    pub sources: HashMap<String, SourceOptions>,
    /// The users.
    #[serde(default)]
    pub users: Vec<UserConfig>,
    /// The identity providers whose tokens the node accepts.
    #[serde(default)]
    pub tokens: Vec<TokenConfig>,
    /// The node's identity towards other nodes.
    #[serde(default)]
    pub node: OwnIdentityConfig,
    /// The nodes whose claims of a principal the node accepts. Without any, the sender of a fragment is its principal.
    #[serde(default)]
    pub trusted_nodes: Vec<TrustedNodeConfig>,
    /// Accepts callers without a login if true. Default: true on loopback if the config names no users, tokens, trusted
    /// nodes or client certificates.
    pub anonymous: Option<bool>,
    /// TLS on the listener.
    pub tls: Option<TlsConfig>,
    /// Permits listening beyond loopback without TLS if true. Default: false.
    #[serde(default)]
    pub allow_plaintext: bool,
    /// The limits of queries.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// The shares of principals in the limits.
    #[serde(default)]
    pub shares: SharesConfig,
    /// The time between two requests for the catalog of a peer. Default: 5s.
    pub refresh_interval: Option<Length>,
    /// The time between two checks for changed data, whose statistics are then computed again. Default: 1m.
    pub statistics_interval: Option<Length>,
    /// The time limit for opening a port. If its source does not respond by then, the port stays closed, and the node
    /// tries again after a minute, or after `statistics_interval` if that is shorter. Default: 1m.
    pub open_timeout: Option<Length>,
    /// The filter of the log, such as `info` or `portolan=debug`. The variable `PORTOLAN_LOG` takes precedence.
    /// Default: `info`, and `warn` for the attempts of object stores.
    pub log: Option<String>,
    /// The format of the log. Default: text.
    #[serde(default)]
    pub log_format: LogFormat,
    /// The listener for operators. Default: none.
    pub admin: Option<AdminConfig>,
    /// The export of traces and metrics. Default: none.
    pub telemetry: Option<TelemetryConfig>,
    /// The audit records of the reads of this node's ports. Default: in the state folder, if the node has a domain and a
    /// state folder.
    pub audit: Option<AuditConfig>,
    /// The folder that operators spill to. Default: the system's temporary folder.
    pub spill_folder: Option<PathBuf>,
    /// The folder in which the node keeps its key, and the owners of the domains of other nodes. Default in a file: a
    /// folder beside the file, such as `node.state` for `node.yaml`.
    pub state_folder: Option<PathBuf>,
    /// The number of threads that drive plans. Default: the number of cores.
    pub cpu_threads: Option<usize>,
    /// The files of this machine that statements may name. Default: none for a node that serves, and all for
    /// `portolan sql --config`.
    pub local_files: Option<LocalFilesConfig>,
    /// The file of the config.
    #[serde(skip)]
    pub file: Option<PathBuf>,
    /// The digest of the file's state before the file was read. A node that serves reads a file in another state again.
    #[serde(skip)]
    pub digest: Option<u64>,
}

impl Default for NodeConfig {
    /// Returns the config of an empty file: a gateway on loopback.
    fn default() -> Self {
        Self {
            domain: None,
            listen: default_listen(),
            products: None,
            policies: None,
            policy_strict: false,
            mask_key: None,
            peers: vec![],
            domains: BTreeMap::new(),
            sources: HashMap::new(),
            users: vec![],
            tokens: vec![],
            node: OwnIdentityConfig::default(),
            trusted_nodes: vec![],
            anonymous: None,
            tls: None,
            allow_plaintext: false,
            limits: LimitsConfig::default(),
            shares: SharesConfig::default(),
            refresh_interval: None,
            statistics_interval: None,
            open_timeout: None,
            log: None,
            log_format: LogFormat::default(),
            admin: None,
            telemetry: None,
            audit: None,
            spill_folder: None,
            state_folder: None,
            cpu_threads: None,
            local_files: None,
            file: None,
            digest: None,
        }
    }
}

/// TLS on the listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate chain (PEM).
    pub cert: PathBuf,
    /// The key of the certificate (PEM).
    pub key: PathBuf,
    /// The authorities of client certificates (PEM). A client is authenticated by the name in its certificate.
    pub client_ca: Option<PathBuf>,
    /// The clients that must show a certificate. Default: `required`.
    pub client_certificate: Option<ClientCertificate>,
}

/// The clients that must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificate {
    /// Every client.
    Required,
    /// No client: a client without a certificate can log in otherwise.
    Optional,
}

impl TlsConfig {
    /// Returns the files for the server's options.
    pub(crate) fn files(&self) -> ServerTls {
        let optional = self.client_certificate == Some(ClientCertificate::Optional);
        let clients = self.client_ca.clone().map(|ca| ClientCertificates { ca, optional });
        ServerTls { cert: self.cert.clone(), key: self.key.clone(), clients }
    }
}

/// A string that is never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretString(String);

impl SecretString {
    /// Wraps a string.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the string.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretString {
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
    /// Every fault of the config.
    pub fn load(file: &Path) -> Result<Self, Diagnostics> {
        let digest = file_digest(file);
        let config = Self::parse(&yaml::read(file)?, file)?;
        Ok(Self { digest: Some(digest), ..config })
    }

    /// Parses and checks `text` as the content of `file`. Relative paths are joined with the folder of `file`.
    ///
    /// # Errors
    /// As [`NodeConfig::load`].
    pub fn parse(text: &str, file: &Path) -> Result<Self, Diagnostics> {
        match Self::parse_in_part(&Document::parse(text, file)?) {
            (Some(config), faults) if faults.is_empty() => Ok(config),
            (_, faults) => Err(Diagnostics(faults)),
        }
    }

    /// Reads and checks the config in `file` as [`NodeConfig::load`] does. If the config has faults, checks the
    /// descriptors that it names too, so that one call reports the faults of both.
    ///
    /// # Errors
    /// Every fault of the config, and then every fault of the descriptors.
    pub fn load_with_descriptors(file: &Path) -> Result<Self, Diagnostics> {
        let (config, mut faults) = Self::parse_in_part(&Document::parse(&yaml::read(file)?, file)?);
        let Some(config) = config else { return Err(Diagnostics(faults)) };
        if faults.is_empty() {
            return Ok(config);
        }
        if let (Some(domain), Some(folder)) = (&config.domain, config.products_folder().filter(|path| path.is_dir()))
            && let Err(Diagnostics(more)) = load_domain(domain, folder)
        {
            faults.extend(more);
        }
        Err(Diagnostics(faults))
    }

    /// Returns the config without the entries that have faults, and all faults. Returns no config if an entry with a
    /// fault is necessary.
    fn parse_in_part(document: &Document) -> (Option<Self>, Vec<Diagnostic>) {
        let (config, mut faults) = Self::parse_unchecked(document);
        if let Some(config) = &config {
            faults.extend(config.check(document, !faults.is_empty()));
        }
        (config, faults)
    }

    /// As [`NodeConfig::parse_in_part`], with only the faults that the parser finds.
    fn parse_unchecked(document: &Document) -> (Option<Self>, Vec<Diagnostic>) {
        let file = document.file();
        let (mut config, faults) = yaml::from_document_in_part::<Self>(document.clone());
        if let Some(config) = &mut config {
            config.file = Some(file.to_path_buf());
            config.resolve_paths(file);
        }
        (config, faults)
    }

    /// Returns the folder with descriptors, if the node serves a domain.
    pub fn products_folder(&self) -> Option<&Path> {
        self.domain.as_ref().and(self.products.as_deref())
    }

    fn is_on_loopback(&self) -> bool {
        service::is_on_loopback(&self.listen).unwrap_or(false)
    }

    /// True if the node accepts callers without a login.
    pub fn allows_anonymous(&self) -> bool {
        self.anonymous.unwrap_or_else(|| !self.knows_anybody() && self.is_on_loopback())
    }

    /// True if callers can authenticate.
    fn knows_anybody(&self) -> bool {
        let users = !self.users.is_empty() || !self.tokens.is_empty() || self.asks_for_certificates();
        users || !self.trusted_nodes.is_empty()
    }

    fn asks_for_certificates(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some())
    }

    /// Returns the time between two requests for the catalog of a peer, if it is given.
    pub fn refresh_interval(&self) -> Option<Duration> {
        self.refresh_interval.map(|length| length.0)
    }

    /// Returns the time between two checks for changed data.
    pub fn statistics_interval(&self) -> Duration {
        self.statistics_interval.map_or(STATISTICS_INTERVAL, |length| length.0)
    }
}

#[cfg(test)]
mod tests;
