//! A workaround for joins by maps, lists and structs: such a plan runs without the dynamic filters of joins.
//!
//! `HashJoinExec` of DataFusion 55.2 computes the smallest and the largest key for its filter, which fails for a map
//! with `Internal error: Min/Max accumulator not implemented for type Map`. It also compares lists by their types, in
//! which the name of the items differs between files and literals.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};

/// True if a join of the plan has a key of a nested type.
pub(crate) fn joins_by_nested(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    let is_nested =
        |key: &Expr, schema: &DFSchema| Ok::<_, datafusion::common::DataFusionError>(key.get_type(schema)?.is_nested());
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Join(join) = node {
            for (left, right) in &join.on {
                found |= is_nested(left, join.left.schema())? || is_nested(right, join.right.schema())?;
            }
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}
