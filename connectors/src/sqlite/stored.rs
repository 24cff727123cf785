//! Arrow values as SQLite stores them, for rows that are added. A value that SQLite would store as another one is
//! rejected.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use rusqlite::types::Value;

use super::declared::Affinity;
use super::values::times::{date_text, time_text, timestamp_text};

/// The decimal digits that a floating-point number always keeps.
const REAL_DIGITS: u32 = 15;
const DAY: i64 = 86_400_000_000;
/// The Julian day of 1970-01-01.
const EPOCH: f64 = 2_440_587.5;

/// Returns a value as SQLite stores it in a column of this affinity.
///
/// # Errors
/// A message without the value: it has no equal one in SQLite.
pub(super) fn stored(array: &dyn Array, row: usize, affinity: Affinity) -> Result<Value, String> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    Ok(match array.data_type() {
        DataType::Boolean => Value::Integer(array.as_boolean().value(row).into()),
        DataType::Int8 => integer::<Int8Type>(array, row),
        DataType::Int16 => integer::<Int16Type>(array, row),
        DataType::Int32 => integer::<Int32Type>(array, row),
        DataType::Int64 => integer::<Int64Type>(array, row),
        DataType::UInt8 => integer::<UInt8Type>(array, row),
        DataType::UInt16 => integer::<UInt16Type>(array, row),
        DataType::UInt32 => integer::<UInt32Type>(array, row),
        DataType::UInt64 => {
            let value = i64::try_from(array.as_primitive::<UInt64Type>().value(row));
            Value::Integer(value.map_err(|_| "the largest integer of SQLite is 9223372036854775807".to_owned())?)
        }
        DataType::Float32 => real(array.as_primitive::<Float32Type>().value(row).into())?,
        DataType::Float64 => real(array.as_primitive::<Float64Type>().value(row))?,
        DataType::Utf8 => text(array.as_string::<i32>().value(row), affinity)?,
        DataType::LargeUtf8 => text(array.as_string::<i64>().value(row), affinity)?,
        DataType::Utf8View => text(array.as_string_view().value(row), affinity)?,
        DataType::Binary => Value::Blob(array.as_binary::<i32>().value(row).to_vec()),
        DataType::LargeBinary => Value::Blob(array.as_binary::<i64>().value(row).to_vec()),
        DataType::BinaryView => Value::Blob(array.as_binary_view().value(row).to_vec()),
        DataType::Date32 => date(array.as_primitive::<Date32Type>().value(row), affinity)?,
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            timestamp(array.as_primitive::<TimestampMicrosecondType>().value(row), affinity)?
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            let value = time_text(array.as_primitive::<Time64MicrosecondType>().value(row));
            Value::Text(value.ok_or("a time must be before 24:00:00")?)
        }
        DataType::Decimal128(precision, scale) => {
            let array = array.as_primitive::<Decimal128Type>();
            decimal(array.value(row), *precision, *scale, affinity)?
        }
        other => return Err(format!("SQLite has no values of type {other}")),
    })
}

fn integer<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> Value
where
    T::Native: Into<i64>,
{
    Value::Integer(array.as_primitive::<T>().value(row).into())
}

fn real(value: f64) -> Result<Value, String> {
    if value.is_nan() { Err("SQLite stores NaN as NULL".to_owned()) } else { Ok(Value::Real(value)) }
}

/// Returns a string. In a column for numbers, SQLite stores a string with a number as the number.
fn text(value: &str, affinity: Affinity) -> Result<Value, String> {
    let becomes_number = !matches!(affinity, Affinity::Text | Affinity::Blob) && value.trim().parse::<f64>().is_ok();
    if becomes_number {
        return Err("SQLite stores this string as a number, because of the column's declared type".to_owned());
    }
    Ok(Value::Text(value.to_owned()))
}

fn date(days: i32, affinity: Affinity) -> Result<Value, String> {
    let text = date_text(days).ok_or("a date must be in the years 0 to 9999")?;
    Ok(match affinity {
        Affinity::Integer => Value::Integer(i64::from(days) * 86_400),
        Affinity::Real => Value::Real(f64::from(days) + EPOCH),
        _ => Value::Text(text),
    })
}

