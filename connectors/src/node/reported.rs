//! The nodes that another node reports as its peers: the URLs that the local node accepts, and what it uses there.

use tokio::net::lookup_host;
use tonic::transport::Uri;

use super::options::{NodeOptions, NodeTls, is_exposed, is_on_loopback};
use crate::addresses::is_internal;
use crate::error::{Error, ErrorKind, Result};

/// The size of the largest catalog of a reported node, in bytes. There can be hundreds of such nodes, which the local
/// node did not choose.
const MAX_CATALOG_BYTES: usize = 4 << 20;

/// Returns the options for the node at `url`, which the node at `reporter` has reported. `options` are those for the
/// reporter. Its authorities for TLS, and its permission to go without TLS, hold for the reported node too. The
/// credentials and the client certificate are only for the reporter.
///
/// # Errors
/// `InvalidQuery` for a URL that is not accepted.
pub(super) fn options(url: &str, reporter: &str, options: &NodeOptions) -> Result<NodeOptions> {
    if !is_node_url(url) {
        return Err(refused("expected `grpc://host:port` or `grpc+tls://host:port`"));
    }
    // Another machine could otherwise make the local node connect to services of the local machine.
    if is_on_loopback(url) && !is_on_loopback(reporter) {
        return Err(refused(
            "the URL is on loopback, and so means another machine where the node that reports it is: use a URL that \
             other machines reach in the config of that node",
        ));
    }
    if is_exposed(url) && !options.allow_plaintext {
        return Err(refused(
            "the URL is without TLS: use `grpc+tls://` in the config of the node that reports it, or set \
             `allow_plaintext: true` in the entry of that node in `peers` of the local node",
        ));
    }
    if url.starts_with("grpc+tls://") && options.tls.ca_file.is_none() {
        return Err(refused(
            "a `grpc+tls://` URL needs the trusted authorities: set `ca` in the entry of the node that reports it in \
             `peers` of the local node",
        ));
    }
    Ok(NodeOptions {
        tls: NodeTls { ca_file: options.tls.ca_file.clone(), ..NodeTls::default() },
        identity: options.identity.clone(),
        allow_plaintext: options.allow_plaintext,
        must_be_elsewhere: !is_on_loopback(url),
        max_catalog_bytes: Some(MAX_CATALOG_BYTES),
        ..NodeOptions::default()
    })
}

/// Resolves the host of a node's URL, and checks that no address is one of the local machine, its link or its cloud. A
/// name may resolve to another address afterwards: TLS then refuses the connection, unless the config permits none.
///
/// # Errors
/// The reason why the local node does not connect.
pub(super) async fn check_addresses(url: &str) -> Result<(), String> {
    let place = url.split_once("://").map_or(url, |(_, place)| place);
    let mut found = lookup_host(place).await.map_err(|e| format!("its host has no address: {e}"))?;
    match found.find(|address| is_internal(address.ip())) {
        Some(address) => Err(format!(
            "another node reports it, but {} is an address of the local machine, its link or its cloud: to permit it, \
             list the URL in `peers` of the local node",
            address.ip()
        )),
        None => Ok(()),
    }
}

/// True if a URL has a scheme of nodes, a host and a port, and nothing else, such as a user or a path.
fn is_node_url(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let Ok(uri) = format!("http://{rest}").parse::<Uri>() else { return false };
    let is_host_and_port = uri.authority().is_some_and(|authority| authority.as_str() == rest && !rest.contains('@'));
    let has_host = uri.host().is_some_and(|host| !host.is_empty());
    matches!(scheme, "grpc" | "grpc+tcp" | "grpc+tls") && is_host_and_port && has_host && uri.port_u16().is_some()
}

