//! The handler of decoded requests, which passes each request to the file that answers it.

use std::collections::HashMap;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow_flight::sql::{ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult};
use arrow_flight::{
    Action, ActionType, BasicAuth, CancelStatus, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest,
    PollInfo,
};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use portolan_connectors::node::protocol::ACTION_DECISIONS;
use portolan_engine::{Error, ErrorKind, Result};
use prost::Message;
use tokio::time::timeout;
use tonic::Status;
use tonic::metadata::{AsciiMetadataValue, KeyAndValueRef, MetadataMap};

use super::actions;
use super::fetch::while_accepted;
use super::service::Service;
use crate::callers::{Authorization, CallOrigin, Caller, Headers};
use crate::dispatch::{
    self, CloseSessionStatus, Handler, Head, Messages, PutAnswer, Request, SessionOptions, SetSessionOptionErrorValue,
    Upload,
};
use crate::failure::unauthenticated;
use crate::statements::create;

/// The longest time until a login sends credentials.
const LOGIN: Duration = Duration::from_secs(10);

impl Service {
    /// Checks that the caller may send a request of its own. A trusted node may only send fragments, fetch catalogs, and
    /// close what it has opened.
    fn check_own(&self, caller: &Caller) -> Result<()> {
        self.callers.rules().delegations.check_own_requests(&caller.identity)
    }

    /// Checks that the caller may send this request. The principal of a fragment is checked with the fragment.
    fn check(&self, caller: &Caller, request: &Request) -> Result<()> {
        match request {
            Request::Fragment(_) => Ok(()),
            _ => self.check_own(caller),
        }
    }
}

#[tonic::async_trait]
impl Handler for Service {
    type Caller = Caller;

    async fn identify(&self, head: &Head) -> Result<Caller> {
        let (headers, peer) = (plain_headers(&head.headers), CallOrigin::of(&head.extensions));
        let caller = self.callers.identify(&headers, &peer).await?;
        peer.authenticated();
        Ok(caller)
    }

    async fn log_in(
        &self,
        head: &Head,
        messages: BoxStream<'static, Result<HandshakeRequest, Status>>,
    ) -> Result<String> {
        let (headers, peer) = (plain_headers(&head.headers), CallOrigin::of(&head.extensions));
        let mut authorization = Authorization::of(&headers)?;
        if authorization == Authorization::Nobody {
            authorization = shown_by_message(messages).await?;
        }
        let token = self.callers.log_in(authorization, &headers, &peer).await?;
        peer.authenticated();
        Ok(token)
    }

    async fn info(&self, caller: &Caller, request: Request, descriptor: FlightDescriptor) -> Result<FlightInfo> {
        self.check(caller, &request)?;
        self.flight_info(caller, request, descriptor).await
    }

    async fn poll(&self, caller: &Caller, request: Request, descriptor: FlightDescriptor) -> Result<PollInfo> {
        self.check(caller, &request)?;
        self.poll_info(caller, request, descriptor).await
    }

    async fn schema(&self, caller: &Caller, request: Request) -> Result<SchemaRef> {
        self.check(caller, &request)?;
        self.announced_schema(caller, request).await
    }

    async fn fetch(&self, caller: &Caller, request: Request) -> Result<Messages> {
        self.check(caller, &request)?;
        let call = caller.open_call(&self.callers.access)?;
        Ok(while_accepted(self.answer(caller, request).await?, call))
    }

    async fn put(&self, caller: &Caller, request: Request, upload: Upload) -> Result<PutAnswer> {
        self.check_own(caller)?;
        let call = caller.open_call(&self.callers.access)?;
        tokio::select! {
            biased;
            error = call.ended() => Err(error),
            answer = self.take(caller, request, upload) => answer,
        }
    }

    fn own_actions(&self) -> Vec<ActionType> {
        actions::own_actions()
    }

    async fn create_prepared(
        &self,
        caller: &Caller,
        request: ActionCreatePreparedStatementRequest,
    ) -> Result<ActionCreatePreparedStatementResult> {
        self.check_own(caller)?;
        create(caller, &self.statements, &request).await
    }

    async fn close_prepared(&self, caller: &Caller, handle: Bytes) -> Result<()> {
        self.statements.close(&caller.identity.principal, &handle)
    }

    async fn cancel(&self, caller: &Caller, info: FlightInfo) -> Result<CancelStatus> {
        self.cancel_statements(caller, &info)
    }

    async fn renew(&self, caller: &Caller, endpoint: FlightEndpoint) -> Result<FlightEndpoint> {
        self.renewed(caller, endpoint)
    }

    async fn set_options(
        &self,
        caller: &Caller,
        options: SessionOptions,
    ) -> Result<HashMap<String, SetSessionOptionErrorValue>> {
        self.check_own(caller)?;
        actions::set_options(caller, options)
    }

    async fn options(&self, caller: &Caller) -> Result<SessionOptions> {
        self.check_own(caller)?;
        Ok(actions::options(caller))
    }

    async fn close_session(&self, caller: &Caller) -> Result<CloseSessionStatus> {
        Ok(self.end_session(caller))
    }

    async fn act(&self, caller: &Caller, action: Action) -> Result<Option<Bytes>> {
        match action.r#type.as_str() {
            ACTION_DECISIONS => self.decisions(caller, &action).await.map(Some),
            _ => self.own_action(caller, action).map(Some),
        }
    }
}

impl dispatch::CallContext for Caller {
    fn name(&self) -> &str {
        self.identity.principal.name()
    }

    fn trace(&self) -> Option<String> {
        self.session.trace().map(ToString::to_string)
    }

    fn is_administrator(&self) -> bool {
        // What a node gets, it passes on to its clients.
        self.identity.principal.is_admin() && !self.identity.node
    }

    fn mark(&self, headers: &mut MetadataMap) {
        if let Some((name, value)) = self.answer_header()
            && let Ok(value) = AsciiMetadataValue::try_from(value)
        {
            headers.insert(name, value);
        }
    }
}

/// Reads the credentials in the first message of a login. Older clients send user and password in the message.
async fn shown_by_message(mut messages: BoxStream<'static, Result<HandshakeRequest, Status>>) -> Result<Authorization> {
    let first = timeout(LOGIN, messages.next())
        .await
        .map_err(|_| Error::new(ErrorKind::DeadlineExceeded, "the login sent no credentials in time"))?;
    let payload = match first {
        Some(Ok(request)) => request.payload,
        Some(Err(status)) => return Err(unauthenticated(format!("the login was interrupted: {}", status.message()))),
        None => Bytes::new(),
    };
    if payload.is_empty() {
        return Ok(Authorization::Nobody);
    }
    match BasicAuth::decode(payload) {
        Ok(auth) if auth.username.is_empty() && auth.password.is_empty() => Ok(Authorization::Nobody),
        Ok(auth) => Ok(Authorization::Basic(auth.username, auth.password)),
        Err(_) => Err(unauthenticated("the login's message is malformed")),
    }
}

/// Returns the headers of a call as plain pairs.
fn plain_headers(metadata: &MetadataMap) -> Headers<'_> {
    let pairs = metadata.iter().filter_map(|entry| match entry {
        KeyAndValueRef::Ascii(name, value) => Some((name.as_str(), value.to_str().ok())),
        KeyAndValueRef::Binary(..) => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests;
