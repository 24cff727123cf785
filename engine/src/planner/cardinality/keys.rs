//! The keys of a join: the share of pairs of rows with equal keys.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::logical_expr::Expr;
use portolan_catalog::{ColumnStatistics, StatisticValue};

use super::constraints::same;
use super::expressions::{self, range, stripped};
use super::origin::{Relation, contains};
use super::{Cardinality, null_share, sane, share};
use crate::plan::MAX_LISTED_KEYS;

/// The number of frequent values of each side that are compared.
const FREQUENT_COMPARED: usize = MAX_LISTED_KEYS;

/// The rounding error in the sum of the shares of frequent values.
const ROUNDING: f64 = 1e-6;

/// Returns the share of pairs of rows for which two expressions, each of its own input, are equal.
pub(super) fn pair(left: &Cardinality, of_left: &Expr, right: &Cardinality, of_right: &Expr) -> f64 {
    Key::of(left, of_left).equal(&Key::of(right, of_right))
}

/// One side of `a = b`.
pub(super) struct Key<'a> {
    /// The number of values before rows are filtered.
    pub(super) domain: f64,
    /// True if that number is a guess.
    assumed: bool,
    /// The number of values in the rows.
    pub(super) distinct: Option<f64>,
    pub(super) nulls: f64,
    rows: f64,
    /// The smallest and the largest value.
    range: Option<(f64, f64)>,
    /// The smallest and the largest value before rows are filtered.
    whole_range: Option<(f64, f64)>,
    /// True if each value has one row before rows are filtered, and if the rows were not counted. Then a filter of other
    /// columns chooses among the values.
    is_chosen: bool,
    statistics: Option<Cow<'a, ColumnStatistics>>,
}

/// The values that both sides of `a = b` can have.
pub(super) struct Overlap {
    /// The number of values within both ranges.
    pub(super) values: f64,
    /// The share of each side's rows, without NULL, whose values are within both ranges.
    shares: (f64, f64),
}

impl<'a> Key<'a> {
    pub(super) fn of(input: &'a Cardinality, expr: &Expr) -> Self {
        let (below, cast) = stripped(expr);
        let statistics = expressions::statistics(input, expr);
        let distinct = expressions::distinct(input, expr);
        let origin = match below {
            Expr::Column(column) => input.origins.get(column),
            _ => None,
        };
        let (domain, assumed) = match (origin, distinct) {
            (Some(origin), _) => (origin.domain, origin.assumed),
            (None, Some(distinct)) => (distinct, false),
            (None, None) => (input.rows, true),
        };
        let nulls = statistics.as_deref().map_or(0.0, |s| null_share(s, input.rows));
        // Below a cast to a date or a time, the values may be on another scale than those of the other side.
        let statistics = statistics.filter(|_| !cast.is_some_and(DataType::is_temporal));
        let range = statistics.as_deref().and_then(range);
        Self {
            domain: domain.max(distinct.unwrap_or(1.0)).max(1.0),
            assumed,
            distinct,
            nulls,
            rows: input.rows,
            range,
            whole_range: origin.and_then(|o| o.range).filter(|_| range.is_some()),
            is_chosen: origin.is_some_and(|o| !o.counted && contains(&o.determines, &o.relation)),
            statistics,
        }
    }

    /// Returns the number of values of both sides together. The side with more values determines it, because the other
    /// side's values are among them. A guess does not count against a known number. If both are guesses, the smaller
    /// input is assumed to have the key.
    pub(super) fn common(&self, other: &Self) -> f64 {
        self.more_values(self.domain, other, other.domain)
    }

    /// Returns the number of values of both sides together, if the sides have `own` and `others` values.
    fn more_values(&self, own: f64, other: &Self, others: f64) -> f64 {
        match (self.assumed, other.assumed) {
            (false, false) => own.max(others),
            (false, true) => own,
            (true, false) => others,
            (true, true) => own.min(others),
        }
    }

