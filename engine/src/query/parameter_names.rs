//! Parameters with names, such as `$region`. A name becomes a number before the statement is planned: the first name is
//! `$1`. Values find their places by the names.

use std::borrow::Cow;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::scalar::ScalarValue;
use portolan_catalog::nearest::nearest;
use sqlparser::dialect::GenericDialect;
use sqlparser::tokenizer::{Token, Tokenizer};

use crate::bounds::MOST_STATEMENT_BYTES;
use crate::{Error, ErrorKind, Result};

/// A statement whose parameters have numbers.
#[derive(Debug)]
pub(super) struct Numbered<'a> {
    /// The text. Each token has the place that it has in the original.
    pub(super) text: Cow<'a, str>,
    /// The names that the parameters have in the original, `$1` first. Empty if they have numbers there.
    pub(super) names: Vec<String>,
}

/// A parameter with a name: the line and the column, the characters of the token, and the number.
struct Place {
    at: (u64, u64),
    length: usize,
    number: usize,
}

/// Gives each parameter with a name a number. If the text cannot be tokenized or is too long, it stays unchanged, and
/// the parser reports the error.
///
/// # Errors
/// `InvalidQuery` if other parameters have numbers already.
pub(super) fn numbered(sql: &str) -> Result<Numbered<'_>> {
    let unchanged = || Numbered { text: Cow::Borrowed(sql), names: vec![] };
    if sql.len() > MOST_STATEMENT_BYTES || !sql.contains('$') {
        return Ok(unchanged());
    }
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location() else { return Ok(unchanged()) };
    let (mut names, mut places, mut number): (Vec<String>, _, Option<String>) = (vec![], vec![], None);
    for token in tokens {
        let Token::Placeholder(text) = token.token else { continue };
        if !is_name(&text) {
            number = Some(text);
            continue;
        }
        let known = names.iter().position(|name| *name == text);
        let at = (token.span.start.line, token.span.start.column);
        places.push(Place { at, length: text.chars().count(), number: known.unwrap_or(names.len()) + 1 });
        if known.is_none() {
            names.push(text);
        }
    }
    let Some(name) = names.first() else { return Ok(unchanged()) };
    if let Some(number) = number {
        let what = format!("expected parameters with numbers or with names, got both: `{number}` and `{name}`");
        return Err(invalid(what));
    }
    Ok(Numbered { text: Cow::Owned(replaced(sql, &places)), names })
}

