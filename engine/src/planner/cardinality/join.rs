//! The rows of a join, and the statistics of its columns.

use datafusion::common::{Column, JoinType, NullEquality};
use datafusion::logical_expr::Expr;
use portolan_catalog::StatisticValue;

use super::expressions::{range, stripped};
use super::keys::{Key, Sides, key_selectivity};
use super::origin::equate;
use super::{Cardinality, count, float, remaining, sane, selectivity, share};

/// The smallest share of rows that an anti join keeps: it is only an assumption that all values have a match.
const MIN_ANTI: f64 = 0.01;

/// Returns the share of all pairs of rows (0 to 1) that an inner join by these keys and this filter keeps.
pub(crate) fn join_selectivity(
    left: &Cardinality,
    right: &Cardinality,
    on: &[(Expr, Expr)],
    filter: Option<&Expr>,
) -> f64 {
    let keys = key_selectivity(left, right, on);
    share(keys * filter.map_or(1.0, |f| selectivity::selectivity(&pairs(left, right, f), f)))
}

/// Returns the share of the rows of `probe` (0 to 1) whose keys are found in `build`. `keys` are pairs of an expression
/// of the probe side and one of the build side.
///
/// The estimate assumes containment: the side with fewer values has only values of the other side. The ranges and the
/// frequent values count if there is one key.
pub(crate) fn matched_fraction(probe: &Cardinality, build: &Cardinality, keys: &[(Expr, Expr)]) -> f64 {
    if build.rows <= 0.0 || keys.is_empty() {
        return share(build.rows);
    }
    if let [(of_probe, of_build)] = keys {
        return Key::of(probe, of_probe).matched(&Key::of(build, of_build));
    }
    let (mut found, mut values, mut nulls) = (1.0, 1.0, 1.0);
    for (of_probe, of_build) in keys {
        let (p, b) = (Key::of(probe, of_probe), Key::of(build, of_build));
        if p.overlap(&b).is_none() {
            return share(1.0 / probe.rows.max(1.0));
        }
        let common = b.common(&p);
        found *= b.distinct.unwrap_or(build.rows).min(b.domain).clamp(1.0, common.max(1.0));
        values *= common;
        nulls *= 1.0 - p.nulls;
    }
    let values = values.min(Sides::of(probe, build, keys).fewest());
    share(found.min(build.rows) / values.max(1.0)) * share(nulls)
}

/// Estimates a join from the estimates of its inputs. The result has the statistics of both sides' columns that the
/// join returns.
pub(crate) fn join(
    left: Cardinality,
    right: Cardinality,
    on: &[(Expr, Expr)],
    filter: Option<&Expr>,
    join_type: JoinType,
    null_equality: NullEquality,
) -> Cardinality {
    let known = left.known && right.known;
    let mut joined = match join_type {
        JoinType::Inner => {
            let joined = inner(left, right, on, null_equality);
            match filter {
                Some(filter) => selectivity::filter(joined, [filter]),
                None => joined,
            }
        }
        JoinType::Left | JoinType::Right | JoinType::Full => outer(left, right, on, filter, join_type),
        JoinType::LeftSemi => semi(left, &right, on, filter),
        JoinType::RightSemi => semi(right, &left, &swapped(on), filter),
        JoinType::LeftAnti => anti(left, &right, on, filter),
        JoinType::RightAnti => anti(right, &left, &swapped(on), filter),
        JoinType::LeftMark => left,
        JoinType::RightMark => right,
    };
    joined.known = known;
    joined
}

/// Returns the columns of both sides that an expression reads, with their statistics in the pairs of rows.
fn pairs(left: &Cardinality, right: &Cardinality, filter: &Expr) -> Cardinality {
    let mut pairs = Cardinality::rows_only(left.rows * right.rows, left.known && right.known);
    for column in filter.column_refs() {
        for (side, other) in [(left, right), (right, left)] {
            if let Some(origin) = side.origins.get(column) {
                pairs.origins.insert(column.clone(), origin.clone());
            }
            if let Some(statistics) = side.columns.get(column) {
                let mut statistics = statistics.clone();
                statistics.nulls = statistics.nulls.map(|n| count(float(n) * other.rows));
                pairs.columns.insert(column.clone(), statistics);
            }
        }
    }
    pairs
}

