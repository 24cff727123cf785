//! Statements from their text on: planning, prepared statements and the parameters bound to them, settings.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use arrow_flight::sql::{
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, CommandStatementQuery,
};
use bytes::Bytes;
use futures::{TryStreamExt, stream};
use portolan_engine::{Engine, Prepared, Result, StatementKind, rows_of};

use super::execution::{Execution, Parameters, Runs, When};
use super::held::{Kind, Statement, Statements};
use super::placeholders::number_placeholders;
use super::results::KeptResult;
use super::speculative_runs::HeadStart;
use crate::callers::Caller;
use crate::failure::{invalid, unsupported};
use crate::rows::{Strings, ipc_schema, plain_schema, wire_schema};

/// How long a result is kept after it was asked for, or renewed.
const RESULT_LIFETIME: Duration = Duration::from_secs(300);

/// A query that may take so long at least is begun before its rows are asked for: it may lose a second of its time.
const LONG_ENOUGH: Duration = Duration::from_secs(10);

/// Plans a statement for `caller`, without running it.
pub(crate) async fn prepare(caller: &Caller, sql: &str, transaction: Option<&Bytes>) -> Result<Prepared> {
    refuse_transaction(transaction)?;
    caller.session.prepare(&number_placeholders(sql)?).await
}

/// A statement that was announced: the handle for its ticket, its columns, and how many rows it changed.
pub(crate) struct Announced {
    pub(crate) handle: Bytes,
    pub(crate) schema: SchemaRef,
    /// `None` for a query.
    pub(crate) changed: Option<u64>,
    /// Its rows, where they are kept.
    pub(crate) kept: Option<Arc<KeptResult>>,
}

/// How the rows of a query are to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// They are made while they are fetched, from now on if they are fetched soon.
    Stream,
    /// They are made at once, and kept.
    Keep,
}

/// Plans a statement that is to be announced.
pub(crate) async fn unbound(caller: &Caller, command: &CommandStatementQuery) -> Result<Bound> {
    let prepared = prepare(caller, &command.query, command.transaction_id.as_ref()).await?;
    let strings = Strings::of(&caller.session.settings());
    Ok(Bound { prepared, parameters: Parameters::default(), strings })
}

/// Holds a statement; one that changes something is carried out here, once. The parameters are those of now: binding
/// others later changes nothing for a handle that was given out.
pub(crate) async fn announce_prepared(
    caller: &Caller,
    statements: &Statements,
    bound: Bound,
    delivery: Delivery,
) -> Result<Announced> {
    let Bound { prepared, parameters, strings } = bound;
    let prepared = prepared.refreshed().await?;
    match prepared.kind() {
        StatementKind::Query => {
            let schema = bound_schema(&prepared, &parameters, strings).await?;
            let runs = Runs::default();
            let execution = Execution {
                prepared: prepared.clone(),
                parameters: parameters.clone(),
                schema: schema.clone(),
                runs: runs.clone(),
            };
            let head_start = HeadStart::default();
            let (kind, kept) = match delivery {
                Delivery::Stream => (Kind::Query(prepared, parameters, head_start.clone()), None),
                Delivery::Keep => {
                    let kept = Arc::new(keep(caller.session.engine(), execution.clone()));
                    (Kind::Kept(kept.clone()), Some(kept))
                }
            };
            let stop = runs.stop.clone();
            let statement = Statement { runs, ..Statement::new(kind, schema.clone(), strings) };
            let handle = statements.hold(&caller.identity.principal, statement)?;
            let timeout = caller.session.settings().query_timeout;
            if kept.is_none() && timeout.is_none_or(|timeout| timeout >= LONG_ENOUGH) {
                statements.head_starts().begin(&head_start, execution.start(When::Ahead), &stop);
            }
            Ok(Announced { handle, schema, changed: None, kept })
        }
        StatementKind::Setting | StatementKind::Change => {
            // First the place for its handle: a change that was carried out must not be told to have failed.
            let schema = SchemaRef::new(Schema::empty());
            let owner = &caller.identity.principal;
            let handle = statements.hold(owner, Statement::new(Kind::Applied, schema.clone(), strings))?;
            match apply(caller, &prepared, &parameters).await {
                Ok(changed) => Ok(Announced { handle, schema, changed: Some(changed), kept: None }),
                Err(e) => {
                    statements.close(owner, &handle)?;
                    Err(e)
                }
            }
        }
    }
}

