//! Numbers as the query writes them, without the loss of a digit.

use arrow::datatypes::DataType;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::scalar::ScalarValue;

/// The number of digits that a decimal of 128 bits holds.
pub(super) const DIGITS: u8 = 38;

/// A number with a decimal point: `value / 10^scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exact {
    pub(super) value: i128,
    pub(super) scale: u8,
}

impl Exact {
    /// Parses `-12.50`. `None` if the text is not a number, or has more than 38 digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let fraction = fraction.trim_end_matches('0');
        let digits = || whole.bytes().chain(fraction.bytes());
        let has_digit = unsigned.bytes().any(|byte| byte.is_ascii_digit());
        if !has_digit || digits().any(|digit| !digit.is_ascii_digit()) {
            return None;
        }
        let mut value = 0_i128;
        for digit in digits() {
            value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        }
        let value = if text.starts_with('-') { -value } else { value };
        Self { value, scale: u8::try_from(fraction.len()).ok()? }.within_digits()
    }

    /// Returns the shortest number that is read as this float: `0.1` for the float next to it.
    pub(super) fn of_float(value: f64) -> Option<Self> {
        // Other floats have more digits than a decimal.
        let writable = value == 0.0 || (1e-38..1e38).contains(&value.abs());
        if writable { Self::parse(&value.to_string()) } else { None }
    }

    fn within_digits(self) -> Option<Self> {
        (self.digits() <= DIGITS && self.scale <= DIGITS).then_some(self)
    }

    fn digits(self) -> u8 {
        let digits = self.value.unsigned_abs().checked_ilog10().unwrap_or(0) + 1;
        u8::try_from(digits).unwrap_or(u8::MAX)
    }

    fn combined(self, other: Self, add: impl Fn(i128, i128) -> Option<i128>) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        let scaled = |n: Self| n.value.checked_mul(10_i128.checked_pow(u32::from(scale - n.scale))?);
        Self { value: add(scaled(self)?, scaled(other)?)?, scale }.within_digits()
    }

    fn times(self, other: Self) -> Option<Self> {
        Self { value: self.value.checked_mul(other.value)?, scale: self.scale.checked_add(other.scale)? }
            .within_digits()
    }

    /// Returns the precision and scale of the number as a decimal.
    pub(super) fn precision(self) -> (u8, u8) {
        (self.digits().max(self.scale), self.scale)
    }

    /// Returns the number as a decimal literal.
    pub(super) fn literal(self) -> (Expr, DataType) {
        let (precision, scale) = self.precision();
        let scale = scale.cast_signed();
        let literal = ScalarValue::Decimal128(Some(self.value), precision, scale);
        (Expr::Literal(literal, None), DataType::Decimal128(precision, scale))
    }

    /// Evaluates an expression of literals, `+`, `-` and `*`.
    pub(super) fn of(expr: &Expr) -> Option<Self> {
        match expr {
            Expr::Literal(value, _) => Self::of_scalar(value),
            Expr::Negative(inner) => Self::of(inner).map(|n| Self { value: -n.value, ..n }),
            Expr::Alias(alias) => Self::of(&alias.expr),
            // A number with more digits than a float holds (see `literals`), or an integer cast to a float.
            Expr::Cast(cast) if *cast.field.data_type() == DataType::Float64 => match cast.expr.as_ref() {
                Expr::Literal(ScalarValue::Utf8(Some(text)), _) => Self::parse(text),
                Expr::Literal(value, _) if value.data_type().is_integer() => Self::of_scalar(value),
                Expr::Negative(inner) => match inner.as_ref() {
                    Expr::Literal(value, _) if value.data_type().is_integer() => {
                        Self::of_scalar(value).map(|n| Self { value: -n.value, ..n })
                    }
                    _ => None,
                },
                _ => None,
            },
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let (left, right) = (Self::of(left)?, Self::of(right)?);
                match op {
                    Operator::Plus => left.combined(right, i128::checked_add),
                    Operator::Minus => left.combined(right, i128::checked_sub),
                    Operator::Multiply => left.times(right),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn of_scalar(value: &ScalarValue) -> Option<Self> {
        let integer = |value: i128| Some(Self { value, scale: 0 });
        match value {
            ScalarValue::Float64(Some(value)) => Self::of_float(*value),
            ScalarValue::Int8(Some(value)) => integer((*value).into()),
            ScalarValue::Int16(Some(value)) => integer((*value).into()),
            ScalarValue::Int32(Some(value)) => integer((*value).into()),
            ScalarValue::Int64(Some(value)) => integer((*value).into()),
            ScalarValue::UInt8(Some(value)) => integer((*value).into()),
            ScalarValue::UInt16(Some(value)) => integer((*value).into()),
            ScalarValue::UInt32(Some(value)) => integer((*value).into()),
            ScalarValue::UInt64(Some(value)) => integer((*value).into()),
            _ => None,
        }
    }
}
