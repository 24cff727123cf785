//! Pass 3, normalise: DataFusion's own optimizer with the rules of `upstream/`, through filter and projection pushdown.
//!
//! Ours come after it, so that a cut never loses a filter or asks for columns that nobody reads.
//! Before: `Projection: a; Filter: a.x = b.x; CrossJoin: a, b`. After: `Inner Join: a.x = b.x` over narrowed scans.

use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;

use crate::Result;
use crate::execution::errors::from_datafusion;
use crate::upstream::{join_keys, window_limits};

/// Runs DataFusion's optimizer.
pub(super) fn normalise(state: &SessionState, plan: &LogicalPlan) -> Result<LogicalPlan> {
    state
        .optimizer()
        .optimize(plan.clone(), state, |_, _| {})
        .and_then(window_limits::keep_above)
        .and_then(join_keys::qualify)
        .map_err(|e| from_datafusion(&e))
}
