//! Compares and combines a decimal with a literal as the number that the query writes.
//!
//! To DataFusion 55.2 a literal with a point is a float. Beside a decimal it casts the float to `DECIMAL(30, 15)`. This
//! cast shows that 8.79 is 8.789999999999999 in binary, so that `price = 8.79` finds nothing. It also cuts a float
//! column next to a decimal to 15 digits after the point. It cuts common types of more than 38 digits to 38.
//!
//! Here the literal becomes a decimal with the digits that the query writes. A decimal next to any other float becomes
//! a float. Decimals that 38 digits do not hold together are compared with up to 76. A literal anywhere else stays a
//! float.
//! Before: `CAST(price AS Decimal128(30, 15)) = CAST(Float64(8.79) AS Decimal128(30, 15))`.
//! After: `price = Decimal128(Some(879), 3, 2)`.
//! See <https://github.com/apache/datafusion/issues/3480> and <https://github.com/apache/datafusion/pull/14273>.

use arrow::datatypes::{DECIMAL256_MAX_PRECISION, DataType};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, Operator};
use datafusion::scalar::ScalarValue;

use super::exact::{DIGITS, Exact};
use super::groups::{Group, Operand};
use super::unrelated::refusal;

/// Floats distinguish all smaller integers.
const EXACT_FLOATS: i128 = 1 << 53;
/// The number of digits of the largest integers.
const INTEGER_DIGITS: u8 = 20;

/// An operand as a number.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Number {
    Decimal,
    Integer,
    /// A literal, or arithmetic of literals, that DataFusion reads as a float.
    Literal(Exact),
    Float,
    /// A string literal that is a number.
    Written(Exact),
    Text,
    Other,
}

impl Number {
    fn of(operand: &Operand<'_>) -> Self {
        match operand.plain() {
            data_type if data_type.is_decimal() => Self::Decimal,
            data_type if data_type.is_integer() => Self::Integer,
            DataType::Float64 => Exact::of(operand.expr).map_or(Self::Float, Self::Literal),
            DataType::Float16 | DataType::Float32 => Self::Float,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => match &operand.expr {
                Expr::Literal(value, _) => {
                    value.try_as_str().flatten().and_then(Exact::parse).map_or(Self::Text, Self::Written)
                }
                _ => Self::Text,
            },
            _ => Self::Other,
        }
    }
}

/// Finds the common type of decimals and the other operands.
pub(super) fn settle(group: Group, operands: &mut [Operand<'_>]) -> Result<()> {
    let numbers: Vec<Number> = operands.iter().map(Number::of).collect();
    let is_text = |number: &Number| matches!(number, Number::Text | Number::Written(_));
    if !numbers.contains(&Number::Decimal) {
        return match group {
            Group::Compared => compare_large_integers(operands, &numbers),
            Group::Branches => Ok(()),
        };
    }
    // Branches with numbers and strings are strings.
    if group == Group::Branches && numbers.iter().any(is_text) {
        return Ok(());
    }
    if numbers.contains(&Number::Float) {
        for (operand, number) in operands.iter_mut().zip(&numbers) {
            if matches!(number, Number::Decimal | Number::Float) {
                operand.cast(&DataType::Float64);
            }
        }
        return Ok(());
    }
    for (operand, number) in operands.iter_mut().zip(&numbers) {
        match number {
            Number::Literal(exact) | Number::Written(exact) => {
                let (literal, data_type) = exact.literal();
                operand.replace(literal, data_type);
            }
            // The number of digits is not known: each value of a column may have another one.
            Number::Text => operand.cast(&DataType::Decimal256(DECIMAL256_MAX_PRECISION, DIGITS.cast_signed())),
            _ => {}
        }
    }
    if group == Group::Compared { widen(operands) } else { Ok(()) }
}

/// Compares integers and literals with a point as decimals if floats would lose a digit: above 2^53, neighbours are
/// equal as floats.
///
/// All operands of a group get one type. So a literal with a point makes floats of the integers next to it, too.
fn compare_large_integers(operands: &mut [Operand<'_>], numbers: &[Number]) -> Result<()> {
    let large = |exact: &Exact| exact.value.abs() / 10_i128.pow(u32::from(exact.scale)) >= EXACT_FLOATS;
    let large_literal = |number: &Number| matches!(number, Number::Literal(exact) if large(exact));
    // A column may hold any integer.
    let large_integer = |(operand, number): (&Operand<'_>, &Number)| {
        *number == Number::Integer && Exact::of(operand.expr).is_none_or(|exact| large(&exact))
    };
    let mut integers = operands.iter().zip(numbers).map(large_integer);
    let integers_meet = integers.next() == Some(true) && integers.any(|large| large);
    let exact = numbers.iter().all(|number| matches!(number, Number::Integer | Number::Literal(_) | Number::Other));
    let has_literal = numbers.iter().any(|number| matches!(number, Number::Literal(_)));
    if !exact || !has_literal || !(integers_meet || numbers.iter().any(large_literal)) {
        return Ok(());
    }
    for (operand, number) in operands.iter_mut().zip(numbers) {
        if let Number::Literal(exact) = number {
            let (literal, data_type) = exact.literal();
            operand.replace(literal, data_type);
        }
    }
    widen(operands)
}

/// Returns the numbers of digits before and after the point.
fn places(data_type: &DataType) -> Option<(u8, u8)> {
    match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            let behind = u8::try_from(*scale).unwrap_or(0);
            // A negative scale means zeros before the point.
            let before = i16::from(*precision) - i16::from(*scale);
            Some((u8::try_from(before).unwrap_or(0), behind))
        }
        data_type if data_type.is_integer() => Some((INTEGER_DIGITS, 0)),
        _ => None,
    }
}

