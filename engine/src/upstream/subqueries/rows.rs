//! Compares row values value by value: `(a, b) = (c, d)` is `a = c AND b = d`, and NULL if the outcome is not known.
//!
//! DataFusion 55.2 compares row values as structs, for which NULL equals NULL. It refuses them next to a subquery
//! (<https://github.com/apache/datafusion/issues/4656>, <https://github.com/apache/datafusion/pull/19857>).

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::utils::{conjunction, disjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, binary_expr, not};

use super::predicate::row;
use super::refused;
use super::scope::subquery_of;
use crate::upstream::expressions::{any, has_expression, is_volatile, map_named};

/// Compares the row values in the expressions of one operator value by value.
pub(super) fn compared_by_value(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if !has_expression(&plan, |e| any(e, is_of_rows)) {
        return Ok(Transformed::no(plan));
    }
    map_named(plan, |e| match is_of_rows(&e) {
        true => {
            let compared = by_value(e)?;
            check_parts(&compared)?;
            Ok(Transformed::yes(compared))
        }
        false => Ok(Transformed::no(e)),
    })
}

/// True for a comparison whose sides are row values.
fn is_of_rows(expr: &Expr) -> bool {
    let is_row = |e: &Expr| row(e).len() > 1;
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            use Operator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
            matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq) && is_row(left) && is_row(right)
        }
        Expr::InList(InList { expr, list, .. }) => is_row(expr) && list.iter().all(is_row),
        _ => false,
    }
}

fn by_value(expr: Expr) -> Result<Expr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => compare(row(&left), op, row(&right)),
        Expr::InList(InList { expr, list, negated }) => {
            if list.len() > 1 {
                check_repeatable(&expr)?;
            }
            let equal = list.iter().map(|item| compare(row(&expr), Operator::Eq, row(item)));
            let found =
                disjunction(equal.collect::<Result<Vec<_>>>()?).unwrap_or_else(|| datafusion::prelude::lit(false));
            Ok(if negated { not(found) } else { found })
        }
        other => Ok(other),
    }
}

fn compare(left: Vec<Expr>, op: Operator, right: Vec<Expr>) -> Result<Expr> {
    if left.len() != right.len() {
        return Err(refused(
            &format!("a row of {} values is compared with one of {}", left.len(), right.len()),
            "give both rows as many values",
        ));
    }
    let pairs = left.iter().zip(&right);
    let known = datafusion::prelude::lit(true);
    let all = |op| pairs.clone().map(move |(l, r)| pair(l, op, r)).collect::<Result<Vec<_>>>();
    Ok(match op {
        Operator::Eq => conjunction(all(op)?).unwrap_or(known),
        Operator::NotEq => disjunction(all(op)?).unwrap_or_else(|| not(known)),
        // The first values that differ decide.
        _ => {
            let strict = match op {
                Operator::LtEq => Operator::Lt,
                Operator::GtEq => Operator::Gt,
                other => other,
            };
            let mut pairs: Vec<_> = pairs.collect();
            let last = pairs.pop().map(|(l, r)| pair(l, op, r)).transpose()?.unwrap_or(known);
            for (l, r) in &pairs {
                check_repeatable(l)?;
                check_repeatable(r)?;
            }
            pairs.into_iter().rev().try_fold(last, |rest, (l, r)| -> Result<Expr> {
                Ok(pair(l, strict, r)?.or(pair(l, Operator::Eq, r)?.and(rest)))
            })?
        }
    })
}

/// Compares two values, which may be rows themselves.
fn pair(left: &Expr, op: Operator, right: &Expr) -> Result<Expr> {
    match (row(left), row(right)) {
        (left, right) if left.len() > 1 && right.len() > 1 => compare(left, op, right),
        _ => Ok(binary_expr(left.clone(), op, right.clone())),
    }
}

/// Refuses a value that would be evaluated for each of its uses, and not once for each row.
fn check_repeatable(value: &Expr) -> Result<()> {
    let volatile = |e: &Expr| e.is_volatile_node() || subquery_of(e).is_some_and(|of| reads_volatile(&of.subquery));
    match any(value, volatile) {
        true => Err(refused(
            "a row in a comparison by order, or in IN over several rows, calls a volatile function such as random()",
            "give its value a name in a subquery in FROM, as in `FROM (SELECT random() AS r, … FROM t)`",
        )),
        false => Ok(()),
    }
}

/// True if a plan or a subquery in it calls a volatile function.
fn reads_volatile(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let walked = plan.apply_with_subqueries(|node| {
        found |= is_volatile(node);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found || walked.is_err()
}

/// The largest number of parts of an expression's comparisons. Each comparison by order repeats its values.
const MAX_PARTS: usize = 10_000;

/// Refuses an expression that grew too large.
fn check_parts(expr: &Expr) -> Result<()> {
    let mut parts = 0;
    expr.apply(|_| {
        parts += 1;
        Ok(if parts > MAX_PARTS { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    match parts > MAX_PARTS {
        true => Err(refused(
            &format!("a comparison of rows has more than {MAX_PARTS} parts when it is written value by value"),
            "nest fewer comparisons in rows",
        )),
        false => Ok(()),
    }
}
