//! SQL's words for types and constants. DataFusion and Arrow write `Utf8View` and `Int64(1)` into their messages, and
//! users write `VARCHAR` and `1`. The name of a type is that of `portolan_catalog::sql_type`, except that `STRUCT`, `MAP`
//! and `UNION` have no types of their parts.

use arrow::datatypes::DataType;
use portolan_catalog::{sql_string, sql_type};

/// Returns a message with SQL's words in the place of Arrow's types and DataFusion's constants. Text in quotes stays as
/// it is.
pub(crate) fn in_sql_words(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            // An apostrophe within a word opens no quotes.
            '\'' | '"' | '`' if !text.ends_with(is_word) => quoted(rest, first),
            c if is_word(c) => {
                let (word, after) = rest.split_at(rest.find(|c: char| !is_word(c)).unwrap_or(rest.len()));
                if let Some((words, used)) = translated(word, after) {
                    text.push_str(&words);
                    rest = &after[used..];
                    continue;
                }
                word.len()
            }
            c => c.len_utf8(),
        };
        let (kept, after) = rest.split_at(length);
        text.push_str(kept);
        rest = after;
    }
    text
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the length of the text in quotes at the start of `text`; that of the quote alone if it is not closed.
fn quoted(text: &str, quote: char) -> usize {
    text[1..].find(quote).map_or(1, |end| end + 2)
}

/// Returns SQL's words for a word of Arrow's, and the number of bytes that they replace after the word.
fn translated(word: &str, after: &str) -> Option<(String, usize)> {
    let inner = in_parentheses(after);
    let used = inner.map_or(0, |inner| inner.len() + 2);
    let words = match (word, inner) {
        ("Decimal32" | "Decimal64" | "Decimal128" | "Decimal256", Some(inner)) => decimal(inner)?,
        ("Decimal32" | "Decimal64" | "Decimal128" | "Decimal256", None) => "DECIMAL".to_owned(),
        ("Timestamp", Some(inner)) => match inner.split_once(',').is_some_and(|(_, zone)| zone.trim() != "None") {
            true => "TIMESTAMP WITH TIME ZONE".to_owned(),
            false => "TIMESTAMP".to_owned(),
        },
        ("List" | "LargeList" | "ListView" | "LargeListView" | "FixedSizeList", Some(inner)) => {
            let (size, item) = inner.split_once(" x ").unwrap_or(("", inner));
            let item = item.split(", field: ").next().unwrap_or(item);
            format!("{}[{size}]", in_sql_words(item.trim_start_matches("non-null ")))
        }
        ("Dictionary", Some(inner)) => in_sql_words(inner.split_once(", ")?.1),
        (word, Some(inner)) => match simple(word) {
            Some(_) => constant(inner),
            None => with_parameters(word)?.to_owned(),
        },
        (word, None) => simple(word)?,
    };
    Some((words, used))
}

/// Returns the SQL name of a type without parameters.
fn simple(word: &str) -> Option<String> {
    Some(sql_type(&word.parse::<DataType>().ok()?))
}

/// Returns the SQL name of a type whose parameters SQL does not name, and of a constant that DataFusion writes as the
/// number of its units.
fn with_parameters(word: &str) -> Option<&'static str> {
    let is_of = |family: &str| word.strip_prefix(family).is_some_and(|unit| unit.is_empty() || is_unit(unit));
    Some(match word {
        "FixedSizeBinary" => "BYTEA",
        "Struct" => "STRUCT",
        "Map" => "MAP",
        "Union" => "UNION",
        _ if is_of("Interval") || is_of("Duration") => "INTERVAL",
        _ if is_of("Timestamp") => "TIMESTAMP",
        _ if is_of("Time32") || is_of("Time64") => "TIME",
        _ => return None,
    })
}

fn is_unit(word: &str) -> bool {
    const UNITS: [&str; 7] =
        ["Second", "Millisecond", "Microsecond", "Nanosecond", "MonthDayNano", "DayTime", "YearMonth"];
    UNITS.contains(&word)
}

/// Returns a constant as SQL writes it. `value` is what DataFusion writes in parentheses after its type.
fn constant(value: &str) -> String {
    match value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) {
        Some(text) => sql_string(text),
        None => value.to_owned(),
    }
}

