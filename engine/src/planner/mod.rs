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
mod failing;
mod movement;
mod normalise;
mod order;
mod place;
pub(crate) mod resolve;
mod sides;
mod split;

use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;

pub(crate) use adapt::{adapt, awaited};
pub(crate) use analyse::{analyse, analyse_statement};

use self::movement::Routes;
use crate::execution::errors::from_datafusion;
use crate::mesh::MeshView;
use crate::plan::Planned;
use crate::settings::Pushdown;
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
    let routes = Routes { view, delegate: !pinned };
    let normalised = normalise::normalise(state, analysed)?;
    let ordered = match settings.placement && settings.join_order {
        true => order::order(&normalised, state, routes)?,
        false => normalised.clone(),
    };
    let ordered = sides::force_sides(ordered, settings).map_err(|e| from_datafusion(&e))?;
    let splits = settings.placement && settings.pushdown == Pushdown::All;
    let split = if splits { split::split(&ordered, settings, routes)? } else { ordered };
    let placed = place::place(&split, settings, routes)?;
    let (plan, placed, fragments) = cut::cut(placed, state, routes, None)?;
    Ok(Planned { normalised, placed, plan, fragments, adapted: None })
}

#[cfg(test)]
mod tests;
