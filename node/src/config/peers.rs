//! The other nodes of the mesh in the config.

use std::collections::BTreeSet;
use std::path::PathBuf;

use portolan_catalog::DomainName;
use portolan_connectors::node::{endpoint_url, is_exposed, trusted_certificates};
use portolan_engine::{LinkOverride, PeerOptions};
use serde::Deserialize;

use super::check::Check;
use super::{NodeConfig, SecretString};
use crate::units::{Length, Size};

/// Another node of the mesh.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// The URL: `grpc://host:port` or `grpc+tls://host:port`.
    pub url: String,
    /// The user that this node logs in as.
    pub user: Option<String>,
    /// The password of the user.
    pub password: Option<SecretString>,
    /// The environment variable with the password.
    pub password_env: Option<String>,
    /// The certificates to trust (PEM). A `grpc+tls://` URL needs them: those of the system are not used.
    pub ca: Option<PathBuf>,
    /// The client certificate of this node (PEM).
    pub cert: Option<PathBuf>,
    /// The key of that certificate (PEM).
    pub key: Option<PathBuf>,
    /// The audience of the tokens that this node signs for the peer, as the peer has it in `node.audiences`. Default:
    /// the URL.
    pub audience: Option<String>,
    /// Permits sending the password, or signing, to a peer beyond loopback without TLS if true. Default: false.
    #[serde(default)]
    pub allow_plaintext: bool,
    /// The time of a round trip. Default: measured.
    pub latency: Option<Length>,
    /// The bytes a second from the peer. Default: measured.
    pub bandwidth: Option<Size>,
    /// The domains that the peer may own. No peer without them may own one of these domains. Default: any other domain.
    pub domains: Option<BTreeSet<DomainName>>,
    /// True if this node also uses the peers that the peer reports. `ca`, `allow_plaintext` and `domains` of this entry
    /// hold for them too. Default: false.
    #[serde(default)]
    pub learn_peers: bool,
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
            allow_plaintext: false,
            latency: None,
            bandwidth: None,
            domains: None,
            learn_peers: false,
        }
    }

    /// Returns the properties of the link that the config has.
    pub fn link(&self) -> LinkOverride {
        let bandwidth = self.bandwidth.map(|size| size.0 as f64);
        LinkOverride { latency: self.latency.map(|length| length.0), bandwidth }
    }

    /// Returns the options of the peer for the engine.
    pub fn options(&self) -> PeerOptions {
        PeerOptions { link: self.link(), domains: self.domains.clone(), learn_peers: self.learn_peers }
    }
}

impl NodeConfig {
    pub(super) fn check_peers(&self, check: &mut Check<'_>) {
        let mut urls = BTreeSet::new();
        for (i, peer) in self.peers.iter().enumerate() {
            let at = |field: &str| format!("/peers/{i}/{field}");
            match endpoint_url(&peer.url) {
                Err(e) => check.report(&at("url"), &e.to_string()),
                Ok(_) => self.check_plaintext(peer, &at("url"), check),
            }
            if !urls.insert(&peer.url) {
                check.report(&at("url"), &format!("the peer {} is listed twice", peer.url));
            }
            if peer.password.is_some() && peer.password_env.is_some() {
                check.report(&at("password_env"), "set `password` or `password_env`, not both");
            }
            if peer.user.is_some() && peer.password.is_none() && peer.password_env.is_none() {
                check.report_missing(&at("user"), "a user needs `password` or `password_env`");
            }
            if let Some(variable) = &peer.password_env
                && std::env::var_os(variable).is_none()
            {
                check.report(&at("password_env"), &format!("the environment has no variable `{variable}`"));
            }
            if peer.cert.is_some() != peer.key.is_some() {
                check.report_missing(&at("cert"), "`cert` and `key` must be set together");
            }
            if peer.ca.is_none() && peer.url.starts_with("grpc+tls://") {
                check.report_missing(
                    &at("ca"),
                    "a `grpc+tls://` URL needs `ca`: a PEM file with the certificates of the authorities to trust, or \
                     with the certificate of the peer",
                );
            }
            match peer.ca.as_deref() {
                Some(ca) if ca.is_file() => {
                    if let Err(e) = trusted_certificates(ca) {
                        check.report(&at("ca"), &e.chain());
                    }
                }
                ca => check.file(&at("ca"), ca),
            }
            check.file(&at("cert"), peer.cert.as_deref());
            check.file(&at("key"), peer.key.as_deref());
        }
    }

    /// Reports a peer to which the node would send a password or a signed token over a network without TLS.
    fn check_plaintext(&self, peer: &PeerConfig, pointer: &str, check: &mut Check<'_>) {
        let sent = match (&peer.user, &self.node.key) {
            (Some(_), _) => "a password",
            (None, Some(_)) => "tokens signed with `node.key`",
            (None, None) => return,
        };
        if is_exposed(&peer.url) && !peer.allow_plaintext {
            let message = format!(
                "the node would send {sent} to {} without TLS; use a `grpc+tls://` URL with `ca`, or set \
                 `allow_plaintext: true` for this peer",
                peer.url
            );
            check.report(pointer, &message);
        }
    }
}
