//! The servers that the URL in a contract may reach. The config can name hosts. Without it, a URL reaches any public or
//! private server with TLS, but neither this machine nor the services of its link or cloud, such as the metadata
//! service, which hands out credentials.

use std::net::{IpAddr, SocketAddr};

use tokio::net::lookup_host;
use url::{Host, Url};

use crate::addresses::is_internal;

/// The servers that a URL may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UrlReach {
    /// The hosts that the config names: `host`, or `host:port`. If there are some, no other host is reached.
    pub(super) hosts: Vec<String>,
    /// True if the config permits requests without TLS.
    pub(super) allow_http: bool,
    /// The place of the options in the config, such as `sources.lake.s3`, for messages.
    pub(super) options: String,
    /// The option that would permit a host.
    pub(super) permitting: &'static str,
}

impl UrlReach {
    /// Checks a URL without a request.
    ///
    /// # Errors
    /// The reason why the URL is not requested, and the setting that would permit it.
    pub(super) fn check(&self, url: &Url) -> Result<(), String> {
        let options = &self.options;
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http => {}
            "http" => {
                return Err(format!(
                    "`http://` is not encrypted: use `https://`, or set `{options}.allow_http` in the node's config"
                ));
            }
            scheme => return Err(format!("expected `https://`, got `{scheme}://`")),
        }
        let Some(host) = url.host() else { return Err("expected a URL with a host, got none".to_owned()) };
        if !self.hosts.is_empty() {
            return match self.is_named(&host, url.port_or_known_default()) {
                true => Ok(()),
                false => {
                    Err(format!("the host `{host}` is not in `{options}.{}` of the node's config", self.permitting))
                }
            };
        }
        let address: IpAddr = match host {
            Host::Domain(_) => return Ok(()),
            Host::Ipv4(address) => address.into(),
            Host::Ipv6(address) => address.into(),
        };
        self.permitted(&address.to_string(), &[SocketAddr::new(address, 0)]).map(drop)
    }

    /// Resolves the host of a URL, and checks the addresses. A name that cannot be resolved passes: the request reports
    /// it.
    ///
    /// # Errors
    /// As [`UrlReach::check`].
    pub(super) async fn check_addresses(&self, url: &Url) -> Result<(), String> {
        let Some(Host::Domain(name)) = url.host() else { return Ok(()) };
        match lookup_host((name.to_owned(), 0)).await {
            Ok(found) => self.permitted(name, &found.collect::<Vec<_>>()).map(drop),
            Err(_) => Ok(()),
        }
    }

    /// Returns those of the addresses of `host` that may be reached.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn permitted(&self, host: &str, found: &[SocketAddr]) -> Result<Vec<SocketAddr>, String> {
        let is_permitted = |address: &SocketAddr| !self.hosts.is_empty() || !is_internal(address.ip());
        let permitted: Vec<SocketAddr> = found.iter().copied().filter(is_permitted).collect();
        match found.first() {
            Some(first) if permitted.is_empty() => Err(format!(
                "`{host}` is the address {} of the node's own machine, link or cloud: to permit it, set `{}.{}` in the \
                 node's config",
                first.ip(),
                self.options,
                self.permitting
            )),
            _ => Ok(permitted),
        }
    }

    fn is_named(&self, host: &Host<&str>, port: Option<u16>) -> bool {
        let (host, with_port) = (host.to_string(), port.map(|port| format!("{host}:{port}")));
        let is_it = |named: &String| {
            named.eq_ignore_ascii_case(&host) || with_port.as_ref().is_some_and(|with| named.eq_ignore_ascii_case(with))
        };
        self.hosts.iter().any(is_it)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn reach(hosts: &[&str], allow_http: bool) -> UrlReach {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        UrlReach { hosts, allow_http, options: "sources.web.http".to_owned(), permitting: "hosts" }
    }

    fn check(reach: &UrlReach, url: &str) -> Result<(), String> {
        reach.check(&Url::parse(url).unwrap())
    }

    #[test]
    fn http_without_tls_is_permitted_by_a_setting() {
        let refused = check(&reach(&[], false), "http://example.org/").unwrap_err();
        assert!(refused.contains("`sources.web.http.allow_http`"), "{refused}");
        check(&reach(&[], true), "http://example.org/").unwrap();
        check(&reach(&[], false), "https://example.org/").unwrap();
        assert!(check(&reach(&[], true), "ftp://example.org/").unwrap_err().contains("`ftp://`"));
    }

    #[test]
    fn addresses_of_this_machine_and_its_link_are_refused_however_they_are_written() {
        let public = reach(&[], false);
        for host in [
            "127.0.0.1",
            "127.9.9.9:8443",
            "2130706433",
            "0x7f.1",
            "0.0.0.0",
            "169.254.169.254",
            "168.63.129.16",
            "100.100.100.200",
            "255.255.255.255",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:169.254.169.254]",
            "[::127.0.0.1]",
            "[64:ff9b::a9fe:a9fe]",
            "[fe80::1]",
            "[febf::1]",
            "[fd00:ec2::254]",
        ] {
            let refused = check(&public, &format!("https://{host}/x")).expect_err(host);
            assert!(refused.contains("`sources.web.http.hosts`"), "{host}: {refused}");
        }
        for host in ["10.0.0.1", "192.168.1.1", "8.8.8.8", "[2001:db8::1]", "[fd00:1::1]", "[64:ff9b::808:808]"] {
            check(&public, &format!("https://{host}/x")).unwrap();
        }
    }

    #[tokio::test]
    async fn a_name_is_resolved() {
        let url = Url::parse("https://localhost/x").unwrap();
        let public = reach(&[], false);
        public.check(&url).unwrap();
        let refused = public.check_addresses(&url).await.unwrap_err();
        assert!(refused.contains("`localhost` is the address "), "{refused}");
        reach(&["localhost"], false).check_addresses(&url).await.unwrap();
        let mixed: Vec<SocketAddr> = vec!["127.0.0.1:0".parse().unwrap(), "8.8.8.8:0".parse().unwrap()];
        assert_eq!(public.permitted("both", &mixed).unwrap(), mixed[1..]);
    }

    #[test]
    fn named_hosts_are_the_only_ones() {
        let named = reach(&["Data.example.org", "127.0.0.1:8443", "[::1]"], false);
        for url in ["https://data.example.org:9/", "https://127.0.0.1:8443/", "https://[::1]:7/"] {
            check(&named, url).unwrap();
        }
        for url in ["https://example.org/", "https://127.0.0.1/", "https://data.example.org.evil.example/"] {
            assert!(check(&named, url).unwrap_err().contains("`sources.web.http.hosts`"), "{url}");
        }
        check(&reach(&["data.example.org:443"], false), "https://data.example.org/").unwrap();
    }
}