fn timestamp(micros: i64, affinity: Affinity) -> Result<Value, String> {
    let text = timestamp_text(micros).ok_or("a timestamp must be in the years 0 to 9999")?;
    Ok(match affinity {
        Affinity::Integer if micros % 1_000_000 == 0 => Value::Integer(micros / 1_000_000),
        Affinity::Integer => return Err("the column has seconds, and the timestamp has a fraction of one".to_owned()),
        Affinity::Real if micros % 1000 == 0 => {
            // The division by itself would round twice.
            let (days, of_day) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
            Value::Real(days as f64 + EPOCH + of_day as f64 / DAY as f64)
        }
        Affinity::Real => return Err("the column has Julian days, which have milliseconds, and no more".to_owned()),
        _ => Value::Text(text),
    })
}

/// Returns a decimal number: as text if the column keeps text, and otherwise as an integer, or as a floating-point number
/// if it has few enough digits.
fn decimal(value: i128, precision: u8, scale: i8, affinity: Affinity) -> Result<Value, String> {
    use arrow::datatypes::DecimalType;
    let text = Decimal128Type::format_decimal(value, precision, scale);
    if matches!(affinity, Affinity::Text | Affinity::Blob) {
        return Ok(Value::Text(text));
    }
    let factor = 10_i128.checked_pow(scale.max(0).cast_unsigned().into()).unwrap_or(i128::MAX);
    let is_short = value.unsigned_abs() < 10_u128.pow(REAL_DIGITS);
    match i64::try_from(value / factor) {
        Ok(whole) if scale >= 0 && value % factor == 0 && (affinity != Affinity::Real || is_short) => {
            Ok(Value::Integer(whole))
        }
        _ if is_short => text.parse().map(Value::Real).map_err(|_| "the number cannot be stored".to_owned()),
        _ => Err(format!(
            "the column stores floating-point numbers, which keep {REAL_DIGITS} digits, and the number has more; declare \
             the column as TEXT"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_their_digits_or_are_rejected() {
        let stored = |value, affinity| decimal(value, 38, 2, affinity);
        assert_eq!(stored(110, Affinity::Text), Ok(Value::Text("1.10".to_owned())));
        assert_eq!(stored(110, Affinity::Numeric), Ok(Value::Real(1.1)));
        assert_eq!(stored(-300, Affinity::Numeric), Ok(Value::Integer(-3)));
        assert_eq!(stored(999_999_999_999_999, Affinity::Real), Ok(Value::Real(9_999_999_999_999.99)));
        assert!(stored(1_000_000_000_000_001, Affinity::Real).is_err());
        assert!(stored(1_000_000_000_000_000_100, Affinity::Real).is_err());
        assert_eq!(stored(1_000_000_000_000_000_100, Affinity::Numeric), Ok(Value::Integer(10_000_000_000_000_001)));
    }

    #[test]
    fn times_have_the_form_of_the_column() {
        assert_eq!(date(17_402, Affinity::Numeric), Ok(Value::Text("2017-08-24".to_owned())));
        assert_eq!(date(1, Affinity::Integer), Ok(Value::Integer(86_400)));
        assert_eq!(date(0, Affinity::Real), Ok(Value::Real(2_440_587.5)));
        assert_eq!(timestamp(-1_000_000, Affinity::Integer), Ok(Value::Integer(-1)));
        assert!(timestamp(1, Affinity::Integer).is_err());
        assert!(timestamp(1, Affinity::Real).is_err());
        assert_eq!(timestamp(21_600_000_000, Affinity::Real), Ok(Value::Real(2_440_587.75)));
        assert!(date(2_932_897, Affinity::Text).is_err());
    }

    #[test]
    fn strings_and_numbers_that_would_change_are_rejected() {
        assert!(text(" 12 ", Affinity::Numeric).is_err());
        assert_eq!(text("12a", Affinity::Numeric), Ok(Value::Text("12a".to_owned())));
        assert_eq!(text("007", Affinity::Text), Ok(Value::Text("007".to_owned())));
        assert!(real(f64::NAN).is_err());
    }
}
