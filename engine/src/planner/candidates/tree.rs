//! The operators of a plan as a tree, each with its candidates.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, LogicalPlan};
use portolan_catalog::DomainName;
use portolan_connectors::{Refusal, SiteId};

use super::edges::OperatorTransfer;
use super::forced::OperatorCounter;
use super::repeated::Repeated;
use super::search::OperatorCandidate;
use super::sites::other_sites;
use crate::plan::SiteChoice;
use crate::planner::cardinality::{self, Cardinality};
use crate::planner::lineage::{self, Guards};
use crate::planner::movement::{Owned, Routes};
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
    /// The parts whose rows come to the local node, for all their readers.
    gathered: &'a Repeated,
}

impl CandidateTree {
    /// Finds the candidates of a plan's operators.
    pub(in crate::planner) fn of(
        plan: &LogicalPlan,
        settings: &Settings,
        routes: Routes<'_>,
    ) -> DataFusionResult<Self> {
        Self::gathering(plan, settings, routes, &Repeated::default())
    }

    /// Finds the candidates of a plan's operators. The rows of the parts `gathered` come to the local node.
    pub(in crate::planner) fn gathering(
        plan: &LogicalPlan,
        settings: &Settings,
        routes: Routes<'_>,
        gathered: &Repeated,
    ) -> DataFusionResult<Self> {
        let sites = other_sites(plan)?;
        let space = SearchSpace { settings, routes, sites: &sites, gathered };
        Self::of_operator(plan, space, &mut OperatorCounter::default())
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
        if space.gathered.index_of(plan).is_some()
            && let Some(site) = tree.cheapest_here(space.routes).map(|transfer| transfer.from.clone())
        {
            tree.gather(&site);
        }
        Ok(tree)
    }

    /// Leaves the candidate at one site, from which the rows come to this process.
    fn gather(&mut self, site: &SiteChoice) {
        self.candidates.retain(|candidate| candidate.site == *site);
        for edge in self.candidates.iter_mut().flat_map(|candidate| &mut candidate.edges) {
            // Keys of one reader would cut the rows of all. Those from inside the part stay.
            edge.of.is_barred = true;
        }
    }

    /// Returns the transfer to this process of the candidate whose rows cost least here.
    pub(in crate::planner) fn cheapest_here(&self, routes: Routes<'_>) -> Option<OperatorTransfer<'_>> {
        let transfers = self.candidates.iter().filter_map(|candidate| self.transfer_here(candidate, routes));
        transfers.min_by(|a, b| a.cost.milliseconds.total_cmp(&b.cost.milliseconds))
    }

    /// Returns the transfer of a candidate's rows to this process; `None` if they must not take this route.
    fn transfer_here<'a>(
        &'a self,
        candidate: &'a OperatorCandidate,
        routes: Routes<'_>,
    ) -> Option<OperatorTransfer<'a>> {
        let (from, here) = (&candidate.site, &SiteChoice::Here);
        if !matches!(from, SiteChoice::Site(_)) {
            return Some(candidate.stay());
        }
        let link = routes.link(from, here, self.owned_part(from), || &self.domains)?;
        Some(candidate.cross(self.edge(from, link, routes), here))
    }

    /// Returns the cost, in milliseconds, of the rows of the candidate at `site` where they are `wanted`: there, or in this
    /// process.
    pub(super) fn cost_at(&self, site: &SiteChoice, wanted: &SiteChoice, routes: Routes<'_>) -> Option<f64> {
        let candidate = self.candidate(site)?;
        let cost = match wanted {
            SiteChoice::Here => self.transfer_here(candidate, routes)?.cost,
            _ if wanted == site => candidate.cost,
            _ => return None,
        };
        Some(cost.milliseconds)
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
}
