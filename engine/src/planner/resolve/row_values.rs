//! Row values: `(a, b) IN (SELECT c, d FROM …)`, `(a, b) = (c, d)`.
//!
//! DataFusion's planner accepts one column of such a subquery, and rows of names and literals only. This module writes
//! a row as the function that makes one, and makes rows of the subquery's columns. `upstream/subqueries/` compares the
//! rows value by value.

use datafusion::sql::parser::Statement;
use sqlparser::ast::{BinaryOperator, Expr, Query, SetExpr, Statement as SqlStatement, TableFactor};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use crate::visit::visit_expressions_mut;

/// Replaces the row values of a statement with functions.
pub(super) fn as_functions(statement: &mut Statement) {
    if let Statement::Statement(statement) = statement {
        rewrite(statement);
    }
}

fn rewrite(statement: &mut SqlStatement) {
    visit_expressions_mut(statement, |expr| match expr {
        Expr::InSubquery { expr, subquery, .. } => {
            if let Some(width) = as_function(expr)
                && let Some(rows) = rows_of(subquery, width)
            {
                **subquery = rows;
            }
        }
        Expr::InList { expr, list, .. } if is_row(expr) => {
            as_function(expr);
            list.iter_mut().for_each(|item| {
                as_function(item);
            });
        }
        Expr::BinaryOp { left, op, right } if compares(op) && is_row(left) && is_row(right) => {
            as_function(left);
            as_function(right);
        }
        _ => {}
    });
}

fn compares(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

fn is_row(expr: &Expr) -> bool {
    matches!(expr, Expr::Tuple(values) if values.len() > 1)
}

/// Replaces a row with a function, and returns the number of its values; `None` if the expression is not a row.
fn as_function(expr: &mut Expr) -> Option<usize> {
    let Expr::Tuple(values) = expr else { return None };
    let width = values.len();
    if width < 2 {
        return None;
    }
    *expr = Expr::Struct { values: std::mem::take(values), fields: vec![] };
    Some(width)
}

/// Returns a subquery that returns its columns as rows.
fn rows_of(subquery: &Query, width: usize) -> Option<Query> {
    let names: Vec<_> = (0..width).map(|i| format!("c{i}")).collect();
    let names = names.join(", ");
    let text = format!("SELECT struct({names}) FROM (SELECT 0) AS __rows ({names})");
    let mut rows = Parser::new(&GenericDialect {}).try_with_sql(&text).and_then(|mut p| p.parse_query()).ok()?;
    let SetExpr::Select(select) = rows.body.as_mut() else { return None };
    let TableFactor::Derived { subquery: inner, .. } = &mut select.from.first_mut()?.relation else { return None };
    **inner = subquery.clone();
    Some(*rows)
}
