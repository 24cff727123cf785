//! Joins that yield. A plan can be stopped only where its task yields, and DataFusion's operators yield depending on
//! their input. A join that returns thousands of batches for one input batch would run on long after its query was
//! cancelled. A nested loop join also yields while it returns nothing.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::NestedLoopJoinExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};

use super::split_batches::SplitBatchesExec;

/// The approximate number of row pairs that a join may compare before it yields, which takes tens of milliseconds.
const PAIRS: usize = 4 << 20;
/// The assumed number of rows on the other side, if it is unknown.
const ASSUMED_ROWS: usize = 8192;
/// The smallest piece. Smaller pieces cost more than they save.
const SMALLEST_PIECE: usize = 16;
/// The largest piece. Batches that may be larger are not split.
const LARGEST_PIECE: usize = 8192;

/// Returns the plan with joins that also yield depending on their output.
pub(crate) fn with_yielding_joins(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let wrapped = plan.transform_up(|node| {
        let is_join = node.children().len() == 2 && node.name().contains("Join");
        let node = with_split_probe(&node)?.unwrap_or(node);
        Ok(match is_join {
            true => Transformed::yes(Arc::new(CooperativeExec::new(node))),
            false => Transformed::no(node),
        })
    })?;
    Ok(wrapped.data)
}

/// Returns a nested loop join with a probe side in pieces whose size depends on the size of the build side; `None` for
/// another operator, or if batches are small enough.
///
/// The join compares a whole batch of the probe side with all rows of the build side before it yields. If the join
/// condition holds for few pairs, a cancelled query would run on for minutes.
fn with_split_probe(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() else { return Ok(None) };
    let (build, probe) = (join.left(), join.right());
    let expected = StatisticsContext::new().compute(build.as_ref(), &StatisticsArgs::new())?.num_rows;
    let rows = PAIRS / expected.get_value().copied().unwrap_or(ASSUMED_ROWS).max(1);
    if rows >= LARGEST_PIECE {
        return Ok(None);
    }
    let probe = Arc::new(SplitBatchesExec::new(probe.clone(), Arc::new(rows.max(SMALLEST_PIECE))));
    Ok(Some(replace_children_if_necessary(plan.clone(), vec![build.clone(), probe])?))
}
