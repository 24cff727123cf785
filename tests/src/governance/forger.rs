//! A node of an attacker, which has the key of a node that the owner trusts. It records the fragments of its queries, and
//! sends them again, changed, or with plans that no planner wrote.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::Any;
use arrow_flight::{HandshakeRequest, Ticket};
use datafusion::catalog::TableProvider;
use datafusion::common::{Result as DataFusionResult, TableReference, not_impl_err};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Extension, LogicalPlan, ScalarUDF};
use datafusion_proto::bytes::logical_plan_to_bytes_with_extension_codec;
use datafusion_proto::logical_plan::LogicalExtensionCodec;
use futures::{StreamExt, TryStreamExt, stream};
use portolan_catalog::PortRef;
use portolan_connectors::node::protocol::{FRAGMENT_TYPE_URL, FragmentTicket};
use portolan_connectors::node::{NodeIdentity, NodeKey, NodeOptions, NodeSite};
use portolan_connectors::testing::FakePeer;
use portolan_connectors::{
    CatalogAnswer, EncodedPlan, FragmentEstimate, FragmentHead, FragmentItem, FragmentPlan, FragmentRequest, Peer, Site,
};
use portolan_engine::{Engine, Error, Principal};
use prost::Message;
use prost::bytes::Bytes;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::node::Node;
use crate::ways::lines;

/// The time limit of a fragment.
const LIMIT: Duration = Duration::from_secs(60);

/// The node of the attacker. It is in this process.
pub struct Forger {
    url: String,
    identity: Arc<NodeIdentity>,
    site: Arc<NodeSite>,
    peer: Arc<FakePeer>,
    engine: Engine,
    flight: FlightServiceClient<Channel>,
    session: AsciiMetadataValue,
}

impl Forger {
    /// Logs in to an owner as the node `name`, with the key in a file.
    pub async fn start(owner: &Node, name: &str, key: &Path) -> Self {
        let key = NodeKey::from_pem(&fs::read(key).unwrap()).unwrap();
        let identity = Arc::new(NodeIdentity::new(name, key).unwrap());
        let options = NodeOptions { identity: Some(identity.clone()), ..NodeOptions::default() };
        let site = Arc::new(NodeSite::new(owner.url(), options).unwrap());
        let peer = FakePeer::in_front_of(site.clone());
        let engine = Engine::builder().cpu_threads(1).peer(peer.clone()).build().unwrap();
        engine.refresh().await;
        let address = owner.url().replace("grpc://", "http://");
        let channel = Endpoint::from_shared(address).unwrap().connect().await.unwrap();
        let mut flight = FlightServiceClient::new(channel);
        let mut login = Request::new(stream::iter([HandshakeRequest::default()]));
        let token = format!("Bearer {}", identity.login(owner.url()).unwrap());
        login.metadata_mut().insert("authorization", token.parse().unwrap());
        let answer = flight.handshake(login).await.unwrap();
        let session = answer.metadata().get("authorization").unwrap().clone();
        Self { url: owner.url().to_owned(), identity, site, peer, engine, flight, session }
    }

    /// Runs statements as a principal, and returns the rows of the last one, sorted.
    ///
    /// # Errors
    /// That of a statement.
    pub async fn rows(&self, principal: &Principal, statements: &[&str]) -> Result<Vec<String>, Error> {
        let session = self.engine.session(principal.clone());
        let mut rows = vec![];
        for sql in statements {
            let batches = session.sql(sql).await?.try_collect::<Vec<_>>().await?;
            rows = lines(&batches);
        }
        rows.sort();
        Ok(rows)
    }

    /// Runs statements as a principal, and returns the last fragment that they sent.
    pub async fn fragment(&self, principal: &Principal, statements: &[&str]) -> FragmentRequest {
        self.rows(principal, statements).await.unwrap_or_else(|e| panic!("{statements:?}: {}", e.chain()));
        let mut fragment = self.peer.requests().pop().expect("a fragment");
        fragment.head.deadline = Instant::now() + LIMIT;
        fragment
    }

    /// Returns a fragment with a plan that no planner wrote, and with keys.
    pub fn handmade(
        &self,
        principal: &Principal,
        port: &PortRef,
        plan: &LogicalPlan,
        keys: &[Bytes],
    ) -> FragmentRequest {
        let head = FragmentHead::new("handmade", principal.clone(), Instant::now() + LIMIT).sent_on();
        let codec = HandCodec { port: port.clone() };
        let bytes = logical_plan_to_bytes_with_extension_codec(plan, &codec).unwrap();
        let nullable = |field: &Arc<Field>| field.as_ref().clone().with_nullable(true);
        let fields: Vec<Field> = plan.schema().as_arrow().fields().iter().map(nullable).collect();
        let plan = FragmentPlan::Encoded(EncodedPlan { plan: bytes, keys: keys.to_vec() });
        FragmentRequest { head, plan, schema: Arc::new(Schema::new(fields)) }
    }

