//! Pass 3, normalise: DataFusion's own optimizer with the rules of `upstream/`, through filter and projection pushdown.
//!
//! The planner's own passes come after it, so that a fragment has all its filters and only the columns that are read.
//! Before: `Projection: a; Filter: a.x = b.x; CrossJoin: a, b`.
//! After: `Inner Join: a.x = b.x` over narrowed scans.

use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;

use crate::Result;
use crate::execution::errors::from_datafusion;
use crate::upstream::{growth, join_keys, window_limits};

/// Runs DataFusion's optimizer.
pub(crate) fn normalise(state: &SessionState, plan: &LogicalPlan) -> Result<LogicalPlan> {
    let restricted = growth::restricted(plan, state).map_err(|e| from_datafusion(&e))?;
    let state = restricted.as_ref().unwrap_or(state);
    state
        .optimizer()
        .optimize(plan.clone(), state, |_, _| {})
        .and_then(window_limits::keep_above)
        .and_then(join_keys::qualify)
        .map_err(|e| from_datafusion(&e))
}
