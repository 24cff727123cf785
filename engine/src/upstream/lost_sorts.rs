//! A workaround for physical planning: an operator gets a sort if its input no longer shows that it needs none.
//!
//! `EnsureRequirements` of DataFusion 55.2 leaves out a sort by columns that have one value, because of a filter or of an
//! aggregate without `GROUP BY`. A hash join above does not always keep that knowledge, and `SanityCheckPlan` rejects the
//! plan. This query then fails:
//! `SELECT row_number() OVER (ORDER BY s) FROM (VALUES (2)) a(x) JOIN (SELECT count(*) AS n, sum(v) AS s FROM t) ON x = n`.
//! The guard adds the missing sorts before the check.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::guarded_rules::PhysicalGuard;

/// The guard of the rule that rejects a plan if an input lacks the required order.
pub(super) const GUARD: PhysicalGuard = PhysicalGuard { rule: "SanityCheckPlan", prepare: with_sorted_children };

/// Sorts the children whose rows the operator needs in an order that they do not have.
fn with_sorted_children(plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let mut required = plan.required_input_ordering().into_iter();
    plan.map_children(|child| {
        let order = required.next().flatten().map(|order| order.into_single());
        match order {
            Some(order) if !child.equivalence_properties().ordering_satisfy_requirement(order.clone())? => {
                let sort = SortExec::new(LexOrdering::from(order), child);
                // The operator reads the same partitions as before.
                Ok(Transformed::yes(Arc::new(sort.with_preserve_partitioning(true)) as Arc<dyn ExecutionPlan>))
            }
            _ => Ok(Transformed::no(child)),
        }
    })
}
