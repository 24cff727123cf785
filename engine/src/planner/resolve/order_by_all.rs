//! Spells out `ORDER BY ALL` as the numbers of the columns. DataFusion plans it only for columns without an expression,
//! and ignores it after a set operation.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, OrderByExpr, OrderByKind, Query, Statement, Value, VisitorMut};

use super::labels::number_of_columns;
use super::unsupported;
use crate::visit::visit_mut;
use crate::{Error, Result};

/// Spells out each `ORDER BY ALL` of a statement.
///
/// # Errors
/// `Unsupported` for a query whose number of columns is not known before the statement is planned.
pub(super) fn spell_out(statement: &mut Statement) -> Result<()> {
    match visit_mut(statement, &mut Numbers) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Numbers;

impl VisitorMut for Numbers {
    type Break = Error;

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        let Some(OrderByKind::All(options)) = query.order_by.as_ref().map(|order_by| &order_by.kind) else {
            return ControlFlow::Continue(());
        };
        let options = *options;
        let Some(columns) = number_of_columns(query).filter(|columns| *columns > 0) else {
            return ControlFlow::Break(unsupported(
                "`ORDER BY ALL` is not supported beside `*` and `unnest`: write the numbers of the columns, as in \
                 ORDER BY 1, 2",
            ));
        };
        let number = |number: usize| OrderByExpr {
            expr: Expr::value(Value::Number(number.to_string(), false)),
            options,
            with_fill: None,
        };
        if let Some(order_by) = &mut query.order_by {
            order_by.kind = OrderByKind::Expressions((1..=columns).map(number).collect());
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::parse;

    #[test]
    fn all_columns_have_their_numbers() {
        for (sql, expected) in [
            ("SELECT a, b + 1 FROM t ORDER BY ALL", "SELECT a, b + 1 FROM t ORDER BY 1, 2"),
            ("SELECT a FROM t ORDER BY ALL DESC LIMIT 1", "SELECT a FROM t ORDER BY 1 DESC LIMIT 1"),
            ("SELECT a FROM t UNION SELECT 1 ORDER BY ALL", "SELECT a FROM t UNION SELECT 1 ORDER BY 1"),
            (
                "SELECT x FROM (SELECT a AS x, b FROM t ORDER BY ALL NULLS FIRST LIMIT 2) AS s",
                "SELECT x FROM (SELECT a AS x, b FROM t ORDER BY 1 NULLS FIRST, 2 NULLS FIRST LIMIT 2) AS s",
            ),
            ("SELECT a FROM t ORDER BY \"all\"", "SELECT a FROM t ORDER BY \"all\""),
        ] {
            assert_eq!(parse(sql).unwrap().to_string(), expected);
        }
        for sql in ["SELECT * FROM t ORDER BY ALL", "SELECT a, t.* FROM t ORDER BY ALL", "FROM t ORDER BY ALL"] {
            assert!(
                parse(sql).unwrap_err().context().starts_with("`ORDER BY ALL` is not supported beside `*`"),
                "{sql}"
            );
        }
    }
}
