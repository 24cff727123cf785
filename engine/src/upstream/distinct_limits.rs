//! A `DISTINCT` below a limit builds all its groups if they come in an order.
//!
//! `LimitedDistinctAggregation` of DataFusion 55.2 lets an aggregate stop after as many groups as the limit, if the groups
//! have no order. `EnsureRequirements` may then sort the input, for example for a window. The groups now have an order, and
//! `AggregateExec` executes the limit as that of a TopN, which needs a direction. `SELECT DISTINCT a, sum(b) OVER (PARTITION BY
//! a) FROM t LIMIT 1` fails with `Ordering direction required for DISTINCT with limit`. So does `EXISTS` over such a query.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;

use super::guarded_rules::PhysicalGuard;

/// The guard of a rule that runs when all sorts are in the plan.
pub(super) const GUARD: PhysicalGuard = PhysicalGuard { rule: "SanityCheckPlan", prepare: without_limit };

/// Removes a limit that `LimitedDistinctAggregation` would not set on the sorted aggregate. The limit of a TopN has a
/// direction.
fn without_limit(plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let Some(aggregate) = plan.downcast_ref::<AggregateExec>() else { return Ok(Transformed::no(plan)) };
    match aggregate.limit_options() {
        Some(limit) if limit.descending().is_none() && !aggregate.is_unordered_unfiltered_group_by_distinct() => {
            Ok(Transformed::yes(Arc::new(aggregate.with_new_limit_options(None))))
        }
        _ => Ok(Transformed::no(plan)),
    }
}
