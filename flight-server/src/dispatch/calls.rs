//! The Flight service over a [`Handler`]. It identifies the caller, decodes the request, passes it to the handler, and
//! turns errors into statuses.

use std::sync::Arc;

use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::{DoPutPreparedStatementResult, DoPutUpdateResult};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, PutResult, SchemaAsIpc, SchemaResult, Ticket,
};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use portolan_engine::{Error, ErrorKind, Result};
use prost::Message as _;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Request as Call, Response, Status, Streaming};

use super::action::act;
use super::handler::{CallContext, Handler, Head, PutAnswer};
use super::message::Message;
use super::request::{descriptor, ticket};
use super::upload::Upload;
use crate::failure::{arrow, invalid, refuse, refuse_unknown};
use crate::listener::AbortFlag;

/// The calls of Flight, answered by a [`Handler`].
#[derive(Debug)]
pub(super) struct Dispatch<H> {
    handler: Arc<H>,
    message_bytes: usize,
}

pub(super) type Statuses<T> = BoxStream<'static, Result<T, Status>>;

impl<H: Handler> Dispatch<H> {
    /// Returns the service for `handler`. `message_bytes` is the listener's limit for one message, and is used in
    /// errors.
    pub(super) fn new(handler: Arc<H>, message_bytes: usize) -> Self {
        Self { handler, message_bytes }
    }

    /// Answers `DoGet` with messages in pieces.
    pub(super) async fn messages(&self, request: Call<Ticket>) -> Result<Response<Statuses<Message>>, Status> {
        let (caller, message) = self.open("DoGet", request).await?;
        let messages = match ticket(&message.ticket) {
            Ok(request) => self.handler.fetch(&caller, request).await,
            Err(e) => Err(e),
        };
        close("DoGet", &caller, messages.map(|messages| statuses("DoGet", &caller, messages)))
    }

    /// Identifies the caller of a call, and returns the caller and the message.
    async fn open<M>(&self, call: &str, request: Call<M>) -> Result<(H::Caller, M), Status> {
        let (headers, extensions, message) = request.into_parts();
        let head = Head { headers, extensions };
        let caller = self.handler.identify(&head).await.map_err(|e| refuse_unknown(&e, call))?;
        Ok((caller, message))
    }
}

/// Returns the response to a call, or logs the error and returns its status. Both carry the caller's headers, because a
/// failed call can also open a session.
fn close<T>(call: &str, caller: &impl CallContext, outcome: Result<T>) -> Result<Response<T>, Status> {
    match outcome {
        Ok(answer) => {
            let mut response = Response::new(answer);
            caller.mark(response.metadata_mut());
            Ok(response)
        }
        Err(error) => {
            let trace = caller.trace();
            let mut status = refuse(&error, call, caller.name(), caller.is_administrator(), trace.as_deref());
            caller.mark(status.metadata_mut());
            Err(status)
        }
    }
}

fn statuses<T: Send + 'static>(
    call: &'static str,
    caller: &impl CallContext,
    items: impl Stream<Item = Result<T>> + Send + 'static,
) -> Statuses<T> {
    let (who, is_administrator, trace) = (caller.name().to_owned(), caller.is_administrator(), caller.trace());
    items.map(move |item| item.map_err(|e| refuse(&e, call, &who, is_administrator, trace.as_deref()))).boxed()
}

#[tonic::async_trait]
impl<H: Handler> FlightService for Dispatch<H> {
    type HandshakeStream = Statuses<HandshakeResponse>;
    type ListFlightsStream = Statuses<FlightInfo>;
    type DoGetStream = Statuses<FlightData>;
    type DoPutStream = Statuses<PutResult>;
    type DoActionStream = Statuses<arrow_flight::Result>;
    type ListActionsStream = Statuses<ActionType>;
    type DoExchangeStream = Statuses<FlightData>;

    async fn handshake(
        &self,
        request: Call<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        let (headers, extensions, messages) = request.into_parts();
        let refused = |e: Error| refuse_unknown(&e, "Handshake");
        let token = self.handler.log_in(&Head { headers, extensions }, messages.boxed()).await.map_err(refused)?;
        let mut bearer = AsciiMetadataValue::try_from(format!("Bearer {token}"))
            .map_err(|e| refused(Error::new(ErrorKind::Internal, "the token does not fit a header").with_source(e)))?;
        bearer.set_sensitive(true);
        let answer = HandshakeResponse { protocol_version: 0, payload: token.into() };
        let mut response = Response::new(stream::iter([Ok(answer)]).boxed());
        response.metadata_mut().insert("authorization", bearer);
        Ok(response)
    }

