//! The search for the candidates of each operator, from the candidates of its inputs.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::logical_expr::LogicalPlan;
use portolan_connectors::{Refusal, SiteId};

use super::Candidate;
use super::edges::{OperatorEdge, OperatorRows, OperatorTransfer};
use super::keys::{Side, carried};
use super::sites::{of_query, port_of};
use super::tree::{CandidateTree, SearchSpace};
use crate::encode::admit;
use crate::names::Barrier;
use crate::plan::{Alternative, Cost, Decision, Exchange, SiteChoice};
use crate::planner::{cost, residency};
use crate::settings::StrategyChoice;

/// The decisions that lead to a candidate of an operator.
#[derive(Clone, Debug, Default)]
pub(in crate::planner) struct Choices {
    /// The site of each input, then of each subquery.
    pub(in crate::planner) from: Vec<SiteChoice>,
    /// The candidate among the others, if the operator combines sites.
    pub(in crate::planner) decision: Option<Decision>,
    /// The candidate in words.
    what: String,
}

/// A candidate of an operator.
pub(super) type OperatorCandidate = Candidate<SiteChoice, OperatorRows, Choices>;

impl CandidateTree {
    /// Finds the candidates, from those of the inputs.
    pub(super) fn find_candidates(&mut self, space: SearchSpace<'_>, forced: StrategyChoice) {
        self.confined = self.find_confined(space);
        self.candidates = self.all_candidates(space, forced);
        if self.sole_site.is_none() {
            self.rules = self.find_rules(space);
        }
        for edge in self.candidates.iter_mut().flat_map(|candidate| &mut candidate.edges) {
            edge.of.columns = carried(&self.plan, &edge.of.columns);
        }
    }

    fn all_candidates(&mut self, space: SearchSpace<'_>, forced: StrategyChoice) -> Vec<OperatorCandidate> {
        self.refusals = self.find_refusals(space);
        if let Some(exchange) = Exchange::of(&self.plan) {
            // The fragment runs: its rows are on their way here.
            self.refusal = Some(Refusal::RowsComeHere);
            self.domains = exchange.fragment.domains.clone();
            self.sole_site = Some(SiteChoice::Here);
            self.port_sites.insert(SiteChoice::Here);
            return vec![Candidate::leaf(SiteChoice::Here, Cost::default())];
        }
        if let LogicalPlan::TableScan(scan) = &self.plan {
            let site = match port_of(scan) {
                Some((domain, site)) => {
                    self.domains.insert(domain);
                    site
                }
                None => {
                    self.refusal = Some(Refusal::LocalTable(scan.table_name.to_string()));
                    SiteChoice::Here
                }
            };
            self.sole_site = Some(site.clone());
            self.port_sites.insert(site.clone());
            let cost = cost::scan(self.rows.rows) * space.routes.work_factor(&site);
            return vec![Candidate::leaf(site, cost)];
        }
        let parts = || self.inputs.iter().chain(&self.subqueries);
        self.refusal = parts().find_map(|p| p.refusal.clone()).or_else(|| admit::operator(&self.plan).err());
        let mut sites = parts().filter(|p| p.sole_site != Some(SiteChoice::Anywhere)).map(|p| p.sole_site.clone());
        self.sole_site = match sites.next() {
            None => Some(SiteChoice::Anywhere),
            Some(first) if sites.all(|s| s == first) => first,
            Some(_) => None,
        };
        if let Some(barrier) = Barrier::of(&self.plan) {
            // Whether a policy leaves anything to read must not show in a plan.
            self.sole_site = Some(SiteChoice::Here);
            self.port_sites = [SiteChoice::Here].into();
            self.domains.insert(barrier.port.domain.clone());
        }
        if self.sole_site == Some(SiteChoice::Anywhere) {
            return vec![Candidate::leaf(SiteChoice::Anywhere, Cost::default())];
        }
        let mut candidates = vec![];
        if space.settings.placement && self.refusal.is_none() && self.is_pushed(space.settings) {
            candidates.extend(space.sites.iter().filter_map(|site| self.candidate_at(site, space)));
        }
        candidates.extend(self.candidates_here(space, forced));
        if !matches!(self.plan, LogicalPlan::Join(_)) {
            return cheapest_each(candidates);
        }
        if let Some(wanted) = self.forced_site(forced)
            && candidates.iter().any(|c| c.site == wanted)
        {
            candidates.retain(|c| c.site == wanted);
        }
        cheapest_each(decided(candidates, self.sole_site.is_none()))
    }

