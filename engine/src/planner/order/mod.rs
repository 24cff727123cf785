//! Pass 6, order: puts inner joins into the cheapest order, with the build side on the left. Outer, semi and anti joins
//! stay in place. The pass only chooses their sides.
//!
//! The pass decides on order and site together, so that it finds an order that pays only because an owner can run a
//! part of it. The next passes set the sites, with the same costs.
//! Before: `Join(Join(lineitem, orders), Filter(customer))`.
//! After: `Join(Join(Filter(customer), orders), lineitem)`.

mod conditions;
mod edges;
mod enumerate;
mod equal;
mod graph;
mod joins;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, NullEquality};
use datafusion::error::Result;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Join, JoinConstraint, JoinType, LogicalPlan, Projection};
use datafusion::optimizer::Optimizer;

use self::enumerate::{Enumeration, RelationSite, Tree};
use self::equal::Class;
use self::graph::{Graph, Set};
use super::candidates;
use super::cardinality;
use super::movement::Routes;
use super::sides::{can_swap, swapped};
use crate::execution::errors::from_datafusion;
use crate::upstream::projection_rule;

/// Bytes of a row in a hash table besides its values. They include the copies of its keys.
const HASHED_ROW_BYTES: f64 = 48.0;

/// Orders the joins of a plan. The plan's columns stay the same.
pub(super) fn order(plan: &LogicalPlan, state: &SessionState, routes: Routes<'_>) -> crate::Result<LogicalPlan> {
    let ordered = plan.clone().transform_down_with_subqueries(|node| match &node {
        LogicalPlan::Join(join) if graph::is_free(join) => {
            // If no order can be found, the plan stays as it was, which is correct.
            let ordered = inner_joins(join, routes).unwrap_or_else(|error| {
                tracing::debug!(%error, "joins were left in their order");
                None
            });
            Ok(match ordered {
                // The inputs are ordered already.
                Some(ordered) => Transformed::new(ordered, true, TreeNodeRecursion::Jump),
                None => Transformed::no(node),
            })
        }
        LogicalPlan::Join(join) => sides(join),
        _ => Ok(Transformed::no(node)),
    });
    let ordered = ordered.map_err(|e| from_datafusion(&e))?;
    if !ordered.transformed {
        return Ok(ordered.data);
    }
    // In another order, joins need other columns at each step.
    Optimizer::with_rules(vec![projection_rule()])
        .optimize(ordered.data, state, |_, _| {})
        .map_err(|e| from_datafusion(&e))
}

fn inner_joins(join: &Join, routes: Routes<'_>) -> Result<Option<LogicalPlan>> {
    let Some(mut graph) = Graph::of(join)? else { return Ok(None) };
    for relation in &mut graph.relations {
        let inside = relation.plan.clone().map_children(|child| nested(child, routes))?;
        relation.plan = inside.data;
    }
    let needed = needed(&graph, join);
    let sites = graph.relations.iter().map(|r| relation_site(r, &needed, routes)).collect::<Result<Vec<_>>>()?;
    let Some(tree) = Enumeration::new(&graph, &sites, routes).cheapest() else { return Ok(None) };
    let mut builder = TreeBuilder { graph: &graph, conditions: graph.conditions.iter().map(Some).collect() };
    let (joined, _) = builder.joined(&tree)?;
    if builder.conditions.iter().any(Option::is_some) {
        return Ok(None);
    }
    let columns: Vec<Expr> = join.schema.columns().into_iter().map(Expr::Column).collect();
    if joined.schema().columns() == join.schema.columns() {
        return Ok(Some(joined));
    }
    Ok(Some(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(joined))?)))
}

/// Orders the joins below an input of joins.
fn nested(plan: LogicalPlan, routes: Routes<'_>) -> Result<Transformed<LogicalPlan>> {
    plan.transform_down_with_subqueries(|node| match &node {
        LogicalPlan::Join(join) if graph::is_free(join) => Ok(match inner_joins(join, routes)? {
            Some(ordered) => Transformed::new(ordered, true, TreeNodeRecursion::Jump),
            None => Transformed::no(node),
        }),
        LogicalPlan::Join(join) => sides(join),
        _ => Ok(Transformed::no(node)),
    })
}

/// Returns the columns that are read above the relations.
fn needed(graph: &Graph, join: &Join) -> HashSet<Column> {
    let mut needed: HashSet<Column> = join.schema.columns().into_iter().collect();
    for member in graph.classes.iter().flat_map(Class::members) {
        needed.extend(member.column_refs().into_iter().cloned());
    }
    for condition in &graph.conditions {
        needed.extend(condition.expr.column_refs().into_iter().cloned());
    }
    needed
}

fn relation_site(relation: &graph::Relation, needed: &HashSet<Column>, routes: Routes<'_>) -> Result<RelationSite> {
    let (site, domains) = candidates::site_and_domains(&relation.plan, routes.view)?;
    let schema = relation.plan.schema();
    let all = relation.rows.row_bytes(schema);
    let columns = schema.fields().len().max(1) as f64;
    let read = schema.columns().iter().filter(|c| needed.contains(c)).count() as f64;
    Ok(RelationSite { site, domains, row_bytes: (all * read / columns).max(1.0) })
}

/// A builder of a join tree's plan. A join gets each condition whose relations it has, if no join below has them all.
struct TreeBuilder<'a> {
    graph: &'a Graph,
    /// The conditions that are in no join yet.
    conditions: Vec<Option<&'a conditions::Condition>>,
}

impl TreeBuilder<'_> {
    fn joined(&mut self, tree: &Tree) -> Result<(LogicalPlan, Set)> {
        let (build, probe) = match tree {
            Tree::Relation(i) => return Ok((self.graph.relations[*i].plan.clone(), 1 << i)),
            Tree::Join(build, probe) => (build, probe),
        };
        let (left, left_set) = self.joined(build)?;
        let (right, right_set) = self.joined(probe)?;
        let set = left_set | right_set;
        let mut on = self.graph.equalities(left_set, right_set);
        let mut filters = vec![];
        for condition in self.conditions.iter_mut().filter(|c| c.is_some_and(|c| c.over & !set == 0)) {
            let Some(condition) = condition.take() else { continue };
            match condition.between(left_set, right_set) {
                Some(pair) => on.push(pair),
                None => filters.push(condition.expr.clone()),
            }
        }
        let filter = conjunction(filters);
        let join = Join::try_new(
            Arc::new(left),
            Arc::new(right),
            on,
            filter,
            JoinType::Inner,
            JoinConstraint::On,
            NullEquality::NullEqualsNothing,
            false,
        )?;
        Ok((LogicalPlan::Join(join), set))
    }
}

/// Makes the smaller side, in bytes, of an outer, semi or anti join the build side, on the left. The columns stay the
/// same.
fn sides(join: &Join) -> Result<Transformed<LogicalPlan>> {
    let as_it_was = || Transformed::no(LogicalPlan::Join(join.clone()));
    if !can_swap(join) || join.on.is_empty() {
        return Ok(as_it_was());
    }
    let bytes = |plan: &LogicalPlan| {
        let estimate = cardinality::estimate(plan);
        estimate.rows * (estimate.row_bytes(plan.schema()) + HASHED_ROW_BYTES)
    };
    if bytes(&join.left) <= bytes(&join.right) {
        return Ok(as_it_was());
    }
    let swapped = swapped(join)?;
    Ok(Transformed::yes(swapped))
}
