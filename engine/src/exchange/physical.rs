//! The physical plan of the local part of a query, and its options if its inputs come from other sites.

use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;

use super::live::LiveEdges;
use crate::Result;
use crate::execution::errors::from_datafusion;
use crate::plan::Exchange;
use crate::upstream::{aggregate_filters, growth, topk_groups};

/// The limits, in bytes and in keys, up to which a join lists its keys. Beyond them, only the range of the keys is
/// known. The list needs about 300 bytes of memory for each key.
const LISTED_KEY_BYTES: usize = 8 << 20;
const LISTED_KEYS: usize = 500_000;
/// The limit in keys is at least this, or this multiple of the expected number of keys.
const MIN_LISTED_KEYS: usize = 10_000;
const LISTED_PER_EXPECTED_KEY: f64 = 16.0;
/// If a build side is expected to be smaller, it is collected as a whole, so that all of its keys are known at once.
const COLLECTED_BYTES: usize = 64 << 20;
const COLLECTED_ROWS: usize = 2_000_000;

/// Sets the options for a local part whose inputs come from other sites.
fn across_owners(mut state: SessionState, keys: Option<f64>) -> SessionState {
    let optimizer = &mut state.config_mut().options_mut().optimizer;
    // The planner has chosen the join order and the build sides. It knows every site.
    optimizer.join_reordering = false;
    optimizer.hash_join_single_partition_threshold = COLLECTED_BYTES;
    optimizer.hash_join_single_partition_threshold_rows = COLLECTED_ROWS;
    // A list costs time in every join, even if its keys are not sent. So it has only as many keys as a scan may want.
    if let Some(keys) = keys {
        let most = (keys * LISTED_PER_EXPECTED_KEY).clamp(MIN_LISTED_KEYS as f64, LISTED_KEYS as f64);
        optimizer.hash_join_inlist_pushdown_max_size = LISTED_KEY_BYTES;
        optimizer.hash_join_inlist_pushdown_max_distinct_values = most as usize;
    }
    // A remote scan waits until a filter is complete. The filters of TopN and MIN/MAX are complete only at the very
    // end.
    optimizer.enable_topk_dynamic_filter_pushdown = false;
    optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    state
}

/// The physical plan of the local part of a query.
pub(crate) struct Physical {
    /// The session state for running the plan.
    pub(crate) state: Arc<SessionState>,
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    /// The edges that the plan's remote scans read.
    pub(crate) edges: Arc<LiveEdges>,
}

impl Physical {
    /// Plans the local part of a query, over these edges.
    ///
    /// # Errors
    /// `PermissionDenied` if a join compares hashed columns that can have no equal values; an error of the plan.
    pub(crate) async fn of(plan: &LogicalPlan, state: SessionState, edges: LiveEdges) -> Result<Self> {
        // A query that is one fragment leaves nothing to optimize here.
        let mut state = match Exchange::of(plan) {
            Some(_) => state,
            None => restricted(plan, state).map_err(|e| from_datafusion(&e))?,
        };
        edges.check_hashes(plan)?;
        let edges = Arc::new(edges);
        state.config_mut().set_extension(edges.clone());
        let state = Arc::new(state);
        let planner = state.query_planner();
        let plan = planner.create_physical_plan(plan, state.as_ref()).await.map_err(|e| from_datafusion(&e))?;
        Ok(Self { state, plan, edges })
    }
}

/// Returns the state in which DataFusion makes this plan physical without its known faults.
fn restricted(plan: &LogicalPlan, state: SessionState) -> DataFusionResult<SessionState> {
    let mut state = match expected_keys(plan)? {
        Some(keys) => across_owners(state, keys),
        None => state,
    };
    let optimizer = &mut state.config_mut().options_mut().optimizer;
    if super::ambiguous::may_mistake_columns(plan)? {
        optimizer.enable_join_dynamic_filter_pushdown = false;
    }
    growth::restrict(plan, optimizer)?;
    aggregate_filters::restrict(plan, optimizer)?;
    topk_groups::restrict(plan, optimizer)?;
    Ok(state)
}

/// Returns the largest number of keys that an exchange expects, if any exchange wants keys; `None` if there is no
/// exchange.
fn expected_keys(plan: &LogicalPlan) -> DataFusionResult<Option<Option<f64>>> {
    let mut found: Option<Option<f64>> = None;
    plan.apply_with_subqueries(|node| {
        if let Some(exchange) = Exchange::of(node) {
            let before = found.flatten();
            let own = exchange.fragment.edge.keys.as_ref().map(|k| k.keys.max(0.0));
            found = Some(match (before, own) {
                (Some(a), Some(b)) => Some(a.max(b)),
                (a, b) => a.or(b),
            });
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}