/// Returns a decimal type, or a constant such as `Some(150),3,2`.
fn decimal(inner: &str) -> Option<String> {
    let mut parts = inner.split(',').map(str::trim);
    match (parts.next()?, parts.next()?, parts.next()) {
        (precision, scale, None) => Some(format!("DECIMAL({precision},{scale})")),
        ("None", _, Some(_)) => Some("NULL".to_owned()),
        (value, _, Some(scale)) => {
            let digits = value.strip_prefix("Some(")?.strip_suffix(')')?;
            let scale: usize = scale.parse().ok()?;
            let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
            let digits = format!("{digits:0>width$}", width = scale + 1);
            let (whole, fraction) = digits.split_at_checked(digits.len() - scale)?;
            let point = if scale == 0 { "" } else { "." };
            Some(format!("{sign}{whole}{point}{fraction}"))
        }
    }
}

/// Returns what is in the parentheses at the start of a text.
pub(super) fn in_parentheses(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('(')?;
    let (mut depth, mut in_string) = (1_usize, false);
    for (at, c) in inner.char_indices() {
        match c {
            '"' => in_string = !in_string,
            '(' if !in_string => depth += 1,
            ')' if !in_string => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(&inner[..at]);
        }
    }
    None
}

/// Splits a text at the separators that are not in parentheses.
pub(super) fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (vec![], 0_usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            c if c == separator && depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    let last = text[start..].trim();
    if !last.is_empty() {
        parts.push(last);
    }
    parts
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{Field, IntervalUnit, TimeUnit};

    use super::*;

    #[test]
    fn a_type_in_a_message_has_the_name_that_the_catalog_shows() {
        let list = |item| DataType::List(Arc::new(Field::new("item", item, true)));
        for (data_type, name) in [
            (DataType::Utf8View, "VARCHAR"),
            (DataType::Int64, "BIGINT"),
            (DataType::UInt8, "TINYINT UNSIGNED"),
            (DataType::Float64, "DOUBLE"),
            (DataType::Date32, "DATE"),
            (DataType::Decimal128(15, 2), "DECIMAL(15,2)"),
            (DataType::Timestamp(TimeUnit::Microsecond, None), "TIMESTAMP"),
            (DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), "TIMESTAMP WITH TIME ZONE"),
            (DataType::Time64(TimeUnit::Nanosecond), "TIME"),
            (DataType::Interval(IntervalUnit::MonthDayNano), "INTERVAL"),
            (DataType::Duration(TimeUnit::Second), "INTERVAL"),
            (DataType::FixedSizeBinary(16), "BYTEA"),
            (list(DataType::Int32), "INTEGER[]"),
            (list(list(DataType::Utf8)), "VARCHAR[][]"),
            (DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)), "VARCHAR"),
        ] {
            assert_eq!(in_sql_words(&data_type.to_string()), name, "{data_type}");
            assert_eq!(sql_type(&data_type), name, "{data_type}");
        }
        let parts = DataType::Struct(vec![Field::new("a", DataType::Int64, true)].into());
        assert_eq!(in_sql_words(&parts.to_string()), "STRUCT");
    }

    #[test]
    fn messages_name_types_and_constants_as_sql_does() {
        for (message, expected) in [
            ("Cannot infer a type for Utf8View > Int64", "Cannot infer a type for VARCHAR > BIGINT"),
            ("Decimal128(3, 1) or Decimal128", "DECIMAL(3,1) or DECIMAL"),
            (r#"t.x + Int64(1) = Utf8("it's")"#, "t.x + 1 = 'it''s'"),
            ("Decimal128(Some(-15),3,2) * Decimal128(Some(7),1,0)", "-0.15 * 7"),
            ("Float64(1.5), Boolean(true), Date32(\"2024-01-01\"), Int64(NULL)", "1.5, true, '2024-01-01', NULL"),
            ("IntervalMonthDayNano(\"x { months: 1 }\") / Int64(2)", "INTERVAL / 2"),
            ("'Int64' and `Utf8` and \"Date32\" are text", "'Int64' and `Utf8` and \"Date32\" are text"),
            ("it doesn't fit Int64, isn't it", "it doesn't fit BIGINT, isn't it"),
            ("Int64s, my_Int64, Interval, a List", "Int64s, my_Int64, Interval, a List"),
            ("an open ' of Int64", "an open ' of BIGINT"),
            ("FixedSizeList(3 x Float32), Interval(MonthDayNano)", "REAL[3], INTERVAL"),
            ("Größe Utf8 (", "Größe VARCHAR ("),
            ("", ""),
        ] {
            assert_eq!(in_sql_words(message), expected);
        }
    }
}
