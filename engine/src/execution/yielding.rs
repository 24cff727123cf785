//! Joins that yield. A plan can be stopped only where its task yields, and DataFusion's operators yield depending on
//! their input. A join that returns thousands of batches for one input batch would run on long after its query was
//! cancelled. A nested loop join also yields while it returns nothing.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;

use super::small_batches::with_small_batches;

/// Returns the plan with joins that also yield depending on their output.
pub(crate) fn with_yielding_joins(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let wrapped = plan.transform_up(|node| {
        let is_join = node.children().len() == 2 && node.name().contains("Join");
        let node = with_small_batches(&node)?.unwrap_or(node);
        Ok(match is_join {
            true => Transformed::yes(Arc::new(CooperativeExec::new(node))),
            false => Transformed::no(node),
        })
    })?;
    Ok(wrapped.data)
}
