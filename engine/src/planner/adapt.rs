//! Plans a part of a running query again when the row counts and the join keys of other fragments are known. The fragments
//! that wait for join keys have not started. So their joins can still change in order, sides, site and strategy.
//!
//! Before: `Join(Exchange #1, Exchange #2 that waits for keys of #1)`, and #1 returns 3 rows instead of the expected
//! 20,000.
//! After: the same with #1 as it runs, and the fragment of #2 as if it had never been cut.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Extension, LogicalPlan};

use super::cardinality::estimate_each;
use super::cardinality::q_error::q_error;
use super::movement::Routes;
use super::passes::{Draft, Observer, PASSES, Planning};
use crate::execution::errors::from_datafusion;
use crate::mesh::MeshView;
use crate::plan::{Counted, Exchange, Planned, Running, Shared};
use crate::{Result, Settings};

/// A build side that turned out larger than the other side by this factor is planned again. If the sides have about the
/// same size, it does not matter which one is built.
const WRONG_SIDE: f64 = 1.5;

/// Returns the fragments that supply join keys for others and that wait for no keys themselves: their numbers, and the
/// positions of the columns that joins compare.
pub(crate) fn awaited(planned: &Planned) -> DataFusionResult<BTreeMap<usize, BTreeSet<usize>>> {
    let mut awaited: Vec<Exchange> = vec![];
    let mut compared: HashSet<Column> = HashSet::new();
    planned.plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Join(join) = node {
            let keys = join.on.iter().flat_map(|(left, right)| [left, right]);
            compared.extend(keys.flat_map(|key| key.column_refs().into_iter().cloned()));
            if exchanges(&join.right)?.iter().any(|e| e.fragment.edge.keys.is_some()) {
                // EXPLAIN shows the counts.
                let build = exchanges(&join.left)?.into_iter();
                awaited.extend(build.filter(|e| e.fragment.edge.keys.is_none() && !e.fragment.is_hidden));
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let keys = |exchange: &Exchange| {
        let columns = exchange.fragment.schema.columns().into_iter().enumerate();
        columns.filter(|(_, column)| compared.contains(column)).map(|(position, _)| position).collect::<BTreeSet<_>>()
    };
    Ok(awaited.iter().map(|exchange| (exchange.fragment.number, keys(exchange))).collect())
}

fn exchanges(plan: &LogicalPlan) -> DataFusionResult<Vec<Exchange>> {
    let mut found = vec![];
    plan.apply(|node| {
        found.extend(Exchange::of(node).cloned());
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// Plans the fragments that wait for keys again. `counted` has the rows of the others, by the number of the fragment.
/// Returns `None` if these are close to their estimates, and if no join has other rows or another build side because of
/// their keys. Shows the plan to `observe`, as [`super::plan_observed`] does.
///
/// # Errors
/// As for [`super::plan`].
pub(crate) fn adapt(
    state: &SessionState,
    planned: &Planned,
    counted: &BTreeMap<usize, Counted>,
    settings: &Settings,
    view: &Arc<MeshView>,
    is_fragment: bool,
    observe: &mut Observer<'_>,
) -> Result<Option<Planned>> {
    let known = with_counts(planned, counted).map_err(|e| from_datafusion(&e))?;
    let deviation = deviation(planned, counted, settings);
    let Some(deviation) = deviation.or_else(|| changed_join(&planned.plan, &known, settings)) else { return Ok(None) };
    let routes = Routes { view, is_fragment };
    let planning = Planning { state, settings, routes, rules: None, running: Some(&planned.placed) };
    let plan = unstarted(known).map_err(|e| from_datafusion(&e))?;
    let draft = Draft::new(planned.normalised.clone(), plan);
    observe("adapt", &draft);
    let draft = draft.through(PASSES.iter().filter(|pass| pass.adapts), &planning, observe)?;
    draft.planned(Some(format!("{deviation}: what had not started was planned again"))).map(Some)
}

/// Describes the first fragment whose row count is far from its estimate; `None` if there is none.
fn deviation(planned: &Planned, counted: &BTreeMap<usize, Counted>, settings: &Settings) -> Option<String> {
    planned.fragments.iter().find_map(|fragment| {
        let counted = counted.get(&fragment.number)?;
        let (rows, expected) = ((counted.rows as f64).max(1.0), fragment.edge.rows.max(1.0));
        let is_more = rows > expected * settings.adapt_factor;
        let is_less = counted.all && expected > rows * settings.adapt_factor;
        let least = if counted.all { "" } else { "at least " };
        (is_more || is_less).then(|| {
            let from = fragment.domain_list();
            let expected = expected.round();
            format!("{from} gave {least}{} rows where {expected} were expected", counted.rows)
        })
    })
}

/// The estimated rows of a join and of its sides.
struct JoinRows {
    build: f64,
    probe: f64,
    joined: f64,
}

/// Describes the first join that the counted rows change: it is expected to return many more or fewer rows, or its build
/// side, which was the smaller one, is now the larger one. `known` is the plan `before` with the counted rows.
fn changed_join(before: &LogicalPlan, known: &LogicalPlan, settings: &Settings) -> Option<String> {
    joins(before).into_iter().zip(joins(known)).find_map(|(before, known)| {
        let (rows, expected) = (known.joined.round(), before.joined.round());
        if q_error(known.joined, before.joined) > settings.adapt_factor {
            return Some(format!(
                "a join returns about {rows} rows for the counted keys, where {expected} were expected"
            ));
        }
        let is_wrong_side = before.build <= before.probe && known.build > known.probe * WRONG_SIDE;
        is_wrong_side.then(|| {
            let (build, probe) = (known.build.round(), known.probe.round());
            format!("the build side of a join has {build} rows, and its other side about {probe}")
        })
    })
}

/// Returns the estimates of the joins of a plan, each after the joins below.
fn joins(plan: &LogicalPlan) -> Vec<JoinRows> {
    let mut joins = vec![];
    estimate_each(plan, &mut |operator, inputs, joined| {
        if let (LogicalPlan::Join(_), [build, probe]) = (operator, inputs) {
            joins.push(JoinRows { build: *build, probe: *probe, joined });
        }
    });
    joins
}

/// Returns the plan with the counted rows in the exchanges that run already.
fn with_counts(planned: &Planned, counted: &BTreeMap<usize, Counted>) -> DataFusionResult<LogicalPlan> {
    let plan = planned.plan.clone().transform_up_with_subqueries(|node| {
        // What is shared depends on the new plan.
        if let Some(shared) = Shared::of(&node).filter(|shared| !shared.is_required) {
            return Ok(Transformed::yes(shared.input.as_ref().clone()));
        }
        let Some(exchange) = Exchange::of(&node) else { return Ok(Transformed::no(node)) };
        let fragment = exchange.fragment.clone();
        if fragment.edge.keys.is_some() {
            return Ok(Transformed::no(node));
        }
        let counted = counted.get(&fragment.number);
        // A fragment that was not counted to its end may return as many rows as were expected, or more.
        let rows = counted.map(|c| if c.all { c.rows as f64 } else { fragment.edge.rows.max(c.rows as f64) });
        let keys = Arc::new(counted.map(|c| c.keys.clone()).unwrap_or_default());
        let running = Some(Running { number: fragment.number, rows, keys });
        Ok(Transformed::yes(LogicalPlan::Extension(Extension { node: Arc::new(Exchange { fragment, running }) })))
    })?;
    Ok(plan.data)
}

/// Returns the plan with the plans of the fragments that wait for keys in the place of their exchanges. The other
/// fragments stay exchanges, which run already.
fn unstarted(known: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let plan = known.transform_up_with_subqueries(|node| match Exchange::of(&node) {
        Some(exchange) if exchange.running.is_none() => Ok(Transformed::yes(exchange.fragment.plan.clone())),
        _ => Ok(Transformed::no(node)),
    })?;
    Ok(plan.data)
}

#[cfg(test)]
mod tests;
