//! Hashes of records, and marks: the position and the hash of a record that an auditor keeps elsewhere.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// The length of a hash in text.
pub(crate) const HEX: usize = 64;

/// The SHA-256 of a record. Its text is 64 lowercase hexadecimal digits.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The hash before the first record.
    pub const ZERO: Self = Self([0; 32]);

    /// Returns the SHA-256 of these bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Returns the digits as ASCII.
    pub(crate) fn hex(self) -> [u8; HEX] {
        let mut text = [0; HEX];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = digit(byte >> 4);
            pair[1] = digit(byte & 0xf);
        }
        text
    }

    /// Returns the hash with these digits.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != HEX {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = value(pair[0])? << 4 | value(pair[1])?;
        }
        Some(Self(bytes))
    }
}

fn digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let expected = || serde::de::Error::custom(format!("expected 64 lowercase hexadecimal digits, got {text:?}"));
        Self::parse(text.as_bytes()).ok_or_else(expected)
    }
}

/// The sequence number and the hash of one record. If the chain still contains a mark, no record up to it has changed.
/// Its text is `<sequence>:<hash>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mark {
    /// The sequence number of the record, from 1. In the mark of an empty chain it is 0.
    pub sequence: u64,
    /// The hash of the record.
    pub hash: Digest,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.sequence, self.hash)
    }
}

impl FromStr for Mark {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |(sequence, hash): (&str, &str)| {
            Some(Self { sequence: sequence.parse().ok()?, hash: Digest::parse(hash.as_bytes())? })
        };
        let expected = || format!("expected <sequence>:<64 lowercase hexadecimal digits>, got {text:?}");
        text.split_once(':').and_then(parse).ok_or_else(expected)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_mark_survives_its_text() {
        let mark = Mark { sequence: 7, hash: Digest::of(b"record") };
        assert_eq!(mark.to_string().parse::<Mark>().unwrap(), mark);
        assert_eq!(mark.hash.hex().as_slice(), mark.hash.to_string().as_bytes());
        for wrong in ["", "7", "7:", "x:00", "7:00", &mark.to_string().to_uppercase()] {
            assert!(wrong.parse::<Mark>().is_err(), "{wrong}");
        }
    }
}
