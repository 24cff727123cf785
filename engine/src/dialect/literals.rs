//! Constants of other databases: numbers with underscores between their digits (`1_000_000`), and strings with a prefix
//! (`N'abc'`, `r'a\b'`, `U&'\0041'`). Letters directly behind a number are refused: the parser, sqlparser 0.62, reads
//! `0b11` as the number 0 with the name `b11`.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Select, SelectItem, Statement, Value, ValueWithSpan, VisitorMut};

use super::arguments::at;
use crate::visit::visit_mut;
use crate::{Error, Result};

/// Writes the constants of a statement as DataFusion reads them.
///
/// # Errors
/// `InvalidQuery` for an underscore at another place in a number, and for letters directly behind a number.
pub(crate) fn plain_literals(statement: &mut Statement) -> Result<()> {
    visit_mut(statement, &mut Literals).break_value().map_or(Ok(()), Err)
}

struct Literals;

impl VisitorMut for Literals {
    type Break = Error;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        for item in &select.projection {
            let SelectItem::ExprWithAlias { expr, alias } = item else { continue };
            let Some(number) = last_number(expr) else { continue };
            if number.span.end == alias.span.start {
                let what =
                    format!("`{number}{alias}` is no number: if `{alias}` is a name, write a blank or AS before it");
                return ControlFlow::Break(at(number.span, what));
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<Error> {
        let span = value.span;
        let text = match &mut value.value {
            Value::Number(text, _) => text,
            // The parser has resolved the escapes.
            Value::NationalStringLiteral(text)
            | Value::UnicodeStringLiteral(text)
            | Value::SingleQuotedRawStringLiteral(text) => {
                value.value = Value::SingleQuotedString(std::mem::take(text));
                return ControlFlow::Continue(());
            }
            _ => return ControlFlow::Continue(()),
        };
        if !are_between_digits(text) {
            let what = format!("`{text}` is no number: an underscore is allowed only between two digits");
            return ControlFlow::Break(at(span, what));
        }
        text.retain(|c| c != '_');
        ControlFlow::Continue(())
    }
}

/// Returns the number that an expression ends with.
fn last_number(mut expr: &Expr) -> Option<&ValueWithSpan> {
    loop {
        expr = match expr {
            Expr::Value(value) => return matches!(value.value, Value::Number(..)).then_some(value),
            Expr::BinaryOp { right, .. } => right.as_ref(),
            Expr::UnaryOp { expr, .. } => expr.as_ref(),
            _ => return None,
        };
    }
}

/// True if each underscore of a number stands between two digits.
fn are_between_digits(number: &str) -> bool {
    let parts: Vec<&str> = number.split('_').collect();
    parts.windows(2).all(|pair| match pair {
        [before, after] => {
            before.ends_with(|c: char| c.is_ascii_digit()) && after.starts_with(|c: char| c.is_ascii_digit())
        }
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use sqlparser::parser::Parser;

    use super::super::Syntax;
    use super::*;

    fn plain(sql: &str) -> Result<String> {
        let mut statement = Parser::parse_sql(&Syntax::default(), sql).unwrap().remove(0);
        plain_literals(&mut statement)?;
        Ok(statement.to_string())
    }

    #[test]
    fn underscores_separate_digits() {
        for (sql, expected) in [
            ("SELECT 1_000_000", "SELECT 1000000"),
            ("SELECT 1_000.000_1, 1_0e2", "SELECT 1000.0001, 10e2"),
            (
                "SELECT a FROM t WHERE a > -1_000 LIMIT 2_0 OFFSET 1_0",
                "SELECT a FROM t WHERE a > -1000 LIMIT 20 OFFSET 10",
            ),
            ("INSERT INTO t VALUES (1_0)", "INSERT INTO t VALUES (10)"),
            ("SELECT 1 _0, a_1, 'a_1', 5 AS a, 5 b, (5)c", "SELECT 1 AS _0, a_1, 'a_1', 5 AS a, 5 AS b, (5) AS c"),
            ("SELECT sum(a)b, 'x'y FROM t", "SELECT sum(a) AS b, 'x' AS y FROM t"),
        ] {
            assert_eq!(plain(sql).unwrap(), expected, "{sql}");
        }
    }

    #[test]
    fn strings_lose_their_prefix() {
        let expected = r"SELECT 'it''s', 'a\b', 'A', 'n' FROM t WHERE a = 'x'";
        assert_eq!(plain(r"SELECT N'it''s', r'a\b', U&'\0041', 'n' FROM t WHERE a = N'x'").unwrap(), expected);
    }

    #[test]
    fn letters_behind_a_number_are_refused() {
        for (sql, expected) in [
            (
                "SELECT 0b11",
                "`0b11` is no number: if `b11` is a name, write a blank or AS before it (line 1, column 8)",
            ),
            (
                "SELECT a + 0o17 FROM t",
                "`0o17` is no number: if `o17` is a name, write a blank or AS before it (line 1, column 12)",
            ),
            ("SELECT -1.5f", "`1.5f` is no number: if `f` is a name, write a blank or AS before it (line 1, column 9)"),
            (
                "SELECT x FROM (SELECT 12x)",
                "`12x` is no number: if `x` is a name, write a blank or AS before it (line 1, column 23)",
            ),
            (
                "SELECT 1__0",
                "`1__0` is no number: if `__0` is a name, write a blank or AS before it (line 1, column 8)",
            ),
            ("SELECT 1_e5", "`1_e5` is no number: an underscore is allowed only between two digits (line 1, column 8)"),
        ] {
            assert_eq!(plain(sql).unwrap_err().context(), expected, "{sql}");
        }
    }
}
