//! Finds the cheapest join tree, with a site for each join. It uses dynamic programming over connected sets of
//! relations. If there are too many relations or pairs of sets, it always joins the pair with the fewest result rows.
//!
//! The state is a set of relations and the site of its rows, as in System R* (Lohman et al. 1985). The search
//! enumerates sets as subsets of subsets (Vance and Maier 1996). The row count of a set does not depend on the join
//! order.

use std::collections::{BTreeSet, HashMap};

use datafusion::common::JoinType;
use portolan_catalog::DomainName;

use super::graph::{Graph, Set};
use super::joins::{SetCandidate, SetCandidates};
use crate::plan::{Cost, SiteChoice};
use crate::planner::movement::{Routes, moved};
use crate::planner::residency;

/// The limits of dynamic programming: with more relations or more pairs of sets, the search is greedy.
const MAX_RELATIONS: usize = 12;
const MAX_PAIRS: usize = 12_000;

/// A join tree: the left side is the build side, the right side the probe side.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Relation(usize),
    Join(Box<Tree>, Box<Tree>),
}

/// The site of a relation.
pub(super) struct RelationSite {
    pub(super) site: SiteChoice,
    pub(super) domains: BTreeSet<DomainName>,
    /// Bytes of a row that has only the columns that are needed.
    pub(super) row_bytes: f64,
}

/// The search for the cheapest join tree.
pub(super) struct Enumeration<'a> {
    pub(super) graph: &'a Graph,
    pub(super) relation_sites: &'a [RelationSite],
    pub(super) routes: Routes<'a>,
    /// The sites: the local node first, then the owners.
    pub(super) sites: Vec<SiteChoice>,
    /// The time of a join at each site, as a multiple of its time at a node; `None` if the site runs no inner joins.
    pub(super) join_factors: Vec<Option<f64>>,
    /// The relations that each site owns.
    pub(super) owned: Vec<Set>,
    /// The relations whose rows each site must not get.
    pub(super) confined: Vec<Set>,
    pub(super) found: HashMap<Set, SetCandidates>,
    /// The rows of each set.
    pub(super) rows: HashMap<Set, f64>,
}

impl<'a> Enumeration<'a> {
    pub(super) fn new(graph: &'a Graph, relation_sites: &'a [RelationSite], routes: Routes<'a>) -> Self {
        let mut sites = vec![SiteChoice::Here];
        for relation in relation_sites {
            if matches!(relation.site, SiteChoice::Site(_)) && !sites.contains(&relation.site) {
                sites.push(relation.site.clone());
            }
        }
        let all = |is_in: &dyn Fn(usize) -> bool| {
            (0..relation_sites.len()).filter(|i| is_in(*i)).fold(0, |set: Set, i| set | (1 << i))
        };
        let owned = sites.iter().map(|site| all(&|i| relation_sites[i].site == *site)).collect();
        let confined = sites.iter().map(|site| match site {
            SiteChoice::Site(id) => all(&|i| residency::is_confined(&graph.relations[i].plan, id, routes.view)),
            SiteChoice::Here | SiteChoice::Anywhere => 0,
        });
        let confined = confined.collect();
        let joins = |site: &SiteChoice| match site {
            SiteChoice::Site(id) => routes.view.capabilities(id).joins(JoinType::Inner),
            SiteChoice::Here | SiteChoice::Anywhere => true,
        };
        let join_factors = sites.iter().map(|site| joins(site).then(|| routes.work_factor(site))).collect();
        let (found, rows) = (HashMap::new(), HashMap::new());
        let mut new = Self { graph, relation_sites, routes, sites, join_factors, owned, confined, found, rows };
        for i in 0..relation_sites.len() {
            let candidates = new.relation(i);
            new.found.insert(1 << i, candidates);
            new.rows.insert(1 << i, graph.rows(1 << i));
        }
        new
    }

    /// Returns the cheapest tree over all relations.
    pub(super) fn cheapest(mut self) -> Option<Tree> {
        let mut components: Vec<Set> = vec![];
        let mut left = self.graph.all();
        while left != 0 {
            let component = self.component(1 << left.trailing_zeros());
            components.push(component);
            left &= !component;
        }
        for component in &components {
            if component.count_ones() as usize > MAX_RELATIONS || !self.exhaustively(*component) {
                self.greedily(*component);
            }
        }
        // Sets that no condition connects get a cross join, the smallest first.
        components.sort_by(|a, b| self.graph.rows(*a).total_cmp(&self.graph.rows(*b)));
        let whole = components.into_iter().reduce(|whole, next| {
            self.join(whole, next);
            whole | next
        })?;
        let (site, _) = self.best(whole)?;
        self.tree(whole, site)
    }

