//! Results in several parts, kept results that are polled for, renewed and fetched again, compression, and what is left
//! of a query whose client is gone.

use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{Action, CancelFlightInfoRequest, FlightDescriptor, FlightEndpoint, RenewFlightEndpointRequest};
use futures::{StreamExt, TryStreamExt};
use portolan_engine::{Engine, Principal};
use prost::Message;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::{Node, options, query, sales};

/// A client with a session of its own.
struct Connection {
    client: FlightServiceClient<Channel>,
    bearer: String,
}

impl Connection {
    async fn to(node: &Node) -> Self {
        let mut client = node.client().await;
        let response = client.handshake(futures::stream::empty()).await.unwrap();
        let bearer = response.metadata().get("authorization").unwrap().to_str().unwrap().to_owned();
        Self { client, bearer }
    }

    fn with<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.bearer.parse().unwrap());
        request
    }

    async fn set(&mut self, sql: &str) {
        self.client.get_flight_info(self.with(query(sql))).await.unwrap();
    }

    /// The rows of an endpoint, and the bytes that they took.
    async fn fetch(&self, endpoint: &FlightEndpoint) -> Result<(usize, usize), Status> {
        let mut client = self.client.clone();
        let messages = client.do_get(self.with(endpoint.ticket.clone().unwrap())).await?.into_inner();
        let messages: Vec<_> = messages.try_collect().await?;
        let bytes = messages.iter().map(|m| m.data_body.len()).sum();
        let decoded = futures::stream::iter(messages.into_iter().map(Ok::<_, FlightError>));
        let batches: Vec<RecordBatch> =
            FlightRecordBatchStream::new_from_flight_data(decoded).try_collect().await.unwrap();
        Ok((batches.iter().map(RecordBatch::num_rows).sum(), bytes))
    }

    async fn act(&mut self, kind: &str, body: Vec<u8>) -> bytes::Bytes {
        let action = Action { r#type: kind.to_owned(), body: body.into() };
        let mut answers = self.client.do_action(self.with(action)).await.unwrap().into_inner();
        answers.message().await.unwrap().map(|answer| answer.body).unwrap_or_default()
    }
}

