//! Errors about values that do not fit a type.

use portolan_connectors::Subject;

use super::Message;
use super::phrases::between;
use super::sql_words::in_sql_words;

/// The start of our message about a string that is no value of a type. The string follows, up to [`TO`].
const CANNOT_CONVERT: &str = "cannot convert '";
/// What follows the string.
const TO: &str = "' to ";

/// Describes a value that cannot be converted; `None` for other messages.
pub(super) fn message(message: &str) -> Option<Message> {
    string(message).or_else(|| date(message)).or_else(|| number(message)).or_else(|| types(message))
}

/// Returns the string in one of our messages about a conversion, and the SQL name of the type. An error of another node
/// has only its text.
pub(crate) fn not_converted(message: &str) -> Option<(&str, &str)> {
    let (string, rest) = message.split_once(CANNOT_CONVERT)?.1.rsplit_once(TO)?;
    Some((string, rest.split([':', '(']).next().unwrap_or(rest).trim_end()))
}

/// A string that is no value of a type.
fn string(message: &str) -> Option<Message> {
    let found = ["Cannot cast string '", "Cannot cast value '"].iter().find_map(|start| {
        let (string, data_type) = message.split_once(start)?.1.rsplit_once("' to value of ")?;
        let data_type = data_type.strip_suffix(" type").unwrap_or(data_type);
        // The digits are those of any decimal, not of this one.
        let data_type = if data_type.starts_with("Decimal") { "DECIMAL".to_owned() } else { in_sql_words(data_type) };
        Some((string, data_type))
    });
    let timestamp = || {
        let (string, _) = message.split_once("Error parsing timestamp from '")?.1.rsplit_once("': ")?;
        Some((string, "TIMESTAMP".to_owned()))
    };
    let time = || {
        let starts = ["Failed to parse '", "Error parsing '"];
        let string = starts.iter().find_map(|start| between(message, start, "' as time"))?;
        Some((string, "TIME".to_owned()))
    };
    let decimal = || Some((between(message, "can't parse the string value ", " to decimal")?, "DECIMAL".to_owned()));
    let (string, data_type) = found.or_else(timestamp).or_else(time).or_else(decimal)?;
    // `to_date` with a pattern reads a timestamp, too. The pattern is not the one that the user wrote, but a translation.
    if let Some((string, _)) = string.rsplit_once("' using format '") {
        let text = format!("{CANNOT_CONVERT}{string}{TO}a date or a timestamp: it does not fit the pattern");
        return Some(Message::new(text).about(Subject::Constant(string.to_owned())));
    }
    let example = match data_type.as_str() {
        "DATE" => ": expected a date like '2024-12-31'",
        "TIMESTAMP" | "TIMESTAMP WITH TIME ZONE" => ": expected a timestamp like '2024-12-31 23:59:59'",
        "TIME" => ": expected a time like '23:59:59'",
        "BOOLEAN" => ": expected 'true' or 'false'",
        _ => "",
    };
    let text = format!("{CANNOT_CONVERT}{string}{TO}{data_type}{example}");
    Some(Message::new(text).about(Subject::Constant(string.to_owned())))
}

/// A string that `to_date` without a pattern does not read. The message does not have the string.
fn date(message: &str) -> Option<Message> {
    let is_date = message.contains("Unable to cast to Date32 for converting from i64 to i32 failed");
    is_date.then(|| {
        Message::new(
            "a value cannot be converted to DATE: expected a date like '2024-12-31', or its pattern as in \
             to_date(text, 'DD.MM.YYYY')",
        )
    })
}

/// A number that is too large for a type.
fn number(message: &str) -> Option<Message> {
    let (value, data_type) = message.split_once("Can't cast value ")?.1.split_once(" to type ")?;
    let text = format!("{value} does not fit the type {}", in_sql_words(data_type));
    Some(Message::new(text).about(Subject::Constant(value.to_owned())))
}

/// Types without a conversion.
fn types(message: &str) -> Option<Message> {
    let (from, to) = if let Some(types) = message.strip_prefix("Casting from ") {
        types.strip_suffix(" not supported")?.split_once(" to ")?
    } else if let Some(types) = message.strip_prefix("Unsupported CAST from ") {
        types.split_once(" to ")?
    } else {
        message.strip_prefix("Cannot automatically convert ")?.split_once(" to ")?
    };
    Some(Message::new(format!("{} cannot be converted to {}", in_sql_words(from), in_sql_words(to))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_types_that_do_not_fit() {
        for (text, expected, constant) in [
            (
                "Cannot cast string '1998-13-01' to value of Date32 type",
                "cannot convert '1998-13-01' to DATE: expected a date like '2024-12-31'",
                Some("1998-13-01"),
            ),
            (
                "Cannot cast string 'it's to ' to value of Int64 type",
                "cannot convert 'it's to ' to BIGINT",
                Some("it's to "),
            ),
            (
                "Cannot cast value 'maybe' to value of Boolean type",
                "cannot convert 'maybe' to BOOLEAN: expected 'true' or 'false'",
                Some("maybe"),
            ),
            (
                "Parser error: Error parsing timestamp from 'x': error parsing date",
                "cannot convert 'x' to TIMESTAMP: expected a timestamp like '2024-12-31 23:59:59'",
                Some("x"),
            ),
            (
                "Error parsing timestamp from 'it's 24' using format '%Y-%m-%d': input is not enough for unique date",
                "cannot convert 'it's 24' to a date or a timestamp: it does not fit the pattern",
                Some("it's 24"),
            ),
            (
                "Error parsing 'x' as time. Tried formats: [\"%H:%M:%S\"]",
                "cannot convert 'x' to TIME: expected a time like '23:59:59'",
                Some("x"),
            ),
            (
                "Unable to cast to Date32 for converting from i64 to i32 failed",
                "a value cannot be converted to DATE: expected a date like '2024-12-31', or its pattern as in \
                 to_date(text, 'DD.MM.YYYY')",
                None,
            ),
            ("Cannot cast string 'x' to value of Decimal128(38, 10) type", "cannot convert 'x' to DECIMAL", Some("x")),
            ("can't parse the string value 1,5 to decimal", "cannot convert '1,5' to DECIMAL", Some("1,5")),
            ("Can't cast value 300 to type Int8", "300 does not fit the type TINYINT", Some("300")),
            ("Casting from Utf8 to List(Int64) not supported", "VARCHAR cannot be converted to BIGINT[]", None),
            ("Unsupported CAST from Boolean to Date32", "BOOLEAN cannot be converted to DATE", None),
            ("Cannot automatically convert Utf8View to Boolean", "VARCHAR cannot be converted to BOOLEAN", None),
        ] {
            let Some(said) = message(text) else { unreachable!("{text}") };
            assert_eq!(said.text, expected);
            assert_eq!(said.subject, constant.map(|constant| Subject::Constant(constant.to_owned())), "{text}");
        }
        assert!(message("Cannot cast to a moon").is_none());
    }

    #[test]
    fn the_string_is_found_in_an_error_of_another_node() {
        let text =
            "domain geo: node grpc://a:1: cannot convert '1998-13-01' to DATE: expected a date like '2024-12-31'";
        assert_eq!(not_converted(text), Some(("1998-13-01", "DATE")));
        assert_eq!(not_converted("cannot convert 'x' to BIGINT"), Some(("x", "BIGINT")));
        assert_eq!(not_converted("cannot convert a thing"), None);
    }
}
