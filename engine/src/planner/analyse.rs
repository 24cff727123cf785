//! Pass 2, analyse: DataFusion's analyzer and the rules of `upstream/` around it give every expression its type.
//!
//! The pass runs before the planner promises columns to a client: a branch of a `UNION` or `CASE` may have a different
//! type from the whole.
//! Before: `Union: Int64(1), Float64(1.5)`.
//! After: `Union: CAST(Int64(1) AS Float64), Float64(1.5)`.

use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;

use crate::Result;
use crate::execution::errors::from_datafusion;
use crate::upstream::set_operations;

/// Gives every expression of a statement's plan its type.
///
/// The caller first replaces the plan's parameters with their values: the types of parameters are unknown before.
///
/// # Errors
/// `InvalidQuery` for expressions whose types do not match.
pub(crate) fn analyse_statement(state: &SessionState, plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = set_operations::rewrite(plan, state).map_err(|e| from_datafusion(&e))?;
    analyse(state, plan)
}

/// Gives every expression of a fragment its type. The sender has already done the rewrites that only a statement's plan
/// needs.
///
/// # Errors
/// `InvalidQuery` for expressions whose types do not match.
pub(crate) fn analyse(state: &SessionState, plan: LogicalPlan) -> Result<LogicalPlan> {
    let analyzed = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {});
    analyzed.map_err(|e| from_datafusion(&e))
}
