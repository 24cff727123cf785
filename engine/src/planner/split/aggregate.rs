//! An aggregate over a union: a partial aggregate below each branch, and an aggregate above that combines them.

use datafusion::common::Column;
use datafusion::error::Result;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};

use super::branches;
use super::parts::{Parts, reduce};

/// Splits an aggregate over a union; `None` if its input is not a union, or if it cannot be split.
pub(super) fn over_union(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    if aggregate.group_expr.iter().any(|e| matches!(e, Expr::GroupingSet(_)) || e.is_volatile()) {
        return Ok(None);
    }
    let input = aggregate.input.schema();
    let Some(parts) = Parts::of(&aggregate.aggr_expr, input)? else { return Ok(None) };
    let Some(branches) = branches::of(&aggregate.input)? else { return Ok(None) };
    let partial = parts.partial();
    let part = |branch: LogicalPlan| {
        let groups = branches::on_branch(&aggregate.group_expr, input, branch.schema())?;
        let values = branches::on_branch(&partial, input, branch.schema())?;
        reduce(branch, groups, values)
    };
    let union = branches::union(branches.into_iter().map(part).collect::<Result<Vec<_>>>()?)?;
    let columns: Vec<Expr> = (0..union.schema().fields().len())
        .map(|i| Expr::Column(Column::from(union.schema().qualified_field(i))))
        .collect();
    let (groups, values) = columns.split_at(aggregate.group_expr.len());
    parts.combine(union, groups.to_vec(), values, &aggregate.schema).map(Some)
}
