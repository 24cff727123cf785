//! The digits of `numeric` as decimals, without strings and without rounding.

use arrow::datatypes::{ArrowNativeTypeOp, DecimalType, i256};

use super::{Fault, fixed};

/// The number of decimal digits in one digit of PostgreSQL, and the number that they count up to.
const DIGITS: i32 = 4;
const BASE: u16 = 10_000;
/// The signs.
const POSITIVE: u16 = 0;
const NEGATIVE: u16 = 0x4000;
/// The number of digits whose number fits an `i128` together with [`MAX_SHIFT`] zeros.
const FEW: usize = 4;
const MAX_SHIFT: u32 = 22;
/// The length of the head of a number in bytes.
const HEAD: usize = 8;

/// The native type of a decimal.
pub(super) trait Unscaled: ArrowNativeTypeOp {
    /// Returns a number.
    fn from_i128(number: i128) -> Self;
}

impl Unscaled for i128 {
    fn from_i128(number: i128) -> Self {
        number
    }
}

impl Unscaled for i256 {
    fn from_i128(number: i128) -> Self {
        Self::from_i128(number)
    }
}

/// Returns a number as a decimal.
pub(super) fn decimal<T: DecimalType>(bytes: &[u8], precision: u8, scale: i8) -> Result<T::Native, Fault>
where
    T::Native: Unscaled,
{
    let unfit = |got| {
        Fault::unfit(format!(
            "expected a number with at most {precision} digits, {scale} of them behind the point, got {got}"
        ))
    };
    let Some((head, digits)) = bytes.split_first_chunk::<HEAD>() else {
        return Err(Fault::malformed("expected a number, got fewer bytes"));
    };
    let word = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let (count, weight, sign) = (usize::from(word(0)), i32::from(word(2).cast_signed()), word(4));
    if sign != POSITIVE && sign != NEGATIVE {
        return Err(unfit("NaN, an infinity, or a number with more digits"));
    }
    if digits.len() != 2 * count {
        return Err(Fault::malformed(format!("expected {count} digits of two bytes, got {} bytes", digits.len())));
    }
    // The exponent of the last digit, in units of the last decimal place.
    let last = DIGITS * (weight - i32::from(word(0)) + 1) + i32::from(scale);
    let shift = u32::try_from(last).ok().filter(|shift| *shift <= MAX_SHIFT);
    let number = match shift {
        Some(shift) if count <= FEW => T::Native::from_i128(few(digits)? * 10_i128.pow(shift)),
        _ => many(digits, DIGITS * weight + i32::from(scale))?.ok_or_else(|| unfit("one with more"))?,
    };
    if !T::is_valid_decimal_precision(number, precision) {
        return Err(unfit("one with more"));
    }
    Ok(if sign == NEGATIVE { number.neg_wrapping() } else { number })
}

fn few(digits: &[u8]) -> Result<i128, Fault> {
    let number =
        digits.chunks_exact(2).try_fold(0_u64, |number, pair| Ok(number * u64::from(BASE) + u64::from(digit(pair)?)));
    number.map(i128::from)
}

/// Returns the number of the digits, of which the first has the exponent `first`; `None` if it does not fit.
fn many<N: Unscaled>(digits: &[u8], first: i32) -> Result<Option<N>, Fault> {
    let mut number = N::ZERO;
    let mut exponent = first;
    for pair in digits.chunks_exact(2) {
        let digit = digit(pair)?;
        // A digit may have decimal places beyond the scale. They must be zero.
        let beyond = u32::try_from(-exponent).unwrap_or(0);
        let cut = if beyond < DIGITS.unsigned_abs() { 10_u16.pow(beyond) } else { BASE };
        if digit % cut != 0 {
            return Ok(None);
        }
        let appended = N::from_i128(i128::from(BASE / cut));
        let number_and_digit =
            number.mul_checked(appended).and_then(|n| n.add_checked(N::from_i128((digit / cut).into())));
        let Ok(next) = number_and_digit else { return Ok(None) };
        number = next;
        exponent -= DIGITS;
    }
    let zeros = u32::try_from(exponent + DIGITS).unwrap_or(0);
    if number == N::ZERO || zeros == 0 {
        return Ok(Some(number));
    }
    Ok(N::from_i128(10).pow_checked(zeros).and_then(|power| number.mul_checked(power)).ok())
}

fn digit(pair: &[u8]) -> Result<u16, Fault> {
    let digit = u16::from_be_bytes(fixed(pair)?);
    if digit < BASE { Ok(digit) } else { Err(Fault::malformed(format!("expected a digit below {BASE}, got {digit}"))) }
}
