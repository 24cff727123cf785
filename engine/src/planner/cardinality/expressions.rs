//! The statistics of an expression's values, from the statistics of the columns that it reads.

use std::borrow::Cow;

use arrow::datatypes::DataType;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use portolan_catalog::{ColumnStatistics, StatisticValue};

use super::{Cardinality, DAYS_OR_SECONDS, float, functions};
use portolan_connectors::{SECONDS_A_DAY, statistic_value};

/// The maximum depth of nested expressions that are read.
const DEPTH: usize = 32;

/// Returns an expression without aliases and casts, and the type of its outermost cast.
pub(super) fn stripped(mut expr: &Expr) -> (&Expr, Option<&DataType>) {
    let mut cast = None;
    loop {
        expr = match expr {
            Expr::Alias(alias) => &alias.expr,
            Expr::Cast(c) => {
                cast = cast.or(Some(c.field.data_type()));
                &c.expr
            }
            Expr::TryCast(c) => {
                cast = cast.or(Some(c.field.data_type()));
                &c.expr
            }
            other => return (other, cast),
        };
    }
}

/// Returns the statistics of an expression's values, on the scale of the expression below its casts.
pub(super) fn statistics<'a>(input: &'a Cardinality, expr: &Expr) -> Option<Cow<'a, ColumnStatistics>> {
    match stripped(expr).0 {
        Expr::Column(column) => input.columns.get(column).map(Cow::Borrowed),
        Expr::Literal(literal, _) => {
            let value = statistic_value(literal);
            let distinct = Some(u64::from(!literal.is_null()));
            let (min, max) = (value.clone(), value);
            Some(Cow::Owned(ColumnStatistics { distinct, min, max, ..ColumnStatistics::default() }))
        }
        Expr::ScalarFunction(function) => functions::statistics(input, function).map(Cow::Owned),
        Expr::BinaryExpr(b) => shifted(input, b).map(Cow::Owned),
        _ => None,
    }
}

/// Returns the smallest and the largest number.
pub(super) fn range(column: &ColumnStatistics) -> Option<(f64, f64)> {
    match (&column.min, &column.max) {
        (Some(StatisticValue::Number(min)), Some(StatisticValue::Number(max)))
            if min.is_finite() && max.is_finite() =>
        {
            Some((*min, *max))
        }
        _ => None,
    }
}

/// Returns the statistics of a column and a literal that an operator combines. It accepts only columns: it would read a
/// chain of operators once for each link.
fn shifted(input: &Cardinality, b: &BinaryExpr) -> Option<ColumnStatistics> {
    let (Expr::Column(column), Expr::Literal(literal, _)) = (stripped(&b.left).0, stripped(&b.right).0) else {
        return None;
    };
    let column = input.columns.get(column)?;
    let StatisticValue::Number(by) = statistic_value(literal)? else { return None };
    let (min, max) = range(column)?;
    let of = |v: f64| match b.op {
        Operator::Plus => Some(v + by),
        Operator::Minus => Some(v - by),
        Operator::Multiply => Some(v * by),
        Operator::Divide if by != 0.0 => Some(v / by),
        _ => None,
    };
    let (a, b) = (of(min)?, of(max)?);
    Some(ColumnStatistics {
        distinct: column.distinct,
        nulls: column.nulls,
        min: Some(StatisticValue::Number(a.min(b))),
        max: Some(StatisticValue::Number(a.max(b))),
        ..ColumnStatistics::default()
    })
}

/// Returns the number of distinct values; `None` if nothing is known.
pub(super) fn distinct(input: &Cardinality, expr: &Expr) -> Option<f64> {
    Some(values(input, expr, 0)?.clamp(1.0, input.rows.max(1.0)))
}

fn values(input: &Cardinality, expr: &Expr, depth: usize) -> Option<f64> {
    if depth > DEPTH {
        return None;
    }
    let (expr, cast) = stripped(expr);
    let inner = |e: &Expr| values(input, e, depth + 1);
    match expr {
        Expr::Column(column) => {
            let known = input.columns.get(column)?;
            let distinct = float(known.distinct?);
            match (cast, range(known)) {
                // The number of days in a range of timestamps.
                (Some(DataType::Date32 | DataType::Date64), Some((min, max))) if max - min > DAYS_OR_SECONDS => {
                    Some(distinct.min((max - min) / SECONDS_A_DAY + 1.0))
                }
                _ => Some(distinct),
            }
        }
        Expr::Literal(..) | Expr::Placeholder(_) | Expr::ScalarSubquery(_) | Expr::OuterReferenceColumn(..) => {
            Some(1.0)
        }
        Expr::BinaryExpr(b) if b.op.supports_propagation() || matches!(b.op, Operator::And | Operator::Or) => Some(2.0),
        Expr::BinaryExpr(b) => Some(inner(&b.left)? * inner(&b.right)?),
        Expr::Negative(e) => inner(e),
        Expr::Not(_)
        | Expr::Like(_)
        | Expr::SimilarTo(_)
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNotFalse(_)
        | Expr::IsNotUnknown(_)
        | Expr::Between(_)
        | Expr::InList(_)
        | Expr::InSubquery(_)
        | Expr::Exists(_) => Some(2.0),
        Expr::Case(case) => {
            let branches = case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr);
            branches.map(|e| inner(e)).sum()
        }
        Expr::ScalarFunction(function) => match functions::distinct(input, function) {
            Some(known) => Some(known),
            None => function.args.iter().map(inner).product(),
        },
        _ => None,
    }
}