    /// Returns why sites do not run the operator with everything below, for each site that does not.
    fn find_refusals(&self, space: SearchSpace<'_>) -> BTreeMap<SiteId, Refusal> {
        let below = self.inputs.iter().chain(&self.subqueries).flat_map(|part| part.refusals.clone());
        let mut refusals: BTreeMap<SiteId, Refusal> = below.collect();
        for site in space.sites {
            if refusals.contains_key(site) {
                continue;
            }
            let refusal = admit::at_site(&self.plan, &space.routes.view.capabilities(site)).err();
            if let Some(refusal) = refusal.or_else(|| of_query(&self.plan, site)) {
                refusals.insert(site.clone(), refusal);
            }
        }
        refusals
    }

    /// Returns why sites must not get the rows of ports below, for each site that must not.
    fn find_confined(&self, space: SearchSpace<'_>) -> BTreeMap<SiteId, String> {
        // What is below a barrier stays at its owner, and must not show: the inputs of derived ports, and columns that only a
        // policy reads.
        let is_barrier = Barrier::of(&self.plan).is_some();
        let parts = self.inputs.iter().chain(&self.subqueries).filter(|_| !is_barrier);
        let below = parts.flat_map(|part| part.confined.clone());
        let mut confined: BTreeMap<SiteId, String> = below.collect();
        for site in space.sites {
            if !confined.contains_key(site)
                && let Some(reason) = residency::confinement(&self.plan, site, space.routes.view)
            {
                confined.insert(site.clone(), reason);
            }
        }
        confined
    }

    /// Returns the rules about the places of values that restrict how an operator combines sites.
    fn find_rules(&self, space: SearchSpace<'_>) -> BTreeSet<String> {
        let mut rules = BTreeSet::new();
        if let (LogicalPlan::Join(join), [left, right]) = (&self.plan, self.inputs.as_slice()) {
            let is_remote = |part: &Self| part.port_sites.iter().any(|site| matches!(site, SiteChoice::Site(_)));
            let directions = [(Side::Left, right), (Side::Right, left)];
            for (side, probe) in directions.into_iter().filter(|(_, probe)| is_remote(probe)) {
                let guards = self.guards_of_keys(join, side).into_iter();
                let barred = guards.filter(|guard| !guard.may_be_key_for(&probe.domains));
                rules.extend(barred.map(|guard| format!("keys not sent: {guard}")));
            }
        }
        // Only a node that owns some of the rows fetches the others.
        let nodes = space.sites.iter().filter(|id| self.port_sites.contains(&SiteChoice::Site((*id).clone())));
        for site in nodes.filter(|id| space.routes.view.capabilities(id).runs_everything()) {
            let parts = self.inputs.iter().chain(&self.subqueries);
            let confined = parts.filter_map(|part| part.confined.get(site));
            rules.extend(confined.map(|reason| format!("not delegated to {site}: {reason}")));
        }
        rules
    }

    /// Returns the candidate at another site, which has each input or fetches it from the input's owner.
    fn candidate_at(&self, id: &SiteId, space: SearchSpace<'_>) -> Option<OperatorCandidate> {
        if self.refusals.contains_key(id) {
            return None;
        }
        let site = SiteChoice::Site(id.clone());
        let mut cost = self.work() * space.routes.work_factor(&site);
        let mut edges = vec![];
        let mut from = vec![];
        let mut pulled = vec![];
        let pulls_inputs = matches!(self.plan, LogicalPlan::Join(_));
        for (i, part) in self.inputs.iter().chain(&self.subqueries).enumerate() {
            let there = part.candidate(&site).map(Candidate::stay);
            let whole = if pulls_inputs || i >= self.inputs.len() { part.pulled_to(&site, space) } else { None };
            let is_pulled = match (&there, &whole) {
                (Some(there), Some(whole)) => whole.cost.milliseconds < there.cost.milliseconds,
                (there, _) => there.is_none(),
            };
            let transfer = if is_pulled { whole? } else { there? };
            if is_pulled {
                pulled.extend(part.domains.iter().map(ToString::to_string));
            }
            cost += transfer.cost;
            from.push(transfer.from.clone());
            edges.push(transfer.edges().to_vec());
        }
        // The node's planner sends keys if they pay, from whichever side it builds.
        if let LogicalPlan::Join(join) = &self.plan {
            let keyed = [Side::Left, Side::Right].map(|build| {
                let mut cut = edges.clone();
                let lost = self.bar_keys(join, build, &mut cut);
                let sent = self.send_keys(join, build, &mut cut, space.settings, StrategyChoice::Auto);
                (sent.map_or_else(Cost::default, |(_, saved)| saved) - lost, cut)
            });
            let best = keyed.into_iter().max_by(|a, b| a.0.milliseconds.total_cmp(&b.0.milliseconds));
            if let Some((saved, cut)) = best {
                cost = cost - saved;
                edges = cut;
            }
        }
        let what = match pulled.is_empty() {
            true => format!("at {id}"),
            false => format!("delegate to {id}, which pulls from {}", pulled.join(", ")),
        };
        let decisions = Choices { from, decision: None, what };
        Some(Candidate { site, cost, edges: edges.concat(), decisions })
    }

