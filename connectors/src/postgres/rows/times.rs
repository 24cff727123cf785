//! Dates, times and intervals.

use arrow::datatypes::IntervalMonthDayNano;

use super::{Fault, fixed};

/// 2000-01-01, where PostgreSQL begins to count, in days and in microseconds since 1970-01-01.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;
/// The microseconds of a day.
const DAY_MICROSECONDS: i64 = 86_400_000_000;
const NANOSECONDS: i64 = 1_000;

/// Returns the days since 1970-01-01.
pub(super) fn date(bytes: &[u8]) -> Result<i32, Fault> {
    let days = i32::from_be_bytes(fixed(bytes)?);
    if days == i32::MIN || days == i32::MAX {
        return Err(Fault::unfit("expected a date, got an infinite one"));
    }
    days.checked_add(EPOCH_DAYS).ok_or_else(|| Fault::unfit("expected a date, got one that is too late"))
}

/// Returns the microseconds since 1970-01-01.
pub(super) fn timestamp(bytes: &[u8]) -> Result<i64, Fault> {
    let microseconds = i64::from_be_bytes(fixed(bytes)?);
    if microseconds == i64::MIN || microseconds == i64::MAX {
        return Err(Fault::unfit("expected a timestamp, got an infinite one"));
    }
    let since = microseconds.checked_add(EPOCH_MICROSECONDS);
    since.ok_or_else(|| Fault::unfit("expected a timestamp, got one after the year 294246"))
}

/// Returns the microseconds since midnight.
pub(super) fn time(bytes: &[u8]) -> Result<i64, Fault> {
    match i64::from_be_bytes(fixed(bytes)?) {
        microseconds @ 0..DAY_MICROSECONDS => Ok(microseconds),
        DAY_MICROSECONDS => Err(Fault::unfit("expected a time before midnight, got 24:00:00")),
        microseconds => Err(Fault::malformed(format!("expected a time of a day, got {microseconds} microseconds"))),
    }
}

/// Returns the months, days and nanoseconds.
pub(super) fn interval(bytes: &[u8]) -> Result<IntervalMonthDayNano, Fault> {
    let bytes: [u8; 16] = fixed(bytes)?;
    let microseconds = i64::from_be_bytes(fixed(&bytes[..8])?);
    let days = i32::from_be_bytes(fixed(&bytes[8..12])?);
    let months = i32::from_be_bytes(fixed(&bytes[12..])?);
    let nanoseconds = microseconds.checked_mul(NANOSECONDS);
    let unfit =
        || Fault::unfit("expected an interval with hours of at most 292 years, got a longer or an infinite one");
    Ok(IntervalMonthDayNano::new(months, days, nanoseconds.ok_or_else(unfit)?))
}
