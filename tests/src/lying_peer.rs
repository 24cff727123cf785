//! A node that lies. It stands in front of a real node, forwards the version handshake and the catalog exchange, and
//! changes the rows of fragments, or the catalog.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, PutResult, SchemaResult, Ticket,
};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use portolan_catalog::DomainName;
use portolan_connectors::CatalogAnswer;
use portolan_connectors::node::NodeKey;
use portolan_connectors::node::checksum::{CHECKSUM_BYTES, StreamChecksum};
use portolan_connectors::node::protocol::ACTION_CATALOG;
use portolan_connectors::node::signed_catalog::{CatalogContent, CatalogRequest, SignedCatalog};
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

type Answers<T> = BoxStream<'static, Result<T, Status>>;

/// The ways to change the rows of a fragment, or the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// No change.
    None,
    /// The stream ends without the summary that ends every fragment.
    NoSummary,
    /// The first batch is missing, but the summary counts it.
    FewerRows,
    /// The rows are those of another table.
    OtherColumns,
    /// The messages are not rows.
    Garbage,
    /// The call fails with [`EVIL_MESSAGE`].
    EvilMessage,
    /// The call gets no response.
    Silence,
    /// The call gets a response, but no messages.
    EndlessWait,
    /// The catalog has the first domain twice, and once without a name. The lying node signs it with its own key.
    RepeatedDomain,
}

/// A message that sets the title of a terminal, hides text, and looks like a line of a log.
pub const EVIL_MESSAGE: &str =
    "broken\n2026-01-01T00:00:00Z  WARN forged: by a peer\u{1b}]0;pwned\u{7}\u{202e}\u{200b}";

/// The lying node. It ends when this value is dropped.
#[derive(Debug)]
pub struct LyingPeer {
    url: String,
    lie: Arc<Mutex<Lie>>,
    _serving: JoinSet<()>,
}

impl LyingPeer {
    /// Starts the lying node in front of the node at `url`.
    pub async fn in_front_of(url: &str) -> Self {
        let address = url.replace("grpc://", "http://");
        let channel = Endpoint::from_shared(address).unwrap().connect().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("grpc://{}", listener.local_addr().unwrap());
        let lie = Arc::new(Mutex::new(Lie::None));
        let key = NodeKey::from_pem(NodeKey::generate().unwrap().as_bytes()).unwrap();
        let node = FlightServiceClient::new(channel);
        let service = Liar { node, url: url.clone(), key, lie: lie.clone() };
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let router = Server::builder().add_service(FlightServiceServer::new(service));
            router.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
        });
        Self { url, lie, _serving: serving }
    }

    /// Returns the URL of the lying node.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Lies in this way from now on.
    pub fn tell(&self, lie: Lie) {
        *self.lie.lock().unwrap() = lie;
    }
}

struct Liar {
    node: FlightServiceClient<Channel>,
    url: String,
    key: NodeKey,
    lie: Arc<Mutex<Lie>>,
}

impl Liar {
    async fn honest(&self, ticket: Ticket) -> Result<Vec<FlightData>, Status> {
        self.node.clone().do_get(ticket).await?.into_inner().try_collect().await
    }

    /// Returns the catalog of the node with its first domain twice more, once without a name.
    async fn repeated_domain(&self, request: Action) -> Result<arrow_flight::Result, Status> {
        let nonce = CatalogRequest::decode(request.body.clone()).unwrap().nonce;
        let mut answers = self.node.clone().do_action(request).await?.into_inner();
        let answer = answers.message().await?.expect("a catalog");
        let signed = SignedCatalog::decode(answer.body).unwrap();
        let mut content: CatalogContent = serde_json::from_slice(&signed.content).unwrap();
        content.audiences = vec![self.url.clone()];
        if let CatalogAnswer::Changed { domains, .. } = &mut content.answer {
            let mut nameless = domains[0].clone();
            nameless.domain = DomainName::new("");
            domains.extend([domains[0].clone(), nameless]);
        }
        let signed = SignedCatalog::sign(&self.key, &nonce, &content).unwrap();
        Ok(arrow_flight::Result { body: signed.encode_to_vec().into() })
    }
}

