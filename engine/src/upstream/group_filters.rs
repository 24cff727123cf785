//! A filter of a group by floats stays above the groups if it distinguishes -0.0 from 0.0.
//!
//! -0.0 and 0.0 are one group. DataFusion 55.2 moves a filter of a group below the groups, where it tests each row
//! (`PushDownFilter`): `GROUP BY f HAVING 1 / f > 0` then counts only a part of the group. `FilterPushdown` does the same with the
//! filters of joins and of TopN, and it also copies them to the other side of a semi join, whose keys are equal.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, JoinType, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Aggregate, Expr, Filter, LogicalPlan, Operator};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::joins::HashJoinExec;

use super::filters_by_name;
use super::guarded_rules::{Action, Guard, PhysicalGuard};
use super::opaque::{Hidden, OpaqueExec};
use super::zero_signs::has_one_form;

pub(super) const GUARD: Guard = Guard { rules: &["push_down_filter"], action: Action::Replace(rewrite) };

/// The guard of the rule that pushes filters down in a physical plan. What it adds stays for the filters of joins.
pub(super) const PHYSICAL_GUARD: PhysicalGuard = PhysicalGuard { rule: filters_by_name::RULE, prepare: with_barrier };

/// Pushes down the conditions that treat -0.0 and 0.0 alike.
fn rewrite(
    rule: &dyn OptimizerRule,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    let (mut conditions, mut below) = (vec![], &plan);
    while let LogicalPlan::Filter(filter) = below {
        conditions.extend(split_conjunction(&filter.predicate));
        below = &filter.input;
    }
    let LogicalPlan::Aggregate(aggregate) = below else { return rule.rewrite(plan, config) };
    let keys = float_groups(aggregate)?;
    let (kept, pushed): (Vec<Expr>, Vec<Expr>) =
        conditions.into_iter().cloned().partition(|condition| tells_zeros_apart(condition, &keys));
    let Some(kept) = conjunction(kept) else { return rule.rewrite(plan, config) };
    let Some(pushed) = conjunction(pushed) else { return Ok(Transformed::no(plan)) };
    let filtered = Filter::try_new(pushed, Arc::new(below.clone()))?;
    let rewritten = rule.rewrite(LogicalPlan::Filter(filtered), config)?;
    match rewritten.transformed {
        true => rewritten.map_data(|below| Ok(LogicalPlan::Filter(Filter::try_new(kept, Arc::new(below))?))),
        false => Ok(Transformed::no(plan)),
    }
}

/// Returns the columns of the groups of which equal values may differ.
fn float_groups(aggregate: &Aggregate) -> Result<Vec<Column>> {
    let groups = aggregate.schema.iter().take(aggregate.group_expr_len()?);
    Ok(groups.filter(|(_, field)| !has_one_form(field.data_type())).map(Column::from).collect())
}

/// True if an expression of these columns may have another value for -0.0 than for 0.0. A comparison of a column has one value
/// for both.
fn tells_zeros_apart(expr: &Expr, keys: &[Column]) -> bool {
    let operand = |e: &Expr| !matches!(e, Expr::Column(_)) && tells_zeros_apart(e, keys);
    match expr {
        Expr::BinaryExpr(binary) if is_comparison(binary.op) => operand(&binary.left) || operand(&binary.right),
        Expr::BinaryExpr(binary) if matches!(binary.op, Operator::And | Operator::Or) => {
            tells_zeros_apart(&binary.left, keys) || tells_zeros_apart(&binary.right, keys)
        }
        Expr::Not(condition) => tells_zeros_apart(condition, keys),
        Expr::IsNull(value) | Expr::IsNotNull(value) => operand(value),
        Expr::Between(between) => operand(&between.expr) || operand(&between.low) || operand(&between.high),
        Expr::InList(list) => operand(&list.expr) || list.list.iter().any(operand),
        other => other.column_refs().into_iter().any(|column| keys.contains(column)),
    }
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// Puts an operator that keeps the filters of floats above it on groups and semi joins by floats.
fn with_barrier(plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let floats = match filtered_columns(plan.as_ref())? {
        0 => vec![],
        columns => {
            let schema = plan.schema();
            let fields = schema.fields().iter().take(columns).enumerate();
            fields.filter(|(_, field)| !has_one_form(field.data_type())).map(|(column, _)| column).collect()
        }
    };
    match floats.is_empty() {
        true => Ok(Transformed::no(plan)),
        false => Ok(Transformed::yes(Arc::new(OpaqueExec::over(plan, Hidden::Nothing, floats)?))),
    }
}

/// Returns the number of columns, from the first one on, whose filters could drop a part of a group, or rows that match.
fn filtered_columns(plan: &dyn ExecutionPlan) -> Result<usize> {
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        // The groups of one partition are below those of all, whose filters do not come down.
        let is_part = matches!(aggregate.mode(), AggregateMode::Partial | AggregateMode::PartialReduce);
        return Ok(if is_part { 0 } else { aggregate.group_expr().expr().len() });
    }
    let Some(join) = plan.downcast_ref::<HashJoinExec>() else { return Ok(0) };
    let mut by_floats = false;
    for (left, _) in join.on() {
        by_floats |= !has_one_form(&left.data_type(&join.left().schema())?);
    }
    let is_semi = matches!(join.join_type(), JoinType::LeftSemi | JoinType::RightSemi);
    Ok(if is_semi && by_floats { plan.schema().fields().len() } else { 0 })
}
