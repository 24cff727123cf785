//! Estimates the rows that each operator returns, and the distinct values of each of its columns. The estimates come
//! from the owners' statistics. They guide costs, and never change results.
//!
//! Each kind of estimate has its file: [`scan`] reads statistics, [`selectivity`] and [`interval`] estimate predicates,
//! [`keys`], [`join`] and [`aggregate`] estimate these operators, [`expressions`] computed columns, and [`widths`] the
//! bytes of a row. `docs/src/estimates.md` has the formulas with their sources.

mod aggregate;
mod constraints;
mod expressions;
mod functions;
mod interval;
mod join;
mod keys;
mod operators;
mod origin;
pub(crate) mod q_error;
mod scan;
mod selectivity;
mod strings;
mod widths;

use std::collections::HashMap;

use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::{Expr, LogicalPlan};
use portolan_catalog::ColumnStatistics;

pub(crate) use join::{join, join_selectivity, matched_fraction};
use origin::Origin;
pub(crate) use selectivity::has_key;

/// The estimated rows and column statistics of an operator.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cardinality {
    /// Rows; at least 0.
    pub(crate) rows: f64,
    /// True if the size of every port below is known. A port of unknown size counts as [`ASSUMED_ROWS`].
    pub(crate) known: bool,
    /// The statistics of each column, in this operator's rows. A column without statistics is not in the map.
    pub(crate) columns: HashMap<Column, ColumnStatistics>,
    /// For each column, the port that its values come from, and their number there.
    pub(crate) origins: HashMap<Column, Origin>,
}

/// The assumed rows of a port of unknown size.
pub(crate) const ASSUMED_ROWS: f64 = 100_000.0;

/// The assumed rows with the same value, if there are no statistics (System R's 1/10 for `column = value`, 1979).
const ASSUMED_ROWS_PER_VALUE: f64 = 10.0;

/// The assumed number of values in a list.
const LIST_LENGTH: f64 = 4.0;

/// A number that distinguishes days from seconds since 1970: no date has so many days, and so many seconds are less
/// than a fortnight.
const DAYS_OR_SECONDS: f64 = 1e6;

/// More rows than any plan returns. This limit keeps products of large inputs finite.
const MAX_ROWS: f64 = 1e30;

impl Cardinality {
    /// Returns rows without column statistics.
    fn rows_only(rows: f64, known: bool) -> Self {
        Self { rows: sane(rows), known, ..Self::default() }
    }

    /// Returns the estimated number of distinct values of `expr` in these rows, without NULL. It is at least 1, and at
    /// most the number of rows.
    pub(crate) fn distinct(&self, expr: &Expr) -> f64 {
        let most = self.rows.max(1.0);
        expressions::distinct(self, expr).unwrap_or(self.rows / ASSUMED_ROWS_PER_VALUE).clamp(1.0, most)
    }

    /// Returns the estimated number of distinct keys over `exprs` in these rows; at least 1.
    pub(crate) fn distinct_keys<'e>(&self, exprs: impl Iterator<Item = &'e Expr>) -> f64 {
        exprs.map(|expr| self.distinct(expr)).product::<f64>().min(self.rows).max(1.0)
    }

    /// Returns the bytes of one row with the columns of `schema`, as Arrow stores them.
    pub(crate) fn row_bytes(&self, schema: &DFSchema) -> f64 {
        widths::row_bytes(self, schema)
    }

    /// Returns the same columns after a share `kept` (0 to 1) of the rows is left, regardless of their values.
    fn thinned(mut self, kept: f64) -> Self {
        let before = self.rows;
        self.rows = sane(before * kept);
        for column in self.columns.values_mut() {
            thin(column, before, self.rows);
        }
        self
    }
}

/// Returns the estimate for a whole plan. Each operator is estimated once, without recursion over the plan.
pub(crate) fn estimate(plan: &LogicalPlan) -> Cardinality {
    estimate_each(plan, &mut |_, _, _| {})
}

/// Returns the estimate for a whole plan. `visit` gets each operator after its inputs, with the rows of each input and
/// the operator's own rows.
pub(crate) fn estimate_each(plan: &LogicalPlan, visit: &mut dyn FnMut(&LogicalPlan, &[f64], f64)) -> Cardinality {
    let mut pending = vec![(plan, false)];
    let mut done: Vec<Cardinality> = vec![];
    while let Some((plan, inputs_done)) = pending.pop() {
        let inputs = plan.inputs();
        if inputs_done || inputs.is_empty() {
            let own = done.split_off(done.len().saturating_sub(inputs.len()));
            let below: Vec<f64> = own.iter().map(|input| input.rows).collect();
            let estimated = operators::operator(plan, own);
            visit(plan, &below, estimated.rows);
            done.push(estimated);
        } else {
            pending.push((plan, true));
            pending.extend(inputs.into_iter().rev().map(|input| (input, false)));
        }
    }
    done.pop().unwrap_or_default()
}

/// Returns the estimate for one operator from the estimates of its inputs.
pub(crate) fn estimate_operator(plan: &LogicalPlan, inputs: &[Cardinality]) -> Cardinality {
    let sound = |input: &Cardinality| Cardinality { rows: sane(input.rows), ..input.clone() };
    operators::operator(plan, inputs.iter().map(sound).collect())
}

/// Returns a finite number of rows that is at least 0.
fn sane(rows: f64) -> f64 {
    if rows.is_nan() { 0.0 } else { rows.clamp(0.0, MAX_ROWS) }
}

/// Returns a share from 0 to 1.
fn share(share: f64) -> f64 {
    if share.is_nan() { 1.0 } else { share.clamp(0.0, 1.0) }
}

/// Returns a number of rows or values as an integer, as statistics have it.
fn count(rows: f64) -> u64 {
    sane(rows).min(1e18).round() as u64
}

fn float(count: u64) -> f64 {
    count as f64
}

/// Returns the share of all rows that are NULL.
fn null_share(column: &ColumnStatistics, rows: f64) -> f64 {
    column.nulls.map_or(0.0, |nulls| share(float(nulls) / rows.max(1.0)))
}

/// Returns how many of `distinct` values are left if `after` of `before` rows are left: Cardenas' formula (1975), `d *
/// (1 - (1 - after/before)^(before/d))`.
fn remaining(distinct: f64, before: f64, after: f64) -> f64 {
    if before <= 0.0 || after >= before || distinct <= 0.0 {
        return distinct.min(after.max(1.0));
    }
    let lost = (1.0 - after / before).powf(before / distinct);
    (distinct * (1.0 - lost)).clamp(1.0, after.max(1.0))
}

/// Adapts counts to fewer rows (or more, after a join) that are chosen independently of this column's values.
fn thin(column: &mut ColumnStatistics, before: f64, after: f64) {
    column.distinct = column.distinct.map(|d| count(remaining(float(d), before, after)));
    column.nulls = column.nulls.map(|n| count(float(n) * after / before.max(1.0)));
}

#[cfg(test)]
mod tests;
