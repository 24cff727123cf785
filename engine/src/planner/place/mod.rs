//! Pass 6, place: every operator gets a site, so that the whole costs least: here, where everything comes, or an owner
//! of what it reads. A join of two owners is done here, with or without keys of one side for the other, or by one of the
//! two, which pulls from the other. Each operator that stays here though an owner holds its input keeps the reason.
//!
//! Before: `Join(Filter(scan sales.a), scan supply.b)`.
//! After: `Join @here: combines sales at … with supply at … (Filter(scan sales.a) @sales, scan supply.b @supply)`.

use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{LogicalPlan, Sort};
use portolan_catalog::DomainName;

mod edges;
mod forced;
mod keys;
mod search;
mod tree;

use self::forced::Numbers;
pub(super) use self::forced::force_sides;
use self::tree::{CandidateTree, SearchSpace};
use super::candidates::peers;
use super::movement::Routes;
use crate::execution::errors::from_datafusion;
use crate::plan::{Edge, Placed, SiteChoice};
use crate::{Error, ErrorKind, Result, Settings};

/// Gives every operator a site.
pub(super) fn place(plan: &LogicalPlan, settings: &Settings, routes: Routes<'_>) -> Result<Placed> {
    let root = weighed(plan, settings, routes).map_err(|e| from_datafusion(&e))?;
    let transfer = root
        .cheapest_here(routes)
        .ok_or_else(|| Error::new(ErrorKind::Internal, "there is no way to have the rows of the plan here"))?;
    let mut edges = transfer.edges().iter().map(|edge| edge.decided());
    let mut placed = root.placed(transfer.from, &SiteChoice::Here, settings, &mut edges);
    if !matches!(placed.site, SiteChoice::Peer(_)) {
        keep_order(&mut placed);
    }
    Ok(placed)
}

/// What it costs, in milliseconds, to have the rows of a plan here.
pub(super) fn cost(plan: &LogicalPlan, settings: &Settings, routes: Routes<'_>) -> DataFusionResult<f64> {
    let root = weighed(plan, settings, routes)?;
    Ok(root.cheapest_here(routes).map_or(f64::INFINITY, |transfer| transfer.cost.milliseconds))
}

/// Returns the operators of a plan with their candidates.
fn weighed(plan: &LogicalPlan, settings: &Settings, routes: Routes<'_>) -> DataFusionResult<CandidateTree> {
    let sites = peers(plan)?;
    CandidateTree::of(plan, SearchSpace { settings, routes, sites: &sites }, &mut Numbers::default())
}

impl CandidateTree {
    /// The operator and everything below it, at the sites that lead to the candidate at `site`. `wanted` is where its rows
    /// are needed. `edges` are those that cross to this process, in order.
    fn placed(
        &self,
        site: &SiteChoice,
        wanted: &SiteChoice,
        settings: &Settings,
        edges: &mut impl Iterator<Item = Edge>,
    ) -> Placed {
        let candidate = self.candidate(site);
        let crosses = matches!(site, SiteChoice::Peer(_)) && *wanted == SiteChoice::Here;
        let edge = if crosses { edges.next() } else { None };
        let mut from = candidate.map(|c| c.decisions.from.clone()).unwrap_or_default().into_iter();
        let mut part = |node: &Self| {
            let site_of_part = from.next().unwrap_or(SiteChoice::Anywhere);
            node.placed(&site_of_part, site, settings, edges)
        };
        let inputs: Vec<Placed> = self.inputs.iter().map(&mut part).collect();
        let subqueries: Vec<Placed> = self.subqueries.iter().map(&mut part).collect();
        let reason = (*site == SiteChoice::Here).then(|| self.reason(&inputs, &subqueries, settings)).flatten();
        Placed {
            plan: self.plan.clone(),
            site: site.clone(),
            reason,
            inputs,
            subqueries,
            domains: self.domains.clone(),
            rows: self.rows.rows,
            decision: candidate.and_then(|c| c.decisions.decision.clone()),
            edge,
            fragment: None,
        }
    }

    /// Why it runs here though an owner holds an input.
    fn reason(&self, inputs: &[Placed], subqueries: &[Placed], settings: &Settings) -> Option<String> {
        let parts = || inputs.iter().chain(subqueries);
        let mut sites = parts().map(|i| &i.site).filter(|s| **s != SiteChoice::Anywhere);
        let first = sites.next()?;
        if !sites.all(|s| s == first) {
            return Some(combines(parts()));
        }
        match (first, &self.refusal) {
            (SiteChoice::Peer(_), _) if !settings.placement => Some("portolan.placement is off".into()),
            (SiteChoice::Peer(_), _) if !self.is_pushed(settings) => Some("portolan.pushdown is scans".into()),
            (SiteChoice::Peer(_), Some(reason)) => Some(reason.clone()),
            (SiteChoice::Peer(_), None) => Some("it costs less here than there".into()),
            _ => None,
        }
    }
}

/// "combines sales at grpc://a with supply at grpc://b".
fn combines<'a>(inputs: impl Iterator<Item = &'a Placed>) -> String {
    let mut sides: Vec<String> = vec![];
    for input in inputs.filter(|i| i.site != SiteChoice::Anywhere) {
        let domains: Vec<&str> = input.domains.iter().map(DomainName::as_str).collect();
        let side = match &input.site {
            SiteChoice::Peer(site) => format!("{} at {site}", domains.join(", ")),
            _ if domains.is_empty() => "tables of this node".into(),
            _ => format!("{} here", domains.join(", ")),
        };
        if !sides.contains(&side) {
            sides.push(side);
        }
    }
    format!("combines {}", sides.join(" with "))
}

/// Rows cross an edge in no promised order. Where a fragment's root hands an order upwards (a sort, or a limit or
/// projection over one), the operators down to the sort stay here; a sort with a limit runs on both sides.
fn keep_order(here: &mut Placed) {
    let hands_order_up = hands_order_up(&here.plan);
    for input in &mut here.inputs {
        if hands_order_up && matches!(input.site, SiteChoice::Peer(_)) && carries_order(&input.plan) {
            let reason = Some("its order must reach the result".into());
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
        if !matches!(input.site, SiteChoice::Peer(_)) {
            keep_order(input);
        }
    }
    for subquery in &mut here.subqueries {
        if !matches!(subquery.site, SiteChoice::Peer(_)) {
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