fn inner(left: Cardinality, right: Cardinality, on: &[(Expr, Expr)], nulls: NullEquality) -> Cardinality {
    let selectivity = key_selectivity(&left, &right, on);
    let pairs = sane(left.rows * right.rows);
    let rows = (pairs * selectivity).max(pairs.min(1.0));
    let kept = (matched_fraction(&left, &right, on), matched_fraction(&right, &left, &swapped(on)));
    let mut joined = both(left, right, rows, kept);
    for (l, r) in columns(on) {
        meet(&mut joined, l, r, nulls);
        equate(&mut joined.origins, l, r);
        equate(&mut joined.origins, r, l);
    }
    joined
}

fn outer(
    left: Cardinality,
    right: Cardinality,
    on: &[(Expr, Expr)],
    filter: Option<&Expr>,
    join_type: JoinType,
) -> Cardinality {
    let matched = left.rows * right.rows * join_selectivity(&left, &right, on, filter);
    let of_left = matched_with_filter(&left, &right, on, filter);
    let of_right = matched_with_filter(&right, &left, &swapped(on), filter);
    let alone = |preserved, rows: f64, found: f64| if preserved { rows * (1.0 - found) } else { 0.0 };
    let lefts = alone(join_type != JoinType::Right, left.rows, of_left);
    let rights = alone(join_type != JoinType::Left, right.rows, of_right);
    let mut rows = matched + lefts + rights;
    if join_type != JoinType::Right {
        rows = rows.max(left.rows);
    }
    if join_type != JoinType::Left {
        rows = rows.max(right.rows);
    }
    let kept = (
        if join_type == JoinType::Right { of_left } else { 1.0 },
        if join_type == JoinType::Left { of_right } else { 1.0 },
    );
    let of_left: Vec<Column> = left.columns.keys().cloned().collect();
    let of_right: Vec<Column> = right.columns.keys().cloned().collect();
    let mut joined = both(left, right, rows, kept);
    for (side, absent) in [(of_left, rights), (of_right, lefts)] {
        add_nulls(&mut joined, &side, absent);
    }
    for (l, r) in columns(on) {
        equate(&mut joined.origins, l, r);
        equate(&mut joined.origins, r, l);
    }
    joined
}

/// Adds a NULL to the columns of one side for each row of the other side that has no match.
fn add_nulls(joined: &mut Cardinality, columns: &[Column], absent: f64) {
    let present = share(1.0 - absent / joined.rows.max(1.0));
    for column in columns {
        if let Some(statistics) = joined.columns.get_mut(column) {
            let nulls = statistics.nulls.map_or(0.0, float);
            statistics.nulls = Some(count((nulls * present + absent).min(joined.rows)));
            for (_, listed) in &mut statistics.frequent {
                *listed *= present;
            }
        }
    }
}

fn semi(probe: Cardinality, build: &Cardinality, on: &[(Expr, Expr)], filter: Option<&Expr>) -> Cardinality {
    let kept = matched_with_filter(&probe, build, on, filter).max(1.0 / probe.rows.max(1.0));
    let mut kept = probe.thinned(kept.min(1.0));
    for (of_probe, of_build) in columns(on) {
        let most = build.columns.get(of_build).and_then(|c| c.distinct);
        if let Some(statistics) = kept.columns.get_mut(of_probe) {
            statistics.distinct = statistics.distinct.map(|d| most.map_or(d, |m| d.min(m)));
            statistics.nulls = Some(0);
        }
    }
    kept
}

fn anti(probe: Cardinality, build: &Cardinality, on: &[(Expr, Expr)], filter: Option<&Expr>) -> Cardinality {
    let kept = (1.0 - matched_with_filter(&probe, build, on, filter)).max(MIN_ANTI);
    probe.thinned(kept)
}

