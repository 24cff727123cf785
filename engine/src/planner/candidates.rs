//! Candidates: the sites for an operator's rows, with what it costs to have them there.
//!
//! The order pass searches for candidates of sets of relations, in many orders. The other passes use [`CandidateTree`],
//! the candidates of one plan's operators.

mod edges;
mod forced;
mod keys;
mod repeated;
mod search;
mod sites;
mod tree;

use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::LogicalPlan;

pub(super) use self::forced::OperatorCounter;
pub(super) use self::repeated::{Repeated, savings};
pub(super) use self::sites::{other_sites, site_and_domains, site_of};
pub(super) use self::tree::CandidateTree;
use super::movement::{EdgeCandidate, Routes, Transfer};
use crate::Settings;
use crate::plan::{Cost, SiteChoice};

/// A candidate: a site for some rows, the cost of the rows there, and the decisions that lead to it.
///
/// The parameters are the terms of a search: `S` for sites, `R` for the rows of an edge, `D` for decisions.
#[derive(Clone, Debug)]
pub(super) struct Candidate<S, R, D> {
    pub(super) site: S,
    pub(super) cost: Cost,
    /// The edges to the site that keys may still cut, in the order of the inputs.
    pub(super) edges: Vec<EdgeCandidate<R>>,
    pub(super) decisions: D,
}

impl<S, R, D> Candidate<S, R, D> {
    /// Returns the candidate of rows that no decision leads to, such as the rows of a port.
    pub(super) fn leaf(site: S, cost: Cost) -> Self
    where
        D: Default,
    {
        Self { site, cost, edges: vec![], decisions: D::default() }
    }

    /// Returns the transfer of the rows to an operator at the same site.
    pub(super) fn stay(&self) -> Transfer<'_, S, R> {
        Transfer::stay(&self.site, self.cost, &self.edges)
    }

    /// Returns the transfer of the rows over an edge to the site `to`.
    pub(super) fn cross(&self, edge: EdgeCandidate<R>, to: &SiteChoice) -> Transfer<'_, S, R> {
        Transfer::cross(&self.site, self.cost, edge, to)
    }
}

/// Returns the cost, in milliseconds, of a plan's rows in this process.
pub(super) fn cost_here(plan: &LogicalPlan, settings: &Settings, routes: Routes<'_>) -> DataFusionResult<f64> {
    let tree = CandidateTree::of(plan, settings, routes)?;
    Ok(tree.cheapest_here(routes).map_or(f64::INFINITY, |transfer| transfer.cost.milliseconds))
}
