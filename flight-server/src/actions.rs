//! `DoAction`: prepared statements, cancelling, sessions, and what nodes and the REPL ask beside Flight SQL.

use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, Any, Command,
    ProstMessageExt,
};
use arrow_flight::{Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightInfo};
use bytes::Bytes;
use portolan_connectors::node::protocol::{
    ACTION_CATALOG, ACTION_HELLO, ACTION_PROGRESS, CatalogRequest, NodeHello, ProgressRequest,
};
use portolan_engine::settings::SETTINGS;
use portolan_engine::{Error, ErrorKind, Progress, Result};
use prost::Message;
use serde::Serialize;

use crate::caller::Caller;
use crate::commands::{Request, any, ticket, unknown};
use crate::failure::{invalid, unsupported};
use crate::prepared::create;
use crate::service::Service;
use crate::session_messages::{
    CLOSE_SESSION, CloseSessionResult, CloseSessionStatus, GET_SESSION_OPTIONS, GetSessionOptionsResult,
    SET_SESSION_OPTIONS, SetSessionOptionError, SetSessionOptionErrorValue, SetSessionOptionsRequest,
    SetSessionOptionsResult,
};

const CREATE_PREPARED: &str = "CreatePreparedStatement";
const CLOSE_PREPARED: &str = "ClosePreparedStatement";
const CANCEL_INFO: &str = "CancelFlightInfo";
const CANCEL_QUERY: &str = "CancelQuery";

/// Every action and what it does.
const ACTIONS: [(&str, &str); 10] = [
    (CREATE_PREPARED, "creates a prepared statement"),
    (CLOSE_PREPARED, "closes a prepared statement"),
    (CANCEL_INFO, "cancels a running statement"),
    (CANCEL_QUERY, "cancels a running statement, in Flight SQL's older form"),
    (SET_SESSION_OPTIONS, "sets options of the session"),
    (GET_SESSION_OPTIONS, "gives the options of the session"),
    (CLOSE_SESSION, "ends the session"),
    (ACTION_HELLO, "the version handshake between nodes"),
    (ACTION_CATALOG, "the catalogs of the domains that this node owns"),
    (ACTION_PROGRESS, "how far a running statement is"),
];

