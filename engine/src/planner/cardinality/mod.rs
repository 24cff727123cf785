//! How many rows each operator is likely to give, and how many different values each of its columns holds. Estimates
//! from what the owners know of their data; they guide cost and never results.
//!
//! One file for each kind of question: [`scan`] reads what is known, [`selectivity`] and [`interval`] judge
//! predicates, [`keys`], [`join`] and [`aggregate`] their operators, [`expressions`] what is known of a computed column,
//! [`widths`] how many bytes a row takes. `docs/src/estimates.md` tells the formulas with their sources.

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

/// What is expected of the rows of an operator.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cardinality {
    /// Rows; at least 0.
    pub(crate) rows: f64,
    /// Whether it rests on the known size of every port below. Where it does not, a port was taken to have
    /// [`ASSUMED_ROWS`].
    pub(crate) known: bool,
    /// Per column; counts are of this operator's rows. A column of which nothing is known is not in it.
    pub(crate) columns: HashMap<Column, ColumnStatistics>,
    /// Per column, the port that its values come from and how many it has there.
    pub(crate) origins: HashMap<Column, Origin>,
}

/// How many rows a port has of which that is not known.
pub(crate) const ASSUMED_ROWS: f64 = 100_000.0;

/// In how many rows a value occurs of which nothing is known (System R's 1/10 for `column = value`, 1979).
const ASSUMED_ROWS_PER_VALUE: f64 = 10.0;

/// More rows than any plan gives: keeps products of large inputs finite.
const MOST_ROWS: f64 = 1e30;

impl Cardinality {
    /// Rows of which no column is known.
    fn rows_only(rows: f64, known: bool) -> Self {
        Self { rows: sane(rows), known, ..Self::default() }
    }

    /// How many different values `expr` is likely to have in these rows, NULL aside; at least 1, at most the rows.
    pub(crate) fn distinct(&self, expr: &Expr) -> f64 {
        let most = self.rows.max(1.0);
        expressions::distinct(self, expr).unwrap_or(self.rows / ASSUMED_ROWS_PER_VALUE).clamp(1.0, most)
    }

    /// How many different keys over `exprs` these rows are likely to have; at least 1.
    pub(crate) fn distinct_keys<'e>(&self, exprs: impl Iterator<Item = &'e Expr>) -> f64 {
        exprs.map(|expr| self.distinct(expr)).product::<f64>().min(self.rows).max(1.0)
    }

    /// Bytes of one row with the columns of `schema`, in Arrow's form.
    pub(crate) fn row_bytes(&self, schema: &DFSchema) -> f64 {
        widths::row_bytes(self, schema)
    }

    /// The same columns where `kept` (0 to 1) of the rows are left, regardless of their values.
    fn thinned(mut self, kept: f64) -> Self {
        let before = self.rows;
        self.rows = sane(before * kept);
        for column in self.columns.values_mut() {
            thin(column, before, self.rows);
        }
        self
    }
}

/// The estimate for a whole plan. Each operator is estimated once, without recursion over the plan.
pub(crate) fn estimate(plan: &LogicalPlan) -> Cardinality {
    let mut pending = vec![(plan, false)];
    let mut done: Vec<Cardinality> = vec![];
    while let Some((plan, inputs_done)) = pending.pop() {
        let inputs = plan.inputs();
        if inputs_done || inputs.is_empty() {
            let own = done.split_off(done.len().saturating_sub(inputs.len()));
            done.push(operators::operator(plan, own));
        } else {
            pending.push((plan, true));
            pending.extend(inputs.into_iter().rev().map(|input| (input, false)));
        }
    }
    done.pop().unwrap_or_default()
}

/// The estimate for one operator over inputs whose estimates are known.
pub(crate) fn estimate_operator(plan: &LogicalPlan, inputs: &[Cardinality]) -> Cardinality {
    let sound = |input: &Cardinality| Cardinality { rows: sane(input.rows), ..input.clone() };
    operators::operator(plan, inputs.iter().map(sound).collect())
}

/// A number of rows: finite, at least 0.
fn sane(rows: f64) -> f64 {
    if rows.is_nan() { 0.0 } else { rows.clamp(0.0, MOST_ROWS) }
}

/// A share: from 0 to 1.
fn share(share: f64) -> f64 {
    if share.is_nan() { 1.0 } else { share.clamp(0.0, 1.0) }
}

/// A number of rows or values in the form that statistics have it.
fn count(rows: f64) -> u64 {
    sane(rows).min(1e18).round() as u64
}

fn float(count: u64) -> f64 {
    count as f64
}

/// The share of all rows that hold NULL.
fn null_share(column: &ColumnStatistics, rows: f64) -> f64 {
    column.nulls.map_or(0.0, |nulls| share(float(nulls) / rows.max(1.0)))
}

/// How many of `distinct` values are still there when `after` of `before` rows are left: Cardenas' formula (1975),
/// `d * (1 - (1 - after/before)^(before/d))`.
fn remaining(distinct: f64, before: f64, after: f64) -> f64 {
    if before <= 0.0 || after >= before || distinct <= 0.0 {
        return distinct.min(after.max(1.0));
    }
    let lost = (1.0 - after / before).powf(before / distinct);
    (distinct * (1.0 - lost)).clamp(1.0, after.max(1.0))
}

/// Adapts counts to fewer (or, after a join, more) rows whose values have nothing to do with this column's.
fn thin(column: &mut ColumnStatistics, before: f64, after: f64) {
    column.distinct = column.distinct.map(|d| count(remaining(float(d), before, after)));
    column.nulls = column.nulls.map(|n| count(float(n) * after / before.max(1.0)));
}

#[cfg(test)]
mod tests;