    /// Returns the transfer of its rows to another node, which fetches them from their only owner.
    fn pulled_to(&self, site: &SiteChoice, space: SearchSpace<'_>) -> Option<OperatorTransfer<'_>> {
        let owner = self.sole_site.as_ref().filter(|owner| *owner != site)?;
        if matches!(site, SiteChoice::Site(id) if self.confined.contains_key(id)) {
            return None;
        }
        let link = space.routes.link(owner, site, self.owned_part(owner), || &self.domains)?;
        let candidate = self.candidate(owner)?;
        Some(candidate.cross(self.edge(owner, link, space.routes), site))
    }

    /// Returns the candidates in this process, which fetches the inputs: all rows, and with keys if these pay.
    fn candidates_here(&self, space: SearchSpace<'_>, forced: StrategyChoice) -> Vec<OperatorCandidate> {
        let mut cost = self.work();
        let mut edges: Vec<Vec<OperatorEdge>> = vec![];
        let mut from = vec![];
        for part in self.inputs.iter().chain(&self.subqueries) {
            let Some(transfer) = part.cheapest_here(space.routes) else { return vec![] };
            cost += transfer.cost;
            from.push(transfer.from.clone());
            edges.push(transfer.edges().to_vec());
        }
        if let LogicalPlan::Join(join) = &self.plan {
            cost += self.bar_keys(join, Side::Left, &mut edges);
        }
        let gather = Candidate {
            site: SiteChoice::Here,
            cost,
            edges: edges.concat(),
            decisions: Choices { from: from.clone(), decision: None, what: "gather".into() },
        };
        let mut candidates = vec![gather];
        if forced != StrategyChoice::Gather
            && let LogicalPlan::Join(join) = &self.plan
            && let Some((what, saved)) = self.send_keys(join, Side::Left, &mut edges, space.settings, forced)
        {
            let cost = cost - saved;
            let decisions = Choices { from, decision: None, what };
            let keyed = Candidate { site: SiteChoice::Here, cost, edges: edges.concat(), decisions };
            if matches!(forced, StrategyChoice::KeysFromLeft | StrategyChoice::KeysFromRight) {
                candidates.clear();
            }
            candidates.push(keyed);
        }
        candidates
    }

    /// Returns the cost of the operator itself, at any site.
    fn work(&self) -> Cost {
        let input = |i: usize| self.inputs.get(i).map_or(0.0, |n| n.rows.rows);
        match &self.plan {
            LogicalPlan::Join(join) => cost::join(input(0), input(1), self.rows.rows, !join.on.is_empty()),
            LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) => cost::group(input(0)),
            LogicalPlan::Sort(sort) => cost::sort(input(0), sort.fetch),
            LogicalPlan::Window(_) => cost::sort(input(0), None),
            LogicalPlan::Filter(_) => cost::scan(input(0)),
            _ => Cost::default(),
        }
    }
}

/// Gives each candidate for a join across sites its decision, with the other candidates as runners-up.
fn decided(candidates: Vec<OperatorCandidate>, crosses: bool) -> Vec<OperatorCandidate> {
    if !crosses {
        return candidates;
    }
    let mut all: Vec<Alternative> =
        candidates.iter().map(|c| Alternative { what: c.decisions.what.clone(), cost: c.cost }).collect();
    all.sort_by(|a, b| a.cost.milliseconds.total_cmp(&b.cost.milliseconds));
    let decided = candidates.into_iter().map(|mut candidate| {
        let chosen = Alternative { what: candidate.decisions.what.clone(), cost: candidate.cost };
        let runners_up = all.iter().filter(|a| **a != chosen).cloned().collect();
        candidate.decisions.decision = Some(Decision { chosen, runners_up });
        candidate
    });
    decided.collect()
}

/// Returns the cheapest candidate at each site.
fn cheapest_each(candidates: Vec<OperatorCandidate>) -> Vec<OperatorCandidate> {
    let mut best: Vec<OperatorCandidate> = vec![];
    for candidate in candidates {
        match best.iter_mut().find(|b| b.site == candidate.site) {
            Some(known) if known.cost.milliseconds <= candidate.cost.milliseconds => {}
            Some(known) => *known = candidate,
            None => best.push(candidate),
        }
    }
    best
}
