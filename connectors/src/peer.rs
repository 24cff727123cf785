//! Another node: a site that also publishes catalogs, and proves who publishes them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use portolan_catalog::{DomainCatalog, DomainName};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::site::{Site, SiteId};

/// Another Portolan node: a site that also publishes catalogs.
#[async_trait]
pub trait Peer: Site {
    /// Fetches the catalogs of the domains that the node owns. `known` is the version of the last answer: an unchanged
    /// catalog costs one small round trip.
    ///
    /// # Errors
    /// As [`Site::execute`].
    async fn catalog(&self, known: Option<&str>) -> Result<PeerCatalog>;

    /// Returns true if the node takes fragments from this one, as it said at the last connection; `None` if it did not
    /// say.
    fn takes_fragments(&self) -> Option<bool> {
        None
    }

    /// Returns the node at `url`, which this node has [reported](ReportedPeer), without sending anything. The local
    /// node uses its own identity there, and none of the credentials that it has for this node.
    ///
    /// # Errors
    /// `InvalidQuery` if the URL of this node's peer is not accepted; `Unsupported` if this node has no such peers.
    fn reported_peer(&self, url: &str) -> Result<Arc<dyn Peer>> {
        Err(Error::new(ErrorKind::Unsupported, format!("{} reports no node at {url}", self.id())))
    }
}

/// The public key of a node, as a string such as `ed25519:…`. A key has one encoding only, so two keys are equal if
/// their strings are. The key, and not the node, owns domains.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OwnerKey(Arc<str>);

impl OwnerKey {
    /// Wraps the text of a key.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(text.as_ref().into())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OwnerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The answer of a node to a request for its catalog, and its author.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerCatalog {
    /// The identity of the process that answered. Each process has another one.
    pub instance: String,
    /// The key that the node has proven to hold with this answer; otherwise the reason why it proves nothing, and what
    /// to do.
    pub owner: Result<OwnerKey, String>,
    /// The answer.
    pub answer: CatalogAnswer,
}

impl PeerCatalog {
    /// Returns the answer of a node without a key. The node's URL identifies it as an owner.
    pub fn without_key(site: &SiteId, answer: CatalogAnswer) -> Self {
        Self { instance: site.to_string(), owner: Ok(OwnerKey::new(site.as_str())), answer }
    }
}

/// The answer of a node to a request for its catalog.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum CatalogAnswer {
    /// Nothing has changed since the version in the request.
    Unchanged,
    /// The present state.
    Changed {
        /// The version, for the next request.
        version: String,
        /// The catalogs of the domains that the node owns.
        domains: Vec<DomainCatalog>,
        /// The domains of other nodes that the node reaches: it can fetch rows from their owners, which take its
        /// fragments.
        #[serde(default)]
        reaches: Vec<Reach>,
        /// The peers that the node reports to the requester. Older nodes report none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        peers: Vec<ReportedPeer>,
    },
}

/// A domain of another node that a node reaches, with the speed of the link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reach {
    /// The domain.
    pub domain: DomainName,
    /// The key of the domain's owner, as the node knows it.
    pub owner: OwnerKey,
    /// Milliseconds of a round trip.
    pub latency_ms: f64,
    /// Bytes a second.
    pub bandwidth: f64,
}

/// A peer of a node, as the node reports it to other nodes. The report contains no credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedPeer {
    /// The URL by which the node reaches the peer.
    pub url: String,
    /// The key that the peer has proven to the node.
    pub key: OwnerKey,
    /// The domains that the peer owns, as the node knows it. A node that learns the peer accepts only domains that are in
    /// a report.
    pub domains: BTreeSet<DomainName>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_answer_without_peers_is_the_one_of_a_node_that_does_not_know_them() {
        let old = r#"{"Changed":{"version":"1","domains":[],"reaches":[]}}"#;
        let answer: CatalogAnswer = serde_json::from_str(old).unwrap();
        assert_eq!(serde_json::to_string(&answer).unwrap(), old);
        // A node that does not know a field ignores it.
        let new =
            r#"{"Changed":{"version":"1","domains":[],"peers":[{"url":"u","key":"k","domains":[],"new":1}],"new":1}}"#;
        let CatalogAnswer::Changed { peers, .. } = serde_json::from_str(new).unwrap() else { unreachable!() };
        let domains = BTreeSet::new();
        assert_eq!(peers, [ReportedPeer { url: "u".to_owned(), key: OwnerKey::new("k"), domains }]);
    }
}
