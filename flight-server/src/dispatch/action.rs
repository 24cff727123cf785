//! `DoAction`: Flight's and Flight SQL's actions, each decoded for its own method of the handler.

use arrow_flight::sql::{
    ActionBeginSavepointRequest, ActionBeginSavepointResult, ActionBeginTransactionRequest,
    ActionBeginTransactionResult, ActionCancelQueryRequest, ActionCancelQueryResult,
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    ActionCreatePreparedSubstraitPlanRequest, ActionEndSavepointRequest, ActionEndTransactionRequest, Any,
    ProstMessageExt,
};
use arrow_flight::{Action, CancelFlightInfoRequest, CancelFlightInfoResult, FlightInfo, RenewFlightEndpointRequest};
use bytes::Bytes;
use portolan_engine::Result;
use prost::Message;

use super::action_types::{
    BEGIN_SAVEPOINT, BEGIN_TRANSACTION, CANCEL_INFO, CANCEL_QUERY, CLOSE_PREPARED, CREATE_PREPARED, CREATE_SUBSTRAIT,
    END_SAVEPOINT, END_TRANSACTION, RENEW,
};
use super::handler::Handler;
use super::request::any;
use super::session_messages::{
    CLOSE_SESSION, CloseSessionResult, CreatedStatement, GET_SESSION_OPTIONS, GetSessionOptionsResult,
    SET_SESSION_OPTIONS, SetSessionOptionError, SetSessionOptionsRequest, SetSessionOptionsResult, from_options,
    into_options,
};
use crate::failure::{invalid, unsupported};

/// Runs an action; `None` if it has no response.
pub(super) async fn act<H: Handler>(handler: &H, caller: &H::Caller, action: Action) -> Result<Option<Bytes>> {
    let body = action.body.clone();
    let answer: Bytes = match action.r#type.as_str() {
        CREATE_PREPARED => {
            let request: ActionCreatePreparedStatementRequest = wrapped(&body)?;
            created(handler.create_prepared(caller, request).await?)
        }
        CREATE_SUBSTRAIT => {
            let request: ActionCreatePreparedSubstraitPlanRequest = wrapped(&body)?;
            created(handler.create_prepared_substrait(caller, request).await?)
        }
        CLOSE_PREPARED => {
            let request: ActionClosePreparedStatementRequest = wrapped(&body)?;
            handler.close_prepared(caller, request.prepared_statement_handle).await?;
            return Ok(None);
        }
        CANCEL_INFO => {
            let request: CancelFlightInfoRequest = plain(body)?;
            let info = request.info.ok_or_else(|| invalid("the request names nothing to cancel"))?;
            CancelFlightInfoResult::new(handler.cancel(caller, info).await?).encode_to_vec().into()
        }
        CANCEL_QUERY => {
            let request: ActionCancelQueryRequest = wrapped(&body)?;
            let info = FlightInfo::decode(request.info)
                .map_err(|e| invalid("the query to cancel is malformed").with_source(e))?;
            // `CancelQuery` and `CancelFlightInfo` use the same numbers for the outcomes.
            pack(&ActionCancelQueryResult { result: handler.cancel(caller, info).await? as i32 })
        }
        RENEW => {
            let request: RenewFlightEndpointRequest = plain(body)?;
            let endpoint = request.endpoint.ok_or_else(|| invalid("the request names no endpoint to renew"))?;
            handler.renew(caller, endpoint).await?.encode_to_vec().into()
        }
        SET_SESSION_OPTIONS | GET_SESSION_OPTIONS | CLOSE_SESSION => {
            session(handler, caller, &action.r#type, body).await?
        }
        BEGIN_TRANSACTION | END_TRANSACTION | BEGIN_SAVEPOINT | END_SAVEPOINT => {
            return transaction(handler, caller, &action.r#type, &body).await;
        }
        _ => return handler.act(caller, action).await,
    };
    Ok(Some(answer))
}

async fn session<H: Handler>(handler: &H, caller: &H::Caller, kind: &str, body: Bytes) -> Result<Bytes> {
    let answer = match kind {
        SET_SESSION_OPTIONS => {
            let request: SetSessionOptionsRequest = plain(body)?;
            let errors = handler.set_options(caller, from_options(request.session_options)).await?;
            let error = |value| SetSessionOptionError { value: value as i32 };
            SetSessionOptionsResult { errors: errors.into_iter().map(|(name, value)| (name, error(value))).collect() }
                .encode_to_vec()
        }
        GET_SESSION_OPTIONS => {
            let options = handler.options(caller).await?;
            GetSessionOptionsResult { session_options: into_options(options) }.encode_to_vec()
        }
        _ => CloseSessionResult { status: handler.close_session(caller).await? as i32 }.encode_to_vec(),
    };
    Ok(answer.into())
}

async fn transaction<H: Handler>(handler: &H, caller: &H::Caller, kind: &str, body: &[u8]) -> Result<Option<Bytes>> {
    match kind {
        BEGIN_TRANSACTION => {
            let _: ActionBeginTransactionRequest = wrapped(body)?;
            let transaction_id = handler.begin_transaction(caller).await?;
            Ok(Some(pack(&ActionBeginTransactionResult { transaction_id })))
        }
        END_TRANSACTION => {
            let request: ActionEndTransactionRequest = wrapped(body)?;
            handler.end_transaction(caller, request).await.map(|()| None)
        }
        BEGIN_SAVEPOINT => {
            let request: ActionBeginSavepointRequest = wrapped(body)?;
            let savepoint_id = handler.begin_savepoint(caller, request).await?;
            Ok(Some(pack(&ActionBeginSavepointResult { savepoint_id })))
        }
        _ => {
            let request: ActionEndSavepointRequest = wrapped(body)?;
            handler.end_savepoint(caller, request).await.map(|()| None)
        }
    }
}

/// Encodes a prepared statement, with an explicit flag for updates. Older clients recognize an update by its missing
/// columns.
fn created(result: ActionCreatePreparedStatementResult) -> Bytes {
    let type_url = ActionCreatePreparedStatementResult::type_url().to_owned();
    let value = CreatedStatement {
        is_update: Some(result.dataset_schema.is_empty()),
        prepared_statement_handle: result.prepared_statement_handle,
        dataset_schema: result.dataset_schema,
        parameter_schema: result.parameter_schema,
    };
    Any { type_url, value: value.encode_to_vec().into() }.encode_to_vec().into()
}

fn pack(message: &impl ProstMessageExt) -> Bytes {
    message.as_any().encode_to_vec().into()
}

/// Decodes a body that is the message itself.
pub(crate) fn plain<M: Message + Default>(body: Bytes) -> Result<M> {
    M::decode(body).map_err(|e| invalid("the action's body is malformed").with_source(e))
}

/// Decodes a body that wraps the message, as in Flight SQL.
fn wrapped<M: ProstMessageExt>(body: &[u8]) -> Result<M> {
    let any: Any = any(body)?;
    any.unpack()
        .map_err(|e| invalid("the action's body is malformed").with_source(e))?
        .ok_or_else(|| unsupported("the body of the action is a message of another action"))
}
