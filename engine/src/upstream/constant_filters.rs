//! A workaround, part of normalising: a filter that reads no column stays above an aggregate that returns a row for an
//! empty input.
//!
//! `PushDownFilter` of DataFusion 55.2 moves a filter below an aggregate if all columns of the filter are grouped by. A
//! filter without columns meets this condition. But an aggregate without groups, or with an empty grouping set, returns
//! a row even if the filter leaves none.
//! Before: `Aggregate: count(*) (Filter: false (b))`, one row.
//! After: `Filter: false (Aggregate: count(*) (b))`, no row.

use datafusion::common::Result;
use datafusion::logical_expr::logical_plan::Filter;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::guarded_rules::{Action, Guard};

pub(super) const GUARD: Guard = Guard { rules: &["push_down_filter"], action: Action::Skip(is_to_stay) };

/// True for a filter above an aggregate that returns a row for an empty input, if this filter or one between reads no
/// column.
fn is_to_stay(plan: &LogicalPlan) -> Result<bool> {
    let LogicalPlan::Filter(filter) = plan else { return Ok(false) };
    let constant = |filter: &Filter| split_conjunction(&filter.predicate).iter().any(|e| e.column_refs().is_empty());
    let (mut found, mut input) = (constant(filter), &filter.input);
    while let LogicalPlan::Filter(below) = input.as_ref() {
        found |= constant(below);
        input = &below.input;
    }
    Ok(match input.as_ref() {
        LogicalPlan::Aggregate(aggregate) => {
            found && matches!(aggregate.group_expr.as_slice(), [] | [Expr::GroupingSet(_)])
        }
        _ => false,
    })
}
