//! `auth:basic_proto`: user and password in the handshake's message, and a token in an older kind of header.

use arrow::datatypes::SchemaRef;
use arrow_flight::{Action, BasicAuth, FlightDescriptor, FlightInfo, PollInfo};
use futures::StreamExt;
use portolan_flight_server::dispatch::{Handler, Head, Messages, PutAnswer, Request, Upload};
use portolan_flight_server::{Error, ErrorKind, Result};
use prost::Message;
use prost::bytes::Bytes;

use super::{Anyone, Handshake, unexpected};

const USER: &str = "arrow";
const PASSWORD: &str = "flight";

/// A handler with one user, whose name is the token.
pub(super) struct Basic;

fn refused(why: &str) -> Error {
    Error::new(ErrorKind::Unauthenticated, why)
}

#[tonic::async_trait]
impl Handler for Basic {
    type Caller = Anyone;

    async fn identify(&self, head: &Head) -> Result<Anyone> {
        let token = head.headers.get_bin("auth-token-bin").and_then(|value| value.to_bytes().ok());
        match token {
            Some(token) if token == USER.as_bytes() => Ok(Anyone { header: None }),
            _ => Err(refused("the token is unknown")),
        }
    }

    async fn log_in(&self, _head: &Head, mut messages: Handshake) -> Result<String> {
        // The client keeps its side of the stream open, and sends only the first message.
        let Some(Ok(first)) = messages.next().await else { return Err(refused("the login says nothing")) };
        let auth = BasicAuth::decode(first.payload).map_err(|_| refused("the login is malformed"))?;
        if auth.username == USER && auth.password == PASSWORD {
            return Ok(auth.username);
        }
        Err(refused("the user or the password is wrong"))
    }

    async fn info(&self, _: &Anyone, request: Request, _: FlightDescriptor) -> Result<FlightInfo> {
        Err(unexpected(request))
    }

    async fn poll(&self, _: &Anyone, request: Request, _: FlightDescriptor) -> Result<PollInfo> {
        Err(unexpected(request))
    }

    async fn schema(&self, _: &Anyone, request: Request) -> Result<SchemaRef> {
        Err(unexpected(request))
    }

    async fn fetch(&self, _: &Anyone, request: Request) -> Result<Messages> {
        Err(unexpected(request))
    }

    async fn put(&self, _: &Anyone, request: Request, _: Upload) -> Result<PutAnswer> {
        Err(unexpected(request))
    }

    async fn act(&self, _: &Anyone, action: Action) -> Result<Option<Bytes>> {
        if action.r#type.is_empty() { Ok(Some(USER.into())) } else { Err(unexpected(action)) }
    }
}
