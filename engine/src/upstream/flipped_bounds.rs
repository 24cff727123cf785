//! A workaround, part of normalising: a comparison of a column with a constant has the column on the left before filters
//! are moved down.
//!
//! `PushDownFilter` of DataFusion 55.2 keeps the narrowest of several bounds of a column (`simplify_predicates`). It does
//! not know that `0 < x` is narrower than `x >= 0`, and takes `5 = x` and `x = 5` for a contradiction
//! (<https://github.com/apache/datafusion/pull/24763>). `SimplifyExpressions` moves constants to the right, but only those
//! that are written as literals: `abs(0) < x` becomes `0 < x` after it.
//!
//! Before: `x >= 0 AND 0 < x` became `x >= 0`. After: `x >= 0 AND x > 0` becomes `x > 0`.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{BinaryExpr, Expr, Filter, LogicalPlan, Operator};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::guarded_rules::{Action, Guard};

pub(super) const GUARD: Guard = Guard { rules: &["push_down_filter"], action: Action::Replace(rewrite) };

fn rewrite(
    rule: &dyn OptimizerRule,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    rule.rewrite(turned(plan)?, config)
}

/// Returns the plan with the columns on the left in its topmost filters, which the rule makes one filter of.
fn turned(plan: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Filter(filter) = plan else { return Ok(plan) };
    let input = match filter.input.as_ref() {
        LogicalPlan::Filter(_) => Arc::new(turned(Arc::unwrap_or_clone(filter.input))?),
        _ => filter.input,
    };
    Ok(LogicalPlan::Filter(Filter::try_new(filter.predicate.transform_down(turned_bound)?.data, input)?))
}

fn turned_bound(expr: Expr) -> Result<Transformed<Expr>> {
    let Expr::BinaryExpr(comparison) = expr else { return Ok(Transformed::no(expr)) };
    let compares =
        matches!(comparison.op, Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq | Operator::Eq);
    match (comparison.left.as_ref(), comparison.right.as_ref(), comparison.op.swap()) {
        (Expr::Literal(..), Expr::Column(_), Some(op)) if compares => {
            Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(comparison.right, op, comparison.left))))
        }
        _ => Ok(Transformed::no(Expr::BinaryExpr(comparison))),
    }
}
