//! Prepared statements: their plans, and the parameters that are bound to them.

use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use arrow_flight::sql::{ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult};
use bytes::Bytes;
use portolan_connectors::lock;
use portolan_engine::server::{changes_session, traced};
use portolan_engine::{Prepared, Result, StatementKind};

use super::execution::Parameters;
use super::held::{Kind, Statement, Statements};
use super::placeholders::number_placeholders;
use crate::callers::Caller;
use crate::failure::{invalid, unsupported};
use crate::rows::{Strings, ipc_schema, plain_schema, wire_schema};

/// Plans a statement for `caller`, without running it.
pub(crate) async fn prepare(caller: &Caller, sql: &str, transaction: Option<&Bytes>) -> Result<Prepared> {
    refuse_transaction(transaction)?;
    caller.session.prepare(&number_placeholders(sql)?).await
}

/// Creates a prepared statement.
pub(crate) async fn create(
    caller: &Caller,
    statements: &Statements,
    request: &ActionCreatePreparedStatementRequest,
) -> Result<ActionCreatePreparedStatementResult> {
    let prepared = prepare(caller, &request.query, request.transaction_id.as_ref()).await?;
    let strings = Strings::of(&caller.session.settings());
    let parameters = ipc_schema(&parameter_schema(&prepared.parameters(), strings))?;
    let (schema, dataset_schema) = match prepared.kind() {
        StatementKind::Query => {
            let schema = wire_schema(&prepared.schema(), strings);
            let ipc = ipc_schema(&schema)?;
            (schema, ipc)
        }
        // Clients treat a statement without columns as an update.
        _ => {
            if changes_session(&prepared) {
                caller.require_kept_session()?;
            }
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
    pub(crate) parameters: Parameters,
    pub(crate) strings: Strings,
}

/// Returns the prepared statement of `handle` with its parameters, and with the string encoding of the session when the
/// statement was prepared.
pub(crate) fn bound(caller: &Caller, statements: &Statements, handle: &[u8]) -> Result<Bound> {
    let statement = statements.find(&caller.identity.principal, handle)?;
    match &statement.kind {
        Kind::Prepared(prepared, parameters) => {
            let parameters = lock(parameters).clone();
            // The run is a part of this call's trace, and not of the trace in which the statement was prepared.
            let prepared = traced(prepared.clone(), caller.session.trace().cloned());
            Ok(Bound { prepared, parameters, strings: statement.strings })
        }
        Kind::Query(..) | Kind::Kept(_) | Kind::Applied => {
            Err(invalid("the handle does not belong to a prepared statement"))
        }
    }
}

/// Binds parameters to the prepared statement of `handle`.
pub(crate) fn bind(caller: &Caller, statements: &Statements, handle: &[u8], values: Parameters) -> Result<()> {
    let statement = statements.find(&caller.identity.principal, handle)?;
    match &statement.kind {
        Kind::Prepared(_, parameters) => {
            statements.room_for(&caller.identity.principal, &values)?;
            *lock(parameters) = values;
            statements.recount(handle);
            Ok(())
        }
        Kind::Query(..) | Kind::Kept(_) | Kind::Applied => {
            Err(invalid("the handle does not belong to a prepared statement"))
        }
    }
}

/// Returns the parameters in uploaded rows, with one set in each row; `None` if there are no columns. Columns without
/// rows are zero sets of parameters, which is different.
pub(crate) fn parameters((schema, batches): (Option<SchemaRef>, Vec<RecordBatch>)) -> Option<Parameters> {
    let schema = schema.filter(|schema| !schema.fields().is_empty())?;
    Some(if batches.is_empty() { [RecordBatch::new_empty(schema)].into() } else { batches.into() })
}

/// Refuses a statement in a transaction, because the node has no transactions.
pub(crate) fn refuse_transaction(transaction: Option<&Bytes>) -> Result<()> {
    match transaction {
        Some(id) if !id.is_empty() => Err(unsupported("this node does not support transactions")),
        _ => Ok(()),
    }
}

/// Returns the parameters as they are announced to clients. The JDBC driver sends milliseconds whatever the announced
/// unit of a time is. The engine casts bound values to the right unit.
fn parameter_schema(parameters: &Schema, strings: Strings) -> SchemaRef {
    let plain = plain_schema(parameters, strings);
    let fields = plain.fields().iter().map(|field| {
        let announced = match field.data_type() {
            DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
            DataType::Time32(_) | DataType::Time64(_) => DataType::Time32(TimeUnit::Millisecond),
            // The type of the parameter is unknown, and drivers accept only NULL for a column of type NULL.
            DataType::Null => DataType::Utf8,
            other => other.clone(),
        };
        field.as_ref().clone().with_data_type(announced)
    });
    SchemaRef::new(Schema::new(fields.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};
    use arrow::datatypes::Field;
    use portolan_engine::server::rows_of;

    use super::*;

    #[test]
    fn rows_without_columns_bind_nothing() {
        let row = RecordBatch::try_from_iter([("$1", Arc::new(Int64Array::from(vec![7])) as ArrayRef)]).unwrap();
        let rows = |bound: Option<Parameters>| bound.map(|b| rows_of(&b).count());
        assert_eq!(rows(parameters((Some(row.schema()), vec![row.clone()]))), Some(1));
        assert_eq!(rows(parameters((Some(row.schema()), vec![]))), Some(0));
        assert_eq!(rows(parameters((None, vec![]))), None);
        assert_eq!(rows(parameters((Some(SchemaRef::new(Schema::empty())), vec![]))), None);
    }

    #[test]
    fn times_are_announced_in_milliseconds() {
        let nanoseconds = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
        let announced = parameter_schema(&Schema::new(vec![Field::new("$1", nanoseconds, true)]), Strings::Plain);
        assert_eq!(*announced.field(0).data_type(), DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())));
    }
}
