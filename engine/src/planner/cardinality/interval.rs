//! The share of rows whose value meets a constraint, and the statistics of the column in those rows.

use portolan_catalog::{ColumnStatistics, StatisticValue};

use super::constraints::{Bound, Constraint, compared, same};
use super::strings::position;
use super::{count, float, null_share, share};

/// The share of `column = value` if the number of values is unknown (System R, 1979).
pub(super) const EQUAL: f64 = 1.0 / 10.0;
/// The share of `column > value` if the range is unknown (System R, 1979).
pub(super) const OPEN_RANGE: f64 = 1.0 / 3.0;
/// The share of `column BETWEEN a AND b` if the range is unknown (System R, 1979).
const CLOSED_RANGE: f64 = 1.0 / 4.0;
/// The largest share of a list of values if the number of values is unknown (System R, 1979).
const LIST: f64 = 1.0 / 2.0;
/// The share of `column IS NULL` if the number of NULLs is unknown.
const NULL: f64 = 0.05;

/// The statistics of an expression, and the number of rows.
#[derive(Clone, Copy)]
pub(super) struct ExpressionStatistics<'a> {
    pub(super) column: Option<&'a ColumnStatistics>,
    /// The number of distinct values, if it is known.
    pub(super) distinct: Option<f64>,
    pub(super) rows: f64,
}

impl ExpressionStatistics<'_> {
    /// Returns the share of rows that meet a constraint.
    pub(super) fn share(&self, constraint: &Constraint) -> f64 {
        let one_row = 1.0 / self.rows.max(1.0);
        let bounded = constraint.lower.is_some() || constraint.upper.is_some();
        let values = bounded || constraint.among.is_some() || !constraint.none_of.is_empty();
        if constraint.never || (constraint.null == Some(true) && values) {
            return 0.0;
        }
        let nulls = self.column.map_or(0.0, |c| null_share(c, self.rows));
        if constraint.null == Some(true) {
            return if self.column.is_some_and(|c| c.nulls.is_some()) { nulls.max(one_row).min(1.0) } else { NULL };
        }
        let kept = match &constraint.among {
            Some(values) => {
                let admitted = values.iter().filter(|v| v.as_ref().is_none_or(|v| constraint.admits(v)));
                let sum: f64 = admitted.map(|v| self.equal(v.as_ref())).sum();
                if self.distinct.is_none() && values.len() > 1 { sum.min(LIST) } else { sum.min(1.0 - nulls) }
            }
            None => {
                let within = if bounded { self.range(constraint) } else { 1.0 - nulls };
                let inside = |v: &&Option<StatisticValue>| v.as_ref().is_none_or(|v| constraint.within(v));
                let excluded: f64 = constraint.none_of.iter().filter(inside).map(|v| self.equal(v.as_ref())).sum();
                (within - excluded).max(0.0)
            }
        };
        share(kept.max(one_row))
    }

    /// Returns the share of `column = value`, as PostgreSQL's `eqsel` does. A frequent value has its own share. The
    /// other values have equal parts of the rest.
    pub(super) fn equal(&self, value: Option<&StatisticValue>) -> f64 {
        let one_row = 1.0 / self.rows.max(1.0);
        let Some(column) = self.column else { return self.distinct.map_or(EQUAL, |d| 1.0 / d.max(1.0)) };
        if let Some(value) = value {
            if let Some((_, listed)) = column.frequent.iter().find(|(v, _)| same(v, value)) {
                return share(*listed);
            }
            if outside(column, value) {
                return one_row;
            }
        }
        let Some(distinct) = self.distinct else { return EQUAL };
        let nulls = null_share(column, self.rows);
        if value.is_none() {
            return share((1.0 - nulls) / distinct.max(1.0));
        }
        let listed: f64 = column.frequent.iter().map(|(_, share)| share).sum();
        let least = column.frequent.iter().map(|(_, share)| *share).fold(1.0, f64::min);
        let others = distinct - float(column.frequent.len() as u64);
        let each = if others >= 1.0 { share(1.0 - nulls - listed) / others } else { one_row };
        each.min(least).max(one_row)
    }

    /// Returns the share of rows within bounds. The frequent values within the bounds are counted, and the other values
    /// are assumed to be uniformly distributed.
    fn range(&self, constraint: &Constraint) -> f64 {
        let both = constraint.lower.is_some() && constraint.upper.is_some();
        let guess = if both { CLOSED_RANGE } else { OPEN_RANGE };
        let Some(column) = self.column else { return guess };
        let Some(spread) = self.spread(column, constraint) else { return guess };
        let within = |v: &StatisticValue| constraint.within(v);
        let inside: f64 = column.frequent.iter().filter(|(v, _)| within(v)).map(|(_, share)| share).sum();
        let listed: f64 = column.frequent.iter().map(|(_, share)| share).sum();
        share(inside + share(1.0 - null_share(column, self.rows) - listed) * spread)
    }

    /// Returns the share of the range, from the smallest to the largest value, that is within the bounds.
    ///
    /// `d` evenly spaced values are `(max - min) / (d - 1)` apart. So `[a, b]` has one value more than fit between its
    /// ends, `[a, b)` as many, and `(a, b)` one fewer.
    fn spread(&self, column: &ColumnStatistics, constraint: &Constraint) -> Option<f64> {
        let (min, max) = (column.min.as_ref()?, column.max.as_ref()?);
        let scaled = |bound: &Option<Bound>, none: f64| match bound {
            None => Some((none, true)),
            Some(Bound { value, inclusive }) => Some((place(value.as_ref()?, min, max)?, *inclusive)),
        };
        let ((lower, from), (upper, to)) = (scaled(&constraint.lower, 0.0)?, scaled(&constraint.upper, 1.0)?);
        if lower > 1.0 || upper < 0.0 || lower > upper {
            return Some(0.0);
        }
        let (lower, from) = if lower < 0.0 { (0.0, true) } else { (lower, from) };
        let (upper, to) = if upper > 1.0 { (1.0, true) } else { (upper, to) };
        let steps = match self.distinct {
            Some(distinct) if matches!(min, StatisticValue::Number(_)) => distinct.max(1.0) - 1.0,
            _ => return Some(share(upper - lower)),
        };
        let ends = f64::from(u8::from(from)) + f64::from(u8::from(to)) - 1.0;
        Some(share(((upper - lower) * steps + ends) / (steps + 1.0)))
    }

    /// Returns the column's statistics in the rows that meet the constraint. `kept` is the share of these rows.
    pub(super) fn refined(&self, constraint: &Constraint, kept: f64) -> ColumnStatistics {
        let mut column = self.column.cloned().unwrap_or_default();
        if constraint.null == Some(true) {
            let nulls = Some(count(self.rows * kept));
            return ColumnStatistics { distinct: Some(0), nulls, width: column.width, ..ColumnStatistics::default() };
        }
        let kept_values = 1.0 - null_share(&column, self.rows);
        column.nulls = Some(0);
        if let Some(values) = &constraint.among {
            let admitted: Vec<_> = values.iter().filter(|v| v.as_ref().is_none_or(|v| constraint.admits(v))).collect();
            let listed = float(admitted.len() as u64).max(1.0);
            column.distinct = Some(count(self.distinct.map_or(listed, |d| d.min(listed))));
            if let Some(known) = admitted.into_iter().map(Option::as_ref).collect::<Option<Vec<_>>>() {
                column.frequent.retain(|(v, _)| known.iter().any(|k| same(k, v)));
                let by = |a: &&StatisticValue, b: &&StatisticValue| compared(a, b).unwrap_or(std::cmp::Ordering::Equal);
                column.min = known.iter().copied().min_by(by).cloned().or(column.min);
                column.max = known.iter().copied().max_by(by).cloned().or(column.max);
            }
        } else {
            column.frequent.retain(|(v, _)| constraint.admits(v));
            let narrowed = if constraint.lower.is_some() || constraint.upper.is_some() {
                self.spread(&column, constraint).unwrap_or_else(|| share(kept / kept_values.max(kept)))
            } else {
                1.0
            };
            let excluded = float(constraint.none_of.len() as u64);
            column.distinct = self.distinct.map(|d| count((d * narrowed - excluded).max(1.0)));
            narrow(&mut column, constraint);
        }
        for (_, listed) in &mut column.frequent {
            *listed = share(*listed / kept.max(f64::MIN_POSITIVE));
        }
        column
    }
}

