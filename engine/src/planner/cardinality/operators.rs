//! The estimates of operators, from the estimates of their inputs.

use std::collections::{HashMap, HashSet};

use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::{Distinct, Expr, FetchType, Limit, LogicalPlan, SkipType, Union, Values};
use portolan_catalog::ColumnStatistics;

use super::expressions::{self, range, stripped};
use super::{
    ASSUMED_ROWS, Cardinality, LIST_LENGTH, aggregate, constraints, count, estimate, float, join, keys, remaining,
    sane, scan, selectivity,
};
use crate::plan::{Exchange, Running, Shared};
use portolan_connectors::statistic_value;

/// The assumed number of rounds of a recursive query.
const ROUNDS: f64 = 10.0;
/// The largest number of literal rows that are read for column statistics.
const LITERAL_ROWS_READ: usize = 1000;

/// Returns the estimate for an operator. It consumes its inputs' estimates, so that columns move up without copies.
pub(super) fn operator(plan: &LogicalPlan, inputs: Vec<Cardinality>) -> Cardinality {
    let mut inputs = inputs.into_iter();
    let mut input = || inputs.next().unwrap_or_default();
    match plan {
        LogicalPlan::TableScan(table) => scan::scan(table),
        LogicalPlan::Projection(p) => projected(&input(), &p.expr, &p.schema),
        LogicalPlan::Filter(f) => selectivity::filter(input(), [&f.predicate]),
        LogicalPlan::Aggregate(a) => aggregate::aggregate(input(), a),
        LogicalPlan::Distinct(Distinct::All(below)) => aggregate::distinct(input(), below.schema()),
        LogicalPlan::Distinct(Distinct::On(on)) => {
            let input = input();
            let rows = aggregate::groups(&input, &on.on_expr.iter().collect::<Vec<_>>());
            let kept = rows / input.rows.max(1.0);
            projected(&input.thinned(kept), &on.select_expr, &on.schema)
        }
        LogicalPlan::Sort(s) => limit(input(), 0, s.fetch),
        LogicalPlan::Limit(l) => limited(input(), l),
        LogicalPlan::Join(j) => {
            let (left, right) = (input(), input());
            join(left, right, &j.on, j.filter.as_ref(), j.join_type, j.null_equality)
        }
        LogicalPlan::Union(u) => union(inputs.collect(), u),
        LogicalPlan::SubqueryAlias(s) => renamed(input(), s.input.schema(), &s.schema),
        LogicalPlan::EmptyRelation(e) => Cardinality::rows_only(f64::from(u8::from(e.produce_one_row)), true),
        LogicalPlan::Values(v) => values(v),
        LogicalPlan::Unnest(u) => {
            let mut input = input();
            if !u.list_type_columns.is_empty() {
                input.rows = sane(input.rows * LIST_LENGTH);
            }
            for column in &u.exec_columns {
                input.columns.remove(column);
                input.origins.remove(column);
            }
            input
        }
        LogicalPlan::RecursiveQuery(_) => recursive(&input()),
        LogicalPlan::Extension(_) if let Some(shared) = Shared::of(plan) => {
            inputs.next().unwrap_or_else(|| estimate(&shared.input))
        }
        LogicalPlan::Extension(e) => match e.node.as_any().downcast_ref::<Exchange>() {
            Some(exchange) => {
                let expected = estimate(&exchange.fragment.plan);
                match &exchange.running {
                    Some(running) => counted(expected, running, &exchange.fragment.schema),
                    None => expected,
                }
            }
            // A barrier. An estimate must not depend on rows or on a policy that are hidden from the principal.
            None => Cardinality::rows_only(ASSUMED_ROWS, false),
        },
        // Operators that return the same rows, with more columns or the same: windows, partitions, subqueries, EXPLAIN
        // and statements.
        _ => inputs.next().unwrap_or_else(|| Cardinality::rows_only(1.0, true)),
    }
}

