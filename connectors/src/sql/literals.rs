//! Values as SQL.

use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, DecimalType};
use arrow::temporal_conversions::{time64us_to_time, timestamp_us_to_datetime};
use datafusion::common::ScalarValue;

use super::allowed::SqlKind;
use super::dialect::{LiteralForm, SqlDialect};

/// The length of a date as text. Years beyond 9999 and before 0 have more characters.
const DATE_LENGTH: usize = 10;

/// The number of digits of a double that every database parses to the same double, if its exponent is small: the digits
/// and the power of ten are doubles themselves, and one operation rounds.
const EXACT_DIGITS: usize = 15;
const EXACT_EXPONENT: i32 = 22;

/// Returns a value as SQL; `None` if the dialect has no text for it.
pub(super) fn literal(value: &ScalarValue, dialect: &SqlDialect) -> Option<String> {
    let data_type = value.data_type();
    let name = (dialect.type_name)(&data_type)?;
    if value.is_null() {
        return Some(match dialect.literals {
            LiteralForm::Cast | LiteralForm::Named => format!("CAST(NULL AS {name})"),
            LiteralForm::Plain => "NULL".to_owned(),
        });
    }
    let kind = SqlKind::of(&data_type)?;
    let text = plain(value, dialect.literals)?;
    Some(match kind {
        SqlKind::Boolean => text.to_uppercase(),
        SqlKind::Text => quoted(&text)?,
        _ if dialect.literals == LiteralForm::Cast => format!("CAST({} AS {name})", quoted(&text)?),
        SqlKind::Integer | SqlKind::Unsigned | SqlKind::Decimal | SqlKind::Double if text.starts_with('-') => {
            format!("({text})")
        }
        SqlKind::Integer | SqlKind::Unsigned | SqlKind::Decimal | SqlKind::Double => text,
        SqlKind::Date | SqlKind::Timestamp | SqlKind::Instant | SqlKind::Time
            if dialect.literals == LiteralForm::Plain =>
        {
            quoted(&text)?
        }
        SqlKind::Date => format!("DATE{}", quoted(&text)?),
        SqlKind::Timestamp | SqlKind::Instant => format!("TIMESTAMP{}", quoted(&text)?),
        SqlKind::Time => format!("TIME{}", quoted(&text)?),
    })
}

/// Returns the text of a value, without quotes.
pub(super) fn plain(value: &ScalarValue, form: LiteralForm) -> Option<String> {
    let data_type = value.data_type();
    Some(match value {
        ScalarValue::Boolean(Some(value)) => value.to_string(),
        ScalarValue::Date32(Some(_)) => Some(value.to_string()).filter(|text| has_plain_date(text))?,
        ScalarValue::Float64(Some(value)) => double(*value, form)?,
        ScalarValue::Decimal128(Some(value), precision, scale) if *scale >= 0 => {
            Decimal128Type::format_decimal(*value, *precision, *scale)
        }
        ScalarValue::Decimal256(Some(value), precision, scale) if *scale >= 0 => {
            Decimal256Type::format_decimal(*value, *precision, *scale)
        }
        ScalarValue::TimestampMicrosecond(Some(value), zone) => {
            let text = timestamp_us_to_datetime(*value)?.to_string();
            let zone = if zone.is_some() && form == LiteralForm::Cast { "+00" } else { "" };
            Some(text).filter(|text| has_plain_date(text)).map(|text| text + zone)?
        }
        ScalarValue::Time64Microsecond(Some(value)) => time64us_to_time(*value)?.to_string(),
        value if data_type.is_integer() => value.to_string(),
        value if data_type.is_string() => value.try_as_str().flatten()?.to_owned(),
        _ => return None,
    })
}

/// Returns true if a text begins with a date from the year 1 to 9999. No database agrees with another on the others.
fn has_plain_date(text: &str) -> bool {
    let date = text.split(' ').next().unwrap_or_default();
    date.len() == DATE_LENGTH && !date.starts_with(['-', '+']) && !date.starts_with("0000")
}

/// Returns a double as text; `None` for one that not every database parses to the same double. Zero has no sign in SQL.
fn double(value: f64, form: LiteralForm) -> Option<String> {
    if !value.is_finite() || value == 0.0 && value.is_sign_negative() {
        return None;
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e')?;
    let fraction = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let is_exact = digits.bytes().filter(u8::is_ascii_digit).count() <= EXACT_DIGITS
        && exponent.parse::<i32>().is_ok_and(|e| {
            let scaled = e - i32::try_from(fraction).unwrap_or(i32::MAX);
            scaled.abs() <= EXACT_EXPONENT && e.abs() <= EXACT_EXPONENT
        });
    // PostgreSQL, MariaDB and MySQL round each text to the nearest double. SQLite does not promise this.
    (is_exact || form != LiteralForm::Plain).then_some(text)
}

/// Returns a string literal; `None` for a string with the character NUL, which some databases end a string at.
pub(super) fn quoted(text: &str) -> Option<String> {
    (!text.contains('\0')).then(|| format!("'{}'", text.replace('\'', "''")))
}

/// Returns the value of a string literal up to its closing quote, and the text behind it. Quotes inside are doubled.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) fn in_quotes(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let (before, behind) = rest.split_once('\'')?;
        value.push_str(before);
        match behind.strip_prefix('\'') {
            Some(next) => {
                value.push('\'');
                rest = next;
            }
            None => return Some((value, behind)),
        }
    }
}

/// Returns a name with the dialect's quotes.
pub fn quoted_name(name: &str, dialect: &SqlDialect) -> String {
    let quote = dialect.quote;
    format!("{quote}{}{quote}", name.replace(quote, &format!("{quote}{quote}")))
}

/// Returns the members of an array literal of PostgreSQL; `None` if a value has no text.
pub(super) fn array<'a>(values: impl Iterator<Item = &'a ScalarValue>) -> Option<String> {
    let members = values.map(|value| {
        if value.is_null() {
            return Some("NULL".to_owned());
        }
        let text = plain(value, LiteralForm::Cast)?;
        Some(match value.data_type() {
            DataType::Boolean => text,
            data_type if data_type.is_integer() => text,
            _ => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        })
    });
    quoted(&format!("{{{}}}", members.collect::<Option<Vec<_>>>()?.join(",")))
}
