//! Dates and times as text, in ISO 8601 as SQLite writes them: parsed to the last character, and written.

use crate::databases::calendar::civil;

/// The seconds of a day.
const DAY: i64 = 86_400;
const NANOS: i64 = 1_000_000_000;

/// Parses `YYYY-MM-DD` into days since 1970.
pub(in super::super) fn parse_date(text: &str) -> Option<i32> {
    let (days, rest) = date(text.as_bytes())?;
    rest.is_empty().then(|| i32::try_from(days).ok()).flatten()
}

/// Parses `HH:MM`, with seconds and a fraction if they are there, into nanoseconds.
pub(in super::super) fn parse_time(text: &str) -> Option<i64> {
    let (seconds, nanos, rest) = time(text.as_bytes())?;
    rest.is_empty().then_some(seconds * NANOS + nanos)
}

/// Parses a timestamp into seconds since 1970, and the nanoseconds after them: a date, and a time after a space or a `T`.
/// A timestamp with an offset becomes one of UTC.
pub(in super::super) fn parse_timestamp(text: &str) -> Option<(i64, i64)> {
    let (days, rest) = date(text.as_bytes())?;
    let [separator, rest @ ..] = rest else { return Some((days * DAY, 0)) };
    if !matches!(separator, b' ' | b'T') {
        return None;
    }
    let (seconds, nanos, rest) = time(rest)?;
    let offset = match rest {
        [] | b"Z" => 0,
        [sign @ (b'+' | b'-'), hours @ .., b':', tens, ones] if hours.len() == 2 => {
            let (hours, minutes) = (number(hours)?, number(&[*tens, *ones])?);
            if hours > 14 || minutes > 59 {
                return None;
            }
            let offset = hours * 3600 + minutes * 60;
            if *sign == b'-' { -offset } else { offset }
        }
        _ => return None,
    };
    Some((days * DAY + seconds - offset, nanos))
}

/// Returns days since 1970 as text; `None` for a year that has not four digits.
pub(in super::super) fn date_text(days: i32) -> Option<String> {
    let (year, month, day) = civil(i64::from(days));
    (0..=9999).contains(&year).then(|| format!("{year:04}-{month:02}-{day:02}"))
}

/// Returns microseconds of a day as text. A fraction of a second has three digits if they are enough.
pub(in super::super) fn time_text(micros: i64) -> Option<String> {
    let (seconds, micros) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    (0..DAY).contains(&seconds).then(|| match micros {
        0 => clock,
        micros if micros % 1000 == 0 => format!("{clock}.{:03}", micros / 1000),
        micros => format!("{clock}.{micros:06}"),
    })
}

/// Returns microseconds since 1970 as text; `None` for a year that has not four digits.
pub(in super::super) fn timestamp_text(micros: i64) -> Option<String> {
    let day = DAY * 1_000_000;
    let date = date_text(i32::try_from(micros.div_euclid(day)).ok()?)?;
    Some(format!("{date} {}", time_text(micros.rem_euclid(day))?))
}

/// Parses the date at the beginning, and returns it as days since 1970.
fn date(text: &[u8]) -> Option<(i64, &[u8])> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, rest @ ..] = text else { return None };
    let (year, month, day) = (number(&[*y1, *y2, *y3, *y4])?, number(&[*m1, *m2])?, number(&[*d1, *d2])?);
    let days = days(year, month, day);
    // The 30th of February is another day of the calendar.
    (civil(days) == (year, month, day)).then_some((days, rest))
}

/// Parses the time at the beginning, and returns it as seconds and nanoseconds.
fn time(text: &[u8]) -> Option<(i64, i64, &[u8])> {
    let [h1, h2, b':', m1, m2, rest @ ..] = text else { return None };
    let (hour, minute) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
    let (second, rest) = match rest {
        [b':', s1, s2, rest @ ..] => (number(&[*s1, *s2])?, rest),
        rest => return valid(hour, minute, 0, 0, rest),
    };
    let [b'.', rest @ ..] = rest else { return valid(hour, minute, second, 0, rest) };
    let length = rest.iter().take_while(|digit| digit.is_ascii_digit()).count();
    let (fraction, rest) = rest.split_at(length);
    let (kept, beyond) = fraction.split_at(length.min(9));
    if kept.is_empty() || beyond.iter().any(|digit| *digit != b'0') {
        return None;
    }
    let nanos = number(kept)? * 10_i64.pow(9 - u32::try_from(kept.len()).ok()?);
    valid(hour, minute, second, nanos, rest)
}