/// Returns the estimate after the actual rows became known: their number, and the statistics of columns of join keys.
pub(super) fn counted(expected: Cardinality, running: &Running, schema: &DFSchema) -> Cardinality {
    let Some(rows) = running.rows else { return expected };
    let kept = rows / expected.rows.max(1.0);
    let mut counted = Cardinality { rows: sane(rows), known: true, ..expected.clone().thinned(kept) };
    if kept > 1.0 {
        // More rows than expected also have more values.
        for (column, statistics) in &mut counted.columns {
            if let (Some(distinct), Some(origin)) = (&mut statistics.distinct, counted.origins.get(column)) {
                *distinct = (*distinct).max(count(remaining(origin.domain, origin.relation.rows, rows)));
            }
        }
    }
    for (position, column) in schema.columns().into_iter().enumerate() {
        let Some(known) = running.keys.get(&position) else { continue };
        if let Some(origin) = counted.origins.get_mut(&column) {
            // Values outside of the known range cannot match. So only those within it count.
            let within = range(known).map_or(origin.domain, |range| keys::values_within(&expected, &column, range));
            origin.domain = within.max(known.distinct.map_or(1.0, float)).max(1.0);
            (origin.assumed, origin.counted) = (false, true);
        }
        let width = counted.columns.get(&column).and_then(|c| c.width);
        counted.columns.insert(column, ColumnStatistics { width, ..known.clone() });
    }
    counted
}

/// Returns the estimate for at most `fetch` rows after the first `skip`.
pub(super) fn limit(input: Cardinality, skip: usize, fetch: Option<usize>) -> Cardinality {
    let left = (input.rows - float(skip as u64)).max(0.0);
    let rows = fetch.map_or(left, |fetch| left.min(float(fetch as u64)));
    if rows >= input.rows {
        return input;
    }
    let kept = rows / input.rows;
    // A limit holds even if the size of its input is unknown.
    let known = input.known || (fetch.is_some() && rows < left);
    Cardinality { known, ..input.thinned(kept) }
}

fn limited(input: Cardinality, l: &Limit) -> Cardinality {
    let fetch = match l.get_fetch_type() {
        Ok(FetchType::Literal(fetch)) => fetch,
        _ => None,
    };
    let skip = match l.get_skip_type() {
        Ok(SkipType::Literal(skip)) => skip,
        _ => 0,
    };
    limit(input, skip, fetch)
}

fn projected(input: &Cardinality, exprs: &[Expr], schema: &DFSchema) -> Cardinality {
    let mut projected = Cardinality::rows_only(input.rows, input.known);
    for (column, expr) in schema.columns().into_iter().zip(exprs) {
        if let Expr::Column(from) = stripped(expr).0
            && let Some(origin) = input.origins.get(from)
        {
            projected.origins.insert(column.clone(), origin.clone());
        }
        // A cast may change the scale of the range. The number of values and of NULLs stays the same.
        let statistics = match (stripped(expr), expressions::statistics(input, expr)) {
            ((_, None), Some(statistics)) => Some(statistics.into_owned()),
            ((_, Some(to)), Some(statistics)) => Some(cast(statistics.into_owned(), to)),
            (_, None) => expressions::distinct(input, expr)
                .map(|d| ColumnStatistics { distinct: Some(count(d)), ..ColumnStatistics::default() }),
        };
        if let Some(statistics) = statistics {
            projected.columns.insert(column, statistics);
        }
    }
    projected
}

