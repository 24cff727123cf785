//! Checks that text is JSON. Arrow's decoder also reads text without commas, such as `[1 2]`, and keeps only the last value of
//! a key that an object has twice.

use serde_json::value::RawValue;

use super::members::Members;

/// The largest number of objects and lists in one another.
pub(super) const MAX_DEPTH: usize = 128;

/// The reason why a text is no series of JSON objects, each with different keys: what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found(pub(super) String);

impl From<serde_json::Error> for Found {
    fn from(error: serde_json::Error) -> Self {
        // A message about a wrong type repeats the value, which may be one that nobody may see.
        if error.is_data() {
            return Self("another value".to_owned());
        }
        let message = error.to_string();
        let what = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
        Self(format!("text that is none: {what}"))
    }
}

/// Checks a text of several objects, with white space between them or nothing.
///
/// # Errors
/// The first reason.
pub(super) fn check(text: &[u8]) -> Result<(), Found> {
    for record in serde_json::Deserializer::from_slice(text).into_iter::<Members<'_>>() {
        check_members(&record?, 0)?;
    }
    Ok(())
}

fn check_members(Members(members): &Members<'_>, depth: usize) -> Result<(), Found> {
    let mut keys: Vec<&str> = members.iter().map(|(key, _)| key.as_ref()).collect();
    keys.sort_unstable();
    if let Some(pair) = keys.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Found(match depth {
            0 => format!("one that has the key `{}` twice", pair[0]),
            // Within a column, a key can be a value that nobody may see.
            _ => "one with an object that has a key twice".to_owned(),
        }));
    }
    members.iter().try_for_each(|(_, value)| check_value(value, depth + 1))
}

fn check_value(value: &RawValue, depth: usize) -> Result<(), Found> {
    let text = value.get();
    if depth > MAX_DEPTH {
        return Err(Found(format!("one with more than {MAX_DEPTH} objects and lists in one another")));
    }
    match text.as_bytes().first() {
        Some(b'{') => check_members(&serde_json::from_str(text)?, depth),
        // Other lists are valid, as the text around them is.
        Some(b'[') if text.contains('{') => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            items.into_iter().try_for_each(|item| check_value(item, depth + 1))
        }
        _ => Ok(()),
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
            "{\"n\":1e400,\"m\":123456789012345678901234567890.5}",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn other_text_is_refused() {
        for (text, expected) in [
            ("{\"a\":[1 2]}", "text that is none: expected `,` or `]`"),
            ("{\"a\":1 \"b\":2}", "text that is none: expected `,` or `}`"),
            ("{\"a\":[1,]}", "text that is none: expected value"),
            ("{\"a\":01}", "text that is none: invalid number"),
            ("{\"a\":{\"b\":[{\"c\":1.}]}}", "text that is none: invalid number"),
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
