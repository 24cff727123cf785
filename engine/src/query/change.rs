//! Runs statements that change something. The rows that a statement needs come from a query like any other, and then
//! take effect in one step or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{concat_batches, filter_record_batch, interleave};
use arrow::datatypes::UInt64Type;
use arrow::error::ArrowError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::scalar::ScalarValue;
use futures::{StreamExt, TryStreamExt};
use portolan_catalog::{Port, PortRef, ServedBy, sql_type};
use portolan_connectors::{FragmentHead, PortWriter};
use portolan_governance::Action;

use super::Prepared;
use super::audit::Insert;
use super::held_rows::HeldRows;
use super::ingest::until_stopped;
use super::parameter_names::rows_by_name;
use crate::execution::compact::compact;
use crate::execution::conform::converted;
use crate::execution::errors::{arrow_text, from_datafusion, timed_out};
use crate::mesh::MeshView;
use crate::planner::govern::PortRules;
use crate::planner::resolve::change::{Change, Content, Target};
use crate::state::SessionHandle;
use crate::state::tables::{TableContent, unknown};
use crate::state::views::unknown as unknown_view;
use crate::{Error, ErrorKind, Result};

impl Prepared {
    /// Runs a [`StatementKind::Change`](crate::StatementKind::Change) or a
    /// [`StatementKind::Setting`](crate::StatementKind::Setting) once for each row of parameters, and returns the
    /// number of changed rows. A statement without parameters runs once, whatever `parameters` contains. If the
    /// parameters have names, the columns of `parameters` have the same ones.
    ///
    /// Rows of parameters for `INSERT … VALUES (…)` take effect together. Any other statement runs once for each row.
    /// If one run fails, the runs before it have taken effect, as the error says.
    ///
    /// # Errors
    /// `InvalidQuery` if the statement returns rows, or values do not fit; any error of running the statement.
    pub async fn apply(&self, parameters: &[RecordBatch]) -> Result<u64> {
        let (this, parameters) = (self.clone(), rows_by_name(&self.parameters(), parameters)?);
        let applied = self.on_cpu(async move { Box::pin(this.apply_here(&parameters)).await });
        self.in_time(applied, || timed_out("")).await
    }

    async fn apply_here(&self, parameters: &[RecordBatch]) -> Result<u64> {
        let current = self.current().await?;
        let Some(change) = current.change() else {
            if self.kind() == crate::StatementKind::Query {
                return Err(Error::new(
                    ErrorKind::InvalidQuery,
                    "the statement returns rows: run it as a query, not as an update",
                ));
            }
            current.execute(&[]).await?.try_collect::<Vec<_>>().await?;
            return Ok(0);
        };
        if current.parameters().fields().is_empty() || parameters.is_empty() {
            // If the statement needs values, it returns the error.
            return current.apply_once(change, &[]).await;
        }
        if let (Change::Insert { into, rows }, Some(uploaded)) = (change, current.uploaded(parameters)?)
            && let Some(plan) = super::bulk::with_rows(rows, uploaded)?
        {
            return current.insert(into, current.analyse(plan)?).await;
        }
        let mut changed = 0;
        let statement = self.with_one_deadline();
        for (done, values) in rows_of(parameters).enumerate() {
            // Each run may change the tables that the next one reads.
            let outcome = Box::pin(async { statement.current().await?.apply_row(&values?).await }).await;
            changed += outcome.map_err(|e| match done {
                0 => e,
                _ => e.within(format!("the first {done} sets of parameters took effect, the next one failed")),
            })?;
        }
        Ok(changed)
    }

    async fn apply_row(&self, values: &[ScalarValue]) -> Result<u64> {
        match self.change() {
            Some(change) => self.apply_once(change, values).await,
            None => {
                Err(Error::new(ErrorKind::InvalidQuery, "the statement no longer changes anything: prepare it again"))
            }
        }
    }

