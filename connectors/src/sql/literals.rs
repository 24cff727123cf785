//! Values as SQL.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

use super::dialect::SqlDialect;

/// The length of a date as text. Years beyond 9999 have more digits.
const DATE_LENGTH: usize = 10;

/// Returns a value as SQL; `None` if the dialect has no text for it.
pub(super) fn literal(value: &ScalarValue, dialect: &SqlDialect) -> Option<String> {
    let data_type = value.data_type();
    let name = (dialect.type_name)(&data_type)?;
    if value.is_null() {
        return Some(format!("CAST(NULL AS {name})"));
    }
    let text = match &data_type {
        DataType::Boolean => return Some(value.to_string().to_uppercase()),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            return value.try_as_str().flatten().filter(|text| !text.contains('\0')).map(quoted);
        }
        DataType::Date32 => Some(value.to_string()).filter(|text| text.len() == DATE_LENGTH)?,
        data_type if data_type.is_integer() => value.to_string(),
        DataType::Decimal128(precision, scale) => match value {
            ScalarValue::Decimal128(Some(value), ..) => decimal(*value, *precision, *scale)?,
            _ => return None,
        },
        _ => return None,
    };
    Some(format!("CAST({} AS {name})", quoted(&text)))
}

/// Returns a decimal as text.
fn decimal(value: i128, precision: u8, scale: i8) -> Option<String> {
    use arrow::datatypes::{Decimal128Type, DecimalType};
    (scale >= 0).then(|| Decimal128Type::format_decimal(value, precision, scale))
}

/// Returns a string literal.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Returns a name with the dialect's quotes.
pub(super) fn name(name: &str, dialect: &SqlDialect) -> String {
    let quote = dialect.quote;
    format!("{quote}{}{quote}", name.replace(quote, &format!("{quote}{quote}")))
}
