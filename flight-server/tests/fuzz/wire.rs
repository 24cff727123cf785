//! A client that sends any bytes as messages of any call, and takes what comes back as bytes.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use futures::stream;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{KeyAndValueRef, MetadataMap};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// Bytes of an answer that are read before its stream is dropped.
const READ: usize = 4 << 20;

/// A call as it travels.
#[derive(Clone, Debug, Default)]
pub(super) struct Call {
    pub(super) method: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) messages: Vec<Bytes>,
}

/// What came of a call: its first messages, or its status; and the cookie that came with either.
pub(super) struct Answer {
    pub(super) outcome: Result<Vec<Bytes>, Status>,
    pub(super) cookie: Option<String>,
}

pub(super) async fn connect(http: &str) -> Channel {
    Endpoint::from_shared(http.to_owned()).unwrap().connect().await.unwrap()
}

/// Makes the call; panics where it takes longer than `limit`.
pub(super) async fn send(channel: &Channel, call: Call, limit: Duration) -> Answer {
    let what = format!("{} of {} messages", call.method, call.messages.len());
    match tokio::time::timeout(limit, exchange(channel, call)).await {
        Ok(answer) => answer,
        Err(_) => panic!("{what} did not end within {limit:?}"),
    }
}

async fn exchange(channel: &Channel, call: Call) -> Answer {
    let mut request = Request::new(stream::iter(call.messages));
    for (name, value) in call.headers {
        if let Ok(value) = value.parse() {
            request.metadata_mut().insert(name, value);
        }
    }
    let path = PathAndQuery::try_from(format!("/arrow.flight.protocol.FlightService/{}", call.method)).unwrap();
    let mut client = Grpc::new(channel.clone()).max_decoding_message_size(64 << 20);
    client.ready().await.unwrap();
    let response = match client.streaming(request, path, Plain).await {
        Ok(response) => response,
        Err(status) => return Answer { cookie: cookie(status.metadata()), outcome: Err(status) },
    };
    let cookie = cookie(response.metadata());
    let mut stream = response.into_inner();
    let (mut messages, mut read) = (vec![], 0);
    let outcome = loop {
        match stream.message().await {
            Ok(Some(message)) => {
                read += message.len() + 1;
                messages.push(message);
                if read > READ {
                    break Ok(messages);
                }
            }
            Ok(None) => break Ok(messages),
            Err(status) => break Err(status),
        }
    };
    Answer { outcome, cookie }
}

fn cookie(headers: &MetadataMap) -> Option<String> {
    headers.iter().find_map(|header| match header {
        KeyAndValueRef::Ascii(name, value) if name == "set-cookie" => value.to_str().ok().map(str::to_owned),
        _ => None,
    })
}

/// Messages as they are.
#[derive(Clone, Copy, Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = buffer.remaining();
        Ok(Some(buffer.copy_to_bytes(length)))
    }
}