    /// Returns `set` and the relations that are connected with it.
    fn component(&self, mut set: Set) -> Set {
        loop {
            let more = self.graph.neighbours(set);
            if more == 0 {
                return set;
            }
            set |= more;
        }
    }

    /// Joins every connected subset of `all`, smaller ones first. Returns `false` if there are too many pairs.
    fn exhaustively(&mut self, all: Set) -> bool {
        let mut subsets: Vec<Set> = subsets(all).filter(|s| s.count_ones() > 1 && self.is_connected(*s)).collect();
        subsets.sort_by_key(|s| s.count_ones());
        let mut pairs = 0;
        for set in subsets {
            // Each split once: the part with the first relation, and the other part.
            let lowest = 1 << set.trailing_zeros();
            for rest in subsets_of(set & !lowest) {
                let (one, other) = (rest | lowest, set & !(rest | lowest));
                if other == 0 || !self.found.contains_key(&one) || !self.found.contains_key(&other) {
                    continue;
                }
                pairs += 1;
                if pairs > MAX_PAIRS {
                    return false;
                }
                self.join(one, other);
            }
        }
        true
    }

    fn is_connected(&self, set: Set) -> bool {
        let mut reached = 1 << set.trailing_zeros();
        loop {
            let more = self.graph.neighbours(reached) & set;
            if more == 0 {
                return reached == set;
            }
            reached |= more;
        }
    }

    /// Joins by greedy operator ordering (Fegaras 1998): the pair with the fewest result rows is joined next.
    fn greedily(&mut self, all: Set) {
        let mut parts: Vec<Set> = (0..self.relation_sites.len()).map(|i| 1 << i).filter(|s| s & all != 0).collect();
        while parts.len() > 1 {
            let mut best: Option<(f64, usize, usize)> = None;
            for (i, one) in parts.iter().enumerate() {
                let neighbours = self.graph.neighbours(*one);
                for (j, other) in parts.iter().enumerate().skip(i + 1).filter(|(_, o)| *o & neighbours != 0) {
                    let set = one | other;
                    let rows = *self.rows.entry(set).or_insert_with(|| self.graph.rows(set));
                    if best.is_none_or(|(fewest, ..)| rows < fewest) {
                        best = Some((rows, i, j));
                    }
                }
            }
            let Some((_, i, j)) = best else { return };
            let (one, other) = (parts[i], parts.swap_remove(j));
            self.join(one, other);
            parts[i] = one | other;
        }
    }

    fn relation(&self, i: usize) -> SetCandidates {
        let own = &self.relation_sites[i].site;
        let is_at = |site: &SiteChoice| own == site || *own == SiteChoice::Anywhere;
        self.sites
            .iter()
            .enumerate()
            .map(|(i, site)| is_at(site).then(|| SetCandidate::leaf(i, Cost::default())))
            .collect()
    }

    pub(super) fn rows(&self, set: Set) -> f64 {
        self.rows.get(&set).copied().unwrap_or_else(|| self.graph.rows(set))
    }

    pub(super) fn row_bytes(&self, set: Set) -> f64 {
        self.relation_sites.iter().enumerate().filter(|(i, _)| set & (1 << i) != 0).map(|(_, r)| r.row_bytes).sum()
    }

    /// Returns the site of the candidate whose rows cost least here, with this cost.
    fn best(&self, set: Set) -> Option<(usize, f64)> {
        let candidates = self.found.get(&set)?;
        let costs = candidates.iter().flatten().filter_map(|candidate| {
            let cost = match candidate.site {
                0 => candidate.cost,
                site => {
                    let bytes = self.rows(set) * self.row_bytes(set);
                    moved(candidate.cost, &self.link(set, site, 0)?, bytes, &SiteChoice::Here)
                }
            };
            Some((candidate.site, cost.milliseconds))
        });
        costs.min_by(|a, b| a.1.total_cmp(&b.1))
    }

    fn tree(&self, set: Set, site: usize) -> Option<Tree> {
        match self.found.get(&set)?.get(site)?.as_ref()?.decisions {
            None => Some(Tree::Relation(set.trailing_zeros() as usize)),
            Some([(build, b), (probe, p)]) => {
                Some(Tree::Join(Box::new(self.tree(build, b)?), Box::new(self.tree(probe, p)?)))
            }
        }
    }
}

/// Returns every nonempty subset of `set`.
fn subsets(set: Set) -> impl Iterator<Item = Set> {
    subsets_of(set).filter(|s| *s != 0)
}

/// Returns every subset of `set`, the empty one first.
fn subsets_of(set: Set) -> impl Iterator<Item = Set> {
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let now = next?;
        let following = (now | !set).wrapping_add(1) & set;
        next = (following != 0).then_some(following);
        Some(now)
    })
}
