//! Names and values of a contract as SQL. A literal compares with a column as the contract means its value.

use arrow::datatypes::{DataType, TimeUnit};
use portolan_catalog::PortRef;
use portolan_catalog::rules::text_of;
use serde_json::Value;

/// Returns a name between double quotes.
pub(super) fn quoted_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Returns the full name of a port in SQL.
pub(super) fn port_name(port: &PortRef) -> String {
    [port.domain.as_str(), port.product.as_str(), port.port.as_str()].map(quoted_name).join(".")
}

/// Returns a string literal.
pub(super) fn quoted_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Returns the type of the values of an encoded column, or the type itself.
pub(super) fn type_of_values(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => type_of_values(values),
        DataType::RunEndEncoded(_, values) => type_of_values(values.data_type()),
        other => other,
    }
}

/// Returns a literal for a comparison with a column of this type. A date or a time that the text is not becomes an
/// error of the query.
///
/// # Errors
/// No value of the column can equal this one.
pub(super) fn literal(value: &Value, data_type: &DataType) -> Result<String, String> {
    let text = match value {
        Value::String(_) | Value::Number(_) | Value::Bool(_) => text_of(value),
        other => return Err(format!("expected a value of the column, got {other}")),
    };
    match type_of_values(data_type) {
        values if values.is_string() => Ok(quoted_text(&text)),
        values if values.is_numeric() => number(&text),
        DataType::Boolean => match text.to_lowercase().as_str() {
            "true" => Ok("TRUE".to_owned()),
            "false" => Ok("FALSE".to_owned()),
            _ => Err(format!("expected a boolean, got `{text}`")),
        },
        values => {
            let target = temporal(values).ok_or_else(|| format!("values of type {values} are not compared"))?;
            Ok(format!("{CAST}{}, {})", quoted_text(&text), quoted_text(&target)))
        }
    }
}

/// The beginning of a literal that is cast to the type of its column.
const CAST: &str = "arrow_cast(";

/// Returns the same literal, which is NULL if its text is no value of the column's type.
pub(super) fn or_null(literal: String) -> String {
    match literal.strip_prefix(CAST) {
        Some(rest) => format!("arrow_try_cast({rest}"),
        None => literal,
    }
}

fn number(text: &str) -> Result<String, String> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    match text.parse::<f64>() {
        Ok(number) if is_plain && number.is_finite() => Ok(format!("({text})")),
        _ => Err(format!("expected a number, got `{text}`")),
    }
}

/// Returns the name of the type of literals for a column of dates, times or timestamps. No literal loses digits: a date
/// with a time of day is no date, and a timestamp has microseconds at least.
fn temporal(data_type: &DataType) -> Option<String> {
    let unit = |unit: &TimeUnit| match unit {
        TimeUnit::Nanosecond => "Nanosecond",
        _ => "Microsecond",
    };
    Some(match data_type {
        DataType::Date32 => "Date32".to_owned(),
        DataType::Timestamp(own, None) => format!("Timestamp({}, None)", unit(own)),
        // A timestamp of a contract without a zone is in UTC.
        DataType::Timestamp(own, Some(_)) => format!("Timestamp({}, Some(\"+00:00\"))", unit(own)),
        DataType::Date64 => "Timestamp(Microsecond, None)".to_owned(),
        DataType::Time32(own) | DataType::Time64(own) => format!("Time64({})", unit(own)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_literal_has_the_type_of_its_column() {
        let berlin = Some(Arc::from("Europe/Berlin"));
        let words = DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into());
        for (value, data_type, expected) in [
            (json!("it's"), DataType::Utf8, "'it''s'"),
            (json!(5), DataType::Utf8View, "'5'"),
            (json!("a"), words, "'a'"),
            (json!(-1.5), DataType::Decimal128(10, 2), "(-1.5)"),
            (json!("1e3"), DataType::Float64, "(1e3)"),
            (json!("True"), DataType::Boolean, "TRUE"),
            (json!("2024-01-31"), DataType::Date32, "arrow_cast('2024-01-31', 'Date32')"),
            (
                json!("2024-01-31"),
                DataType::Timestamp(TimeUnit::Second, None),
                "arrow_cast('2024-01-31', 'Timestamp(Microsecond, None)')",
            ),
            (
                json!("2024-01-31"),
                DataType::Timestamp(TimeUnit::Nanosecond, berlin),
                "arrow_cast('2024-01-31', 'Timestamp(Nanosecond, Some(\"+00:00\"))')",
            ),
            (json!("08:00:00"), DataType::Time32(TimeUnit::Second), "arrow_cast('08:00:00', 'Time64(Microsecond)')"),
        ] {
            assert_eq!(literal(&value, &data_type).as_deref(), Ok(expected), "{value}");
        }
        for (value, data_type) in [
            (json!("many"), DataType::Int64),
            (json!("NaN"), DataType::Float64),
            (json!("1) OR (1"), DataType::Int64),
            (json!("yes"), DataType::Boolean),
            (json!("x"), DataType::Binary),
            (json!(null), DataType::Utf8),
            (json!(["x"]), DataType::Utf8),
        ] {
            assert!(literal(&value, &data_type).is_err(), "{value}");
        }
    }

    #[test]
    fn a_missing_value_may_have_another_type_than_its_column() {
        let day = literal(&json!("N/A"), &DataType::Date32).map(or_null);
        assert_eq!(day.as_deref(), Ok("arrow_try_cast('N/A', 'Date32')"));
        let text = literal(&json!("arrow_cast("), &DataType::Utf8).map(or_null);
        assert_eq!(text.as_deref(), Ok("'arrow_cast('"));
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(port_name(&PortRef::new("a", "b \"c\"", "d")), "\"a\".\"b \"\"c\"\"\".\"d\"");
    }
}
