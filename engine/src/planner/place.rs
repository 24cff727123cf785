//! Pass 6, place: every operator gets a site, so that the whole costs least: here, where everything comes, or an owner
//! of what it reads. A join of two owners is done here, with or without keys of one side for the other, or by one of
//! the two, which pulls from the other. Each operator that stays here though an owner holds its input keeps the reason.
//!
//! Before: `Join(Filter(scan sales.a), scan supply.b)`.
//! After: `Join @here: combines sales at … with supply at … (Filter(scan sales.a) @sales, scan supply.b @supply)`.

use datafusion::logical_expr::{LogicalPlan, Sort};
use portolan_catalog::DomainName;

use super::candidates::CandidateTree;
use super::movement::Routes;
use crate::execution::errors::from_datafusion;
use crate::plan::{Edge, Placed, Reason, SiteChoice};
use crate::{Error, ErrorKind, Result, Settings};

/// Gives every operator a site.
pub(super) fn place(plan: &LogicalPlan, settings: &Settings, routes: Routes<'_>) -> Result<Placed> {
    let root = CandidateTree::of(plan, settings, routes).map_err(|e| from_datafusion(&e))?;
    let transfer = root
        .cheapest_here(routes)
        .ok_or_else(|| Error::new(ErrorKind::Internal, "there is no way to have the rows of the plan here"))?;
    let mut edges = transfer.edges().iter().map(|edge| edge.decided());
    let mut placed = placed(&root, transfer.from, &SiteChoice::Here, settings, &mut edges);
    if !matches!(placed.site, SiteChoice::Site(_)) {
        keep_order(&mut placed);
    }
    Ok(placed)
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
    let reason = (*site == SiteChoice::Here).then(|| reason(operator, &inputs, &subqueries, settings)).flatten();
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
    }
}

/// Returns why an operator runs here although an owner holds an input; `None` if nothing needs a reason.
fn reason(operator: &CandidateTree, inputs: &[Placed], subqueries: &[Placed], settings: &Settings) -> Option<Reason> {
    let parts = || inputs.iter().chain(subqueries);
    let mut sites = parts().map(|i| &i.site).filter(|s| **s != SiteChoice::Anywhere);
    let first = sites.next()?;
    if !sites.all(|s| s == first) {
        return Some(combines(parts()));
    }
    let SiteChoice::Site(site) = first else { return None };
    Some(match operator.refusal.as_ref().or_else(|| operator.refusals.get(site)) {
        _ if !settings.placement => Reason::PlacementOff,
        _ if !operator.is_pushed(settings) => Reason::PushdownOff,
        Some(refusal) => Reason::Refused(refusal.clone()),
        None => Reason::Cost,
    })
}

/// "combines sales at grpc://a with supply at grpc://b".
fn combines<'a>(inputs: impl Iterator<Item = &'a Placed>) -> Reason {
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
    Reason::Combines(sides)
}

/// Rows cross an edge in no promised order. Where a fragment's root hands an order upwards (a sort, or a limit or
/// projection over one), the operators down to the sort stay here; a sort with a limit runs on both sides.
fn keep_order(here: &mut Placed) {
    let hands_order_up = hands_order_up(&here.plan);
    for input in &mut here.inputs {
        if hands_order_up && matches!(input.site, SiteChoice::Site(_)) && carries_order(&input.plan) {
            let reason = Some(Reason::Order);
            match &input.plan {
                LogicalPlan::Sort(Sort { fetch: Some(_), .. }) => {
                    let below = input.clone();
                    *input = Placed { site: SiteChoice::Here, reason, inputs: vec![below], ..input.clone() };
                    continue;
                }
                _ => {
                    input.site = SiteChoice::Here;
                    input.reason = reason;
                }
            }
        }
        if !matches!(input.site, SiteChoice::Site(_)) {
            keep_order(input);
        }
    }
    for subquery in &mut here.subqueries {
        if !matches!(subquery.site, SiteChoice::Site(_)) {
            keep_order(subquery);
        }
    }
}

/// Whether the rows of an operator come in the order in which its input gives them.
fn hands_order_up(plan: &LogicalPlan) -> bool {
    matches!(
        plan,
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Limit(_) | LogicalPlan::Filter(_)
    )
}

fn carries_order(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        _ if hands_order_up(plan) => plan.inputs().first().is_some_and(|i| carries_order(i)),
        _ => false,
    }
}
