//! The checks of a parsed config: values that exclude one another, and files and folders that cannot be read.

use std::net::ToSocketAddrs;
use std::path::Path;

use portolan_catalog::Diagnostic;
use portolan_catalog::yaml::Document;

use super::{NodeConfig, tokens};

/// Collects the faults of a config, each with its place in the file.
pub(super) struct Check<'a> {
    document: &'a Document,
    /// True if entries with other faults were left out, so that what is missing may be one of them.
    is_partial: bool,
    found: Vec<Diagnostic>,
}

impl Check<'_> {
    /// Adds a fault at `pointer`.
    pub(super) fn report(&mut self, pointer: &str, message: &str) {
        let place = self.document.place(&self.document.steps(pointer));
        self.found.push(Diagnostic { place, message: message.into(), suggestion: None });
    }

    /// Adds the fault that something is missing.
    pub(super) fn report_missing(&mut self, pointer: &str, message: &str) {
        if !self.is_partial {
            self.report(pointer, message);
        }
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
    /// Checks what the parser does not check, such as the files that the config names. Returns every fault, with its
    /// place in `document`. `is_partial` is true if the config has only those entries that the parser accepts.
    pub(super) fn check(&self, document: &Document, is_partial: bool) -> Vec<Diagnostic> {
        let mut check = Check { document, is_partial, found: vec![] };
        self.check_all(&mut check);
        check.found
    }

    fn check_all(&self, check: &mut Check<'_>) {
        match &self.domain {
            Some(domain) if domain.as_str().is_empty() => check.report("/domain", "a domain needs a name"),
            Some(_) => check.folder("/products", self.products.as_deref()),
            None if self.policies.is_some() => {
                check.report_missing("/policies", "policies govern the ports of a domain: set `domain`");
            }
            None if self.mask_key.is_some() => {
                check.report_missing("/mask_key", "the key is for the masks of a domain's ports: set `domain`");
            }
            None if self.products.is_some() => {
                check.report_missing("/products", "products belong to a domain: set `domain`");
            }
            None => {}
        }
        check.file("/mask_key", self.mask_key.as_deref());
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
                check.report_missing(
                    "/tls/client_certificate",
                    "needs `client_ca`, the authority of these certificates",
                );
            }
        }
        if let Some(admin) = &self.admin {
            admin.check(check);
        }
        if let Some(telemetry) = &self.telemetry {
            telemetry.check(check);
        }
        if let Some(audit) = &self.audit {
            audit.check(check);
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
            check.report_missing(
                "/listen",
                "nobody could log in: a node that listens beyond loopback needs `users`, `tokens`, `tls.client_ca` or \
                 `trusted_nodes`, or `anonymous: true` to accept callers without a login",
            );
        } else if self.tls.is_none() && !self.allow_plaintext && !self.is_on_loopback() {
            check.report_missing(
                "/listen",
                "a node that listens beyond loopback needs `tls`, or `allow_plaintext: true` to serve without TLS",
            );
        }
        self.check_users(check);
        tokens::check(&self.tokens, check);
    }
}
