//! Tests of the Flight service with a handler that returns canned answers.

#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicBool, Ordering};

use arrow::datatypes::SchemaRef;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, PollInfo};
use futures::stream::{self, BoxStream};
use http_body::Body as _;
use portolan_engine::Result;
use prost::Message as _;
use tonic::Code;

use super::*;
use crate::dispatch::{CallContext, Head, Messages, PutAnswer, Request as Asked, Upload};
use crate::failure::unsupported;

struct Anyone;

impl CallContext for Anyone {
    fn name(&self) -> &str {
        "anyone"
    }

    fn mark(&self, headers: &mut MetadataMap) {
        headers.insert("x-session", "one".parse().unwrap());
    }
}

/// A handler whose tickets name the response: `rows`, rows that end with an error (`breaks`), `endless` rows, or only
/// an error.
#[derive(Default)]
struct Canned {
    dropped: Arc<AtomicBool>,
}

/// A value that records when it is dropped.
struct Noted(Arc<AtomicBool>);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn row(number: u8) -> FlightData {
    let body = vec![number; 100_000 * usize::from(number)];
    FlightData { data_header: vec![number].into(), data_body: body.into(), ..FlightData::default() }
}

#[tonic::async_trait]
impl Handler for Canned {
    type Caller = Anyone;

    async fn identify(&self, _: &Head) -> Result<Anyone> {
        Ok(Anyone)
    }

    async fn log_in(&self, _: &Head, _: BoxStream<'static, Result<HandshakeRequest, Status>>) -> Result<String> {
        Err(unsupported("no logins"))
    }

    async fn info(&self, _: &Anyone, _: Asked, _: FlightDescriptor) -> Result<FlightInfo> {
        Err(unsupported("no infos"))
    }

    async fn poll(&self, _: &Anyone, _: Asked, _: FlightDescriptor) -> Result<PollInfo> {
        Err(unsupported("no infos"))
    }

    async fn schema(&self, _: &Anyone, _: Asked) -> Result<SchemaRef> {
        Err(unsupported("no schemas"))
    }

    async fn fetch(&self, _: &Anyone, request: Asked) -> Result<Messages> {
        let Asked::Bytes(what) = request else { return Err(invalid("no bytes")) };
        let rows = stream::iter([0, 1, 2].map(|number| Ok(row(number).into())));
        let broken = stream::iter([Err(Error::new(ErrorKind::DeadlineExceeded, "too slow"))]);
        match &what[..] {
            b"rows" => Ok(rows.boxed()),
            b"breaks" => Ok(rows.chain(broken).boxed()),
            b"endless" => {
                let noted = Noted(self.dropped.clone());
                Ok(stream::repeat_with(move || {
                    let _ = &noted;
                    Ok(row(1).into())
                })
                .boxed())
            }
            b"huge" => {
                Ok(stream::iter([Ok(Message::new(Bytes::new(), vec![vec![0; MAX_MESSAGE_BYTES].into()]))]).boxed())
            }
            _ => Err(Error::new(ErrorKind::NotFound, "nothing of that name")),
        }
    }

    async fn put(&self, _: &Anyone, _: Asked, _: Upload) -> Result<PutAnswer> {
        Err(unsupported("no uploads"))
    }
}

type InProcess = FlightServiceClient<FlightServer<Canned>>;

/// Returns a client of the service, without a network between them.
fn client(handler: Canned) -> InProcess {
    FlightServiceClient::new(FlightServer::new(Arc::new(handler), 1000)).max_decoding_message_size(usize::MAX)
}

async fn read(client: &mut InProcess, ticket: &str) -> (Vec<FlightData>, Result<(), Status>) {
    let mut answer = match client.do_get(Ticket::new(ticket.to_owned())).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return (vec![], Err(status)),
    };
    let mut messages = vec![];
    loop {
        match answer.message().await {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, Ok(())),
            Err(status) => return (messages, Err(status)),
        }
    }
}

#[tokio::test]
async fn messages_come_whole_and_errors_after_them() {
    let mut client = client(Canned::default());
    let (messages, end) = read(&mut client, "rows").await;
    assert_eq!(messages, [0, 1, 2].map(row));
    assert!(end.is_ok());
    let (messages, end) = read(&mut client, "breaks").await;
    assert_eq!(messages, [0, 1, 2].map(row));
    assert_eq!(end.unwrap_err().code(), Code::DeadlineExceeded);
    let answer = client.do_get(Ticket::new("rows")).await.unwrap();
    assert_eq!(answer.metadata().get("x-session").unwrap(), "one");
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused() {
    let mut client = client(Canned::default());
    for (ticket, code) in [
        ("nothing", Code::NotFound),
        ("huge", Code::ResourceExhausted),
        // The wrapper around the service turns this status into one of our errors.
        (&"x".repeat(2000), Code::OutOfRange),
    ] {
        let (messages, end) = read(&mut client, ticket).await;
        assert!(messages.is_empty());
        let status = end.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
    }
}

async fn raw(body: Vec<u8>, encoding: Option<&str>) -> Status {
    let mut request = http::Request::post(DO_GET).header("content-type", "application/grpc");
    if let Some(encoding) = encoding {
        request = request.header("grpc-encoding", encoding);
    }
    let body = Body::new(http_body_util::Full::new(Bytes::from(body)));
    let response =
        FlightServer::new(Arc::new(Canned::default()), 1000).call(request.body(body).unwrap()).await.unwrap();
    Status::from_header_map(response.headers()).unwrap()
}

#[tokio::test]
async fn requests_that_are_none_are_refused() {
    assert_eq!(raw(vec![], None).await.code(), Code::InvalidArgument);
    let ticket = Ticket::new("rows").encode_to_vec();
    let framed = |compressed: u8| [&[compressed, 0, 0, 0, ticket.len() as u8], &ticket[..]].concat();
    assert_eq!(raw(framed(1), Some("gzip")).await.code(), Code::Unimplemented);
    assert_eq!(raw(framed(0), Some("gzip")).await.code(), Code::Unimplemented);
    assert_eq!(raw(framed(1), None).await.code(), Code::Internal);
}

#[tokio::test]
async fn whoever_goes_away_stops_the_rows() {
    let dropped = Arc::new(AtomicBool::new(false));
    let mut client = client(Canned { dropped: dropped.clone() });
    let mut answer = client.do_get(Ticket::new("endless")).await.unwrap().into_inner();
    assert!(answer.message().await.unwrap().is_some());
    assert!(!dropped.load(Ordering::SeqCst));
    drop(answer);
    assert!(dropped.load(Ordering::SeqCst));
}

#[tokio::test]
async fn the_end_is_the_end() {
    let messages = stream::iter([Ok(Message::from(row(0)))]).boxed();
    let mut body = Box::pin(Pieces { messages, waiting: VecDeque::new(), ended: false });
    let mut next = async || std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await;
    assert!(next().await.unwrap().unwrap().is_data());
    let trailers = next().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers.get("grpc-status").unwrap(), "0");
    assert!(next().await.is_none());
    assert!(body.is_end_stream());
}
