//! Plans a part of a running query again when the row counts of other fragments are known. The fragments that wait for
//! join keys have not started. So their joins can still change in order, site and strategy.
//!
//! Before: `Join(Exchange #1, Exchange #2 that waits for keys of #1)`, and #1 returns 3 rows instead of the expected
//! 20,000.
//! After: the same with #1 as it runs, and the fragment of #2 as if it had never been cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Extension, LogicalPlan};

use super::movement::Routes;
use super::passes::{Draft, Observer, PASSES, Planning};
use crate::execution::errors::from_datafusion;
use crate::mesh::MeshView;
use crate::plan::{Counted, Exchange, Planned, Running};
use crate::{Result, Settings};

/// Returns the numbers of the fragments that supply join keys for others and that wait for no keys themselves.
pub(crate) fn awaited(planned: &Planned) -> DataFusionResult<BTreeSet<usize>> {
    let mut awaited = BTreeSet::new();
    planned.plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Join(join) = node
            && exchanges(&join.right)?.iter().any(|e| e.fragment.edge.keys.is_some())
        {
            let build = exchanges(&join.left)?;
            awaited.extend(build.iter().filter(|e| e.fragment.edge.keys.is_none()).map(|e| e.fragment.number));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(awaited)
}

fn exchanges(plan: &LogicalPlan) -> DataFusionResult<Vec<Exchange>> {
    let mut found = vec![];
    plan.apply(|node| {
        found.extend(Exchange::of(node).cloned());
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// Plans the fragments that wait for keys again. `counted` has the row counts of the others, by the number of the
/// fragment. Returns `None` if the counts are close to their estimates. Shows the plan to `observe`, as
/// [`super::plan_observed`] does.
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
    let Some(deviation) = deviation(planned, counted, settings) else { return Ok(None) };
    let routes = Routes { view, is_fragment };
    let planning = Planning { state, settings, routes, running: Some(&planned.placed) };
    let plan = unstarted(planned, counted).map_err(|e| from_datafusion(&e))?;
    let draft = Draft::new(planned.normalised.clone(), plan);
    observe("adapt", &draft);
    let draft = draft.through(PASSES.iter().filter(|pass| pass.adapts), &planning, observe)?;
    draft.planned(Some(deviation)).map(Some)
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
            format!(
                "{from} gave {least}{} rows where {expected} were expected: what had not started was planned again",
                counted.rows
            )
        })
    })
}

/// Returns the plan with the plans of the fragments that wait for keys in the place of their exchanges. The other
/// fragments stay exchanges, which run already.
fn unstarted(planned: &Planned, counted: &BTreeMap<usize, Counted>) -> DataFusionResult<LogicalPlan> {
    let plan = planned.plan.clone().transform_up_with_subqueries(|node| {
        let Some(exchange) = Exchange::of(&node) else { return Ok(Transformed::no(node)) };
        let fragment = exchange.fragment.clone();
        if fragment.edge.keys.is_some() {
            return Ok(Transformed::yes(fragment.plan.clone()));
        }
        let rows = counted.get(&fragment.number).map(|c| c.rows as f64);
        // A fragment that was not counted to its end may return as many rows as were expected, or more.
        let whole = counted.get(&fragment.number).is_some_and(|c| c.all);
        let rows = rows.map(|rows| if whole { rows } else { rows.max(fragment.edge.rows) });
        let running = Some(Running { number: fragment.number, rows });
        Ok(Transformed::yes(LogicalPlan::Extension(Extension { node: Arc::new(Exchange { fragment, running }) })))
    })?;
    Ok(plan.data)
}
