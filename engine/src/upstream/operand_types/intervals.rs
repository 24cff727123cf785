//! Compares intervals by their length: a month has 30 days and a day 24 hours, as in PostgreSQL and DuckDB.
//!
//! DataFusion 55.2 compares months first, then days, then nanoseconds. A difference of timestamps has only nanoseconds,
//! so 48 hours are not longer than `INTERVAL '1 day'`. Here a constant interval becomes a duration. An interval that
//! differs from row to row is refused, because no DataFusion expression computes its length.
//! `INTERSECT` and `EXCEPT` compare such intervals by their parts, as `UNION` does: see
//! [`super::groups::settle_keys`].
//! Before: `CAST(till - since AS Interval(MonthDayNano)) > IntervalMonthDayNano(1 day)`.
//! After: `till - since > DurationMicrosecond(86400000000)`.
//! See <https://github.com/apache/datafusion/issues/8468>.
//!
//! DataFusion also adds an interval to a date without its hours ([`keep_time_of_day`]).

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, Operator};
use datafusion::scalar::ScalarValue;

use super::groups::{Group, Operand};
use super::instants::{decimal, fixed, nanoseconds, nanoseconds_of};
use super::unrelated::refusal;

/// The number of nanoseconds in a day.
const DAY: i128 = 86_400_000_000_000;
/// The number of days in a month.
const MONTH: i128 = 30;

/// Finds the common type of intervals among the operands.
pub(super) fn settle(group: Group, operands: &mut [Operand<'_>]) -> Result<()> {
    let is_interval = |operand: &Operand<'_>| matches!(operand.plain(), DataType::Interval(_));
    let is_duration = |operand: &Operand<'_>| matches!(operand.plain(), DataType::Duration(_));
    if group == Group::Branches || !operands.iter().any(is_interval) {
        return Ok(());
    }
    let lengths: Vec<Option<i128>> =
        operands.iter().map(|operand| fixed(operand.expr).and_then(|v| length(&v))).collect();
    if operands
        .iter()
        .zip(&lengths)
        .any(|(operand, length)| is_interval(operand) && length.is_none() && !is_null(operand))
    {
        let what = "an interval of a column cannot be compared: months and days have no fixed length. \
                    Compare timestamps, as in `since + span > till`";
        return Err(refusal(operands, what));
    }
    let units: Vec<DataType> = operands
        .iter()
        .zip(&lengths)
        .filter(|(operand, length)| is_duration(operand) && length.is_none())
        .map(|(operand, _)| operand.plain().clone())
        .collect();
    let common = units.first().cloned().unwrap_or(DataType::Duration(TimeUnit::Nanosecond));
    let literals: Option<Vec<Option<Expr>>> =
        lengths.iter().map(|length| length.map_or(Some(None), |length| duration(length, &common).map(Some))).collect();
    match literals {
        Some(literals) if units.iter().all(|unit| *unit == common) => {
            for (operand, literal) in operands.iter_mut().zip(literals) {
                if let Some(literal) = literal {
                    operand.replace(literal, common.clone());
                }
            }
        }
        _ => bring_to_decimals(operands, &lengths),
    }
    Ok(())
}

/// Makes a timestamp of a date that an interval with hours is added to, as in PostgreSQL and DuckDB: DataFusion cuts
/// the hours off. A date and a constant number of days, months or years stay a date, as in Trino.
pub(super) fn keep_time_of_day(op: Operator, left: &mut Operand<'_>, right: &mut Operand<'_>) {
    let is_date = |operand: &Operand<'_>| matches!(operand.plain(), DataType::Date32 | DataType::Date64);
    let has_hours = |operand: &Operand<'_>| {
        let days = fixed(operand.expr).and_then(|value| length(&value)).is_some_and(|length| length % DAY == 0);
        matches!(operand.plain(), DataType::Interval(_)) && !days && !is_null(operand)
    };
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, None);
    match op {
        Operator::Plus | Operator::Minus if is_date(left) && has_hours(right) => left.cast(&timestamp),
        Operator::Plus if is_date(right) && has_hours(left) => right.cast(&timestamp),
        _ => {}
    }
}

fn bring_to_decimals(operands: &mut [Operand<'_>], lengths: &[Option<i128>]) {
    for (operand, length) in operands.iter_mut().zip(lengths) {
        let number = match length {
            Some(length) => Some(decimal(*length)),
            None => nanoseconds(operand.expr.clone(), operand.plain()),
        };
        if let Some(number) = number {
            operand.replace(number, DataType::Decimal128(super::exact::DIGITS, 0));
        }
    }
}

fn is_null(operand: &Operand<'_>) -> bool {
    fixed(operand.expr).is_some_and(|value| value.is_null())
}

/// Returns the number of nanoseconds of an interval or a duration.
fn length(value: &ScalarValue) -> Option<i128> {
    let count: i128 = match value {
        ScalarValue::IntervalYearMonth(Some(months)) => return Some(i128::from(*months) * MONTH * DAY),
        ScalarValue::IntervalDayTime(Some(v)) => {
            return Some(i128::from(v.days) * DAY + i128::from(v.milliseconds) * 1_000_000);
        }
        ScalarValue::IntervalMonthDayNano(Some(v)) => {
            return Some((i128::from(v.months) * MONTH + i128::from(v.days)) * DAY + i128::from(v.nanoseconds));
        }
        ScalarValue::DurationSecond(Some(count))
        | ScalarValue::DurationMillisecond(Some(count))
        | ScalarValue::DurationMicrosecond(Some(count))
        | ScalarValue::DurationNanosecond(Some(count)) => (*count).into(),
        _ => return None,
    };
    Some(count * nanoseconds_of(&value.data_type())?)
}

/// Returns a length as a literal; `None` if the type does not hold the length exactly.
fn duration(length: i128, data_type: &DataType) -> Option<Expr> {
    let step = nanoseconds_of(data_type)?;
    if length % step != 0 {
        return None;
    }
    let count = Some(i64::try_from(length / step).ok()?);
    let value = match data_type {
        DataType::Duration(TimeUnit::Second) => ScalarValue::DurationSecond(count),
        DataType::Duration(TimeUnit::Millisecond) => ScalarValue::DurationMillisecond(count),
        DataType::Duration(TimeUnit::Microsecond) => ScalarValue::DurationMicrosecond(count),
        DataType::Duration(TimeUnit::Nanosecond) => ScalarValue::DurationNanosecond(count),
        _ => return None,
    };
    Some(Expr::Literal(value, None))
}
