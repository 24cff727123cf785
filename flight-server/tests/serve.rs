//! A server in this process, asked by Flight SQL clients and by other nodes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Int64Type, Schema};
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{Any, CommandGetTables, CommandStatementQuery, ProstMessageExt, TicketStatementQuery};
use arrow_flight::{Action, CancelFlightInfoRequest, FlightDescriptor, FlightInfo, Ticket};

use futures::TryStreamExt;
use portolan_catalog::{Port, PortRef, PortStatistics, ProductName};
use portolan_connectors::node::checksum::StreamChecksum;
use portolan_connectors::node::protocol::{
    ACTION_CATALOG, ACTION_PROGRESS, FRAGMENT_TYPE_URL, FragmentTicket, PROTOCOL_VERSION, ProgressRequest,
};
use portolan_connectors::node::signed_catalog::{CatalogRequest, MAX_NONCE_BYTES, SignedCatalog};
use portolan_connectors::node::status::ERROR_KIND_KEY;
use portolan_connectors::node::{NodeCredentials, NodeIdentity, NodeKey, NodeOptions, NodeSite, NodeTls};
use portolan_connectors::testing::{FakePeer, catalog, columns, local_domain};
use portolan_connectors::{
    CatalogAnswer, EncodedPlan, FragmentHead, FragmentPlan, FragmentRequest, FragmentSummary, LocalDomain, Peer,
    Principal, Site,
};
use portolan_engine::{Engine, ErrorKind, Progress};
use portolan_flight_server::{
    Allowed, AuthOptions, DelegationOptions, Server, ServerLimits, ServerOptions, ServerTls, TrustedNode, User,
    hash_password,
};
use prost::Message;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

#[path = "serve/between_nodes.rs"]
mod between_nodes;
#[path = "serve/metadata.rs"]
mod metadata;
#[path = "serve/relayed.rs"]
mod relayed;
#[path = "serve/results.rs"]
mod results;

const ROWS: i64 = 1000;

/// `sales.orders.orders (id, note)`, with as many rows as [`ROWS`].
fn sales() -> LocalDomain {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..ROWS));
    let notes: ArrayRef =
        Arc::new(StringViewArray::from_iter_values((0..ROWS).map(|i| format!("the note of order {i}"))));
    let batch = RecordBatch::try_from_iter([("id", ids), ("note", notes)]).unwrap();
    let mut port = Port::new(PortRef::new("sales", "orders", "orders")).with_columns(columns(&batch.schema()));
    port.primary_key = vec!["id".to_owned()];
    local_domain(catalog("sales", [port]), |_| vec![batch.clone()])
}

struct Node {
    url: String,
    http: String,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<portolan_engine::Result<()>>,
}

impl Node {
    async fn start(engine: Engine, options: ServerOptions) -> Self {
        let server = Server::bind(options).await.unwrap();
        let url = server.url();
        let http = format!("http://{}", server.local_addr());
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(server.serve(engine, async move {
            let _ = stopped.await;
        }));
        Self { url, http, stop: Some(stop), serving }
    }

    /// A node that owns `sales`, open to everybody on loopback.
    async fn sales() -> Self {
        Self::start(Engine::builder().local_domain(sales()).build().unwrap(), options()).await
    }

    async fn channel(&self) -> Channel {
        Endpoint::from_shared(self.http.clone()).unwrap().connect().await.unwrap()
    }

    async fn client(&self) -> FlightServiceClient<Channel> {
        FlightServiceClient::new(self.channel().await)
    }

    async fn sql_client(&self) -> FlightSqlServiceClient<Channel> {
        FlightSqlServiceClient::new(self.channel().await)
    }

    async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(20), &mut self.serving).await.unwrap().unwrap().unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn options() -> ServerOptions {
    ServerOptions::new("127.0.0.1:0")
}

/// Options with the users `ann`, an ordinary one, and `node`, another node.
fn with_users() -> ServerOptions {
    let user = |name: &str, node| {
        let password_hash = Some(hash_password("se:cret").unwrap());
        User { name: name.to_owned(), password_hash, node, ..User::default() }
    };
    let mut options = options();
    options.auth.users = vec![user("ann", false), user("bob", false), user("node", true)];
    options
}

fn query(sql: &str) -> FlightDescriptor {
    let command = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
    FlightDescriptor::new_cmd(command.as_any().encode_to_vec())
}

fn ticket(info: &FlightInfo) -> Ticket {
    info.endpoint[0].ticket.clone().unwrap()
}

