//! Syntax errors in our words, with their position. The parser ends its message with `at Line: 1, Column: 8`, or with
//! nothing if the statement ends too early.

use datafusion::error::DataFusionError;
use portolan_catalog::nearest::nearest;
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::ParserError;
use sqlparser::tokenizer::{Token, Tokenizer, Word};

use super::ignored_clauses::{COLUMN_FOR_EACH_VALUE, ROW_FOR_EACH_COLUMN};
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

/// The words that begin statements of other databases, with what to write instead.
const OTHERS: &[(&str, &str)] = &[
    ("GO", "end a statement with a semicolon"),
    ("PIVOT", COLUMN_FOR_EACH_VALUE),
    ("SUMMARIZE", "`DESCRIBE` shows the columns, and aggregates such as `min(x)` and `count(DISTINCT x)` their values"),
    ("TABLE", "write `SELECT * FROM`"),
    ("UNPIVOT", ROW_FOR_EACH_COLUMN),
];
/// The quotes of word processors.
const CURLY_QUOTES: [char; 6] = ['‘', '’', '“', '”', '„', '´'];

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
    let place = place.or_else(|| what.ends_with("found: EOF").then(|| end(sql)).flatten());
    let before = place.and_then(|place| word_before(sql, place));
    let (text, suggestion) = described(what, before.as_deref());
    Error::new(ErrorKind::InvalidQuery, format!("syntax error: {text}")).suggesting(suggestion).at(place)
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

/// Returns the word before a position, if it has no quotes.
fn word_before(sql: &str, place: Position) -> Option<String> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().ok()?;
    let before = tokens
        .into_iter()
        .take_while(|token| (token.span.start.line, token.span.start.column) < (place.line, place.column))
        .filter(|token| !matches!(token.token, Token::Whitespace(_)))
        .last()?;
    match before.token {
        Token::Word(Word { value, quote_style: None, .. }) => Some(value),
        _ => None,
    }
}

/// Describes what the parser expected and found, with the word that may be meant. `before` is the word before.
fn described(what: &str, before: Option<&str>) -> (String, Option<&'static str>) {
    let Some((expected, found)) = what.strip_prefix("Expected: ").and_then(|what| what.split_once(", found: ")) else {
        return (unclosed(what).map_or_else(|| lower_first(what), str::to_owned), None);
    };
    let hint = hint(expected, found, before);
    let (expected, words) = match expected {
        "an SQL statement" => ("a statement".to_owned(), STATEMENTS),
        "end of statement" => ("the end of the statement".to_owned(), CLAUSES),
        "identifier" => ("a name".to_owned(), &[][..]),
        other if other.starts_with(char::is_alphabetic) => (other.to_owned(), &[][..]),
        sign => (format!("`{sign}`"), &[][..]),
    };
    let got = if found == "EOF" { "the end of the statement".to_owned() } else { format!("`{found}`") };
    match hint {
        Some(hint) => (format!("expected {expected}, got {got}; {hint}"), None),
        None => (format!("expected {expected}, got {got}"), nearest(found, words.iter().copied())),
    }
}

/// Returns what to write instead of what the parser found.
fn hint(expected: &str, found: &str, before: Option<&str>) -> Option<String> {
    let word = found.to_uppercase();
    if expected == "an SQL statement" {
        return OTHERS.iter().find(|(other, _)| *other == word).map(|(_, instead)| (*instead).to_owned());
    }
    if found.starts_with(CURLY_QUOTES) {
        return Some("write straight quotes, as in 'text' and \"name\"".to_owned());
    }
    if found.starts_with('[') {
        return Some("a name in quotes has double quotes, as in \"name\"".to_owned());
    }
    let is_lambda =
        before.is_some_and(|before| before.eq_ignore_ascii_case("lambda")) || (word == "FOR" && expected == "]");
    if is_lambda {
        return Some(
            "statements have no lambdas: `unnest` the list in a subquery, and group the items again".to_owned(),
        );
    }
    if expected != "end of statement" {
        return None;
    }
    if matches!(word.as_str(), "GROUP" | "ORDER") {
        return Some(format!("write {word} BY"));
    }
    // A misspelled word was read as the name of a column or a table.
    let before = before.filter(|_| nearest(found, CLAUSES.iter().copied()).is_none())?;
    let near = nearest(before, CLAUSES.iter().copied())?;
    let is_misspelled = !before.eq_ignore_ascii_case(near) && before.len().abs_diff(near.len()) <= 1;
    is_misspelled.then(|| format!("did you mean `{near}` instead of `{before}`?"))
}

/// Describes a string, a name or a comment that does not end.
fn unclosed(what: &str) -> Option<&'static str> {
    match what {
        "Unterminated string literal" => {
            Some("the string that begins here has no closing quote, and a quote within a string is written twice")
        }
        "Expected close delimiter '\"' before EOF." => Some("the name that begins here has no closing double quote"),
        "Unexpected EOF while in a multi-line comment" => Some("the comment has no closing `*/`"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::parse;

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
            (
                "SELECT 'abc",
                "the string that begins here has no closing quote, and a quote within a string is written twice (line 1, \
                 column 8)",
            ),
            (
                "SELECT a FROM t WHER a = 1",
                "expected the end of the statement, got `a`; did you mean `WHERE` instead of `WHER`? (line 1, column 22)",
            ),
            (
                "SELECT a FORM t.u",
                "expected the end of the statement, got `t`; did you mean `FROM` instead of `FORM`? (line 1, column 15)",
            ),
            ("SELECT a FROM t ord x", "expected the end of the statement, got `x` (line 1, column 21)"),
            (
                "SELECT a FROM t GROUP a",
                "expected the end of the statement, got `GROUP`; write GROUP BY (line 1, column 17)",
            ),
            (
                "SELECT a FROM t WHERE a = ‘x’",
                "expected an expression, got `‘`; write straight quotes, as in 'text' and \"name\" (line 1, column 27)",
            ),
            (
                "SELECT a FROM [t]",
                "expected a name, got `[`; a name in quotes has double quotes, as in \"name\" (line 1, column 15)",
            ),
            (
                "SELECT list_filter([1], lambda x: x > 1)",
                "expected `)`, got `x`; statements have no lambdas: `unnest` the list in a subquery, and group the items \
                 again (line 1, column 32)",
            ),
            ("TABLE t", "expected a statement, got `TABLE`; write `SELECT * FROM` (line 1, column 1)"),
            ("SELECT \"abc", "the name that begins here has no closing double quote (line 1, column 8)"),
        ] {
            let error = parse(sql).unwrap_err();
            assert_eq!(error.context(), format!("syntax error: {expected}"), "{sql}");
            assert!(error.position().is_some(), "{sql}");
        }
        assert_eq!(parse("SELEC 1").unwrap_err().suggestion(), Some("SELECT"));
    }
}
