//! Pass 4, normalise: DataFusion's own optimizer with the rules of `upstream/`, through filter and projection pushdown.
//!
//! The planner's own passes come after it, so that a fragment has all its filters and only the columns that are read.
//! Before: `Projection: a; Filter: a.x = b.x; CrossJoin: a, b`.
//! After: `Inner Join: a.x = b.x` over narrowed scans.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{DFSchemaRef, Result as DataFusionResult, internal_err};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNodeCore};

use crate::Result;
use crate::execution::errors::from_datafusion;
use crate::plan::Shared;
use crate::upstream::{generated_names, growth, join_keys, window_limits};

/// Runs DataFusion's optimizer. A part that runs once for several readers is optimized apart from them.
pub(crate) fn normalise(state: &SessionState, plan: &LogicalPlan) -> Result<LogicalPlan> {
    optimized(state, plan).map_err(|e| from_datafusion(&e))
}

fn optimized(state: &SessionState, plan: &LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let plan = over_optimized_parts(state, plan)?;
    generated_names::skip(&plan, &state.execution_props().alias_generator)?;
    let restricted = growth::restricted(&plan, state)?;
    let state = restricted.as_ref().unwrap_or(state);
    let optimized = state
        .optimizer()
        .optimize(plan, state, |_, _| {})
        .and_then(window_limits::keep_above)
        .and_then(join_keys::qualify)?;
    let opened = optimized.transform_up_with_subqueries(|node| {
        let Some(shared) = Shared::of(&node) else { return Ok(Transformed::no(node)) };
        Ok(Transformed::yes(shared.over(shared.input.clone()).into_plan()))
    })?;
    Ok(opened.data)
}

/// Returns a plan whose readers of shared parts are leaves over the optimized part. Nothing of one reader can then get into
/// a part.
fn over_optimized_parts(state: &SessionState, plan: &LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let mut parts: HashMap<usize, (DFSchemaRef, Arc<LogicalPlan>)> = HashMap::new();
    let over_parts = plan.clone().transform_down_with_subqueries(|node| {
        let Some(shared) = Shared::of(&node) else { return Ok(Transformed::no(node)) };
        let part = match parts.get(&shared.number) {
            Some((schema, part)) if schema == shared.schema() => part.clone(),
            Some(_) => return internal_err!("the readers of a shared part differ in their columns"),
            None => {
                let part = Arc::new(optimized(state, &shared.input)?);
                parts.insert(shared.number, (shared.schema().clone(), part.clone()));
                part
            }
        };
        Ok(Transformed::new(shared.over(part).leaf().into_plan(), true, TreeNodeRecursion::Jump))
    })?;
    Ok(over_parts.data)
}
