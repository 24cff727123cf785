//! Makes a query simpler, one clause at a time, so that a difference is easier to understand. The simpler query may be
//! invalid: the caller keeps it only if the difference remains.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, Query, Select, SetExpr, Statement, Value, VisitMut, VisitorMut,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

/// Returns every query with one part less, larger cuts first.
pub fn simpler(sql: &str) -> Vec<String> {
    let Ok(mut statements) = Parser::parse_sql(&GenericDialect {}, sql) else { return vec![] };
    let Some(statement) = statements.pop() else { return vec![] };
    let mut found = vec![];
    for step in 0.. {
        let mut copy: Statement = statement.clone();
        let mut cut = Cut { left: step, done: false };
        // The visitor never breaks.
        let _ = VisitMut::visit(&mut copy, &mut cut);
        if !cut.done {
            break;
        }
        found.push(copy.to_string());
    }
    found.sort_by_key(String::len);
    found.dedup();
    found
}

/// Returns the simplest query that still differs, and how: `difference` returns how a query differs.
pub async fn shrunk(sql: &str, how: &str, difference: impl AsyncFn(&str) -> Option<String>) -> (String, String) {
    let (mut sql, mut how) = (sql.to_owned(), how.to_owned());
    let mut shrinking = true;
    while shrinking {
        shrinking = false;
        for candidate in simpler(&sql).into_iter().filter(|candidate| candidate.len() < sql.len()) {
            if let Some(still) = difference(&candidate).await {
                (sql, how, shrinking) = (candidate, still, true);
                break;
            }
        }
    }
    (sql, how)
}

/// A visitor that makes the cut with number `left`.
struct Cut {
    left: usize,
    done: bool,
}

impl Cut {
    /// True if this cut is to be made.
    fn now(&mut self) -> bool {
        if self.done {
            return false;
        }
        if self.left == 0 {
            self.done = true;
            return true;
        }
        self.left -= 1;
        false
    }

    fn select(&mut self, select: &mut Select) {
        if select.selection.is_some() && self.now() {
            select.selection = None;
        }
        if select.having.is_some() && self.now() {
            select.having = None;
        }
        if select.distinct.is_some() && self.now() {
            select.distinct = None;
        }
        for i in 0..select.projection.len() {
            if select.projection.len() > 1 && self.now() {
                select.projection.remove(i);
                return;
            }
        }
        for table in &mut select.from {
            for i in (0..table.joins.len()).rev() {
                if self.now() {
                    table.joins.truncate(i);
                    return;
                }
                if self.now() {
                    table.joins.remove(i);
                    return;
                }
                if i == 0 && self.now() {
                    table.relation = table.joins.remove(0).relation;
                    return;
                }
            }
        }
        if let GroupByExpr::Expressions(keys, _) = &mut select.group_by {
            for i in 0..keys.len() {
                if self.now() {
                    keys.remove(i);
                    return;
                }
            }
        }
    }

    fn body(&mut self, body: &mut SetExpr) {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::SetOperation { left, right, .. } => {
                if self.now() {
                    *body = (**left).clone();
                } else if self.now() {
                    *body = (**right).clone();
                } else {
                    self.body(left);
                    self.body(right);
                }
            }
            _ => {}
        }
    }
}

impl VisitorMut for Cut {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if query.with.is_some() && self.now() {
            query.with = None;
        }
        if query.limit_clause.is_some() && self.now() {
            query.limit_clause = None;
        }
        // Without the order, a limit returns any rows.
        if query.limit_clause.is_none() && query.order_by.is_some() && self.now() {
            query.order_by = None;
        }
        self.body(&mut query.body);
        if self.done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let parts: Vec<Expr> = match expr {
            Expr::BinaryOp { left, op: BinaryOperator::And | BinaryOperator::Or, right } => {
                vec![(**left).clone(), (**right).clone()]
            }
            Expr::Nested(inner) => vec![(**inner).clone()],
            Expr::Case { conditions, .. } => conditions.iter().map(|c| c.result.clone()).collect(),
            Expr::IsNotNull(_) | Expr::IsNull(_) | Expr::Like { .. } | Expr::Between { .. } | Expr::InList { .. } => {
                vec![Expr::value(Value::Boolean(true))]
            }
            Expr::Function(function) if function.filter.is_some() => {
                let mut plain = function.clone();
                plain.filter = None;
                vec![Expr::Function(plain)]
            }
            _ => vec![],
        };
        for part in parts {
            if self.now() {
                *expr = part;
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}
