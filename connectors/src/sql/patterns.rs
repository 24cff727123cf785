//! The patterns of `LIKE`. At a node, `%` stands for any string, `_` for a character, and a backslash for the character
//! behind it.

use super::dialect::{PatternForm, SqlDialect};
use super::literals::quoted;

/// The longest pattern in bytes. SQLite has a limit of its own, and long patterns with many wildcards take time.
const MAX_PATTERN: usize = 1000;

/// A part of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Any,
    One,
    Itself(char),
}

/// Returns a pattern of a node as a literal of the dialect; `None` if the dialect has none that means the same.
pub(super) fn pattern(text: &str, dialect: &SqlDialect) -> Option<String> {
    if text.len() > MAX_PATTERN {
        return None;
    }
    let parts = parts(text)?;
    let mut written = String::with_capacity(text.len() + 8);
    for part in parts {
        match (part, dialect.patterns) {
            (Part::Any, PatternForm::Like(_)) => written.push('%'),
            (Part::One, PatternForm::Like(_)) => written.push('_'),
            (Part::Itself(character), PatternForm::Like(escape)) => {
                if matches!(character, '%' | '_') || character == escape {
                    written.push(escape);
                }
                written.push(character);
            }
            (Part::Any, PatternForm::Glob) => written.push('*'),
            (Part::One, PatternForm::Glob) => written.push('?'),
            (Part::Itself(character @ ('*' | '?' | '[')), PatternForm::Glob) => {
                written.extend(['[', character, ']']);
            }
            (Part::Itself(character), PatternForm::Glob) => written.push(character),
        }
    }
    quoted(&written)
}

/// Returns the parts of a pattern; `None` for one that ends with an escape, which databases refuse.
fn parts(text: &str) -> Option<Vec<Part>> {
    let mut parts = vec![];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        parts.push(match character {
            '%' => Part::Any,
            '_' => Part::One,
            '\\' => Part::Itself(characters.next()?),
            other => Part::Itself(other),
        });
    }
    Some(parts)
}
