//! Says how a query runs, and how it ran: sites, fragments as SQL for people, and why each operator that stayed here
//! was not placed at an owner.

mod measured;
mod tree;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::unparser::plan_to_sql;

pub(crate) use measured::{local_operators, measured};

use crate::planner::{Fragment, Planned};
use crate::{Error, ErrorKind, Result};

/// The columns of EXPLAIN: what a row is about, and the text. The names are DataFusion's, which clients know.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("plan_type", DataType::Utf8, true), Field::new("plan", DataType::Utf8, true)]))
}

/// The rows of `EXPLAIN`, as pairs.
pub(crate) fn planned(planned: &Planned, physical: &Arc<dyn ExecutionPlan>, verbose: bool) -> Vec<(String, String)> {
    let mut rows = vec![("placement".to_owned(), tree::draw(&planned.placed))];
    rows.extend(planned.fragments.iter().map(|f| (format!("fragment {}", f.number), describe(f))));
    if verbose {
        rows.push(("normalised".into(), planned.normalised.display_indent().to_string()));
        rows.push(("here".into(), planned.plan.display_indent().to_string()));
        rows.push(("physical".into(), measured::lines(&local_operators(physical.as_ref()))));
    }
    rows
}

/// A fragment in words: its site, its estimate, and its SQL.
fn describe(fragment: &Fragment) -> String {
    let rows = fragment.rows.map(|r| format!(", about {r} rows")).unwrap_or_default();
    format!("at {} ({}){rows}\n{}", fragment.domains.join(", "), fragment.site, sql(&fragment.plan))
}

/// SQL for people. It is not what travels: the plan is.
fn sql(plan: &LogicalPlan) -> String {
    match plan_to_sql(plan) {
        Ok(statement) => format!("{statement:#}"),
        Err(_) => plan.display_indent().to_string(),
    }
}

/// The rows as a batch.
///
/// # Errors
/// `Internal`, which a test would find.
pub(crate) fn batch(rows: Vec<(String, String)>) -> Result<RecordBatch> {
    let (types, plans): (Vec<_>, Vec<_>) = rows.into_iter().map(|(t, p)| (Some(t), Some(p))).unzip();
    let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(types)), Arc::new(StringArray::from(plans))];
    RecordBatch::try_new(schema(), columns)
        .map_err(|e| Error::new(ErrorKind::Internal, "EXPLAIN has no form").with_source(e))
}

#[cfg(test)]
mod tests;