const MANY: &str = "SELECT value, value * 2 AS twice FROM generate_series(1, 3000000)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_has_as_many_parts_as_requested() {
    let node = Node::sales().await;
    let mut connection = Connection::to(&node).await;
    let one = connection.client.get_flight_info(connection.with(query(MANY))).await.unwrap().into_inner();
    assert_eq!(one.endpoint.len(), 1);
    connection.set("SET portolan.endpoints = 4").await;
    let info = connection.client.get_flight_info(connection.with(query(MANY))).await.unwrap().into_inner();
    assert_eq!(info.endpoint.len(), 4);
    assert!(info.endpoint.iter().all(|e| e.expiration_time.is_some() && e.location.is_empty()));
    let parts = futures::future::join_all(info.endpoint.iter().map(|e| connection.fetch(e))).await;
    let parts: Vec<usize> = parts.into_iter().map(|part| part.unwrap().0).collect();
    assert!(parts.iter().all(|rows| *rows > 0), "{parts:?}");
    assert_eq!(parts.iter().sum::<usize>(), 3_000_000);
    // Again, as after a fetch that broke off.
    assert_eq!(connection.fetch(&info.endpoint[2]).await.unwrap().0, parts[2]);
    let request = RenewFlightEndpointRequest { endpoint: Some(info.endpoint[2].clone()) };
    let renewed = connection.act("RenewFlightEndpoint", request.encode_to_vec()).await;
    let renewed = FlightEndpoint::decode(renewed).unwrap();
    let seconds = |e: &FlightEndpoint| e.expiration_time.as_ref().map(|t| (t.seconds, t.nanos));
    assert!(seconds(&renewed) > seconds(&info.endpoint[2]), "{renewed:?}");
    assert_eq!(renewed.ticket, info.endpoint[2].ticket);
    // What is in order stays together.
    let ordered = query(&format!("{MANY} ORDER BY value DESC LIMIT 10"));
    let info = connection.client.get_flight_info(connection.with(ordered)).await.unwrap().into_inner();
    assert_eq!(info.endpoint.len(), 1);
    let stranger = node.client().await.do_get(one.endpoint[0].ticket.clone().unwrap()).await;
    assert!(stranger.is_ok(), "the same principal, in another session");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_polled_query_reports_its_progress() {
    let node = Node::sales().await;
    let mut connection = Connection::to(&node).await;
    let (mut descriptor, mut polls, mut seen) = (query(MANY), 0, 0);
    let info = loop {
        let poll = connection.client.poll_flight_info(connection.with(descriptor)).await.unwrap().into_inner();
        let info = poll.info.unwrap();
        assert!(info.ordered && info.endpoint.len() >= seen);
        assert!((0.0..=1.0).contains(&poll.progress.unwrap()));
        (seen, polls) = (info.endpoint.len(), polls + 1);
        match poll.flight_descriptor {
            Some(next) => descriptor = next,
            None => break info,
        }
    };
    assert!(polls > 1 && info.total_records == 3_000_000, "{polls} polls, {} rows", info.total_records);
    let mut rows = 0;
    for endpoint in &info.endpoint {
        rows += connection.fetch(endpoint).await.unwrap().0;
    }
    assert_eq!(rows, 3_000_000);
    let cancel = CancelFlightInfoRequest::new(info.clone()).encode_to_vec();
    connection.act("CancelFlightInfo", cancel).await;
    assert_eq!(connection.fetch(&info.endpoint[0]).await.unwrap_err().code(), Code::Cancelled);
    // One that fails says so when it is asked for.
    let mut descriptor = query("SELECT 1 / (1000000 - value) FROM generate_series(1, 3000000)");
    let failed = loop {
        match connection.client.poll_flight_info(connection.with(descriptor)).await {
            Ok(poll) => descriptor = poll.into_inner().flight_descriptor.expect("it fails"),
            Err(status) => break status,
        }
    };
    assert_eq!(failed.code(), Code::InvalidArgument, "{failed}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_compressed_if_the_session_requests_it() {
    let node = Node::sales().await;
    let mut connection = Connection::to(&node).await;
    let mut bytes = vec![];
    for codec in ["none", "lz4", "zstd"] {
        connection.set(&format!("SET portolan.compression = {codec}")).await;
        let sql = query("SELECT value, 'the same text' AS text FROM generate_series(1, 100000)");
        let info = connection.client.get_flight_info(connection.with(sql)).await.unwrap().into_inner();
        let (rows, taken) = connection.fetch(&info.endpoint[0]).await.unwrap();
        assert_eq!(rows, 100_000);
        bytes.push(taken);
    }
    assert!(bytes[1] * 2 < bytes[0] && bytes[2] < bytes[1], "{bytes:?}");
    node.stop().await;
}

/// A connection that is cut off says nothing: what it had asked for ends all the same, within a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_disconnects_leaves_nothing_running() {
    let engine = Engine::builder().local_domain(sales()).build().unwrap();
    let node = Node::start(engine.clone(), options()).await;
    let mut connection = Connection::to(&node).await;
    let long = "SELECT a.value FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";
    let info = connection.client.get_flight_info(connection.with(query(long))).await.unwrap().into_inner();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let mut rows = connection.client.do_get(connection.with(ticket)).await.unwrap().into_inner();
    assert!(rows.next().await.unwrap().is_ok());
    let session = engine.session(Principal::new("root").with_admin(true));
    let running = async || {
        let sql = "SELECT count(*) FROM mesh.queries WHERE statement LIKE '%1000000) b'";
        let batches: Vec<RecordBatch> = session.sql(sql).await.unwrap().try_collect().await.unwrap();
        super::single(&batches[0])
    };
    assert_eq!(running().await, 1);
    drop((rows, connection));
    let gone = Instant::now();
    while running().await > 0 {
        assert!(gone.elapsed() < Duration::from_secs(20), "the query runs on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("it ended after {:?}", gone.elapsed());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_handles_of_parts_are_refused() {
    let node = Node::sales().await;
    let mut connection = Connection::to(&node).await;
    let info = connection.client.get_flight_info(connection.with(query(MANY))).await.unwrap().into_inner();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    for tail in ["/0/1", "/9", "/1/1", "/-1", "/x", "//", "/1/2/3"] {
        use arrow_flight::sql::{Any, ProstMessageExt, TicketStatementQuery};
        let mut query: TicketStatementQuery = Any::decode(ticket.ticket.as_ref()).unwrap().unpack().unwrap().unwrap();
        query.statement_handle = [query.statement_handle.as_ref(), tail.as_bytes()].concat().into();
        let bad = FlightDescriptor::new_cmd(query.as_any().encode_to_vec());
        let endpoint = FlightEndpoint::new().with_ticket(arrow_flight::Ticket { ticket: bad.cmd.clone() });
        let status = connection.fetch(&endpoint).await.unwrap_err();
        assert!(matches!(status.code(), Code::InvalidArgument | Code::NotFound), "{tail}: {status}");
        assert!(connection.client.poll_flight_info(connection.with(bad)).await.is_err(), "{tail}");
    }
    node.stop().await;
}

/// The codec takes a client's cancel for the end of what it sends: half of an upload must not pass for the whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aborted_upload_leaves_nothing() {
    use arrow_flight::encode::FlightDataEncoderBuilder;
    use arrow_flight::sql::{
        CommandStatementIngest, ProstMessageExt, TableDefinitionOptions, TableExistsOption, TableNotExistOption,
    };
    let node = Node::sales().await;
    let mut connection = Connection::to(&node).await;
    let ids = arrow::array::Int64Array::from_iter_values(0..1000);
    let batch = RecordBatch::try_from_iter([("id", std::sync::Arc::new(ids) as arrow::array::ArrayRef)]).unwrap();
    let command = CommandStatementIngest {
        table: "half".to_owned(),
        table_definition_options: Some(TableDefinitionOptions {
            if_not_exist: TableNotExistOption::Create as i32,
            if_exists: TableExistsOption::Append as i32,
        }),
        ..Default::default()
    };
    let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    let messages = async || -> Vec<_> {
        let rows = futures::stream::iter([Ok(batch.clone())]);
        let encoder = FlightDataEncoderBuilder::new().with_flight_descriptor(Some(descriptor.clone()));
        encoder.build(rows).try_collect().await.unwrap()
    };
    for delay in 0..40 {
        let upload = futures::stream::iter(messages().await).chain(futures::stream::pending());
        let mut client = connection.client.clone();
        let request = connection.with(upload);
        let put = tokio::spawn(async move { client.do_put(request).await.map(|_| ()) });
        tokio::time::sleep(Duration::from_millis(delay % 8)).await;
        put.abort();
        let _ = put.await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let status = connection.client.get_flight_info(connection.with(query("SELECT * FROM half"))).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "{status}");
    let whole = futures::stream::iter(messages().await);
    connection.client.do_put(connection.with(whole)).await.unwrap();
    let info = connection.client.get_flight_info(connection.with(query("SELECT * FROM half"))).await.unwrap();
    assert_eq!(connection.fetch(&info.into_inner().endpoint[0]).await.unwrap().0, 1000);
    node.stop().await;
}
