//! Compares row values value by value: `(a, b) = (c, d)` is `a = c AND b = d`, and NULL if the outcome is not known.
//!
//! DataFusion 55.2 compares row values as structs, for which NULL equals NULL.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, disjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, not};

use super::predicate::row;
use super::refused;

/// Compares the row values in the expressions of one operator value by value.
pub(super) fn compared_by_value(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if !super::scope::has_expression(&plan, |e| super::scope::any(e, is_of_rows)) {
        return Ok(Transformed::no(plan));
    }
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let compared = expr.transform_up(|e| match is_of_rows(&e) {
            true => Ok(Transformed::yes(by_value(e)?)),
            false => Ok(Transformed::no(e)),
        })?;
        Ok(compared.update_data(|e| name.restore(e)))
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
    let pair = |op: Operator, l: &Expr, r: &Expr| {
        Expr::BinaryExpr(BinaryExpr::new(Box::new(l.clone()), op, Box::new(r.clone())))
    };
    let pairs = left.iter().zip(&right);
    let known = datafusion::prelude::lit(true);
    Ok(match op {
        Operator::Eq => conjunction(pairs.map(|(l, r)| pair(op, l, r))).unwrap_or(known),
        Operator::NotEq => disjunction(pairs.map(|(l, r)| pair(op, l, r))).unwrap_or_else(|| not(known)),
        // The first values that differ decide.
        _ => {
            let strict = match op {
                Operator::LtEq => Operator::Lt,
                Operator::GtEq => Operator::Gt,
                other => other,
            };
            let mut pairs: Vec<_> = pairs.collect();
            let last = pairs.pop().map(|(l, r)| pair(op, l, r)).unwrap_or(known);
            pairs.into_iter().rev().fold(last, |rest, (l, r)| pair(strict, l, r).or(pair(Operator::Eq, l, r).and(rest)))
        }
    })
}