/// Moves the smallest and the largest value to the bounds.
fn narrow(column: &mut ColumnStatistics, constraint: &Constraint) {
    let tighter = |end: &Option<StatisticValue>, bound: &Option<Bound>, order| {
        let value = bound.as_ref()?.value.as_ref()?;
        end.as_ref().is_none_or(|e| compared(value, e) == Some(order)).then(|| value.clone())
    };
    if let Some(min) = tighter(&column.min, &constraint.lower, std::cmp::Ordering::Greater) {
        column.min = Some(min);
    }
    if let Some(max) = tighter(&column.max, &constraint.upper, std::cmp::Ordering::Less) {
        column.max = Some(max);
    }
}

/// Returns the place of a value between the smallest (0) and the largest (1). It is below 0 or above 1 if the value is
/// outside the range.
fn place(value: &StatisticValue, min: &StatisticValue, max: &StatisticValue) -> Option<f64> {
    match (value, min, max) {
        (StatisticValue::Number(v), StatisticValue::Number(min), StatisticValue::Number(max)) => {
            let place = (v - min) / (max - min);
            if max > min {
                place.is_finite().then_some(place)
            } else {
                Some(if v < min { -1.0 } else { f64::from(u8::from(v > min)) * 2.0 })
            }
        }
        (StatisticValue::Text(v), StatisticValue::Text(min), StatisticValue::Text(max)) => Some(if v < min {
            -1.0
        } else if v > max {
            2.0
        } else {
            position(v, min, max)
        }),
        _ => None,
    }
}

/// True if a value is outside the column's range.
pub(super) fn outside(column: &ColumnStatistics, value: &StatisticValue) -> bool {
    let order = |end: &Option<StatisticValue>, order| {
        end.as_ref().is_some_and(|e| !same(value, e) && compared(value, e) == Some(order))
    };
    order(&column.min, std::cmp::Ordering::Less) || order(&column.max, std::cmp::Ordering::Greater)
}
