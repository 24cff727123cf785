//! Takes filters away from remote scans that may not mean the column that they name. DataFusion 55.2 hands a join's filter
//! down by the name of its column, through operators whose rows may have several columns of that name, and takes the
//! first: `t2.k` of a self-join becomes `t1.k`, and rows that match would be cut.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::{ExecutionPlan, replace_children_if_necessary};

use super::remote_scan::RemoteScanExec;

/// Whether a filter of a join might be taken for another column's on its way to a scan of this node: there is such a
/// scan, and below some join several columns have one name. Remote scans are looked at one by one instead.
pub(super) fn may_mistake_columns(plan: &LogicalPlan) -> Result<bool> {
    let (mut scans, mut ambiguous) = (false, false);
    plan.apply_with_subqueries(|node| {
        scans |= matches!(node, LogicalPlan::TableScan(_));
        if let LogicalPlan::Join(join) = node {
            ambiguous |= [&join.left, &join.right].into_iter().any(|side| {
                let mut names = HashSet::new();
                !side.schema().fields().iter().all(|field| names.insert(field.name().clone()))
            });
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(scans && ambiguous)
}

/// The plan without filters in remote scans that came through an operator with several columns of one name.
pub(super) fn without_ambiguous_filters(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    below(plan, false, false)
}

/// `probed`: whether a join above hands its filter down here. `ambiguous`: whether it came through an operator with
/// several columns of one name.
fn below(plan: Arc<dyn ExecutionPlan>, probed: bool, ambiguous: bool) -> Result<Arc<dyn ExecutionPlan>> {
    let ambiguous = ambiguous || probed && has_ambiguous_names(plan.as_ref());
    if let Some(scan) = plan.downcast_ref::<RemoteScanExec>() {
        return Ok(if ambiguous { Arc::new(scan.without_filters()) } else { plan });
    }
    let is_join = plan.is::<HashJoinExec>();
    let mut changed = false;
    let mut children = vec![];
    for (i, child) in plan.children().into_iter().enumerate() {
        // The right side of a hash join is the one that is probed.
        let new = below(child.clone(), probed || is_join && i == 1, ambiguous)?;
        changed |= !Arc::ptr_eq(&new, child);
        children.push(new);
    }
    if !changed {
        return Ok(plan);
    }
    replace_children_if_necessary(plan, children)
}

fn has_ambiguous_names(plan: &dyn ExecutionPlan) -> bool {
    let schema = plan.schema();
    let mut names = HashSet::new();
    !schema.fields().iter().all(|field| names.insert(field.name().as_str()))
}
