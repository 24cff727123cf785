//! The rules of DataFusion 55.2 that move the fields of structs towards the scans do not run on plans that call a
//! volatile function. They compute a field from the struct's definition, which calls the function once more.

use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;

use crate::upstream::expressions::is_volatile;
use crate::upstream::guarded_rules::{Action, Guard};

pub(crate) const GUARDS: [Guard; 2] = [
    Guard { rules: &["extract_leaf_expressions"], action: Action::Skip(calls_volatile) },
    Guard { rules: &["push_down_leaf_projections"], action: Action::Skip(projects_volatile) },
];

/// True for a projection, the only operator that the second rule moves, over a plan with a volatile call.
fn projects_volatile(plan: &LogicalPlan) -> Result<bool> {
    Ok(matches!(plan, LogicalPlan::Projection(_)) && calls_volatile(plan)?)
}

/// True if an operator of a plan, or of its subqueries, calls a volatile function.
pub(crate) fn calls_volatile(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found = is_volatile(node);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}