async fn rows(client: &mut FlightSqlServiceClient<Channel>, info: FlightInfo) -> RecordBatch {
    let announced = info.clone().try_decode_schema().unwrap();
    let mut stream = client.do_get(ticket(&info)).await.unwrap();
    let batches: Vec<RecordBatch> = (&mut stream).try_collect().await.unwrap();
    let schema = stream.schema().unwrap().clone();
    assert_eq!(*schema, announced, "DoGet and GetFlightInfo disagree");
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

fn kind(status: &Status) -> String {
    status.metadata().get(ERROR_KIND_KEY).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default()
}

fn single(batch: &RecordBatch) -> i64 {
    batch.column(0).as_primitive::<Int64Type>().value(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_runs_and_clients_see_plain_types() {
    let node = Node::sales().await;
    let mut client = node.sql_client().await;
    let sql = "SELECT id, note FROM sales.orders.orders WHERE id >= 990 ORDER BY id";
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    let batch = rows(&mut client, info).await;
    assert_eq!(batch.num_rows(), 10);
    assert_eq!(batch.schema().field(1).data_type(), &DataType::Utf8);
    assert_eq!(batch.column(1).as_string::<i32>().value(9), "the note of order 999");

    let schema = node.client().await.get_schema(query(sql)).await.unwrap().into_inner();
    assert_eq!(Schema::try_from(&schema).unwrap(), *batch.schema());
    let none = client.execute("SELECT id FROM sales.orders.orders WHERE id < 0".to_owned(), None).await.unwrap();
    assert_eq!(rows(&mut client, none).await.num_rows(), 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prepared_statements_accept_question_marks() {
    let node = Node::sales().await;
    let mut client = node.sql_client().await;
    let sql = "SELECT count(*) FROM sales.orders.orders WHERE id >= ? AND id < ? -- why?";
    let mut prepared = client.prepare(sql.to_owned(), None).await.unwrap();
    assert_eq!(prepared.parameter_schema().unwrap().fields().len(), 2);
    assert!(prepared.parameter_schema().unwrap().fields().iter().all(|f| f.is_nullable()));
    for (low, high) in [(10, 20), (0, 500)] {
        let values: Vec<(&str, ArrayRef)> =
            vec![("$1", Arc::new(Int64Array::from(vec![low]))), ("$2", Arc::new(Int64Array::from(vec![high])))];
        prepared.set_parameters(RecordBatch::try_from_iter(values).unwrap()).unwrap();
        let info = prepared.execute().await.unwrap();
        assert_eq!(single(&rows(&mut client, info).await), high - low);
    }
    prepared.close().await.unwrap();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_need_a_session_and_persist_in_it() {
    let node = Node::sales().await;
    let mut client = node.sql_client().await;
    let set = "SET portolan.placement = 'off'".to_owned();
    // Drivers that log nobody in may begin with it: the session is kept for the cookie that comes with the answer.
    let ask = |sql: &str, cookie: Option<&str>| {
        let command = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
        let mut request = tonic::Request::new(FlightDescriptor::new_cmd(command.as_any().encode_to_vec()));
        if let Some(cookie) = cookie {
            request.metadata_mut().insert("cookie", cookie.parse().unwrap());
        }
        request
    };
    let mut plain = node.client().await;
    let answer = plain.get_flight_info(ask(&set, None)).await.unwrap();
    let cookie = answer.metadata().get("set-cookie").unwrap().to_str().unwrap().to_owned();
    let shown = async |cookie: Option<&str>| {
        let mut plain = node.client().await;
        let info = plain.get_flight_info(ask("SHOW portolan.placement", cookie)).await.unwrap().into_inner();
        let mut client = node.sql_client().await;
        arrow::util::pretty::pretty_format_batches(&[rows(&mut client, info).await]).unwrap().to_string()
    };
    assert!(shown(Some(&cookie)).await.contains("off"));
    assert!(shown(None).await.contains(" on "));

    let bearer = node
        .client()
        .await
        .handshake(futures::stream::empty())
        .await
        .unwrap()
        .metadata()
        .get("authorization")
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    client.set_token(bearer.strip_prefix("Bearer ").unwrap().to_owned());
    let info = client.execute(set, None).await.unwrap();
    assert_eq!(rows(&mut client, info).await.num_columns(), 0);
    let show = client.execute("SHOW portolan.placement".to_owned(), None).await;
    if let Ok(info) = show {
        let shown = rows(&mut client, info).await;
        let text = arrow::util::pretty::pretty_format_batches(&[shown]).unwrap().to_string();
        assert!(text.contains("off"), "{text}");
    }
    assert_eq!(client.execute_update("SET portolan.placement = 'on'".to_owned(), None).await.unwrap(), 0);
    let unknown = client.execute("SET portolan.placment = 'on'".to_owned(), None).await.unwrap_err().to_string();
    assert!(unknown.contains("portolan.placement"), "{unknown}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_catalog_can_be_browsed() {
    let node = Node::sales().await;
    let mut client = node.sql_client().await;
    let info = client.get_tables(CommandGetTables { include_schema: true, ..Default::default() }).await.unwrap();
    let tables = rows(&mut client, info).await;
    let text =
        arrow::util::pretty::pretty_format_batches(&[tables.project(&[0, 1, 2, 3]).unwrap()]).unwrap().to_string();
    for expected in [" sales ", " orders ", " TABLE ", " mesh ", " ports ", " VIEW "] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    let info = client.get_sql_info(vec![]).await.unwrap();
    assert!(rows(&mut client, info).await.num_rows() > 80);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_requests_are_answered_and_the_node_keeps_running() {
    let node = Node::sales().await;
    let mut client = node.client().await;
    let forged = TicketStatementQuery { statement_handle: "f".repeat(64).into() }.as_any().encode_to_vec();
    let fragment = FragmentTicket {
        protocol: PROTOCOL_VERSION,
        datafusion: datafusion::DATAFUSION_VERSION.to_owned(),
        query_id: "q".to_owned(),
        hops: 0,
        remaining_ms: 1000,
        plan: b"no plan"[..].into(),
        ..FragmentTicket::default()
    };
    let fragment = fragment.sealed();
    let older = FragmentTicket { datafusion: "1.0.0".to_owned(), ..fragment.clone() };
    let damaged = FragmentTicket { plan: b"no plaN"[..].into(), ..fragment.clone() };
    let wrap = |ticket: &FragmentTicket| {
        Any { type_url: FRAGMENT_TYPE_URL.to_owned(), value: ticket.encode_to_vec().into() }.encode_to_vec()
    };
    for (bytes, expected) in [
        (b"\xff\xff".to_vec(), Code::InvalidArgument),
        (forged, Code::NotFound),
        (wrap(&fragment), Code::InvalidArgument),
        (wrap(&older), Code::Unimplemented),
        (wrap(&damaged), Code::Unavailable),
    ] {
        let status = client.do_get(Ticket { ticket: bytes.into() }).await.unwrap_err();
        assert_eq!(status.code(), expected, "{}", status.message());
        assert!(!kind(&status).is_empty());
    }
    let large = Ticket { ticket: vec![0; 17 << 20].into() };
    let status = client.do_get(large).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let status = client.get_flight_info(query("SELECT * FROM sales.orders.order")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "{}", status.message());
    assert!(client.get_flight_info(query("SELECT 1")).await.is_ok());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_log_in_and_keep_their_statements_to_themselves() {
    let engine = Engine::builder().local_domain(sales()).build().unwrap();
    let node = Node::start(engine, with_users()).await;
    let mut nobody = node.client().await;
    assert_eq!(nobody.get_flight_info(query("SELECT 1")).await.unwrap_err().code(), Code::Unauthenticated);
    assert!(node.sql_client().await.handshake("ann", "wrong").await.is_err());

    let (mut ann, mut bob) = (node.sql_client().await, node.sql_client().await);
    ann.handshake("ann", "se:cret").await.unwrap();
    bob.handshake("bob", "se:cret").await.unwrap();
    let info = ann.execute("SELECT 1".to_owned(), None).await.unwrap();
    let refused = bob.do_get(ticket(&info)).await.unwrap_err().to_string();
    assert!(refused.contains("belongs to another principal"), "{refused}");
    assert_eq!(single(&rows(&mut ann, info).await), 1);

    let fragment = |user: &str| {
        let credentials = NodeCredentials { user: user.to_owned(), password: "se:cret".to_owned() };
        NodeSite::new(&node.url, NodeOptions { credentials: Some(credentials), ..Default::default() }).unwrap()
    };
    let request = || FragmentRequest {
        head: FragmentHead::new("q", Principal::new("ann"), Instant::now() + Duration::from_secs(10)),
        plan: FragmentPlan::Encoded(EncodedPlan { plan: b"no plan"[..].into(), keys: vec![] }),
        schema: Arc::new(Schema::empty()),
    };
    let denied = fragment("ann").execute(request()).await.err().unwrap();
    assert_eq!(denied.kind(), ErrorKind::PermissionDenied, "{}", denied.chain());
    assert!(denied.context().starts_with(&format!("node {}: ", node.url)), "{}", denied.context());
    let admitted = fragment("node").execute(request()).await.err().unwrap();
    assert_eq!(admitted.kind(), ErrorKind::InvalidQuery, "{}", admitted.chain());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_catalog_of_a_node_is_bounded() {
    let node = Node::sales().await;
    let site = |max_catalog_bytes| {
        NodeSite::new(&node.url, NodeOptions { max_catalog_bytes, ..NodeOptions::default() }).unwrap()
    };
    site(Some(1 << 20)).catalog(None).await.unwrap();
    let error = site(Some(256)).catalog(None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{}", error.chain());
    assert!(error.context().contains("at most 256 bytes"), "{}", error.context());
    assert!(error.context().contains("list the node in `peers`"), "{}", error.context());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_answers_from_its_peer() {
    let node = Node::sales().await;
    let peer = Arc::new(NodeSite::new(&node.url, NodeOptions::default()).unwrap());
    assert!(matches!(peer.catalog(None).await.unwrap().answer, CatalogAnswer::Changed { .. }));
    let engine = Engine::builder().peer(peer).build().unwrap();
    engine.refresh().await;
    let gateway = Node::start(engine, options()).await;
    let mut client = gateway.sql_client().await;
    let sql = "SELECT sum(id), count(*) FROM sales.orders.orders WHERE note LIKE '%9'";
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    let Ok(Some(handle)) = Any::decode(ticket(&info).ticket).unwrap().unpack::<TicketStatementQuery>() else {
        panic!("the ticket is no statement's")
    };
    let batch = rows(&mut client, info).await;
    assert_eq!(single(&batch), (0..ROWS).filter(|i| i % 10 == 9).sum::<i64>());
    let all = client.execute("SELECT id, note FROM sales.orders.orders".to_owned(), None).await.unwrap();
    assert_eq!(rows(&mut client, all).await.num_rows(), ROWS as usize);

    let body = ProgressRequest { handle: handle.statement_handle }.encode_to_vec();
    let action = Action { r#type: ACTION_PROGRESS.to_owned(), body: body.into() };
    let mut answers = gateway.client().await.do_action(action).await.unwrap().into_inner();
    let progress: Progress = serde_json::from_slice(&answers.message().await.unwrap().unwrap().body).unwrap();
    assert!(progress.finished);
    assert_eq!(progress.edges.len(), 1);
    assert_eq!(progress.edges[0].site, node.url);
    assert!(progress.edges[0].bytes > 0);

    // The owner goes: the query fails and says where.
    let url = node.url.clone();
    node.stop().await;
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    let error = match client.do_get(ticket(&info)).await {
        Ok(stream) => stream.try_collect::<Vec<_>>().await.unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    assert!(error.contains(&url), "{error}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_statement_can_be_cancelled() {
    let node = Node::sales().await;
    let mut client = node.client().await;
    let sql = "SELECT count(*) FROM sales.orders.orders a, sales.orders.orders b, sales.orders.orders c, \
               sales.orders.orders d WHERE a.id + b.id + c.id + d.id = 7";
    let info = client.get_flight_info(query(sql)).await.unwrap().into_inner();
    let mut running = client.clone();
    let fetched = ticket(&info);
    let fetching = tokio::spawn(async move {
        let mut stream = running.do_get(fetched).await?.into_inner();
        while stream.message().await?.is_some() {}
        Ok::<(), Status>(())
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let body = CancelFlightInfoRequest { info: Some(info) }.encode_to_vec();
    let action = Action { r#type: "CancelFlightInfo".to_owned(), body: body.into() };
    client.do_action(action).await.unwrap();
    let status = tokio::time::timeout(Duration::from_secs(10), fetching).await.unwrap().unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Cancelled, "{}", status.message());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_cancels_queries_after_the_grace_period() {
    let engine = Engine::builder().local_domain(sales()).build().unwrap();
    let limits = ServerLimits { grace: Duration::from_millis(200), ..ServerLimits::default() };
    let node = Node::start(engine, ServerOptions { limits, ..options() }).await;
    let mut client = node.client().await;
    let sql = "SELECT count(*) FROM sales.orders.orders a, sales.orders.orders b, sales.orders.orders c, \
               sales.orders.orders d WHERE a.id + b.id + c.id + d.id = 7";
    let info = client.get_flight_info(query(sql)).await.unwrap().into_inner();
    let mut stream = client.do_get(ticket(&info)).await.unwrap().into_inner();
    let reading = tokio::spawn(async move {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(status) => return Some(status),
            }
        }
    });
    drop(client);
    node.stop().await;
    let status = reading.await.unwrap().unwrap();
    assert_eq!(status.code(), Code::Unavailable, "{}", status.message());
    assert_eq!(status.message(), "this node is stopping");
}

#[tokio::test]
async fn an_error_names_an_address_that_is_in_use() {
    let first = Server::bind(options()).await.unwrap();
    let taken = first.local_addr().to_string();
    let error = Server::bind(ServerOptions::new(taken.clone())).await.unwrap_err();
    assert!(error.context().contains(&taken) && error.context().contains("another process"), "{}", error.context());
    let error = Server::bind(ServerOptions::new("0.0.0.0:0")).await.unwrap_err();
    assert!(error.context().contains("without TLS"), "{}", error.context());
    let plain = ServerOptions { allow_plaintext: true, ..ServerOptions::new("0.0.0.0:0") };
    let error = Server::bind(plain).await.unwrap_err();
    assert!(error.context().contains("nobody could log in"), "{}", error.context());
    assert!(Server::bind(ServerOptions::new("nonsense")).await.is_err());
    let auth = AuthOptions { anonymous: Some(true), ..AuthOptions::default() };
    let gateway = ServerOptions { allow_plaintext: true, auth, ..ServerOptions::new("0.0.0.0:0") };
    Server::bind(gateway.clone()).await.unwrap();
    let error = Server::bind(ServerOptions { owns_domain: true, ..gateway }).await.unwrap_err();
    assert!(error.context().contains("`node.audiences`"), "{}", error.context());
}

#[tokio::test]
async fn an_error_names_a_node_that_is_down() {
    let site = NodeSite::new("grpc://127.0.0.1:1", NodeOptions::default()).unwrap();
    let error = site.catalog(None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SiteUnavailable, "{}", error.chain());
    assert!(error.context().contains("grpc://127.0.0.1:1"), "{}", error.context());
    assert_eq!(NodeSite::new("http://a:1", NodeOptions::default()).unwrap_err().kind(), ErrorKind::InvalidQuery);
    let credentials = Some(NodeCredentials { user: "ann".to_owned(), password: "se:cret".to_owned() });
    let options = NodeOptions { credentials, ..NodeOptions::default() };
    let error = NodeSite::new("grpc://a:1", options.clone()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidQuery);
    assert!(error.context().contains("without TLS"), "{}", error.context());
    assert!(NodeSite::new("grpc://a:1", NodeOptions { allow_plaintext: true, ..options }).is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_connect_over_tls_to_the_peers_that_they_trust() {
    let own = rcgen::generate_simple_self_signed(vec!["sales.test".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["sales.test".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let tls = ServerTls { cert: folder.path().join("node.pem"), key: folder.path().join("node.key"), clients: None };
    std::fs::write(&tls.cert, own.cert.pem()).unwrap();
    std::fs::write(&tls.key, own.signing_key.serialize_pem()).unwrap();
    let engine = Engine::builder().local_domain(sales()).build().unwrap();
    let node = Node::start(engine, ServerOptions { tls: Some(tls.clone()), ..options() }).await;
    assert!(node.url.starts_with("grpc+tls://127.0.0.1:"), "{}", node.url);
    let trusting = |name: &str, pem: String| {
        let file = folder.path().join(name);
        std::fs::write(&file, pem).unwrap();
        let tls = NodeTls { ca_file: Some(file), domain: Some("sales.test".to_owned()), ..NodeTls::default() };
        NodeSite::new(&node.url, NodeOptions { tls, ..NodeOptions::default() }).unwrap()
    };
    trusting("own.pem", own.cert.pem()).catalog(None).await.unwrap();
    let error = trusting("other.pem", other.cert.pem()).catalog(None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SiteUnavailable, "{}", error.chain());
    assert!(NodeSite::new(&node.url, NodeOptions::default()).is_err());
    std::fs::write(&tls.key, "no key").unwrap();
    let broken = tls;
    assert!(Server::bind(ServerOptions { tls: Some(broken), ..options() }).await.is_err());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_names_a_node_that_hangs() {
    // It takes connections and never says a word.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("grpc://{}", silent.local_addr().unwrap());
    let site = NodeSite::new(&url, NodeOptions::default()).unwrap();
    let request = FragmentRequest {
        head: FragmentHead::new("q", Principal::new("ann"), Instant::now() + Duration::from_millis(300)),
        plan: FragmentPlan::Encoded(EncodedPlan { plan: b"no plan"[..].into(), keys: vec![] }),
        schema: Arc::new(Schema::empty()),
    };
    let error = site.execute(request).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{}", error.chain());
    assert!(error.context().contains(&url), "{}", error.context());
}
