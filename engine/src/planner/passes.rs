//! The list of the passes that run over an analysed plan. Planning, planning a running query again, `EXPLAIN VERBOSE`
//! and the snapshot tests all use this list.

use std::sync::Arc;

use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;

use super::govern::PortRules;
use super::movement::Routes;
use super::share::CutPlan;
use super::{cut, govern, normalise, order, place, share, sides, split, widen};
use crate::execution::errors::from_datafusion;
use crate::plan::{Fragment, Placed, Planned};
use crate::settings::Pushdown;
use crate::{Error, ErrorKind, Result, Settings};

/// A planning pass: it returns a plan that the local node can run, with the same rows.
pub(super) struct Pass {
    pub(super) name: &'static str,
    /// A description of the pass, in one line. The book's chapter on planning has the same line.
    pub(super) what: &'static str,
    /// True if the pass runs again when a query is adapted.
    pub(super) adapts: bool,
    run: fn(&Planning<'_>, Draft) -> Result<Draft>,
}

/// The passes over an analysed plan, in order.
pub(super) const PASSES: &[Pass] = &[
    Pass {
        name: "govern",
        what: "replaces each port of this node by what the principal may see",
        adapts: false,
        run: govern,
    },
    Pass {
        name: "normalise",
        what: "DataFusion's optimizer: pushes filters and projections down",
        adapts: false,
        run: normalise,
    },
    Pass {
        name: "enclose",
        what: "puts the policies of each governed port below a barrier",
        adapts: false,
        run: enclose,
    },
    Pass {
        name: "order",
        what: "puts inner joins into the cheapest order, with the build side on the left",
        adapts: true,
        run: order,
    },
    Pass {
        name: "widen",
        what: "makes parts equal that differ only in their columns or conditions",
        adapts: true,
        run: widen,
    },
    Pass {
        name: "split",
        what: "divides an aggregate or a TopN above the owners' rows into parts, if this costs less",
        adapts: false,
        run: split,
    },
    Pass { name: "place", what: "gives every operator a site", adapts: true, run: place },
    Pass {
        name: "cut",
        what: "turns each part at one site into a fragment, with an exchange in its place",
        adapts: true,
        run: cut,
    },
    Pass {
        name: "share",
        what: "computes equal parts of the local node's plan once, and sends equal fragments once",
        adapts: true,
        run: share,
    },
];

/// The inputs of planning that stay the same from pass to pass.
#[derive(Clone, Copy)]
pub(super) struct Planning<'a> {
    pub(super) state: &'a SessionState,
    pub(super) settings: &'a Settings,
    pub(super) routes: Routes<'a>,
    /// The rules for the ports of this node; `None` if they are in the plan already, when a query is adapted.
    pub(super) rules: Option<&'a PortRules>,
    /// The placed plan whose fragments run already, when a query is adapted.
    pub(super) running: Option<&'a Placed>,
}

/// A plan between two passes.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// The result of the pass `normalise`. Before this pass, the analysed plan.
    pub(super) normalised: LogicalPlan,
    /// The plan that the local node would run now.
    pub(crate) plan: LogicalPlan,
    /// The operators with their sites, from the pass `place` on.
    pub(crate) placed: Option<Placed>,
    /// The parts that run elsewhere, from the pass `cut` on.
    pub(super) fragments: Vec<Arc<Fragment>>,
}

/// Receives the plan after each pass, with the name of the pass.
pub(crate) type Observer<'a> = dyn FnMut(&'static str, &Draft) + 'a;

impl Draft {
    /// Returns a plan that no pass has changed yet.
    pub(super) fn new(normalised: LogicalPlan, plan: LogicalPlan) -> Self {
        Self { normalised, plan, placed: None, fragments: vec![] }
    }

