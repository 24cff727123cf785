//! A key of one input of a join does not count as a key of the groups above the join. A key of a row does not count as
//! a key of the rows that `unnest` makes of it.
//!
//! A schema of DataFusion says which columns determine others: the columns of a `GROUP BY` or `DISTINCT` determine all
//! other columns of its rows. Its rules leave out sort keys, group keys, `DISTINCT` and joins that are not needed then, and
//! the SQL planner counts the frame of a window in rows. DataFusion 55.2 makes these mistakes:
//!
//! - Of `GROUP BY w.a, v.b` over a join, `w.a` determines all columns if it determined those of `w` (not reported).
//! - `Unnest` keeps what holds for its input (<https://github.com/apache/datafusion/pull/24787>).
//! - It finds the columns of sort and group keys by their names, and `CAST(a AS DATE)` has the name of `a` (not reported).
//! - Above grouping sets, the SQL planner reads the keys of their input (not reported).
//!
//! Here all dependencies are removed from such nodes and from the nodes above them, for the rules that read them.
//! [`Relations`] removes those of each relation of a `FROM`, for the SQL planner: a query that selects a column without an
//! aggregate must group by the column.
//!
//! Before: `Sort: w.a, v.b / Aggregate: groupBy=[[w.a, v.b]] / Cross Join` becomes `Sort: w.a / …`. After: it stays.

use std::cell::Cell;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchemaRef, Dependency, FunctionalDependencies, Result};
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Aggregate, Distinct, Expr, LogicalPlan};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use sqlparser::ast::TableFactor;

use super::guarded_rules::{Action, Guard};
use crate::bounds::check_types;
use crate::execution::errors::into_datafusion;

pub(super) const GUARD: Guard = Guard {
    rules: &["eliminate_duplicated_expr", "eliminate_join", "optimize_projections", "replace_distinct_aggregate"],
    action: Action::Replace(rewrite),
};

/// Runs a rule on a plan without the dependencies that do not hold.
fn rewrite(
    rule: &dyn OptimizerRule,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    // A rule that sees one node at a time reads the dependencies of the inputs of these nodes. Its changes to the nodes
    // below may have added some.
    let reads = rule.apply_order().is_none() || matches!(plan, LogicalPlan::Sort(_) | LogicalPlan::Distinct(_));
    let plan = if reads && has_unsound(&plan)? { sound(plan)?.0 } else { plan };
    rule.rewrite(plan, config)
}

/// Returns a plan with the dependencies that hold, also those that [`Relations`] removed.
pub(super) fn with_dependencies(plan: &LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.clone().transform_up(|node| Ok(Transformed::yes(node.recompute_schema()?)))?;
    Ok(sound(plan.data)?.0)
}

/// True if dependencies may not hold somewhere in a plan, or may be read for another column.
fn has_unsound(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= is_unsound(node) || takes_for_columns(node);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Returns the plan without dependencies above an unsound node, and true if it has such a node.
fn sound(plan: LogicalPlan) -> Result<(LogicalPlan, bool)> {
    let mut unsound = false;
    let plan = plan.map_children(|child| {
        let (child, is_unsound) = sound(child)?;
        unsound |= is_unsound;
        Ok(Transformed::yes(child))
    })?;
    // The rows of a subquery are not rows of the query around it.
    let plan = plan.data.map_subqueries(|subquery| Ok(Transformed::yes(sound(subquery)?.0)))?.data;
    let plan = match takes_for_columns(&plan) {
        true => plan.map_children(|input| Ok(Transformed::yes(plan_without_dependencies(input)?)))?.data,
        false => plan,
    };
    unsound |= is_unsound(&plan);
    Ok((if unsound { plan_without_dependencies(plan)? } else { plan }, unsound))
}

/// True if dependencies of a node may not hold.
fn is_unsound(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(aggregate) => !has_keys_of_rows(aggregate) || takes_for_columns(plan),
        LogicalPlan::Unnest(unnest) => !unnest.schema.functional_dependencies().is_empty(),
        _ => false,
    }
}

