//! Dates, times and timestamps in text: by the pattern of a column, or in ISO 8601. Arrow's parsers of ISO 8601 cut digits
//! beyond the unit of a time, and the time of day from a date.

use arrow::array::timezone::Tz;
use arrow::compute::kernels::cast_utils::{Parser, string_to_datetime, string_to_time_nanoseconds};
use arrow::datatypes::Date32Type;
use arrow::temporal_conversions::SECONDS_IN_DAY;
use portolan_catalog::TimePattern;
use time::format_description::{self, OwnedFormatItem};
use time::parsing::Parsed;
use time::{Date, Time, UtcOffset};

/// The Julian day of 1970-01-01.
const EPOCH: i32 = 2_440_588;
/// The century of a year that is written with two digits, as JDK reads it.
const CENTURY: i32 = 2000;

/// A pattern that is ready to parse.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    /// The pattern in the notation of the contract.
    text: String,
    item: OwnedFormatItem,
    has_time: bool,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// The `time` crate does not know the pattern.
    pub(super) fn new(pattern: &TimePattern) -> Result<Self, String> {
        let item = format_description::parse_owned::<2>(&pattern.description)
            .map_err(|e| format!("the pattern `{}` cannot be used: {e}", pattern.text))?;
        Ok(Self { text: pattern.text.clone(), item, has_time: pattern.has_time })
    }

    /// Returns the pattern in the notation of the contract.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn parsed(&self, text: &str) -> Option<Parsed> {
        let mut parsed = Parsed::new();
        let rest = parsed.parse_item(text.as_bytes(), &self.item).ok()?;
        // The `time` crate accepts a sign before a year: `01-01--2024` would be 4,000 years off.
        if parsed.year().is_some_and(|year| year < 0) {
            return None;
        }
        if let (None, Some(year)) = (parsed.year(), parsed.year_last_two()) {
            parsed.set_year(CENTURY + i32::from(year))?;
        }
        rest.is_empty().then_some(parsed)
    }

    /// Parses a date into days since 1970.
    pub(super) fn date(&self, text: &str) -> Option<i32> {
        days(self.parsed(text)?)
    }

    /// Parses a timestamp into microseconds since 1970. A timestamp with an offset becomes one of UTC.
    pub(super) fn timestamp(&self, text: &str) -> Option<i64> {
        let parsed = self.parsed(text)?;
        let time = if self.has_time { micros(parsed)? } else { 0 };
        let offset = match parsed.offset_hour() {
            Some(_) => UtcOffset::try_from(parsed).ok()?.whole_seconds(),
            None => 0,
        };
        let seconds = i64::from(days(parsed)?) * SECONDS_IN_DAY - i64::from(offset);
        Some(seconds * 1_000_000 + time)
    }

    /// Parses a time of day into microseconds.
    pub(super) fn time(&self, text: &str) -> Option<i64> {
        micros(self.parsed(text)?)
    }
}

fn days(parsed: Parsed) -> Option<i32> {
    Some(Date::try_from(parsed).ok()?.to_julian_day() - EPOCH)
}

fn micros(parsed: Parsed) -> Option<i64> {
    let (hour, minute, second, nanos) = Time::try_from(parsed).ok()?.as_hms_nano();
    let seconds = (i64::from(hour) * 60 + i64::from(minute)) * 60 + i64::from(second);
    (nanos % 1000 == 0).then(|| seconds * 1_000_000 + i64::from(nanos / 1000))
}

/// Parses a date. A timestamp at midnight is also a date.
pub(super) fn date(text: &str, utc: Tz) -> Option<i32> {
    // Arrow ignores one or two characters after a date such as `2024-1-3`.
    if text.len() <= 10 && !text.ends_with(|last: char| last.is_ascii_digit()) {
        return None;
    }
    let day = Date32Type::parse(text)?;
    let at = if text.len() > 10 { string_to_datetime(&utc, text).ok() } else { None };
    let is_midnight =
        at.is_none_or(|at| at.timestamp().rem_euclid(SECONDS_IN_DAY) == 0 && at.timestamp_subsec_nanos() == 0);
    (is_midnight && !has_tenth_digit(text)).then_some(day)
}

/// Parses a timestamp into microseconds.
pub(super) fn timestamp(text: &str, utc: Tz) -> Option<i64> {
    let at = string_to_datetime(&utc, text).ok()?;
    (at.timestamp_subsec_nanos() % 1000 == 0 && !has_tenth_digit(text)).then(|| at.timestamp_micros())
}

/// Parses a timestamp into nanoseconds.
pub(super) fn nanoseconds(text: &str, utc: Tz) -> Option<i64> {
    let at = string_to_datetime(&utc, text).ok()?;
    if has_tenth_digit(text) { None } else { at.timestamp_nanos_opt() }
}

