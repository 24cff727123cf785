//! Instants that are the same for every row.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::scalar::ScalarValue;

use super::super::timestamps::unit_of_text;

/// An instant, a day or a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Constant {
    /// Nanoseconds since 1970, or since midnight.
    pub(super) nanoseconds: i128,
    zone: Option<Arc<str>>,
}

impl Constant {
    /// Returns the value of an expression that reads no row; `None` for any other expression, and for NULL.
    pub(super) fn of(expr: &Expr) -> Option<Self> {
        Self::of_scalar(&fixed(expr)?)
    }

    /// Returns the timestamp in a string literal.
    pub(super) fn of_text(expr: &Expr, zone: Option<&Arc<str>>) -> Option<Self> {
        let Expr::Literal(value, _) = expr else { return None };
        let unit = unit_of_text(value.try_as_str().flatten()?);
        Self::of_scalar(&value.cast_to(&DataType::Timestamp(unit, zone.cloned())).ok()?)
    }

    fn of_scalar(value: &ScalarValue) -> Option<Self> {
        let (count, zone): (i128, _) = match value {
            ScalarValue::Date32(Some(count)) | ScalarValue::Time32Second(Some(count)) => ((*count).into(), &None),
            ScalarValue::Time32Millisecond(Some(count)) => ((*count).into(), &None),
            ScalarValue::Date64(Some(count))
            | ScalarValue::Time64Microsecond(Some(count))
            | ScalarValue::Time64Nanosecond(Some(count)) => ((*count).into(), &None),
            ScalarValue::TimestampSecond(Some(count), zone)
            | ScalarValue::TimestampMillisecond(Some(count), zone)
            | ScalarValue::TimestampMicrosecond(Some(count), zone)
            | ScalarValue::TimestampNanosecond(Some(count), zone) => ((*count).into(), zone),
            _ => return None,
        };
        Some(Self { nanoseconds: count * nanoseconds_of(&value.data_type())?, zone: zone.clone() })
    }
}

/// Evaluates an expression that reads no row.
pub(in super::super) fn fixed(expr: &Expr) -> Option<ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value.clone()),
        expr if is_fixed(expr) => match ExprSimplifier::new(SimplifyContext::default()).simplify(expr.clone()).ok()? {
            Expr::Literal(value, _) => Some(value),
            _ => None,
        },
        _ => None,
    }
}

/// True if an expression has the same value for every row and may be evaluated now.
fn is_fixed(expr: &Expr) -> bool {
    let mut fixed = !expr.is_volatile();
    let walked = expr.apply(|expr| {
        let reads = matches!(
            expr,
            Expr::Column(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::SetComparison(_)
                | Expr::Placeholder(_)
                | Expr::AggregateFunction(_)
                | Expr::WindowFunction(_)
        );
        fixed &= !reads;
        Ok(if reads { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    fixed && walked.is_ok()
}

/// Returns the number of nanoseconds in one step of a type.
pub(in super::super) fn nanoseconds_of(data_type: &DataType) -> Option<i128> {
    let unit = match data_type {
        DataType::Date32 => return Some(86_400_000_000_000),
        DataType::Date64 => return Some(1_000_000),
        DataType::Timestamp(unit, _) | DataType::Time32(unit) | DataType::Time64(unit) | DataType::Duration(unit) => {
            unit
        }
        _ => return None,
    };
    Some(match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    })
}

/// Returns a constant as a literal of a type, with the constant's own zone; `None` if the type does not hold the
/// constant exactly.
pub(super) fn literal(constant: &Constant, data_type: &DataType) -> Option<(Expr, DataType)> {
    let step = nanoseconds_of(data_type)?;
    if constant.nanoseconds % step != 0 {
        return None;
    }
    let count = i64::try_from(constant.nanoseconds / step).ok()?;
    let short = i32::try_from(count).ok();
    let zone = constant.zone.clone();
    let value = match data_type {
        DataType::Date32 => ScalarValue::Date32(Some(short?)),
        DataType::Date64 => ScalarValue::Date64(Some(count)),
        DataType::Time32(TimeUnit::Second) => ScalarValue::Time32Second(Some(short?)),
        DataType::Time32(_) => ScalarValue::Time32Millisecond(Some(short?)),
        DataType::Time64(TimeUnit::Nanosecond) => ScalarValue::Time64Nanosecond(Some(count)),
        DataType::Time64(_) => ScalarValue::Time64Microsecond(Some(count)),
        DataType::Timestamp(TimeUnit::Second, _) => ScalarValue::TimestampSecond(Some(count), zone),
        DataType::Timestamp(TimeUnit::Millisecond, _) => ScalarValue::TimestampMillisecond(Some(count), zone),
        DataType::Timestamp(TimeUnit::Microsecond, _) => ScalarValue::TimestampMicrosecond(Some(count), zone),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => ScalarValue::TimestampNanosecond(Some(count), zone),
        _ => return None,
    };
    let data_type = value.data_type();
    Some((Expr::Literal(value, None), data_type))
}
