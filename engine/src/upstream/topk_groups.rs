//! A workaround for physical planning: groups of floats are not limited while they are built.
//!
//! `GroupedTopKAggregateStream` of DataFusion 55.2 keeps only the groups that a `LIMIT` above may return. It compares
//! floats with `==`, for which NaN equals nothing: each NaN is a group of its own, and removing one panics
//! (`TopKHashTable::remove_at`). Before: `SELECT DISTINCT f … ORDER BY f DESC LIMIT 1` panics over several NaN. After:
//! plans whose aggregates have a column of floats build all groups first.

use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::config::OptimizerOptions;
use datafusion::logical_expr::LogicalPlan;

/// Turns off the limit in plans whose aggregates have floats.
pub(crate) fn restrict(plan: &LogicalPlan, options: &mut OptimizerOptions) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        let columns = match node {
            LogicalPlan::Aggregate(aggregate) => &aggregate.schema,
            LogicalPlan::Distinct(_) => node.schema(),
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        if !columns.fields().iter().any(|field| field.data_type().is_floating()) {
            return Ok(TreeNodeRecursion::Continue);
        }
        options.enable_topk_aggregation = false;
        Ok(TreeNodeRecursion::Stop)
    })?;
    Ok(())
}
