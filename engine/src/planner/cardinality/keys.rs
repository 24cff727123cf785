//! The keys of a join: the share of pairs of rows with equal keys.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::logical_expr::Expr;
use portolan_catalog::ColumnStatistics;

use super::constraints::same;
use super::expressions::{self, range, stripped};
use super::origin::Relation;
use super::{Cardinality, null_share, sane, share};

/// The number of frequent values of each side that are compared.
const FREQUENT_COMPARED: usize = 20;

/// Returns the share of pairs of rows for which two expressions, each of its own input, are equal.
pub(super) fn pair(left: &Cardinality, of_left: &Expr, right: &Cardinality, of_right: &Expr) -> f64 {
    Key::of(left, of_left).equal(&Key::of(right, of_right))
}

/// One side of `a = b`.
#[derive(Clone)]
pub(super) struct Key<'a> {
    /// The number of values before rows are filtered.
    pub(super) domain: f64,
    /// True if that number is a guess.
    pub(super) assumed: bool,
    /// The number of values in the rows.
    pub(super) distinct: Option<f64>,
    pub(super) nulls: f64,
    pub(super) rows: f64,
    pub(super) statistics: Option<Cow<'a, ColumnStatistics>>,
}

impl<'a> Key<'a> {
    pub(super) fn of(input: &'a Cardinality, expr: &Expr) -> Self {
        let statistics = expressions::statistics(input, expr);
        let distinct = expressions::distinct(input, expr);
        let origin = match stripped(expr).0 {
            Expr::Column(column) => input.origins.get(column),
            _ => None,
        };
        let (domain, assumed) = match (origin, distinct) {
            (Some(origin), _) => (origin.domain, origin.assumed),
            (None, Some(distinct)) => (distinct, false),
            (None, None) => (input.rows, true),
        };
        let nulls = statistics.as_deref().map_or(0.0, |s| null_share(s, input.rows));
        Self {
            domain: domain.max(distinct.unwrap_or(1.0)).max(1.0),
            assumed,
            distinct,
            nulls,
            rows: input.rows,
            statistics,
        }
    }

    /// Returns the number of values of both sides together. The side with more values determines it, because the other
    /// side's values are among them. A guess does not count against a known number. If both are guesses, the smaller
    /// input is assumed to have the key.
    pub(super) fn common(&self, other: &Self) -> f64 {
        match (self.assumed, other.assumed) {
            (false, false) => self.domain.max(other.domain),
            (false, true) => self.domain,
            (true, false) => other.domain,
            (true, true) => self.domain.min(other.domain),
        }
    }

    pub(super) fn equal(&self, other: &Self) -> f64 {
        let one_pair = 1.0 / (self.rows.max(1.0) * other.rows.max(1.0));
        if self.share_within(other) == 0.0 {
            return share(one_pair);
        }
        let (mut matched, mut values) = (0.0, self.common(other));
        let (mut rest, mut others_rest) = (1.0 - self.nulls, 1.0 - other.nulls);
        if let (Some(a), Some(b)) = (&self.statistics, &other.statistics) {
            for (value, share) in a.frequent.iter().take(FREQUENT_COMPARED) {
                let listed = b.frequent.iter().take(FREQUENT_COMPARED).find(|(v, _)| same(v, value));
                if let Some((_, others_share)) = listed {
                    matched += share * others_share;
                    (rest, others_rest, values) = (rest - share, others_rest - others_share, values - 1.0);
                }
            }
        }
        share(matched + rest.max(0.0) * others_rest.max(0.0) / values.max(1.0))
    }

    /// Returns the share of this range of numbers that is within the other range; 1 if a range is unknown.
    pub(super) fn share_within(&self, other: &Self) -> f64 {
        let ranges = (self.statistics.as_deref().and_then(range), other.statistics.as_deref().and_then(range));
        let (Some((min, max)), Some((low, high))) = ranges else { return 1.0 };
        if max < low || min > high {
            return 0.0;
        }
        if max <= min { 1.0 } else { share((max.min(high) - min.max(low)) / (max - min)).max(f64::MIN_POSITIVE) }
    }
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
