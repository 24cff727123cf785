//! Pass 9, place: every operator gets a site, so that the whole plan costs least. The site is the local node, which
//! fetches the rows, or an owner of a port that the operator reads. A join of two owners' rows runs at the local node,
//! with or without keys from one side to the other, or at one of the owners, which fetches the rows of the other. An
//! operator that stays here although an owner holds its input keeps the reason. The rules about the places of values
//! (`residency.rs`) exclude sites and keys.
//!
//! Before: `Join(Filter(scan sales.a), scan supply.b)`.
//! After: `Join @here: combines sales at … with supply at … (Filter(scan sales.a) @sales, scan supply.b @supply)`.

use std::collections::BTreeSet;

use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::LogicalPlan;
use portolan_catalog::DomainName;

use super::candidates::{CandidateTree, Repeated, savings};
use super::movement::Routes;
use super::narrow_here::narrow_here;
use super::row_order::{carries_order, keep_order, sort_here};
use super::same::may_have_equal_parts;
use crate::execution::errors::from_datafusion;
use crate::names::Barrier;
use crate::plan::{Edge, Placed, Reason, SiteChoice};
use crate::{Error, ErrorKind, Result, Settings};

/// The largest number of rules about the places of values that the reason of one operator shows.
const SHOWN_RULES: usize = 4;

/// Gives every operator a site.
pub(super) fn place(plan: &LogicalPlan, settings: &Settings, routes: Routes<'_>) -> Result<Placed> {
    let shares = settings.share && may_have_equal_parts(plan).map_err(|e| from_datafusion(&e))?;
    // A forced strategy leaves nothing to choose.
    let repeated = match shares && settings.placement && settings.strategy.is_empty() {
        true => Repeated::of(plan),
        false => Ok(Repeated::default()),
    };
    let placed = cheapest(plan, settings, routes, &repeated.map_err(|e| from_datafusion(&e))?);
    let mut placed = placed
        .map_err(|e| from_datafusion(&e))?
        .ok_or_else(|| Error::new(ErrorKind::Internal, "no site can return the rows of the plan to this node"))?;
    // A node returns rows in the order of its plan. A database promises no order but that of a limit.
    if let SiteChoice::Site(site) = &placed.site
        && !routes.view.capabilities(site).runs_everything()
        && carries_order(&placed.plan)
    {
        sort_here(&mut placed);
    }
    if !matches!(placed.site, SiteChoice::Site(_)) {
        keep_order(&mut placed);
    }
    if shares {
        narrow_here(&mut placed);
    }
    Ok(placed)
}

/// Gives the operators of a plan the cheapest sites. Either each reader of a repeated part gets its rows where they cost the
/// reader least, or all readers get them at the local node, where the part runs once.
fn cheapest(
    plan: &LogicalPlan,
    settings: &Settings,
    routes: Routes<'_>,
    repeated: &Repeated,
) -> DataFusionResult<Option<Placed>> {
    let alternative = |gathered: &Repeated| {
        let tree = CandidateTree::gathering(plan, settings, routes, gathered)?;
        let Some(transfer) = tree.cheapest_here(routes) else { return Ok(None) };
        let mut edges = transfer.edges().iter().map(|edge| edge.decided());
        let placed = placed(&tree, transfer.from, &SiteChoice::Here, settings, &mut edges);
        let saved = savings(&tree, &placed, repeated, routes);
        Ok::<_, DataFusionError>(Some((transfer.cost.milliseconds - saved, placed)))
    };
    let apart = alternative(&Repeated::default())?;
    let together = if repeated.is_empty() { None } else { alternative(repeated)? };
    Ok(match (apart, together) {
        (Some(apart), Some(together)) if together.0 < apart.0 => Some(together.1),
        (Some((_, placed)), _) | (None, Some((_, placed))) => Some(placed),
        (None, None) => None,
    })
}

/// Returns an operator and everything below it, at the sites that lead to the candidate at `site`. Its rows are needed
/// at `wanted`. `edges` are the edges to this process, in order.
fn placed(
    operator: &CandidateTree,
    site: &SiteChoice,
    wanted: &SiteChoice,
    settings: &Settings,
    edges: &mut impl Iterator<Item = Edge>,
) -> Placed {
    let candidate = operator.candidate(site);
    let crosses = matches!(site, SiteChoice::Site(_)) && *wanted == SiteChoice::Here;
    let edge = if crosses { edges.next() } else { None };
    let mut from = candidate.map(|c| c.decisions.from.clone()).unwrap_or_default().into_iter();
    let mut part = |part: &CandidateTree| {
        let site_of_part = from.next().unwrap_or(SiteChoice::Anywhere);
        placed(part, &site_of_part, site, settings, edges)
    };
    let inputs: Vec<Placed> = operator.inputs.iter().map(&mut part).collect();
    let subqueries: Vec<Placed> = operator.subqueries.iter().map(&mut part).collect();
    // What is below a barrier must not show: a policy may leave nothing to read.
    let may_have_reason = *site == SiteChoice::Here && Barrier::of(&operator.plan).is_none();
    let reason = may_have_reason.then(|| reason(operator, &inputs, &subqueries, settings)).flatten();
    Placed {
        plan: operator.plan.clone(),
        site: site.clone(),
        reason,
        inputs,
        subqueries,
        domains: operator.domains.clone(),
        rows: operator.rows.rows,
        decision: candidate.and_then(|c| c.decisions.decision.clone()),
        edge,
        fragment: None,
        shared: None,
    }
}

/// Returns why an operator runs here although an owner holds an input; `None` if nothing needs a reason.
fn reason(operator: &CandidateTree, inputs: &[Placed], subqueries: &[Placed], settings: &Settings) -> Option<Reason> {
    let parts = || inputs.iter().chain(subqueries);
    let mut sites = parts().map(|i| &i.site).filter(|s| **s != SiteChoice::Anywhere);
    let first = sites.next()?;
    if !sites.all(|s| s == first) {
        return Some(combines(parts(), &operator.rules));
    }
    let SiteChoice::Site(site) = first else { return None };
    Some(match operator.refusal.as_ref().or_else(|| operator.refusals.get(site)) {
        _ if !settings.placement => Reason::PlacementOff,
        _ if !operator.is_pushed(settings) => Reason::PushdownOff,
        Some(refusal) => Reason::Refused(refusal.clone()),
        None => Reason::Cost,
    })
}

/// Returns a reason such as "combines sales at grpc://a with supply at grpc://b", with the first of the rules about the
/// places of values that restrict how.
fn combines<'a>(inputs: impl Iterator<Item = &'a Placed>, rules: &BTreeSet<String>) -> Reason {
    let mut sides: Vec<String> = vec![];
    for input in inputs.filter(|i| i.site != SiteChoice::Anywhere) {
        let domains: Vec<&str> = input.domains.iter().map(DomainName::as_str).collect();
        let side = match &input.site {
            SiteChoice::Site(site) => format!("{} at {site}", domains.join(", ")),
            _ if domains.is_empty() => "tables of this node".into(),
            _ => format!("{} here", domains.join(", ")),
        };
        if !sides.contains(&side) {
            sides.push(side);
        }
    }
    Reason::Combines { sides, rules: rules.iter().take(SHOWN_RULES).cloned().collect() }
}
