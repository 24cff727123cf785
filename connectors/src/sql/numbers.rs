//! The range of integer expressions and the digits of decimal ones: what a database computes must not overflow there.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, ExprSchemable, Operator};

/// The smallest and the largest value of an integer expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The smallest value.
    pub least: i128,
    /// The largest value.
    pub most: i128,
}

/// The largest numbers of digits of a decimal expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digits {
    /// The digits before the point.
    pub whole: u32,
    /// The digits after the point.
    pub scale: u32,
}

impl Digits {
    /// Returns the number of all digits.
    pub fn all(self) -> u32 {
        self.whole + self.scale
    }

    /// Returns the digits of a type.
    pub fn of(data_type: &DataType) -> Option<Self> {
        let (DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)) = data_type else {
            return None;
        };
        let scale = u32::try_from(*scale).ok()?;
        Some(Self { whole: u32::from(*precision).saturating_sub(scale), scale })
    }
}

impl Bounds {
    /// Returns the range of an integer type.
    pub fn of(data_type: &DataType) -> Option<Self> {
        let (least, most) = match data_type {
            DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
            DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
            DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
            DataType::Int64 => (i64::MIN.into(), i64::MAX.into()),
            DataType::UInt8 => (0, u8::MAX.into()),
            DataType::UInt16 => (0, u16::MAX.into()),
            DataType::UInt32 => (0, u32::MAX.into()),
            DataType::UInt64 => (0, u64::MAX.into()),
            _ => return None,
        };
        Some(Self { least, most })
    }

    /// Returns true if no value of these bounds is outside of others.
    pub fn within(self, other: Self) -> bool {
        self.least >= other.least && self.most <= other.most
    }

    /// Returns the digits of the longest value.
    pub fn digits(self) -> u32 {
        let length = |value: i128| value.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1);
        length(self.least).max(length(self.most))
    }

    fn among(values: impl Iterator<Item = i128> + Clone) -> Option<Self> {
        Some(Self { least: values.clone().min()?, most: values.max()? })
    }
}

/// Returns the range of an integer expression: that of its type, unless it computes from narrower values.
pub(super) fn bounds(expr: &Expr, schema: &DFSchema) -> Option<Bounds> {
    let data_type = expr.get_type(schema).ok()?;
    let whole = Bounds::of(&data_type)?;
    let narrower = match expr {
        Expr::Alias(alias) => bounds(&alias.expr, schema),
        Expr::Literal(value, _) => integer(value).map(|value| Bounds { least: value, most: value }),
        Expr::Cast(Cast { expr, .. }) => bounds(expr, schema),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => computed(*op, left, right, schema),
        Expr::Case(case) => {
            let branches = case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr);
            let branches: Option<Vec<Bounds>> = branches.map(|branch| bounds(branch, schema)).collect();
            branches.and_then(|branches| Bounds::among(branches.iter().flat_map(|b| [b.least, b.most])))
        }
        _ => None,
    };
    Some(narrower.unwrap_or(whole))
}

fn computed(op: Operator, left: &Expr, right: &Expr, schema: &DFSchema) -> Option<Bounds> {
    let (left, right) = (bounds(left, schema)?, bounds(right, schema)?);
    // The bounds of 64 bits fit: their products have 126.
    match op {
        Operator::Plus => {
            Some(Bounds { least: left.least.checked_add(right.least)?, most: left.most.checked_add(right.most)? })
        }
        Operator::Minus => {
            Some(Bounds { least: left.least.checked_sub(right.most)?, most: left.most.checked_sub(right.least)? })
        }
        Operator::Multiply => {
            let products = [
                left.least.checked_mul(right.least)?,
                left.least.checked_mul(right.most)?,
                left.most.checked_mul(right.least)?,
                left.most.checked_mul(right.most)?,
            ];
            Bounds::among(products.into_iter())
        }
        _ => None,
    }
}

/// Returns the value of an integer literal.
pub(super) fn integer(value: &ScalarValue) -> Option<i128> {
    Some(match value {
        ScalarValue::Int8(value) => (*value)?.into(),
        ScalarValue::Int16(value) => (*value)?.into(),
        ScalarValue::Int32(value) => (*value)?.into(),
        ScalarValue::Int64(value) => (*value)?.into(),
        ScalarValue::UInt8(value) => (*value)?.into(),
        ScalarValue::UInt16(value) => (*value)?.into(),
        ScalarValue::UInt32(value) => (*value)?.into(),
        ScalarValue::UInt64(value) => (*value)?.into(),
        _ => return None,
    })
}

/// Returns the digits of a decimal expression as a database computes it: without the limit of 38 digits that the type of
/// a result has at a node.
pub(super) fn digits(expr: &Expr, schema: &DFSchema) -> Option<Digits> {
    let of_type = Digits::of(&expr.get_type(schema).ok()?)?;
    let computed = match expr {
        Expr::Alias(alias) => digits(&alias.expr, schema),
        Expr::Literal(ScalarValue::Decimal128(Some(value), ..), _) => {
            let length = value.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1);
            Some(Digits { whole: length.saturating_sub(of_type.scale).max(1), scale: of_type.scale })
        }
        Expr::Negative(value) => digits(value, schema),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (left, right) = (digits(left, schema)?, digits(right, schema)?);
            match op {
                Operator::Plus | Operator::Minus => {
                    let scale = left.scale.max(right.scale);
                    Some(Digits { whole: left.whole.max(right.whole) + 1, scale })
                }
                Operator::Multiply => Some(Digits { whole: left.whole + right.whole, scale: left.scale + right.scale }),
                _ => None,
            }
        }
        _ => None,
    };
    Some(computed.unwrap_or(of_type))
}
