//! What the engine asks of a place where part of a plan can run, and of a node that it exchanges catalogs with.

use std::fmt::{self, Debug};
use std::sync::Arc;

use async_trait::async_trait;
use portolan_catalog::{DomainCatalog, DomainName};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::fragment::{FragmentEstimate, FragmentRequest, FragmentStream};

/// The identity of a site: the URL of a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SiteId(Arc<str>);

impl SiteId {
    /// Wraps a URL.
    pub fn new(url: impl AsRef<str>) -> Self {
        Self(url.as_ref().into())
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place where part of a plan can run.
#[async_trait]
pub trait Site: Debug + Send + Sync {
    /// Who it is.
    fn id(&self) -> &SiteId;

    /// Runs a fragment. Dropping the stream stops the work there.
    ///
    /// # Errors
    /// `SiteUnavailable` where it cannot be reached or speaks another version; whatever the site answers otherwise.
    /// Every error names the site.
    async fn execute(&self, request: FragmentRequest) -> Result<FragmentStream>;

    /// What the site expects of a fragment; nothing is run. A site that does not tell expects nothing.
    ///
    /// # Errors
    /// As [`Site::execute`].
    async fn estimate(&self, _: FragmentRequest) -> Result<FragmentEstimate> {
        Ok(FragmentEstimate::default())
    }
}

/// Another Portolan node: a site that also tells what it publishes.
#[async_trait]
pub trait Peer: Site {
    /// Asks for the catalogs of the domains that the node itself owns. `known` is the version that the last answer
    /// carried: an unchanged catalog costs one small round trip.
    ///
    /// # Errors
    /// As [`Site::execute`].
    async fn catalog(&self, known: Option<&str>) -> Result<CatalogAnswer>;

    /// Whether the node takes fragments from here, as it said when it was last connected to; `None` where it did not
    /// say.
    fn takes_fragments(&self) -> Option<bool> {
        None
    }
}

/// What a node answers when asked for its catalog.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum CatalogAnswer {
    /// Nothing changed since the version asked about.
    Unchanged,
    /// What it publishes now.
    Changed {
        /// The version, to ask with next time.
        version: String,
        /// The catalogs of the domains that it owns.
        domains: Vec<DomainCatalog>,
        /// The domains of other nodes that it reaches: what it can pull from their owners, who take its fragments.
        #[serde(default)]
        reaches: Vec<Reach>,
    },
}

/// A domain of another node that a node reaches, and how fast the link there is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reach {
    /// The domain.
    pub domain: DomainName,
    /// Milliseconds of a round trip.
    pub latency_ms: f64,
    /// Bytes a second.
    pub bandwidth: f64,
}
