//! Rejects columns whose names are words of SQL, where the parser reads the word: `session_user.agent` is a field of the
//! function `session_user`, and no table or column. DataFusion answers with a dump of the expression.

use datafusion::sql::parser::Statement;
use sqlparser::ast::{AccessExpr, Expr, FunctionArguments};

use crate::execution::errors::start_of;
use crate::visit::find_expression;
use crate::{Error, ErrorKind, Result};

/// Rejects a statement that reads a field of such a word.
///
/// # Errors
/// `InvalidQuery`, with the word in quotes and its position.
pub(super) fn check(statement: &Statement) -> Result<()> {
    let Statement::Statement(statement) = statement else { return Ok(()) };
    find_expression(statement.as_ref(), refused).map_or(Ok(()), Err)
}

fn refused(expr: &Expr) -> Option<Error> {
    let Expr::CompoundFieldAccess { root, access_chain } = expr else { return None };
    let Expr::Function(function) = root.as_ref() else { return None };
    let [word] = function.name.0.as_slice() else { return None };
    let (AccessExpr::Dot(_), FunctionArguments::None) = (access_chain.first()?, &function.args) else { return None };
    let word = word.as_ident()?;
    let written = format!("\"{}\"{}", word.value.to_lowercase(), fields(access_chain));
    let what =
        format!("`{word}` is a word of SQL: to read a column with this name, write `{written}` in double quotes");
    Some(Error::new(ErrorKind::InvalidQuery, what).with_suggestion(Some(written)).at(start_of(word.span)))
}

fn fields(chain: &[AccessExpr]) -> String {
    chain.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::parse;

    #[test]
    fn a_field_of_a_word_of_sql_is_written_in_quotes() {
        assert_eq!(
            parse("SELECT session_user.agent.os FROM events").unwrap_err().context(),
            "`session_user` is a word of SQL: to read a column with this name, write `\"session_user\".agent.os` in double quotes (line 1, column 8)"
        );
        for sql in [
            "SELECT \"session_user\".agent FROM events",
            "SELECT user.agent.os FROM events",
            "SELECT agent.user FROM events",
            "SELECT user FROM events",
            "SELECT (f(x)).y",
        ] {
            parse(sql).unwrap();
        }
    }
}