fn refused(context: &str) -> Error {
    Error::new(ErrorKind::InvalidQuery, context)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use super::*;
    use crate::node::{NodeCredentials, NodeIdentity, NodeKey};

    const LOCAL: &str = "grpc://127.0.0.1:1";
    const REMOTE: &str = "grpc+tls://reporter.example.org:1";

    fn of_reporter() -> NodeOptions {
        let key = NodeKey::from_pem(NodeKey::generate().unwrap().as_bytes()).unwrap();
        NodeOptions {
            credentials: Some(NodeCredentials { user: "me".to_owned(), password: "secret".to_owned() }),
            tls: NodeTls {
                ca_file: Some("ca.pem".into()),
                cert_file: Some("cert.pem".into()),
                key_file: Some("key.pem".into()),
                domain: Some("reporter".to_owned()),
            },
            identity: Some(Arc::new(NodeIdentity::new("gateway", key).unwrap())),
            audience: Some("reporter".to_owned()),
            ..NodeOptions::default()
        }
    }

    #[test]
    fn a_reported_node_gets_no_credentials_of_its_reporter() {
        let given = of_reporter();
        let NodeOptions { credentials, tls, identity, audience, allow_plaintext, must_be_elsewhere, max_catalog_bytes } =
            options("grpc+tls://a.example.org:1", REMOTE, &given).unwrap();
        assert_eq!(max_catalog_bytes, Some(4 << 20));
        assert!(credentials.is_none() && audience.is_none() && !allow_plaintext && must_be_elsewhere);
        let NodeTls { ca_file, cert_file, key_file, domain } = tls;
        assert_eq!((ca_file, cert_file, key_file, domain), (Some("ca.pem".into()), None, None, None));
        assert!(Arc::ptr_eq(&identity.unwrap(), given.identity.as_ref().unwrap()), "the identity of the local node");
    }

    #[test]
    fn a_url_without_tls_needs_the_permission_of_the_reporter() {
        let error = options("grpc://a.example.org:1", REMOTE, &of_reporter()).unwrap_err();
        let expected = "set `allow_plaintext: true` in the entry of that node in `peers` of the local node";
        assert!(error.context().contains(expected), "{}", error.context());
        let permitted = NodeOptions { allow_plaintext: true, ..of_reporter() };
        assert!(options("grpc://a.example.org:1", REMOTE, &permitted).unwrap().allow_plaintext);
    }

    #[test]
    fn a_url_with_tls_needs_the_authorities_of_the_reporter() {
        let without = NodeOptions { tls: NodeTls::default(), ..of_reporter() };
        let error = options("grpc+tls://a.example.org:1", REMOTE, &without).unwrap_err();
        assert!(error.context().contains("set `ca` in the entry of the node that reports it"), "{}", error.context());
    }

    #[test]
    fn only_a_reporter_on_loopback_may_report_loopback() {
        let must_be_elsewhere = |url| options(url, LOCAL, &of_reporter()).unwrap().must_be_elsewhere;
        assert!(!must_be_elsewhere("grpc://localhost:2"));
        assert!(!must_be_elsewhere("grpc+tcp://[::1]:2"));
        assert!(must_be_elsewhere("grpc+tls://169.254.169.254:2"));
        for url in ["grpc://127.0.0.1:2", "grpc+tls://localhost:2"] {
            let error = options(url, REMOTE, &of_reporter()).unwrap_err();
            assert!(error.context().contains("the URL is on loopback"), "{url}: {}", error.context());
        }
    }

    #[tokio::test]
    async fn addresses_of_the_local_machine_are_refused() {
        for url in
            ["grpc://127.0.0.1:1", "grpc+tls://169.254.169.254:1", "grpc+tls://[::1]:1", "grpc+tls://localhost:1"]
        {
            let reason = check_addresses(url).await.unwrap_err();
            assert!(reason.contains("list the URL in `peers`"), "{url}: {reason}");
        }
        check_addresses("grpc+tls://192.0.2.1:1").await.unwrap();
        check_addresses("grpc+tls://[2001:db8::1]:1").await.unwrap();
    }

    #[test]
    fn anything_but_a_host_and_a_port_is_refused() {
        for url in ["grpc://a.example.org:1", "grpc+tcp://127.0.0.1:1", "grpc+tls://[2001:db8::1]:1"] {
            assert!(is_node_url(url), "{url}");
        }
        for url in [
            "",
            "a:1",
            "http://a:1",
            "grpc://",
            "grpc://a",
            "grpc://:1",
            "grpc://a:1/",
            "grpc://a:1/x",
            "grpc://a:1?x",
            "grpc://user:password@a:1",
            "grpc://a b:1",
            "grpc://a\u{202e}b:1",
            "grpc://a:99999",
        ] {
            assert!(!is_node_url(url), "{url}");
            assert!(options(url, LOCAL, &of_reporter()).is_err(), "{url}");
        }
    }
}
