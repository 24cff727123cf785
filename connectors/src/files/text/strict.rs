//! Checks that text is JSON. Arrow's decoder also reads text without commas, such as `[1 2]`, and keeps only the last value of
//! a key that an object has twice.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The largest number of objects and lists in one another, which is that of `serde_json`.
pub(super) const MAX_DEPTH: usize = 127;
/// The error for a key that a record has twice, up to the key.
const TWICE: &str = "the key twice: ";

/// The reason why a text is no series of JSON objects, each with different keys: what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found(pub(super) String);

impl From<serde_json::Error> for Found {
    fn from(error: serde_json::Error) -> Self {
        let message = error.to_string();
        let what = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
        if let Some(key) = what.strip_prefix(TWICE) {
            return Self(match key {
                // Within a column, a key can be a value that nobody may see.
                "" => "one with an object that has a key twice".to_owned(),
                key => format!("one that has the key `{key}` twice"),
            });
        }
        if what == "recursion limit exceeded" {
            return Self(format!("one with more than {MAX_DEPTH} objects and lists in one another"));
        }
        // A message about a wrong type repeats the value, which may be one that nobody may see.
        if error.is_data() {
            return Self("another value".to_owned());
        }
        Self(format!("text that is none: {what}"))
    }
}

/// Checks a text of several objects, with white space between them or nothing.
///
/// # Errors
/// The first reason.
pub(super) fn check(text: &[u8]) -> Result<(), Found> {
    let mut records = serde_json::Deserializer::from_slice(text);
    while records.end().is_err() {
        records.deserialize_map(Value { is_record: true })?;
    }
    Ok(())
}

/// A value whose objects have different keys.
#[derive(Clone, Copy)]
struct Value {
    is_record: bool,
}

impl<'de> DeserializeSeed<'de> for Value {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut keys: Vec<Cow<'de, str>> = vec![];
        while let Some(Key(key)) = map.next_key()? {
            map.next_value_seed(Self { is_record: false })?;
            keys.push(key);
        }
        keys.sort_unstable();
        match keys.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(A::Error::custom(format!("{TWICE}{}", if self.is_record { &pair[0] } else { "" }))),
            None => Ok(()),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        while values.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

/// A key. It is a part of the text, unless it has escaped characters.
pub(super) struct Key<'a>(pub(super) Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: Error>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Key(Cow::Borrowed(key)))
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Key(Cow::Owned(key.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<String> {
        check(text.as_bytes()).err().map(|found| found.0)
    }

    #[test]
    fn objects_with_different_keys_are_json() {
        for text in [
            "",
            " \n",
            "{}",
            "{\"a\":1,\"A\":2}{\"a\":null}\n\n{\"a\":[1,[],{}],\"b\":{\"a\":\"\\u00e4\\n\"}}",
            "{\"n\":1e300,\"m\":123456789012345678901234567890.5}",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn other_text_is_refused() {
        for (text, expected) in [
            ("{\"a\":[1 2]}", "text that is none: expected `,` or `]`"),
            ("{\"a\":1 \"b\":2}", "text that is none: expected `,` or `}`"),
            ("{\"a\":[1,]}", "text that is none: trailing comma"),
            ("{\"a\":01}", "text that is none: invalid number"),
            ("{\"a\":{\"b\":[{\"c\":1.}]}}", "text that is none: invalid number"),
            ("{\"n\":1e400}", "text that is none: number out of range"),
            ("{\"a\":1", "text that is none: EOF while parsing an object"),
            ("{\"a\":1}\n7", "another value"),
            ("[\"secret\"]", "another value"),
        ] {
            assert_eq!(found(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_key_occurs_once() {
        let twice = Some("one that has the key `a` twice".to_owned());
        assert_eq!(found("{\"a\":1,\"b\":2,\"a\":1}"), twice);
        assert_eq!(found("{\"a\":1,\"\\u0061\":null}"), twice);
        let within = Some("one with an object that has a key twice".to_owned());
        assert_eq!(found("{\"o\":[{\"secret\":1,\"secret\":2}]}"), within);
        assert_eq!(found("{\"o\":[[1],[{\"x\":{\"y\":1,\"y\":1}}]]}"), within);
    }

    #[test]
    fn the_depth_is_bounded() {
        let nested = |depth: usize| format!("{{\"a\":{}1{}}}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert_eq!(found(&nested(MAX_DEPTH - 1)), None);
        assert!(found(&nested(10_000)).is_some_and(|found| found.contains("in one another")));
    }
}
