//! The likely cause of a connection that failed. The libraries for TCP, TLS and HTTP/2 report what they received, and
//! users need what to change.

use std::path::Path;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::error::{Error, ErrorKind, Result};

/// What the libraries for HTTP/2 and TCP report if a node closes a connection before it responded: which of them
/// depends on what was written and read before the end of the connection is seen.
const CLOSED: [&str; 4] = [
    "operation was canceled: transport error: connection closed",
    "connection error: stream closed because of a broken pipe",
    "connection error: Broken pipe",
    "connection error: Connection reset by peer",
];

/// Returns the likely cause of a failed connection to the node at `url`, and what to do. `said` is the libraries' error,
/// with its causes. `None` for a failure that this function does not know.
pub fn likely_cause(url: &str, said: &str) -> Option<String> {
    let has = |parts: &[&str]| parts.iter().any(|part| said.contains(part));
    let cause = if has(&["Connection refused", "connection refused"]) {
        "no process listens at this address: start the node, or correct the URL".to_owned()
    } else if has(&["failed to lookup address", "dns error"]) {
        "the host is unknown: correct the URL".to_owned()
    } else if has(&["InvalidContentType"]) {
        format!("the node does not use TLS: write `{}`", url.replacen("grpc+tls://", "grpc://", 1))
    } else if has(&["frame with invalid size"]) && !url.starts_with("grpc+tls://") {
        format!("the node uses TLS: {}", with_tls(url)?)
    } else if has(&CLOSED) && !url.starts_with("grpc+tls://") {
        // A node with TLS closes the connection, and its last bytes are not always read before that is seen.
        format!("the node closed the connection before it responded: if it uses TLS, {}", with_tls(url)?)
    } else if has(&CLOSED) {
        "the node closed the connection before it responded: try again, or look into its log".to_owned()
    } else if let Some((_, names)) = said.split_once("certificate is only valid for ") {
        format!("the node's certificate is for {}: write this name in the URL", plain(names))
    } else if has(&["certificate not valid for name", "NotValidForName"]) {
        "the node's certificate is for another host: write the name in the certificate in the URL".to_owned()
    } else if has(&["UnknownIssuer", "BadSignature"]) {
        "the certificate of the node is not from a trusted authority: give the certificate of its authority as `ca`"
            .to_owned()
    } else if has(&["certificate expired", "certificate not valid yet"]) {
        "the certificate of the node has expired, or is not valid yet: renew it, or set the clock".to_owned()
    } else if has(&["CertificateRequired"]) {
        "the node requires a client certificate".to_owned()
    } else {
        return None;
    };
    Some(format!("cannot connect: {cause}"))
}

/// Returns how to connect to the node at `url`, which has no TLS, with TLS.
fn with_tls(url: &str) -> Option<String> {
    let (_, address) = url.split_once("://")?;
    Some(format!("write `grpc+tls://{address}`, with the certificate of its authority (`ca`)"))
}

/// Returns the names in a certificate, as the TLS library lists them: `DnsName("a") or IpAddress(127.0.0.1)`.
fn plain(names: &str) -> String {
    let names = names.split(": ").next().unwrap_or(names);
    ["DnsName(\"", "\")", "IpAddress(", ")"].iter().fold(names.to_owned(), |names, part| names.replace(part, ""))
}

/// Reads the certificates of the authorities to trust.
///
/// # Errors
/// `InvalidQuery` if the file cannot be read, or has no certificate.
pub fn trusted_certificates(file: &Path) -> Result<Vec<u8>> {
    let wrong = |what: &str| Error::new(ErrorKind::InvalidQuery, format!("{} {what}", file.display()));
    let text = std::fs::read(file).map_err(|e| wrong("cannot be read").with_source(e))?;
    match CertificateDer::from_pem_slice(&text) {
        Ok(_) => Ok(text),
        Err(_) => Err(wrong(
            "has no certificate: expected the certificates of trusted authorities in PEM (`BEGIN CERTIFICATE`)",
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn failed_connections_have_a_likely_cause() {
        for (url, said, expected) in [
            (
                "grpc://a:1",
                "transport error: tcp connect error: Connection refused (os error 111)",
                "no process listens at this address: start the node, or correct the URL",
            ),
            (
                "grpc://a:1",
                "h2 protocol error: http2 error: transport error: connection error detected: frame with invalid size",
                "the node uses TLS: write `grpc+tls://a:1`, with the certificate of its authority (`ca`)",
            ),
            (
                "grpc://a:1",
                "operation was canceled: transport error: connection closed",
                "the node closed the connection before it responded: if it uses TLS, write `grpc+tls://a:1`, with the \
                 certificate of its authority (`ca`)",
            ),
            (
                "grpc://a:1",
                "transport error: connection error: stream closed because of a broken pipe",
                "the node closed the connection before it responded: if it uses TLS, write `grpc+tls://a:1`, with the \
                 certificate of its authority (`ca`)",
            ),
            (
                "grpc://a:1",
                "transport error: connection error: Connection reset by peer (os error 104)",
                "the node closed the connection before it responded: if it uses TLS, write `grpc+tls://a:1`, with the \
                 certificate of its authority (`ca`)",
            ),
            (
                "grpc+tls://a:1",
                "operation was canceled: transport error: connection closed",
                "the node closed the connection before it responded: try again, or look into its log",
            ),
            (
                "grpc+tls://a:1",
                "transport error: received corrupt message of type InvalidContentType",
                "the node does not use TLS: write `grpc://a:1`",
            ),
            (
                "grpc+tls://a:1",
                "transport error: invalid peer certificate: UnknownIssuer",
                "the certificate of the node is not from a trusted authority: give the certificate of its authority as `ca`",
            ),
            (
                "grpc+tls://localhost:1",
                "invalid peer certificate: certificate not valid for name \"localhost\"; certificate is only valid for \
                 DnsName(\"geo.example\") or IpAddress(127.0.0.1)",
                "the node's certificate is for geo.example or 127.0.0.1: write this name in the URL",
            ),
            (
                "grpc://nowhere.invalid:1",
                "dns error: failed to lookup address information: Name or service not known",
                "the host is unknown: correct the URL",
            ),
        ] {
            assert_eq!(likely_cause(url, said), Some(format!("cannot connect: {expected}")));
        }
        assert_eq!(likely_cause("grpc://a:1", "the stream was reset"), None);
        assert_eq!(likely_cause("grpc+tls://a:1", "frame with invalid size"), None);
        let in_mid_stream = "error reading a body from connection: stream closed because of a broken pipe";
        assert_eq!(likely_cause("grpc://a:1", in_mid_stream), None);
    }

    #[test]
    fn a_file_of_trusted_certificates_has_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let said = |text: &str| {
            std::fs::write(&file, text).unwrap();
            trusted_certificates(&file).unwrap_err().chain()
        };
        for text in ["", "not PEM", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
            assert!(said(text).contains("ca.pem has no certificate"), "{text}");
        }
        let made = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap();
        assert!(said(&made.signing_key.serialize_pem()).contains("has no certificate"));
        std::fs::write(&file, made.cert.pem()).unwrap();
        assert_eq!(trusted_certificates(&file).unwrap(), made.cert.pem().into_bytes());
        let error = trusted_certificates(&folder.path().join("gone.pem")).unwrap_err().chain();
        assert!(error.contains("gone.pem cannot be read"), "{error}");
    }
}