/// Returns the answer with these messages. A checksum finds damage and no lie: the lying node computes the checksums of
/// what it sends.
fn answer(mut messages: Vec<FlightData>) -> Answers<FlightData> {
    let mut checksum = StreamChecksum::default();
    for message in &mut messages {
        let metadata = message.app_metadata.get(CHECKSUM_BYTES..).unwrap_or_default();
        let body = [message.data_body.clone()];
        message.app_metadata = checksum.seal(&message.data_header, &body, metadata);
    }
    stream::iter(messages.into_iter().map(Ok)).boxed()
}

async fn other_columns() -> Vec<FlightData> {
    let columns: Vec<(String, ArrayRef)> =
        (0..7).map(|i| (format!("c{i}"), Arc::new(Int64Array::from(vec![i])) as ArrayRef)).collect();
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let rows = stream::iter([Ok(batch)]);
    FlightDataEncoderBuilder::new().build(rows).try_collect().await.unwrap()
}

#[tonic::async_trait]
impl FlightService for Liar {
    type HandshakeStream = Answers<HandshakeResponse>;
    type ListFlightsStream = Answers<FlightInfo>;
    type DoGetStream = Answers<FlightData>;
    type DoPutStream = Answers<PutResult>;
    type DoActionStream = Answers<arrow_flight::Result>;
    type ListActionsStream = Answers<ActionType>;
    type DoExchangeStream = Answers<FlightData>;

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let ticket = request.into_inner();
        let lie = *self.lie.lock().unwrap();
        let is_batch = |message: &FlightData| !message.data_body.is_empty();
        let spoiled = match lie {
            Lie::EvilMessage => return Err(Status::unavailable(EVIL_MESSAGE)),
            Lie::Silence => std::future::pending().await,
            Lie::EndlessWait => stream::pending().boxed(),
            Lie::OtherColumns => answer(other_columns().await),
            Lie::None | Lie::RepeatedDomain => answer(self.honest(ticket).await?),
            Lie::NoSummary => {
                let mut messages = self.honest(ticket).await?;
                assert!(messages.pop().unwrap().data_header.is_empty(), "a fragment ends with its summary");
                answer(messages)
            }
            Lie::FewerRows => {
                let mut messages = self.honest(ticket).await?;
                let first = messages.iter().position(is_batch).expect("a fragment with rows");
                messages.remove(first);
                answer(messages)
            }
            Lie::Garbage => {
                let mut messages = self.honest(ticket).await?;
                let first = messages.iter_mut().find(|m| is_batch(m)).expect("a fragment with rows");
                first.data_header = vec![0xff; 64].into();
                answer(messages)
            }
        };
        Ok(Response::new(spoiled))
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        let (request, lie) = (request.into_inner(), *self.lie.lock().unwrap());
        if lie == Lie::RepeatedDomain && request.r#type == ACTION_CATALOG {
            let answer = self.repeated_domain(request).await?;
            return Ok(Response::new(stream::iter([Ok(answer)]).boxed()));
        }
        let answers = self.node.clone().do_action(request).await?.into_inner();
        Ok(Response::new(answers.boxed()))
    }

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        Err(Status::unimplemented("no users here"))
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        Err(Status::unimplemented("only other nodes are answered"))
    }

    async fn get_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        Err(Status::unimplemented("only other nodes are answered"))
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        Err(Status::unimplemented("only other nodes are answered"))
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        Err(Status::unimplemented("only other nodes are answered"))
    }

    async fn do_put(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        Err(Status::unimplemented("only other nodes are answered"))
    }

    async fn list_actions(&self, _: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        Err(Status::unimplemented("only other nodes are answered"))
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(Status::unimplemented("only other nodes are answered"))
    }
}
