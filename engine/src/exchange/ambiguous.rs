//! Takes filters away from remote scans that may not mean the column that they name. DataFusion 55.2 hands a join's filter
//! down by the name of its column, through operators whose rows may have several columns of that name, and takes the
//! first: `t2.k` of a self-join becomes `t1.k`, and rows that match would be cut.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::error::Result;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::{ExecutionPlan, with_new_children_if_necessary};

use super::remote_scan::RemoteScanExec;

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
    with_new_children_if_necessary(plan, children)
}

fn has_ambiguous_names(plan: &dyn ExecutionPlan) -> bool {
    let schema = plan.schema();
    let mut names = HashSet::new();
    !schema.fields().iter().all(|field| names.insert(field.name().as_str()))
}
