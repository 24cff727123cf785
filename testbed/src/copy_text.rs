//! Rows in the text form of PostgreSQL's `COPY`, which is also the default form of MariaDB's `LOAD DATA`.

use std::io::Write;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float32Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use portolan_node::{Error, Result};

/// The form of instants. Those with a time zone are in UTC.
const INSTANT: &str = "%Y-%m-%d %H:%M:%S%.6f";

/// Returns the rows of a batch, each in one line: values between tabs, and `\N` for NULL. `truths` are the words for false
/// and true.
///
/// # Errors
/// A type that has no text.
pub fn copy_text(batch: &RecordBatch, truths: [&str; 2]) -> Result<Vec<u8>> {
    let failed = |e: ArrowError| Error::failed("cannot write rows as text").with_source(e);
    let options = FormatOptions::default().with_timestamp_format(Some(INSTANT)).with_timestamp_tz_format(Some(INSTANT));
    let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
    let columns = columns.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let mut text = vec![];
    for row in 0..batch.num_rows() {
        for (i, (values, formatter)) in batch.columns().iter().zip(&columns).enumerate() {
            if i > 0 {
                text.push(b'\t');
            }
            match values.data_type() {
                _ if values.is_null(row) => text.extend(br"\N"),
                DataType::Boolean => text.extend(truths[usize::from(values.as_boolean().value(row))].bytes()),
                // With few digits, the largest value would be read as one that is larger.
                DataType::Float32 => {
                    let value = f64::from(values.as_primitive::<Float32Type>().value(row));
                    write!(text, "{value:e}").map_err(|e| Error::output("rows as text", e))?;
                }
                DataType::Utf8 => escape(values.as_string::<i32>().value(row), &mut text),
                // Writing to a vector does not fail, and the value was checked when the formatter was made.
                _ => write!(text, "{}", formatter.value(row)).map_err(|e| Error::output("rows as text", e))?,
            }
        }
        text.push(b'\n');
    }
    Ok(text)
}

fn escape(value: &str, text: &mut Vec<u8>) {
    for byte in value.bytes() {
        match byte {
            b'\\' => text.extend(br"\\"),
            b'\t' => text.extend(br"\t"),
            b'\n' => text.extend(br"\n"),
            b'\r' => text.extend(br"\r"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, StringArray, TimestampMicrosecondArray,
    };

    use super::*;

    #[test]
    fn values_are_escaped_and_null_is_no_value() {
        let amounts = Decimal128Array::from(vec![Some(-105), None]).with_precision_and_scale(10, 2).unwrap();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("t", Arc::new(StringArray::from(vec![Some("a\tb\\N\r\n"), None]))),
            ("u", Arc::new(StringArray::from(vec!["", "ß"]))),
            ("b", Arc::new(BooleanArray::from(vec![true, false]))),
            ("v", Arc::new(amounts)),
            ("f", Arc::new(Float64Array::from(vec![f64::NAN, f64::NEG_INFINITY]))),
            ("d", Arc::new(Date32Array::from(vec![-719_162, 2_932_896]))),
            ("at", Arc::new(TimestampMicrosecondArray::from(vec![-1, 0]))),
            ("z", Arc::new(TimestampMicrosecondArray::from(vec![0, 1_500_000]).with_timezone("UTC"))),
        ];
        let text = copy_text(&RecordBatch::try_from_iter(columns).unwrap(), ["f", "t"]).unwrap();
        let expected = "a\\tb\\\\N\\r\\n\t\tt\t-1.05\tNaN\t0001-01-01\t1969-12-31 23:59:59.999999\t1970-01-01 00:00:00.000000\n\
                        \\N\tß\tf\t\\N\t-inf\t9999-12-31\t1970-01-01 00:00:00.000000\t1970-01-01 00:00:01.500000\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
