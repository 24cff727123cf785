//! Statements from their text on: planning, prepared statements and the parameters bound to them, settings.

use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::writer::IpcWriteOptions;
use arrow::record_batch::RecordBatch;
use arrow_flight::sql::{
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, CommandStatementQuery,
};
use arrow_flight::{IpcMessage, SchemaAsIpc};
use bytes::Bytes;
use datafusion::scalar::ScalarValue;
use futures::TryStreamExt;
use portolan_engine::{Prepared, Result, StatementKind};

use crate::caller::Caller;
use crate::failure::{arrow, invalid, unsupported};
use crate::placeholders::number_placeholders;
use crate::statements::{Kind, Statement, Statements};
use crate::wire_schema::{Strings, wire_schema};

/// Plans a statement for `caller`, without running it.
pub(crate) async fn prepare(caller: &Caller, sql: &str, transaction: Option<&Bytes>) -> Result<Prepared> {
    refuse_transaction(transaction)?;
    caller.session.prepare(&number_placeholders(sql)?).await
}

/// Plans a statement and holds it; a setting is applied here, once. Gives the handle for its ticket and its columns.
pub(crate) async fn announce(
    caller: &Caller,
    statements: &Statements,
    command: &CommandStatementQuery,
) -> Result<(Bytes, SchemaRef)> {
    let prepared = prepare(caller, &command.query, command.transaction_id.as_ref()).await?;
    let strings = Strings::of(&caller.session.settings());
    announce_prepared(caller, statements, Bound { prepared, parameters: Vec::new(), strings }).await
}

/// As [`announce`], for a statement that was planned before. The parameters are those of now: binding others later
/// changes nothing for a handle that was given out.
pub(crate) async fn announce_prepared(
    caller: &Caller,
    statements: &Statements,
    bound: Bound,
) -> Result<(Bytes, SchemaRef)> {
    let Bound { prepared, parameters, strings } = bound;
    let (kind, schema) = match prepared.kind() {
        StatementKind::Query => {
            let schema = wire_schema(prepared.schema_with(&parameters)?.as_ref(), strings);
            (Kind::Query(prepared, parameters), schema)
        }
        StatementKind::Setting => {
            apply(caller, &prepared, &parameters).await?;
            (Kind::Applied, SchemaRef::new(Schema::empty()))
        }
    };
    let handle = statements.hold(&caller.identity.principal, Statement::new(kind, schema.clone(), strings))?;
    Ok((handle, schema))
}

/// Applies a setting to the caller's session.
pub(crate) async fn apply(caller: &Caller, prepared: &Prepared, parameters: &[ScalarValue]) -> Result<()> {
    match prepared.kind() {
        StatementKind::Setting => caller.require_kept_session()?,
        StatementKind::Query => return Err(invalid("the statement gives rows: run it as a query, not as an update")),
    }
    let mut rows = Box::pin(prepared.execute(parameters).await?);
    while rows.try_next().await?.is_some() {}
    Ok(())
}

/// Creates a prepared statement.
pub(crate) async fn create(
    caller: &Caller,
    statements: &Statements,
    request: &ActionCreatePreparedStatementRequest,
) -> Result<ActionCreatePreparedStatementResult> {
    let prepared = prepare(caller, &request.query, request.transaction_id.as_ref()).await?;
    let strings = Strings::of(&caller.session.settings());
    let parameters = ipc_schema(&wire_schema(&prepared.parameters(), strings))?;
    let (schema, dataset_schema) = match prepared.kind() {
        StatementKind::Query => {
            let schema = wire_schema(&prepared.schema(), strings);
            let ipc = ipc_schema(&schema)?;
            (schema, ipc)
        }
        // Clients take a statement without columns for an update.
        StatementKind::Setting => {
            caller.require_kept_session()?;
            (SchemaRef::new(Schema::empty()), Bytes::new())
        }
    };
    let statement = Statement::new(Kind::Prepared(prepared, Default::default()), schema, strings);
    Ok(ActionCreatePreparedStatementResult {
        prepared_statement_handle: statements.hold(&caller.identity.principal, statement)?,
        dataset_schema,
        parameter_schema: parameters,
    })
}

/// A statement that is ready to be announced.
pub(crate) struct Bound {
    pub(crate) prepared: Prepared,
    pub(crate) parameters: Vec<ScalarValue>,
    pub(crate) strings: Strings,
}

/// The prepared statement of `handle` with the parameters that are bound to it, and with strings as they were when it
/// was prepared.
pub(crate) fn bound(caller: &Caller, statements: &Statements, handle: &[u8]) -> Result<Bound> {
    let statement = statements.find(&caller.identity.principal, handle)?;
    match &statement.kind {
        Kind::Prepared(prepared, parameters) => {
            let parameters = parameters.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
            Ok(Bound { prepared: prepared.clone(), parameters, strings: statement.strings })
        }
        Kind::Query(..) | Kind::Applied => Err(invalid("the handle is not that of a prepared statement")),
    }
}

/// Binds parameters to the prepared statement of `handle`.
pub(crate) fn bind(caller: &Caller, statements: &Statements, handle: &[u8], values: Vec<ScalarValue>) -> Result<()> {
    let statement = statements.find(&caller.identity.principal, handle)?;
    match &statement.kind {
        Kind::Prepared(_, parameters) => {
            *parameters.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = values;
            Ok(())
        }
        Kind::Query(..) | Kind::Applied => Err(invalid("the handle is not that of a prepared statement")),
    }
}

/// The parameters in uploaded rows: one row, or none for none.
pub(crate) fn parameters(batches: &[RecordBatch]) -> Result<Vec<ScalarValue>> {
    let mut rows = batches.iter().filter(|batch| batch.num_rows() > 0);
    let Some(batch) = rows.next() else { return Ok(Vec::new()) };
    if batch.num_rows() > 1 || rows.next().is_some() {
        return Err(unsupported("a query takes one set of parameters at a time: bind one row"));
    }
    batch
        .columns()
        .iter()
        .map(|column| {
            ScalarValue::try_from_array(column, 0).map_err(|e| invalid("a parameter cannot be read").with_source(e))
        })
        .collect()
}

/// Refuses to be part of a transaction: there are none.
pub(crate) fn refuse_transaction(transaction: Option<&Bytes>) -> Result<()> {
    match transaction {
        Some(id) if !id.is_empty() => Err(unsupported("this node has no transactions")),
        _ => Ok(()),
    }
}

/// A schema as the message that Flight SQL carries it in.
pub(crate) fn ipc_schema(schema: &Schema) -> Result<Bytes> {
    let options = IpcWriteOptions::default();
    let message: IpcMessage = SchemaAsIpc::new(schema, &options).try_into().map_err(arrow)?;
    Ok(message.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};
    use portolan_engine::ErrorKind;

    use super::*;

    fn rows(values: Vec<i64>) -> RecordBatch {
        RecordBatch::try_from_iter([("$1", Arc::new(Int64Array::from(values)) as ArrayRef)]).unwrap()
    }

    #[test]
    fn one_row_binds() {
        assert_eq!(parameters(&[rows(vec![]), rows(vec![7])]).unwrap(), [ScalarValue::Int64(Some(7))]);
        assert!(parameters(&[]).unwrap().is_empty());
        assert_eq!(parameters(&[rows(vec![1, 2])]).unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(parameters(&[rows(vec![1]), rows(vec![2])]).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
