//! Another node: a site that also publishes catalogs.

use async_trait::async_trait;
use portolan_catalog::{DomainCatalog, DomainName};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::site::Site;

/// Another Portolan node: a site that also publishes catalogs.
#[async_trait]
pub trait Peer: Site {
    /// Fetches the catalogs of the domains that the node owns. `known` is the version of the last answer: an unchanged
    /// catalog costs one small round trip.
    ///
    /// # Errors
    /// As [`Site::execute`].
    async fn catalog(&self, known: Option<&str>) -> Result<CatalogAnswer>;

    /// Returns true if the node takes fragments from this one, as it said at the last connection; `None` if it did not
    /// say.
    fn takes_fragments(&self) -> Option<bool> {
        None
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
    },
}

/// A domain of another node that a node reaches, with the speed of the link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reach {
    /// The domain.
    pub domain: DomainName,
    /// Milliseconds of a round trip.
    pub latency_ms: f64,
    /// Bytes a second.
    pub bandwidth: f64,
}