/// Every action that there is.
pub(crate) fn action_types() -> Vec<ActionType> {
    ACTIONS
        .iter()
        .map(|(name, what)| ActionType { r#type: (*name).to_owned(), description: (*what).to_owned() })
        .collect()
}

impl Service {
    /// Does what is asked; `None` where there is nothing to answer.
    pub(crate) async fn act(&self, caller: &Caller, action: Action) -> Result<Option<Bytes>> {
        let body = action.body;
        let answer = match action.r#type.as_str() {
            CREATE_PREPARED => {
                let request: ActionCreatePreparedStatementRequest = wrapped(&body)?;
                create(caller, &self.statements, &request).await?.as_any().encode_to_vec().into()
            }
            CLOSE_PREPARED => {
                let request: ActionClosePreparedStatementRequest = wrapped(&body)?;
                self.statements.close(&caller.identity.principal, &request.prepared_statement_handle)?;
                return Ok(None);
            }
            CANCEL_INFO => {
                let request: CancelFlightInfoRequest = plain(body)?;
                let info = request.info.ok_or_else(|| invalid("there is nothing to cancel in the request"))?;
                CancelFlightInfoResult::new(self.cancel(caller, &info)?).encode_to_vec().into()
            }
            CANCEL_QUERY => self.cancel_query(caller, &body)?,
            SET_SESSION_OPTIONS => set_options(caller, plain(body)?)?.encode_to_vec().into(),
            GET_SESSION_OPTIONS => options(caller).encode_to_vec().into(),
            CLOSE_SESSION => self.close_session(caller).encode_to_vec().into(),
            ACTION_HELLO => self.hello(caller, &plain(body)?).encode_to_vec().into(),
            ACTION_CATALOG => {
                let request: CatalogRequest = plain(body)?;
                json(&self.engine.catalog(request.known.as_deref()))?
            }
            ACTION_PROGRESS => {
                let request: ProgressRequest = plain(body)?;
                json(&self.progress(caller, &request.handle)?)?
            }
            other => return Err(unknown(other)),
        };
        Ok(Some(answer))
    }

    fn progress(&self, caller: &Caller, handle: &[u8]) -> Result<Progress> {
        let statement = self.statements.find(&caller.identity.principal, handle)?;
        Ok(statement.progress().map(|progress| progress.now()).unwrap_or_default())
    }

    fn cancel_query(&self, caller: &Caller, body: &[u8]) -> Result<Bytes> {
        let request: ActionCancelQueryRequest = wrapped(body)?;
        let info =
            FlightInfo::decode(request.info).map_err(|e| invalid("the query to cancel is malformed").with_source(e))?;
        // `CancelQuery` and `CancelFlightInfo` number the outcomes alike.
        let result = self.cancel(caller, &info)? as i32;
        let answer = arrow_flight::sql::ActionCancelQueryResult { result };
        Ok(answer.as_any().encode_to_vec().into())
    }

    /// Cancels the statements behind the tickets of `info`.
    fn cancel(&self, caller: &Caller, info: &FlightInfo) -> Result<CancelStatus> {
        let mut cancelled = CancelStatus::NotCancellable;
        for bytes in info.endpoint.iter().filter_map(|endpoint| endpoint.ticket.as_ref()) {
            if let Request::Sql(Command::TicketStatementQuery(query)) = ticket(&bytes.ticket)? {
                let statement = self.statements.find(&caller.identity.principal, &query.statement_handle)?;
                statement.stop.cancel();
                cancelled = CancelStatus::Cancelled;
            }
        }
        Ok(cancelled)
    }

    fn hello(&self, caller: &Caller, theirs: &NodeHello) -> NodeHello {
        let ours = NodeHello::current();
        if let Err(e) = ours.check(theirs) {
            tracing::warn!(portolan = theirs.portolan, "a node cannot send fragments here: {}", e.chain());
        }
        NodeHello { takes_fragments: Some(self.delegations.takes_fragments(&caller.identity, theirs)), ..ours }
    }

    fn close_session(&self, caller: &Caller) -> CloseSessionResult {
        let closed = caller.kept_as.as_ref().is_some_and(|key| self.sessions.close(key));
        let status = if closed { CloseSessionStatus::Closed } else { CloseSessionStatus::NotCloseable };
        CloseSessionResult { status: status as i32 }
    }
}

fn options(caller: &Caller) -> GetSessionOptionsResult {
    let values = caller.session.settings().values();
    GetSessionOptionsResult {
        session_options: values.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect(),
    }
}

fn set_options(caller: &Caller, request: SetSessionOptionsRequest) -> Result<SetSessionOptionsResult> {
    if caller.kept_as.is_none() && !request.session_options.is_empty() {
        return caller.require_kept_session().map(|()| SetSessionOptionsResult::default());
    }
    let mut result = SetSessionOptionsResult::default();
    for (name, value) in request.session_options {
        let known = SETTINGS.iter().any(|setting| setting.eq_ignore_ascii_case(&name));
        let set = value.as_text().is_some_and(|text| caller.session.set(&name, &text).is_ok());
        let error = match (known, set) {
            (_, true) => continue,
            (false, false) => SetSessionOptionErrorValue::InvalidName,
            (true, false) => SetSessionOptionErrorValue::InvalidValue,
        };
        result.errors.insert(name, SetSessionOptionError { value: error as i32 });
    }
    Ok(result)
}

/// A body that is the message itself.
fn plain<M: Message + Default>(body: Bytes) -> Result<M> {
    M::decode(body).map_err(|e| invalid("the action's body is malformed").with_source(e))
}

/// A body that wraps the message, as Flight SQL's do.
fn wrapped<M: ProstMessageExt>(body: &[u8]) -> Result<M> {
    let any: Any = any(body)?;
    any.unpack()
        .map_err(|e| invalid("the action's body is malformed").with_source(e))?
        .ok_or_else(|| unsupported("the action's body is another message than the action takes"))
}

fn json<T: Serialize>(value: &T) -> Result<Bytes> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|e| Error::new(ErrorKind::Internal, "an answer cannot be encoded").with_source(e))
}
