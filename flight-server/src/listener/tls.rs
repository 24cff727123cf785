//! TLS on a listener, from files that the node reads again when they change. If new files are invalid, the node logs an
//! error and keeps the last valid ones.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use portolan_engine::{Error, ErrorKind, Result};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_util::task::AbortOnDropHandle;

use crate::failure::invalid;
use crate::options::{ClientCertificates, ServerTls};

/// The interval between checks of the files.
const INTERVAL: Duration = Duration::from_secs(2);
/// The largest size of a file, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// The TLS configuration for new connections.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    files: ServerTls,
    current: Arc<ArcSwap<ServerConfig>>,
    /// The digest of the files' contents.
    seen: u64,
    /// The number of looks since the files could be read.
    unread: u32,
}

/// The contents of the files.
struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// `InvalidQuery` if files cannot be read, have other contents, or do not belong together.
    pub(crate) async fn load(files: ServerTls) -> Result<Self> {
        let contents = read(files.clone()).await?;
        let seen = contents.digest();
        let current = Arc::new(ArcSwap::from_pointee(contents.config(&files)?));
        Ok(Self { files, current, seen, unread: 0 })
    }

    /// Returns the configuration for a new connection.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    /// Checks the files at intervals, while the returned handle lives.
    pub(crate) fn watch(&self) -> AbortOnDropHandle<()> {
        let mut tls = self.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                tokio::time::sleep(INTERVAL).await;
                tls.look().await;
            }
        }))
    }

    async fn look(&mut self) {
        let contents = match read(self.files.clone()).await {
            Ok(contents) => contents,
            Err(e) => {
                self.unread = self.unread.saturating_add(1);
                // A file may be missing for a moment while it is replaced.
                if self.unread == 2 {
                    tracing::warn!("the TLS files cannot be read, keeping the last valid ones: {}", e.chain());
                }
                return;
            }
        };
        self.unread = 0;
        let seen = contents.digest();
        if seen == self.seen {
            return;
        }
        // Each error is logged once.
        self.seen = seen;
        match contents.config(&self.files) {
            Ok(config) => {
                self.current.store(Arc::new(config));
                tracing::info!(cert = %self.files.cert.display(), "read the changed TLS files");
            }
            Err(e) => tracing::warn!("the new TLS files are invalid, keeping the last valid ones: {}", e.chain()),
        }
    }
}

async fn read(files: ServerTls) -> Result<Contents> {
    let read = move || {
        let ca = files.clients.as_ref().map(|clients| clients.ca.as_path());
        Ok(Contents { cert: bytes(&files.cert)?, key: bytes(&files.key)?, client_ca: ca.map(bytes).transpose()? })
    };
    tokio::task::spawn_blocking(read)
        .await
        .map_err(|e| Error::new(ErrorKind::Internal, "reading the TLS files ended abnormally").with_source(e))?
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    let unreadable = |e| invalid(format!("cannot read {}", path.display())).with_source(e);
    if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_BYTES {
        return Err(invalid(format!("{} is too large for a PEM file", path.display())));
    }
    std::fs::read(path).map_err(unreadable)
}

impl Contents {
    fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.cert, &self.key, &self.client_ca).hash(&mut hasher);
        hasher.finish()
    }

    fn config(&self, files: &ServerTls) -> Result<ServerConfig> {
        let chain = certificates(&self.cert, &files.cert)?;
        // The error has no more detail, because it concerns a key.
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| invalid(format!("{} contains no private key in PEM", files.key.display())))?;
        let unusable = |e| Error::new(ErrorKind::Internal, "TLS cannot be set up").with_source(e);
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = match files.clients.as_ref().zip(self.client_ca.as_ref()) {
            Some((clients, ca)) => builder.with_client_cert_verifier(verifier(clients, ca)?),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|e| {
            let (cert, key) = (files.cert.display(), files.key.display());
            invalid(format!("the certificate {cert} and the key {key} cannot be used together")).with_source(e)
        })?;
        config.alpn_protocols.push(b"h2".to_vec());
        Ok(config)
    }
}

fn verifier(clients: &ClientCertificates, ca: &[u8]) -> Result<Arc<dyn ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    let malformed = || invalid(format!("{} contains a malformed certificate", clients.ca.display()));
    for certificate in certificates(ca, &clients.ca)? {
        roots.add(certificate).map_err(|e| malformed().with_source(e))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()));
    let builder = if clients.optional { builder.allow_unauthenticated() } else { builder };
    builder.build().map_err(|e| malformed().with_source(e))
}

fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let malformed = || invalid(format!("{} contains no certificate in PEM", path.display()));
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| malformed())?;
    if chain.is_empty() { Err(malformed()) } else { Ok(chain) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::PathBuf;

    use super::*;

    fn write(folder: &Path, name: &str) -> ServerTls {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let at = |end: &str| -> PathBuf { folder.join(format!("{name}.{end}")) };
        std::fs::write(at("pem"), made.cert.pem()).unwrap();
        std::fs::write(at("key"), made.signing_key.serialize_pem()).unwrap();
        ServerTls { cert: at("pem"), key: at("key"), clients: None }
    }

    #[tokio::test]
    async fn new_files_are_taken_and_bad_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let (files, other) = (write(folder.path(), "a"), write(folder.path(), "b"));
        let mut tls = Tls::load(files.clone()).await.unwrap();
        let first = tls.config();
        tls.look().await;
        assert!(Arc::ptr_eq(&first, &tls.config()));

        // The new certificate arrives before its key.
        std::fs::copy(&other.cert, &files.cert).unwrap();
        tls.look().await;
        assert!(Arc::ptr_eq(&first, &tls.config()));
        std::fs::copy(&other.key, &files.key).unwrap();
        tls.look().await;
        let second = tls.config();
        assert!(!Arc::ptr_eq(&first, &second));

        for broken in ["", "no PEM"] {
            std::fs::write(&files.cert, broken).unwrap();
            tls.look().await;
            assert!(Arc::ptr_eq(&second, &tls.config()));
        }
        std::fs::remove_file(&files.cert).unwrap();
        tls.look().await;
        tls.look().await;
        assert!(Arc::ptr_eq(&second, &tls.config()));
        // The second look logs it.
        assert_eq!(tls.unread, 2);
        std::fs::copy(&other.cert, &files.cert).unwrap();
        tls.look().await;
        assert_eq!(tls.unread, 0);
    }

    #[tokio::test]
    async fn files_must_belong_together() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (write(folder.path(), "a"), write(folder.path(), "b"));
        let mixed = ServerTls { key: b.key.clone(), ..a.clone() };
        let swapped = ServerTls { cert: a.key.clone(), key: a.cert.clone(), clients: None };
        let clients = Some(ClientCertificates { ca: a.key.clone(), optional: true });
        let no_ca = ServerTls { clients, ..a.clone() };
        let missing = ServerTls { cert: folder.path().join("c.pem"), ..a.clone() };
        for bad in [mixed, swapped, no_ca, missing] {
            let error = Tls::load(bad).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidQuery);
            assert!(!error.chain().contains("PRIVATE"), "{}", error.chain());
        }
        let clients = Some(ClientCertificates { ca: b.cert, optional: false });
        assert!(Tls::load(ServerTls { clients, ..a }).await.is_ok());
    }
}
