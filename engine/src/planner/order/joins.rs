//! Joins two sets of relations: the candidates at every site, and the keys of one set for the other.

use std::collections::BTreeSet;

use portolan_catalog::DomainName;

use super::enumerate::Enumeration;
use super::graph::Set;
use crate::mesh::Link;
use crate::plan::Cost;
use crate::planner::candidates::Candidate;
use crate::planner::cost;
use crate::planner::movement::{EdgeCandidate, KeyEstimate, Owned, Transfer};

/// A candidate for the rows of a set. A site is its number. The decisions are the build side and the probe side of the
/// join, each with its site; `None` for a relation.
pub(super) type SetCandidate = Candidate<usize, Set, Option<[(Set, usize); 2]>>;

/// The cheapest candidates for a set, by site.
pub(super) type SetCandidates = Vec<Option<SetCandidate>>;

/// A join of two sets, with one of them as the build side.
struct Direction {
    build: Set,
    probe: Set,
    /// The work of the join itself.
    work: Cost,
    /// The keys for the probe side; `None` if no equality connects the sets.
    keys: Option<KeyEstimate>,
    /// The relations of the probe side whose columns are keys.
    over: Set,
}

impl Direction {
    /// Returns the cost that the keys save on the edges of a transfer of the probe side, and the edges after the cut.
    fn cut(&self, probe: &Transfer<'_, usize, Set>) -> (Cost, impl Iterator<Item = EdgeCandidate<Set>>) {
        let keyed = move |edge: &EdgeCandidate<Set>| {
            self.keys.as_ref().filter(|_| edge.of & self.over != 0).and_then(|keys| keys.applied_to(edge))
        };
        let saved = probe.edges().iter().filter_map(keyed).fold(Cost::default(), |sum, keyed| sum + keyed.saved);
        let cut = move |edge: &EdgeCandidate<Set>| {
            let mut cut = *edge;
            if let Some(keyed) = keyed(edge) {
                cut.cut_including_keys(&keyed);
            }
            cut
        };
        (saved, probe.edges().iter().map(cut))
    }
}

impl Enumeration<'_> {
    /// Adds candidates for the join of two sets, at every site, with each set as the build side.
    pub(super) fn join(&mut self, one: Set, other: Set) {
        let set = one | other;
        let rows = *self.rows.entry(set).or_insert_with(|| self.graph.rows(set));
        let mut candidates = self.found.remove(&set).unwrap_or_else(|| vec![None; self.sites.len()]);
        let [forward, backward] = self.directions(one, other, rows);
        for (site, best) in candidates.iter_mut().enumerate() {
            let Some(factor) = self.join_factors[site] else { continue };
            let (ones, others) = (self.transfers(one, site), self.transfers(other, site));
            for (a, b) in ones.iter().flat_map(|a| others.iter().map(move |b| (a, b))) {
                for (direction, build, probe) in [(&forward, a, b), (&backward, b, a)] {
                    let (saved, cut) = direction.cut(probe);
                    let cost = build.cost + probe.cost - saved + direction.work * factor;
                    if best.as_ref().is_none_or(|b| cost.milliseconds < b.cost.milliseconds) {
                        let edges = build.edges().iter().copied().chain(cut).collect();
                        let decisions = Some([(direction.build, *build.from), (direction.probe, *probe.from)]);
                        *best = Some(Candidate { site, cost, edges, decisions });
                    }
                }
            }
        }
        self.found.insert(set, candidates);
    }

    /// Returns each candidate of a set with its rows at a site, if these may move there.
    fn transfers(&self, set: Set, site: usize) -> Vec<Transfer<'_, usize, Set>> {
        let candidates = self.found.get(&set).into_iter().flatten().flatten();
        let transfers = candidates.filter_map(|candidate| {
            if candidate.site == site {
                return Some(candidate.stay());
            }
            let link = self.link(set, candidate.site, site)?;
            let edge = EdgeCandidate::whole(set, link, self.rows(set), self.row_bytes(set))
                .with_most_keys(self.routes.most_keys(&self.sites[candidate.site]));
            Some(candidate.cross(edge, &self.sites[site]))
        });
        transfers.collect()
    }

    /// Returns the link for the rows of a set from one site to another; `None` if they must not take this route.
    pub(super) fn link(&self, set: Set, from: usize, to: usize) -> Option<Link> {
        if self.confined.get(to).is_some_and(|confined| confined & set != 0) {
            return None;
        }
        self.routes.link(&self.sites[from], &self.sites[to], self.owned_part(set, from), || self.domains(set))
    }

    /// Returns the part of a set that a site owns.
    ///
    /// A relation that reads no port counts for no site, so no site owns all of a set with such a relation. The place
    /// pass differs: there such an input does not matter.
    fn owned_part(&self, set: Set, site: usize) -> Owned {
        match self.owned.get(site).copied().unwrap_or_default() & set {
            0 => Owned::None,
            own if own == set => Owned::Whole,
            _ => Owned::Part,
        }
    }

    /// Returns the domains of a set in their order: among links with the same bandwidth, the plan uses the first
    /// domain's.
    fn domains(&self, set: Set) -> BTreeSet<&DomainName> {
        let relation_sites = self.relation_sites.iter().enumerate().filter(|(i, _)| set & (1 << i) != 0);
        relation_sites.flat_map(|(_, relation)| &relation.domains).collect()
    }

    /// Returns the join of two sets with `one` as the build side, then with `other`. `rows` are the rows of the join.
    fn directions(&self, one: Set, other: Set, rows: f64) -> [Direction; 2] {
        let connection = self.graph.connection(one, other);
        let has_keys = connection.pairs > 0 || self.graph.compares(one, other);
        let of = |build: Set, distinct: f64, probe: Set, over: Set| {
            let (built, probed) = (self.rows(build), self.rows(probe));
            let sends_keys = over != 0 && connection.makes_filter;
            let keys = sends_keys.then(|| KeyEstimate::of_sets(connection.pairs, distinct, built, probed, rows));
            Direction { build, probe, work: cost::join(built, probed, rows, has_keys), keys, over }
        };
        [
            of(one, connection.distinct.0, other, connection.over.1),
            of(other, connection.distinct.1, one, connection.over.0),
        ]
    }
}
