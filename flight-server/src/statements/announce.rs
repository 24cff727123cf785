//! Announced statements: a query gets a handle and may start at once, and a change runs at once.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow_flight::sql::CommandStatementQuery;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use portolan_engine::server::{RowPart, changes_session, refreshed, rows_of};
use portolan_engine::{Prepared, Result, Session, StatementKind};

use super::execution::{Execution, ExecutionAccess, Parameters, Runs, When, relay};
use super::held::{Kind, Statement, Statements};
use super::prepared::{Bound, prepare};
use super::results::KeptResult;
use super::speculative_runs::SpeculativeRun;
use crate::callers::Caller;
use crate::rows::{Strings, wire_schema};

/// The lifetime of a result after it was last requested or renewed.
const RESULT_LIFETIME: Duration = Duration::from_secs(300);

/// The shortest timeout for which a query starts speculatively, because the speculative run may cost a second of that
/// time.
const LONG_ENOUGH: Duration = Duration::from_secs(10);

/// An announced statement: the handle for its ticket, its columns, and the number of changed rows.
pub(crate) struct Announced {
    pub(crate) handle: Bytes,
    pub(crate) schema: SchemaRef,
    /// The number of changed rows; `None` for a query.
    pub(crate) changed: Option<u64>,
    /// The result, if it is kept.
    pub(crate) kept: Option<Arc<KeptResult>>,
}

/// The delivery of a query's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The query runs while the client fetches its rows, and starts now if the client fetches soon.
    Stream,
    /// The query runs at once, and its result is kept.
    Keep,
}

/// Plans a statement for its announcement.
pub(crate) async fn unbound(caller: &Caller, command: &CommandStatementQuery) -> Result<Bound> {
    let prepared = prepare(caller, &command.query, command.transaction_id.as_ref()).await?;
    let strings = Strings::of(&caller.session.settings());
    Ok(Bound { prepared, parameters: Parameters::default(), strings })
}

/// Announces a statement. A statement that changes something runs here, once. The handle keeps the current parameters:
/// binding others later does not change an announced statement.
pub(crate) async fn announce_prepared(
    caller: &Caller,
    statements: &Statements,
    bound: Bound,
    delivery: Delivery,
) -> Result<Announced> {
    let Bound { prepared, parameters, strings } = bound;
    let prepared = refreshed(&prepared).await?;
    match prepared.kind() {
        StatementKind::Query => {
            let schema = bound_schema(&prepared, &parameters, strings).await?;
            let (runs, settings) = (Runs::default(), caller.session.settings());
            let execution = Execution {
                prepared: prepared.clone(),
                parameters: parameters.clone(),
                schema: schema.clone(),
                runs: runs.clone(),
                access: ExecutionAccess::default(),
                relay: relay(&schema, strings, &settings).filter(|_| delivery == Delivery::Stream),
            };
            let speculative_run = SpeculativeRun::default();
            let (kind, kept) = match delivery {
                Delivery::Stream => (Kind::Query(prepared, parameters, speculative_run.clone()), None),
                Delivery::Keep => {
                    let kept = Arc::new(keep(caller.session.clone(), execution.clone()));
                    (Kind::Kept(kept.clone()), Some(kept))
                }
            };
            let stop = runs.stop.clone();
            let statement = Statement { runs, ..Statement::new(kind, schema.clone(), strings) };
            let handle = statements.hold(&caller.identity.principal, statement)?;
            let timeout = settings.query_timeout;
            if kept.is_none() && timeout.is_none_or(|timeout| timeout >= LONG_ENOUGH) {
                statements.speculative_runs().start(&speculative_run, execution.start(When::Speculative), &stop);
            }
            Ok(Announced { handle, schema, changed: None, kept })
        }
        _ => {
            // The handle is reserved first, because a change that has run must not be reported as failed.
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

/// Returns the columns that clients see for a statement with these parameters. A statement that changes something has
/// no columns.
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

/// Runs a query to its end, even if no client fetches its rows.
fn keep(session: Session, execution: Execution) -> KeptResult {
    let (schema, stop, access) = (execution.schema.clone(), execution.runs.stop.clone(), execution.access.clone());
    let rows = stream::once(execution.start(When::Asked)).try_flatten();
    let rows = rows.map(|part| part.and_then(RowPart::into_batch));
    KeptResult::start(session, schema, rows, stop, access, RESULT_LIFETIME)
}

/// Runs a statement that changes something, and returns the number of changed rows.
pub(crate) async fn apply(caller: &Caller, prepared: &Prepared, parameters: &[RecordBatch]) -> Result<u64> {
    if changes_session(prepared) {
        caller.require_kept_session()?;
    }
    prepared.apply(parameters).await
}
