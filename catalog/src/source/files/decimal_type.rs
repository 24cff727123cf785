//! The decimal types that a contract's `physicalType` names. CSV and JSON have no types of their own, so the node reads
//! money as the contract says, and not as floating-point numbers.

use arrow_schema::{DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType};

/// Names of decimal types that need their digits.
const DECIMALS: [&str; 4] = ["DECIMAL", "NUMERIC", "DEC", "MONEY"];
/// A name that means a decimal type with digits, and any number without.
const NUMBER: &str = "NUMBER";

/// Returns the decimal type that a `physicalType` names, or `None` if it names another type.
///
/// # Errors
/// A decimal type whose digits are missing or not valid.
pub(super) fn decimal_type(physical_type: &str) -> Result<Option<DataType>, String> {
    let (name, digits) = match physical_type.trim().split_once('(') {
        Some((name, rest)) => (name, Some(rest)),
        None => (physical_type, None),
    };
    let name = name.trim();
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    let is_decimal = DECIMALS.iter().any(|decimal| is(decimal)) || (is(NUMBER) && digits.is_some());
    if !is_decimal {
        return Ok(None);
    }
    let expected = || {
        format!(
            "expected the digits of the type and of its fraction, such as `{}(10,2)`, got `{physical_type}`",
            name.to_uppercase()
        )
    };
    let digits = digits.and_then(|digits| digits.trim_end().strip_suffix(')')).ok_or_else(expected)?;
    let (precision, scale) = digits.split_once(',').unwrap_or((digits, "0"));
    let (Ok(precision), Ok(scale)) = (precision.trim().parse::<u8>(), scale.trim().parse::<i8>()) else {
        return Err(expected());
    };
    match (precision, u8::try_from(scale)) {
        (1..=DECIMAL128_MAX_PRECISION, Ok(s)) if s <= precision => Ok(Some(DataType::Decimal128(precision, scale))),
        (1..=DECIMAL256_MAX_PRECISION, Ok(s)) if s <= precision => Ok(Some(DataType::Decimal256(precision, scale))),
        _ => Err(format!(
            "expected 1 to {DECIMAL256_MAX_PRECISION} digits, and no more than those in the fraction, got \
             `{physical_type}`"
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn decimal_types_are_read_with_their_digits() {
        for (text, precision, scale) in
            [("DECIMAL(10,2)", 10, 2), ("decimal( 12 , 4 )", 12, 4), ("Numeric(38)", 38, 0), ("NUMBER(9,9)", 9, 9)]
        {
            assert_eq!(decimal_type(text), Ok(Some(DataType::Decimal128(precision, scale))), "{text}");
        }
        assert_eq!(decimal_type("DECIMAL(39,2)"), Ok(Some(DataType::Decimal256(39, 2))));
    }

    #[test]
    fn other_types_are_left_alone() {
        for text in ["DOUBLE", "VARCHAR(20)", "number", "NUMBER", "decimals", ""] {
            assert_eq!(decimal_type(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn a_decimal_type_without_valid_digits_is_refused() {
        for text in ["DECIMAL", "MONEY", "DECIMAL(", "DECIMAL(x,2)", "DECIMAL(10,2", "DECIMAL(10,-2)"] {
            assert!(decimal_type(text).is_err(), "{text}");
        }
        let refused = decimal_type("DECIMAL(10,12)").unwrap_err();
        assert!(refused.contains("no more than those in the fraction, got `DECIMAL(10,12)`"), "{refused}");
        assert!(decimal_type("DECIMAL(77,2)").is_err());
    }
}
