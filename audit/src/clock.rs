//! Times of records as text: UTC, RFC 3339, with microseconds.

use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Returns the time as text, such as `2026-11-29T08:05:09.000123Z`.
pub fn to_text(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
    let (hour, minute, second, micros) = (time.hour(), time.minute(), time.second(), time.microsecond());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// Returns the time of a text in RFC 3339.
pub(crate) fn parse(text: &str) -> Option<SystemTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(SystemTime::from)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_survives_its_text_to_the_microsecond() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_939_509_000_123);
        assert_eq!(to_text(time), "2026-11-29T08:05:09.000123Z");
        assert_eq!(parse(&to_text(time)).unwrap(), time);
        assert_eq!(parse("yesterday"), None);
    }
}
