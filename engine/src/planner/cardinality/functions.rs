//! The statistics of a few functions: parts of dates, and parts of strings.

use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::ScalarFunction;
use portolan_catalog::{ColumnStatistics, StatisticValue};

use super::expressions::{range, stripped};
use super::{Cardinality, DAYS_OR_SECONDS, count, float};
use portolan_connectors::SECONDS_A_DAY;

/// The assumed number of different characters at one position of a string. Most of them are digits.
const CHARACTERS: f64 = 10.0;

/// Returns the range and the number of values. It accepts only functions of a column, so that no chain is read
/// repeatedly.
pub(super) fn statistics(input: &Cardinality, function: &ScalarFunction) -> Option<ColumnStatistics> {
    if function.name() == "date_part" {
        let (part, column) = part_of(input, function)?;
        let (first, last) = days(column)?;
        let (low, high) = match part.as_str() {
            "year" => (year(first), year(last)),
            other => cycle(other)?,
        };
        let distinct = (high - low + 1.0).min(column.distinct.map_or(f64::MAX, float));
        return Some(ColumnStatistics {
            distinct: Some(count(distinct)),
            nulls: column.nulls,
            min: Some(StatisticValue::Number(low)),
            max: Some(StatisticValue::Number(high)),
            ..ColumnStatistics::default()
        });
    }
    let distinct = distinct(input, function)?;
    Some(ColumnStatistics { distinct: Some(count(distinct)), ..ColumnStatistics::default() })
}

/// Returns the number of distinct values; `None` if it follows from the arguments, as for any other function.
pub(super) fn distinct(input: &Cardinality, function: &ScalarFunction) -> Option<f64> {
    match function.name() {
        "date_part" => match statistics(input, function) {
            Some(known) => known.distinct.map(float),
            None => {
                let part = text(function.args.first()?)?;
                cycle(&part).map(|(low, high)| high - low + 1.0)
            }
        },
        "date_trunc" => {
            let (part, column) = part_of(input, function)?;
            let (first, last) = days(column)?;
            let length = match part.as_str() {
                "year" => 365.25,
                "quarter" => 91.3,
                "month" => 30.4,
                "week" => 7.0,
                "day" => 1.0,
                "hour" => 1.0 / 24.0,
                _ => return column.distinct.map(float),
            };
            Some(((last - first) / length + 1.0).min(column.distinct.map_or(f64::MAX, float)))
        }
        "substr" | "substring" | "left" | "right" => {
            let whole = column(input, function.args.first()?).and_then(|c| c.distinct).map(float);
            let length = match function.args.get(if function.name().starts_with("sub") { 2 } else { 1 }) {
                Some(length) => number(length)?,
                None => return whole,
            };
            Some(CHARACTERS.powf(length.clamp(0.0, 20.0)).min(whole.unwrap_or(f64::MAX)))
        }
        _ => None,
    }
}

/// Returns the name of a date part, and the statistics of the column that has the date.
fn part_of<'a>(input: &'a Cardinality, function: &ScalarFunction) -> Option<(String, &'a ColumnStatistics)> {
    Some((text(function.args.first()?)?, column(input, function.args.get(1)?)?))
}

fn column<'a>(input: &'a Cardinality, expr: &Expr) -> Option<&'a ColumnStatistics> {
    match stripped(expr).0 {
        Expr::Column(column) => input.columns.get(column),
        _ => None,
    }
}

fn text(expr: &Expr) -> Option<String> {
    match stripped(expr).0 {
        Expr::Literal(literal, _) => literal.try_as_str().flatten().map(str::to_lowercase),
        _ => None,
    }
}

fn number(expr: &Expr) -> Option<f64> {
    match stripped(expr).0 {
        Expr::Literal(literal, _) => match portolan_connectors::statistic_value(literal)? {
            StatisticValue::Number(number) => Some(number),
            StatisticValue::Text(_) => None,
        },
        _ => None,
    }
}

/// Returns the first and the last day since 1970. A range that is too wide for days is in seconds.
fn days(column: &ColumnStatistics) -> Option<(f64, f64)> {
    let (min, max) = range(column)?;
    let unit = if min.abs().max(max.abs()) > DAYS_OR_SECONDS { SECONDS_A_DAY } else { 1.0 };
    Some((min / unit, max / unit))
}

/// Returns the smallest and the largest value of a date part that repeats.
fn cycle(part: &str) -> Option<(f64, f64)> {
    Some(match part {
        "quarter" => (1.0, 4.0),
        "month" => (1.0, 12.0),
        "week" => (1.0, 53.0),
        "day" => (1.0, 31.0),
        "doy" => (1.0, 366.0),
        "dow" | "isodow" => (0.0, 6.0),
        "hour" => (0.0, 23.0),
        "minute" | "second" => (0.0, 59.0),
        _ => return None,
    })
}

/// Returns the year of a day since 1970 in the Gregorian calendar, by its cycle of 146097 days in 400 years.
fn year(day: f64) -> f64 {
    let guess = (1970.0 + day / 365.2425).floor();
    // The mean length of a year is off by two days at most, so the year or a neighbour of it is right.
    [guess + 1.0, guess].into_iter().find(|y| first_day(*y) <= day).unwrap_or(guess - 1.0)
}

/// Returns the first day of a year, since 1970.
fn first_day(year: f64) -> f64 {
    let leaps = |y: f64| (y / 4.0).floor() - (y / 100.0).floor() + (y / 400.0).floor();
    (year - 1970.0) * 365.0 + leaps(year - 1.0) - leaps(1969.0)
}