/// Returns the text with numbers at these places, which are in order.
fn replaced(sql: &str, places: &[Place]) -> String {
    let mut text = String::with_capacity(sql.len());
    let (mut line, mut column, mut skipped) = (1, 1, 0);
    let mut places = places.iter().peekable();
    for c in sql.chars() {
        if let Some(place) = places.next_if(|place| place.at == (line, column)) {
            // The blanks keep the places of what follows, for errors.
            let (number, length) = (format!("${}", place.number), place.length);
            text.push_str(&format!("{number:length$}"));
            skipped = length;
        }
        if skipped > 0 {
            skipped -= 1;
        } else {
            text.push(c);
        }
        (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
    }
    text
}

/// Returns the parameters with their names.
pub(super) fn with_names(parameters: SchemaRef, names: &[String]) -> SchemaRef {
    if names.is_empty() {
        return parameters;
    }
    let fields = parameters.fields().iter().zip(names).map(|(field, name)| field.as_ref().clone().with_name(name));
    SchemaRef::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Checks that values can be bound by their position.
///
/// # Errors
/// `InvalidQuery` for parameters with names: their position is easily mistaken.
pub(super) fn require_numbers(parameters: &Schema) -> Result<()> {
    if !have_names(parameters) {
        return Ok(());
    }
    let names: Vec<_> = parameters.fields().iter().map(|field| format!("`{}`", field.name())).collect();
    Err(invalid(format!(
        "the statement has parameters with names, {}: bind the values by name, or write `$1`, `$2`, … in the statement",
        names.join(", ")
    )))
}

/// Returns the values in the order of the parameters. A name may begin with `$`.
///
/// # Errors
/// `InvalidQuery` for an unknown name, for a name that comes twice, and for a parameter without a value.
pub(super) fn by_name(parameters: &Schema, values: &[(&str, ScalarValue)]) -> Result<Vec<ScalarValue>> {
    let places = places_of(parameters, values.iter().map(|(name, _)| *name))?;
    Ok(places.into_iter().filter_map(|place| values.get(place)).map(|(_, value)| value.clone()).collect())
}

/// Returns rows of parameters with their columns in the order of the parameters. If the parameters have names, the
/// columns have the same ones.
///
/// # Errors
/// As [`by_name`].
pub(super) fn rows_by_name(parameters: &Schema, rows: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
    if !have_names(parameters) {
        return Ok(rows.to_vec());
    }
    let in_order = |batch: &RecordBatch| {
        let schema = batch.schema();
        let places = places_of(parameters, schema.fields().iter().map(|field| field.name().as_str()))?;
        batch.project(&places).map_err(|e| invalid("the parameters do not form a batch".to_owned()).with_source(e))
    };
    rows.iter().map(in_order).collect()
}

/// Returns the place of each parameter among names.
fn places_of<'a>(parameters: &Schema, names: impl Iterator<Item = &'a str>) -> Result<Vec<usize>> {
    let names: Vec<&str> = names.map(bare).collect();
    let wanted: Vec<&str> = parameters.fields().iter().map(|field| bare(field.name())).collect();
    if let Some(unknown) = names.iter().find(|name| !wanted.contains(name)) {
        let near = nearest(unknown, wanted.iter().copied()).map(|near| format!("${near}"));
        return Err(invalid(format!("the statement has no parameter `${unknown}`")).suggesting(near));
    }
    let place = |name: &&str| {
        let mut places = names.iter().enumerate().filter(|(_, given)| *given == name).map(|(place, _)| place);
        match (places.next(), places.next()) {
            (Some(place), None) => Ok(place),
            (Some(_), Some(_)) => Err(invalid(format!("the parameter `${name}` has two values"))),
            (None, _) => Err(invalid(format!("the parameter `${name}` has no value"))),
        }
    };
    wanted.iter().map(place).collect()
}

/// True if the parameters have names and not numbers.
fn have_names(parameters: &Schema) -> bool {
    parameters.fields().iter().any(|field| is_name(field.name()))
}

/// True for a parameter such as `$region`.
fn is_name(parameter: &str) -> bool {
    parameter.strip_prefix('$').is_some_and(|name| name.starts_with(|c: char| c.is_alphabetic() || c == '_'))
}

fn bare(name: &str) -> &str {
    name.strip_prefix('$').unwrap_or(name)
}

fn invalid(what: String) -> Error {
    Error::new(ErrorKind::InvalidQuery, what)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn names_become_numbers_and_nothing_else_moves() {
        let sql = "SELECT 'ü $a', \"$b\" -- $c\nFROM t WHERE x = $low::int AND y IN ($b, $low) /* $d */";
        let Numbered { text, names } = numbered(sql).unwrap();
        let expected = "SELECT 'ü $a', \"$b\" -- $c\nFROM t WHERE x = $1  ::int AND y IN ($2, $1  ) /* $d */";
        assert_eq!((text.as_ref(), names), (expected, vec!["$low".to_owned(), "$b".to_owned()]));
        let many: Vec<String> = (1..=12).map(|i| format!("$n{i}")).collect();
        let Numbered { text, names } = numbered(&many.join(",")).unwrap();
        assert!(text.starts_with("$1 ,$2 ,") && text.ends_with(",$11 ,$12 "), "{text}");
        assert_eq!(names, many);
    }

    #[test]
    fn numbers_and_other_text_stay() {
        for sql in
            ["SELECT $1 + $2", "SELECT 'a$b'", "SELECT $$ $a $$", "SELECT $t$ it's $t$", "SELECT 'open $a", "SELECT 1"]
        {
            let Numbered { text, names } = numbered(sql).unwrap();
            assert_eq!((text.as_ref(), names.len()), (sql, 0));
        }
        assert!(numbered("SELECT $1, $a").unwrap_err().to_string().ends_with("got both: `$1` and `$a`"));
    }
}
