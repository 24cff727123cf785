//! Flight as a service for a listener. This file answers `DoGet` with messages in pieces, and the generated code
//! answers every other call.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arrow_flight::Ticket;
use arrow_flight::flight_service_server::FlightServiceServer;
use bytes::Bytes;
use futures::StreamExt;
use http_body::Frame;
use portolan_connectors::node::protocol::MAX_MESSAGE_BYTES;
use portolan_engine::{Error, ErrorKind};
use tonic::body::Body;
use tonic::codec::Codec;
use tonic::codegen::{BoxFuture, Service, StdError, http};
use tonic::metadata::{GRPC_CONTENT_TYPE, MetadataMap};
use tonic::server::NamedService;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::calls::{Dispatch, Statuses};
use super::handler::Handler;
use super::message::Message;
use crate::failure::{invalid, refuse_unknown};

const DO_GET: &str = "/arrow.flight.protocol.FlightService/DoGet";

/// The Flight service that a [`Handler`] answers.
pub struct FlightServer<H> {
    dispatch: Arc<Dispatch<H>>,
    others: FlightServiceServer<Dispatch<H>>,
    request_bytes: usize,
}

impl<H: Handler> FlightServer<H> {
    /// Returns a service that `handler` answers. `request_bytes` is the largest size of one request message.
    pub fn new(handler: Arc<H>, request_bytes: usize) -> Self {
        let dispatch = Arc::new(Dispatch::new(handler, request_bytes));
        let others = FlightServiceServer::from_arc(dispatch.clone())
            .max_decoding_message_size(request_bytes)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        Self { dispatch, others, request_bytes }
    }
}

impl<H> Clone for FlightServer<H> {
    fn clone(&self) -> Self {
        Self { dispatch: self.dispatch.clone(), others: self.others.clone(), request_bytes: self.request_bytes }
    }
}

impl<H> fmt::Debug for FlightServer<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlightServer").field("request_bytes", &self.request_bytes).finish_non_exhaustive()
    }
}

impl<H: Handler> NamedService for FlightServer<H> {
    const NAME: &'static str = <FlightServiceServer<Dispatch<H>> as NamedService>::NAME;
}

impl<H, B> Service<http::Request<B>> for FlightServer<H>
where
    H: Handler,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        // The generated code refuses compressed messages.
        if request.uri().path() != DO_GET || request.headers().contains_key("grpc-encoding") {
            return self.others.call(request);
        }
        let (dispatch, limit) = (self.dispatch.clone(), self.request_bytes);
        Box::pin(async move { Ok(do_get(&dispatch, request, limit).await.unwrap_or_else(Status::into_http)) })
    }
}

async fn do_get<H, B>(
    dispatch: &Dispatch<H>,
    request: http::Request<B>,
    limit: usize,
) -> Result<http::Response<Body>, Status>
where
    H: Handler,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    let (head, body) = request.into_parts();
    let decoder = ProstCodec::<Ticket, Ticket>::default().decoder();
    let ticket = Streaming::new_request(decoder, body, None, Some(limit)).message().await?;
    let ticket = ticket.ok_or_else(|| refuse_unknown(&invalid("the call has no ticket"), "DoGet"))?;
    let request = Request::from_parts(MetadataMap::from_headers(head.headers), head.extensions, ticket);
    let (metadata, messages, _) = dispatch.messages(request).await?.into_parts();
    let mut response = http::Response::new(Body::new(Pieces { messages, waiting: VecDeque::new(), ended: false }));
    *response.headers_mut() = metadata.into_headers();
    response.headers_mut().insert(http::header::CONTENT_TYPE, GRPC_CONTENT_TYPE);
    Ok(response)
}

fn message_too_large() -> Error {
    let what = format!("a message of the response is larger than the limit of {MAX_MESSAGE_BYTES} bytes");
    Error::new(ErrorKind::ResourceExhausted, what)
}

/// The body of a response: the messages, with the final status in the trailers.
struct Pieces {
    messages: Statuses<Message>,
    /// The pieces of the message that is being sent.
    waiting: VecDeque<Bytes>,
    ended: bool,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let end = loop {
            if let Some(piece) = self.waiting.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match ready!(self.messages.poll_next_unpin(cx)) {
                Some(Ok(message)) => match message.pieces() {
                    Some(pieces) => self.waiting = pieces,
                    None => break refuse_unknown(&message_too_large(), "DoGet"),
                },
                Some(Err(status)) => break status,
                None => break Status::ok(""),
            }
        };
        self.ended = true;
        let mut trailers = http::HeaderMap::new();
        Poll::Ready(Some(end.add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests;
