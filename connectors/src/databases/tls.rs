//! TLS to databases: which connections use it, and the certificates that they trust.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::error::{Error, ErrorKind, Result};
use crate::source_options::{DatabaseOptions, TlsMode};

/// True if connections to a host use TLS. By default they do, unless the host is this machine.
pub(crate) fn is_used(options: &DatabaseOptions, host: &str) -> bool {
    options.tls.map_or_else(|| !is_this_machine(host), |mode| mode == TlsMode::Verify)
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Returns the configuration of TLS: servers must have a valid certificate for their host, from an authority in the file
/// `ca`, or else from one that the system trusts.
///
/// # Errors
/// `SiteUnavailable` if the certificates of the authorities cannot be read.
pub(crate) fn client_config(ca: Option<&Path>) -> Result<ClientConfig> {
    // The provider is explicit: the process may have no default one, or several to choose from.
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::new(ErrorKind::Internal, "cannot configure TLS").with_source(e))?;
    Ok(builder.with_root_certificates(roots(ca)?).with_no_client_auth())
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore> {
    let Some(path) = ca else { return system_roots() };
    // Only the owner sees where the file is.
    let unread = |cause: String| {
        let what = "cannot read the certificates of the file `ca` in the config of the database";
        Error::new(ErrorKind::SiteUnavailable, what).for_owner(format!("{what} ({}): {cause}", path.display()))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| unread(e.to_string()))? {
        let certificate = certificate.map_err(|e| unread(e.to_string()))?;
        roots.add(certificate).map_err(|e| unread(e.to_string()))?;
    }
    if roots.is_empty() { Err(unread("expected certificates in PEM form, got none".to_owned())) } else { Ok(roots) }
}

fn system_roots() -> Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let what = "the system has no certificates of authorities: name a file of them as `ca` in the config of the \
                    database";
        return Err(Error::new(ErrorKind::SiteUnavailable, what));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use super::*;

    #[test]
    fn only_this_machine_has_no_tls_by_default() {
        let unset = DatabaseOptions::default();
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1", "[::1]"] {
            assert!(!is_used(&unset, host), "{host}");
        }
        for host in ["db.example.org", "10.0.0.1", "localhost.example.org", "::2"] {
            assert!(is_used(&unset, host), "{host}");
        }
        let set = |mode| DatabaseOptions { tls: Some(mode), ..DatabaseOptions::default() };
        assert!(is_used(&set(TlsMode::Verify), "127.0.0.1"));
        assert!(!is_used(&set(TlsMode::Disable), "db.example.org"));
    }

    #[test]
    fn a_file_without_certificates_is_an_error_that_shows_its_place_to_the_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        for content in
            [None, Some("no certificate"), Some("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")]
        {
            if let Some(content) = content {
                fs::write(&path, content).unwrap();
            }
            let error = client_config(Some(&path)).unwrap_err();
            assert!(!error.chain().contains("ca.pem"), "{}", error.chain());
            assert!(error.owner_chain().contains("ca.pem"), "{}", error.owner_chain());
        }
        let certificate = rcgen::generate_simple_self_signed(["db.example.org".to_owned()]).unwrap().cert.pem();
        fs::write(&path, certificate).unwrap();
        client_config(Some(&path)).unwrap();
    }
}
