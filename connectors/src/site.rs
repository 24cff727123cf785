//! A site: a place where part of a plan can run, such as another node or a database.

use std::fmt::{self, Debug};
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::capabilities::Capabilities;
use crate::decisions::{DecisionRequest, PortDecision};
use crate::error::{Error, ErrorKind, Result};
use crate::fragment::{FragmentEstimate, FragmentHead, FragmentRequest, FragmentStream};

/// The identity of a site: the URL of a node or of a database, without credentials.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SiteId(Arc<str>);

impl SiteId {
    /// Wraps a URL.
    pub fn new(url: impl AsRef<str>) -> Self {
        Self(url.as_ref().into())
    }

    /// Returns the URL.
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
///
/// # Examples
/// ```
/// use arrow::array::RecordBatch;
/// use async_trait::async_trait;
/// use futures::{StreamExt, stream};
/// use portolan_connectors::{FragmentItem, FragmentRequest, FragmentStream, FragmentSummary, Result, Site, SiteId};
///
/// /// A site whose ports have no rows.
/// #[derive(Debug)]
/// struct Empty(SiteId);
///
/// #[async_trait]
/// impl Site for Empty {
///     fn id(&self) -> &SiteId {
///         &self.0
///     }
///
///     async fn execute(&self, request: FragmentRequest) -> Result<FragmentStream> {
///         let batch = RecordBatch::new_empty(request.schema);
///         // The last item says that the rows are complete.
///         let end = FragmentItem::Finished(FragmentSummary { rows: 0, ..FragmentSummary::default() });
///         Ok(stream::iter([Ok(FragmentItem::Batch { batch, wire_bytes: 0 }), Ok(end)]).boxed())
///     }
/// }
///
/// let site = Empty(SiteId::new("empty://here"));
/// assert!(site.capabilities().runs_everything());
/// ```
#[async_trait]
pub trait Site: Debug + Send + Sync {
    /// Returns its identity.
    fn id(&self) -> &SiteId;

    /// Returns what it can run. The default is a node: everything that travels.
    fn capabilities(&self) -> Capabilities {
        Capabilities::node()
    }

    /// True if the site returns [messages](crate::FragmentItem::Relayed) for rows that the engine relays to a client. The
    /// default is false: the engine then requests batches.
    fn relays(&self) -> bool {
        false
    }

    /// Runs a fragment. The columns of its rows have the names and types of the request's schema. The site stops the
    /// work if the stream is dropped.
    ///
    /// # Errors
    /// `SiteUnavailable` if the site cannot be reached or has another version; otherwise the error of the site. Every
    /// error names the site.
    async fn execute(&self, request: FragmentRequest) -> Result<FragmentStream>;

    /// Returns what the site expects of a fragment, without running it. By default nothing is known.
    ///
    /// # Errors
    /// As [`Site::execute`].
    async fn estimate(&self, _: FragmentRequest) -> Result<FragmentEstimate> {
        Ok(FragmentEstimate::default())
    }

    /// Returns the decisions of the site about its ports, for the principal of a query. A port without a decision is
    /// unknown to the site.
    ///
    /// # Errors
    /// `Unsupported` if the site does not decide, which is the default, or has an older version; otherwise as
    /// [`Site::execute`].
    async fn decisions(&self, _: &FragmentHead, _: &DecisionRequest) -> Result<Vec<PortDecision>> {
        Err(Error::new(ErrorKind::Unsupported, format!("{} has no policies to explain", self.id())))
    }
}
