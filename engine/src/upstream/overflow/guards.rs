//! Expressions that may fail are not evaluated on rows that a condition excludes.
//!
//! DataFusion 55.2 evaluates both sides of `AND` on all rows, unless the left side excludes four in five. It also
//! evaluates the arguments of an aggregate on rows that the aggregate's `FILTER` excludes. So
//! `WHERE x < 1000 AND x * x > 5` would overflow on a row that the query excludes, and `WHERE x <> 0 AND 1 / x > 0`
//! divides by zero. A `CASE` evaluates its branches on their own rows only. See
//! <https://github.com/apache/datafusion/issues/8814>.
//!
//! An aggregate with two equal arguments is not covered: the optimizer computes `x * x` once, for all rows.
//!
//! Before: `x < 1000 AND x * x > 5`. After: `x < 1000 AND CASE WHEN x < 1000 THEN x * x > 5 ELSE false END`. The first
//! conjunct stays one of its own, since scans skip files by it.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::utils::{conjunction, disjunction, split_binary_owned, split_conjunction_owned};
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, when};
use datafusion::prelude::lit;

use super::checked;

/// True for the operators that fail on a zero.
pub(super) fn divides(operator: Operator) -> bool {
    matches!(operator, Operator::Divide | Operator::Modulo)
}

/// Returns the condition of a filter in which expressions that may fail read only rows that the other conjuncts leave
/// open. A NULL may become false: a filter accepts neither.
pub(super) fn of_condition(condition: Expr, schema: &DFSchema) -> Result<Expr> {
    let may_fail = |e: &Expr| may_fail(e, schema);
    if !may_fail(&condition) {
        return Ok(condition);
    }
    // A volatile conjunct must be evaluated once, and so is not repeated as a guard.
    let (last, first): (Vec<Expr>, Vec<Expr>) =
        split_conjunction_owned(condition).into_iter().partition(|e| may_fail(e) || e.is_volatile());
    let mut chained: Option<Expr> = None;
    for next in last.into_iter().rev() {
        let next = of_alternatives(next, schema)?;
        chained = Some(match chained {
            Some(rest) => when(next, rest).otherwise(lit(false))?,
            None => next,
        });
    }
    Ok(match (conjunction(first), chained) {
        (Some(first), Some(chained)) => first.clone().and(when(first, chained).otherwise(lit(false))?),
        (first, chained) => first.or(chained).unwrap_or_else(|| lit(true)),
    })
}

/// Returns one conjunct in which alternatives that may fail read only rows that the other alternatives do not accept.
fn of_alternatives(conjunct: Expr, schema: &DFSchema) -> Result<Expr> {
    let alternatives = split_binary_owned(conjunct, Operator::Or);
    let (last, first): (Vec<Expr>, Vec<Expr>) = alternatives.into_iter().partition(|e| may_fail(e, schema));
    Ok(match (disjunction(first), disjunction(last)) {
        (Some(first), Some(last)) => when(first, lit(true)).otherwise(last)?,
        (first, last) => first.or(last).unwrap_or_else(|| lit(false)),
    })
}

/// Returns the expression with aggregates whose arguments are evaluated only on the rows of their `FILTER`.
pub(super) fn of_aggregates(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let guarded = expr.transform_up(|e| {
        let Expr::AggregateFunction(AggregateFunction { func, mut params }) = e else { return Ok(Transformed::no(e)) };
        let (Some(filter), true) = (params.filter.clone(), params.args.iter().any(|a| may_fail(a, schema))) else {
            return Ok(Transformed::no(Expr::AggregateFunction(AggregateFunction { func, params })));
        };
        if filter.is_volatile() {
            return Ok(Transformed::no(Expr::AggregateFunction(AggregateFunction { func, params })));
        }
        let name = func.schema_name(&params)?;
        for argument in params.args.iter_mut().filter(|a| may_fail(a, schema)) {
            *argument = when(filter.as_ref().clone(), std::mem::take(argument)).end()?;
        }
        Ok(Transformed::yes(Expr::AggregateFunction(AggregateFunction { func, params }).alias(name)))
    })?;
    Ok(guarded.data)
}

fn may_fail(expr: &Expr, schema: &DFSchema) -> bool {
    let found = expr.exists(|e| {
        Ok(match e {
            Expr::BinaryExpr(binary) if divides(binary.op) => !e.get_type(schema).is_ok_and(|t| t.is_floating()),
            other => checked::parts(other).is_some(),
        })
    });
    found.unwrap_or(true)
}
