//! The cryptography of TLS for the whole process.

/// Installs ring as the cryptography of TLS for this process, unless the program has installed another one. Drivers of
/// databases use that of the process. Every entry point calls it, and further calls change nothing.
pub fn install_crypto_provider() {
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    {
        // An error says that the process has a provider.
        let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    }
}

#[cfg(all(test, any(feature = "mysql", feature = "postgres")))]
mod tests {
    use tokio_rustls::rustls::crypto::CryptoProvider;

    #[test]
    fn the_process_has_a_provider() {
        super::install_crypto_provider();
        super::install_crypto_provider();
        assert!(CryptoProvider::get_default().is_some());
    }
}
