//! The values of rows as text, as the CSV output of `portolan sql` writes them, without its quotes.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, NullableEncoder, make_encoder};
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// The values of a row as text; `None` for NULL.
pub(super) type TextRow = Vec<Option<String>>;

/// The values of a column as text.
enum Values<'a> {
    Plain(ArrayFormatter<'a>),
    Nested(NullableEncoder<'a>),
}

/// Returns the first rows of a batch, at most `limit`. Nested values are JSON.
///
/// # Errors
/// A type that has no text.
pub(super) fn text_rows(batch: &RecordBatch, limit: usize) -> Result<Vec<TextRow>, ArrowError> {
    let schema = batch.schema();
    let (text, json) = (FormatOptions::default(), EncoderOptions::default().with_explicit_nulls(true));
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| match column.data_type() {
        nested if nested.is_nested() => make_encoder(field, column, &json).map(Values::Nested),
        _ => ArrayFormatter::try_new(column, &text).map(Values::Plain),
    });
    let mut columns = columns.collect::<Result<Vec<_>, _>>()?;
    let nulls: Vec<_> = batch.columns().iter().map(|column| column.logical_nulls()).collect();
    let mut rows = vec![];
    for row in 0..batch.num_rows().min(limit) {
        let mut values = vec![];
        for (column, nulls) in columns.iter_mut().zip(&nulls) {
            let is_null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
            values.push(if is_null { None } else { Some(column.text(row)?) });
        }
        rows.push(values);
    }
    Ok(rows)
}

impl Values<'_> {
    /// Returns the value of a row, which is not NULL.
    fn text(&mut self, row: usize) -> Result<String, ArrowError> {
        match self {
            Self::Plain(formatter) => formatter.value(row).try_to_string(),
            Self::Nested(encoder) => {
                let mut json = vec![];
                encoder.encode(row, &mut json);
                Ok(String::from_utf8_lossy(&json).into_owned())
            }
        }
    }
}