/// Returns the share of the rows of `probe` that have a match for which the filter holds. A row has as many matches as
/// `build` has rows with the same key.
fn matched_with_filter(probe: &Cardinality, build: &Cardinality, keys: &[(Expr, Expr)], filter: Option<&Expr>) -> f64 {
    let matched = matched_fraction(probe, build, keys);
    let Some(filter) = filter else { return matched };
    let partners = build.rows * key_selectivity(probe, build, keys) * probe.rows / (probe.rows * matched).max(1.0);
    let holds = selectivity::selectivity(&pairs(probe, build, filter), filter);
    share(matched * (1.0 - (1.0 - holds).powf(partners.max(1.0))))
}

/// Returns the columns of both sides in the rows of a join. `kept` is the share of its rows that each side keeps.
fn both(mut left: Cardinality, mut right: Cardinality, rows: f64, kept: (f64, f64)) -> Cardinality {
    let rows = sane(rows);
    for (side, kept) in [(&mut left, kept.0), (&mut right, kept.1)] {
        for statistics in side.columns.values_mut() {
            let left_over = |d: u64| count(remaining(float(d), side.rows, side.rows * kept).min(rows.max(1.0)));
            statistics.distinct = statistics.distinct.map(left_over);
            statistics.nulls = statistics.nulls.map(|n| count(float(n) * rows / side.rows.max(1.0)));
        }
    }
    // The smaller map is moved into the larger one.
    if left.columns.len() < right.columns.len() {
        std::mem::swap(&mut left, &mut right);
    }
    left.columns.extend(right.columns);
    left.origins.extend(right.origins);
    left.rows = rows;
    left
}

/// Gives the two key columns of an inner join the same statistics: the number of values of the side with fewer, within
/// both ranges.
fn meet(joined: &mut Cardinality, l: &Column, r: &Column, nulls: NullEquality) {
    if let (Some(a), Some(b)) = (joined.origins.get(l), joined.origins.get(r)) {
        let whole = match (a.range, b.range) {
            (Some((a, b)), Some((c, d))) => Some((a.max(c), b.min(d))).filter(|(low, high)| low <= high),
            (a, b) => a.or(b),
        };
        let (assumed, counted) = (a.assumed && b.assumed, a.counted || b.counted);
        // The values before filters that both sides can have: other rows are not in the join.
        let domain = {
            let (a, b) = (Key::of(joined, &Expr::Column(l.clone())), Key::of(joined, &Expr::Column(r.clone())));
            a.overlap(&b).map_or_else(|| a.common(&b), |overlap| overlap.values)
        };
        for column in [l, r] {
            if let Some(origin) = joined.origins.get_mut(column) {
                (origin.domain, origin.assumed, origin.range, origin.counted) = (domain, assumed, whole, counted);
            }
        }
    }
    let (Some(a), Some(b)) = (joined.columns.get(l), joined.columns.get(r)) else { return };
    let distinct = match (a.distinct, b.distinct) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    let narrower = match (range(a), range(b)) {
        (Some((a, b)), Some((c, d))) => Some((a.max(c), b.min(d))).filter(|(low, high)| low <= high),
        _ => None,
    };
    for column in [l, r] {
        let Some(statistics) = joined.columns.get_mut(column) else { continue };
        statistics.distinct = distinct;
        if nulls == NullEquality::NullEqualsNothing {
            statistics.nulls = Some(0);
        }
        if let Some((low, high)) = narrower {
            statistics.min = Some(StatisticValue::Number(low));
            statistics.max = Some(StatisticValue::Number(high));
        }
    }
}

fn columns(on: &[(Expr, Expr)]) -> impl Iterator<Item = (&Column, &Column)> {
    on.iter().filter_map(|(l, r)| match (stripped(l).0, stripped(r).0) {
        (Expr::Column(l), Expr::Column(r)) => Some((l, r)),
        _ => None,
    })
}

fn swapped(on: &[(Expr, Expr)]) -> Vec<(Expr, Expr)> {
    on.iter().map(|(l, r)| (r.clone(), l.clone())).collect()
}
