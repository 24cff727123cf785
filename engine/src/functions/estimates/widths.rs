//! The lengths of values as text.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};

use crate::functions::cost::{items, size};

/// The longest text of an integer or of a Boolean, and of a float between one and ten.
const NUMBER: u64 = 24;
/// The longest text of a float: DataFusion writes `1e300` with 301 digits.
const FLOAT: u64 = 366;
/// The longest text of a date, a time or a duration.
const TIME: u64 = 48;
/// The longest text of an interval, with the names of its units.
const INTERVAL: u64 = 96;
/// The sign and the point of a decimal, and the zero before the point.
const SIGNS: u64 = 3;

/// Returns the length of the text of a value, or of the texts of all items in a list, in bytes.
pub(super) fn printed(array: &dyn Array, row: usize) -> u64 {
    if array.is_null(row) {
        return 0;
    }
    if let Some((values, from, to)) = items(array, row) {
        return match width(values.data_type()) {
            Some(width) => (to - from) as u64 * width,
            None => (from..to).map(|row| printed(values.as_ref(), row)).sum(),
        };
    }
    match array.data_type() {
        DataType::Float32 => float(array.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row)),
        other => width(other).unwrap_or_else(|| size(array, row)),
    }
}

/// Returns the longest text of a value of a type; `None` if that depends on the value.
fn width(data_type: &DataType) -> Option<u64> {
    match data_type {
        DataType::Float32 | DataType::Float64 => None,
        DataType::Dictionary(_, values) if values.is_floating() => Some(FLOAT),
        DataType::Dictionary(_, values) => width(values),
        DataType::Decimal32(digits, scale)
        | DataType::Decimal64(digits, scale)
        | DataType::Decimal128(digits, scale)
        | DataType::Decimal256(digits, scale) => Some(u64::from(*digits) + u64::from(scale.unsigned_abs()) + SIGNS),
        DataType::Interval(_) => Some(INTERVAL),
        other if other.is_temporal() => Some(TIME),
        DataType::Boolean => Some(NUMBER),
        other => other.is_primitive().then_some(NUMBER),
    }
}

/// Returns the length of the text of a float, which has a digit for each power of ten.
fn float(value: f64) -> u64 {
    if value == 0.0 || !value.is_finite() {
        return NUMBER;
    }
    let exponent = (value.to_bits() >> 52) & 0x7ff;
    // A power of ten is more than three powers of two.
    NUMBER + exponent.abs_diff(1023) / 3
}
