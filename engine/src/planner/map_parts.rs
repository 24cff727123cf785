//! Rewrites the inputs and the subqueries of an operator together with their places in the placed plan.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::plan::Placed;

/// Returns an operator with the inputs and the subqueries that `rewrite` returns. `placed` is the operator with its site.
pub(super) fn map_parts(
    plan: LogicalPlan,
    placed: &mut Placed,
    mut rewrite: impl FnMut(LogicalPlan, &mut Placed) -> Result<LogicalPlan>,
) -> Result<LogicalPlan> {
    let mut inputs = placed.inputs.iter_mut();
    let plan = plan.map_children(|child| match inputs.next() {
        Some(input) => rewrite(child, input).map(Transformed::yes),
        None => Ok(Transformed::no(child)),
    })?;
    if placed.subqueries.is_empty() {
        return Ok(plan.data);
    }
    let mut subqueries = placed.subqueries.iter_mut();
    let plan = plan.data.map_expressions(|expr| {
        expr.transform_down(|mut e| {
            let subquery = match &mut e {
                Expr::ScalarSubquery(subquery) => subquery,
                Expr::InSubquery(test) => &mut test.subquery,
                Expr::Exists(test) => &mut test.subquery,
                _ => return Ok(Transformed::no(e)),
            };
            let Some(placed) = subqueries.next() else { return Ok(Transformed::no(e)) };
            let LogicalPlan::Subquery(rewritten) = rewrite(LogicalPlan::Subquery(subquery.clone()), placed)? else {
                return Ok(Transformed::no(e));
            };
            *subquery = rewritten;
            Ok(Transformed::yes(e))
        })
    })?;
    Ok(plan.data)
}
