//! A workaround for joins by maps, lists, structs and floats: such a plan runs without the dynamic filters of joins.
//!
//! `HashJoinExec` of DataFusion 55.2 computes the smallest and the largest key for its filter, which fails for a map
//! with `Internal error: Min/Max accumulator not implemented for type Map`. It also compares lists by their types, in
//! which the name of the items differs between files and literals. The filter takes -0.0 for another key than 0.0. A sort
//! above the join tests it for each row, and loses rows.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};

use super::zero_signs::has_one_form;

/// True if a join of the plan has a key of a type for which the filter is wrong or fails.
pub(crate) fn are_in(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    let is_unfiltered = |key: &Expr, schema: &DFSchema| Ok::<_, DataFusionError>(!has_one_form(&key.get_type(schema)?));
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Join(join) = node {
            for (left, right) in &join.on {
                found |= is_unfiltered(left, join.left.schema())? || is_unfiltered(right, join.right.schema())?;
            }
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}
