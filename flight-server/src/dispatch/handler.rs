//! The trait of a server that answers decoded requests. A request that a handler does not implement is refused as
//! unsupported, by name.

use std::collections::HashMap;

use arrow::datatypes::SchemaRef;
use arrow_flight::sql::{
    ActionBeginSavepointRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    ActionCreatePreparedSubstraitPlanRequest, ActionEndSavepointRequest, ActionEndTransactionRequest,
};
use arrow_flight::{
    Action, ActionType, CancelStatus, FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest,
    PollInfo,
};
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use portolan_engine::Result;
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Status};

use super::action_types::action_types;
use super::message::Message;
use super::request::{Request, unknown};
use super::session_messages::{CloseSessionStatus, SessionOptions, SetSessionOptionErrorValue};
use super::upload::Upload;
use crate::failure::unsupported;

/// The responses of a streaming call.
pub type Answers<T> = BoxStream<'static, Result<T>>;
/// The messages of a `DoGet`.
pub type Messages = Answers<Message>;

/// The parts of a call that are known before its message is read: the headers, and facts about the connection. The type
/// has no `Debug`, because headers contain secrets.
pub struct Head {
    /// The call's headers.
    pub headers: MetadataMap,
    /// The listener's facts about the connection: the peer's address and certificates.
    pub extensions: Extensions,
}

/// The caller of a call, as the dispatcher sees it.
pub trait CallContext: Send + Sync + 'static {
    /// Returns the name for the log.
    fn name(&self) -> &str;

    /// Returns the identity of the trace that the caller's request is a part of, for the log.
    fn trace(&self) -> Option<String> {
        None
    }

    /// True if the caller administers this node, and so may see where the node's files are stored.
    fn is_administrator(&self) -> bool {
        false
    }

    /// Adds the headers of the caller's responses, such as a session's cookie, but never gRPC's own headers.
    fn mark(&self, _headers: &mut MetadataMap) {}
}

/// The response to a `DoPut`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutAnswer {
    /// The number of changed rows; -1 if it is unknown.
    Updated(i64),
    /// The parameters are bound, and this is now the handle of the statement.
    Bound(Bytes),
    /// Server-specific metadata.
    Metadata(Bytes),
}

