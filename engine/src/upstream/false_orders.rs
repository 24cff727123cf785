//! A workaround for physical planning: an operator does not claim orders and equal values that its rows do not have.
//!
//! For each operator, DataFusion 55.2 knows orders of the rows, columns that have one value, and columns that are equal.
//! `EnsureRequirements` leaves out the sorts and exchanges that this makes superfluous, and aggregates return groups early.
//! In these cases the knowledge is not true of the result:
//!
//! - An outer join adds NULLs to one side (`EquivalenceGroup::join`). Above `a LEFT JOIN (SELECT * FROM b WHERE v = 5)`,
//!   `ORDER BY v` does not sort, and `PARTITION BY v` puts 5 and NULL into one partition.
//! - `ROLLUP`, `CUBE` and `GROUPING SETS` add NULLs to their columns, and groups of several sets are not in one order. Groups
//!   are returned twice, and sorts are left out.
//! - A hash join repeats the rows of its build side for each row of the probe side. Their order is not that of rows which are
//!   equal on the probe side, although `join_equivalence_properties` says so.
//! - -0.0 equals 0.0, but expressions may have other values for them. After a join by `a.f = b.f`, the sort by
//!   `CAST(a.f AS VARCHAR), CAST(b.f AS VARCHAR) DESC` sorts by the first only. After a filter `f = 0`, the literal 0 of
//!   any other expression counts as `f`, and window functions fail.
//!
//! The guard puts an operator above such inputs and results. It passes their rows on, and hides the knowledge about them.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{JoinType, Result};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec};

use super::guarded_rules::PhysicalGuard;
use super::opaque::{Hidden, OpaqueExec};
use super::zero_signs::has_one_form;

/// The guard of the rule that leaves out sorts and exchanges.
pub(super) const GUARD: PhysicalGuard = PhysicalGuard { rule: "EnsureRequirements", prepare: with_hidden_orders };

/// Puts an operator above each input whose properties are not those of the result, and above each result with untrue ones.
fn with_hidden_orders(plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let mut untrue = untrue_above(plan.as_ref()).into_iter();
    let plan =
        plan.map_children(|child| match untrue.next().flatten().filter(|hidden| claims(child.as_ref(), *hidden)) {
            Some(hidden) => {
                Ok(Transformed::yes(Arc::new(OpaqueExec::hiding(child, hidden)?) as Arc<dyn ExecutionPlan>))
            }
            None => Ok(Transformed::no(child)),
        })?;
    match untrue_of(plan.data.as_ref()) {
        Some(hidden) => Ok(Transformed::yes(Arc::new(OpaqueExec::hiding(plan.data, hidden)?))),
        None => Ok(plan),
    }
}

/// Returns the properties that an operator claims of its result, and that may not be true.
fn untrue_of(plan: &dyn ExecutionPlan) -> Option<Hidden> {
    if has_grouping_sets(plan) {
        return Some(Hidden::Partitions);
    }
    let compares = plan.is::<FilterExec>() || plan.is::<HashJoinExec>() || plan.is::<DataSourceExec>();
    (compares && equates_floats(plan)).then_some(Hidden::Values)
}

/// True if a column or an expression that may be -0.0 counts as equal to another one.
fn equates_floats(plan: &dyn ExecutionPlan) -> bool {
    let known = plan.properties().equivalence_properties();
    let is_float = |expr: &Arc<dyn PhysicalExpr>| expr.data_type(known.schema()).is_ok_and(|t| !has_one_form(&t));
    known.eq_group().iter().any(|class| class.iter().any(is_float))
}

/// Returns, for each input of an operator, what may be known of its rows and is not true of the operator's.
fn untrue_above(plan: &dyn ExecutionPlan) -> Vec<Option<Hidden>> {
    if has_grouping_sets(plan) {
        return vec![Some(Hidden::Values)];
    }
    let nullable = Some(Hidden::Values);
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        return match join.join_type() {
            JoinType::Inner => vec![Some(Hidden::Orders), None],
            JoinType::Left => vec![None, nullable],
            JoinType::Right => vec![nullable, None],
            JoinType::Full => vec![nullable, nullable],
            _ => vec![None, None],
        };
    }
    match plan.downcast_ref::<NestedLoopJoinExec>().map(NestedLoopJoinExec::join_type) {
        Some(JoinType::Left) => vec![None, nullable],
        Some(JoinType::Right) => vec![nullable, None],
        Some(JoinType::Full) => vec![nullable, nullable],
        _ => plan.children().iter().map(|_| None).collect(),
    }
}

fn has_grouping_sets(plan: &dyn ExecutionPlan) -> bool {
    plan.downcast_ref::<AggregateExec>().is_some_and(|aggregate| aggregate.group_expr().has_grouping_set())
}

/// True if an operator claims something that would be hidden.
fn claims(plan: &dyn ExecutionPlan, hidden: Hidden) -> bool {
    let known = plan.properties().equivalence_properties();
    !known.oeq_class().is_empty() || hidden >= Hidden::Values && !known.eq_group().is_empty()
}