/// Parses a time of day into microseconds.
pub(super) fn time_of_day(text: &str) -> Option<i64> {
    let nanos = string_to_time_nanoseconds(text).ok()?;
    // A leap second at the end of the day is no time of day.
    let is_in_day = nanos < SECONDS_IN_DAY * 1_000_000_000;
    (is_in_day && nanos % 1000 == 0 && !has_tenth_digit(text)).then_some(nanos / 1000)
}

/// True if more than nine digits after the second matter. Arrow's parsers ignore the tenth and later digits.
fn has_tenth_digit(text: &str) -> bool {
    let Some((_, fraction)) = text.split_once('.') else { return false };
    fraction.bytes().take_while(u8::is_ascii_digit).skip(9).any(|digit| digit != b'0')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn pattern(description: &str) -> Pattern {
        let has_time = description.contains("[hour");
        Pattern::new(&TimePattern { text: String::new(), description: description.to_owned(), has_time }).unwrap()
    }

    #[test]
    fn a_date_has_the_digits_of_its_pattern() {
        let german = pattern("[day].[month].[year]");
        assert_eq!(german.date("01.01.1970"), Some(0));
        assert_eq!(german.date("24.08.2017"), Some(17_402));
        for text in ["24.08.17", "4.08.2017", "24.8.2017", "31.02.2017", "08.24.2017", "24.08.2017 ", "2017-08-24", ""]
        {
            assert_eq!(german.date(text), None, "{text}");
        }
        assert_eq!(german.date("24.08.-2017"), None);
        let short = pattern("[day padding:none].[month padding:none].[year repr:last_two]");
        assert_eq!(short.date("4.8.17"), Some(17_382));
        assert_eq!(short.date("24.08.17"), Some(17_402));
        let named = pattern("[day padding:none] [month repr:short case_sensitive:false] [year]");
        assert_eq!(named.date("24 aug 2017"), Some(17_402));
    }

    #[test]
    fn a_timestamp_with_an_offset_is_one_of_utc() {
        let offset = "[first [Z] [[offset_hour sign:mandatory]:[offset_minute]]]";
        let at = pattern(&format!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]{offset}"));
        assert_eq!(at.timestamp("1970-01-01T00:00:01.500Z"), Some(1_500_000));
        assert_eq!(at.timestamp("1970-01-01T02:30:01.500+02:30"), Some(1_500_000));
        assert_eq!(at.timestamp("1969-12-31T23:30:01.500-00:30"), Some(1_500_000));
        assert_eq!(at.timestamp("1970-01-01T00:00:01.5Z"), None);
        assert_eq!(at.timestamp("1970-01-01T00:00:01.500"), None);
        let day = pattern("[year]-[month]-[day]");
        assert_eq!(day.timestamp("1970-01-02"), Some(86_400_000_000));
    }

    #[test]
    fn iso_8601_is_read_to_the_end() {
        let utc: Tz = "+00:00".parse().unwrap();
        for (text, expected) in [
            ("1970-01-02", Some(1)),
            ("1970-1-2", Some(1)),
            ("19700102", Some(1)),
            ("+1970-01-02", Some(1)),
            ("1970-01-02T00:00:00Z", Some(1)),
            ("1970-01-02T00:00:01Z", None),
            ("1970-02-30", None),
            ("1970-1-2x", None),
            ("1970-1-2??", None),
            ("1970-1-02Z", None),
            ("1970-01-02Z", None),
            ("1970-01-2 -", None),
        ] {
            assert_eq!(date(text, utc), expected, "{text}");
        }
        assert_eq!(time_of_day("23:59:59.999999"), Some(86_399_999_999));
        assert_eq!(time_of_day("23:59:60"), None);
        assert_eq!(time_of_day("24:00:00"), None);
        assert_eq!(timestamp("1970-01-01T00:00:01+00:00", utc), Some(1_000_000));
        assert_eq!(timestamp("1970-01-01T00:00:01 x", utc), None);
    }

    #[test]
    fn a_time_of_day_has_twelve_or_twenty_four_hours() {
        let hour = 3_600_000_000;
        assert_eq!(pattern("[hour]:[minute]").time("13:30"), Some(13 * hour + hour / 2));
        let american = pattern("[hour repr:12 padding:none]:[minute] [period case_sensitive:false]");
        assert_eq!(american.time("1:30 pm"), Some(13 * hour + hour / 2));
        assert_eq!(american.time("12:00 AM"), Some(0));
        assert_eq!(american.time("13:00 PM"), None);
        assert_eq!(pattern("[hour]:[minute]").time("24:00"), None);
        let fine = pattern("[hour]:[minute]:[second].[subsecond digits:9]");
        assert_eq!(fine.time("00:00:00.000001000"), Some(1));
        assert_eq!(fine.time("00:00:00.000000001"), None);
    }
}
