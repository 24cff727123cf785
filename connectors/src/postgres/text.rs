//! Values as PostgreSQL reads them in `COPY … FROM STDIN (FORMAT text)`.
//!
//! Text fits every type that a port reads as text, such as an enum, a `uuid` or `jsonb`. The binary format would need the
//! bytes of each type. The server parses each value, and names the column of one that does not fit.

use std::fmt::Write;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow::record_batch::RecordBatch;

use crate::databases::calendar::civil;

const SECOND_MICROSECONDS: i64 = 1_000_000;
const DAY_MICROSECONDS: i64 = 86_400 * SECOND_MICROSECONDS;
const MICROSECOND_NANOSECONDS: i64 = 1_000;

/// Appends a row. The error names the column.
pub(super) fn row(batch: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
    let mut value = String::new();
    for (index, column) in batch.columns().iter().enumerate() {
        if index > 0 {
            out.push(b'\t');
        }
        if column.is_null(row) || column.data_type().is_null() {
            out.extend_from_slice(b"\\N");
            continue;
        }
        value.clear();
        text(column, row, &mut value)
            .map_err(|e| format!("column `{}`: {e}", batch.schema_ref().field(index).name()))?;
        escaped(&value, out);
    }
    out.push(b'\n');
    Ok(())
}

/// Appends a value, with the characters escaped that have a meaning between values.
fn escaped(value: &str, out: &mut Vec<u8>) {
    for byte in value.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            byte => out.push(byte),
        }
    }
}

/// Appends the text of a value that is not NULL.
fn text(array: &dyn Array, row: usize, out: &mut String) -> Result<(), String> {
    macro_rules! native {
        ($type:ty) => {
            array.as_primitive::<$type>().value(row)
        };
    }
    let written = match array.data_type() {
        DataType::Boolean => write!(out, "{}", array.as_boolean().value(row)),
        DataType::Int8 => write!(out, "{}", native!(Int8Type)),
        DataType::Int16 => write!(out, "{}", native!(Int16Type)),
        DataType::Int32 => write!(out, "{}", native!(Int32Type)),
        DataType::Int64 => write!(out, "{}", native!(Int64Type)),
        DataType::UInt8 => write!(out, "{}", native!(UInt8Type)),
        DataType::UInt16 => write!(out, "{}", native!(UInt16Type)),
        DataType::UInt32 => write!(out, "{}", native!(UInt32Type)),
        DataType::UInt64 => write!(out, "{}", native!(UInt64Type)),
        // With an exponent, the largest numbers are short.
        DataType::Float32 => write!(out, "{:e}", native!(Float32Type)),
        DataType::Float64 => write!(out, "{:e}", native!(Float64Type)),
        DataType::Decimal128(..) => write!(out, "{}", array.as_primitive::<Decimal128Type>().value_as_string(row)),
        DataType::Decimal256(..) => write!(out, "{}", array.as_primitive::<Decimal256Type>().value_as_string(row)),
        DataType::Utf8 => write!(out, "{}", array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => write!(out, "{}", array.as_string::<i64>().value(row)),
        DataType::Utf8View => write!(out, "{}", array.as_string_view().value(row)),
        DataType::Binary => bytes(array.as_binary::<i32>().value(row), out),
        DataType::LargeBinary => bytes(array.as_binary::<i64>().value(row), out),
        DataType::BinaryView => bytes(array.as_binary_view().value(row), out),
        DataType::FixedSizeBinary(_) => bytes(array.as_fixed_size_binary().value(row), out),
        DataType::Date32 => date(native!(Date32Type).into(), out),
        DataType::Time64(TimeUnit::Microsecond) => time(native!(Time64MicrosecondType), out),
        DataType::Timestamp(unit, zone) => timestamp(microseconds(array, row, *unit)?, zone.is_some(), out),
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let value = native!(IntervalMonthDayNanoType);
            let microseconds = whole_microseconds(value.nanoseconds)?;
            write!(out, "{} mons {} days {microseconds} microseconds", value.months, value.days)
        }
        DataType::List(_) => return list(array.as_list::<i32>().value(row).as_ref(), out),
        DataType::LargeList(_) => return list(array.as_list::<i64>().value(row).as_ref(), out),
        other => return Err(format!("expected a type that PostgreSQL has, got {other}")),
    };
    written.map_err(|e| e.to_string())
}

fn bytes(bytes: &[u8], out: &mut String) -> std::fmt::Result {
    out.push_str("\\x");
    bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
}

fn microseconds(array: &dyn Array, row: usize, unit: TimeUnit) -> Result<i64, String> {
    let beyond = || "expected a timestamp that PostgreSQL has, got a later or an earlier one".to_owned();
    match unit {
        TimeUnit::Second => {
            let seconds = array.as_primitive::<TimestampSecondType>().value(row);
            seconds.checked_mul(SECOND_MICROSECONDS).ok_or_else(beyond)
        }
        TimeUnit::Millisecond => {
            let milliseconds = array.as_primitive::<TimestampMillisecondType>().value(row);
            milliseconds.checked_mul(SECOND_MICROSECONDS / 1000).ok_or_else(beyond)
        }
        TimeUnit::Microsecond => Ok(array.as_primitive::<TimestampMicrosecondType>().value(row)),
        TimeUnit::Nanosecond => whole_microseconds(array.as_primitive::<TimestampNanosecondType>().value(row)),
    }
}

