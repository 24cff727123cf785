//! Decimal numbers without rounding: from text, integers and floating-point numbers.

use arrow::datatypes::{Decimal128Type, DecimalType};

/// Parses a decimal number with all its digits. Returns `None` for other text, and for a number that has more digits than
/// the type.
pub(super) fn parse_decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = !(whole.is_empty() && fraction.is_empty());
    if !is_number || !whole.bytes().chain(fraction.bytes()).all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let scale = usize::try_from(scale).ok()?;
    let missing = scale.checked_sub(fraction.len())?;
    let digits = whole.bytes().chain(fraction.bytes()).chain(std::iter::repeat_n(b'0', missing));
    let mut value = 0_i128;
    for digit in digits {
        value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    in_precision(if negative { -value } else { value }, precision)
}

/// Returns an integer as a decimal; `None` if it has more digits than the type.
pub(super) fn decimal_of_integer(value: i64, precision: u8, scale: i8) -> Option<i128> {
    let factor = 10_i128.checked_pow(u32::try_from(scale).ok()?)?;
    in_precision(i128::from(value).checked_mul(factor)?, precision)
}

/// Returns a floating-point number as a decimal. The shortest decimal that stands for the number must have the digits of
/// the type.
pub(super) fn decimal_of_real(value: f64, precision: u8, scale: i8) -> Option<i128> {
    // A number of 1e39 or more has too many digits. Its text would be long.
    (value.abs() < 1e39).then(|| value.to_string()).and_then(|text| parse_decimal(&text, precision, scale))
}

fn in_precision(value: i128, precision: u8) -> Option<i128> {
    Decimal128Type::is_valid_decimal_precision(value, precision).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_keeps_every_digit() {
        for (text, expected) in [
            ("1.10", Some(110)),
            ("-0.01", Some(-1)),
            ("+12", Some(1200)),
            (".5", Some(50)),
            ("7.", Some(700)),
            ("1.100", Some(110)),
            ("99999999.99", Some(9_999_999_999)),
            ("100000000", None),
            ("1.005", None),
            ("1e3", None),
            ("", None),
            (".", None),
            ("-", None),
            ("1,5", None),
            (" 1", None),
            ("--1", None),
        ] {
            assert_eq!(parse_decimal(text, 10, 2), expected, "{text}");
        }
        assert_eq!(parse_decimal("99999999999999999999999999999999999999", 38, 0), Some(10_i128.pow(38) - 1));
        assert_eq!(parse_decimal("100000000000000000000000000000000000000", 38, 0), None);
    }

    #[test]
    fn numbers_are_decimals_only_exactly() {
        assert_eq!(decimal_of_real(1.1, 10, 2), Some(110));
        assert_eq!(decimal_of_real(0.07, 10, 2), Some(7));
        assert_eq!(decimal_of_real(-3.0, 10, 2), Some(-300));
        // The sum has the next number after 0.3, which needs 17 digits.
        assert_eq!(decimal_of_real(0.1 + 0.2, 10, 2), None);
        assert_eq!(decimal_of_real(1e300, 38, 0), None);
        assert_eq!(decimal_of_real(f64::INFINITY, 38, 0), None);
        assert_eq!(decimal_of_real(f64::NAN, 38, 0), None);
        assert_eq!(decimal_of_integer(i64::MIN, 38, 2), Some(-922_337_203_685_477_580_800));
        assert_eq!(decimal_of_integer(100, 4, 2), None);
    }
}
