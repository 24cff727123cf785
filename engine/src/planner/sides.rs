//! Exchanges the sides of a join. The left side is the build side: the order pass chooses it by cost, and a setting may
//! force it.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Join, JoinType, LogicalPlan, Projection};

use super::candidates::OperatorCounter;
use crate::mesh::MeshView;
use crate::settings::{Settings, StrategyChoice};

/// True if the sides may be exchanged. A mark join names its mark by its side.
pub(super) fn can_swap(join: &Join) -> bool {
    !join.null_aware && !matches!(join.join_type, JoinType::LeftMark | JoinType::RightMark)
}

/// Returns the same join with its sides exchanged, and its columns in the same order as before.
pub(super) fn swapped(join: &Join) -> Result<LogicalPlan> {
    let on = join.on.iter().map(|(l, r)| (r.clone(), l.clone())).collect();
    let swapped = LogicalPlan::Join(Join::try_new(
        join.right.clone(),
        join.left.clone(),
        on,
        join.filter.clone(),
        join.join_type.swap(),
        join.join_constraint,
        join.null_equality,
        false,
    )?);
    if swapped.schema().columns() == join.schema.columns() {
        return Ok(swapped);
    }
    let columns = join.schema.columns().into_iter().map(Expr::Column).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(swapped))?))
}

/// Exchanges the sides of the joins across sites whose right side a setting makes the build side.
pub(super) fn force_sides(plan: LogicalPlan, settings: &Settings, view: &MeshView) -> Result<LogicalPlan> {
    if !settings.strategy.contains(&StrategyChoice::KeysFromRight) {
        return Ok(plan);
    }
    exchange_sides(plan, settings, view, &mut OperatorCounter::default())
}

fn exchange_sides(
    plan: LogicalPlan,
    settings: &Settings,
    view: &MeshView,
    counter: &mut OperatorCounter,
) -> Result<LogicalPlan> {
    let exchange = counter.forced(&plan, settings, view)? == StrategyChoice::KeysFromRight;
    let plan = plan.map_children(|child| Ok(Transformed::yes(exchange_sides(child, settings, view, counter)?)))?.data;
    match &plan {
        LogicalPlan::Join(join) if exchange && can_swap(join) => swapped(join),
        _ => Ok(plan),
    }
}
