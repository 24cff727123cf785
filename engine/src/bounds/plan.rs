//! The limits on the size of a plan.

use std::collections::HashMap;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan, WindowFrameBound};
use datafusion::scalar::ScalarValue;

use super::{MOST_MADE, Measured, check_types, too_much};
use crate::Result;
use crate::execution::errors::from_datafusion;

/// The largest nesting depth of a plan's operators.
const MOST_OPERATORS_NESTED: usize = 1_000;
/// The largest number of operators in a plan. Common table expressions that each use the one before twice double the
/// operators at each level.
const MOST_OPERATORS: usize = 20_000;
/// The largest number of parts that planning adds to the expressions of a plan, because it repeats operands.
const MOST_COPIES: u64 = 100_000;
/// The largest number of uses of a subquery when it is written as joins: one for each of true, NULL and an empty
/// subquery.
const MOST_USES_OF_SUBQUERY: usize = 3;

/// The largest number of centroids of an approximate percentile.
const MOST_CENTROIDS: f64 = 10_000.0;

/// Refuses a plan that is too deep or too large.
///
/// # Errors
/// `InvalidQuery`.
pub(crate) fn check_plan(plan: &LogicalPlan) -> Result<()> {
    size(plan, &mut HashMap::new(), 0)?;
    Ok(())
}

/// The size of a plan.
#[derive(Clone, Copy, Debug, Default)]
struct PlanSize {
    operators: usize,
    /// The parts that planning adds to the expressions.
    copies: u64,
}

impl PlanSize {
    fn add(&mut self, part: Self, times: usize) {
        self.operators = self.operators.saturating_add(part.operators.saturating_mul(times));
        self.copies = self.copies.saturating_add(part.copies.saturating_mul(times as u64));
    }

    fn check(self) -> Result<Self> {
        if self.operators > MOST_OPERATORS {
            return Err(too_much(format!("has more than {MOST_OPERATORS} operators")));
        }
        if self.copies > MOST_COPIES {
            return Err(too_much(format!(
                "has more than {MOST_COPIES} repeated parts of expressions when it is planned: nest coalesce, BETWEEN and \
                 the conditions of CASE less deep, and write fewer WHEN"
            )));
        }
        Ok(self)
    }
}