    /// Runs a change once.
    pub(super) async fn apply_once(&self, change: &Change, parameters: &[ScalarValue]) -> Result<u64> {
        let tables = &self.session.shared.tables;
        match change {
            Change::Create { table, content, how } => {
                let content = match content {
                    Content::Columns(columns) => TableContent::new(columns.clone(), &[])?,
                    Content::Rows(plan) => {
                        let rows = self.start(self.bind(plan.clone(), parameters)?).await?;
                        let columns = rows.schema();
                        let rows = HeldRows::read(&self.session, rows, "the rows").await?;
                        TableContent::new(columns, &rows.into_batches())?
                    }
                };
                let made = content.rows() as u64;
                Ok(if tables.create(table, content, *how)? { made } else { 0 })
            }
            Change::Drop { table, if_exists } => match tables.remove(table) || *if_exists {
                true => Ok(0),
                false => Err(unknown(table, &tables.snapshot())),
            },
            Change::CreateView { name, view, how } => {
                tables.create_view(name, view.clone(), *how)?;
                Ok(0)
            }
            Change::DropView { name, if_exists } => match tables.remove_view(name) || *if_exists {
                true => Ok(0),
                false => Err(unknown_view(name, &tables.views())),
            },
            Change::Insert { into, rows } => self.insert(into, self.bind(rows.clone(), parameters)?).await,
            Change::Delete { table, rows } => {
                let seen = self.content(table)?;
                let numbers = numbers(self.collect(rows, parameters).await?.batches())?;
                let removed: BTreeSet<u64> = numbers.iter().copied().collect();
                tables.replace(table, &seen, without(&seen, &removed)?)?;
                Ok(removed.len() as u64)
            }
            Change::Update { table, columns, rows } => {
                let seen = self.content(table)?;
                let rows = self.collect(rows, parameters).await?;
                let (content, changed) = updated(&seen, columns, rows.batches())?;
                drop(rows);
                tables.replace(table, &seen, content)?;
                Ok(changed)
            }
            Change::CancelQuery { id } => {
                let cancelled = self.session.engine.activity.cancel_query(&self.session.shared.client(), id)?;
                Ok(cancelled as u64)
            }
            Change::CloseSession { id } => {
                self.session.engine.activity.close_session(&self.session.shared.client(), id)?;
                Ok(1)
            }
        }
    }

    /// Returns the content of the table when the statement was planned.
    fn content(&self, table: &str) -> Result<Arc<TableContent>> {
        let tables = &self.names.tables;
        tables.get(table).cloned().ok_or_else(|| unknown(table, tables))
    }

    async fn insert(&self, into: &Target, rows: LogicalPlan) -> Result<u64> {
        match into {
            Target::Session(table) => {
                let seen = self.content(table)?.schema.clone();
                let rows = HeldRows::read(&self.session, self.start(rows).await?, "the rows").await?;
                self.session.shared.tables.append(table, &seen, &rows.into_batches())
            }
            Target::Port(port) => self.append(port, rows).await,
        }
    }

    /// Stores the rows of a plan in a port. The query is listed until the rows are stored. It can be stopped until the
    /// writer has read all rows. From then on, nobody knows whether a stopped writer has added them.
    async fn append(&self, port: &PortRef, rows: LogicalPlan) -> Result<u64> {
        let (rows, listed) = self.start_listed(rows).await?;
        let head = FragmentHead::new(rows.query_id(), self.session.principal().clone(), Instant::now());
        let head = FragmentHead { purpose: self.session.settings().purpose, ..head };
        let insert = Insert::permitted(&self.session, &head, &self.view, port)?;
        self.on_cpu(async move { insert.append(until_stopped(rows.boxed(), listed.query.stop.clone())).await }).await
    }

    /// Returns the rows of the query of a statement that changes or removes rows.
    async fn collect(&self, plan: &LogicalPlan, parameters: &[ScalarValue]) -> Result<HeldRows> {
        let rows = self.start(self.bind(plan.clone(), parameters)?).await?;
        HeldRows::read_of_change(&self.session, rows).await
    }
}

/// Returns the writer of a port, if the port is at this node and accepts rows from the principal of a session.
pub(super) fn writer(
    session: &SessionHandle,
    view: &MeshView,
    port: &PortRef,
    rules: &PortRules,
) -> Result<Arc<dyn PortWriter>> {
    let principal = session.principal();
    let denied = |what: String| Err(Error::new(ErrorKind::PermissionDenied, what));
    if view.snapshot.port(port).is_some_and(Port::is_derived) {
        let what = format!("port `{port}` accepts no rows: its rows are the result of a query over other ports");
        return Err(Error::new(ErrorKind::Unsupported, what));
    }
    let Some(writer) = view.local.get(port).and_then(|opened| opened.writer.as_ref()) else {
        return match view.snapshot.domains.get(&port.domain).map(|d| &d.served_by) {
            Some(ServedBy::Peers(urls)) => Err(Error::new(
                ErrorKind::Unsupported,
                format!("port `{port}` accepts rows only at its owner: connect to {}", urls.join(" or ")),
            )),
            _ => denied(format!("port `{port}` accepts no rows: its node's config names no writers")),
        };
    };
    if !writer.takes_from(principal.name(), principal.groups()) {
        return denied(format!("port `{port}` accepts no rows from `{principal}`"));
    }
    let governed = rules.decide_for(port, Action::Insert)?;
    if governed.is_some_and(|governed| governed.filter.is_some()) {
        let what = "its policies permit some rows only, and a node does not check the rows of an INSERT";
        return denied(format!("port `{port}` accepts no rows from `{principal}`: {what}"));
    }
    Ok(writer.clone())
}

