//! The options of a connection to another node: credentials, TLS and identity.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tonic::transport::{Certificate, ClientTlsConfig, Identity, Uri};

use super::diagnosis::trusted_certificates;
use super::token::NodeIdentity;
use crate::error::{Error, ErrorKind, Result};

/// The options of a connection to another node.
#[derive(Clone, Debug, Default)]
pub struct NodeOptions {
    /// The user to log in as. Default: the `identity`, or else anonymous, which the node must allow.
    pub credentials: Option<NodeCredentials>,
    /// TLS, for `grpc+tls://` URLs.
    pub tls: NodeTls,
    /// The identity of the local node. It signs the principal of each fragment, and is the login if there are no
    /// `credentials`. Default: none, so that the local node signs nothing.
    pub identity: Option<Arc<NodeIdentity>>,
    /// The audience of the tokens that are signed for the node. Only this option sets it. If the node itself could set
    /// it, the node could obtain tokens for another node and use them there. Default: the node's URL.
    pub audience: Option<String>,
    /// True if `credentials` and signed tokens may leave this machine without TLS. Default: false.
    pub allow_plaintext: bool,
    /// True if the node must not be at an address of this machine, its link or its cloud. Default: false.
    pub must_be_elsewhere: bool,
    /// The size of the largest catalog that is accepted from the node, in bytes. Default: that of the largest message
    /// between nodes.
    pub max_catalog_bytes: Option<usize>,
}

/// A user of another node. `Debug` does not show the password.
#[derive(Clone)]
pub struct NodeCredentials {
    /// The user's name, without a colon.
    pub user: String,
    /// The password.
    pub password: String,
}

/// The TLS options of a connection to another node. The files are PEM files.
#[derive(Clone, Debug, Default)]
pub struct NodeTls {
    /// The certificates of the trusted authorities. Required for `grpc+tls://`.
    pub ca_file: Option<PathBuf>,
    /// The client certificate, if the node requests one.
    pub cert_file: Option<PathBuf>,
    /// The key of that certificate.
    pub key_file: Option<PathBuf>,
    /// The name that the node's certificate must have. Default: the host of the URL.
    pub domain: Option<String>,
}

/// True if calls to a node at `url` may leave this machine without TLS.
pub fn is_exposed(url: &str) -> bool {
    !url.starts_with("grpc+tls://") && !is_on_loopback(url)
}

/// True if the host of a node's URL is the name or an address of the local machine.
pub(super) fn is_on_loopback(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let uri = format!("http://{rest}").parse::<Uri>().ok();
    uri.as_ref().and_then(Uri::host).is_some_and(is_loopback)
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

impl fmt::Debug for NodeCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeCredentials").field("user", &self.user).finish_non_exhaustive()
    }
}

impl NodeTls {
    /// Reads the files.
    pub(super) fn load(&self, url: &str) -> Result<ClientTlsConfig> {
        let Some(ca_file) = &self.ca_file else {
            return Err(invalid(format!(
                "node {url}: a `grpc+tls://` URL needs a file with the certificates of the trusted authorities (`ca`)"
            )));
        };
        let trusted = trusted_certificates(ca_file).map_err(|e| e.within(format!("node {url}")))?;
        let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(trusted));
        match (&self.cert_file, &self.key_file) {
            (Some(cert), Some(key)) => config = config.identity(Identity::from_pem(read(url, cert)?, read(url, key)?)),
            (None, None) => {}
            _ => {
                return Err(invalid(format!(
                    "node {url}: a client certificate needs its key, and a key needs its certificate"
                )));
            }
        }
        if let Some(domain) = &self.domain {
            config = config.domain_name(domain);
        }
        Ok(config)
    }
}

fn read(url: &str, file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file)
        .map_err(|e| invalid(format!("node {url}: the TLS file {} cannot be read", file.display())).with_source(e))
}

fn invalid(context: String) -> Error {
    Error::new(ErrorKind::InvalidQuery, context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tls_and_loopback_are_not_exposed() {
        for url in
            ["grpc+tls://a:1", "grpc://127.0.0.1:1", "grpc+tcp://127.9.9.9:1", "grpc://[::1]:1", "grpc://LOCALHOST:1"]
        {
            assert!(!is_exposed(url), "{url}");
        }
        for url in [
            "grpc://a:1",
            "grpc+tcp://10.0.0.1:1",
            "grpc://[fe80::1]:1",
            "grpc://0.0.0.0:1",
            "grpc://127.0.0.1.example.org:1",
            "grpc://localhost.example.org:1",
            "grpc://127.0.0.1@example.org:1",
            "grpc://",
            "a b",
        ] {
            assert!(is_exposed(url), "{url}");
        }
    }
}
