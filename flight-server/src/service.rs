//! The Flight service: finds out who calls, hands the call to the module that answers it, and turns errors into
//! statuses. Nothing else happens here.

use std::time::Duration;

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, ActionType, BasicAuth, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest,
    HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use portolan_engine::{Engine, Error, ErrorKind, Result};
use prost::Message;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::{Extensions, Request, Response, Status, Streaming};

use crate::actions::action_types;
use crate::auth::{Authenticator, Authorization, Identity, Peer, is_jwt, unauthenticated};
use crate::caller::{Caller, authorization};
use crate::failure::{refuse, unsupported};
use crate::metadata::SystemViews;
use crate::options::ServerLimits;
use crate::sessions::Sessions;
use crate::statements::Statements;

/// How long a login may take to say who it is.
const LOGIN: Duration = Duration::from_secs(10);

/// What every call shares.
pub(crate) struct Service {
    pub(crate) engine: Engine,
    pub(crate) sessions: Sessions,
    pub(crate) statements: Statements,
    pub(crate) system_views: SystemViews,
    /// Ends every stream: the server stops.
    pub(crate) stopping: CancellationToken,
    /// Bytes of a request's message.
    pub(crate) request_bytes: usize,
    authenticator: Authenticator,
}

type Answers<T> = BoxStream<'static, Result<T, Status>>;

impl Service {
    pub(crate) fn new(
        engine: Engine,
        authenticator: Authenticator,
        limits: &ServerLimits,
        stopping: CancellationToken,
    ) -> Self {
        Self {
            engine,
            sessions: Sessions::new(limits),
            statements: Statements::new(limits),
            system_views: SystemViews::default(),
            stopping,
            request_bytes: limits.request_bytes,
            authenticator,
        }
    }

    async fn caller(&self, call: &str, headers: &MetadataMap, extensions: &Extensions) -> Result<Caller, Status> {
        Caller::identify(headers, &Peer::of(extensions), &self.authenticator, &self.sessions, &self.engine)
            .await
            .map_err(|e| refuse(&e, call, "somebody"))
    }

    /// Logs in: a token for the session that is opened, or the caller's own where it shows one.
    async fn log_in(
        &self,
        headers: &MetadataMap,
        peer: &Peer,
        mut messages: impl Stream<Item = Result<HandshakeRequest, Status>> + Unpin,
    ) -> Result<String> {
        let identity = match authorization(headers)? {
            Authorization::Bearer(token) if self.authenticator.takes_tokens() && is_jwt(&token) => {
                self.authenticator.check_token(&token, peer).await?
            }
            Authorization::Bearer(token) => {
                return match self.sessions.find(&token) {
                    Some(_) => Ok(token),
                    None => Err(unauthenticated("the token is unknown or was idle for too long: log in again")),
                };
            }
            Authorization::Basic(user, password) => self.authenticator.check(&user, password, peer).await?,
            Authorization::Nobody => self.log_in_by_message(peer, &mut messages).await?,
        };
        self.sessions.open(&self.engine, identity)
    }

    /// Older clients send user and password as the first message.
    async fn log_in_by_message(
        &self,
        peer: &Peer,
        messages: &mut (impl Stream<Item = Result<HandshakeRequest, Status>> + Unpin),
    ) -> Result<Identity> {
        let first = timeout(LOGIN, messages.next())
            .await
            .map_err(|_| Error::new(ErrorKind::DeadlineExceeded, "the login did not say who it is"))?;
        let payload = match first {
            Some(Ok(request)) => request.payload,
            Some(Err(status)) => return Err(unauthenticated(format!("the login broke off: {}", status.message()))),
            None => Default::default(),
        };
        if payload.is_empty() {
            return self.authenticator.nobody(peer);
        }
        match BasicAuth::decode(payload) {
            Ok(auth) if auth.username.is_empty() && auth.password.is_empty() => self.authenticator.nobody(peer),
            Ok(auth) => self.authenticator.check(&auth.username, auth.password, peer).await,
            Err(_) => Err(unauthenticated("the login's message is malformed")),
        }
    }
}

