//! What a query did, once it ran: rows, bytes and times per edge, and the metrics of every operator, the remote ones'
//! included.

use std::fmt::{self, Write};
use std::sync::Arc;

use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan, ExecutionPlanVisitor, accept};
use portolan_connectors::OperatorMetrics;

use crate::exchange::RemoteScanExec;

/// The metrics that are told of an operator, where they are not zero: what helps to find where time and bytes go.
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

/// The rows of `EXPLAIN ANALYZE` after those of `EXPLAIN`: a row an edge, then the operators here.
pub(crate) fn measured(scans: &[Arc<RemoteScanExec>], plan: &Arc<dyn ExecutionPlan>) -> Vec<(String, String)> {
    let mut rows: Vec<_> = scans.iter().map(|s| (format!("edge {}", s.fragment.number), edge(s))).collect();
    rows.push(("here".into(), lines(&local_operators(plan.as_ref()))));
    rows
}

fn edge(scan: &RemoteScanExec) -> String {
    let metrics = scan.metrics().unwrap_or_default();
    let named = |name: &str| metrics.sum_by_name(name).map_or_else(|| "none".to_owned(), |m| m.to_string());
    let mut text = format!(
        "from {} ({}): {} rows, {} bytes, first batch after {}",
        scan.fragment.domains.join(", "),
        scan.fragment.site,
        metrics.output_rows().unwrap_or(0),
        metrics.sum_by_name("wire_bytes").map_or(0, |m| m.as_usize()),
        named("time_to_first_batch"),
    );
    if let Some(keys) = scan.key_report() {
        let _ = write!(text, "\nkeys: {keys}");
    }
    match scan.summary() {
        Some(summary) => {
            let _ = write!(text, "\n{}", lines(&summary.operators));
        }
        None => text.push_str("\nit was stopped before its end: its operators tell nothing"),
    }
    text
}

pub(super) fn lines(operators: &[OperatorMetrics]) -> String {
    let mut text = String::new();
    for operator in operators {
        let indent = "  ".repeat(operator.depth);
        let comma = if operator.metrics.is_empty() { "" } else { ", " };
        let _ = writeln!(text, "{indent}{}{comma}{}", operator.operator, operator.metrics);
    }
    text.truncate(text.trim_end().len());
    text
}

/// Every operator of a physical plan with what it did.
pub(crate) fn local_operators(plan: &dyn ExecutionPlan) -> Vec<OperatorMetrics> {
    let mut collector = Collector { depth: 0, operators: vec![] };
    // The collector itself never fails.
    let _ = accept(plan, &mut collector);
    collector.operators
}

/// An operator as it prints itself in one line.
struct Line<'a>(&'a dyn ExecutionPlan);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_as(DisplayFormatType::Default, f)
    }
}

/// Where files lie is their owner's business: only how many groups of them are read is told.
fn without_locations(line: &str) -> String {
    const OPEN: &str = "file_groups={";
    let Some(start) = line.find(OPEN) else { return line.to_owned() };
    let (head, rest) = line.split_at(start + OPEN.len());
    match (rest.find(':'), rest.find("]]}")) {
        (Some(count), Some(end)) => format!("{head}{}{}", &rest[..count], &rest[end + 2..]),
        // A form that is not known might hold a location anywhere.
        _ => "DataSourceExec".to_owned(),
    }
}

struct Collector {
    depth: usize,
    operators: Vec<OperatorMetrics>,
}

impl ExecutionPlanVisitor for Collector {
    type Error = std::convert::Infallible;

    fn pre_visit(&mut self, plan: &dyn ExecutionPlan) -> Result<bool, Self::Error> {
        let metrics = plan.metrics().map(|m| m.aggregate_by_name().sorted_for_display());
        let told: Vec<String> = metrics
            .iter()
            .flat_map(|m| m.iter())
            .filter(|m| {
                METRICS_TOLD.contains(&m.value().name())
                    && (m.value().as_usize() > 0 || m.value().name() == "output_rows")
            })
            .map(|m| m.to_string())
            .collect();
        self.operators.push(OperatorMetrics {
            depth: self.depth,
            operator: without_locations(&Line(plan).to_string()),
            metrics: told.join(", "),
        });
        self.depth += 1;
        Ok(true)
    }

    fn post_visit(&mut self, _: &dyn ExecutionPlan) -> Result<bool, Self::Error> {
        self.depth -= 1;
        Ok(true)
    }
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
