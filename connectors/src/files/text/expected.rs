//! The words of faults of values: the expected value, and what the owner can do.

use super::numbers::is_digits;
use super::values::{Kind, ValueParser};

/// Strings that often stand for NULL.
const NULLS: [&str; 12] = ["null", "nil", "none", "n/a", "na", "#n/a", "nan", "-", "--", "\\n", ".", "?"];

impl ValueParser {
    /// Describes the values of the column.
    pub(super) fn expected(&self) -> String {
        let number = |what: &str| match (self.numbers.decimal, self.numbers.thousands) {
            ('.', None) => what.to_owned(),
            (decimal, None) => format!("{what} with `{decimal}` before its fraction"),
            (decimal, Some(thousands)) => {
                format!("{what} with `{decimal}` before its fraction and `{thousands}` between thousands")
            }
        };
        let described = match &self.kind {
            Kind::Text => "a string",
            Kind::Integer => return number("an integer of 64 bits"),
            Kind::Float => return number("a number"),
            Kind::Decimal128(precision, scale) | Kind::Decimal256(precision, scale) => {
                return number(&format!("a number of type DECIMAL({precision},{scale})"));
            }
            Kind::Boolean { yes, no } => return format!("{} (true) or {} (false)", listed(yes), listed(no)),
            Kind::Date(Some(pattern)) => return format!("a date of the form `{}`", pattern.text()),
            Kind::Date(None) => "a date such as `2024-01-31`",
            Kind::Timestamp(Some(pattern)) => return format!("a timestamp of the form `{}`", pattern.text()),
            Kind::Timestamp(None) => {
                "a timestamp such as `2024-01-31T23:59:59.123456`, with at most six digits after the second"
            }
            Kind::Nanoseconds => "a timestamp of the years 1677 to 2262, with at most nine digits after the second",
            Kind::Time(Some(pattern)) => return format!("a time of the form `{}`", pattern.text()),
            Kind::Time(None) => "a time such as `23:59:59.123456`, with at most six digits after the second",
        };
        described.to_owned()
    }

    /// Returns what the owner can do about a value that does not fit.
    pub(super) fn hint(&self, text: &str) -> Option<String> {
        if NULLS.iter().any(|null| null.eq_ignore_ascii_case(text)) {
            return Some(format!("if `{text}` means NULL, add it to `portolan.nullValues`"));
        }
        let hint = match &self.kind {
            Kind::Float if is_digits(text.trim_start_matches(['-', '+'])) => {
                "a DOUBLE would round it: a `physicalType` such as `DECIMAL(38,0)`, or the `logicalType` string, keeps all \
                 digits"
            }
            Kind::Integer | Kind::Float | Kind::Decimal128(..) | Kind::Decimal256(..) => {
                let is_separated = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.,' ".contains(&byte));
                if !is_separated || !text.contains([',', '\'', ' ']) {
                    return None;
                }
                "`portolan.decimalSeparator` and `portolan.thousandsSeparator` say how numbers are written"
            }
            Kind::Boolean { .. } => "`portolan.trueValues` and `portolan.falseValues` list other words",
            Kind::Date(None) => "`logicalTypeOptions.format` says how dates are written, such as `dd.MM.yyyy`",
            Kind::Timestamp(None) | Kind::Time(None) => {
                "`logicalTypeOptions.format` says how times are written, such as `dd.MM.yyyy HH:mm`"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

fn listed(words: &[String]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
