//! Columns with the name `user`.
//!
//! The parser, sqlparser 0.62, reads `user` as a call without brackets. Documents and tables of events have such columns
//! much more often than a statement asks for the user, which is `current_user` here.

use std::ops::ControlFlow;

use sqlparser::ast::{AccessExpr, Expr, Function, FunctionArguments, Statement, VisitorMut};

use crate::visit::visit_mut;

/// Reads `user` as the name of a column.
pub(crate) fn unreserve(statement: &mut Statement) {
    let _ = visit_mut(statement, &mut UserColumns);
}

struct UserColumns;

impl VisitorMut for UserColumns {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let column = match expr {
            Expr::Function(function) => column(function),
            Expr::CompoundFieldAccess { root, access_chain } => path(root, access_chain),
            _ => None,
        };
        if let Some(column) = column {
            *expr = column;
        }
        ControlFlow::Continue(())
    }
}

/// Returns the column that a call stands for, if the call is `user` without brackets and quotes.
fn column(function: &Function) -> Option<Expr> {
    let (FunctionArguments::None, [name]) = (&function.args, function.name.0.as_slice()) else { return None };
    let name = name.as_ident()?;
    (name.quote_style.is_none() && name.value.eq_ignore_ascii_case("user")).then(|| Expr::Identifier(name.clone()))
}

/// Writes `user.agent.os` as the parser does for other names. Returns the whole expression if nothing else is left.
fn path(root: &mut Expr, chain: &mut Vec<AccessExpr>) -> Option<Expr> {
    let Expr::Identifier(first) = root else { return None };
    let names = chain.iter().take_while(|access| matches!(access, AccessExpr::Dot(Expr::Identifier(_)))).count();
    if names == 0 {
        return None;
    }
    let further = chain.drain(..names).filter_map(|access| match access {
        AccessExpr::Dot(Expr::Identifier(name)) => Some(name),
        _ => None,
    });
    let path = Expr::CompoundIdentifier([first.clone()].into_iter().chain(further).collect());
    if chain.is_empty() {
        return Some(path);
    }
    *root = path;
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use sqlparser::ast::Expr;
    use sqlparser::parser::Parser;

    use super::super::Syntax;
    use super::unreserve;
    use crate::visit::visit_expressions;

    #[test]
    fn user_is_a_column() {
        for (sql, columns) in [
            ("SELECT user, User FROM t WHERE user = 'a'", &["user", "User", "user"][..]),
            ("SELECT user.agent.os, user.tags[1] FROM t", &["user.agent.os", "user.tags"]),
        ] {
            let mut statement = Parser::parse_sql(&Syntax::default(), sql).unwrap().remove(0);
            unreserve(&mut statement);
            let mut found = vec![];
            visit_expressions(&statement, |expr| {
                if matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
                    found.push(expr.to_string());
                }
            });
            assert_eq!(found, columns, "{sql}");
            assert_eq!(statement.to_string(), sql);
        }
    }
}
