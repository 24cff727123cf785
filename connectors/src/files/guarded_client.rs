//! The HTTP client for a URL that only the contract names. Each name is checked when it is resolved for a connection, so
//! that a name cannot lead elsewhere later, and each redirect is checked like the URL. A proxy in the environment
//! resolves names itself, and so replaces the check of addresses.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use object_store::client::{HttpClient, HttpConnector, SpawnService, SpawnedReqwestConnector};
use object_store::{ClientOptions, Error, Result};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use tokio::net::lookup_host;
use tokio::runtime::Handle;

use super::reach::UrlReach;

/// The time limit of one request, with its body. Bodies are read in pieces, so a large file takes several requests.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The number of redirects that a request follows.
const REDIRECTS: usize = 10;

/// A connector that sends requests on the current runtime. Plans run on the CPU runtime, and requests must not wait for
/// its work.
#[derive(Debug)]
pub(super) struct StoreConnector {
    /// The servers that may be reached, if the URL is the contract's. The config and the environment may name any.
    reach: Option<UrlReach>,
    runtime: Handle,
}

impl StoreConnector {
    /// Returns a connector to the servers of `reach`, or to any server.
    ///
    /// # Errors
    /// There is no runtime.
    pub(super) fn new(reach: Option<UrlReach>) -> Result<Self, String> {
        let runtime =
            Handle::try_current().map_err(|_| "a remote source can only be opened on a tokio runtime".to_owned())?;
        Ok(Self { reach, runtime })
    }
}

impl HttpConnector for StoreConnector {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        let Some(reach) = &self.reach else {
            return SpawnedReqwestConnector::new(self.runtime.clone()).connect(options);
        };
        let redirects = reach.clone();
        // As object_store builds its own client, except for the resolver and the redirects.
        let client = reqwest::Client::builder()
            .user_agent(concat!("portolan/", env!("CARGO_PKG_VERSION")))
            .default_headers(options.get_default_headers().cloned().unwrap_or_default())
            .timeout(REQUEST_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .http1_only()
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .https_only(!reach.allow_http)
            .dns_resolver(Arc::new(GuardedResolver(reach.clone())))
            .redirect(Policy::custom(move |attempt| {
                let refused = match attempt.previous().len() > REDIRECTS {
                    true => Err(format!("more than {REDIRECTS} redirects")),
                    false => redirects.check(attempt.url()),
                };
                match refused {
                    Ok(()) => attempt.follow(),
                    Err(why) => attempt.error(why),
                }
            }))
            .build()
            .map_err(|e| Error::Generic { store: "HTTP client", source: Box::new(e) })?;
        Ok(HttpClient::new(SpawnService::new(client, self.runtime.clone())))
    }
}

/// A resolver that leaves out the addresses that must not be reached.
struct GuardedResolver(UrlReach);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(addresses(self.0.clone(), name.as_str().to_owned()))
    }
}

async fn addresses(reach: UrlReach, name: String) -> Result<Addrs, Box<dyn StdError + Send + Sync>> {
    let found: Vec<_> = lookup_host((name.clone(), 0)).await?.collect();
    Ok(Box::new(reach.permitted(&name, &found)?.into_iter()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_not_connected_to() {
        let reach = |hosts: &[&str]| UrlReach {
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            allow_http: true,
            options: "sources.web.http".to_owned(),
            permitting: "hosts",
        };
        let refused = addresses(reach(&[]), "localhost".to_owned()).await.err().unwrap().to_string();
        assert!(refused.contains("`sources.web.http.hosts`"), "{refused}");
        assert!(addresses(reach(&["localhost"]), "localhost".to_owned()).await.unwrap().count() > 0);
    }
}
