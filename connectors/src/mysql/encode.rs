//! Values of batches as parameters. The server rounds or cuts some values without an error: these are found here.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, DecimalType, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use mysql_async::Value;

use super::enumeration;
use super::metadata::ColumnFacts;
use super::values::{date, shown, time, timestamp};

/// Returns a value as a parameter for a column.
///
/// # Errors
/// The reason why the column would not hold exactly this value.
pub(super) fn parameter(column: &dyn Array, row: usize, target: &ColumnFacts) -> Result<Value, String> {
    if column.is_null(row) {
        // The server replaces NULL in some of these columns by the time, or by the next number.
        return if target.is_nullable { Ok(Value::NULL) } else { Err("it may not be NULL".to_owned()) };
    }
    let value = value(column, row).ok_or_else(|| format!("it has no values of the type {}", column.data_type()))?;
    match reason(&value, target) {
        None => Ok(value),
        Some(reason) => Err(format!("it {reason}, got {}", shown(&value))),
    }
}

/// Returns a value that is not NULL; `None` for a value that the server's types do not have.
fn value(column: &dyn Array, row: usize) -> Option<Value> {
    use DataType as T;
    Some(match column.data_type() {
        T::Boolean => Value::Int(i64::from(column.as_boolean().value(row))),
        T::Int8 => Value::Int(column.as_primitive::<Int8Type>().value(row).into()),
        T::Int16 => Value::Int(column.as_primitive::<Int16Type>().value(row).into()),
        T::Int32 => Value::Int(column.as_primitive::<Int32Type>().value(row).into()),
        T::Int64 => Value::Int(column.as_primitive::<Int64Type>().value(row)),
        T::UInt8 => Value::UInt(column.as_primitive::<UInt8Type>().value(row).into()),
        T::UInt16 => Value::UInt(column.as_primitive::<UInt16Type>().value(row).into()),
        T::UInt32 => Value::UInt(column.as_primitive::<UInt32Type>().value(row).into()),
        T::UInt64 => Value::UInt(column.as_primitive::<UInt64Type>().value(row)),
        T::Float32 => Value::Float(column.as_primitive::<Float32Type>().value(row)),
        T::Float64 => Value::Double(column.as_primitive::<Float64Type>().value(row)),
        T::Decimal128(precision, scale) => {
            decimal::<Decimal128Type>(column.as_primitive::<Decimal128Type>().value(row), *precision, *scale)
        }
        T::Decimal256(precision, scale) => {
            decimal::<Decimal256Type>(column.as_primitive::<Decimal256Type>().value(row), *precision, *scale)
        }
        T::Utf8 => Value::Bytes(column.as_string::<i32>().value(row).into()),
        T::LargeUtf8 => Value::Bytes(column.as_string::<i64>().value(row).into()),
        T::Utf8View => Value::Bytes(column.as_string_view().value(row).into()),
        T::Binary => Value::Bytes(column.as_binary::<i32>().value(row).into()),
        T::LargeBinary => Value::Bytes(column.as_binary::<i64>().value(row).into()),
        T::BinaryView => Value::Bytes(column.as_binary_view().value(row).into()),
        T::Date32 => {
            let (year, month, day) = date(column.as_primitive::<Date32Type>().value(row))?;
            Value::Date(year, month, day, 0, 0, 0, 0)
        }
        T::Timestamp(TimeUnit::Microsecond, _) => {
            timestamp(column.as_primitive::<TimestampMicrosecondType>().value(row))?
        }
        T::Time64(TimeUnit::Microsecond) => time(column.as_primitive::<Time64MicrosecondType>().value(row))?,
        _ => return None,
    })
}

fn decimal<T: DecimalType>(value: T::Native, precision: u8, scale: i8) -> Value {
    Value::Bytes(T::format_decimal(value, precision, scale).into_bytes())
}

/// Returns what a column does to a value without an error; `None` if it holds exactly the value.
fn reason(value: &Value, target: &ColumnFacts) -> Option<String> {
    let ends_blank = |bytes: &[u8]| bytes.last() == Some(&b' ');
    match (target.type_name.as_str(), value) {
        (_, Value::Float(value)) if !value.is_finite() => Some("holds finite numbers only".to_owned()),
        (_, Value::Double(value)) if !value.is_finite() => Some("holds finite numbers only".to_owned()),
        ("float", Value::Double(value)) if f64::from(*value as f32).to_bits() != value.to_bits() => {
            Some("holds numbers of 32 bits".to_owned())
        }
        ("datetime" | "timestamp" | "time", Value::Date(.., micros) | Value::Time(.., micros)) => {
            let digits = target.fraction.unwrap_or(0).min(6);
            let step = 10_u32.pow(6 - u32::try_from(digits).unwrap_or(0));
            (micros % step != 0).then(|| format!("holds {digits} digits of a second's fraction"))
        }
        ("date", Value::Date(_, _, _, hour, minute, second, micros)) => {
            ((*hour, *minute, *second, *micros) != (0, 0, 0, 0)).then(|| "holds dates without a time".to_owned())
        }
        // The server takes 70 for 1970.
        ("year", Value::Int(1..=99) | Value::UInt(1..=99)) => Some("holds years of four digits".to_owned()),
        ("enum" | "set", Value::Bytes(bytes)) => {
            let is_value =
                std::str::from_utf8(bytes).is_ok_and(|text| enumeration::is_value(&target.native_type, text));
            (!is_value).then(|| format!("is {}", target.native_type))
        }
        ("char", Value::Bytes(bytes)) if ends_blank(bytes) => Some("drops blanks at the end".to_owned()),
        ("binary", Value::Bytes(bytes)) if target.length.is_some_and(|length| (bytes.len() as u64) < length) => {
            Some(format!("fills values up to {} bytes", target.length.unwrap_or(0)))
        }
        _ => None,
    }
}

/// Returns the number of bytes that a parameter takes on the wire, at most.
pub(super) fn size(value: &Value) -> usize {
    match value {
        Value::Bytes(bytes) => bytes.len() + 9,
        _ => 13,
    }
}

/// Returns the parameters of a row.
///
/// # Errors
/// The column that would not hold its value, and the reason.
pub(super) fn row(batch: &RecordBatch, row: usize, targets: &[ColumnFacts]) -> Result<Vec<Value>, String> {
    let column = |(column, target): (&_, &ColumnFacts)| {
        parameter(column, row, target).map_err(|reason| format!("column `{}`: {reason}", target.name))
    };
    batch.columns().iter().map(AsRef::as_ref).zip(targets).map(column).collect()
}