#[tonic::async_trait]
impl FlightService for Service {
    type HandshakeStream = Answers<HandshakeResponse>;
    type ListFlightsStream = Answers<FlightInfo>;
    type DoGetStream = Answers<FlightData>;
    type DoPutStream = Answers<PutResult>;
    type DoActionStream = Answers<arrow_flight::Result>;
    type ListActionsStream = Answers<ActionType>;
    type DoExchangeStream = Answers<FlightData>;

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        let (headers, extensions, messages) = request.into_parts();
        let refused = |e: Error| refuse(&e, "Handshake", "somebody");
        let token = self.log_in(&headers, &Peer::of(&extensions), messages).await.map_err(refused)?;
        let mut bearer = AsciiMetadataValue::try_from(format!("Bearer {token}"))
            .map_err(|e| refused(Error::new(ErrorKind::Internal, "the token does not fit a header").with_source(e)))?;
        bearer.set_sensitive(true);
        let answer = HandshakeResponse { protocol_version: 0, payload: token.into() };
        let mut response = Response::new(stream::iter([Ok(answer)]).boxed());
        response.metadata_mut().insert("authorization", bearer);
        Ok(response)
    }

    async fn list_flights(&self, request: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        // What there is to fetch is asked for in SQL and in Flight SQL's catalog commands.
        let caller = self.caller("ListFlights", request.metadata(), request.extensions()).await?;
        Ok(caller.answer(stream::empty().boxed()))
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        let (headers, extensions, descriptor) = request.into_parts();
        let caller = self.caller("GetFlightInfo", &headers, &extensions).await?;
        let info = self.flight_info(&caller, descriptor).await;
        info.map(|info| caller.answer(info)).map_err(|e| refuse(&e, "GetFlightInfo", caller.name()))
    }

    async fn poll_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        let (headers, extensions, descriptor) = request.into_parts();
        let caller = self.caller("PollFlightInfo", &headers, &extensions).await?;
        let info = self.poll_info(&caller, descriptor).await;
        info.map(|info| caller.answer(info)).map_err(|e| refuse(&e, "PollFlightInfo", caller.name()))
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        let (headers, extensions, descriptor) = request.into_parts();
        let caller = self.caller("GetSchema", &headers, &extensions).await?;
        let schema = self.schema(&caller, &descriptor).await;
        schema.map(|schema| caller.answer(schema)).map_err(|e| refuse(&e, "GetSchema", caller.name()))
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let (headers, extensions, ticket) = request.into_parts();
        let caller = self.caller("DoGet", &headers, &extensions).await?;
        let messages = self.fetch(&caller, &ticket.ticket).await.map_err(|e| refuse(&e, "DoGet", caller.name()))?;
        let who = caller.name().to_owned();
        Ok(caller.answer(messages.map(move |message| message.map_err(|e| refuse(&e, "DoGet", &who))).boxed()))
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        let (headers, extensions, messages) = request.into_parts();
        let caller = self.caller("DoPut", &headers, &extensions).await?;
        let result = self.put(&caller, messages).await.map_err(|e| refuse(&e, "DoPut", caller.name()))?;
        Ok(caller.answer(stream::iter([Ok(result)]).boxed()))
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        let (headers, extensions, action) = request.into_parts();
        let caller = self.caller("DoAction", &headers, &extensions).await?;
        let answer = self.act(&caller, action).await.map_err(|e| refuse(&e, "DoAction", caller.name()))?;
        let answers: Vec<_> = answer.into_iter().map(|body| Ok(arrow_flight::Result { body })).collect();
        Ok(caller.answer(stream::iter(answers).boxed()))
    }

    async fn list_actions(&self, request: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        let caller = self.caller("ListActions", request.metadata(), request.extensions()).await?;
        Ok(caller.answer(stream::iter(action_types().into_iter().map(Ok)).boxed()))
    }

    async fn do_exchange(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        let caller = self.caller("DoExchange", request.metadata(), request.extensions()).await?;
        Err(refuse(&unsupported("this node has no exchanges"), "DoExchange", caller.name()))
    }
}
