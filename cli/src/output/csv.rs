//! Comma-separated values (RFC 4180). NULL is an empty field and the empty string is `""`, as the readers of PostgreSQL
//! and DuckDB expect. The writer of `arrow-csv` writes both in the same way. Lists, structs and maps are JSON text.

use std::io::{self, Write};

use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, NullableEncoder, make_encoder};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::json::with_string_keys;

/// A writer of batches below a line of column names.
pub(super) struct Writer<W: Write> {
    out: W,
    /// The records that are not written yet.
    text: String,
}

impl<W: Write> Writer<W> {
    /// Writes the line of column names.
    pub(super) fn new(mut out: W, schema: &Schema) -> io::Result<Self> {
        let mut text = String::new();
        for (place, field) in schema.fields().iter().enumerate() {
            separate(&mut text, place);
            push(&mut text, field.name());
        }
        text.push('\n');
        out.write_all(text.as_bytes())?;
        Ok(Self { out, text })
    }

    /// Writes the rows of a batch.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let batch = with_string_keys(batch)?;
        let schema = batch.schema();
        let (text, json) = (FormatOptions::default(), EncoderOptions::default().with_explicit_nulls(true));
        let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| match column.data_type() {
            nested if nested.is_nested() => make_encoder(field, column, &json).map(Values::Nested),
            _ => ArrayFormatter::try_new(column, &text).map(Values::Plain),
        });
        let mut columns = columns.collect::<Result<Vec<_>, _>>()?;
        let nulls: Vec<_> = batch.columns().iter().map(|column| column.logical_nulls()).collect();
        let mut value = String::new();
        for row in 0..batch.num_rows() {
            self.text.clear();
            for (place, (column, nulls)) in columns.iter_mut().zip(&nulls).enumerate() {
                separate(&mut self.text, place);
                if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                    continue;
                }
                value.clear();
                column.write(row, &mut value)?;
                push(&mut self.text, &value);
            }
            self.text.push('\n');
            self.out.write_all(self.text.as_bytes())?;
        }
        Ok(())
    }

    /// Flushes the output.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The values of a column as text.
enum Values<'a> {
    Plain(ArrayFormatter<'a>),
    Nested(NullableEncoder<'a>),
}

impl Values<'_> {
    /// Adds the value of a row, which is not NULL, to `text`.
    fn write(&mut self, row: usize, text: &mut String) -> Result<(), ArrowError> {
        match self {
            Self::Plain(formatter) => formatter.value(row).write(text),
            Self::Nested(encoder) => {
                let mut json = vec![];
                encoder.encode(row, &mut json);
                text.push_str(&String::from_utf8_lossy(&json));
                Ok(())
            }
        }
    }
}

fn separate(text: &mut String, place: usize) {
    if place > 0 {
        text.push(',');
    }
}

/// Adds a value, with quotes if a reader would misread it without them.
fn push(text: &mut String, value: &str) {
    if !value.is_empty() && !value.contains(['"', ',', '\n', '\r']) {
        text.push_str(value);
        return;
    }
    text.push('"');
    for (place, part) in value.split('"').enumerate() {
        if place > 0 {
            text.push_str("\"\"");
        }
        text.push_str(part);
    }
    text.push('"');
}
