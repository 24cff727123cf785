//! The checks of a parsed config: values that exclude one another, and files and folders that cannot be read.

use std::collections::BTreeSet;
use std::net::ToSocketAddrs;
use std::path::Path;

use argon2::PasswordHash;
use portolan_catalog::yaml::Document;
use portolan_catalog::{Diagnostic, Diagnostics, is_printable};
use portolan_connectors::node::{endpoint_url, is_exposed};

use super::{NodeConfig, PeerConfig, tokens};

/// Collects the faults of a config, each with its place in the file.
pub(super) struct Check<'a> {
    document: &'a Document,
    found: Vec<Diagnostic>,
}

impl Check<'_> {
    /// Adds a fault at `pointer`.
    pub(super) fn report(&mut self, pointer: &str, message: &str) {
        let place = self.document.place(&self.document.steps(pointer));
        self.found.push(Diagnostic { place, message: message.into(), suggestion: None });
    }

    /// Reports a file that cannot be read.
    pub(super) fn file(&mut self, pointer: &str, path: Option<&Path>) {
        if let Some(path) = path
            && let Err(e) = std::fs::File::open(path)
        {
            self.report(pointer, &format!("cannot read {}: {e}", path.display()));
        }
    }

    /// Reports a folder that cannot be read.
    pub(super) fn folder(&mut self, pointer: &str, path: Option<&Path>) {
        if let Some(path) = path
            && let Err(e) = std::fs::read_dir(path)
        {
            self.report(pointer, &format!("cannot read the folder {}: {e}", path.display()));
        }
    }
}

impl NodeConfig {
    /// Checks what the parser does not check, such as the files that the config names.
    ///
    /// # Errors
    /// Every fault, each with its place in `document`.
    pub(super) fn check(&self, document: &Document) -> Result<(), Diagnostics> {
        let mut check = Check { document, found: vec![] };
        self.check_all(&mut check);
        if check.found.is_empty() { Ok(()) } else { Err(Diagnostics(check.found)) }
    }

    fn check_all(&self, check: &mut Check<'_>) {
        match &self.domain {
            Some(domain) if domain.as_str().is_empty() => check.report("/domain", "a domain needs a name"),
            Some(_) => check.folder("/products", self.products.as_deref()),
            None if self.products.is_some() => {
                check.report("/products", "products belong to a domain: set `domain`");
            }
            None => {}
        }
        self.check_access(check);
        self.check_peers(check);
        self.check_domains(check);
        self.check_delegation(check);
        self.check_sources(check);
        self.check_local_files(check);
        if let Some(tls) = &self.tls {
            check.file("/tls/cert", Some(&tls.cert));
            check.file("/tls/key", Some(&tls.key));
            check.file("/tls/client_ca", tls.client_ca.as_deref());
            if tls.client_certificate.is_some() && tls.client_ca.is_none() {
                check.report("/tls/client_certificate", "needs `client_ca`, the authority of these certificates");
            }
        }
        if let Some(admin) = &self.admin {
            admin.check(check);
        }
        if let Some(telemetry) = &self.telemetry {
            telemetry.check(check);
        }
        let counts = [
            ("/limits/concurrent_queries", self.limits.concurrent_queries),
            ("/limits/connections", self.limits.connections),
            ("/limits/connections_per_address", self.limits.connections_per_address),
            ("/cpu_threads", self.cpu_threads),
            ("/limits/max_hops", self.limits.max_hops.map(|hops| hops as usize)),
        ];
        for (pointer, count) in counts {
            if count == Some(0) {
                check.report(pointer, "must be at least 1");
            }
        }
        self.shares.check(check);
        if let Some(Err(e)) = self.log.as_deref().map(tracing_subscriber::EnvFilter::try_new) {
            check.report("/log", &format!("expected a filter such as `info` or `warn,portolan=debug`: {e}"));
        }
    }

    fn check_access(&self, check: &mut Check<'_>) {
        if let Err(e) = self.listen.to_socket_addrs() {
            check
                .report("/listen", &format!("expected an address and a port to listen on, got `{}`: {e}", self.listen));
        } else if !self.knows_anybody() && !self.allows_anonymous() {
            check.report(
                "/listen",
                "nobody could log in: a node that listens beyond loopback needs `users`, `tokens`, `tls.client_ca` or \
                 `trusted_nodes`, or `anonymous: true` to accept callers without a login",
            );
        } else if self.tls.is_none() && !self.allow_plaintext && !self.is_on_loopback() {
            check.report(
                "/listen",
                "a node that listens beyond loopback needs `tls`, or `allow_plaintext: true` to serve without TLS",
            );
        }
        self.check_users(check);
        tokens::check(&self.tokens, check);
    }

    fn check_users(&self, check: &mut Check<'_>) {
        let mut names = BTreeSet::new();
        for (i, user) in self.users.iter().enumerate() {
            if user.name.is_empty() || (user.password_hash.is_some() && user.name.contains(':')) {
                check.report(&format!("/users/{i}/name"), "expected a name that is not empty and has no colon");
            }
            let groups = user.groups.iter().chain(user.attributes.keys()).chain(user.attributes.values().flatten());
            if !std::iter::once(&user.name).chain(groups).all(|text| is_printable(text)) {
                let message = "has control characters, invisible characters or marks of direction in a name or a value";
                check.report(&format!("/users/{i}"), message);
            }
            if !names.insert(&user.name) {
                check.report(&format!("/users/{i}/name"), &format!("the user `{}` is listed twice", user.name));
            }
            match &user.password_hash {
                Some(hash) if PasswordHash::new(hash.reveal()).is_err() => check.report(
                    &format!("/users/{i}/password_hash"),
                    "is not a password hash: `portolan hash-password` prints one",
                ),
                None if !self.asks_for_certificates() => check.report(
                    &format!("/users/{i}"),
                    "a user needs `password_hash`, unless users authenticate with certificates (`tls.client_ca`)",
                ),
                _ => {}
            }
        }
    }

    fn check_peers(&self, check: &mut Check<'_>) {
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
                check.report(&at("user"), "a user needs `password` or `password_env`");
            }
            if let Some(variable) = &peer.password_env
                && std::env::var_os(variable).is_none()
            {
                check.report(&at("password_env"), &format!("the environment has no variable `{variable}`"));
            }
            if peer.cert.is_some() != peer.key.is_some() {
                check.report(&at("cert"), "`cert` and `key` must be set together");
            }
            check.file(&at("ca"), peer.ca.as_deref());
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