    /// Runs a fragment, which the node signs as it is, and returns the rows, sorted.
    ///
    /// # Errors
    /// That of the owner.
    pub async fn run(&self, fragment: FragmentRequest) -> Result<Vec<String>, Error> {
        let mut items = self.site.execute(fragment).await?;
        let mut batches = vec![];
        while let Some(item) = items.next().await {
            if let FragmentItem::Batch { batch, .. } = item? {
                batches.push(batch);
            }
        }
        let mut rows = lines(&batches);
        rows.sort();
        Ok(rows)
    }

    /// Returns the owner's estimate of a fragment.
    ///
    /// # Errors
    /// That of the owner.
    pub async fn estimate(&self, fragment: FragmentRequest) -> Result<FragmentEstimate, Error> {
        self.site.estimate(fragment).await
    }

    /// Returns a fragment as the ticket that the node would send, signed for the owner.
    pub fn ticket(&self, fragment: &FragmentRequest) -> FragmentTicket {
        self.ticket_for(fragment, &self.url)
    }

    /// As [`Self::ticket`], signed for the node at another URL.
    pub fn ticket_for(&self, fragment: &FragmentRequest, url: &str) -> FragmentTicket {
        let token = self.identity.identity(url, fragment).unwrap();
        let bytes = FragmentTicket::bytes(fragment, Some(token)).unwrap();
        FragmentTicket::decode(Any::decode(bytes).unwrap().value).unwrap()
    }

    /// Sends a ticket with a checksum of what it has, and returns the number of messages.
    ///
    /// # Errors
    /// That of the owner.
    pub async fn send(&self, ticket: FragmentTicket) -> Result<usize, Status> {
        let value = ticket.sealed().encode_to_vec().into();
        let ticket = Any { type_url: FRAGMENT_TYPE_URL.to_owned(), value }.encode_to_vec();
        let mut request = Request::new(Ticket { ticket: ticket.into() });
        request.metadata_mut().insert("authorization", self.session.clone());
        let messages = self.flight.clone().do_get(request).await?.into_inner();
        messages.try_collect::<Vec<_>>().await.map(|messages| messages.len())
    }

    /// Returns the columns of a port, as the owner's catalog has them.
    pub async fn columns(&self, port: &PortRef) -> SchemaRef {
        let CatalogAnswer::Changed { domains, .. } = self.site.catalog(None).await.unwrap().answer else {
            panic!("a first answer has the catalogs")
        };
        let domain = domains.iter().find(|domain| domain.domain == port.domain);
        let found = domain.and_then(|domain| domain.port(&port.product, &port.port));
        found.and_then(portolan_catalog::Port::schema).expect("an open port")
    }
}

/// The encoding of plans for the owner, in which every table is one port. Functions with the name of a test for keys test
/// for the first keys beside the plan, and an operator of another kind is its name.
#[derive(Debug)]
struct HandCodec {
    port: PortRef,
}

impl LogicalExtensionCodec for HandCodec {
    fn try_decode(&self, _: &[u8], _: &[LogicalPlan], _: &TaskContext) -> DataFusionResult<Extension> {
        not_impl_err!("the attacker decodes nothing")
    }

    fn try_encode(&self, node: &Extension, buf: &mut Vec<u8>) -> DataFusionResult<()> {
        buf.extend(node.node.name().as_bytes());
        Ok(())
    }

    fn try_decode_table_provider(
        &self,
        _: &[u8],
        _: &TableReference,
        _: SchemaRef,
        _: &TaskContext,
    ) -> DataFusionResult<Arc<dyn TableProvider>> {
        not_impl_err!("the attacker decodes nothing")
    }

    fn try_encode_table_provider(
        &self,
        _: &TableReference,
        _: Arc<dyn TableProvider>,
        buf: &mut Vec<u8>,
    ) -> DataFusionResult<()> {
        serde_json::to_writer(buf, &self.port).map_err(|e| DataFusionError::External(e.into()))
    }

    fn try_encode_udf(&self, node: &ScalarUDF, buf: &mut Vec<u8>) -> DataFusionResult<()> {
        if node.name().starts_with("portolan_in_") {
            buf.extend(0_u32.to_le_bytes());
        }
        Ok(())
    }
}
