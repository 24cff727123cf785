//! Plans a query across owners: one ordered list of passes, one pass a file. After each pass the plan still runs here
//! and gives the same rows; placement changes where work is done, never what comes out.
//!
//! No pass imports another. They share candidates (sites with costs), movement (rows between sites), cardinalities and
//! costs.

mod adapt;
mod analyse;
mod candidates;
pub(crate) mod cardinality;
mod cost;
mod cut;
mod infallible;
mod movement;
mod normalise;
mod order;
mod passes;
mod place;
pub(crate) mod resolve;
mod sides;
mod split;

use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;

pub(crate) use adapt::{adapt, awaited};
pub(crate) use analyse::{analyse, analyse_statement};
pub(crate) use passes::{Draft, Observer};

use self::movement::Routes;
use self::passes::{PASSES, Planning};
use crate::mesh::MeshView;
use crate::plan::Planned;
use crate::{Result, Settings};

/// Runs the passes over an analysed plan. No I/O.
///
/// Two passes run before: [`resolve::resolve`] turns text into a plan over known ports, and [`analyse()`] gives every
/// expression its type. `pinned` marks a fragment that another node sent: it is not sent on to a third node.
///
/// # Errors
/// `InvalidQuery` where the query makes no sense (a type that does not fit, say); `Unsupported` where a shape cannot
/// be planned.
pub(crate) fn plan(
    state: &SessionState,
    analysed: &LogicalPlan,
    settings: &Settings,
    view: &MeshView,
    pinned: bool,
) -> Result<Planned> {
    plan_observed(state, analysed, settings, view, pinned, &mut |_, _| {})
}

/// As [`plan`], and shows the plan to `observe` before the first pass and after each one.
///
/// # Errors
/// As [`plan`].
pub(crate) fn plan_observed(
    state: &SessionState,
    analysed: &LogicalPlan,
    settings: &Settings,
    view: &MeshView,
    pinned: bool,
    observe: &mut Observer<'_>,
) -> Result<Planned> {
    let routes = Routes { view, delegate: !pinned };
    let planning = Planning { state, settings, routes, running: None };
    let draft = Draft::new(analysed.clone(), analysed.clone());
    observe("analyse", &draft);
    draft.through(PASSES, &planning, observe)?.planned(None)
}

#[cfg(test)]
mod tests;
