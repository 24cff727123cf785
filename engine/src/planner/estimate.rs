//! A first idea of how many rows a fragment gives: enough for DataFusion to put the smaller side of a hash join on its
//! build side. Guesses by rule of thumb; they steer cost and never results.

use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{FetchType, JoinType, LogicalPlan, SkipType};

/// A predicate keeps one row in so many (as System R assumed for a range).
const FILTER_KEEPS_ONE_IN: usize = 4;
/// A grouping makes one group of so many rows.
const ROWS_PER_GROUP: usize = 4;

/// How many rows the plan is likely to give; `None` where the size of a port is not known.
pub(super) fn estimated_rows(plan: &LogicalPlan) -> Option<usize> {
    let input = |i: usize| plan.inputs().get(i).and_then(|p| estimated_rows(p));
    let capped = |rows: Option<usize>, fetch: Option<usize>| match (rows, fetch) {
        (Some(rows), Some(fetch)) => Some(rows.min(fetch)),
        (rows, fetch) => rows.or(fetch),
    };
    match plan {
        LogicalPlan::TableScan(scan) => {
            let statistics = source_as_provider(&scan.source).ok()?.statistics()?;
            statistics.num_rows.get_value().copied()
        }
        LogicalPlan::Filter(_) => Some((input(0)? / FILTER_KEEPS_ONE_IN).max(1)),
        LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => Some(1),
        LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) => Some((input(0)? / ROWS_PER_GROUP).max(1)),
        LogicalPlan::Sort(sort) => capped(input(0), sort.fetch),
        LogicalPlan::Limit(limit) => {
            let literal = |fetch| if let Ok(FetchType::Literal(fetch)) = fetch { fetch } else { None };
            let skipped = if let Ok(SkipType::Literal(skip)) = limit.get_skip_type() { skip } else { 0 };
            capped(input(0).map(|rows| rows.saturating_sub(skipped)), literal(limit.get_fetch_type()))
        }
        LogicalPlan::Join(join) => Some(match join.join_type {
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => input(0)?,
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => input(1)?,
            // A foreign key finds its one row.
            _ if !join.on.is_empty() => input(0)?.max(input(1)?),
            _ => input(0)?.saturating_mul(input(1)?),
        }),
        LogicalPlan::Union(union) => union.inputs.iter().map(|i| estimated_rows(i)).sum(),
        LogicalPlan::EmptyRelation(empty) => Some(usize::from(empty.produce_one_row)),
        LogicalPlan::Values(values) => Some(values.values.len()),
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Window(_) => input(0),
        _ => None,
    }
}
