//! Sizes and durations as people write them in a config: `2GiB`, `500MB`, `10m`, `1h 30m`.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

/// A length of time above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length(pub Duration);

const UNITS: [(&str, u64); 11] = [
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("kb", 1_000),
    ("kib", 1 << 10),
    ("mb", 1_000_000),
    ("mib", 1 << 20),
    ("gb", 1_000_000_000),
    ("gib", 1 << 30),
    ("tb", 1_000_000_000_000),
    ("tib", 1 << 40),
];

impl Size {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let unit = unit.trim().to_lowercase();
        let factor = UNITS.iter().find(|(name, _)| *name == unit)?.1;
        let bytes = match number.parse::<u64>() {
            Ok(whole) => whole.checked_mul(factor)?,
            Err(_) => {
                let bytes = number.parse::<f64>().ok()? * factor as f64;
                // Beyond this a float no longer counts single bytes.
                (bytes < 9e15).then_some(bytes.round() as u64)?
            }
        };
        (bytes > 0).then_some(Self(bytes))
    }
}

impl Length {
    fn parse(text: &str) -> Option<Self> {
        humantime::parse_duration(text).ok().filter(|d| !d.is_zero()).map(Self)
    }
}

macro_rules! from_text_or_number {
    ($type:ident, $expecting:literal, |$text:ident| $parse:expr, |$number:ident| $convert:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }

                    fn visit_str<E: Error>(self, $text: &str) -> Result<$type, E> {
                        $parse.ok_or_else(|| E::custom(format!(concat!("`{}` is not ", $expecting), $text)))
                    }

                    fn visit_u64<E: Error>(self, $number: u64) -> Result<$type, E> {
                        $convert.ok_or_else(|| E::custom(format!(concat!("{} is not ", $expecting), $number)))
                    }

                    fn visit_i64<E: Error>(self, number: i64) -> Result<$type, E> {
                        match u64::try_from(number) {
                            Ok(number) => self.visit_u64(number),
                            Err(_) => Err(E::custom(format!(concat!("{} is not ", $expecting), number))),
                        }
                    }
                }
                deserializer.deserialize_any(Text)
            }
        }
    };
}

from_text_or_number!(Size, "a size above 0 such as `2GiB` or `500MB`", |text| Size::parse(text), |number| (number > 0)
    .then_some(Size(number)));
from_text_or_number!(
    Length,
    "a length of time above 0 with its unit, such as `10m` or `500ms`",
    |text| Length::parse(text),
    |number| None::<Length>.filter(|_| number > 0)
);

/// Bytes for people: `1.5 MB`.
pub fn show_bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.95 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

/// A time for people: `12 ms`, `3.4 s`, `2 m 05 s`.
pub fn show_time(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        s if s < 60 => format!("{:.1} s", time.as_secs_f64()),
        s => format!("{} m {:02} s", s / 60, s % 60),
    }
}

/// A count for people: `1,234,567`.
pub fn show_count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [("2GiB", 2 << 30), ("500 MB", 500_000_000), ("1.5kb", 1500), ("7", 7), ("64K", 65536)] {
            assert_eq!(Size::parse(text), Some(Size(bytes)), "{text}");
        }
        for text in ["", "GiB", "-1", "1 parsec", "0", "99999999999999TiB", "1e3"] {
            assert_eq!(Size::parse(text), None, "{text}");
        }
    }

    #[test]
    fn lengths_of_time_are_read() {
        assert_eq!(Length::parse("1h 30m"), Some(Length(Duration::from_secs(5400))));
        assert_eq!(Length::parse("250ms"), Some(Length(Duration::from_millis(250))));
        for text in ["", "10", "0s", "soon"] {
            assert_eq!(Length::parse(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_shown_for_people() {
        assert_eq!(show_bytes(999), "999 B");
        assert_eq!(show_bytes(1_500_000), "1.5 MB");
        assert_eq!(show_bytes(999_999), "1.0 MB");
        assert_eq!(show_time(Duration::from_millis(125_400)), "2 m 05 s");
        assert_eq!(show_time(Duration::from_millis(3_400)), "3.4 s");
        assert_eq!(show_count(1_234_567), "1,234,567");
        assert_eq!(show_count(123), "123");
    }
}