fn whole_microseconds(nanoseconds: i64) -> Result<i64, String> {
    match nanoseconds % MICROSECOND_NANOSECONDS {
        0 => Ok(nanoseconds / MICROSECOND_NANOSECONDS),
        _ => Err("expected whole microseconds, got parts of them, which PostgreSQL does not store".to_owned()),
    }
}

fn timestamp(microseconds: i64, has_zone: bool, out: &mut String) -> std::fmt::Result {
    let (year, month, day) = civil(microseconds.div_euclid(DAY_MICROSECONDS));
    write!(out, "{:04}-{month:02}-{day:02} ", shown_year(year))?;
    time(microseconds.rem_euclid(DAY_MICROSECONDS), out)?;
    out.push_str(if has_zone { "+00" } else { "" });
    out.push_str(era(year));
    Ok(())
}

fn date(days: i64, out: &mut String) -> std::fmt::Result {
    let (year, month, day) = civil(days);
    write!(out, "{:04}-{month:02}-{day:02}{}", shown_year(year), era(year))
}

fn time(microseconds: i64, out: &mut String) -> std::fmt::Result {
    let (seconds, rest) = (microseconds / SECOND_MICROSECONDS, microseconds % SECOND_MICROSECONDS);
    write!(out, "{:02}:{:02}:{:02}.{rest:06}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Returns the year as PostgreSQL counts it: the year before 1 is 1 BC.
fn shown_year(year: i64) -> i64 {
    if year > 0 { year } else { 1 - year }
}

fn era(year: i64) -> &'static str {
    if year > 0 { "" } else { " BC" }
}

/// Appends an array. All items are in quotes, so that none looks like NULL.
fn list(items: &dyn Array, out: &mut String) -> Result<(), String> {
    let mut item = String::new();
    out.push('{');
    for row in 0..items.len() {
        if row > 0 {
            out.push(',');
        }
        if items.is_null(row) {
            out.push_str("NULL");
            continue;
        }
        item.clear();
        text(items, row, &mut item)?;
        out.push('"');
        for c in item.chars() {
            if matches!(c, '"' | '\\') {
                out.push('\\');
            }
            out.push(c);
        }
        out.push('"');
    }
    out.push('}');
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BinaryArray, Float64Array, Int32Array, ListArray, StringArray, TimestampNanosecondArray,
    };
    use arrow::datatypes::IntervalMonthDayNano;

    use super::*;

    fn shown(array: impl Array + 'static) -> String {
        let mut out = String::new();
        text(&array, 0, &mut out).unwrap();
        out
    }

    #[test]
    fn dates_have_the_calendar_of_postgres() {
        let cases = [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (11_016, "2000-02-29"),
            (-719_162, "0001-01-01"),
            (-719_163, "0001-12-31 BC"),
            (-2_440_588, "4714-11-24 BC"),
            (i64::from(i32::MAX), "5881580-07-11"),
        ];
        for (days, expected) in cases {
            let mut out = String::new();
            date(days, &mut out).unwrap();
            assert_eq!(out, expected, "{days}");
        }
        let mut out = String::new();
        timestamp(-62_135_596_800_000_001, true, &mut out).unwrap();
        assert_eq!(out, "0001-12-31 23:59:59.999999+00 BC");
    }

    #[test]
    fn values_are_written_as_postgres_reads_them() {
        assert_eq!(shown(Float64Array::from(vec![1e308])), "1e308");
        assert_eq!(shown(Float64Array::from(vec![-0.0])), "-0e0");
        assert_eq!(shown(Float64Array::from(vec![f64::NEG_INFINITY])), "-inf");
        assert_eq!(shown(BinaryArray::from(vec![&[0_u8, 255][..]])), "\\x00ff");
        let interval = arrow::array::IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(-1, 2, -3_000)]);
        assert_eq!(shown(interval), "-1 mons 2 days -3 microseconds");
        let items: ArrayRef = Arc::new(StringArray::from(vec![Some("a\"\\"), None, Some("NULL")]));
        let field = Arc::new(arrow::datatypes::Field::new_list_field(DataType::Utf8, true));
        let list = ListArray::new(field, arrow::buffer::OffsetBuffer::from_lengths([3]), items, None);
        assert_eq!(shown(list), "{\"a\\\"\\\\\",NULL,\"NULL\"}");
        let mut out = String::new();
        let parts = text(&TimestampNanosecondArray::from(vec![1]), 0, &mut out).unwrap_err();
        assert!(parts.contains("whole microseconds"), "{parts}");
    }

    #[test]
    fn a_row_has_escapes_and_nulls() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a\tb\\\r\n"), Some("\\N"), None]));
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(-3)]));
        let batch = RecordBatch::try_from_iter([("s", texts), ("n", numbers)]).unwrap();
        let mut out = vec![];
        (0..3).for_each(|i| row(&batch, i, &mut out).unwrap());
        assert_eq!(String::from_utf8(out).unwrap(), "a\\tb\\\\\\r\\n\t1\n\\\\N\t\\N\n\\N\t-3\n");
    }
}
