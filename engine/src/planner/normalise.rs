//! Pass 2, normalise: DataFusion's own analyzer and optimizer, through filter and projection pushdown, then a workaround
//! (`window_limits`).
//!
//! Ours come after it, so that a cut never loses a filter or asks for columns that nobody reads.
//! Before: `Projection: a; Filter: a.x = b.x; CrossJoin: a, b`. After: `Inner Join: a.x = b.x` over narrowed scans.

use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;

use crate::Result;
use crate::execution::errors::from_datafusion;

/// Runs DataFusion's analyzer and optimizer.
pub(super) fn normalise(state: &SessionState, plan: &LogicalPlan) -> Result<LogicalPlan> {
    state.optimize(plan).and_then(super::window_limits::keep_above).map_err(|e| from_datafusion(&e))
}
