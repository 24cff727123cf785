//! The operators of a plan as a tree, each with its candidates.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, LogicalPlan};
use portolan_catalog::DomainName;
use portolan_connectors::{Refusal, SiteId};

use super::edges::OperatorTransfer;
use super::forced::OperatorCounter;
use super::search::OperatorCandidate;
use super::sites::other_sites;
use crate::plan::SiteChoice;
use crate::planner::cardinality::{self, Cardinality};
use crate::planner::lineage::{self, Guards};
use crate::planner::movement::{Owned, Routes, moved};
use crate::settings::Settings;

/// An operator with its candidates, and the trees of its inputs and subqueries.
pub(in crate::planner) struct CandidateTree {
    /// The number of the operator in its plan.
    pub(super) number: usize,
    pub(in crate::planner) plan: LogicalPlan,
    pub(in crate::planner) inputs: Vec<CandidateTree>,
    pub(in crate::planner) subqueries: Vec<CandidateTree>,
    pub(in crate::planner) domains: BTreeSet<DomainName>,
    /// The sites of the ports that the operator and everything below read.
    pub(super) port_sites: BTreeSet<SiteChoice>,
    pub(in crate::planner) rows: Cardinality,
    /// The reason why no other site may run the operator with everything below; `None` if a node may.
    pub(in crate::planner) refusal: Option<Refusal>,
    /// The reasons why sites do not run the operator with everything below, for each site of the plan that does not.
    pub(in crate::planner) refusals: BTreeMap<SiteId, Refusal>,
    /// The guarded columns whose values are in each column of the operator.
    pub(super) guards: Vec<Guards>,
    /// The reasons why sites must not get the rows of ports below, for each site of the plan that must not.
    pub(super) confined: BTreeMap<SiteId, String>,
    /// The rules about the places of values that restrict how the operator combines sites, for EXPLAIN.
    pub(in crate::planner) rules: BTreeSet<String>,
    /// The cheapest candidate for each site that has one.
    pub(super) candidates: Vec<OperatorCandidate>,
    /// The only site that owns ports below, `Anywhere` if there are no ports; `None` if several sites do.
    pub(super) sole_site: Option<SiteChoice>,
}

/// The inputs of a search for candidates, besides the plan.
#[derive(Clone, Copy)]
pub(super) struct SearchSpace<'a> {
    pub(super) settings: &'a Settings,
    pub(super) routes: Routes<'a>,
    /// The other sites whose ports the plan reads. Each may run a part.
    pub(super) sites: &'a [SiteId],
}

impl CandidateTree {
    /// Finds the candidates of a plan's operators.
    pub(in crate::planner) fn of(
        plan: &LogicalPlan,
        settings: &Settings,
        routes: Routes<'_>,
    ) -> DataFusionResult<Self> {
        let sites = other_sites(plan)?;
        Self::of_operator(plan, SearchSpace { settings, routes, sites: &sites }, &mut OperatorCounter::default())
    }

    fn of_operator(
        plan: &LogicalPlan,
        space: SearchSpace<'_>,
        counter: &mut OperatorCounter,
    ) -> DataFusionResult<Self> {
        let forced = counter.forced(plan, space.settings, space.routes.view)?;
        let inputs: Vec<Self> =
            plan.inputs().into_iter().map(|i| Self::of_operator(i, space, counter)).collect::<DataFusionResult<_>>()?;
        let mut subqueries = vec![];
        // Only the subqueries of this operator's own expressions: their inputs come with the recursion.
        plan.apply_expressions(|expr| {
            expr.apply(|e| {
                let subquery = match e {
                    Expr::ScalarSubquery(s) => s,
                    Expr::InSubquery(s) => &s.subquery,
                    Expr::Exists(s) => &s.subquery,
                    _ => return Ok(TreeNodeRecursion::Continue),
                };
                subqueries.push(Self::of_operator(&LogicalPlan::Subquery(subquery.clone()), space, counter)?);
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        let below: Vec<Cardinality> = inputs.iter().map(|i| i.rows.clone()).collect();
        let guards: Vec<&[Guards]> = inputs.iter().map(|i| i.guards.as_slice()).collect();
        let mut tree = Self {
            number: counter.next_operator(),
            plan: plan.clone(),
            domains: inputs.iter().chain(&subqueries).flat_map(|i| i.domains.clone()).collect(),
            port_sites: inputs.iter().chain(&subqueries).flat_map(|i| i.port_sites.clone()).collect(),
            rows: cardinality::estimate_operator(plan, &below),
            refusal: None,
            refusals: BTreeMap::new(),
            guards: lineage::of_operator(plan, &guards, space.routes.view),
            confined: BTreeMap::new(),
            rules: BTreeSet::new(),
            candidates: vec![],
            sole_site: None,
            inputs,
            subqueries,
        };
        tree.find_candidates(space, forced);
        Ok(tree)
    }

    /// Returns the transfer to this process of the candidate whose rows cost least here.
    pub(in crate::planner) fn cheapest_here(&self, routes: Routes<'_>) -> Option<OperatorTransfer<'_>> {
        let here = &SiteChoice::Here;
        let costs = self.candidates.iter().filter_map(|candidate| {
            let from = &candidate.site;
            if !matches!(from, SiteChoice::Site(_)) {
                return Some((candidate, None, candidate.cost));
            }
            let link = routes.link(from, here, self.owned_part(from), || &self.domains)?;
            Some((candidate, Some(link), moved(candidate.cost, &link, self.bytes(), here)))
        });
        let (candidate, link, _) = costs.min_by(|(.., a), (.., b)| a.milliseconds.total_cmp(&b.milliseconds))?;
        Some(match link {
            Some(link) => candidate.cross(self.edge(&candidate.site, link, routes), here),
            None => candidate.stay(),
        })
    }

    /// Returns the part of the ports below that a site owns.
    pub(super) fn owned_part(&self, site: &SiteChoice) -> Owned {
        match &self.sole_site {
            Some(sole) if sole == site => Owned::Whole,
            _ if self.port_sites.contains(site) => Owned::Part,
            _ => Owned::None,
        }
    }

    /// Returns the candidate at a site. A candidate anywhere is at every site.
    pub(in crate::planner) fn candidate(&self, site: &SiteChoice) -> Option<&OperatorCandidate> {
        self.candidates.iter().find(|c| c.site == *site || c.site == SiteChoice::Anywhere)
    }

    pub(super) fn row_bytes(&self) -> f64 {
        self.rows.row_bytes(self.plan.schema()).max(1.0)
    }

    pub(super) fn bytes(&self) -> f64 {
        self.rows.rows * self.row_bytes()
    }
}
