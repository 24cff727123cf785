//! Instants: dates of agreements, and Cedar's `datetime`.

use std::time::{Duration, SystemTime};

use ::time::{Date, Month, OffsetDateTime};

/// The milliseconds of a day.
pub(crate) const DAY: i64 = 24 * 60 * 60 * 1000;
/// The first and the last instant that a literal may have: the years 0 to 9999.
pub(crate) const RANGE: std::ops::RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;

/// Returns the milliseconds since 1970-01-01T00:00:00Z, rounded down, within [`RANGE`].
pub(crate) fn to_millis(time: SystemTime) -> i64 {
    let millis = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos().div_ceil(1_000_000)).map_or(i64::MIN, |ms| -ms),
    };
    millis.clamp(*RANGE.start(), *RANGE.end())
}

/// Returns the instant of these milliseconds, or `None` if the system cannot represent it.
pub(crate) fn from_millis(millis: i64) -> Option<SystemTime> {
    let length = Duration::from_millis(millis.unsigned_abs());
    match millis {
        0.. => SystemTime::UNIX_EPOCH.checked_add(length),
        _ => SystemTime::UNIX_EPOCH.checked_sub(length),
    }
}

/// Returns Cedar's notation of an instant, such as `2026-01-31T09:05:00.000Z`.
pub(crate) fn to_cedar(millis: i64) -> String {
    let seconds = millis.div_euclid(1000);
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second) = time.to_hms();
    let month = u8::from(month);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", millis.rem_euclid(1000))
}

/// Returns the first millisecond of a date `YYYY-MM-DD` in UTC, or `None` if it is no such date.
pub(crate) fn parse_date(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let mut part = |length: usize| {
        let digits = parts.next().filter(|p| p.len() == length && p.bytes().all(|b| b.is_ascii_digit()))?;
        digits.parse::<u16>().ok()
    };
    let (year, month, day) = (part(4)?, part(2)?, part(2)?);
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = Date::from_calendar_date(year.into(), month, u8::try_from(day).ok()?).ok()?;
    parts.next().is_none().then(|| date.midnight().assume_utc().unix_timestamp() * 1000)
}

/// Returns the milliseconds of a `datetime` in Cedar's notation.
pub(crate) fn parse_cedar(text: &str) -> Option<i64> {
    let (date, time) = text.split_at_checked(10)?;
    let midnight = parse_date(date)?;
    if time.is_empty() {
        return Some(midnight);
    }
    let number = |from: usize, to: usize| {
        let digits = time.get(from..to).filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
        digits.parse::<i64>().ok()
    };
    let separators_fit = time.get(..1)? == "T" && time.get(3..4)? == ":" && time.get(6..7)? == ":";
    let (hour, minute, second) = (number(1, 3)?, number(4, 6)?, number(7, 9)?);
    let (millis, zone) = match time.get(9..10)? {
        "." => (number(10, 13)?, time.get(13..)?),
        _ => (0, time.get(9..)?),
    };
    let offset = match (zone.get(..1)?, zone.len()) {
        ("Z", 1) => 0,
        (sign @ ("+" | "-"), 5) => {
            let from = time.len() - 4;
            let minutes = number(from, from + 2)? * 60 + number(from + 2, from + 4)?;
            if sign == "-" { -minutes } else { minutes }
        }
        _ => return None,
    };
    let seconds = (hour * 60 + minute - offset) * 60 + second;
    separators_fit.then_some(midnight + seconds * 1000 + millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(parse_date("1970-01-02"), Some(DAY));
        assert_eq!(parse_date("2024-02-29"), Some(1_709_164_800_000));
        for bad in ["2023-02-29", "2024-2-1", "2024-01-01T00", "2024-01-01-", "", "20240101", "+024-01-01"] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }

    #[test]
    fn instants_in_the_notation_of_cedar() {
        for millis in [0, -1, 1, DAY - 1, 1_709_164_800_123, *RANGE.start(), *RANGE.end()] {
            let text = to_cedar(millis);
            assert_eq!(parse_cedar(&text), Some(millis), "{text}");
            assert_eq!(from_millis(millis).map(to_millis), Some(millis));
        }
        assert_eq!(to_cedar(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(parse_cedar("1970-01-01T01:30:00+0130"), Some(0));
        assert_eq!(parse_cedar("1970-01-01T00:00:00.250-0001"), Some(60_250));
        assert_eq!(parse_cedar("1970-01-01 00:00:00Z"), None);
    }
}
