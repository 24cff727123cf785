//! Arrow's own cross-language integration client, in Go, against our dispatch layer with the responses that its
//! scenarios expect.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod basic;
mod expiring;
mod ingestion;
mod plain;
mod session;
mod sql;
mod sql_schemas;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, Ticket};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use portolan_flight_server::dispatch::{self, FlightServer, Handler, Head, Message, Messages};
use portolan_flight_server::{Error, ErrorKind, Result};
use portolan_tests::go::programs;
use portolan_tests::mesh::within;
use portolan_tests::node::output;
use prost::bytes::Bytes;
use tokio::sync::oneshot;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

/// The largest size of a message, in bytes.
const MESSAGE_BYTES: usize = 16 << 20;

/// Any caller, and the header of the responses to it.
struct Anyone {
    header: Option<(&'static str, AsciiMetadataValue)>,
}

impl dispatch::CallContext for Anyone {
    fn name(&self) -> &str {
        "anyone"
    }

    fn mark(&self, headers: &mut MetadataMap) {
        if let Some((name, value)) = &self.header {
            headers.insert(*name, value.clone());
        }
    }
}

/// Runs a scenario against a handler. The client tries three times, and the first try must succeed.
async fn passes<H: Handler>(scenario: &'static str, handler: H) {
    within(1500, async {
        let Some(programs) = tokio::task::spawn_blocking(programs).await.unwrap() else { return };
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = incoming.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = incoming.inspect({
            let connections = connections.clone();
            move |_| _ = connections.fetch_add(1, Ordering::Relaxed)
        });
        let service = FlightServer::new(Arc::new(handler), MESSAGE_BYTES);
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = Server::builder().add_service(service).serve_with_incoming_shutdown(counted, async {
            _ = stopped.await;
        });
        let server = tokio::spawn(serving);
        let said = tokio::task::spawn_blocking(move || run(programs, scenario, port)).await.unwrap();
        _ = stop.send(());
        server.await.unwrap().unwrap();
        assert_eq!(said, Ok(()), "{scenario}");
        assert_eq!(connections.load(Ordering::Relaxed), 1, "{scenario}: the client had to try again");
    })
    .await;
}

fn run(programs: &Path, scenario: &str, port: u16) -> Result<(), String> {
    let mut client = Command::new(programs.join("arrow-flight-integration-client"));
    client.args(["-host", "127.0.0.1", "-port", &port.to_string(), "-scenario", scenario]).stdin(Stdio::null());
    let (code, out, err) = output(client);
    if code == Some(0) { Ok(()) } else { Err(format!("{out}{err}")) }
}

fn unexpected(what: impl std::fmt::Debug) -> Error {
    Error::new(ErrorKind::InvalidQuery, format!("the scenario does not request {what:?}"))
}

/// Returns an error unless the request is exactly the one of the scenario.
fn demand<T: PartialEq + std::fmt::Debug>(got: &T, wanted: &T) -> Result<()> {
    if got == wanted { Ok(()) } else { Err(unexpected(got)) }
}

fn anyone(_: &Head) -> Anyone {
    Anyone { header: None }
}

/// Returns a schema with one column that has no NULLs.
fn number(data_type: DataType) -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("number", data_type, false)]))
}

fn endpoint(ticket: impl Into<Bytes>) -> FlightEndpoint {
    FlightEndpoint::new().with_ticket(Ticket::new(ticket))
}

fn expire(endpoint: &mut FlightEndpoint, at: SystemTime) {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let time = endpoint.expiration_time.get_or_insert_default();
    time.seconds = i64::try_from(since.as_secs()).unwrap();
    time.nanos = i32::try_from(since.subsec_nanos()).unwrap();
}

fn info(schema: &Schema, descriptor: FlightDescriptor, endpoints: Vec<FlightEndpoint>) -> FlightInfo {
    let info = FlightInfo::new().try_with_schema(schema).unwrap().with_descriptor(descriptor);
    info.with_endpoints(endpoints).with_total_records(-1).with_total_bytes(-1)
}

/// Returns a result: the schema, and the batches if there are any.
fn messages(schema: SchemaRef, batches: Vec<RecordBatch>) -> Messages {
    let rows = stream::iter(batches.into_iter().map(Ok));
    let encoded = FlightDataEncoderBuilder::new().with_schema(schema).build(rows);
    let broken = |e| Error::new(ErrorKind::Internal, "the canned answer cannot be encoded").with_source(e);
    encoded.map_ok(Message::from).map_err(broken).boxed()
}

/// The rest of a handshake, which is not read.
type Handshake = BoxStream<'static, Result<arrow_flight::HandshakeRequest, tonic::Status>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_in_a_handshake_message() {
    passes("auth:basic_proto", basic::Basic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_and_metadata_round_trip() {
    for scenario in
        ["middleware", "ordered", "location:reuse_connection", "poll_flight_info", "app_metadata_flight_info_endpoint"]
    {
        passes(scenario, plain::Plain).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_expire_and_can_be_renewed() {
    for scenario in [
        "expiration_time:list_actions",
        "expiration_time:do_get",
        "expiration_time:cancel_flight_info",
        "expiration_time:renew_flight_endpoint",
    ] {
        passes(scenario, expiring::Expiring::default()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_have_options() {
    passes("session_options", session::Sessions::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flight_sql_commands_work() {
    for scenario in ["flight_sql", "flight_sql:extension"] {
        passes(scenario, sql::Sql::default()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_ingested() {
    passes("flight_sql:ingestion", ingestion::Ingestion).await;
}
