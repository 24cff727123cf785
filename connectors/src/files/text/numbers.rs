//! Numbers in text: separators of the fraction and of thousands, and digits that are read in full or not at all.

use std::borrow::Cow;

use arrow::datatypes::i256;

/// The way in which a column writes numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::files) struct NumberFormat {
    /// The character between the integer and the fraction.
    pub(in crate::files) decimal: char,
    /// The character between groups of three digits.
    pub(in crate::files) thousands: Option<char>,
}

impl NumberFormat {
    /// Returns a number with a point before the fraction and without separators of thousands. `None` if the number is
    /// written in another way.
    pub(super) fn plain<'a>(&self, text: &'a str) -> Option<Cow<'a, str>> {
        if self.decimal == '.' && self.thousands.is_none() {
            return Some(Cow::Borrowed(text));
        }
        let (whole, fraction) = match text.split_once(self.decimal) {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        // A point that separates nothing would be read as that of a fraction.
        let is_foreign = |text: &str| text.contains('.') && self.decimal != '.';
        if fraction.is_some_and(|f| f.contains(self.decimal) || is_foreign(f)) {
            return None;
        }
        let whole = match self.thousands {
            Some(separator) if whole.contains(separator) => without_groups(whole, separator)?,
            _ => Cow::Borrowed(whole),
        };
        if is_foreign(&whole) {
            return None;
        }
        match fraction {
            Some(fraction) => Some(Cow::Owned(format!("{whole}.{fraction}"))),
            None => Some(whole),
        }
    }
}

/// Removes the separators between groups of three digits. The first group has one to three digits.
fn without_groups(whole: &str, separator: char) -> Option<Cow<'_, str>> {
    let digits = whole.strip_prefix(['-', '+']).unwrap_or(whole);
    let is_group = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
    let mut groups = digits.split(separator);
    let first = groups.next()?;
    let is_valid = (1..=3).contains(&first.len()) && is_group(first) && groups.all(|g| g.len() == 3 && is_group(g));
    is_valid.then(|| Cow::Owned(whole.replace(separator, "")))
}

/// Parses an integer of 64 bits. Accepts `5.0` and `1e3`: writers that know only floats write integers like this.
pub(super) fn integer(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| scaled(text, 0)?.parse().ok())
}

/// The largest number of digits of an integer that each floating-point number holds.
const EXACT_DIGITS: usize = 15;

/// Parses a floating-point number. A number that is too large for the type is not infinite, and an integer is not rounded.
pub(super) fn float(text: &str) -> Option<f64> {
    use arrow::compute::kernels::cast_utils::Parser;

    let value = arrow::datatypes::Float64Type::parse(text)?;
    let is_written = || text.contains(['i', 'I']);
    ((value.is_finite() && is_exact(text, value)) || value.is_nan() || (value.is_infinite() && is_written()))
        .then_some(value)
}

/// True unless a text has the digits of an integer, and the number has others. Programs write large floating-point numbers
/// in full, or with zeros after the digits that identify the number.
fn is_exact(text: &str, value: f64) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text).trim_start_matches('0');
    if digits.len() <= EXACT_DIGITS || !is_digits(digits) {
        return true;
    }
    let value = value.abs();
    digits == value.to_string() || digits == format!("{value:.0}")
}

/// True if a text has digits, and nothing else.
pub(super) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Parses a decimal number into an integer: the number times ten to the power of `scale`.
pub(super) fn decimal128(text: &str, scale: i8) -> Option<i128> {
    digits128(text, scale).or_else(|| scaled(text, i64::from(scale))?.parse().ok())
}

/// Parses as [`decimal128`], for more digits.
pub(super) fn decimal256(text: &str, scale: i8) -> Option<i256> {
    i256::from_string(&scaled(text, i64::from(scale))?)
}

/// Parses the usual notation: digits, and no more digits of a fraction than `scale`.
fn digits128(text: &str, scale: i8) -> Option<i128> {
    let (sign, number) = match text.as_bytes() {
        [b'-', number @ ..] => (-1, number),
        number => (1, number),
    };
    let (mut value, mut fraction): (i128, Option<i8>) = (0, None);
    let mut has_digits = false;
    for byte in number {
        match (byte, fraction) {
            (b'0'..=b'9', _) => {
                has_digits = true;
                value = value.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
                fraction = fraction.map(|digits| digits.saturating_add(1));
            }
            (b'.', None) => fraction = Some(0),
            _ => return None,
        }
    }
    let missing = u32::try_from(scale.checked_sub(fraction.unwrap_or(0))?).ok()?;
    if has_digits { value.checked_mul(10_i128.checked_pow(missing)?)?.checked_mul(sign) } else { None }
}

