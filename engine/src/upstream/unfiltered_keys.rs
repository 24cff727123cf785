//! A workaround for physical planning: joins by maps, lists, structs and floats make no filter of their keys.
//!
//! `HashJoinExec` of DataFusion 55.2 computes the smallest and the largest key for its filter, which fails for a map
//! with `Internal error: Min/Max accumulator not implemented for type Map`. It also compares lists by their types, in
//! which the name of the items differs between files and literals. The filter takes -0.0 for another key than 0.0. A sort
//! above the join tests it for each row, and loses rows.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::physical_expr::expressions::{DynamicFilterPhysicalExpr, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::HashJoinExec;

use super::guarded_rules::PhysicalGuard;
use super::zero_signs::has_one_form;

/// The guard of the rule that pushes down the filters of joins.
pub(super) const GUARD: PhysicalGuard = PhysicalGuard { rule: "FilterPushdown(Post)", prepare: with_unread_filter };

/// True if a join by a key, an expression of each side, makes a filter of it.
pub(crate) fn makes_filter((key, other): &(Expr, Expr), left: &DFSchema, right: &DFSchema) -> bool {
    matches!((key.get_type(left), other.get_type(right)), (Ok(l), Ok(r)) if has_one_form(&l) && has_one_form(&r))
}

/// Gives a join whose keys make no filter a filter that no operator reads. The rule leaves a join that has a filter as it
/// is, and the join computes a filter only if an operator of its probe side reads it.
fn with_unread_filter(plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let Some(join) = plan.downcast_ref::<HashJoinExec>() else { return Ok(Transformed::no(plan)) };
    let (left, right) = (join.left().schema(), join.right().schema());
    let mut has_filter = true;
    for (key, other) in join.on() {
        has_filter &= has_one_form(&key.data_type(&left)?) && has_one_form(&other.data_type(&right)?);
    }
    if has_filter {
        return Ok(Transformed::no(plan));
    }
    let unread = Arc::new(DynamicFilterPhysicalExpr::new(vec![], lit(true)));
    Ok(Transformed::yes(Arc::new(join.builder().build()?.with_dynamic_filter_expr(unread)?)))
}
