//! Removes filters from remote scans if they may not mean the column that they name.
//!
//! DataFusion 55.2 pushes a join's filter down by the name of its column. Some operators on the way have several
//! columns of that name, and DataFusion takes the first. It makes three mistakes:
//! - In a self-join, `t2.k` becomes `t1.k`, and the scan drops rows that match.
//! - Through a semi join, it also pushes a filter of a key to the other side, again by name: `f.k`, which equals
//!   `r.id`, becomes `r.k`.
//! - If an aggregate names a group like another column of its input, it pushes the filter of the group to that column.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion::physical_expr::{PhysicalExpr, conjunction, split_conjunction};
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::{ExecutionPlan, replace_children_if_necessary};

use super::remote_scan::RemoteScanExec;
use crate::upstream::filters_by_name::{crosses_sides, has_ambiguous_names};

/// True if DataFusion might apply a join's filter to another column on its way to a scan of this node: there is such a
/// scan, and several columns below a join have the same name. Remote scans are checked one by one instead.
pub(super) fn may_mistake_columns(plan: &LogicalPlan) -> Result<bool> {
    let (mut scans, mut ambiguous) = (false, false);
    plan.apply_with_subqueries(|node| {
        scans |= matches!(node, LogicalPlan::TableScan(_));
        if let LogicalPlan::Aggregate(aggregate) = node {
            let below = aggregate.input.schema();
            ambiguous |= aggregate.group_expr.iter().zip(aggregate.schema.fields()).any(|(group, field)| {
                let is_same = matches!(group, Expr::Column(c) if c.name == *field.name());
                !is_same && below.fields().iter().any(|f| f.name() == field.name())
            });
        }
        if let LogicalPlan::Join(join) = node {
            ambiguous |= [&join.left, &join.right].into_iter().any(|side| {
                let mut names = HashSet::new();
                !side.schema().fields().iter().all(|field| names.insert(field.name().clone()))
            });
            let name = |e: &Expr| if let Expr::Column(c) = e { Some(c.name.clone()) } else { None };
            let has = |side: &LogicalPlan, name: &str| side.schema().fields().iter().any(|f| f.name() == name);
            let keys = join.on.iter().map(|(left, right)| (name(left), name(right)));
            ambiguous |= crosses_sides(join.join_type, keys, |n| has(&join.left, n), |n| has(&join.right, n));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(scans && ambiguous)
}

/// Returns the plan without those filters in remote scans that came through an operator with several columns of the
/// same name.
pub(super) fn without_ambiguous_filters(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    below(plan, false, false)
}

/// `probed` is true if a join above pushes its filter down here. `ambiguous` is true if the filter came through an
/// operator with several columns of the same name.
fn below(plan: Arc<dyn ExecutionPlan>, probed: bool, ambiguous: bool) -> Result<Arc<dyn ExecutionPlan>> {
    // A recursive query starts its joins again in each round and fills only the filter of the first one: the scans
    // would wait.
    let ambiguous = ambiguous || plan.is::<RecursiveQueryExec>() || probed && has_ambiguous_names(plan.as_ref());
    if let Some(scan) = plan.downcast_ref::<RemoteScanExec>() {
        return Ok(if ambiguous { Arc::new(scan.without_filters()) } else { plan });
    }
    let plan = match plan.downcast_ref::<FilterExec>() {
        Some(filter) if ambiguous => without_dynamic_filters(filter)?.unwrap_or(plan),
        _ => plan,
    };
    let is_join = plan.is::<HashJoinExec>();
    let mut changed = false;
    let mut children = vec![];
    for (i, child) in plan.children().into_iter().enumerate() {
        // The right side of a hash join is the probe side.
        let new = below(child.clone(), probed || is_join && i == 1, ambiguous)?;
        changed |= !Arc::ptr_eq(&new, child);
        children.push(new);
    }
    if !changed {
        return Ok(plan);
    }
    replace_children_if_necessary(plan, children)
}

/// Returns a filter without the conditions that joins above fill while they run; `None` if it has none. DataFusion puts
/// such a filter below a sort if the operators further down do not take it.
fn without_dynamic_filters(filter: &FilterExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let is_dynamic = |condition: &Arc<dyn PhysicalExpr>| {
        condition.exists(|e| Ok(e.downcast_ref::<DynamicFilterPhysicalExpr>().is_some()))
    };
    let (mut kept, mut found) = (vec![], false);
    for condition in split_conjunction(filter.predicate()) {
        match is_dynamic(condition)? {
            true => found = true,
            false => kept.push(condition.clone()),
        }
    }
    if !found {
        return Ok(None);
    }
    let predicate = conjunction(kept);
    Ok(Some(Arc::new(FilterExecBuilder::from(filter).with_predicate(predicate).build()?)))
}
