//! Aggregates in parts: the partial aggregates that an owner computes, and how they are combined.
//!
//! The pass splits `count`, `sum` (of BIGINT with wider parts), `min`, `max`, the boolean and bitwise functions, and
//! `avg` of floats (a sum and a count). It does not split `avg` of decimals, aggregates with DISTINCT or ORDER BY,
//! grouping sets and everything else: their parts cannot be combined to the same value.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, AggregateUDF, Cast, Expr, ExprSchemable, LogicalPlan, when};
use datafusion::prelude::{cast, lit};

use super::branches;
use crate::planner::infallible::{always_fits, never_fails, widened};
use crate::upstream::sums::{in_parts, sum_udaf};

/// The prefix of the columns of a partial aggregate, before their number. No column of a port has such a name.
const PART: &str = "__part_";
/// The prefixes of the columns inside a split aggregate. No column of a port should have such a name.
const GROUP: &str = "__group_";
const VALUE: &str = "__value_";

/// The aggregates of one operator, each in parts.
pub(super) struct Parts(Vec<(Vec<Expr>, Combine)>);

/// The way to combine the parts of one aggregate.
enum Combine {
    /// The function that combines the partial values.
    By(Arc<AggregateUDF>),
    /// The function that combines the partial values as integers of 38 digits. A part of rows that the query has fits, if the
    /// values of these rows fit BIGINT.
    Narrow(Arc<AggregateUDF>),
    /// A sum of counts.
    Count,
    /// A sum of sums, divided by a sum of counts.
    Average,
}

impl Parts {
    /// Splits aggregates over `schema`; `None` if one of them cannot be split.
    pub(super) fn of(aggregates: &[Expr], schema: &DFSchema) -> Result<Option<Self>> {
        let mut parts = vec![];
        for expr in aggregates {
            match split(expr, schema)? {
                Some(part) => parts.push(part),
                None => return Ok(None),
            }
        }
        Ok(Some(Self(parts)))
    }

    /// Returns the parts if the partial aggregates never fail for any rows over `schema`; `None` if they may.
    ///
    /// A sum whose argument may overflow as BIGINT adds up decimals instead:
    /// `sum(CAST(a AS DECIMAL) * CAST(b AS DECIMAL))`.
    pub(super) fn without_failure(self, schema: &DFSchema) -> Option<Self> {
        let safe = |(partial, combine): (Vec<Expr>, Combine)| {
            if partial.iter().all(|part| never_fails(part, schema) && always_fits(part, schema)) {
                return Some((partial, combine));
            }
            let ([Expr::AggregateFunction(part)], Combine::By(function)) = (partial.as_slice(), combine) else {
                return None;
            };
            let part = Expr::AggregateFunction(wide_sum(part, schema)?);
            let combine = match part.get_type(schema).ok()? {
                DataType::Decimal256(..) => Combine::Narrow(function),
                _ => Combine::By(function),
            };
            Some((vec![part], combine))
        };
        self.0.into_iter().map(safe).collect::<Option<_>>().map(Self)
    }

    /// Returns the partial aggregates, in order.
    pub(super) fn partial(&self) -> Vec<Expr> {
        self.0.iter().flat_map(|(partial, _)| partial.clone()).collect()
    }

    /// Combines partial values: returns an aggregate over `input`, grouped by `groups`, with the columns of `whole`.
    /// `values` are the partial values in the order of [`Parts::partial`].
    pub(super) fn combine(
        &self,
        input: LogicalPlan,
        groups: Vec<Expr>,
        values: &[Expr],
        whole: &DFSchema,
    ) -> Result<LogicalPlan> {
        let grouped = groups.len();
        let mut next = values.iter();
        let mut finals = vec![];
        for (partial, combine) in &self.0 {
            finals
                .extend(next.by_ref().take(partial.len()).map(|value| call(combine.function(), combine.value(value))));
        }
        // Two aggregates may be equal, but an operator must not have two columns of the same name.
        let named = finals.into_iter().enumerate().map(|(i, e)| e.alias(format!("{VALUE}{i}"))).collect();
        let groups = groups.into_iter().enumerate().map(|(i, e)| e.alias(format!("{GROUP}{i}"))).collect();
        let combined = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(input), groups, named)?);
        let result = |i: usize| Expr::Column(Column::from(combined.schema().qualified_field(i)));
        let mut outputs: Vec<Expr> = (0..grouped).map(result).collect();
        let mut next = grouped;
        for (partial, combine) in &self.0 {
            outputs.push(match combine {
                Combine::By(_) | Combine::Narrow(_) => result(next),
                // This is a `CASE`, because the optimizer rule that rewrites `coalesce` to `CASE` has already run.
                Combine::Count => when(result(next).is_null(), lit(0_i64)).otherwise(result(next))?,
                Combine::Average => result(next) / Expr::Cast(Cast::new(Box::new(result(next + 1)), DataType::Float64)),
            });
            next += partial.len();
        }
        branches::named_as(combined, outputs, whole)
    }
}