/// Returns the rows of parameters, one after another.
///
/// # Errors
/// Each row: `InvalidQuery` if a value has a type without a scalar.
pub fn rows_of(parameters: &[RecordBatch]) -> impl Iterator<Item = Result<Vec<ScalarValue>>> + '_ {
    parameters.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row))).map(|(batch, row)| {
        let value = |column: &ArrayRef| {
            match ScalarValue::try_from_array(column, row) {
                // Clients that know no types send each value as a union of types.
                Ok(ScalarValue::Union(value, ..)) => Ok(value.map_or(ScalarValue::Null, |(_, value)| *value)),
                Ok(value) => Ok(value),
                Err(e) => Err(from_datafusion(&e).within("a parameter cannot be read")),
            }
        };
        batch.columns().iter().map(value).collect()
    })
}

fn numbers(batches: &[RecordBatch]) -> Result<Vec<u64>> {
    let mut numbers = vec![];
    for batch in batches {
        let column = batch.columns().first().and_then(|c| c.as_primitive_opt::<UInt64Type>());
        let column = column.ok_or_else(|| Error::new(ErrorKind::Internal, "the rows to change have no numbers"))?;
        numbers.extend(column.values());
    }
    Ok(numbers)
}

fn without(seen: &TableContent, removed: &BTreeSet<u64>) -> Result<TableContent> {
    let mut first = 0;
    let keep = |batch: &RecordBatch| {
        let next = first + batch.num_rows() as u64;
        let kept: BooleanArray = (first..next).map(|n| Some(!removed.contains(&n))).collect();
        first = next;
        compact(&filter_record_batch(batch, &kept).map_err(internal)?)
    };
    let batches = seen.batches.iter().map(keep).collect::<Result<Vec<_>>>()?;
    TableContent::new(seen.schema.clone(), &batches)
}

/// Returns the table with new values in `columns`, and the number of changed rows. `rows` has the number of each row,
/// followed by the values.
fn updated(seen: &TableContent, columns: &[usize], rows: &[RecordBatch]) -> Result<(TableContent, u64)> {
    let mut places = BTreeMap::new();
    for (place, number) in numbers(rows)?.into_iter().enumerate() {
        if places.insert(number, place).is_some() {
            return Err(Error::new(ErrorKind::InvalidQuery, "a row would be changed twice"));
        }
    }
    let Some(first) = rows.first() else {
        return Ok((TableContent { schema: seen.schema.clone(), batches: seen.batches.clone() }, 0));
    };
    let old = concat_batches(&seen.schema, &seen.batches).map_err(internal)?;
    let new = concat_batches(&first.schema(), rows).map_err(internal)?;
    // The source of each row: the old rows, or the new values.
    let chosen: Vec<(usize, usize)> =
        (0..old.num_rows()).map(|row| places.get(&(row as u64)).map_or((0, row), |place| (1, *place))).collect();
    let mut arrays = old.columns().to_vec();
    for (value, column) in columns.iter().enumerate() {
        let field = seen.schema.field(*column);
        let values = converted(new.column(value + 1), field.data_type(), || {
            format!("a new value of `{}` does not fit {}", field.name(), sql_type(field.data_type()))
        })?;
        arrays[*column] = interleave(&[old.column(*column), &values], &chosen).map_err(internal)?;
    }
    let options = RecordBatchOptions::new().with_row_count(Some(old.num_rows()));
    let batch = RecordBatch::try_new_with_options(seen.schema.clone(), arrays, &options).map_err(|e| {
        Error::new(ErrorKind::InvalidQuery, "a new value does not fit its column").with_source(arrow_text(&e))
    })?;
    Ok((TableContent::new(seen.schema.clone(), &[compact(&batch)?])?, places.len() as u64))
}

fn internal(error: ArrowError) -> Error {
    Error::new(ErrorKind::Internal, "the rows of a table cannot be combined").with_source(error)
}

#[cfg(test)]
mod tests;
