//! Syntax errors in our words, with their position. The parser ends its message with `at Line: 1, Column: 8`, or with
//! nothing if the statement ends too early.

use datafusion::error::DataFusionError;
use portolan_catalog::nearest::nearest;
use sqlparser::parser::ParserError;

use crate::execution::errors::{lower_first, position};
use crate::{Error, ErrorKind, Position};

/// The words that begin a statement.
const STATEMENTS: &[&str] = &[
    "SELECT", "WITH", "FROM", "VALUES", "EXPLAIN", "SHOW", "DESCRIBE", "SET", "RESET", "USE", "CREATE", "DROP",
    "INSERT", "UPDATE", "DELETE", "CALL",
];
/// The words that follow a complete part of a query.
const CLAUSES: &[&str] = &[
    "FROM",
    "WHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "JOIN",
    "UNION",
    "INTERSECT",
    "EXCEPT",
    "AND",
    "OR",
    "WINDOW",
];

/// Returns the error for a statement that does not parse.
pub(super) fn error(error: &DataFusionError, sql: &str) -> Error {
    let message = match error.find_root() {
        DataFusionError::SQL(inner, _) => match inner.as_ref() {
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => message.clone(),
            ParserError::RecursionLimitExceeded => "the statement has too many levels".to_owned(),
        },
        other => other.strip_backtrace(),
    };
    let (what, place) = match message.rsplit_once(" at Line: ") {
        Some((what, place)) => (what, parsed(place)),
        None => (message.as_str(), None),
    };
    let (text, suggestion) = described(what);
    let place = place.or_else(|| what.ends_with("found: EOF").then(|| end(sql)).flatten());
    let error = Error::new(ErrorKind::InvalidQuery, format!("syntax error: {text}")).suggesting(suggestion);
    match place {
        Some(place) => error.at(place),
        None => error,
    }
}

/// Reads a place such as `1, Column: 8`.
fn parsed(place: &str) -> Option<Position> {
    let (line, column) = place.split_once(", Column: ")?;
    position(line.trim().parse().ok()?, column.trim().parse().ok()?)
}

/// Returns the position behind the last character of a statement.
fn end(sql: &str) -> Option<Position> {
    let sql = sql.trim_end();
    let last = sql.rsplit('\n').next().unwrap_or(sql);
    position(sql.matches('\n').count() as u64 + 1, last.chars().count() as u64 + 1)
}

/// Describes what the parser expected and found, with the word that may be meant.
fn described(what: &str) -> (String, Option<&'static str>) {
    let Some((expected, found)) = what.strip_prefix("Expected: ").and_then(|what| what.split_once(", found: ")) else {
        return (unclosed(what).map_or_else(|| lower_first(what), str::to_owned), None);
    };
    let (expected, words) = match expected {
        "an SQL statement" => ("a statement".to_owned(), STATEMENTS),
        "end of statement" => ("the end of the statement".to_owned(), CLAUSES),
        "identifier" => ("a name".to_owned(), &[][..]),
        other if other.starts_with(char::is_alphabetic) => (other.to_owned(), &[][..]),
        sign => (format!("`{sign}`"), &[][..]),
    };
    let got = if found == "EOF" { "the end of the statement".to_owned() } else { format!("`{found}`") };
    (format!("expected {expected}, got {got}"), nearest(found, words.iter().copied()))
}

/// Describes a string, a name or a comment that does not end.
fn unclosed(what: &str) -> Option<&'static str> {
    match what {
        "Unterminated string literal" => Some("the string that begins here has no closing quote"),
        "Expected close delimiter '\"' before EOF." => Some("the name that begins here has no closing double quote"),
        "Unexpected EOF while in a multi-line comment" => Some("the comment has no closing `*/`"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::parse;
    use super::*;

    #[test]
    fn what_was_expected_and_found_has_its_position() {
        for (sql, expected) in [
            ("SELEC 1", "expected a statement, got `SELEC`; did you mean `SELECT`? (line 1, column 1)"),
            (
                "SELECT *\nFORM t",
                "expected the end of the statement, got `FORM`; did you mean `FROM`? (line 2, column 1)",
            ),
            ("SELECT * FROM t WHERE", "expected an expression, got the end of the statement (line 1, column 22)"),
            ("SELECT *\n FROM t WHERE \n", "expected an expression, got the end of the statement (line 2, column 14)"),
            ("SELECT (1", "expected `)`, got the end of the statement (line 1, column 10)"),
            ("SELECT 'abc", "the string that begins here has no closing quote (line 1, column 8)"),
            ("SELECT \"abc", "the name that begins here has no closing double quote (line 1, column 8)"),
        ] {
            let error = parse(sql).unwrap_err();
            assert_eq!(error.context(), format!("syntax error: {expected}"), "{sql}");
            assert!(error.position().is_some(), "{sql}");
        }
        assert_eq!(parse("SELEC 1").unwrap_err().suggestion(), Some("SELECT"));
    }
}
