//! Translates the patterns of `LIKE … ESCAPE` and `SIMILAR TO`, before a statement is planned, into patterns that
//! DataFusion evaluates as SQL means them. A pattern that is not a literal goes through a function, `like_escape` or
//! `similar_to_escape`, as in PostgreSQL.
//!
//! DataFusion 55.2 accepts no escape character but the backslash. It reads the pattern of `SIMILAR TO` as a regular
//! expression that matches anywhere (<https://github.com/apache/datafusion/issues/22263>,
//! <https://github.com/apache/datafusion/issues/13291>).
//!
//! Before: `a LIKE '10!%%' ESCAPE '!'`, `a SIMILAR TO 'x%|y'`. After: `a LIKE '10\%%'`, `a ~ '^(?s:x.*|y)$'`.

mod functions;
mod like;
mod similar;

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;
use sqlparser::ast::{BinaryOperator, Expr, Statement, Value, ValueWithSpan, VisitorMut};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use crate::visit::{text_literal, visit_mut};
use crate::{Error, ErrorKind, Result};

/// Translates a pattern with an escape character, or none.
type Translate = fn(&str, Option<char>) -> Result<String, String>;

/// The escape character of a statement that names none.
const ESCAPE: char = '\\';

/// Translates the patterns of a statement.
///
/// # Errors
/// `InvalidQuery` for an invalid pattern.
pub(crate) fn translate(statement: &mut Statement) -> Result<()> {
    match visit_mut(statement, &mut Patterns) {
        ControlFlow::Break(what) => Err(Error::new(ErrorKind::InvalidQuery, what)),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Returns the functions for patterns that are not literals.
pub(super) fn functions() -> [Arc<ScalarUDF>; 2] {
    [functions::function("like_escape", like::translate), functions::function("similar_to_escape", similar::translate)]
}

struct Patterns;

impl VisitorMut for Patterns {
    type Break = Box<str>;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        let translated = match expr {
            Expr::Like { any: false, pattern, escape_char, .. }
            | Expr::ILike { any: false, pattern, escape_char, .. } => like(pattern, escape_char.take()),
            Expr::SimilarTo { .. } => similar_to(expr),
            _ => Ok(()),
        };
        match translated {
            Ok(()) => ControlFlow::Continue(()),
            Err(what) => ControlFlow::Break(what.into()),
        }
    }
}

fn like(pattern: &mut Box<Expr>, escape: Option<ValueWithSpan>) -> Result<(), String> {
    // A pattern that DataFusion reads correctly stays as it is.
    let translated = match (&escape, text_literal(pattern)) {
        (None, None) => return Ok(()),
        (None, Some(text)) => {
            like::translate(text, Some(ESCAPE))?;
            return Ok(());
        }
        (Some(_), _) => translated(pattern, escape, "like_escape", like::translate)?,
    };
    **pattern = translated;
    Ok(())
}

fn similar_to(expr: &mut Expr) -> Result<(), String> {
    let Expr::SimilarTo { negated, expr: left, pattern, escape_char } = expr else { return Ok(()) };
    let right = translated(pattern, escape_char.take(), "similar_to_escape", similar::translate)?;
    let op = if *negated { BinaryOperator::PGRegexNotMatch } else { BinaryOperator::PGRegexMatch };
    *expr = Expr::BinaryOp { left: left.clone(), op, right: Box::new(right) };
    Ok(())
}

/// Returns the pattern, or the call that translates it.
fn translated(
    pattern: &Expr,
    escape: Option<ValueWithSpan>,
    function: &str,
    translate: Translate,
) -> Result<Expr, String> {
    let escape = escape.map(Expr::Value);
    let is_known = escape.as_ref().is_none_or(|escape| text_literal(escape).is_some());
    if let (Some(pattern), true) = (text_literal(pattern), is_known) {
        let escape = match escape.as_ref().and_then(text_literal) {
            Some(escape) => escape_character(escape)?,
            None => Some(ESCAPE),
        };
        return Ok(Expr::Value(Value::SingleQuotedString(translate(pattern, escape)?).into()));
    }
    let call = match escape {
        Some(escape) => format!("{function}({pattern}, {escape})"),
        None => format!("{function}({pattern})"),
    };
    let parsed = Parser::new(&GenericDialect {}).try_with_sql(&call).and_then(|mut parser| parser.parse_expr());
    parsed.map_err(|e| format!("`{call}` does not parse: {e}"))
}

/// Returns the escape character in a string; `None` for the empty string.
fn escape_character(escape: &str) -> Result<Option<char>, String> {
    let mut characters = escape.chars();
    match (characters.next(), characters.next()) {
        (first, None) => Ok(first),
        _ => Err(format!("expected one character after ESCAPE, got `{escape}`")),
    }
}
