//! The number of groups of an aggregate, and the statistics of its columns.

use std::sync::Arc;

use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{Aggregate, Expr, GroupingSet};
use portolan_catalog::ColumnStatistics;

use super::expressions::{self, stripped};
use super::origin::{Origin, Relation, contains};
use super::{Cardinality, count, float, sane};

/// The largest number of groups by several columns of one port, as a share of its rows. One column alone may have more
/// values (PostgreSQL's `estimate_num_groups`). Columns of one port are seldom independent.
const COMBINED_SHARE: f64 = 0.1;

pub(super) fn aggregate(input: Cardinality, aggregate: &Aggregate) -> Cardinality {
    let rows = match aggregate.group_expr.as_slice() {
        [Expr::GroupingSet(sets)] => grouping_sets(&input, sets),
        exprs => groups(&input, &exprs.iter().collect::<Vec<_>>()),
    };
    let group_expr = grouping_set_to_exprlist(&aggregate.group_expr).unwrap_or_default();
    let single = aggregate.group_expr.len() == 1 && group_expr.len() == 1;
    let mut grouped = grouped(&input, &group_expr, &aggregate.schema, rows, single);
    let columns = aggregate.schema.columns();
    let first = columns.len().saturating_sub(aggregate.aggr_expr.len());
    for (column, expr) in columns.into_iter().skip(first).zip(&aggregate.aggr_expr) {
        if let Some(statistics) = aggregated(&input, expr, rows) {
            grouped.columns.insert(column, statistics);
        }
    }
    grouped
}

/// Estimates one row for each combination of values of all columns.
pub(super) fn distinct(input: Cardinality, schema: &DFSchema) -> Cardinality {
    let columns: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
    let exprs: Vec<&Expr> = columns.iter().collect();
    let rows = groups(&input, &exprs);
    grouped(&input, &exprs, schema, rows, exprs.len() == 1)
}

/// Returns the number of distinct combinations of the expressions' values in the rows of `input`.
pub(super) fn groups(input: &Cardinality, exprs: &[&Expr]) -> f64 {
    if exprs.is_empty() {
        return 1.0;
    }
    let mut covered: Vec<Arc<Relation>> = vec![];
    let mut order: Vec<(&Expr, Option<&Origin>)> = exprs.iter().map(|e| (*e, origin_of_values(input, e))).collect();
    // An expression determines nothing: several values of its column may have one result.
    let determined = |expr: &Expr| origin(input, expr).map_or(&[][..], |origin| &origin.determines);
    // Columns that determine the most come first, so that the others add nothing.
    order.sort_by_key(|(expr, _)| std::cmp::Reverse(determined(expr).len()));
    let mut by_relation: Vec<(Option<&Arc<Relation>>, Vec<f64>)> = vec![];
    for (expr, origin) in order {
        if origin.is_some_and(|o| contains(&covered, &o.relation)) {
            continue;
        }
        let values = input.distinct(expr) + f64::from(u8::from(has_nulls(input, expr)));
        let relation = origin.map(|o| &o.relation);
        covered.extend(determined(expr).iter().cloned());
        let same = |(r, _): &&mut (Option<&Arc<Relation>>, Vec<f64>)| match (*r, relation) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        match by_relation.iter_mut().find(same) {
            Some((_, all)) => all.push(values),
            None => by_relation.push((relation, vec![values])),
        }
    }
    let combined = |(_, values): &(Option<&Arc<Relation>>, Vec<f64>)| {
        let most = values.iter().copied().fold(1.0, f64::max);
        let product: f64 = values.iter().product();
        if values.len() > 1 { product.min((input.rows * COMBINED_SHARE).max(most)) } else { product }
    };
    sane(by_relation.iter().map(combined).product::<f64>().min(input.rows).max(input.rows.min(1.0)))
}