    /// Returns the values within both ranges; `None` if there are none. An unknown range has all values.
    ///
    /// A side with `D` values before filters has `D * o` of them within the other range, if the share `o` of its range is
    /// there. The side with more of them determines their number: System R's containment (Selinger and others, SIGMOD
    /// 1979), for the overlap alone.
    pub(super) fn overlap(&self, other: &Self) -> Option<Overlap> {
        let (Some(range), Some(others_range)) = (self.range, other.range) else {
            return Some(Overlap { values: self.common(other).max(1.0), shares: (1.0, 1.0) });
        };
        let (own, others) = (self.share_within(others_range), other.share_within(range));
        if own <= 0.0 || others <= 0.0 {
            return None;
        }
        let values = self.more_values(self.domain * own, other, other.domain * others).max(1.0);
        Some(Overlap { values, shares: (self.matchable(other, own), other.matchable(self, others)) })
    }

    /// Returns the share of the rows whose values are within the other range. `within` is the share of the values.
    ///
    /// A table of days may have 73,000 days where the rows of the other side have 1,800. A filter of another column, such
    /// as the year, usually chooses days that the other side has. So the `d` values that a filter left are contained in
    /// those that the other side had before filters, as far as they fit there: the share of the rows is `min(1, D * o / d)`.
    /// Without a filter, `d = D`, and the share is `o`. A filter of the other side's range is independent of the choice.
    ///
    /// Swami and Schiefer (*On the Estimation of Join Result Sizes*, EDBT 1994) use distinct counts after filters, `1 /
    /// max(d, d')`. Here these counts matter only if the ranges differ: for a foreign key whose values cover the whole
    /// range, a filter of the key's table is independent of the rows that refer to it.
    fn matchable(&self, other: &Self, within: f64) -> f64 {
        let Some(whole) = other.whole_range.filter(|_| self.is_chosen) else { return within };
        let existing = self.share_within(whole).max(within);
        let distinct = self.distinct.unwrap_or(self.domain).clamp(1.0, self.domain);
        share((self.domain * existing / distinct).min(1.0) * within / existing)
    }

    /// Returns the share of this range's values that are within bounds. `D` evenly spaced values are
    /// `(max - min) / (D - 1)` apart, so an interval has one value more than fit between its ends.
    fn share_within(&self, (low, high): (f64, f64)) -> f64 {
        let Some((min, max)) = self.range else { return 1.0 };
        let (from, to) = (min.max(low), max.min(high));
        if from > to {
            return 0.0;
        }
        if max <= min {
            return 1.0;
        }
        let steps = self.domain - 1.0;
        share(((to - from) / (max - min) * steps + 1.0) / (steps + 1.0))
    }

    /// Returns the share of pairs of rows whose values are equal. The frequent values of both sides are matched with each
    /// other (PostgreSQL's `eqjoinsel_inner`). The other rows are uniformly distributed over the other values.
    pub(super) fn equal(&self, other: &Self) -> f64 {
        let one_pair = 1.0 / (self.rows.max(1.0) * other.rows.max(1.0));
        let Some(overlap) = self.overlap(other) else { return share(one_pair) };
        let (mut matched, mut values) = (0.0, overlap.values);
        let (mut rest, mut others_rest) = (1.0 - self.nulls, 1.0 - other.nulls);
        let (is_all, is_all_of_other) = (self.lists_all(), other.lists_all());
        for (value, share) in self.frequent() {
            match other.frequent().iter().find(|(v, _)| same(v, value)) {
                Some((_, others_share)) => {
                    matched += share * others_share;
                    (rest, others_rest, values) = (rest - share, others_rest - others_share, values - 1.0);
                }
                None if is_all_of_other => rest -= share,
                None => {}
            }
        }
        if is_all {
            let listed = |value: &StatisticValue| self.frequent().iter().any(|(v, _)| same(v, value));
            let absent = other.frequent().iter().filter(|(value, _)| !listed(value));
            others_rest -= absent.map(|(_, share)| share).sum::<f64>();
        }
        let (rest, others_rest) = (rest.max(0.0) * overlap.shares.0, others_rest.max(0.0) * overlap.shares.1);
        share(matched + rest * others_rest / values.max(1.0))
    }

