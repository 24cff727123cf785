//! The connections to the peers in a config.

use std::sync::Arc;

use portolan_connectors::Peer;
use portolan_connectors::node::{NodeCredentials, NodeIdentity, NodeOptions, NodeSite, NodeTls};
use portolan_engine::EngineBuilder;

use crate::config::{NodeConfig, PeerConfig};
use crate::{Error, Result};

/// The identity with which a node signs for its peers; `None` if it signs nothing.
pub(crate) type Identity = Option<Arc<NodeIdentity>>;

/// Prepares the connection to a peer, without sending anything. Must be called on a tokio runtime.
///
/// # Errors
/// A URL, a password, a certificate or a key that cannot be used.
pub(crate) fn connect(peer: &PeerConfig, identity: &Identity) -> Result<Arc<dyn Peer>> {
    let site = NodeSite::new(&peer.url, options(peer, identity)?).map_err(|e| Error::config(e.chain()))?;
    Ok(Arc::new(site))
}

/// Adds the peers and the owners of domains to an engine.
///
/// # Errors
/// As [`connect`], and keys of domains that cannot be read.
pub(crate) fn with_peers(
    mut builder: EngineBuilder,
    config: &NodeConfig,
    identity: &Identity,
) -> Result<EngineBuilder> {
    for (domain, keys) in config.domain_keys()? {
        builder = builder.domain_keys(domain, keys);
    }
    if let Some(file) = config.owners_file() {
        builder = builder.owners_file(file);
    }
    for peer in &config.peers {
        builder = builder.peer_with(connect(peer, identity)?, peer.options());
    }
    if let Some(interval) = config.refresh_interval() {
        builder = builder.refresh_interval(interval);
    }
    Ok(builder)
}

fn options(peer: &PeerConfig, identity: &Identity) -> Result<NodeOptions> {
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
    let identity = identity.clone();
    Ok(NodeOptions { credentials, tls, identity, audience, allow_plaintext, ..NodeOptions::default() })
}
