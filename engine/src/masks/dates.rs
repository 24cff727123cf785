//! The masks of dates and timestamps: the start of the year or the month, in the Gregorian calendar and in UTC, as in
//! Iceberg. A time zone of a timestamp changes nothing.
//!
//! The smallest value of a type is within a year whose start the type cannot hold. All values of this year become the
//! smallest value, and those of this month likewise. They are equal after the mask, as in any other year, so that the
//! mask neither fails nor shows more.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow::error::ArrowError;

use super::{Mask, unfit};

const SECONDS_OF_DAY: i64 = 86_400;

/// Returns the starts of the days that `first_day` returns. Days are counted from the start of 1970.
pub(super) fn truncate(array: &dyn Array, first_day: impl Fn(i64) -> i64) -> Result<ArrayRef, ArrowError> {
    let instants = |units: i64| {
        // A first day is not after its day, so only the smallest number can be exceeded.
        let first_day = &first_day;
        move |value: i64| first_day(value.div_euclid(units)).saturating_mul(units)
    };
    let array: ArrayRef = match array.data_type() {
        DataType::Date32 => {
            each::<Date32Type>(array, |value| i32::try_from(first_day(i64::from(value))).unwrap_or(i32::MIN))
        }
        DataType::Date64 => each::<Date64Type>(array, instants(SECONDS_OF_DAY * 1000)),
        DataType::Timestamp(TimeUnit::Second, _) => each::<TimestampSecondType>(array, instants(SECONDS_OF_DAY)),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            each::<TimestampMillisecondType>(array, instants(SECONDS_OF_DAY * 1000))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            each::<TimestampMicrosecondType>(array, instants(SECONDS_OF_DAY * 1_000_000))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            each::<TimestampNanosecondType>(array, instants(SECONDS_OF_DAY * 1_000_000_000))
        }
        other => return Err(unfit(Mask::TruncateToYear, other)),
    };
    Ok(array)
}

/// Returns an array of the same type with the results of `truncate`. The values under NULLs become zero.
fn each<T: ArrowPrimitiveType>(array: &dyn Array, truncate: impl Fn(T::Native) -> T::Native) -> ArrayRef {
    let values = array.as_primitive::<T>();
    let truncated: Vec<T::Native> = match values.nulls() {
        None => values.values().iter().map(|value| truncate(*value)).collect(),
        Some(_) => values.iter().map(|value| value.map(&truncate).unwrap_or_default()).collect(),
    };
    let masked = PrimitiveArray::<T>::new(truncated.into(), values.nulls().cloned());
    Arc::new(masked.with_data_type(array.data_type().clone()))
}

/// Returns the first of January of a day's year.
pub(super) fn first_day_of_year(day: i64) -> i64 {
    let (year, day_of_year) = march_year(day);
    if day_of_year >= DAYS_TO_JANUARY {
        return day - (day_of_year - DAYS_TO_JANUARY);
    }
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year == 0);
    day - day_of_year - (31 + 28 + i64::from(is_leap))
}

/// Returns the first day of a day's month.
pub(super) fn first_day_of_month(day: i64) -> i64 {
    let (_, day_of_year) = march_year(day);
    // From March on, the lengths of the months repeat every five: 31, 30, 31, 30, 31.
    let month = (5 * day_of_year + 2) / 153;
    day - (day_of_year - (153 * month + 2) / 5)
}

/// The days from the first of March to the first of January.
const DAYS_TO_JANUARY: i64 = 306;
/// The days of 400 years, after which the calendar repeats.
const DAYS_OF_ERA: i64 = 146_097;
/// The days from the first of March of the year 0 to the start of 1970.
const DAYS_TO_1970: i64 = 719_468;

/// Returns the year of a day within its 400 years, and the day of that year, both from 0. The year starts in March, so
/// that a leap day is the last day. This is `civil_from_days` of Howard Hinnant's "chrono-compatible low-level date
/// algorithms".
fn march_year(day: i64) -> (i64, i64) {
    // `day` counts the days of an i64 of seconds at most, so that the sum does not overflow.
    let day = (day + DAYS_TO_1970).rem_euclid(DAYS_OF_ERA);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    (year, day - (365 * year + year / 4 - year / 100))
}
