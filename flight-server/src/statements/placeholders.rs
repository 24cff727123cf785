//! Converts the `?` placeholders of JDBC and ODBC clients to the engine's `$1`, `$2`, …. The conversion works on
//! tokens, so strings, quoted names and comments stay unchanged.

use std::borrow::Cow;

use portolan_engine::Result;
use portolan_engine::server::MOST_STATEMENT_BYTES;
use sqlparser::dialect::GenericDialect;
use sqlparser::tokenizer::{Token, Tokenizer};

use crate::failure::invalid;

/// Numbers every `?` of a statement. If the text cannot be tokenized or is too long, it stays unchanged, and the engine
/// reports the error.
///
/// # Errors
/// `InvalidQuery` if the statement uses both kinds of placeholder.
pub(crate) fn number_placeholders(sql: &str) -> Result<Cow<'_, str>> {
    if sql.len() > MOST_STATEMENT_BYTES || !sql.contains('?') {
        return Ok(Cow::Borrowed(sql));
    }
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location() else {
        return Ok(Cow::Borrowed(sql));
    };
    let mut marks = Vec::new();
    let mut numbered = false;
    for token in &tokens {
        if let Token::Placeholder(text) = &token.token {
            if text == "?" {
                marks.push((token.span.start.line, token.span.start.column));
            } else {
                numbered = true;
            }
        }
    }
    if marks.is_empty() {
        return Ok(Cow::Borrowed(sql));
    }
    if numbered {
        return Err(invalid("a statement cannot mix the parameters `?` and `$1`, `$2`, …"));
    }
    Ok(Cow::Owned(replace(sql, &marks)))
}

/// Replaces the characters at `marks` (line and column, from 1, in order).
fn replace(sql: &str, marks: &[(u64, u64)]) -> String {
    let mut out = String::with_capacity(sql.len() + marks.len() * 2);
    let (mut line, mut column) = (1, 1);
    let mut next = 0;
    for c in sql.chars() {
        if marks.get(next) == Some(&(line, column)) {
            next += 1;
            out.push_str(&format!("${next}"));
        } else {
            out.push(c);
        }
        if c == '\n' {
            line += 1;
            column = 1;
        } else {
            column += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn marks_are_numbered_in_order() {
        assert_eq!(number_placeholders("SELECT ? + ?").unwrap(), "SELECT $1 + $2");
        assert_eq!(number_placeholders("a = ?\n  AND b IN (?, ?)").unwrap(), "a = $1\n  AND b IN ($2, $3)");
        let many = ["?"; 12].join(",");
        assert!(number_placeholders(&format!("SELECT {many}")).unwrap().ends_with("$9,$10,$11,$12"));
    }

    #[test]
    fn strings_names_and_comments_stay() {
        for sql in ["SELECT 'what?'", "SELECT \"a?b\"", "SELECT 1 -- why?\n", "SELECT /* ? */ 1", "SELECT 'ü?', 1"] {
            assert_eq!(number_placeholders(sql).unwrap(), sql);
        }
        assert_eq!(number_placeholders("SELECT 'ü?', ?::int -- ?").unwrap(), "SELECT 'ü?', $1::int -- ?");
    }

    #[test]
    fn the_two_forms_do_not_mix() {
        assert!(number_placeholders("SELECT ?, $1").is_err());
        assert_eq!(number_placeholders("SELECT $1, '?'").unwrap(), "SELECT $1, '?'");
    }

    #[test]
    fn broken_text_is_left_to_the_engine() {
        assert_eq!(number_placeholders("SELECT 'open ?").unwrap(), "SELECT 'open ?");
    }
}
