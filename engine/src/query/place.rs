//! Finds the part of a statement that an error is about. DataFusion knows the positions of columns, but not those of
//! constants, nor those of the names in an analysed plan.

use portolan_connectors::Subject;
use sqlparser::dialect::GenericDialect;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Word};

use crate::Error;
use crate::execution::errors::{not_converted, start_of};

/// Returns an error with the position of its subject in the statement. If the position is known already, or if the
/// subject is not found, the error stays as it is.
pub(super) fn located(error: Error, sql: &str) -> Error {
    if error.position().is_some() {
        return error;
    }
    let constant = || not_converted(error.context()).map(|(text, _)| Subject::Constant(text.to_owned()));
    let Some(subject) = error.subject().cloned().or_else(constant) else { return error };
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location() else { return error };
    let tokens: Vec<_> = tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    error.at(find(&subject, &tokens).and_then(|token| start_of(token.span)))
}

/// Returns the token of a subject. A name may occur several times, and the first one is as wrong as the others. Of several
/// equal constants or calls, one alone may be wrong, so none is returned.
fn find<'a>(subject: &Subject, tokens: &'a [TokenWithSpan]) -> Option<&'a TokenWithSpan> {
    let mut matching = tokens.iter().enumerate().filter(|(at, token)| match (subject, &token.token) {
        (Subject::Name(name), Token::Word(word)) => normal(word) == *name,
        (Subject::Function(name), Token::Word(word)) => {
            let is_call = tokens.get(at + 1).is_some_and(|next| next.token == Token::LParen);
            is_call && word.value.eq_ignore_ascii_case(name)
        }
        (Subject::Constant(value), Token::SingleQuotedString(text)) => text == value,
        (Subject::Constant(value), Token::Number(number, _)) => number == value,
        _ => false,
    });
    let (_, first) = matching.next()?;
    match subject {
        Subject::Name(_) => Some(first),
        _ => matching.next().is_none().then_some(first),
    }
}

/// Returns a word as SQL reads it.
fn normal(word: &Word) -> String {
    if word.quote_style.is_some() { word.value.clone() } else { word.value.to_ascii_lowercase() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, Position};

    fn place(subject: Subject, sql: &str) -> Option<(u64, u64)> {
        let error = Error::new(ErrorKind::InvalidQuery, "x").about(Some(subject));
        located(error, sql).position().map(|position| (position.line, position.column))
    }

    #[test]
    fn subjects_are_found_in_the_text() {
        let name = |name: &str| Subject::Name(name.to_owned());
        let call = |name: &str| Subject::Function(name.to_owned());
        let constant = |value: &str| Subject::Constant(value.to_owned());
        assert_eq!(place(name("city"), "SELECT\n City, city FROM t"), Some((2, 2)));
        assert_eq!(place(name("City"), "SELECT city, \"City\" FROM t"), Some((1, 14)));
        assert_eq!(place(name("city"), "SELECT 'city' FROM t"), None);
        assert_eq!(place(call("sum"), "SELECT sum, SUM (x) FROM t"), Some((1, 13)));
        assert_eq!(place(call("sum"), "SELECT sum(x), sum(y) FROM t"), None, "either may be wrong");
        assert_eq!(place(constant("a'b"), "SELECT 1, 'a''b'"), Some((1, 11)));
        assert_eq!(place(constant("300"), "SELECT 30, 300"), Some((1, 12)));
        assert_eq!(place(constant("x"), "SELECT 'x', 'x'"), None);
        assert_eq!(place(constant("x"), "SELECT 'x"), None, "the text has no tokens");
    }

    #[test]
    fn the_string_of_an_error_of_another_node_is_found() {
        let error = Error::new(ErrorKind::InvalidQuery, "node grpc://a:1: cannot convert 'x' to DATE: expected a date");
        let error = located(error, "SELECT * FROM t WHERE day > 'x'");
        assert_eq!(error.position(), Some(Position { line: 1, column: 29 }));
        assert!(error.context().ends_with("expected a date (line 1, column 29)"), "{error}");
        let again = located(error, "SELECT 'x'");
        assert_eq!(again.position(), Some(Position { line: 1, column: 29 }));
    }
}
