//! The dialects of real databases: for each one a table of what it evaluates. The conditions that several tables use are
//! here.

mod mariadb;
mod mysql;
mod postgres;
mod shapes;
mod sqlite;

use arrow::datatypes::DataType;

pub use self::mariadb::MARIADB;
pub use self::mysql::MYSQL;
pub use self::postgres::POSTGRES;
pub use self::sqlite::SQLITE;
use super::allowed::{SqlCondition, SqlKind, SqlOperand, SqlSpelling};
use super::numbers::{Bounds, Digits, integer};

/// The largest position and length of a part of a string. PostgreSQL takes 32 bits.
const MAX_LENGTH: i128 = 1_000_000;

/// The largest integer up to which every integer is a double.
const MAX_DOUBLE_INTEGER: i128 = 1 << 53;

const fn row(
    name: &'static str,
    sql: &'static str,
    kinds: &'static [SqlKind],
    reason: &'static str,
    test: &'static str,
) -> SqlSpelling {
    SqlSpelling { name, sql, kinds, only: None, reason, test }
}

const fn row_if(only: SqlCondition, row: SqlSpelling) -> SqlSpelling {
    SqlSpelling { only: Some(only), ..row }
}

const FITS: &str = "the result fits its type whatever the values are, such as one of two `INT` as `BIGINT`";

const SUM_FITS: SqlCondition = SqlCondition {
    words: FITS,
    holds: |operands, result| fits(operands, result, |l, r| [l.least.checked_add(r.least), l.most.checked_add(r.most)]),
};

const DIFFERENCE_FITS: SqlCondition = SqlCondition {
    words: FITS,
    holds: |operands, result| fits(operands, result, |l, r| [l.least.checked_sub(r.most), l.most.checked_sub(r.least)]),
};

const PRODUCT_FITS: SqlCondition = SqlCondition {
    words: FITS,
    holds: |operands, result| {
        fits(operands, result, |l, r| {
            [
                l.least.checked_mul(r.least),
                l.least.checked_mul(r.most),
                l.most.checked_mul(r.least),
                l.most.checked_mul(r.most),
            ]
        })
    },
};

/// Returns true if two operands and the extremes of what is computed from them fit the type of the result.
fn fits<const N: usize>(
    operands: &[SqlOperand],
    result: &DataType,
    extremes: fn(Bounds, Bounds) -> [Option<i128>; N],
) -> bool {
    let ([SqlOperand { bounds: Some(left), .. }, SqlOperand { bounds: Some(right), .. }], Some(result)) =
        (operands, Bounds::of(result))
    else {
        return false;
    };
    let has = |value: Option<i128>| value.is_some_and(|value| value >= result.least && value <= result.most);
    left.within(result) && right.within(result) && extremes(*left, *right).into_iter().all(has)
}

const BY_POSITIVE_LITERAL: SqlCondition = SqlCondition {
    words: "the divisor is a positive literal",
    holds: |operands, _| matches!(operands, [_, divisor] if divisor.literal.as_ref().and_then(integer).is_some_and(|value| value > 0)),
};

const PLUS_ZERO: SqlCondition = SqlCondition {
    words: "the second operand is 0, which a node adds to make one zero of both",
    holds: |operands, _| {
        use datafusion::common::ScalarValue::Float64;
        matches!(operands, [_, zero] if matches!(zero.literal, Some(Float64(Some(value))) if value.to_bits() == 0))
    },
};

const SAME_SCALE: SqlCondition = SqlCondition {
    words: "the result at a node keeps every digit after the point",
    holds: |operands, result| same_scale(operands, result),
};

/// Returns true if the result has a scale of which the node computes all digits, for one or two operands of 128 bits.
fn same_scale(operands: &[SqlOperand], result: &DataType) -> bool {
    let is_small = |data_type: &DataType| matches!(data_type, DataType::Decimal128(..));
    let scales: Option<Vec<u32>> = operands.iter().map(|o| Digits::of(&o.data_type).map(|d| d.scale)).collect();
    let (Some(scales), Some(result_scale)) = (scales, Digits::of(result).map(|digits| digits.scale)) else {
        return false;
    };
    let largest = scales.iter().copied().max().unwrap_or_default();
    operands.iter().all(|o| is_small(&o.data_type))
        && is_small(result)
        && (result_scale == largest || result_scale == scales.iter().sum::<u32>())
}

const INTEGER_WIDENS: SqlCondition = SqlCondition {
    words: "every value fits the other type",
    holds: |operands, result| {
        matches!((operands, Bounds::of(result)), ([SqlOperand { bounds: Some(bounds), .. }], Some(result))
            if bounds.within(result))
    },
};

const INTEGER_AS_DECIMAL: SqlCondition = SqlCondition {
    words: "every value has at most as many digits as the decimal before its point",
    holds: |operands, result| {
        matches!((operands, Digits::of(result)), ([SqlOperand { bounds: Some(bounds), .. }], Some(result))
            if bounds.digits() <= result.whole)
    },
};

const DECIMAL_WIDENS: SqlCondition = SqlCondition {
    words: "the other decimal has at least as many digits before and after the point",
    holds: |operands, result| match (operands, Digits::of(result)) {
        ([operand], Some(result)) => Digits::of(&operand.data_type)
            .is_some_and(|digits| digits.whole <= result.whole && digits.scale <= result.scale),
        _ => false,
    },
};

const INTEGER_AS_DOUBLE: SqlCondition = SqlCondition {
    words: "every value has an equal double",
    holds: |operands, _| {
        let double = Bounds { least: -MAX_DOUBLE_INTEGER, most: MAX_DOUBLE_INTEGER };
        matches!(operands, [SqlOperand { bounds: Some(bounds), .. }] if bounds.within(double))
    },
};

const WITH_LITERAL: SqlCondition = SqlCondition {
    words: "one operand is a literal",
    holds: |operands, _| operands.iter().filter(|operand| operand.literal.is_some()).count() == 1,
};

const LITERALS: SqlCondition = SqlCondition {
    words: "the list has literals only",
    holds: |operands, _| {
        matches!(operands, [value, list @ ..]
            if value.literal.is_none() && list.iter().all(|item| item.literal.is_some()))
    },
};

const PART_OF_TEXT: SqlCondition = SqlCondition {
    words: "the position is a positive literal and the length a literal that is not negative",
    holds: |operands, _| {
        let number = |operand: &SqlOperand| operand.literal.as_ref().and_then(integer);
        match operands {
            [text, position, length @ ..] if length.len() <= 1 && text.data_type.is_string() => {
                number(position).is_some_and(|value| (1..=MAX_LENGTH).contains(&value))
                    && length.iter().all(|length| number(length).is_some_and(|l| (0..=MAX_LENGTH).contains(&l)))
            }
            _ => false,
        }
    },
};

const SMALL_INTEGERS: SqlCondition = SqlCondition {
    words: "the integers have at most 32 bits",
    holds: |operands, _| {
        let small = Bounds { least: i32::MIN.into(), most: u32::MAX.into() };
        operands.iter().all(|operand| operand.bounds.is_some_and(|bounds| bounds.within(small)))
    },
};

/// Returns a type of decimals with at most these digits and this scale.
fn decimal_type(data_type: &DataType, max_precision: u8, max_scale: i8) -> Option<String> {
    match data_type {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)
            if (0..=max_scale).contains(scale) && *precision <= max_precision =>
        {
            Some(format!("({precision}, {scale})"))
        }
        _ => None,
    }
}
