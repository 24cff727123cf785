//! Joins that give way. A plan can be stopped only where its task yields, and DataFusion's operators yield by what
//! they read: a join that makes thousands of batches out of one that it read would run on long after its query was
//! cancelled. A nested loop join yields while it gives nothing, too.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;

use super::small_batches::with_small_batches;

/// The plan with joins that yield by what they give as well.
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
