//! Rows that a client uploads: into a table of its session, which may be created, or into a port.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{Field, Schema, SchemaRef};
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use portolan_catalog::nearest::nearest;
use portolan_catalog::{PortRef, sql_type};
use portolan_connectors::{FragmentHead, TraceContext};

use super::audit::Insert;
use super::held_rows::HeldRows;
use super::nullable;
use super::visible_ports::view_of;
use crate::execution::conform::{conform, converted};
use crate::execution::errors::arrow_text;
use crate::execution::stop::Stop;
use crate::mesh::MeshView;
use crate::metrics::{Work, WorkKind};
use crate::names::{RESERVED_CATALOG, SESSION_SCHEMA};
use crate::planner::resolve::change::distinct_names;
use crate::state::tables::{Creation, TableContent, exists, unknown};
use crate::state::{RunningQuery, SessionHandle};
use crate::{Error, ErrorKind, Result};

/// The target of uploaded rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IngestTarget {
    /// The domain. If there is none, the table belongs to the session.
    pub catalog: Option<String>,
    /// The data product.
    pub schema: Option<String>,
    /// The port or the table.
    pub table: String,
}

/// The handling of a table that exists, and of one that does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IngestMode {
    /// The table is created. If it exists, that is an error.
    Create,
    /// Rows are appended. If the table does not exist, that is an error.
    Append,
    /// The table is created, and replaces one that exists.
    Replace,
    /// The table is created if it does not exist, and rows are appended.
    CreateAppend,
}

impl IngestTarget {
    /// Returns a table of the session.
    pub fn of_session(table: impl Into<String>) -> Self {
        Self { catalog: None, schema: None, table: table.into() }
    }

    /// Returns a port.
    pub fn port(domain: impl Into<String>, product: impl Into<String>, port: impl Into<String>) -> Self {
        Self { catalog: Some(domain.into()), schema: Some(product.into()), table: port.into() }
    }

    /// True if the target is a table of the session.
    pub fn is_of_session(&self) -> bool {
        let given = |part: &Option<String>| part.clone().filter(|p| !p.is_empty());
        match (given(&self.catalog).as_deref(), given(&self.schema).as_deref()) {
            (None | Some(RESERVED_CATALOG), None | Some(SESSION_SCHEMA)) => true,
            (Some(_) | None, _) => false,
        }
    }

    fn name(&self) -> String {
        let parts = [self.catalog.as_deref(), self.schema.as_deref(), Some(self.table.as_str())];
        parts.into_iter().flatten().filter(|p| !p.is_empty()).collect::<Vec<_>>().join(".")
    }
}

/// Stores the rows that a client uploads in `target`, as [`Session::ingest`](crate::Session::ingest).
///
/// # Errors
/// As [`Session::ingest`](crate::Session::ingest).
pub(crate) async fn ingest(
    session: &SessionHandle,
    target: &IngestTarget,
    mode: IngestMode,
    columns: SchemaRef,
    rows: BoxStream<'static, Result<RecordBatch>>,
) -> Result<u64> {
    session.require_open()?;
    distinct_names(&columns)?;
    let id = uuid::Uuid::new_v4().to_string();
    let trace = session.trace.as_ref().map_or_else(TraceContext::start, TraceContext::child);
    // An upload sends no fragments, so the deadline of the head has no effect.
    let head = FragmentHead::new(&id, session.principal().clone(), Instant::now());
    let head = FragmentHead { trace, purpose: session.settings().purpose, ..head };
    let (client, stop) = (session.shared.client(), Stop::below(&session.shared.closed));
    let work = Work::start(&session.engine.metrics, WorkKind::Query, &head);
    let what = format!("INGEST INTO {}", target.name());
    let listed = session.engine.activity.started(RunningQuery::new(id, client, Some(what), stop, work));
    let rows = until_stopped(rows, listed.query.stop.clone());
    let outcome = if target.is_of_session() {
        into_table(session, target, mode, columns, rows).await
    } else {
        into_port(session, &head, target, mode, rows).await
    };
    listed.query.work.end(outcome.as_ref().err().map(Error::kind));
    outcome
}