/// Returns the digits of a number times ten to the power of `scale`, if that is an integer. Works on digits and not on a
/// float, which would round them.
fn scaled(text: &str, scale: i64) -> Option<String> {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (sign, number) = match number.strip_prefix('-') {
        Some(number) => ("-", number),
        None => ("", number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    // The value is the digits without the zeros at their end, times ten to this power.
    let significant = significant.trim_end_matches('0');
    let zeros = digits.len() - digits.trim_end_matches('0').len();
    let power = i64::from(exponent) + i64::try_from(zeros).ok()? - i64::try_from(fraction.len()).ok()? + scale;
    // A negative power leaves a fraction. The largest number has 77 digits. `i256` parses by recursion, and more digits could
    // use up the stack.
    let power = usize::try_from(power).ok().filter(|power| significant.len().saturating_add(*power) <= 77)?;
    Some(format!("{sign}{significant}{}", "0".repeat(power)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str, decimal: char, thousands: Option<char>) -> Option<String> {
        NumberFormat { decimal, thousands }.plain(text).map(Cow::into_owned)
    }

    #[test]
    fn separators_are_those_of_the_column() {
        for (text, decimal, thousands, expected) in [
            ("1400,50", ',', None, Some("1400.50")),
            ("-1.234,50", ',', Some('.'), Some("-1234.50")),
            ("1.234.567", ',', Some('.'), Some("1234567")),
            ("1234,5", ',', Some('.'), Some("1234.5")),
            ("1,234.5", '.', Some(','), Some("1234.5")),
            ("12 345,6", ',', Some(' '), Some("12345.6")),
            ("1'234.5", '.', Some('\''), Some("1234.5")),
            ("1400.50", '.', None, Some("1400.50")),
            // A fraction that is written with the separator of thousands would be a thousand times too large.
            ("1.5", ',', Some('.'), None),
            ("1400.50", ',', Some('.'), None),
            ("1400.50", ',', None, None),
            ("12.34.567", ',', Some('.'), None),
            ("1234.567,8", ',', Some('.'), None),
            (".234", ',', Some('.'), None),
            ("1,2,3", ',', None, None),
            ("1,2.3", ',', Some('.'), None),
        ] {
            assert_eq!(plain(text, decimal, thousands).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn decimals_are_read_in_full_or_not_at_all() {
        for (text, expected) in [
            ("1400.50", Some(140_050)),
            ("-0.5", Some(-50)),
            ("7", Some(700)),
            ("7.", Some(700)),
            (".25", Some(25)),
            ("1.500", Some(150)),
            ("1.5e2", Some(15_000)),
            ("-0", Some(0)),
            ("1.505", None),
            ("1.5.0", None),
            ("", None),
            (".", None),
            ("-", None),
            ("1 000", None),
            ("NaN", None),
        ] {
            assert_eq!(decimal128(text, 2), expected, "{text}");
            assert_eq!(decimal256(text, 2), expected.map(i256::from_i128), "{text}");
        }
        assert_eq!(decimal128("99999999999999999999999999999999999999.9", 0), None);
        // The largest integer of 256 bits, and a number that is as long as a file.
        let largest = "57896044618658097711785492504343953926634992332820282019728792003956564819967";
        assert_eq!(decimal256(largest, 0), Some(i256::MAX));
        assert_eq!(decimal256(&format!("{largest}1"), 0), None);
        assert_eq!(decimal256(&"1".repeat(10_000_000), 0), None);
        assert_eq!(
            decimal128("123456789012345678901234567890123456.78", 2),
            Some(12_345_678_901_234_567_890_123_456_789_012_345_678)
        );
    }

    #[test]
    fn a_number_beyond_the_range_is_not_infinite() {
        assert_eq!(float("1e400"), None);
        assert_eq!(float("-1e400"), None);
        assert_eq!(float("-inf"), Some(f64::NEG_INFINITY));
        assert_eq!(float("1e300"), Some(1e300));
        assert!(float("NaN").is_some_and(f64::is_nan));
        assert_eq!(float("1,5"), None);
    }

    #[test]
    fn a_float_does_not_round_an_integer() {
        for (text, expected) in [
            ("9007199254740992", Some(9_007_199_254_740_992.0)),
            ("-9007199254740994", Some(-9_007_199_254_740_994.0)),
            ("0009007199254740992", Some(9_007_199_254_740_992.0)),
            ("1152921504606846976", Some(1_152_921_504_606_846_976.0)),
            // The same number, with the fewest digits that identify it.
            ("1152921504606847000", Some(1_152_921_504_606_846_976.0)),
            ("100000000000000000000", Some(1e20)),
            ("9007199254740993.5", Some(9_007_199_254_740_994.0)),
            ("9007199254740993", None),
            ("-9007199254740993", None),
            ("+9007199254740993", None),
            ("18446744073709551615", None),
        ] {
            assert_eq!(float(text), expected, "{text}");
        }
    }

    #[test]
    fn integers_are_whole_by_their_digits() {
        assert_eq!(integer("-7"), Some(-7));
        assert_eq!(integer("5.0"), Some(5));
        assert_eq!(integer("1.5e1"), Some(15));
        assert_eq!(integer("9007199254740993.0"), Some(9_007_199_254_740_993));
        for text in ["2.7", "9223372036854775808", "1e19", "1e-400", "1e99999999999", "", "x", "0x10"] {
            assert_eq!(integer(text), None, "{text}");
        }
    }
}
