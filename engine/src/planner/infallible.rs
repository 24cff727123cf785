//! Finds expressions that never fail. A rewrite may evaluate an expression for more rows than the query does. It must
//! not make the query fail, for example by a division by a zero in a row that the query drops.

use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, TimeUnit};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};
use datafusion::prelude::cast;
use datafusion::scalar::ScalarValue;

/// True if evaluating an expression never fails, for any row, and returns the same value each time. Of an aggregate, this
/// covers the arguments.
pub(super) fn never_fails(expr: &Expr, schema: &DFSchema) -> bool {
    let mut safe = true;
    let walked = expr.apply(|e| {
        safe &= match e {
            Expr::BinaryExpr(binary) => match binary.op {
                Operator::Plus | Operator::Minus | Operator::Multiply => never_overflows(e, schema),
                Operator::Divide => e.get_type(schema).is_ok_and(|t| t.is_floating()),
                op => COMPARISONS.contains(&op),
            },
            Expr::Cast(cast) => match (cast.expr.get_type(schema), cast.field.data_type()) {
                (Ok(from), to) => widens(&from, to),
                (Err(_), _) => false,
            },
            Expr::ScalarFunction(function) if function.name() == "date_part" => is_part_of_date(&function.args, schema),
            Expr::ScalarFunction(function) => FUNCTIONS.contains(&function.name()),
            // A pattern may be too long to be compiled. That of a row would fail for this row.
            Expr::Like(like) => is_short_text(&like.pattern) && matches!(like.escape_char, None | Some('\\')),
            Expr::AggregateFunction(_)
            | Expr::Alias(_)
            | Expr::Between(_)
            | Expr::Case(_)
            | Expr::Column(_)
            | Expr::InList(_)
            | Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotNull(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotUnknown(_)
            | Expr::IsNull(_)
            | Expr::IsTrue(_)
            | Expr::IsUnknown(_)
            | Expr::Literal(..)
            | Expr::Not(_)
            | Expr::TryCast(_) => true,
            _ => false,
        };
        Ok(if safe { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    walked.is_ok() && safe
}

/// The digits of a sum beyond those of its values: the sum of 10^9 of the largest values fits.
const SUM_DIGITS: u8 = 9;

/// True for an aggregate whose value fits its type, whatever the rows are. Only a sum may not.
pub(super) fn always_fits(aggregate: &Expr, schema: &DFSchema) -> bool {
    use DataType::{Decimal32, Decimal64, Decimal128, Decimal256};
    let Expr::AggregateFunction(call) = aggregate else { return false };
    if !matches!(call.func.name(), "sum" | "sum_wide" | "sum_narrow") {
        return true;
    }
    let [value] = call.params.args.as_slice() else { return false };
    let (Ok(of), Ok(sum)) = (value.get_type(schema), aggregate.get_type(schema)) else { return false };
    match (&of, &sum) {
        (of, _) if of.is_floating() => true,
        (Decimal32(digits, _), Decimal32(most, _))
        | (Decimal64(digits, _), Decimal64(most, _))
        | (Decimal128(digits, _), Decimal128(most, _))
        | (Decimal256(digits, _), Decimal256(most, _)) => *most >= digits.saturating_add(SUM_DIGITS),
        (of, sum) if of.is_integer() => {
            let times = 10_i128.pow(SUM_DIGITS.into());
            range(value, schema).zip(limits(sum)).is_some_and(|((least, most), (low, high))| {
                least.saturating_mul(times) >= low && most.saturating_mul(times) <= high
            })
        }
        _ => false,
    }
}

/// Returns the smallest and the largest number of an integer type, or of a decimal type without a fraction.
fn limits(data_type: &DataType) -> Option<(i128, i128)> {
    match data_type {
        DataType::Decimal128(digits, 0) => {
            let most = 10_i128.pow((*digits).into()) - 1;
            Some((-most, most))
        }
        other => range_of(other),
    }
}

/// Functions that return a result for all arguments.
const FUNCTIONS: &[&str] = &[
    "btrim",
    "character_length",
    "coalesce",
    "concat",
    "ends_with",
    "lower",
    "ltrim",
    "nullif",
    "octet_length",
    "rtrim",
    "starts_with",
    "strpos",
    "upper",
];

/// The longest pattern of LIKE that counts as one that compiles.
const MAX_PATTERN: usize = 1024;

fn is_short_text(pattern: &Expr) -> bool {
    let Expr::Literal(pattern, _) = pattern else { return false };
    pattern.try_as_str().is_some_and(|text| text.is_none_or(|text| text.len() <= MAX_PATTERN))
}

/// Parts that `date_part` returns for every date, and those that it returns for every timestamp beside them.
const PARTS_OF_DATES: &[&str] =
    &["year", "isoyear", "quarter", "month", "week", "day", "doy", "dow", "isodow", "epoch"];
const PARTS_OF_TIMES: &[&str] = &["hour", "minute", "second", "millisecond", "microsecond"];

/// True if the arguments of `date_part` are a part, as a literal, and a date or a timestamp that has it.
fn is_part_of_date(args: &[Expr], schema: &DFSchema) -> bool {
    let [Expr::Literal(part, _), value] = args else { return false };
    let Some(Some(part)) = part.try_as_str() else { return false };
    let is_in = |parts: &[&str]| parts.iter().any(|known| part.eq_ignore_ascii_case(known));
    match value.get_type(schema) {
        Ok(DataType::Date32) => is_in(PARTS_OF_DATES),
        Ok(DataType::Timestamp(..)) => is_in(PARTS_OF_DATES) || is_in(PARTS_OF_TIMES),
        _ => false,
    }
}

/// Comparisons that never fail. Pattern matching is not one of them, because a pattern may be malformed.
const COMPARISONS: &[Operator] = &[
    Operator::Eq,
    Operator::NotEq,
    Operator::Lt,
    Operator::LtEq,
    Operator::Gt,
    Operator::GtEq,
    Operator::And,
    Operator::Or,
    Operator::IsDistinctFrom,
    Operator::IsNotDistinctFrom,
];

/// True if a sum, difference or product always fits its type. DataFusion widens decimals up to 38 digits. Integers keep
/// their type, and fit if their operands are small enough.
fn never_overflows(expr: &Expr, schema: &DFSchema) -> bool {
    match expr.get_type(schema) {
        Ok(DataType::Decimal128(precision, _)) => precision < DECIMAL128_MAX_PRECISION,
        Ok(data_type) if data_type.is_integer() => range(expr, schema).is_some(),
        Ok(data_type) => data_type.is_floating(),
        Err(_) => false,
    }
}

/// Returns the smallest and the largest value of an integer expression; `None` if it may overflow, or if the values are
/// unknown.
fn range(expr: &Expr, schema: &DFSchema) -> Option<(i128, i128)> {
    let (least, most) = range_of(&expr.get_type(schema).ok()?)?;
    let found = match expr {
        Expr::BinaryExpr(binary) => reach(binary, schema, range)?,
        Expr::Alias(alias) => range(&alias.expr, schema)?,
        // Another check refuses a cast that narrows.
        Expr::Cast(cast) if cast.expr.get_type(schema).ok()?.is_integer() => range(&cast.expr, schema)?,
        Expr::Literal(value, _) => value_of(value).map_or((least, most), |value| (value, value)),
        _ => (least, most),
    };
    (found.0 >= least && found.1 <= most).then_some(found)
}

/// Returns the range of an operator's result, for operands within the ranges that `operand` returns.
fn reach(
    binary: &BinaryExpr,
    schema: &DFSchema,
    operand: impl Fn(&Expr, &DFSchema) -> Option<(i128, i128)>,
) -> Option<(i128, i128)> {
    let (left, right) = (operand(&binary.left, schema)?, operand(&binary.right, schema)?);
    match binary.op {
        Operator::Plus => Some((left.0.checked_add(right.0)?, left.1.checked_add(right.1)?)),
        Operator::Minus => Some((left.0.checked_sub(right.1)?, left.1.checked_sub(right.0)?)),
        Operator::Multiply => {
            let bounds = [(left.0, right.0), (left.0, right.1), (left.1, right.0), (left.1, right.1)];
            let products = bounds.iter().map(|(l, r)| l.checked_mul(*r)).collect::<Option<Vec<_>>>()?;
            Some((*products.iter().min()?, *products.iter().max()?))
        }
        _ => None,
    }
}

fn value_of(value: &ScalarValue) -> Option<i128> {
    match value.cast_to(&WIDEST).ok()? {
        ScalarValue::Decimal128(value, ..) => value,
        _ => None,
    }
}

const WIDEST: DataType = DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0);

/// Returns an integer expression as a decimal that never overflows, and whose sum does not. `None` if 38 digits may not
/// suffice for the expression, or if another part of it may fail. The decimal has 256 bits if its sum needs them.
pub(super) fn widened(expr: &Expr, schema: &DFSchema) -> Option<Expr> {
    const DIGITS: u8 = DECIMAL128_MAX_PRECISION - SUM_DIGITS;
    let (least, most) = unbounded(expr, schema)?;
    let fits = |digits: u8| 10_i128.checked_pow(digits.into()).is_some_and(|end| least > -end && most < end);
    let wide = fits(DECIMAL128_MAX_PRECISION).then(|| wide(expr, schema)).flatten()?;
    Some(match fits(DIGITS) {
        true => cast(wide, DataType::Decimal128(DIGITS, 0)),
        false => cast(wide, DataType::Decimal256(DECIMAL256_MAX_PRECISION, 0)),
    })
}

/// Returns the smallest and the largest value as [`range`] does, for arithmetic in a type that holds every value.
fn unbounded(expr: &Expr, schema: &DFSchema) -> Option<(i128, i128)> {
    match expr {
        Expr::BinaryExpr(binary) => reach(binary, schema, unbounded),
        other => range(other, schema),
    }
}

fn wide(expr: &Expr, schema: &DFSchema) -> Option<Expr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (left, right) = (Box::new(wide(left, schema)?), Box::new(wide(right, schema)?));
            Some(Expr::BinaryExpr(BinaryExpr { left, op: *op, right }))
        }
        other => {
            let digits = digits(&other.get_type(schema).ok()?)?;
            let fits = DataType::Decimal128(u8::try_from(digits).ok()?, 0);
            never_fails(other, schema).then(|| cast(other.clone(), fits))
        }
    }
}

fn range_of(data_type: &DataType) -> Option<(i128, i128)> {
    let bits = 8 * u32::try_from(data_type.primitive_width()?).ok()?;
    match data_type {
        t if t.is_unsigned_integer() => Some((0, (1 << bits) - 1)),
        t if t.is_signed_integer() => Some((-(1 << (bits - 1)), (1 << (bits - 1)) - 1)),
        _ => None,
    }
}

/// True if each value of one type is also a value of the other.
fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType::{Date32, Decimal128, Float32, Float64, LargeUtf8, Null, Timestamp, Utf8, Utf8View};
    match (from, to) {
        (from, to) if from == to => true,
        (Null, _) | (Utf8 | LargeUtf8 | Utf8View, LargeUtf8 | Utf8View) | (LargeUtf8 | Utf8View, Utf8) => true,
        (Float32, Float64) => true,
        (from, Float32 | Float64) => from.is_integer(),
        (Decimal128(p, s), Decimal128(wider, t)) => {
            t >= s && i16::from(*wider) - i16::from(*t) >= i16::from(*p) - i16::from(*s)
        }
        (from, Decimal128(p, s)) => digits(from).is_some_and(|d| i16::from(*p) - i16::from(*s) >= d),
        // The range of dates is wider than that of nanoseconds. A time zone may skip a midnight.
        (Date32, Timestamp(unit, None)) => *unit == TimeUnit::Second,
        (from, to) => match (from.primitive_width(), to.primitive_width()) {
            (Some(narrow), Some(wide)) if from.is_integer() && to.is_integer() => {
                wide > narrow && (to.is_signed_integer() || from.is_unsigned_integer())
            }
            _ => false,
        },
    }
}

