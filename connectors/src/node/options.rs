//! How to reach another node: who to be there, and what to trust.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::token::NodeIdentity;
use crate::error::{Error, ErrorKind, Result};

/// How to reach another node.
#[derive(Clone, Debug, Default)]
pub struct NodeOptions {
    /// Who to log in as. Default: the `identity`, or else nobody, which the node must allow.
    pub credentials: Option<NodeCredentials>,
    /// TLS, for `grpc+tls://` URLs.
    pub tls: NodeTls,
    /// Who this node is: it signs on whose behalf fragments run, and logs in by it where there are no credentials.
    /// Default: nobody in particular, who signs nothing.
    pub identity: Option<Arc<NodeIdentity>>,
    /// What the node is called in what is signed for it. It is said here and never by the node itself, which could
    /// otherwise have tokens made out to another node and use them there. Default: its URL.
    pub audience: Option<String>,
}

/// A user of another node. Its `Debug` form does not show the password.
#[derive(Clone)]
pub struct NodeCredentials {
    /// The user's name, without a colon.
    pub user: String,
    /// The password.
    pub password: String,
}

/// What TLS towards another node needs. The files hold PEM.
#[derive(Clone, Debug, Default)]
pub struct NodeTls {
    /// The certificates of the authorities to trust. Needed for `grpc+tls://`.
    pub ca_file: Option<PathBuf>,
    /// The certificate to show, where the node asks for one.
    pub cert_file: Option<PathBuf>,
    /// The key of that certificate.
    pub key_file: Option<PathBuf>,
    /// The name that the node's certificate must carry. Default: the host of its URL.
    pub domain: Option<String>,
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
            return Err(invalid(format!("node {url}: a `grpc+tls://` URL needs the file of the authority to trust")));
        };
        let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(url, ca_file)?));
        match (&self.cert_file, &self.key_file) {
            (Some(cert), Some(key)) => config = config.identity(Identity::from_pem(read(url, cert)?, read(url, key)?)),
            (None, None) => {}
            _ => return Err(invalid(format!("node {url}: a client certificate and its key belong together"))),
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