/// Returns the statistics after a cast. Numbers keep their scale in a cast to numbers. Casts between other types keep
/// only the counts.
fn cast(statistics: ColumnStatistics, to: &arrow::datatypes::DataType) -> ColumnStatistics {
    use arrow::datatypes::DataType;
    let numbers = range(&statistics).is_some();
    let text = matches!(to, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    if (to.is_numeric() && numbers) || (text && !numbers) {
        return statistics;
    }
    ColumnStatistics { distinct: statistics.distinct, nulls: statistics.nulls, ..ColumnStatistics::default() }
}

/// Returns the same columns with other names.
fn renamed(mut input: Cardinality, from: &DFSchema, to: &DFSchema) -> Cardinality {
    let mut columns = HashMap::with_capacity(input.columns.len());
    let mut origins = HashMap::with_capacity(input.origins.len());
    for (old, new) in from.columns().into_iter().zip(to.columns()) {
        if let Some(statistics) = input.columns.remove(&old) {
            columns.insert(new.clone(), statistics);
        }
        if let Some(origin) = input.origins.remove(&old) {
            origins.insert(new, origin);
        }
    }
    Cardinality { columns, origins, ..input }
}

/// Estimates a union, column by column. If the ranges do not overlap, the numbers of values add up. Otherwise the
/// inputs are assumed to have the same values.
fn union(inputs: Vec<Cardinality>, u: &Union) -> Cardinality {
    let rows = inputs.iter().map(|i| i.rows).sum();
    let mut union = Cardinality::rows_only(rows, inputs.iter().all(|i| i.known));
    let inputs: Vec<(&Cardinality, Vec<Column>)> =
        inputs.iter().zip(&u.inputs).map(|(input, plan)| (input, plan.schema().columns())).collect();
    for (i, column) in u.schema.columns().into_iter().enumerate() {
        let of_inputs = inputs.iter().map(|(input, columns)| input.columns.get(columns.get(i)?));
        let Some(of_inputs) = of_inputs.collect::<Option<Vec<_>>>() else { continue };
        if let Some(statistics) = of_inputs.into_iter().cloned().reduce(united) {
            union.columns.insert(column, statistics);
        }
    }
    union
}

fn united(a: ColumnStatistics, b: ColumnStatistics) -> ColumnStatistics {
    let apart = match (range(&a), range(&b)) {
        (Some((a, b)), Some((c, d))) => b < c || d < a,
        _ => false,
    };
    let sum = |a: Option<u64>, b: Option<u64>| Some(a?.saturating_add(b?));
    let most = |a: Option<u64>, b: Option<u64>| Some(a?.max(b?));
    let end = |a: Option<_>, b: Option<_>, order| {
        let (a, b) = (a?, b?);
        Some(if constraints::compared(&b, &a)? == order { b } else { a })
    };
    ColumnStatistics {
        distinct: if apart { sum(a.distinct, b.distinct) } else { most(a.distinct, b.distinct) },
        nulls: sum(a.nulls, b.nulls),
        min: end(a.min, b.min, std::cmp::Ordering::Less),
        max: end(a.max, b.max, std::cmp::Ordering::Greater),
        width: a.width.zip(b.width).map(|(a, b)| a.max(b)),
        frequent: vec![],
    }
}

fn values(v: &Values) -> Cardinality {
    let mut rows = Cardinality::rows_only(float(v.values.len() as u64), true);
    if v.values.len() > LITERAL_ROWS_READ {
        return rows;
    }
    for (i, column) in v.schema.columns().into_iter().enumerate() {
        let literals = v.values.iter().map(|row| match stripped(row.get(i)?).0 {
            Expr::Literal(literal, _) => Some(literal),
            _ => None,
        });
        let Some(literals) = literals.collect::<Option<Vec<_>>>() else { continue };
        let known: Vec<_> = literals.iter().filter_map(|l| statistic_value(l)).collect();
        let by = |a: &_, b: &_| constraints::compared(a, b).unwrap_or(std::cmp::Ordering::Equal);
        let distinct: HashSet<_> = literals.iter().filter(|l| !l.is_null()).collect();
        let statistics = ColumnStatistics {
            distinct: Some(distinct.len() as u64),
            nulls: Some(literals.iter().filter(|l| l.is_null()).count() as u64),
            min: known.iter().cloned().min_by(by),
            max: known.iter().cloned().max_by(by),
            ..ColumnStatistics::default()
        };
        rows.columns.insert(column, statistics);
    }
    rows
}

/// Estimates a recursive query. The rows that it starts with say little about its result.
fn recursive(first: &Cardinality) -> Cardinality {
    Cardinality::rows_only(first.rows * ROUNDS, false)
}