fn grouping_sets(input: &Cardinality, sets: &GroupingSet) -> f64 {
    /// The largest number of columns of a cube whose grouping sets are estimated one by one.
    const MAX_CUBED: usize = 10;
    match sets {
        GroupingSet::GroupingSets(sets) => sets.iter().map(|s| groups(input, &s.iter().collect::<Vec<_>>())).sum(),
        GroupingSet::Rollup(exprs) => {
            let all: Vec<&Expr> = exprs.iter().collect();
            (0..=all.len()).filter_map(|n| all.get(..n)).map(|e| groups(input, e)).sum()
        }
        GroupingSet::Cube(exprs) if exprs.len() > MAX_CUBED => {
            sane(groups(input, &exprs.iter().collect::<Vec<_>>()) * 2.0)
        }
        GroupingSet::Cube(exprs) => {
            let chosen = |set: usize| {
                let of_set = exprs.iter().enumerate().filter(move |(i, _)| set & (1 << i) != 0);
                of_set.map(|(_, e)| e).collect::<Vec<_>>()
            };
            (0..1usize << exprs.len()).map(|set| groups(input, &chosen(set))).sum()
        }
    }
}

/// Returns the group columns, whose values occur less often than before.
fn grouped(input: &Cardinality, exprs: &[&Expr], schema: &DFSchema, rows: f64, single: bool) -> Cardinality {
    let mut grouped = Cardinality::rows_only(rows, input.known);
    let relation = Arc::new(Relation { rows: grouped.rows });
    for (column, expr) in schema.columns().into_iter().zip(exprs) {
        if let Some(statistics) = expressions::statistics(input, expr) {
            let mut statistics = statistics.into_owned();
            statistics.nulls = statistics.nulls.map(|n| n.min(1));
            statistics.distinct = statistics.distinct.map(|d| d.min(count(grouped.rows)));
            statistics.frequent.clear();
            grouped.columns.insert(column.clone(), statistics);
        }
        if let Some(origin) = origin(input, expr) {
            let mut origin = origin.clone();
            if single {
                origin.determines.push(relation.clone());
            }
            grouped.origins.insert(column, origin);
        }
    }
    // The groups determine the results of the aggregates.
    for column in schema.columns().into_iter().skip(exprs.len()) {
        let origin = Origin {
            domain: grouped.rows.max(1.0),
            assumed: true,
            range: None,
            counted: false,
            relation: relation.clone(),
            determines: vec![],
        };
        grouped.origins.insert(column, origin);
    }
    grouped
}

/// Returns the statistics of `min`, `max` and `avg`, which stay within the range of their argument.
fn aggregated(input: &Cardinality, expr: &Expr, groups: f64) -> Option<ColumnStatistics> {
    let Expr::AggregateFunction(function) = stripped(expr).0 else { return None };
    if !matches!(function.func.name(), "min" | "max" | "avg") {
        return None;
    }
    let of = expressions::statistics(input, function.params.args.first()?)?;
    let distinct = of.distinct.map(|d| float(d).min(groups)).filter(|_| function.func.name() != "avg");
    Some(ColumnStatistics {
        distinct: distinct.map(count),
        min: of.min.clone(),
        max: of.max.clone(),
        width: of.width,
        ..ColumnStatistics::default()
    })
}

fn has_nulls(input: &Cardinality, expr: &Expr) -> bool {
    expressions::statistics(input, expr).is_some_and(|s| s.nulls.is_some_and(|n| n > 0))
}

fn origin<'a>(input: &'a Cardinality, expr: &Expr) -> Option<&'a Origin> {
    match stripped(expr).0 {
        Expr::Column(column) => input.origins.get::<Column>(column),
        _ => None,
    }
}

/// Returns the origin of the values from which an expression is computed, if they are those of one column.
fn origin_of_values<'a>(input: &'a Cardinality, expr: &Expr) -> Option<&'a Origin> {
    origin(input, expr).or_else(|| {
        let mut columns = expr.column_refs().into_iter();
        let column = columns.next()?;
        columns.next().is_none().then(|| input.origins.get::<Column>(column)).flatten()
    })
}
