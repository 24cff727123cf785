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

/// Returns the configuration of TLS: servers must have a valid certificate for their host, from one of the [`authorities`].
///
/// # Errors
/// As [`authorities`].
pub(crate) fn client_config(ca: Option<&Path>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities(ca)?);
    // The provider is explicit: the process may have no default one, or several to choose from.
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::new(ErrorKind::Internal, "cannot configure TLS").with_source(e))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Returns the certificates of the authorities in the file `ca`, or else of those that the system trusts. There is at
/// least one, and each is valid.
///
/// # Errors
/// `SiteUnavailable` if the certificates cannot be read.
pub(crate) fn authorities(ca: Option<&Path>) -> Result<Vec<CertificateDer<'static>>> {
    let Some(path) = ca else { return system_authorities() };
    // Only the owner sees where the file is.
    let unread = |cause: String| {
        let what = "cannot read the certificates of the file `ca` in the config of the database";
        Error::new(ErrorKind::SiteUnavailable, what).for_owner(format!("{what} ({}): {cause}", path.display()))
    };
    let certificates =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
    let certificates = certificates.map_err(|e| unread(e.to_string()))?;
    for certificate in &certificates {
        RootCertStore::empty().add(certificate.clone()).map_err(|e| unread(e.to_string()))?;
    }
    match certificates.is_empty() {
        true => Err(unread("expected certificates in PEM form, got none".to_owned())),
        false => Ok(certificates),
    }
}

fn system_authorities() -> Result<Vec<CertificateDer<'static>>> {
    let mut certificates = rustls_native_certs::load_native_certs().certs;
    // Some systems have old certificates that are not valid.
    certificates.retain(|certificate| RootCertStore::empty().add(certificate.clone()).is_ok());
    match certificates.is_empty() {
        true => {
            let what = "the system has no certificates of authorities: name a file of them as `ca` in the config of \
                        the database";
            Err(Error::new(ErrorKind::SiteUnavailable, what))
        }
        false => Ok(certificates),
    }
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
