//! A workaround, part of normalising: a sum next to a `DISTINCT` aggregate keeps its type, and only its total has to
//! fit.
//!
//! `SingleDistinctToGroupBy` of DataFusion 55.2 makes two aggregates of `count(DISTINCT x), sum(y)`: the lower one
//! groups by `x` and computes `sum(y)`, and the upper one adds up these sums. The sum of a decimal becomes wider twice,
//! and a comparison with it fails. A sum of BIGINT fails if one of its parts does not fit. Here parts of BIGINT are
//! wide, and a sum of decimals is cast to the type that the plan's columns have. Aggregates with any other sum that may
//! fail stay as they are.
//!
//! Before: `Aggregate: count(DISTINCT x), sum(y)`. After:
//! `Aggregate: count(alias1), sum_narrow(alias2) (Aggregate: groupBy=[x AS alias1], sum_wide(y) AS alias2)`.

use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, AggregateUDF, Expr, ExprSchemable, LogicalPlan, Projection, cast};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::guarded_rules::{Action, Guard};
use super::sums::in_parts;

pub(super) const GUARD: Guard =
    Guard { rules: &["single_distinct_aggregation_to_group_by"], action: Action::Replace(in_two_steps) };

fn in_two_steps(
    rule: &dyn OptimizerRule,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Aggregate(aggregate) = &plan else { return rule.rewrite(plan, config) };
    let sums = sums(aggregate);
    if sums.is_empty() {
        return rule.rewrite(plan, config);
    }
    if !sums.into_iter().all(may_have_parts) {
        return Ok(Transformed::no(plan));
    }
    let before = plan.clone();
    let rewritten = rule.rewrite(plan, config)?;
    if !rewritten.transformed {
        return Ok(rewritten);
    }
    Ok(exact(rewritten.data, before.schema())?.map_or_else(|| Transformed::no(before), Transformed::yes))
}

/// Returns the types of the sums, except those of `DISTINCT` values.
fn sums(aggregate: &Aggregate) -> Vec<&DataType> {
    let fields = aggregate.schema.fields();
    // The results come after the columns of the groups.
    let results = fields.iter().skip(fields.len().saturating_sub(aggregate.aggr_expr.len()));
    let sums = aggregate.aggr_expr.iter().zip(results).filter(|(expr, _)| is_sum(expr));
    sums.map(|(_, field)| field.data_type()).collect()
}

fn is_sum(expr: &Expr) -> bool {
    matches!(expr, Expr::AggregateFunction(call) if call.func.name() == "sum" && !call.params.distinct)
}

/// True if the parts of a sum fit a type: no part of unsigned integers is greater than the total.
fn may_have_parts(sum: &DataType) -> bool {
    match sum {
        DataType::Decimal128(precision, _) => *precision < DECIMAL128_MAX_PRECISION,
        DataType::Int64 | DataType::UInt64 => true,
        other => other.is_floating(),
    }
}

/// Returns the two aggregates with wide parts, below a projection to the promised types; `None` for a plan of another
/// form.
fn exact(plan: LogicalPlan, promised: &DFSchema) -> Result<Option<LogicalPlan>> {
    let LogicalPlan::Projection(Projection { expr, input, .. }) = plan else { return Ok(None) };
    let LogicalPlan::Aggregate(upper) = Arc::unwrap_or_clone(input) else { return Ok(None) };
    let LogicalPlan::Aggregate(lower) = Arc::unwrap_or_clone(upper.input) else { return Ok(None) };
    let (of_part, of_parts) = in_parts();
    let mut wide = vec![];
    let below = lower.input.schema();
    let parts = lower.aggr_expr.into_iter().map(|expr| match expr {
        Expr::Alias(mut alias) if is_sum(&alias.expr) && adds_up_integers(&alias.expr, below) => {
            wide.push(alias.name.clone());
            *alias.expr = called(of_part.clone(), std::mem::take(&mut *alias.expr));
            Expr::Alias(alias)
        }
        other => other,
    });
    let parts = parts.collect();
    let lower = Arc::new(LogicalPlan::Aggregate(Aggregate::try_new(lower.input.clone(), lower.group_expr, parts)?));
    let totals = upper.aggr_expr.into_iter().map(|expr| match is_sum(&expr) && reads(&expr, &wide) {
        true => {
            let name = expr.schema_name().to_string();
            called(of_parts.clone(), expr).alias(name)
        }
        false => expr,
    });
    let totals = totals.collect();
    let upper = LogicalPlan::Aggregate(Aggregate::try_new(lower, upper.group_expr, totals)?);
    let columns = expr.into_iter().zip(promised.fields()).map(|(expr, field)| {
        if expr.get_type(upper.schema())? == *field.data_type() {
            return Ok(expr);
        }
        Ok(match expr {
            Expr::Alias(mut alias) => {
                *alias.expr = cast(std::mem::take(&mut *alias.expr), field.data_type().clone());
                Expr::Alias(alias)
            }
            other => {
                let name = other.schema_name().to_string();
                cast(other, field.data_type().clone()).alias(name)
            }
        })
    });
    let columns = columns.collect::<Result<_>>()?;
    Ok(Some(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(upper))?)))
}

fn adds_up_integers(sum: &Expr, schema: &DFSchema) -> bool {
    sum.get_type(schema).is_ok_and(|data_type| data_type == DataType::Int64)
}

/// True for an aggregate of one of these columns.
fn reads(expr: &Expr, columns: &[String]) -> bool {
    expr.column_refs().iter().any(|column| columns.contains(&column.name))
}

/// Returns the same call of another function.
fn called(func: Arc<AggregateUDF>, call: Expr) -> Expr {
    match call {
        Expr::AggregateFunction(call) => Expr::AggregateFunction(AggregateFunction { func, ..call }),
        other => other,
    }
}