/// Casts compared decimals to a type that holds the digits of all.
fn widen(operands: &mut [Operand<'_>]) -> Result<()> {
    let all = || operands.iter().filter_map(|operand| places(operand.plain()));
    let before = all().map(|(before, _)| before).max().unwrap_or(0);
    let behind = all().map(|(_, behind)| behind).max().unwrap_or(0);
    let digits = before.saturating_add(behind).max(1);
    let plain_decimals = |data_type: &DataType| matches!(data_type, DataType::Decimal128(..)) || data_type.is_integer();
    let fits = digits <= DIGITS;
    if fits && operands.iter().all(|operand| plain_decimals(operand.plain()) || places(operand.plain()).is_none()) {
        return Ok(());
    }
    if digits > DECIMAL256_MAX_PRECISION {
        let what = format!("{digits} digits together, and a decimal has at most {DECIMAL256_MAX_PRECISION}");
        return Err(refusal(operands, &format!("these decimals have {what}: CAST one of them to fewer")));
    }
    let wide = |operand: &Operand<'_>| matches!(operand.plain(), DataType::Decimal256(..));
    let common = match fits && !operands.iter().any(wide) {
        true => DataType::Decimal128(digits, behind.cast_signed()),
        false => DataType::Decimal256(digits, behind.cast_signed()),
    };
    for operand in operands.iter_mut().filter(|operand| places(operand.plain()).is_some()) {
        operand.cast(&common);
    }
    Ok(())
}

/// Divides integers as integers. DataFusion divides decimals if one of the two is `BIGINT UNSIGNED`. A number that
/// BIGINT does not hold is an error.
pub(super) fn divide(left: &mut Operand<'_>, right: &mut Operand<'_>) {
    let is_unsigned = |operand: &Operand<'_>| *operand.plain() == DataType::UInt64;
    let is_signed = |operand: &Operand<'_>| operand.plain().is_signed_integer();
    if is_unsigned(left) && is_signed(right) {
        left.cast(&DataType::Int64);
    } else if is_signed(left) && is_unsigned(right) {
        right.cast(&DataType::Int64);
    }
}

/// Keeps a literal exact in `+`, `-`, `*` and `%` with a decimal, if the result fits a decimal of 38 digits.
pub(super) fn calculate<'a>(op: Operator, mut left: Operand<'a>, mut right: Operand<'a>) {
    let (decimal, literal) = match (Number::of(&left), Number::of(&right)) {
        (Number::Decimal, Number::Literal(exact)) => (left.plain().clone(), (&mut right, exact)),
        (Number::Literal(exact), Number::Decimal) => (right.plain().clone(), (&mut left, exact)),
        _ => return,
    };
    let DataType::Decimal128(precision, scale) = decimal else { return };
    let (operand, exact) = literal;
    let (own_precision, own_scale) = exact.precision();
    let (precision, scale) = (i16::from(precision), i16::from(scale));
    let (own_precision, own_scale) = (i16::from(own_precision), i16::from(own_scale));
    // Arrow computes the result's type like this.
    let (digits, behind) = match op {
        Operator::Plus | Operator::Minus | Operator::Modulo => {
            let behind = scale.max(own_scale);
            ((precision - scale).max(own_precision - own_scale) + behind + 1, behind)
        }
        Operator::Multiply => (precision + own_precision + 1, scale + own_scale),
        _ => return,
    };
    if digits <= i16::from(DIGITS) && behind <= i16::from(DIGITS) {
        let (literal, data_type) = exact.literal();
        operand.replace(literal, data_type);
    }
}

/// Casts a literal to a decimal from the digits that the query writes.
pub(super) fn keep_exact(expr: &mut Expr, to: &DataType) {
    let is_float = match &*expr {
        Expr::Literal(value, _) => matches!(value, ScalarValue::Float64(_)),
        Expr::Cast(cast) => *cast.field.data_type() == DataType::Float64,
        Expr::BinaryExpr(_) | Expr::Negative(_) => true,
        _ => false,
    };
    if is_float
        && to.is_decimal()
        && let Some(exact) = Exact::of(expr)
    {
        *expr = exact.literal().0;
    }
}