fn valid(hour: i64, minute: i64, second: i64, nanos: i64, rest: &[u8]) -> Option<(i64, i64, &[u8])> {
    let is_valid = hour < 24 && minute < 60 && second < 60;
    is_valid.then_some(((hour * 60 + minute) * 60 + second, nanos, rest))
}

/// Parses up to nine digits.
fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))
}

/// Returns the days from 1970-01-01 to a day of the Gregorian calendar. Years of 400 years begin in March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days_of_the_calendar() {
        for (text, expected) in [
            ("1970-01-01", Some(0)),
            ("1969-12-31", Some(-1)),
            ("2000-02-29", Some(11_016)),
            ("2017-08-24", Some(17_402)),
            ("0000-01-01", Some(-719_528)),
            ("9999-12-31", Some(2_932_896)),
            ("1900-02-29", None),
            ("2024-02-30", None),
            ("2024-13-01", None),
            ("2024-00-10", None),
            ("2024-1-1", None),
            ("20240101", None),
            ("2024-01-01 ", None),
            ("2024-01-01 00:00:00", None),
            ("-024-01-01", None),
            ("", None),
        ] {
            assert_eq!(parse_date(text), expected, "{text}");
            if let Some(days) = expected {
                assert_eq!(date_text(days).as_deref(), Some(text));
            }
        }
        assert_eq!(date_text(2_932_897), None);
        assert_eq!(date_text(-719_529), None);
    }

    #[test]
    fn timestamps_are_read_to_the_end() {
        for (text, expected) in [
            ("1970-01-02", Some((DAY, 0))),
            ("1970-01-01 00:01", Some((60, 0))),
            ("1970-01-01T00:00:01.5", Some((1, 500_000_000))),
            ("1970-01-01 00:00:01.123456789", Some((1, 123_456_789))),
            ("1970-01-01 00:00:01.1234567890", Some((1, 123_456_789))),
            ("1970-01-01T02:30:01+02:30", Some((1, 0))),
            ("1969-12-31T23:30:01-00:30", Some((1, 0))),
            ("1970-01-01T00:00:01Z", Some((1, 0))),
            ("1969-12-31 23:59:59.999999", Some((-1, 999_999_000))),
            ("1970-01-01 00:00:01.1234567891", None),
            ("1970-01-01 00:00:01.", None),
            ("1970-01-01 24:00:00", None),
            ("1970-01-01 23:59:60", None),
            ("1970-01-01 10:00:00 UTC", None),
            ("1970-01-01T10:00:00+0200", None),
            ("1970-01-01T10:00:00+15:00", None),
            ("1970-01-01  10:00", None),
            ("1970-01-01\u{0}", None),
            ("1970-01-01 ", None),
            ("1700000000", None),
        ] {
            assert_eq!(parse_timestamp(text), expected, "{text}");
        }
    }

    #[test]
    fn times_have_a_fraction_if_they_need_one() {
        assert_eq!(parse_time("23:59:59.999999"), Some(86_399_999_999_000));
        assert_eq!(parse_time("24:00:00"), None);
        assert_eq!(time_text(86_399_000_000).as_deref(), Some("23:59:59"));
        assert_eq!(time_text(500_000).as_deref(), Some("00:00:00.500"));
        assert_eq!(time_text(500).as_deref(), Some("00:00:00.000500"));
        assert_eq!(time_text(86_400_000_000), None);
        assert_eq!(time_text(-1), None);
        assert_eq!(timestamp_text(-1).as_deref(), Some("1969-12-31 23:59:59.999999"));
        assert_eq!(timestamp_text(0).as_deref(), Some("1970-01-01 00:00:00"));
    }

    #[test]
    fn each_day_of_four_centuries_is_found_again() {
        for day in -146_097..146_097 {
            let (year, month, date) = civil(day);
            assert_eq!(days(year, month, date), day);
        }
    }
}
