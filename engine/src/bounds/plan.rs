//! The limits on the size of a plan.

use std::collections::HashMap;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
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
    fn add(&mut self, part: Self) {
        self.operators = self.operators.saturating_add(part.operators);
        self.copies = self.copies.saturating_add(part.copies);
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
        total.add(size(input, known, level + 1)?);
    }
    let as_written = HashMap::new();
    let measured = Measured::new(plan, &as_written);
    let mut refused = None;
    plan.apply_expressions(|expr| {
        total.copies = total.copies.saturating_add(measured.size(expr).copies());
        Ok(TreeNodeRecursion::Continue)
    })
    .and_then(|_| {
        plan.apply_subqueries(|subquery| {
            // The plan that is passed in may live for this call only, so its address identifies nothing.
            match size(subquery, &mut HashMap::new(), level + 1) {
                Ok(size) => {
                    total.add(size);
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use datafusion::functions::expr_fn::coalesce;
    use datafusion::logical_expr::LogicalPlanBuilder;
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
        is_refused(&selected(nested(60)), "100000 repeated parts");
        // The parts of all operators count.
        let both = LogicalPlanBuilder::from(selected(nested(15))).project([nested(12).alias("y")]).unwrap();
        is_refused(&both.build().unwrap(), "100000 repeated parts");
    }
}