/// Returns the maximum number of digits of an integer type.
fn digits(data_type: &DataType) -> Option<i16> {
    match data_type {
        DataType::Int8 | DataType::UInt8 => Some(3),
        DataType::Int16 | DataType::UInt16 => Some(5),
        DataType::Int32 | DataType::UInt32 => Some(10),
        DataType::Int64 => Some(19),
        DataType::UInt64 => Some(20),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use datafusion::arrow::datatypes::{Field, Schema};
    use datafusion::functions_aggregate::expr_fn::{max, sum};
    use datafusion::prelude::{col, lit};

    use super::*;

    fn schema() -> DFSchema {
        let schema = Schema::new(vec![
            Field::new("i", DataType::Int32, true),
            Field::new("l", DataType::Int64, true),
            Field::new("u", DataType::UInt64, true),
            Field::new("u32", DataType::UInt32, true),
            Field::new("t", DataType::Utf8, true),
            Field::new("d", DataType::Decimal128(12, 2), true),
            Field::new("full", DataType::Decimal128(38, 2), true),
            Field::new("day", DataType::Date32, true),
            Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        ]);
        DFSchema::try_from(schema).unwrap()
    }

    fn safe(expr: &Expr) -> bool {
        never_fails(expr, &schema())
    }

    #[test]
    fn expressions_that_may_fail_are_recognized() {
        assert!(safe(&col("i").eq(col("i")).and(col("t").like(lit("a%")))));
        assert!(!safe(&(lit(100) / col("i")).gt(lit(1))));
        assert!(!safe(&(col("l") % col("i")).eq(lit(1))));
        assert!(safe(&(col("d") * lit(2))));
        assert!(!safe(&(col("full") + col("full"))), "its digits may not suffice");
        assert!(!safe(&datafusion::prelude::random().gt(lit(0.5))));
        assert!(safe(&datafusion::prelude::lower(col("t"))));
        assert!(!safe(&datafusion::prelude::to_timestamp(vec![col("t")])));
        assert!(!safe(&col("t").like(col("t"))), "the pattern of a row may not compile");
        assert!(!safe(&col("t").like(lit("%".repeat(MAX_PATTERN + 1)))));
    }

    #[test]
    fn parts_of_dates_may_be_unknown() {
        let part = |part: Expr, value: Expr| datafusion::prelude::date_part(part, value);
        assert!(safe(&part(lit("YEAR"), col("day"))) && safe(&part(lit("hour"), col("at"))));
        for (name, value) in
            [("century", "at"), ("hour", "day"), ("nothing", "day"), ("nanosecond", "at"), ("day", "t")]
        {
            assert!(!safe(&part(lit(name), col(value))), "{name} of {value}");
        }
        assert!(!safe(&part(col("t"), col("day"))));
    }

    #[test]
    fn sums_may_overflow_unless_their_values_are_small() {
        let fits = |aggregate: &Expr| always_fits(aggregate, &schema());
        assert!(fits(&sum(col("i"))) && fits(&sum(cast(col("l"), DataType::Float64))));
        assert!(fits(&sum(col("d"))) && !fits(&sum(col("full"))));
        assert!(!fits(&sum(col("l"))) && !fits(&sum(col("u"))) && fits(&sum(cast(col("u32"), DataType::UInt64))));
        assert!(fits(&max(col("full"))));
    }

    #[test]
    fn integers_may_overflow_unless_they_are_small() {
        let wide = || cast(col("i"), DataType::Int64);
        assert!(!safe(&(col("i") + lit(1_i32))));
        assert!(!safe(&(col("l") - lit(1_i64))));
        assert!(!safe(&(col("l") * col("l"))));
        assert!(!safe(&Expr::Negative(Box::new(col("l")))));
        assert!(safe(&(wide() + lit(1_i64))));
        assert!(safe(&(wide() * wide() - wide())));
        assert!(!safe(&(wide() * wide() * wide())));
        assert!(!safe(&(wide() + col("l"))));
    }

    #[test]
    fn products_are_widened_where_38_digits_suffice() {
        let fields = [("i", DataType::Int32), ("l", DataType::Int64), ("t", DataType::Utf8)];
        let fields = fields.map(|(name, data_type)| Field::new(name, data_type, true));
        let schema = DFSchema::try_from(Schema::new(fields.to_vec())).unwrap();
        let product = col("l") * cast(col("i"), DataType::Int64);
        let wide = widened(&product, &schema).unwrap();
        assert_eq!(wide.get_type(&schema).unwrap(), DataType::Decimal128(29, 0));
        assert!(never_fails_wide(&wide, &schema));
        assert!(widened(&(product + lit(1_i64)), &schema).is_some());
        let square = widened(&(col("l") * col("l")), &schema).unwrap();
        assert_eq!(square.get_type(&schema).unwrap(), DataType::Decimal256(76, 0), "two of them exceed 38 digits");
        assert!(widened(&(col("l") * col("l") * col("l")), &schema).is_none());
        assert!(widened(&cast(col("t"), DataType::Int64), &schema).is_none());
        assert!(widened(&(col("l") / col("l")), &schema).is_none());
    }

    /// True if nothing but the expression's arithmetic may fail. The range of the operands keeps the arithmetic from
    /// overflowing.
    fn never_fails_wide(expr: &Expr, schema: &DFSchema) -> bool {
        let leaves = |e: &Expr| {
            Ok(matches!(e, Expr::Cast(c) if !matches!(*c.expr, Expr::BinaryExpr(_)) && !never_fails(e, schema)))
        };
        !expr.exists(leaves).unwrap()
    }

    #[test]
    fn casts_that_widen_never_fail() {
        assert!(safe(&cast(col("i"), DataType::Int64)));
        assert!(safe(&cast(col("i"), DataType::Decimal128(12, 2))));
        assert!(!safe(&cast(col("i"), DataType::Decimal128(11, 2))));
        assert!(!safe(&cast(col("l"), DataType::Int32)));
        assert!(!safe(&cast(col("i"), DataType::UInt64)));
        assert!(!safe(&cast(col("t"), DataType::Int64)));
        assert!(safe(&cast(col("t"), DataType::Utf8View)));
        assert!(safe(&cast(col("d"), DataType::Decimal128(20, 4))));
        assert!(!safe(&cast(col("d"), DataType::Decimal128(12, 4))));
    }
}
