//! Single values of the binary protocol.

use arrow::datatypes::{ArrowNativeType, ArrowNativeTypeOp, DecimalType};
use mysql_async::{Row, Value};
use time::{Date, Month};

/// The Julian day of 1970-01-01.
const EPOCH: i32 = 2_440_588;
const MICROS_A_SECOND: i64 = 1_000_000;
const SECONDS_A_DAY: i64 = 86_400;
/// The number of bytes of a value that an error shows.
const SHOWN_BYTES: usize = 60;

/// Returns a string of a row; `None` for NULL and for other types.
pub(super) fn text(row: &Row, column: usize) -> Option<String> {
    match row.as_ref(column)? {
        Value::Bytes(bytes) => String::from_utf8(bytes.clone()).ok(),
        _ => None,
    }
}

/// Returns a number of a row that is not negative; `None` for NULL and for other values.
pub(super) fn number(row: &Row, column: usize) -> Option<u64> {
    match row.as_ref(column)? {
        Value::Int(value) => u64::try_from(*value).ok(),
        Value::UInt(value) => Some(*value),
        Value::Bytes(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
        _ => None,
    }
}

/// Returns the days since 1970-01-01. A month or a day that does not exist, such as in `0000-00-00`, is no date.
pub(super) fn days(year: u16, month: u8, day: u8) -> Option<i32> {
    let date = Date::from_calendar_date(i32::from(year), Month::try_from(month).ok()?, day).ok()?;
    Some(date.to_julian_day() - EPOCH)
}

/// Returns the date of a number of days since 1970-01-01, if its year has four digits.
pub(super) fn date(days: i32) -> Option<(u16, u8, u8)> {
    let date = Date::from_julian_day(days.checked_add(EPOCH)?).ok()?;
    let year = u16::try_from(date.year()).ok().filter(|year| *year <= 9999)?;
    Some((year, date.month().into(), date.day()))
}

/// Returns a date as days since 1970-01-01; `None` for other values, and for a date with a time.
pub(super) fn date_of(value: &Value) -> Option<i32> {
    match *value {
        Value::Date(year, month, day, 0, 0, 0, 0) => days(year, month, day),
        _ => None,
    }
}

/// Returns a date with a time as microseconds since 1970-01-01.
pub(super) fn timestamp_of(value: &Value) -> Option<i64> {
    let Value::Date(year, month, day, hour, minute, second, micros) = *value else { return None };
    let days = i64::from(days(year, month, day)?);
    Some(days * SECONDS_A_DAY * MICROS_A_SECOND + time_of_day(hour, minute, second, micros)?)
}

/// Returns a time of day as microseconds since midnight. A `TIME` can also be a duration: negative, or of days.
pub(super) fn time_of(value: &Value) -> Option<i64> {
    match *value {
        Value::Time(is_negative, 0, hour, minute, second, micros) => {
            time_of_day(hour, minute, second, micros).filter(|time| !is_negative || *time == 0)
        }
        _ => None,
    }
}

fn time_of_day(hour: u8, minute: u8, second: u8, micros: u32) -> Option<i64> {
    let is_valid = hour < 24 && minute < 60 && second < 60 && micros < 1_000_000;
    let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    is_valid.then(|| seconds * MICROS_A_SECOND + i64::from(micros))
}

/// Returns a timestamp in microseconds as a value, if its year has four digits.
pub(super) fn timestamp(micros: i64) -> Option<Value> {
    let seconds = micros.div_euclid(MICROS_A_SECOND);
    let (year, month, day) = date(i32::try_from(seconds.div_euclid(SECONDS_A_DAY)).ok()?)?;
    let (hour, minute, second) = clock(seconds.rem_euclid(SECONDS_A_DAY))?;
    let fraction = u32::try_from(micros.rem_euclid(MICROS_A_SECOND)).ok()?;
    Some(Value::Date(year, month, day, hour, minute, second, fraction))
}

/// Returns a time of day in microseconds as a value.
pub(super) fn time(micros: i64) -> Option<Value> {
    let (hour, minute, second) = clock(micros.div_euclid(MICROS_A_SECOND))?;
    let fraction = u32::try_from(micros.rem_euclid(MICROS_A_SECOND)).ok()?;
    Some(Value::Time(false, 0, hour, minute, second, fraction))
}

fn clock(seconds: i64) -> Option<(u8, u8, u8)> {
    let hour = u8::try_from(seconds.div_euclid(3600)).ok().filter(|hour| *hour < 24)?;
    Some((hour, u8::try_from(seconds / 60 % 60).ok()?, u8::try_from(seconds % 60).ok()?))
}

/// Returns a decimal or an integer with exactly this precision and scale; `None` if digits would be lost.
pub(super) fn decimal_of<T: DecimalType>(value: &Value, precision: u8, scale: i8) -> Option<T::Native>
where
    T::Native: ArrowNativeTypeOp,
{
    match value {
        Value::Bytes(bytes) => parse_decimal::<T>(bytes, precision, scale),
        Value::Int(value) => parse_decimal::<T>(value.to_string().as_bytes(), precision, scale),
        Value::UInt(value) => parse_decimal::<T>(value.to_string().as_bytes(), precision, scale),
        _ => None,
    }
}

fn parse_decimal<T: DecimalType>(text: &[u8], precision: u8, scale: i8) -> Option<T::Native>
where
    T::Native: ArrowNativeTypeOp,
{
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let ten = T::Native::from_usize(10)?;
    let scale = usize::try_from(scale).ok()?;
    let (mut value, mut fraction, mut has_point) = (T::Native::ZERO, 0, false);
    let is_number = digits.iter().any(u8::is_ascii_digit);
    for byte in digits {
        match byte {
            b'.' if !has_point => has_point = true,
            b'0'..=b'9' if has_point && fraction == scale => {
                if *byte != b'0' {
                    return None;
                }
            }
            b'0'..=b'9' => {
                let digit = T::Native::from_usize(usize::from(byte - b'0'))?;
                value = value.mul_checked(ten).ok()?.add_checked(digit).ok()?;
                fraction += usize::from(has_point);
            }
            _ => return None,
        }
    }
    for _ in fraction..scale {
        value = value.mul_checked(ten).ok()?;
    }
    let value = if is_negative { value.neg_checked().ok()? } else { value };
    (is_number && T::validate_decimal_precision(value, precision, i8::try_from(scale).ok()?).is_ok()).then_some(value)
}

/// Returns an integer; `None` for other values, and for a decimal with a fraction.
pub(super) fn integer_of(value: &Value) -> Option<i128> {
    match value {
        Value::Int(value) => Some(i128::from(*value)),
        Value::UInt(value) => Some(i128::from(*value)),
        // The server's sums of integers are decimals.
        Value::Bytes(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
        _ => None,
    }
}

/// Returns a value for an error.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::NULL => "NULL".to_owned(),
        Value::Bytes(bytes) => {
            let start = &bytes[..bytes.len().min(SHOWN_BYTES)];
            let rest = if bytes.len() > SHOWN_BYTES { "…" } else { "" };
            format!("`{}{rest}`", String::from_utf8_lossy(start))
        }
        Value::Int(value) => format!("`{value}`"),
        Value::UInt(value) => format!("`{value}`"),
        Value::Float(value) => format!("`{value}`"),
        Value::Double(value) => format!("`{value}`"),
        Value::Date(year, month, day, 0, 0, 0, 0) => format!("`{year:04}-{month:02}-{day:02}`"),
        Value::Date(year, month, day, hour, minute, second, micros) => {
            format!("`{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}`")
        }
        Value::Time(is_negative, days, hour, minute, second, micros) => {
            let sign = if *is_negative { "-" } else { "" };
            format!("`{sign}{}:{minute:02}:{second:02}.{micros:06}`", u64::from(*days) * 24 + u64::from(*hour))
        }
    }
}
