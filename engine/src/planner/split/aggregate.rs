//! An aggregate over a union: a partial aggregate below each branch, and one above that combines them.
//!
//! Split are `count`, `sum`, `min`, `max`, the boolean and bitwise ones, and `avg` of floats (a sum and a count).
//! `avg` of decimals, DISTINCT, ORDER BY within, grouping sets and everything else are left whole: their parts cannot
//! be combined to the same value.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, AggregateUDF, Cast, Expr, ExprSchemable, LogicalPlan};
use datafusion::logical_expr::when;
use datafusion::prelude::lit;

use super::branches;

/// How one aggregate is put together from its parts.
enum Combine {
    /// The same function over the partial values.
    Same(Arc<AggregateUDF>),
    /// A sum of counts.
    Count,
    /// A sum of sums, by a sum of counts.
    Average,
}

/// Splits an aggregate over a union; `None` where it is not over one, or cannot be split.
pub(super) fn over_union(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    if aggregate.group_expr.iter().any(|e| matches!(e, Expr::GroupingSet(_)) || e.is_volatile()) {
        return Ok(None);
    }
    let mut parts = vec![];
    for expr in &aggregate.aggr_expr {
        match split(expr, aggregate.input.schema())? {
            Some(part) => parts.push(part),
            None => return Ok(None),
        }
    }
    let Some(inputs) = branches::of(&aggregate.input)? else { return Ok(None) };
    let partial: Vec<Expr> = parts.iter().flat_map(|(partial, _)| partial.clone()).collect();
    let reduced = inputs.into_iter().map(|input| reduce(aggregate, &partial, input)).collect::<Result<Vec<_>>>()?;
    let union = branches::union(reduced)?;
    let groups = aggregate.group_expr.len();
    let column = |i: usize| Expr::Column(Column::from(union.schema().qualified_field(i)));
    let mut next = groups;
    let mut finals = vec![];
    let mut outputs: Vec<Expr> = vec![];
    for (partial, combine) in &parts {
        let values: Vec<Expr> = (next..next + partial.len()).map(column).collect();
        next += partial.len();
        finals.extend(values.iter().map(|v| call(combine.function(), v.clone())));
    }
    let group_expr: Vec<Expr> = (0..groups).map(column).collect();
    let combined = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(union.clone()), group_expr, finals)?);
    let result = |i: usize| Expr::Column(Column::from(combined.schema().qualified_field(i)));
    outputs.extend((0..groups).map(result));
    let mut next = groups;
    for (partial, combine) in &parts {
        outputs.push(match combine {
            Combine::Same(_) => result(next),
            // A `CASE`, since the optimizer that would make one of `coalesce` has run.
            Combine::Count => when(result(next).is_null(), lit(0_i64)).otherwise(result(next))?,
            Combine::Average => result(next) / Expr::Cast(Cast::new(Box::new(result(next + 1)), DataType::Float64)),
        });
        next += partial.len();
    }
    branches::named_as(combined, outputs, &aggregate.schema).map(Some)
}

impl Combine {
    fn function(&self) -> Arc<AggregateUDF> {
        match self {
            Combine::Same(function) => function.clone(),
            Combine::Count | Combine::Average => sum_udaf(),
        }
    }
}

/// The partial aggregates that an aggregate needs, and how they are combined.
fn split(expr: &Expr, schema: &DFSchema) -> Result<Option<(Vec<Expr>, Combine)>> {
    let Expr::AggregateFunction(function) = expr.clone().unalias() else { return Ok(None) };
    let params = &function.params;
    if params.distinct || !params.order_by.is_empty() || params.null_treatment.is_some() || expr.is_volatile() {
        return Ok(None);
    }
    let whole = Expr::AggregateFunction(function.clone());
    Ok(match function.func.name() {
        "count" => Some((vec![whole], Combine::Count)),
        "sum" | "min" | "max" | "bool_and" | "bool_or" | "bit_and" | "bit_or" => {
            Some((vec![whole], Combine::Same(function.func.clone())))
        }
        "avg" if params.args.len() == 1 && params.args[0].get_type(schema)? == DataType::Float64 => {
            let part = |func| {
                let AggregateFunction { params, .. } = function.clone();
                Expr::AggregateFunction(AggregateFunction { func, params })
            };
            Some((vec![part(sum_udaf()), part(count_udaf())], Combine::Average))
        }
        _ => None,
    })
}

/// The partial aggregate below one branch.
fn reduce(aggregate: &Aggregate, partial: &[Expr], branch: LogicalPlan) -> Result<LogicalPlan> {
    let union = aggregate.input.schema();
    // Equal expressions would give equal names, which one aggregate may not have: each gets an alias of its own.
    let alias = |exprs: Vec<Expr>, prefix: &str| -> Vec<Expr> {
        exprs.into_iter().enumerate().map(|(i, e)| e.unalias().alias(format!("{prefix}{i}"))).collect()
    };
    let groups = alias(branches::on_branch(&aggregate.group_expr, union, branch.schema())?, "g");
    let values = alias(branches::on_branch(partial, union, branch.schema())?, "a");
    let reduced = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(branch), groups, values)?);
    let columns = (0..reduced.schema().fields().len())
        .map(|i| Expr::Column(Column::from(reduced.schema().qualified_field(i))))
        .collect();
    branches::numbered(reduced, columns, "p")
}

fn call(func: Arc<AggregateUDF>, value: Expr) -> Expr {
    Expr::AggregateFunction(AggregateFunction::new_udf(func, vec![value], false, None, vec![], None))
}
