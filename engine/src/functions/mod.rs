//! Calls of functions with a bound on their results and on their time.
//!
//! A function of DataFusion works on a whole batch at once. During the call, nothing checks the deadline, a cancellation,
//! or the memory of the result. One call of `range` could end the process. A bounded function estimates the result and
//! the time of a call from the arguments, before the call ([`estimates`]). [`kinds`] lists these functions.
//!
//! - **While a query is planned**, [`BoundedFunctions`] keeps DataFusion from evaluating a constant that is large or slow.
//!   The call stays in the plan, and runs with the query. [`TableFunctions`] does the same in the arguments of table
//!   functions, which DataFusion evaluates earlier.
//! - **While a query runs**, a call refuses a result that is too large, reserves the query's memory for it, and checks
//!   the deadline and the cancellation ([`metered`]). Operators with such calls read their input in pieces whose
//!   size follows the estimates ([`with_paced_inputs`]). [`searches`] replaces calls that could hold a thread for long.

mod bounded;
mod cost;
mod estimates;
mod kinds;
mod meter;
mod operators;
mod pace;
mod paced;
mod searches;
mod table_functions;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, LogicalPlan, ScalarUDF};
use datafusion::optimizer::AnalyzerRule;

use self::bounded::BoundedFunction;
pub(crate) use self::meter::WorkMeter;
pub(crate) use self::paced::with_paced_inputs;
pub(crate) use self::table_functions::TableFunctions;

/// The rule that bounds the calls of a plan before DataFusion evaluates any of them.
#[derive(Debug)]
pub(crate) struct BoundedFunctions;

impl AnalyzerRule for BoundedFunctions {
    fn name(&self) -> &'static str {
        "bounded_functions"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        bound(plan, None)
    }
}

/// Returns the plan that is executed, for physical planning only: the meter of one run measures its calls.
pub(crate) fn metered(plan: LogicalPlan, meter: &Arc<WorkMeter>) -> Result<LogicalPlan> {
    bound(plan, Some(meter))
}

/// Returns an analysed plan whose constants may take as much time and memory as in its first planning. Without it, a plan
/// that is planned often would have nothing left.
pub(crate) fn bounded_again(plan: LogicalPlan) -> Result<LogicalPlan> {
    bound(plan, None)
}

/// Returns a plan with plain functions, to send it to another node. That node analyses the plan, and so bounds the calls
/// again.
pub(crate) fn plain_calls(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| {
        node.map_expressions(|expr| {
            expr.transform_up(|expr| match expr {
                Expr::ScalarFunction(ScalarFunction { func, args }) if func.inner().is::<BoundedFunction>() => {
                    Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func: plain(&func), args })))
                }
                other => Ok(Transformed::no(other)),
            })
        })
    })?;
    Ok(plan.data)
}

fn bound(plan: LogicalPlan, meter: Option<&Arc<WorkMeter>>) -> Result<LogicalPlan> {
    let runs = meter.is_some();
    let meter = meter.cloned().unwrap_or_default();
    let bounded =
        plan.transform_up_with_subqueries(|node| node.map_expressions(|expr| bound_calls(expr, &meter, runs)))?;
    Ok(bounded.data)
}

/// Bounds the calls of an expression.
fn bound_calls(expr: Expr, meter: &Arc<WorkMeter>, runs: bool) -> Result<Transformed<Expr>> {
    expr.apply(|e| operators::check_pattern(e).map(|()| TreeNodeRecursion::Continue))?;
    match expr.exists(|e| Ok(needs_bound(e, runs)))? {
        true => expr.transform_up(|e| Ok(bound_call(e, meter, runs))),
        false => Ok(Transformed::no(expr)),
    }
}

/// True if an expression has to be replaced.
fn needs_bound(expr: &Expr, runs: bool) -> bool {
    match expr {
        Expr::ScalarFunction(call) => kinds::kind(call.func.name()).is_some(),
        other => runs && operators::is_unbounded(other),
    }
}

fn bound_call(expr: Expr, meter: &Arc<WorkMeter>, runs: bool) -> Transformed<Expr> {
    let expr = if runs && operators::is_unbounded(&expr) { operators::as_call(expr) } else { expr };
    match expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) => match kinds::kind(func.name()) {
            Some(kind) => {
                let function = BoundedFunction::new(plain(&func), kind, meter.clone());
                Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(function.into()), args)))
            }
            None => Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })),
        },
        other => Transformed::no(other),
    }
}

/// Returns a function without its bound.
fn plain(function: &Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    function.inner().downcast_ref::<BoundedFunction>().map_or_else(|| function.clone(), BoundedFunction::function)
}
