//! A `DISTINCT` below a limit builds all its groups if its input is sorted.
//!
//! `LimitedDistinctAggregation` of DataFusion 55.2 has groups stop at the limit. That is for inputs without an order. If
//! `EnsureRequirements` then sorts the input, as windows need it, the groups have an order, and the aggregate takes the limit
//! for the one of a TopN. `SELECT DISTINCT a, sum(b) OVER (PARTITION BY a) FROM t LIMIT 1` fails with `Ordering direction
//! required for DISTINCT with limit`. So does `EXISTS` over such groups.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;

use super::guarded_rules::PhysicalGuard;

/// The guard of a rule that runs when all sorts are in the plan.
pub(super) const GUARD: PhysicalGuard = PhysicalGuard { rule: "SanityCheckPlan", prepare: without_limit };

/// Removes the limit of a group that `LimitedDistinctAggregation` would no longer set. The limit of a TopN has a direction.
fn without_limit(plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let Some(aggregate) = plan.downcast_ref::<AggregateExec>() else { return Ok(Transformed::no(plan)) };
    match aggregate.limit_options() {
        Some(limit) if limit.descending().is_none() && !aggregate.is_unordered_unfiltered_group_by_distinct() => {
            Ok(Transformed::yes(Arc::new(aggregate.with_new_limit_options(None))))
        }
        _ => Ok(Transformed::no(plan)),
    }
}
