//! The URLs of nodes.

use tonic::transport::Uri;

use crate::error::{Error, ErrorKind, Result};

/// Translates a node's URL (`grpc://`, `grpc+tcp://`, `grpc+tls://`) to one for HTTP/2. The flag is true for TLS.
///
/// # Errors
/// `InvalidQuery` for another scheme, a URL without a host or a port, or no URL at all.
pub fn endpoint_url(url: &str) -> Result<(String, bool)> {
    let invalid = || {
        let expected = "the URL of a node, such as `grpc://host:50051`, or `grpc+tls://host:50051` with TLS";
        Error::new(ErrorKind::InvalidQuery, format!("expected {expected}, got `{url}`"))
    };
    let (scheme, rest) = url.split_once("://").ok_or_else(invalid)?;
    let http = match scheme {
        "grpc" | "grpc+tcp" => (format!("http://{rest}"), false),
        "grpc+tls" => (format!("https://{rest}"), true),
        _ => return Err(invalid()),
    };
    match http.0.parse::<Uri>() {
        Ok(uri) if uri.host().is_some_and(|h| !h.is_empty()) && uri.port().is_some() => Ok(http),
        _ => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_url_of_a_node_has_a_scheme_a_host_and_a_port() {
        assert_eq!(endpoint_url("grpc://a:1").unwrap(), ("http://a:1".to_owned(), false));
        assert_eq!(endpoint_url("grpc+tcp://a:1").unwrap(), ("http://a:1".to_owned(), false));
        assert_eq!(endpoint_url("grpc+tls://a:1").unwrap(), ("https://a:1".to_owned(), true));
        for url in ["", "a:1", "http://a:1", "grpc://", "grpc://a", "grpc://:1", "grpc://a b:1"] {
            let error = endpoint_url(url).unwrap_err().to_string();
            assert!(
                error.contains("such as `grpc://host:50051`") && error.ends_with(&format!("got `{url}`")),
                "{error}"
            );
        }
    }
}
