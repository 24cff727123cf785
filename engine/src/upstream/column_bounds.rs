//! A workaround, part of normalising: comparisons of a column with a constant have a form that DataFusion compares rightly
//! before it moves filters down.
//!
//! `PushDownFilter` of DataFusion 55.2 keeps the narrowest of several bounds of a column (`simplify_predicates`):
//!
//! - It does not know that `0 < x` is narrower than `x >= 0`, and takes `5 = x` and `x = 5` for a contradiction
//!   (<https://github.com/apache/datafusion/pull/24763>). `SimplifyExpressions` moves constants to the right, but only
//!   those that are written as literals: `abs(0) < x` becomes `0 < x` after it.
//! - It takes NULL for the smallest value: of `x > NULL AND x > 1`, it keeps `x > 1`.
//! - It takes -0.0 for smaller than 0.0: of `z > -0.0 AND z >= 0`, it keeps `z >= 0`.
//!
//! Literals also come into a filter while the rule moves it through a projection, so each filter is looked at right before
//! the rule sees it.
//!
//! Before: `x >= 0 AND 0 < x` became `x >= 0`. After: `x >= 0 AND x > 0` becomes `x > 0`.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue};
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

/// Returns the plan with comparable bounds in its topmost filters, which the rule makes one filter of.
fn turned(plan: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Filter(filter) = plan else { return Ok(plan) };
    let input = match filter.input.as_ref() {
        LogicalPlan::Filter(_) => Arc::new(turned(Arc::unwrap_or_clone(filter.input))?),
        _ => filter.input,
    };
    let predicate = filter.predicate.transform_up(|expr| Ok(comparable(expr)))?.data;
    Ok(LogicalPlan::Filter(Filter::try_new(predicate, input)?))
}

fn comparable(expr: Expr) -> Transformed<Expr> {
    let Expr::BinaryExpr(BinaryExpr { mut left, op, mut right }) = expr else { return Transformed::no(expr) };
    let is_bound = matches!(op, Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq | Operator::Eq);
    let (Some(turned_op), true) = (op.swap(), is_bound) else {
        return Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }));
    };
    let is_null = |side: &Expr| matches!(side, Expr::Literal(value, _) if value.is_null());
    if is_null(&left) || is_null(&right) {
        return Transformed::yes(Expr::Literal(ScalarValue::Boolean(None), None));
    }
    let has_zero = without_sign(&mut left) | without_sign(&mut right);
    if matches!((left.as_ref(), right.as_ref()), (Expr::Literal(..), Expr::Column(_))) {
        return Transformed::yes(Expr::BinaryExpr(BinaryExpr { left: right, op: turned_op, right: left }));
    }
    Transformed::new_transformed(Expr::BinaryExpr(BinaryExpr { left, op, right }), has_zero)
}

/// Makes 0.0 of the literal -0.0. True if it did.
fn without_sign(expr: &mut Expr) -> bool {
    let Expr::Literal(value, _) = expr else { return false };
    let zero = match value {
        ScalarValue::Float64(Some(value)) if *value == 0.0 => ScalarValue::Float64(Some(0.0)),
        ScalarValue::Float32(Some(value)) if *value == 0.0 => ScalarValue::Float32(Some(0.0)),
        ScalarValue::Float16(Some(value)) if value.to_f32() == 0.0 => ScalarValue::Float16(Some(Default::default())),
        _ => return false,
    };
    let changed = *value != zero;
    *value = zero;
    changed
}