async fn into_table(
    session: &SessionHandle,
    target: &IngestTarget,
    mode: IngestMode,
    columns: SchemaRef,
    rows: BoxStream<'static, Result<RecordBatch>>,
) -> Result<u64> {
    let (tables, table) = (&session.shared.tables, target.table.as_str());
    let known = tables.snapshot().get(table).cloned();
    // These errors are returned before the client sends the rows.
    if tables.views().contains_key(table) {
        return Err(exists("view", table));
    }
    match (mode, &known) {
        (IngestMode::Create, Some(_)) => return Err(exists("table", table)),
        (IngestMode::Append, None) => return Err(unknown(table, &tables.snapshot())),
        _ => {}
    }
    let known = known.filter(|_| matches!(mode, IngestMode::Append | IngestMode::CreateAppend));
    let columns = known.as_ref().map_or_else(|| nullable(&columns), |known| known.schema.clone());
    let (schema, name) = (columns.clone(), table.to_owned());
    let rows = rows.map(move |batch| by_name(&batch?, &schema, &name)).boxed();
    let batches = HeldRows::read(session, rows, "the uploaded rows").await?.into_batches();
    if known.is_some() {
        return tables.append(table, &columns, &batches);
    }
    let content = TableContent::new(columns, &batches)?;
    let rows = content.rows() as u64;
    let how = if mode == IngestMode::Replace { Creation::OrReplace } else { Creation::New };
    match tables.create(table, content, how) {
        // Another upload created the table first, or a view has its name.
        Err(e) if mode == IngestMode::CreateAppend && e.kind() == ErrorKind::AlreadyExists => {
            let Some(known) = tables.snapshot().get(table).cloned() else { return Err(e) };
            let batches = batches.iter().map(|b| by_name(b, &known.schema, table));
            tables.append(table, &known.schema, &batches.collect::<Result<Vec<_>>>()?)
        }
        made => made.map(|_| rows),
    }
}

async fn into_port(
    session: &SessionHandle,
    head: &FragmentHead,
    target: &IngestTarget,
    mode: IngestMode,
    rows: BoxStream<'static, Result<RecordBatch>>,
) -> Result<u64> {
    let name = target.name();
    let view = view_of(session).await;
    let (Some(domain), Some(product)) = (target.catalog.as_deref(), target.schema.as_deref()) else {
        let what = format!("`{name}` names no port: send the domain as catalog and the data product as schema");
        return Err(Error::new(ErrorKind::InvalidQuery, what));
    };
    let port = PortRef::new(domain, product, &target.table);
    let Some(known) = view.snapshot.port(&port) else {
        return Err(not_published(&name, mode, &port, &view));
    };
    match mode {
        IngestMode::Append | IngestMode::CreateAppend => {}
        IngestMode::Create => {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("port `{name}` already exists")));
        }
        IngestMode::Replace => {
            let what = format!("port `{name}` cannot be replaced: rows can only be added");
            return Err(Error::new(ErrorKind::PermissionDenied, what));
        }
    }
    let insert = Insert::permitted(session, head, &view, &port)?;
    let Some(schema) = known.schema() else {
        return Err(Error::new(ErrorKind::SiteUnavailable, format!("the columns of `{name}` are not known yet")));
    };
    let rows = rows.map(move |batch| by_name(&batch?, &schema, &name)).boxed();
    session.engine.cpu.run(session.principal(), async move { insert.append(rows).await }).await
}

/// Returns the rows, which end with an error if the statement or its session is stopped.
pub(super) fn until_stopped(
    rows: BoxStream<'static, Result<RecordBatch>>,
    stop: Stop,
) -> BoxStream<'static, Result<RecordBatch>> {
    stream::unfold((rows, stop), |(mut rows, stop)| async move {
        let next = tokio::select! {
            biased;
            () = stop.stopped() => Some(Err(stop.error())),
            next = rows.next() => next,
        };
        next.map(|next| (next, (rows, stop)))
    })
    .boxed()
}

fn not_published(name: &str, mode: IngestMode, port: &PortRef, view: &MeshView) -> Error {
    if mode != IngestMode::Append {
        let what = format!("`{name}` cannot be created: domains publish their ports themselves");
        return Error::new(ErrorKind::PermissionDenied, what);
    }
    let parts = [port.domain.as_str(), port.product.as_str(), port.port.as_str()];
    let near = view.snapshot.nearest_port(&parts).first().map(ToString::to_string);
    Error::new(ErrorKind::NotFound, format!("there is no port `{name}`")).suggesting(near)
}

/// Returns the rows with the columns of `schema`, which are found by name.
fn by_name(batch: &RecordBatch, schema: &SchemaRef, table: &str) -> Result<RecordBatch> {
    let given = batch.schema();
    distinct_names(&given)?;
    if let Some(foreign) = given.fields().iter().find(|f| schema.index_of(f.name()).is_err()) {
        let near = nearest(foreign.name(), schema.fields().iter().map(|f| f.name().as_str()));
        let what = format!("`{table}` has no column `{}`", foreign.name());
        return Err(Error::new(ErrorKind::InvalidQuery, what).suggesting(near));
    }
    let column = |field: &Arc<Field>| match batch.column_by_name(field.name()) {
        Some(column) => converted(column, field.data_type(), || {
            let wanted = sql_type(field.data_type());
            format!("`{table}`: a value of `{}` in the uploaded rows is not a valid {wanted}", field.name())
        }),
        None => Ok(new_null_array(field.data_type(), batch.num_rows())),
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
    let fields = schema.fields().iter().zip(&columns);
    let fields = fields.map(|(f, c)| Field::new(f.name(), c.data_type().clone(), true));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let arranged = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let arranged = RecordBatch::try_new_with_options(arranged, columns, &options).map_err(|e| {
        Error::new(ErrorKind::InvalidQuery, "the uploaded rows do not form a batch").with_source(arrow_text(&e))
    })?;
    conform(&arranged, schema).map_err(|e| e.within(format!("`{table}`")))
}
