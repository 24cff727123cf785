//! [`NodeSite`]: another Portolan node as a site.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::Schema;
use async_trait::async_trait;
use bytes::Bytes;
use prost::Message;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::connection::{Connection, Until};
use super::options::NodeOptions;
use super::protocol::{decision_request, read_decisions};
use super::receive::{RowForm, fragment_stream};
use super::reported;
use super::signed_catalog::{CatalogRequest, SignedCatalog};
use crate::decisions::{DecisionRequest, PortDecision};
use crate::error::{Error, ErrorKind, Result};
use crate::fragment::{EncodedPlan, FragmentEstimate, FragmentHead, FragmentPlan, FragmentRequest, FragmentStream};
use crate::peer::{OwnerKey, Peer, PeerCatalog};
use crate::site::{Site, SiteId};

/// Another Portolan node. Its connection is opened on first use, and again after a failure. All network I/O runs on the
/// runtime that created the site, also if another runtime reads the streams.
pub struct NodeSite {
    id: SiteId,
    options: NodeOptions,
    connection: Arc<Connection>,
    io: Handle,
}

impl NodeSite {
    /// Returns the node at `url` (`grpc://host:port` or `grpc+tls://host:port`), without sending anything. Must be
    /// called on a tokio runtime with I/O and time, which must live as long as the site is used.
    ///
    /// # Errors
    /// `InvalidQuery` for a URL, a TLS file or a user's name that is not valid.
    pub fn new(url: &str, options: NodeOptions) -> Result<Self> {
        let id = SiteId::new(url);
        let io = Handle::try_current().map_err(|e| {
            Error::new(ErrorKind::Internal, format!("node {id}: connections need a tokio runtime")).with_source(e)
        })?;
        let connection = Arc::new(Connection::new(&id, &options)?);
        Ok(Self { id, options, connection, io })
    }

    /// Runs `what` on the I/O runtime. Dropping the future cancels `what`.
    async fn on_io<T: Send + 'static>(&self, what: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let mut task = JoinSet::new();
        task.spawn_on(what, &self.io);
        match task.join_next().await {
            // The peer rejected the credentials of the local node. With `Unauthenticated`, the client would log in
            // again.
            Some(Ok(Err(e))) if e.kind() == ErrorKind::Unauthenticated => {
                let what = format!("{}; the peer rejects the credentials in the local node's config", e.context());
                Err(Error::new(ErrorKind::SiteUnavailable, what).with_source(e))
            }
            Some(Ok(outcome)) => outcome,
            Some(Err(e)) => Err(self.error(ErrorKind::Internal, "the call ended abnormally").with_source(e)),
            None => Err(self.error(ErrorKind::Internal, "the call did not start")),
        }
    }

    fn error(&self, kind: ErrorKind, what: &str) -> Error {
        Error::new(kind, format!("node {}: {what}", self.id))
    }
}

impl fmt::Debug for NodeSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeSite").field("id", &self.id).finish_non_exhaustive()
    }
}

#[async_trait]
impl Site for NodeSite {
    fn id(&self) -> &SiteId {
        &self.id
    }

    fn relays(&self) -> bool {
        true
    }

    async fn execute(&self, request: FragmentRequest) -> Result<FragmentStream> {
        let (schema, deadline) = (request.schema.clone(), request.head.deadline);
        let form = if request.head.relayed.is_some() { RowForm::Messages } else { RowForm::Batches };
        let connection = self.connection.clone();
        let answer = self.on_io(async move { connection.do_get(&request, Until::deadline(deadline)).await }).await?;
        Ok(fragment_stream(self.id.clone(), schema, form, deadline, answer, &self.io))
    }

    async fn estimate(&self, request: FragmentRequest) -> Result<FragmentEstimate> {
        let connection = self.connection.clone();
        let info = self
            .on_io(async move {
                let until = Until::deadline(request.head.deadline).sooner(Until::small_answer());
                connection.flight_info(&request, until).await
            })
            .await?;
        // A negative number means unknown.
        let known = |figure: i64| u64::try_from(figure).ok();
        Ok(FragmentEstimate { rows: known(info.total_records), bytes: known(info.total_bytes) })
    }

    async fn decisions(&self, head: &FragmentHead, asked: &DecisionRequest) -> Result<Vec<PortDecision>> {
        let plan = FragmentPlan::Encoded(EncodedPlan { plan: decision_request(asked)?, keys: vec![] });
        let request = FragmentRequest { head: head.clone(), plan, schema: Arc::new(Schema::empty()) };
        let until = Until::deadline(head.deadline).sooner(Until::small_answer());
        let connection = self.connection.clone();
        let answer = self.on_io(async move { connection.decisions(&request, until).await }).await?;
        read_decisions(&answer).map_err(|e| e.within(format!("node {}", self.id)))
    }
}

#[async_trait]
impl Peer for NodeSite {
    async fn catalog(&self, known: Option<&str>) -> Result<PeerCatalog> {
        let nonce = Uuid::new_v4().to_string();
        let proof = self.connection.login_token()?;
        let request = CatalogRequest { known: known.map(str::to_owned), proof, nonce: nonce.clone() };
        let body = Bytes::from(request.encode_to_vec());
        let connection = self.connection.clone();
        let answer = self.on_io(async move { connection.catalog(body, Until::small_answer()).await }).await?;
        let signed = SignedCatalog::decode(answer)
            .map_err(|e| self.error(ErrorKind::SiteUnavailable, "its catalog is malformed").with_source(e))?;
        let (key, content) = signed.verify(&nonce).map_err(|e| e.within(format!("node {}", self.id)))?;
        let audience = content.check_audience(self.connection.audience());
        Ok(PeerCatalog {
            owner: audience.map(|()| OwnerKey::new(key.to_string())),
            instance: content.instance,
            answer: content.answer,
        })
    }

    fn takes_fragments(&self) -> Option<bool> {
        self.connection.takes_fragments()
    }

    fn reported_peer(&self, url: &str) -> Result<Arc<dyn Peer>> {
        let options = reported::options(url, self.id.as_str(), &self.options)?;
        // Another runtime may call this.
        let _io = self.io.enter();
        Ok(Arc::new(Self::new(url, options)?))
    }
}