    /// Returns the share of the rows whose value is one of the values of `build`.
    ///
    /// Such a value is within both ranges. If `build` has `d` of the `V` values there, the share of the rows within the
    /// range is `d / V` (containment). If all values of `build` are listed, as counted keys are, the frequent values of
    /// the rows are looked up in the list.
    pub(super) fn matched(&self, build: &Self) -> f64 {
        let Some(Overlap { values, shares }) = self.overlap(build) else { return share(1.0 / self.rows.max(1.0)) };
        let present = build.distinct.unwrap_or(build.rows).min(build.domain).min(build.rows);
        let (mut left, mut values, mut matched) = ((present * shares.1).clamp(1.0, values), values, 0.0);
        let mut rest = 1.0 - self.nulls;
        if build.lists_all() {
            for (value, share) in self.frequent() {
                rest -= share;
                if build.frequent().iter().any(|(v, _)| same(v, value)) {
                    matched += share;
                    (left, values) = (left - 1.0, values - 1.0);
                }
            }
        }
        share(matched + rest.max(0.0) * shares.0 * left.max(0.0) / values.max(1.0))
    }

    /// Returns the frequent values, each with its share of the rows.
    fn frequent(&self) -> &[(StatisticValue, f64)] {
        let frequent = self.statistics.as_deref().map(|s| s.frequent.as_slice()).unwrap_or_default();
        frequent.get(..FREQUENT_COMPARED).unwrap_or(frequent)
    }

    /// True if the frequent values are all values. Then no other value has a match.
    fn lists_all(&self) -> bool {
        let listed: f64 = self.frequent().iter().map(|(_, share)| share).sum();
        // The sum alone proves nothing: a sample may lack the rare values.
        let has_more = self.distinct.is_some_and(|distinct| distinct > self.frequent().len() as f64);
        listed > 0.0 && listed + self.nulls >= 1.0 - ROUNDING && !has_more
    }
}

/// Returns the number of values that a column has within `range`, before rows are filtered.
pub(super) fn values_within(input: &Cardinality, column: &Column, range: (f64, f64)) -> f64 {
    let key = Key::of(input, &Expr::Column(column.clone()));
    key.domain * key.share_within(range)
}

/// Returns the share of pairs of rows with equal keys. The shares of the keys are multiplied. But a combination of
/// columns of one port has at most as many values as the port has rows, and the side with fewer combinations determines
/// their number.
pub(super) fn key_selectivity(left: &Cardinality, right: &Cardinality, on: &[(Expr, Expr)]) -> f64 {
    let each = on.iter().map(|(l, r)| pair(left, l, right, r));
    let product: f64 = each.clone().product();
    if on.len() < 2 {
        return share(product);
    }
    let least = each.fold(1.0, f64::min);
    share(product.max(1.0 / Sides::of(left, right, on).fewest()).min(least))
}

/// The number of combinations of keys that each side can have.
pub(super) struct Sides {
    left: f64,
    right: f64,
}

impl Sides {
    pub(super) fn of(left: &Cardinality, right: &Cardinality, on: &[(Expr, Expr)]) -> Self {
        let combinations = |input: &Cardinality, of: &dyn Fn(&(Expr, Expr)) -> Expr| {
            let mut relations: Vec<(Option<Arc<Relation>>, f64)> = vec![];
            for expr in on.iter().map(of) {
                let relation = match stripped(&expr).0 {
                    Expr::Column(column) => input.origins.get(column).map(|o| o.relation.clone()),
                    _ => None,
                };
                let domain = Key::of(input, &expr).domain;
                let same = |(r, _): &&mut (Option<Arc<Relation>>, f64)| match (r, &relation) {
                    (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                    _ => false,
                };
                match relations.iter_mut().find(same) {
                    Some((_, product)) => *product *= domain,
                    None => relations.push((relation, domain)),
                }
            }
            let capped = |(r, n): &(Option<Arc<Relation>>, f64)| r.as_ref().map_or(*n, |r| n.min(r.rows.max(1.0)));
            sane(relations.iter().map(capped).product())
        };
        Self { left: combinations(left, &|p| p.0.clone()), right: combinations(right, &|p| p.1.clone()) }
    }

    pub(super) fn fewest(&self) -> f64 {
        self.left.min(self.right).max(1.0)
    }
}
