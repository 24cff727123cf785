//! The measurements of a query that ran: rows, bytes and times for each edge, and the metrics of every operator, remote
//! ones included.

use std::fmt::{self, Write};

use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan};
use portolan_connectors::{OperatorMetrics, PulledRows};

use super::document::{EdgeActual, Pulled};
use super::figures::count;
use super::match_operators::match_operators;
use crate::exchange::LiveEdge;
use crate::plan::Placed;
use crate::planner::cardinality::q_error::q_error;

/// The metrics of an operator that are shown if they are not zero. They help to find where time and bytes go.
const METRICS_TOLD: &[&str] = &[
    "output_rows",
    "elapsed_compute",
    "build_time",
    "join_time",
    "build_input_rows",
    "bytes_scanned",
    "time_elapsed_scanning_total",
    "spill_count",
    "spilled_bytes",
    "wire_bytes",
    "time_to_first_batch",
];

/// Returns the measurements of an edge.
pub(super) fn edge_actual(edge: &LiveEdge) -> EdgeActual {
    let metrics = edge.metrics.clone_inner();
    let first_batch = metrics.sum_by_name("time_to_first_batch").map(|m| m.as_usize() as f64 / 1e6);
    let summary = edge.summary();
    EdgeActual {
        rows: metrics.output_rows().unwrap_or(0) as u64,
        bytes: metrics.sum_by_name("wire_bytes").map_or(0, |m| m.as_usize()) as u64,
        first_batch_ms: first_batch.filter(|ms| *ms > 0.0),
        complete: summary.is_some(),
        q_error: None,
        keys: keys_report(edge),
        pulled: summary.iter().flat_map(|s| &s.pulled).map(pulled).collect(),
        operators: summary.map(|s| s.operators).unwrap_or_default(),
    }
}

fn pulled(rows: &PulledRows) -> Pulled {
    let PulledRows { domains, site, rows, bytes, bytes_sent } = rows.clone();
    Pulled { domains, site, rows, bytes, key_bytes: bytes_sent }
}

/// Describes the keys that were sent to an owner: their encoding and number, their bytes, how long the scan waited, and
/// whether their number deviates from the expected one. `None` if no keys were sent.
fn keys_report(edge: &LiveEdge) -> Option<String> {
    edge.key_report().map(|report| report.to_string())
}

pub(super) fn lines(operators: &[OperatorMetrics]) -> String {
    let mut text = String::new();
    for operator in operators {
        let indent = "  ".repeat(operator.depth);
        let comma = if operator.metrics.is_empty() { "" } else { ", " };
        let estimate = match (operator.estimated_rows, operator.rows) {
            (Some(estimate), Some(rows)) => {
                format!(", expected {} rows, q-error {:.1}", count(estimate), q_error(estimate, rows as f64))
            }
            _ => String::new(),
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{indent}{}{comma}{}{estimate}", operator.operator, operator.metrics);
    }
    text.truncate(text.trim_end().len());
    text
}

/// Returns every operator of a physical plan with its metrics, and with the planner's estimate if it is known.
pub(crate) fn local_operators(plan: &dyn ExecutionPlan, placed: Option<&Placed>) -> Vec<OperatorMetrics> {
    let mut operators = vec![];
    note_operators(plan, 0, &mut operators);
    if let Some(placed) = placed {
        let mut expected = vec![];
        note_expected(placed, false, &mut expected);
        for (here, there) in match_operators(placed, plan) {
            if let (Some(rows), Some(operator)) = (expected.get(here), operators.get_mut(there)) {
                operator.estimated_rows = *rows;
            }
        }
    }
    operators
}

/// Notes the estimates in the order of the printed plan, but none below a limit, which stops operators early, and no
/// assumptions.
fn note_expected(placed: &Placed, limited: bool, expected: &mut Vec<Option<f64>>) {
    let limited = match placed.plan {
        LogicalPlan::Limit(_) => true,
        LogicalPlan::Aggregate(_) | LogicalPlan::Sort(_) | LogicalPlan::Window(_) => false,
        _ => limited,
    };
    let is_estimated = !limited && !placed.is_assumed();
    expected.push(Some(placed.rows).filter(|rows| *rows > 0.0 && is_estimated));
    placed.subqueries.iter().chain(placed.shown_inputs()).for_each(|input| note_expected(input, limited, expected));
}

/// An operator that prints itself in one line.
struct OperatorLine<'a>(&'a dyn ExecutionPlan);

impl fmt::Display for OperatorLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_as(DisplayFormatType::Default, f)
    }
}

/// Removes the locations of files, which only their owner may know, and keeps the number of file groups.
fn without_locations(line: &str) -> String {
    const OPEN: &str = "file_groups={";
    let Some(start) = line.find(OPEN) else { return line.to_owned() };
    let (head, rest) = line.split_at(start + OPEN.len());
    match (rest.find(':'), rest.find("]]}")) {
        (Some(count), Some(end)) => format!("{head}{}{}", &rest[..count], &rest[end + 2..]),
        // An unknown format might contain a location anywhere.
        _ => "DataSourceExec".to_owned(),
    }
}

/// Notes the operators in the order of the printed plan.
fn note_operators(plan: &dyn ExecutionPlan, depth: usize, operators: &mut Vec<OperatorMetrics>) {
    let metrics = plan.metrics().map(|m| m.aggregate_by_name().sorted_for_display());
    let told: Vec<String> = metrics
        .iter()
        .flat_map(|m| m.iter())
        .filter(|m| {
            METRICS_TOLD.contains(&m.value().name()) && (m.value().as_usize() > 0 || m.value().name() == "output_rows")
        })
        .map(|m| m.to_string())
        .collect();
    operators.push(OperatorMetrics {
        depth,
        operator: without_locations(&OperatorLine(plan).to_string()),
        metrics: told.join(", "),
        rows: metrics.as_ref().and_then(|m| m.output_rows()).map(|rows| rows as u64),
        estimated_rows: None,
    });
    plan.children().into_iter().for_each(|child| note_operators(child.as_ref(), depth + 1, operators));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_files_lie_is_not_told() {
        let line = "DataSourceExec: file_groups={2 groups: [[a/b.parquet:0..5], [a/c.parquet]]}, projection=[k]";
        assert_eq!(without_locations(line), "DataSourceExec: file_groups={2 groups}, projection=[k]");
        assert_eq!(without_locations("DataSourceExec: file_groups={odd a/b"), "DataSourceExec");
        assert_eq!(without_locations("FilterExec: k@0 > 1"), "FilterExec: k@0 > 1");
    }
}