    async fn list_flights(&self, request: Call<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        let (caller, criteria) = self.open("ListFlights", request).await?;
        let flights = self.handler.flights(&caller, criteria.expression).await;
        close("ListFlights", &caller, flights.map(|flights| statuses("ListFlights", &caller, flights)))
    }

    async fn get_flight_info(&self, request: Call<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        let (caller, message) = self.open("GetFlightInfo", request).await?;
        let info = match descriptor(&message) {
            Ok(request) => self.handler.info(&caller, request, message).await,
            Err(e) => Err(e),
        };
        close("GetFlightInfo", &caller, info)
    }

    async fn poll_flight_info(&self, request: Call<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        let (caller, message) = self.open("PollFlightInfo", request).await?;
        let info = match descriptor(&message) {
            Ok(request) => self.handler.poll(&caller, request, message).await,
            Err(e) => Err(e),
        };
        close("PollFlightInfo", &caller, info)
    }

    async fn get_schema(&self, request: Call<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        let (caller, message) = self.open("GetSchema", request).await?;
        let schema = match descriptor(&message) {
            Ok(request) => self.handler.schema(&caller, request).await,
            Err(e) => Err(e),
        };
        let options = IpcWriteOptions::default();
        let encoded = schema.and_then(|schema| SchemaAsIpc::new(&schema, &options).try_into().map_err(arrow));
        close("GetSchema", &caller, encoded)
    }

    /// Never called: [`FlightServer`](super::FlightServer) answers `DoGet` with [`Dispatch::messages`].
    async fn do_get(&self, _: Call<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        Err(Status::unimplemented("DoGet is answered elsewhere"))
    }

    async fn do_put(&self, request: Call<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        // If no service watches the request, its end is a complete end.
        let aborted = request.extensions().get::<AbortFlag>().cloned().unwrap_or_default();
        let (caller, messages) = self.open("DoPut", request).await?;
        let upload = Upload::open(messages, self.message_bytes, aborted).await;
        let answer = match upload {
            Ok(upload) => put(self.handler.as_ref(), &caller, upload).await,
            Err(e) => Err(e),
        };
        close("DoPut", &caller, answer.map(|answer| stream::iter([Ok(answer)]).boxed()))
    }

    async fn do_action(&self, request: Call<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        let (caller, action) = self.open("DoAction", request).await?;
        let answer = act(self.handler.as_ref(), &caller, action).await;
        let answers = answer.map(|body| {
            let answers: Vec<_> = body.into_iter().map(|body| Ok(arrow_flight::Result { body })).collect();
            stream::iter(answers).boxed()
        });
        close("DoAction", &caller, answers)
    }

    async fn list_actions(&self, request: Call<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        let (caller, _) = self.open("ListActions", request).await?;
        let types = self.handler.actions();
        close("ListActions", &caller, Ok(stream::iter(types.into_iter().map(Ok)).boxed()))
    }

    async fn do_exchange(
        &self,
        request: Call<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        let (caller, messages) = self.open("DoExchange", request).await?;
        let broken =
            |status: Status| Error::new(ErrorKind::Cancelled, format!("the exchange was interrupted: {status}"));
        let messages = messages.map(move |message| message.map_err(broken)).boxed();
        let answer = self.handler.exchange(&caller, messages).await;
        close("DoExchange", &caller, answer.map(|answer| statuses("DoExchange", &caller, answer)))
    }
}

async fn put<H: Handler>(handler: &H, caller: &H::Caller, upload: Upload) -> Result<PutResult> {
    let described = upload.first().flight_descriptor.as_ref();
    let request = descriptor(described.ok_or_else(|| invalid("the upload has no descriptor"))?)?;
    let app_metadata = match handler.put(caller, request, upload).await? {
        PutAnswer::Updated(record_count) => DoPutUpdateResult { record_count }.encode_to_vec().into(),
        PutAnswer::Bound(handle) => {
            DoPutPreparedStatementResult { prepared_statement_handle: Some(handle) }.encode_to_vec().into()
        }
        PutAnswer::Metadata(bytes) => bytes,
    };
    Ok(PutResult { app_metadata })
}