/// Refuses calls with an argument that makes DataFusion allocate too much at once. DataFusion does not account for that
/// memory, and the process ends if the allocation fails.
fn check_demands(plan: &LogicalPlan) -> Result<()> {
    let mut refused = None;
    plan.apply_expressions(|e| {
        e.apply(|e| {
            refused = demand(e);
            Ok(if refused.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    })
    .map_err(|e| from_datafusion(&e))?;
    refused.map_or(Ok(()), |what| Err(too_much(what)))
}

fn demand(call: &Expr) -> Option<String> {
    let (name, arguments) = match call {
        Expr::ScalarFunction(call) => (call.name(), &call.args),
        Expr::AggregateFunction(call) => (call.func.name(), &call.params.args),
        Expr::WindowFunction(call) => {
            let frame = &call.params.window_frame;
            if [&frame.start_bound, &frame.end_bound].into_iter().any(is_endless) {
                return Some("has a window frame of too many rows".to_owned());
            }
            (call.fun.name(), &call.params.args)
        }
        _ => return None,
    };
    let number = |place: usize| match arguments.get(place)? {
        Expr::Literal(value, _) => value.cast_to(&DataType::Float64).ok().and_then(|v| match v {
            ScalarValue::Float64(number) => number,
            _ => None,
        }),
        _ => None,
    };
    let beyond = match name {
        // DataFusion also requires that the last argument, which is usually omitted, is a literal.
        "approx_percentile_cont" => arguments.len() > 2 && number(2).is_none_or(|n| n > MOST_CENTROIDS),
        "approx_percentile_cont_with_weight" => arguments.len() > 3 && number(3).is_none_or(|n| n > MOST_CENTROIDS),
        "repeat" | "lpad" | "rpad" | "array_repeat" | "list_repeat" => number(1).is_some_and(|n| n > MOST_MADE as f64),
        _ => false,
    };
    beyond.then(|| format!("calls `{name}` with an argument that is too large"))
}

/// True if DataFusion would count past the largest integer.
fn is_endless(bound: &WindowFrameBound) -> bool {
    match bound {
        WindowFrameBound::Preceding(ScalarValue::UInt64(Some(rows)))
        | WindowFrameBound::Following(ScalarValue::UInt64(Some(rows))) => i64::try_from(*rows).is_err(),
        _ => false,
    }
}

/// Returns the size of a plan. An operator that is in several places counts in each, but is checked once.
fn size(plan: &LogicalPlan, known: &mut HashMap<*const LogicalPlan, PlanSize>, level: usize) -> Result<PlanSize> {
    if level > MOST_OPERATORS_NESTED {
        return Err(too_much(format!("nests operators more than {MOST_OPERATORS_NESTED} levels deep")));
    }
    let place: *const LogicalPlan = plan;
    if let Some(size) = known.get(&place) {
        return Ok(*size);
    }
    check_types(plan.schema().as_arrow())?;
    check_demands(plan)?;
    let mut total = PlanSize { operators: 1, copies: 0 };
    for input in plan.inputs() {
        total.add(size(input, known, level + 1)?, 1);
    }
    let mut refused = None;
    let as_written = HashMap::new();
    let measured = Measured::new(plan, &as_written);
    plan.apply_expressions(|expr| {
        total.copies = total.copies.saturating_add(measured.size(expr).copies());
        expr.apply(|part| {
            let Some((subquery, uses)) = subquery_of(part, plan) else { return Ok(TreeNodeRecursion::Continue) };
            // A subquery is an operator above its plan.
            match size(subquery, known, level + 2) {
                Ok(of_subquery) => {
                    total.add(of_subquery, uses);
                    Ok(TreeNodeRecursion::Continue)
                }
                Err(e) => {
                    refused = Some(e);
                    Ok(TreeNodeRecursion::Stop)
                }
            }
        })
    })
    .map_err(|e| from_datafusion(&e))?;
    if let Some(refused) = refused {
        return Err(refused);
    }
    let total = total.check()?;
    known.insert(place, total);
    Ok(total)
}

/// Returns the plan of a subquery in an expression of an operator, with the number of its uses when it is written as
/// joins.
fn subquery_of<'e>(part: &'e Expr, operator: &LogicalPlan) -> Option<(&'e LogicalPlan, usize)> {
    let (subquery, uses) = match part {
        Expr::ScalarSubquery(subquery) | Expr::Exists(Exists { subquery, .. }) => (subquery, 1),
        Expr::InSubquery(InSubquery { subquery, negated: false, .. }) if is_condition(part, operator) => (subquery, 1),
        Expr::InSubquery(InSubquery { subquery, .. }) | Expr::SetComparison(SetComparison { subquery, .. }) => {
            (subquery, MOST_USES_OF_SUBQUERY)
        }
        _ => return None,
    };
    Some((subquery.subquery.as_ref(), uses))
}

/// True if an expression is one of the conditions of a filter, which all must be true.
fn is_condition(expr: &Expr, operator: &LogicalPlan) -> bool {
    match operator {
        LogicalPlan::Filter(filter) => split_conjunction(&filter.predicate).iter().any(|e| std::ptr::eq(*e, expr)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use datafusion::functions::expr_fn::coalesce;
    use datafusion::logical_expr::{LogicalPlanBuilder, in_subquery};
    use datafusion::prelude::lit;

    use super::*;
    use crate::ErrorKind;

    fn selected(expr: Expr) -> LogicalPlan {
        LogicalPlanBuilder::empty(true).project([expr.alias("x")]).unwrap().build().unwrap()
    }

    fn is_refused(plan: &LogicalPlan, why: &str) {
        let error = check_plan(plan).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidQuery);
        assert!(error.context().contains(why), "{error}");
    }

    #[test]
    fn repeated_parts_of_expressions_are_bounded() {
        // Written out, n levels have 3 * 2^n - 2 parts.
        let nested = |levels: usize| (0..levels).fold(lit("a"), |inner, _| coalesce(vec![inner, lit("b")]));
        check_plan(&selected(nested(15))).unwrap();
        is_refused(&selected(nested(16)), "100000 repeated parts");
        is_refused(&selected(nested(200)), "100000 repeated parts");
        // The parts of all operators count.
        let both = LogicalPlanBuilder::from(selected(nested(15))).project([nested(12).alias("y")]).unwrap();
        is_refused(&both.build().unwrap(), "100000 repeated parts");
    }

    #[test]
    fn subqueries_that_are_written_as_several_joins_count_for_each() {
        // n levels have 3^(n + 1) - 1 operators.
        let nested = |levels: usize| {
            (0..levels).fold(selected(lit(1)), |inner, _| selected(in_subquery(lit(1), Arc::new(inner))))
        };
        check_plan(&nested(8)).unwrap();
        is_refused(&nested(9), "20000 operators");
        let filtered = (0..50).fold(selected(lit(1)), |inner, _| {
            let rows = LogicalPlanBuilder::from(selected(lit(1)));
            rows.filter(in_subquery(lit(1), Arc::new(inner))).unwrap().build().unwrap()
        });
        check_plan(&filtered).unwrap();
    }
}