/// The columns that clients see of a statement with these parameters; none of one that changes something.
pub(crate) async fn bound_schema(
    prepared: &Prepared,
    parameters: &[RecordBatch],
    strings: Strings,
) -> Result<SchemaRef> {
    if prepared.kind() != StatementKind::Query {
        return Ok(SchemaRef::new(Schema::empty()));
    }
    let first = rows_of(parameters).next().transpose()?.unwrap_or_default();
    Ok(wire_schema(prepared.schema_with(&first).await?.as_ref(), strings))
}

/// Runs a query to its end, whoever fetches its rows.
fn keep(engine: Engine, execution: Execution) -> KeptResult {
    let (schema, stop) = (execution.schema.clone(), execution.runs.stop.clone());
    let rows = stream::once(execution.start(When::Asked)).try_flatten();
    KeptResult::start(engine, schema, rows, stop, RESULT_LIFETIME)
}

/// Carries out a statement that changes something; gives how many rows it changed.
pub(crate) async fn apply(caller: &Caller, prepared: &Prepared, parameters: &[RecordBatch]) -> Result<u64> {
    if prepared.changes_session() {
        caller.require_kept_session()?;
    }
    prepared.apply(parameters).await
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
        // Clients take a statement without columns for an update.
        StatementKind::Setting | StatementKind::Change => {
            if prepared.changes_session() {
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

/// The prepared statement of `handle` with the parameters that are bound to it, and with strings as they were when it
/// was prepared.
pub(crate) fn bound(caller: &Caller, statements: &Statements, handle: &[u8]) -> Result<Bound> {
    let statement = statements.find(&caller.identity.principal, handle)?;
    match &statement.kind {
        Kind::Prepared(prepared, parameters) => {
            let parameters = parameters.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
            Ok(Bound { prepared: prepared.clone(), parameters, strings: statement.strings })
        }
        Kind::Query(..) | Kind::Kept(_) | Kind::Applied => {
            Err(invalid("the handle is not that of a prepared statement"))
        }
    }
}

/// Binds parameters to the prepared statement of `handle`.
pub(crate) fn bind(caller: &Caller, statements: &Statements, handle: &[u8], values: Parameters) -> Result<()> {
    let statement = statements.find(&caller.identity.principal, handle)?;
    match &statement.kind {
        Kind::Prepared(_, parameters) => {
            statements.room_for(&caller.identity.principal, &values)?;
            *parameters.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = values;
            Ok(())
        }
        Kind::Query(..) | Kind::Kept(_) | Kind::Applied => {
            Err(invalid("the handle is not that of a prepared statement"))
        }
    }
}

/// The parameters in uploaded rows, each row a set of them; `None` where there are no columns. Columns without rows are
/// no set of parameters, which is not the same.
pub(crate) fn parameters((schema, batches): (Option<SchemaRef>, Vec<RecordBatch>)) -> Option<Parameters> {
    let schema = schema.filter(|schema| !schema.fields().is_empty())?;
    Some(if batches.is_empty() { [RecordBatch::new_empty(schema)].into() } else { batches.into() })
}

/// Refuses to be part of a transaction: there are none.
pub(crate) fn refuse_transaction(transaction: Option<&Bytes>) -> Result<()> {
    match transaction {
        Some(id) if !id.is_empty() => Err(unsupported("this node has no transactions")),
        _ => Ok(()),
    }
}

/// The parameters as clients are told of them. The JDBC driver puts milliseconds into whatever unit a time is announced
/// in; what it binds is brought into the right one.
fn parameter_schema(parameters: &Schema, strings: Strings) -> SchemaRef {
    let plain = plain_schema(parameters, strings);
    let fields = plain.fields().iter().map(|field| {
        let announced = match field.data_type() {
            DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
            DataType::Time32(_) | DataType::Time64(_) => DataType::Time32(TimeUnit::Millisecond),
            // Nothing tells its type, and drivers take nothing but NULL for a column of NULLs.
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
