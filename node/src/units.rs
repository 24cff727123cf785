//! Sizes and times in a config: `2GiB`, `500MB`, `10m`, `1h 30m`.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

/// A number of bytes, or 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeOrZero(pub u64);

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
                // A larger float does not count single bytes.
                (bytes < 9e15).then_some(bytes.round() as u64)?
            }
        };
        (bytes > 0).then_some(Self(bytes))
    }
}

impl SizeOrZero {
    fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "0" => Some(Self(0)),
            text => Size::parse(text).map(|Size(bytes)| Self(bytes)),
        }
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
from_text_or_number!(SizeOrZero, "a size such as `2GiB` or `500MB`, or 0", |text| SizeOrZero::parse(text), |number| {
    Some(SizeOrZero(number))
});
from_text_or_number!(
    Length,
    "a length of time above 0 with its unit, such as `10m` or `500ms`",
    |text| Length::parse(text),
    |number| None::<Length>.filter(|_| number > 0)
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [("2GiB", 2 << 30), ("500 MB", 500_000_000), ("1.5kb", 1500), ("7", 7), ("64K", 65536)] {
            assert_eq!(Size::parse(text), Some(Size(bytes)), "{text}");
        }
        for text in ["", "GiB", "-1", "1 parsec", "0", "99999999999999TiB", "1e3"] {
            assert_eq!(Size::parse(text), None, "{text}");
        }
        assert_eq!([" 0 ", "64K", "-1"].map(SizeOrZero::parse), [Some(SizeOrZero(0)), Some(SizeOrZero(65536)), None]);
    }

    #[test]
    fn lengths_of_time_are_read() {
        assert_eq!(Length::parse("1h 30m"), Some(Length(Duration::from_secs(5400))));
        assert_eq!(Length::parse("250ms"), Some(Length(Duration::from_millis(250))));
        for text in ["", "10", "0s", "soon"] {
            assert_eq!(Length::parse(text), None, "{text}");
        }
    }
}
