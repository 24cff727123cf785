//! Plans a query across owners: an ordered list of passes, one pass a file. After each pass, the local node can run the
//! plan, with the same rows. Placement changes where work is done, and never the result.
//!
//! No pass imports another. They share the comparison of plans, candidates (sites with costs), movement (rows between sites), residency and lineage
//! (the places where values may go), cardinalities and costs.

mod adapt;
mod analyse;
mod candidates;
pub(crate) mod cardinality;
mod cost;
mod cut;
pub(crate) mod govern;
mod infallible;
mod lineage;
mod map_parts;
mod movement;
mod narrow_here;
pub(crate) mod normalise;
mod order;
mod passes;
mod place;
mod residency;
pub(crate) mod resolve;
mod row_order;
mod same;
mod share;
mod sides;
mod split;
mod widen;

use std::sync::Arc;

use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;

pub(crate) use adapt::{adapt, awaited};
pub(crate) use analyse::{analyse, analyse_statement};
pub(crate) use passes::{Draft, Observer};
pub(crate) use residency::check_path;

use self::govern::PortRules;
use self::movement::Routes;
use self::passes::{PASSES, Planning};
use crate::mesh::MeshView;
use crate::plan::Planned;
use crate::{Result, Settings};

/// Runs the passes over an analysed plan. They do no I/O.
///
/// Two passes run before: [`resolve::resolve`] turns text into a plan over known ports, and [`analyse()`] gives every
/// expression its type. `is_fragment` is true for a fragment that another node sent: owners do not fetch rows from one
/// another for it.
///
/// # Errors
/// `InvalidQuery` if the query is invalid, such as one whose types do not match; `Unsupported` if the planner cannot
/// plan its shape.
pub(crate) fn plan(
    state: &SessionState,
    analysed: &LogicalPlan,
    settings: &Settings,
    view: &Arc<MeshView>,
    rules: &PortRules,
    is_fragment: bool,
) -> Result<Planned> {
    plan_observed(state, analysed, settings, view, rules, is_fragment, &mut |_, _| {})
}

/// Runs the passes as [`plan`] does, and shows the plan to `observe` before the first pass and after each one.
///
/// # Errors
/// As for [`plan`].
pub(crate) fn plan_observed(
    state: &SessionState,
    analysed: &LogicalPlan,
    settings: &Settings,
    view: &Arc<MeshView>,
    rules: &PortRules,
    is_fragment: bool,
    observe: &mut Observer<'_>,
) -> Result<Planned> {
    let routes = Routes { view, is_fragment };
    let planning = Planning { state, settings, routes, rules: Some(rules), running: None };
    let draft = Draft::new(analysed.clone(), analysed.clone());
    observe("analyse", &draft);
    draft.through(PASSES, &planning, observe)?.planned(None)
}

#[cfg(test)]
mod tests;