/// True if a sort or group key of a node has the name of a column of its input, and is another expression.
fn takes_for_columns(plan: &LogicalPlan) -> bool {
    let (keys, input): (Vec<&Expr>, _) = match plan {
        LogicalPlan::Sort(sort) => (sort.expr.iter().map(|key| &key.expr).collect(), &sort.input),
        LogicalPlan::Aggregate(aggregate) => (aggregate.group_expr.iter().collect(), &aggregate.input),
        _ => return false,
    };
    let schema = input.schema();
    !schema.functional_dependencies().is_empty()
        && keys
            .into_iter()
            .any(|key| !matches!(key, Expr::Column(_)) && schema.field_names().contains(&key.schema_name().to_string()))
}

/// True if each key of the groups is all their columns, or was a key of single rows of the input.
fn has_keys_of_rows(aggregate: &Aggregate) -> bool {
    let groups = aggregate.group_expr.len();
    let mut keys = aggregate.schema.functional_dependencies().iter();
    let of_input = aggregate.input.schema().functional_dependencies();
    keys.all(|key| key.source_indices.len() == groups)
        || !of_input.is_empty() && of_input.iter().all(|key| key.mode == Dependency::Single)
}

/// Returns the schema without functional dependencies.
pub(crate) fn without_dependencies(schema: &DFSchemaRef) -> Result<DFSchemaRef> {
    let empty = FunctionalDependencies::empty();
    Ok(Arc::new(schema.as_ref().clone().with_functional_dependencies(empty)?))
}

/// Removes the functional dependencies of a plan's rows. Those of its inputs stay.
fn plan_without_dependencies(plan: LogicalPlan) -> Result<LogicalPlan> {
    if plan.schema().functional_dependencies().is_empty() {
        return Ok(plan);
    }
    let removed = |schema: &mut DFSchemaRef| {
        *schema = without_dependencies(schema)?;
        Ok(())
    };
    let mut plan = plan;
    match &mut plan {
        LogicalPlan::Projection(node) => removed(&mut node.schema),
        LogicalPlan::Window(node) => removed(&mut node.schema),
        LogicalPlan::Aggregate(node) => removed(&mut node.schema),
        LogicalPlan::Join(node) => removed(&mut node.schema),
        LogicalPlan::Union(node) => removed(&mut node.schema),
        LogicalPlan::TableScan(node) => removed(&mut node.projected_schema),
        LogicalPlan::EmptyRelation(node) => removed(&mut node.schema),
        LogicalPlan::Values(node) => removed(&mut node.schema),
        LogicalPlan::SubqueryAlias(node) => removed(&mut node.schema),
        LogicalPlan::Unnest(node) => removed(&mut node.schema),
        LogicalPlan::RecursiveQuery(node) => removed(&mut node.schema),
        LogicalPlan::Distinct(Distinct::On(node)) => removed(&mut node.schema),
        // Their schema is that of their input.
        LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Distinct(Distinct::All(_)) => {
            return Ok(plan.map_children(|input| Ok(Transformed::yes(plan_without_dependencies(input)?)))?.data);
        }
        LogicalPlan::Subquery(lateral) => {
            let rows = lateral.subquery.as_ref().clone();
            lateral.subquery = Arc::new(plan_without_dependencies(rows)?);
            Ok(())
        }
        _ => Ok(()),
    }
    .map(|()| plan)
}

/// Plans the relations of a `FROM` as DataFusion does, without functional dependencies.
#[derive(Debug)]
pub(super) struct Relations;

thread_local! {
    /// True while a relation goes back to DataFusion's own planner.
    static IS_PLANNED: Cell<bool> = const { Cell::new(false) };
}

impl RelationPlanner for Relations {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        if IS_PLANNED.replace(false) || !matches!(relation, TableFactor::Derived { .. } | TableFactor::Table { .. }) {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        }
        // The planner calls this function again first. For the relations inside this one, the flag is reset.
        IS_PLANNED.set(true);
        let planned = context.plan(relation);
        IS_PLANNED.set(false);
        let planned = plan_without_dependencies(planned?)?;
        // The next level may double a type, and DataFusion visits all of it.
        check_types(planned.schema().as_arrow()).map_err(into_datafusion)?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(planned, None))))
    }
}