    /// Runs passes over the plan.
    ///
    /// # Errors
    /// As for [`super::plan`].
    pub(super) fn through<'p>(
        mut self,
        passes: impl IntoIterator<Item = &'p Pass>,
        planning: &Planning<'_>,
        observe: &mut Observer<'_>,
    ) -> Result<Self> {
        for pass in passes {
            tracing::trace!(pass = pass.name, "{}", pass.what);
            self = (pass.run)(planning, self)?;
            observe(pass.name, &self);
        }
        Ok(self)
    }

    /// Returns the planned query after the last pass. `adapted` is the reason if a running query was planned again.
    ///
    /// # Errors
    /// `Internal` if no pass has placed the plan.
    pub(super) fn planned(self, adapted: Option<String>) -> Result<Planned> {
        let Self { normalised, plan, placed, fragments } = self;
        let placed = placed.ok_or_else(unplaced)?;
        Ok(Planned { normalised, placed, plan, fragments, adapted })
    }
}

fn govern(planning: &Planning<'_>, draft: Draft) -> Result<Draft> {
    match planning.rules {
        Some(rules) => Ok(Draft { plan: govern::govern(&draft.plan, rules)?, ..draft }),
        None => Ok(draft),
    }
}

fn enclose(planning: &Planning<'_>, draft: Draft) -> Result<Draft> {
    let Some(rules) = planning.rules else { return Ok(draft) };
    if let Some(account) = &rules.account {
        account.reads_scans(&draft.plan);
    }
    let plan = govern::enclose(planning.state, &draft.plan, rules)?;
    Ok(Draft { normalised: plan.clone(), plan, ..draft })
}

fn normalise(planning: &Planning<'_>, draft: Draft) -> Result<Draft> {
    let plan = normalise::normalise(planning.state, &draft.plan)?;
    Ok(Draft { normalised: plan.clone(), plan, ..draft })
}

fn order(planning: &Planning<'_>, draft: Draft) -> Result<Draft> {
    let Planning { state, settings, routes, .. } = *planning;
    let ordered = match settings.placement && settings.join_order {
        true => order::order(&draft.plan, state, routes)?,
        false => draft.plan,
    };
    // A setting that forces a strategy may choose the build side too.
    let plan = sides::force_sides(ordered, settings, routes.view).map_err(|e| from_datafusion(&e))?;
    Ok(Draft { plan, ..draft })
}

fn widen(planning: &Planning<'_>, draft: Draft) -> Result<Draft> {
    if !planning.settings.share {
        return Ok(draft);
    }
    let plan = widen::widen(draft.plan).map_err(|e| from_datafusion(&e))?;
    Ok(Draft { plan, ..draft })
}

fn split(planning: &Planning<'_>, draft: Draft) -> Result<Draft> {
    let Planning { settings, routes, .. } = *planning;
    if !settings.placement || settings.pushdown != Pushdown::All {
        return Ok(draft);
    }
    let plan = split::split(&draft.plan, settings, routes)?;
    Ok(Draft { plan, ..draft })
}

fn place(planning: &Planning<'_>, draft: Draft) -> Result<Draft> {
    let placed = place::place(&draft.plan, planning.settings, planning.routes)?;
    Ok(Draft { placed: Some(placed), ..draft })
}

fn cut(planning: &Planning<'_>, draft: Draft) -> Result<Draft> {
    let Planning { routes, running, .. } = *planning;
    let placed = draft.placed.ok_or_else(unplaced)?;
    let (plan, placed, fragments) = cut::cut(placed, routes, running)?;
    Ok(Draft { plan, placed: Some(placed), fragments, ..draft })
}

fn share(planning: &Planning<'_>, draft: Draft) -> Result<Draft> {
    let Draft { normalised, plan, placed, fragments } = draft;
    let cut = CutPlan { plan, placed: placed.ok_or_else(unplaced)?, fragments };
    let CutPlan { plan, placed, fragments } = share::share(cut, planning.settings).map_err(|e| from_datafusion(&e))?;
    Ok(Draft { normalised, plan, placed: Some(placed), fragments })
}

fn unplaced() -> Error {
    Error::new(ErrorKind::Internal, "a plan was cut before its operators had sites")
}
