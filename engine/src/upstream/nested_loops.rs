//! A join without equal keys reads its left input at most once.
//!
//! If the left input does not fit into memory, `NestedLoopJoinExec` of DataFusion 55.2 reads it again, into a file
//! (`initiate_fallback`). Each partition of the right input then returns the left rows for which it has no match, so a
//! `LEFT JOIN` returns rows that have a match, and rows several times. `EXISTS` and `NOT EXISTS` are joins of this kind too.
//! An input that exchanges rows between partitions panics in its second run (`partition not used yet`). Here, the second run
//! is an error about memory.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::NestedLoopJoinExec;

use super::guarded_rules::PhysicalGuard;
use super::opaque::OpaqueExec;

/// The guard of the last rule.
pub(super) const GUARD: PhysicalGuard = PhysicalGuard { rule: "SanityCheckPlan", prepare: with_left_once };

const REFUSAL: &str = "one input of a join without equal keys does not fit into it: select fewer of its rows or columns, or \
                       join by equal keys";

/// Puts an operator above the left input of a join that refuses to run it again.
fn with_left_once(plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() else { return Ok(Transformed::no(plan)) };
    let left = Arc::new(OpaqueExec::once(join.left().clone(), REFUSAL)?);
    let right = join.right().clone();
    Ok(Transformed::yes(replace_children_if_necessary(plan, vec![left, right])?))
}
