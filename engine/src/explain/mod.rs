//! EXPLAIN: how a query runs, and how it ran. It shows sites, fragments as SQL, how rows cross each edge and the
//! alternatives. If an operator stayed at the local node, it shows the reason why it was not placed at an owner.

mod compose;
mod document;
mod edges;
mod figures;
mod graphviz;
mod match_operators;
mod measured;
mod passes;
mod picture;
mod svg;
mod tree;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::unparser::plan_to_sql;

pub(crate) use measured::local_operators;
pub(crate) use passes::PassRows;

use self::compose::{ExecutedPlan, document};
use self::document::{FragmentEntry, PlanDocument};
use crate::exchange::LiveEdge;
use crate::plan::Planned;
use crate::planner::resolve::{ExplainOptions, Format};
use crate::{Error, ErrorKind, Result};

/// Returns the columns of EXPLAIN: the subject of a row, and its text. The names are DataFusion's, which clients know.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("plan_type", DataType::Utf8, true), Field::new("plan", DataType::Utf8, true)]))
}

/// Returns the rows of EXPLAIN as pairs, or the rows of `EXPLAIN ANALYZE` if `edges` has the edges of a query that ran.
/// The rows of `EXPLAIN VERBOSE` about planning come first: see [`PassRows`].
///
/// # Errors
/// `Unsupported` for a picture of more operators than a picture can show.
pub(crate) fn rows(
    planned: &Planned,
    physical: &Arc<dyn ExecutionPlan>,
    options: ExplainOptions,
    edges: Option<&[Arc<LiveEdge>]>,
) -> Result<Vec<(String, String)>> {
    let document = document(planned, edges.map(|edges| ExecutedPlan { edges, physical: physical.as_ref() }));
    let one = |kind: &str, text| Ok(vec![(kind.to_owned(), text)]);
    match options.format {
        Format::Text => {
            let mut rows = pages(&document);
            if options.verbose {
                rows.push(("physical".into(), measured::lines(&local_operators(physical.as_ref(), None))));
            }
            if edges.is_some() {
                rows.extend(document.fragments.iter().map(|f| (format!("edge {}", f.number), edges::crossed(f))));
                let operators = local_operators(physical.as_ref(), Some(&planned.placed));
                rows.push(("here".into(), measured::lines(&operators)));
            }
            Ok(rows)
        }
        Format::Json => {
            let text = serde_json::to_string_pretty(&document)
                .map_err(|e| Error::new(ErrorKind::Internal, "EXPLAIN cannot be encoded as JSON").with_source(e))?;
            // JSON allows these characters unescaped, but a terminal interprets them.
            let text = text.chars().map(|c| match c {
                '\u{7f}'..='\u{9f}' => format!("\\u{:04x}", u32::from(c)),
                c => c.to_string(),
            });
            one("json", text.collect())
        }
        Format::Graphviz => one("graphviz", graphviz::write(&picture::picture(&document)?)),
        Format::Svg => one("svg", svg::write(&picture::picture(&document)?)),
    }
}

/// Returns the pages with the estimates and, if the query ran, their errors.
fn pages(document: &PlanDocument) -> Vec<(String, String)> {
    let mut rows = vec![("placement".to_owned(), tree::draw(&document.plan, &document.fragments))];
    rows.extend(edges::overview(document).map(|text| ("edges".to_owned(), text)));
    rows.extend(document.adapted.as_ref().map(|why| ("adapted".to_owned(), why.clone())));
    rows.extend(document.q_error.as_ref().map(|e| {
        let text =
            format!("q-error: median {:.1}, largest {:.1} ({}), of {} compared", e.median, e.max, e.worst, e.compared);
        ("estimates".to_owned(), text)
    }));
    rows.extend(document.fragments.iter().map(|f| (format!("fragment {}", f.number), describe(f))));
    rows
}

/// Describes a fragment: its site, its estimate, and its SQL.
fn describe(fragment: &FragmentEntry) -> String {
    let rows = fragment.edge.rows.map(|r| format!(", about {r} rows")).unwrap_or_default();
    format!("at {} ({}){rows}\n{}", fragment.domains.join(", "), fragment.site, fragment.sql)
}

/// Returns a plan as readable SQL. The owner receives the plan, not this text.
fn sql(plan: &LogicalPlan) -> String {
    match plan_to_sql(plan) {
        Ok(statement) => format!("{statement:#}"),
        Err(_) => plan.display_indent().to_string(),
    }
}

/// Returns the rows as a batch.
///
/// # Errors
/// `Internal`, which would be a bug.
pub(crate) fn batch(rows: Vec<(String, String)>) -> Result<RecordBatch> {
    let (types, plans): (Vec<_>, Vec<_>) = rows.into_iter().map(|(t, p)| (Some(t), Some(p))).unzip();
    let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(types)), Arc::new(StringArray::from(plans))];
    RecordBatch::try_new(schema(), columns)
        .map_err(|e| Error::new(ErrorKind::Internal, "the rows of EXPLAIN do not form a batch").with_source(e))
}

#[cfg(test)]
mod tests;
