//! A Flight service without SQL. It fetches the rows of one query from a node once, keeps the batches unchanged, and
//! sends them for any ticket, encoded by `arrow-flight`. It runs in its own process.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, PutResult, SchemaResult, Ticket,
};
use clap::Args;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use portolan_cli::output::print;
use portolan_cli::serve::stop_with_stdin;
use portolan_node::client::{Client, ConnectOptions};
use portolan_node::{Error, Result};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// Arguments of the hidden subcommand.
#[derive(Args)]
pub struct BareArgs {
    /// The URL of the node that has the rows
    #[arg(long)]
    url: String,
    /// The query that returns the rows
    #[arg(long)]
    sql: String,
}

/// Runs the service until standard input ends.
///
/// # Errors
/// Rows that cannot be fetched, or a listener that fails.
pub async fn serve(args: &BareArgs) -> Result<()> {
    let client = Client::connect(&args.url, &ConnectOptions::default()).await?;
    let (schema, batches) = client.query(&args.sql).await?;
    let failed = |what: &str| Error::failed(format!("the bare Flight service {what}"));
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let incoming = TcpIncoming::bind(address).map_err(|e| failed("cannot listen").with_source(e))?;
    let address = incoming.local_addr().map_err(|e| failed("has no address").with_source(e))?;
    print(&format!("{}\n", json!({ "address": address.to_string() })))?;
    let stop = CancellationToken::new();
    stop_with_stdin(stop.clone());
    Server::builder()
        .add_service(FlightServiceServer::new(Rows { schema, batches }).max_encoding_message_size(usize::MAX))
        .serve_with_incoming_shutdown(incoming.with_nodelay(Some(true)), stop.cancelled_owned())
        .await
        .map_err(|e| failed("failed").with_source(e))
}

struct Rows {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

type Answers<T> = BoxStream<'static, Result<T, Status>>;

fn unknown<T>() -> Result<T, Status> {
    Err(Status::unimplemented("this service only sends rows"))
}

#[tonic::async_trait]
impl FlightService for Rows {
    type HandshakeStream = Answers<HandshakeResponse>;
    type ListFlightsStream = Answers<FlightInfo>;
    type DoGetStream = Answers<FlightData>;
    type DoPutStream = Answers<PutResult>;
    type DoExchangeStream = Answers<FlightData>;
    type DoActionStream = Answers<arrow_flight::Result>;
    type ListActionsStream = Answers<ActionType>;

    async fn do_get(&self, _: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let messages = FlightDataEncoderBuilder::new()
            .with_schema(self.schema.clone())
            // The batches already have the size of a message, because each arrived in one.
            .with_max_flight_data_size(usize::MAX)
            .build(stream::iter(self.batches.clone()).map(Ok))
            .map_err(Status::from);
        Ok(Response::new(messages.boxed()))
    }

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        unknown()
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        unknown()
    }

    async fn get_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        unknown()
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        unknown()
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        unknown()
    }

    async fn do_put(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        unknown()
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoExchangeStream>, Status> {
        unknown()
    }

    async fn do_action(&self, _: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        unknown()
    }

    async fn list_actions(&self, _: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        unknown()
    }
}