/// A server that answers decoded requests.
///
/// # Errors
/// The client receives each method's error as a status of its kind. The default methods return `Unsupported`.
#[tonic::async_trait]
pub trait Handler: Send + Sync + 'static {
    /// The caller that a call's headers identify.
    type Caller: CallContext;

    /// Identifies the caller.
    async fn identify(&self, head: &Head) -> Result<Self::Caller>;

    /// Logs in, and returns the token for further calls. `messages` are the client's messages of the handshake. Clients
    /// that send credentials in a header leave them empty.
    async fn log_in(
        &self,
        head: &Head,
        messages: BoxStream<'static, Result<HandshakeRequest, Status>>,
    ) -> Result<String>;

    /// `ListFlights`.
    async fn flights(&self, _caller: &Self::Caller, _criteria: Bytes) -> Result<Answers<FlightInfo>> {
        Ok(stream::empty().boxed())
    }

    /// `GetFlightInfo`. A statement that changes something runs here, exactly once.
    async fn info(&self, caller: &Self::Caller, request: Request, descriptor: FlightDescriptor) -> Result<FlightInfo>;

    /// `PollFlightInfo`.
    async fn poll(&self, caller: &Self::Caller, request: Request, descriptor: FlightDescriptor) -> Result<PollInfo>;

    /// `GetSchema`, which runs nothing.
    async fn schema(&self, caller: &Self::Caller, request: Request) -> Result<SchemaRef>;

    /// `DoGet`.
    async fn fetch(&self, caller: &Self::Caller, request: Request) -> Result<Messages>;

    /// `DoPut`.
    async fn put(&self, caller: &Self::Caller, request: Request, upload: Upload) -> Result<PutAnswer>;

    /// `DoExchange`.
    async fn exchange(&self, _caller: &Self::Caller, _messages: Answers<FlightData>) -> Result<Answers<FlightData>> {
        Err(unsupported("this node does not support DoExchange"))
    }

    /// Returns the server's own actions, in addition to those of Flight and Flight SQL.
    fn own_actions(&self) -> Vec<ActionType> {
        vec![]
    }

    /// `ListActions`: the actions of Flight and Flight SQL, then the server's own.
    fn actions(&self) -> Vec<ActionType> {
        action_types(self.own_actions())
    }

    /// `CreatePreparedStatement`.
    async fn create_prepared(
        &self,
        _caller: &Self::Caller,
        _request: ActionCreatePreparedStatementRequest,
    ) -> Result<ActionCreatePreparedStatementResult> {
        Err(unsupported("this node does not support prepared statements"))
    }

    /// `CreatePreparedSubstraitPlan`.
    async fn create_prepared_substrait(
        &self,
        _caller: &Self::Caller,
        _request: ActionCreatePreparedSubstraitPlanRequest,
    ) -> Result<ActionCreatePreparedStatementResult> {
        Err(unsupported("this node does not support Substrait plans: send SQL"))
    }

    /// `ClosePreparedStatement`.
    async fn close_prepared(&self, _caller: &Self::Caller, _handle: Bytes) -> Result<()> {
        Err(unsupported("this node does not support prepared statements"))
    }

    /// `CancelFlightInfo`, and its older form, `CancelQuery`.
    async fn cancel(&self, _caller: &Self::Caller, _info: FlightInfo) -> Result<CancelStatus> {
        Ok(CancelStatus::NotCancellable)
    }

    /// `RenewFlightEndpoint`.
    async fn renew(&self, _caller: &Self::Caller, _endpoint: FlightEndpoint) -> Result<FlightEndpoint> {
        Err(unsupported("the endpoints of this node do not expire"))
    }

    /// `SetSessionOptions`. Returns an error for each option that it rejects.
    async fn set_options(
        &self,
        _caller: &Self::Caller,
        _options: SessionOptions,
    ) -> Result<HashMap<String, SetSessionOptionErrorValue>> {
        Err(unsupported("this node does not support session options"))
    }

    /// `GetSessionOptions`.
    async fn options(&self, _caller: &Self::Caller) -> Result<SessionOptions> {
        Err(unsupported("this node does not support session options"))
    }

    /// `CloseSession`.
    async fn close_session(&self, _caller: &Self::Caller) -> Result<CloseSessionStatus> {
        Ok(CloseSessionStatus::NotCloseable)
    }

    /// `BeginTransaction`. Returns the identifier of the transaction.
    async fn begin_transaction(&self, _caller: &Self::Caller) -> Result<Bytes> {
        Err(unsupported("this node does not support transactions: each statement is independent"))
    }

    /// `EndTransaction`.
    async fn end_transaction(&self, _caller: &Self::Caller, _request: ActionEndTransactionRequest) -> Result<()> {
        Err(unsupported("this node does not support transactions: each statement is independent"))
    }

    /// `BeginSavepoint`. Returns the identifier of the savepoint.
    async fn begin_savepoint(&self, _caller: &Self::Caller, _request: ActionBeginSavepointRequest) -> Result<Bytes> {
        Err(unsupported("this node does not support transactions or savepoints"))
    }

    /// `EndSavepoint`.
    async fn end_savepoint(&self, _caller: &Self::Caller, _request: ActionEndSavepointRequest) -> Result<()> {
        Err(unsupported("this node does not support transactions or savepoints"))
    }

    /// Runs one of the server's own actions; `None` if it has no response.
    async fn act(&self, _caller: &Self::Caller, action: Action) -> Result<Option<Bytes>> {
        Err(unknown(&action.r#type))
    }
}