impl Combine {
    fn function(&self) -> Arc<AggregateUDF> {
        match self {
            Combine::By(function) | Combine::Narrow(function) => function.clone(),
            Combine::Count | Combine::Average => sum_udaf(),
        }
    }

    /// Returns a partial value as the function reads it.
    fn value(&self, value: &Expr) -> Expr {
        match self {
            Combine::Narrow(_) => cast(value.clone(), DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0)),
            _ => value.clone(),
        }
    }
}

/// Returns a part of a sum of BIGINT as a sum of decimals that never fails; `None` if it is another aggregate, or if another
/// part of it may fail.
fn wide_sum(part: &AggregateFunction, schema: &DFSchema) -> Option<AggregateFunction> {
    let (of_part, _) = in_parts();
    let mut params = part.params.clone();
    let is_safe = part.func == of_part && params.filter.as_ref().is_none_or(|filter| never_fails(filter, schema));
    is_safe.then_some(())?;
    params.args = params.args.iter().map(|argument| widened(argument, schema)).collect::<Option<_>>()?;
    Some(AggregateFunction { func: sum_udaf(), params })
}

/// Returns the partial aggregates of an aggregate, and the way to combine them; `None` if it cannot be split.
fn split(expr: &Expr, schema: &DFSchema) -> Result<Option<(Vec<Expr>, Combine)>> {
    let Expr::AggregateFunction(function) = expr.clone().unalias() else { return Ok(None) };
    let params = &function.params;
    if params.distinct || !params.order_by.is_empty() || params.null_treatment.is_some() || expr.is_volatile() {
        return Ok(None);
    }
    let whole = Expr::AggregateFunction(function.clone());
    Ok(match function.func.name() {
        // A count of several arguments counts the rows in which none is NULL. Its parts do the same.
        "count" => Some((vec![whole], Combine::Count)),
        // A partial sum that does not fit BIGINT may fit after the parts of other owners are added.
        "sum" if params.args.len() == 1 && params.args[0].get_type(schema)? == DataType::Int64 => {
            let (of_part, of_parts) = in_parts();
            let part = Expr::AggregateFunction(AggregateFunction { func: of_part, params: params.clone() });
            Some((vec![part], Combine::By(of_parts)))
        }
        // Two aggregates that replace a sum next to a DISTINCT aggregate use this function.
        "sum_wide" => Some((vec![whole], Combine::By(sum_udaf()))),
        "sum" | "min" | "max" | "bool_and" | "bool_or" | "bit_and" | "bit_or" => {
            Some((vec![whole], Combine::By(function.func.clone())))
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

/// Returns a partial aggregate over `input`. The prefix of its columns is [`PART`]: groups first, then values.
pub(super) fn reduce(input: LogicalPlan, groups: Vec<Expr>, partial: Vec<Expr>) -> Result<LogicalPlan> {
    // Equal expressions would have equal names, which an aggregate must not have. So each gets its own alias.
    let alias = |exprs: Vec<Expr>, prefix: &str| -> Vec<Expr> {
        exprs.into_iter().enumerate().map(|(i, e)| e.unalias().alias(format!("{prefix}{i}"))).collect()
    };
    let (groups, values) = (alias(groups, GROUP), alias(partial, VALUE));
    let reduced = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(input), groups, values)?);
    let columns = (0..reduced.schema().fields().len())
        .map(|i| Expr::Column(Column::from(reduced.schema().qualified_field(i))))
        .collect();
    branches::numbered(reduced, columns, PART)
}

fn call(func: Arc<AggregateUDF>, value: Expr) -> Expr {
    Expr::AggregateFunction(AggregateFunction::new_udf(func, vec![value], false, None, vec![], None))
}
