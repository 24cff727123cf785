//! A filter of a group by floats stays above the groups if it distinguishes -0.0 from 0.0.
//!
//! -0.0 and 0.0 are one group. DataFusion 55.2 moves a filter of a group below the groups, where it tests each row
//! (`PushDownFilter`): `GROUP BY f HAVING 1 / f > 0` then counts only a part of the group. `FilterPushdown` does the same with the
//! filters of joins and of TopN, and it also copies them to the other side of a semi join, whose keys are equal.
//! Lists, structs and maps count as floats here, because they may contain some.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, JoinType, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Aggregate, BinaryExpr, Expr, Filter, LogicalPlan, Operator};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::joins::HashJoinExec;

use super::filters_by_name;
use super::guarded_rules::{Action, Guard, PhysicalGuard};
use super::opaque::OpaqueExec;
use super::operand_types::is_comparison;
use super::zero_signs::{has_one_form, is_zero};

pub(super) const GUARD: Guard = Guard { rules: &["push_down_filter"], action: Action::Replace(rewrite) };

/// The guard of the rule that pushes filters down in a physical plan. The operators that it adds stay in the plan, so they
/// also keep the filters that `FilterPushdown(Post)` pushes down.
pub(super) const PHYSICAL_GUARD: PhysicalGuard = PhysicalGuard { rule: filters_by_name::RULE, prepare: with_barrier };

/// If a condition of a float group distinguishes zeros, only comparisons of group columns move below the groups.
fn rewrite(
    rule: &dyn OptimizerRule,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    let (mut conditions, mut below) = (vec![], &plan);
    while let LogicalPlan::Filter(filter) = below {
        // A lower filter tests a row first.
        conditions.splice(..0, split_conjunction(&filter.predicate));
        below = &filter.input;
    }
    let LogicalPlan::Aggregate(aggregate) = below else { return rule.rewrite(plan, config) };
    let floats = float_groups(aggregate)?;
    if !conditions.iter().any(|condition| distinguishes_zeros(condition, &floats)) {
        return rule.rewrite(plan, config);
    }
    let groups = aggregate.group_expr_len()?;
    let of_groups = |c: &Column| aggregate.schema.maybe_index_of_column(c).is_some_and(|index| index < groups);
    let (pushed, kept): (Vec<Expr>, Vec<Expr>) = conditions
        .into_iter()
        .cloned()
        .partition(|condition| only_compares(condition) && condition.column_refs().into_iter().all(of_groups));
    let (Some(pushed), Some(kept)) = (conjunction(pushed), conjunction(kept)) else { return Ok(Transformed::no(plan)) };
    let filtered = Filter::try_new(pushed, Arc::new(below.clone()))?;
    let rewritten = rule.rewrite(LogicalPlan::Filter(filtered), config)?;
    match rewritten.transformed {
        true => rewritten.map_data(|below| Ok(LogicalPlan::Filter(Filter::try_new(kept, Arc::new(below))?))),
        false => Ok(Transformed::no(plan)),
    }
}

/// True if a condition only compares columns and constants. Another one may fail for rows that a condition above excludes.
fn only_compares(condition: &Expr) -> bool {
    let computes = condition.exists(|e| {
        Ok(match e {
            Expr::BinaryExpr(binary) => !is_comparison(binary.op) && !matches!(binary.op, Operator::And | Operator::Or),
            Expr::Column(_) | Expr::Literal(..) | Expr::Between(_) | Expr::InList(_) => false,
            Expr::Not(_) | Expr::IsNull(_) | Expr::IsNotNull(_) => false,
            _ => true,
        })
    });
    computes.is_ok_and(|computes| !computes)
}

/// Returns the columns of the groups of which equal values may differ.
fn float_groups(aggregate: &Aggregate) -> Result<Vec<Column>> {
    let groups = aggregate.schema.iter().take(aggregate.group_expr_len()?);
    Ok(groups.filter(|(_, field)| !has_one_form(field.data_type())).map(Column::from).collect())
}

/// True if an expression of these columns may have another value for -0.0 than for 0.0. A comparison of a column, of its sum
/// with zero, or of its cast to another float has one value for both.
fn distinguishes_zeros(expr: &Expr, keys: &[Column]) -> bool {
    let operand = |e: &Expr| !is_converted_column(e) && distinguishes_zeros(e, keys);
    match expr {
        Expr::BinaryExpr(binary) if is_comparison(binary.op) => operand(&binary.left) || operand(&binary.right),
        Expr::BinaryExpr(binary) if matches!(binary.op, Operator::And | Operator::Or) => {
            distinguishes_zeros(&binary.left, keys) || distinguishes_zeros(&binary.right, keys)
        }
        Expr::Not(condition) => distinguishes_zeros(condition, keys),
        Expr::IsNull(value) | Expr::IsNotNull(value) => operand(value),
        Expr::Between(between) => operand(&between.expr) || operand(&between.low) || operand(&between.high),
        Expr::InList(list) => operand(&list.expr) || list.list.iter().any(operand),
        other => other.column_refs().into_iter().any(|column| keys.contains(column)),
    }
}

/// True for a column, for its sum with zero (`zero_signs.rs` adds it), and for its cast to another float.
fn is_converted_column(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) => true,
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus, right }) => is_zero(right) && is_converted_column(left),
        Expr::Cast(cast) => cast.field.data_type().is_floating() && is_converted_column(&cast.expr),
        _ => false,
    }
}

/// Puts an operator that keeps the filters of floats above it on groups and semi joins by floats.
fn with_barrier(plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let (columns, schema) = (filtered_columns(plan.as_ref())?, plan.schema());
    let floats: Vec<usize> = (0..columns).filter(|column| !has_one_form(schema.field(*column).data_type())).collect();
    match floats.is_empty() {
        true => Ok(Transformed::no(plan)),
        false => Ok(Transformed::yes(Arc::new(OpaqueExec::below_filters(plan, floats)?))),
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

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;
    use datafusion::logical_expr::cast;
    use datafusion::prelude::{col, lit};

    use super::*;

    #[test]
    fn only_other_expressions_than_comparisons_distinguish_zeros() {
        let keys = [Column::from("f")];
        let number = || cast(col("f"), DataType::Float32);
        for alike in [
            col("f").gt(lit(1.0)),
            (col("f") + lit(0.0)).eq(lit(0.0) + lit(0.0)),
            (number() + lit(0.0_f32)).not_eq(lit(0.0_f32)).or(col("f").is_null()),
            col("f").between(lit(0.0), lit(1.0)),
            col("f").in_list(vec![lit(0.0), lit(1.0)], false),
            (lit(1.0) / col("n")).gt(lit(0.0)),
        ] {
            assert!(!distinguishes_zeros(&alike, &keys), "{alike}");
        }
        for apart in [
            (lit(1.0) / col("f")).gt(lit(0.0)),
            (lit(1.0) / number()).gt(lit(0.0)).and(col("f").gt(lit(1.0))),
            col("f").gt(lit(0.0)).or(cast(col("f"), DataType::Utf8).eq(lit("0.0"))),
            !cast(col("f"), DataType::Utf8).eq(lit("0.0")),
        ] {
            assert!(distinguishes_zeros(&apart, &keys), "{apart}");
        }
    }
}
