//! Pass 4, normalise: DataFusion's own optimizer with the rules of `upstream/`, through filter and projection pushdown.
//!
//! The planner's own passes come after it, so that a fragment has all its filters and only the columns that are read.
//! Before: `Projection: a; Filter: a.x = b.x; CrossJoin: a, b`.
//! After: `Inner Join: a.x = b.x` over narrowed scans.

use datafusion::common::Result as DataFusionResult;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;

use crate::Result;
use crate::execution::errors::from_datafusion;
use crate::plan::Shared;
use crate::upstream::{growth, join_keys, window_limits};

/// Runs DataFusion's optimizer. A part that runs once for several readers is optimized apart from them.
pub(crate) fn normalise(state: &SessionState, plan: &LogicalPlan) -> Result<LogicalPlan> {
    optimized(state, plan).map_err(|e| from_datafusion(&e))
}

fn optimized(state: &SessionState, plan: &LogicalPlan) -> DataFusionResult<LogicalPlan> {
    Shared::changed_apart(plan, &mut |part| optimized(state, part), |plan| {
        let restricted = growth::restricted(&plan, state)?;
        let state = restricted.as_ref().unwrap_or(state);
        state
            .optimizer()
            .optimize(plan, state, |_, _| {})
            .and_then(window_limits::keep_above)
            .and_then(join_keys::qualify)
    })
}
