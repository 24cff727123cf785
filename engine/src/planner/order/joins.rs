//! Joins two sets of relations: the candidates at every site, and the keys of one set for the other.

use std::collections::BTreeSet;

use portolan_catalog::DomainName;

use super::enumerate::Enumeration;
use super::graph::Set;
use crate::mesh::Link;
use crate::plan::Cost;
use crate::planner::cost;
use crate::planner::movement::{EdgeCandidate, Share};

/// Bytes of a column of a key.
const KEY_BYTES: f64 = 8.0;

/// The cheapest candidate for the rows of a set at a site.
#[derive(Clone)]
pub(super) struct Candidate {
    pub(super) cost: Cost,
    /// What crosses to this site and might yet be cut by keys.
    pub(super) edges: Vec<EdgeCandidate<Set>>,
    /// The two parts, each with its site; `None` for a relation.
    pub(super) parts: Option<[(Set, usize); 2]>,
}

/// A transfer of a set's rows to the site of a join.
struct Transfer<'a> {
    set: Set,
    /// Where they were before.
    from: usize,
    cost: Cost,
    candidate: &'a Candidate,
    /// The edge from there, where they were elsewhere.
    moved: Option<EdgeCandidate<Set>>,
}

impl Transfer<'_> {
    /// What crosses to the site of the join and might yet be cut.
    fn edges(&self) -> &[EdgeCandidate<Set>] {
        match &self.moved {
            Some(edge) => std::slice::from_ref(edge),
            None => &self.candidate.edges,
        }
    }

    /// What the keys of the other side save, and the edges as they are with them.
    fn cut(&self, keys: Option<&Keys>) -> (Cost, impl Iterator<Item = EdgeCandidate<Set>>) {
        let keyed = move |edge: &EdgeCandidate<Set>| {
            let keys = keys.filter(|keys| edge.of & keys.over != 0)?;
            cost::keyed(&edge.link, edge.bytes, keys.count, keys.bytes, keys.matched)
        };
        let saved = self.edges().iter().filter_map(keyed).fold(Cost::default(), |sum, keyed| sum + keyed.saved);
        let cut = move |edge: &EdgeCandidate<Set>| {
            let mut cut = *edge;
            if let Some(keyed) = keyed(edge) {
                cut.cut_including_keys(&keyed);
            }
            cut
        };
        (saved, self.edges().iter().map(cut))
    }
}

/// The cheapest candidates for a set, by site.
pub(super) type Candidates = Vec<Option<Candidate>>;

/// The keys of one side of a join for the other.
struct Keys {
    /// The relations of the other side that they are columns of.
    over: Set,
    count: f64,
    /// The share of the other side's rows that has a match.
    matched: f64,
    /// Bytes of a key.
    bytes: f64,
}

impl Enumeration<'_> {
    /// Tries both sides as the one that is built, at every site.
    pub(super) fn join(&mut self, one: Set, other: Set) {
        let set = one | other;
        let rows = *self.rows.entry(set).or_insert_with(|| self.graph.rows(set));
        let mut candidates = self.found.remove(&set).unwrap_or_else(|| vec![None; self.sites.len()]);
        let keys = self.keys(one, other, rows);
        let is_keyed = keys[0].is_some() || self.graph.compares(one, other);
        for (site, best) in candidates.iter_mut().enumerate() {
            let (ones, others) = (self.transfers(one, site), self.transfers(other, site));
            for (a, b) in ones.iter().flat_map(|a| others.iter().map(move |b| (a, b))) {
                for (build, probe, keys) in [(a, b, &keys[0]), (b, a, &keys[1])] {
                    let keys = keys.as_ref();
                    let (saved, cut) = probe.cut(keys);
                    let work = cost::join(self.rows(build.set), self.rows(probe.set), rows, is_keyed);
                    let cost = build.cost + probe.cost - saved + work;
                    if best.as_ref().is_none_or(|b| cost.milliseconds < b.cost.milliseconds) {
                        let edges = build.edges().iter().copied().chain(cut).collect();
                        *best = Some(Candidate {
                            cost,
                            edges,
                            parts: Some([(build.set, build.from), (probe.set, probe.from)]),
                        });
                    }
                }
            }
        }
        self.found.insert(set, candidates);
    }

    /// Returns each candidate of a set with its rows at a site, if these may move there.
    fn transfers(&self, set: Set, site: usize) -> Vec<Transfer<'_>> {
        let candidates = self.found.get(&set).into_iter().flatten().enumerate();
        let transfers = candidates.filter_map(|(from, candidate)| {
            let candidate = candidate.as_ref()?;
            if from == site {
                return Some(Transfer { set, from, cost: candidate.cost, candidate, moved: None });
            }
            let link = self.link(set, from, site)?;
            let edge = EdgeCandidate::whole(set, link, self.rows(set), self.row_bytes(set));
            let mut cost = candidate.cost + cost::transfer(&link, edge.bytes);
            if site != 0 {
                cost += cost::delegation();
            }
            Some(Transfer { set, from, cost, candidate, moved: Some(edge) })
        });
        transfers.collect()
    }

    /// The link over which the rows of a set go from one site to another; `None` where they may not.
    pub(super) fn link(&self, set: Set, from: usize, to: usize) -> Option<Link> {
        self.routes.link(&self.sites[from], &self.sites[to], self.share(set, from), || self.domains(set))
    }

    /// How much of a set a site owns. Of a set with a relation that reads no port no site owns the whole: the place pass,
    /// which sees the plan below, counts such a relation for any site.
    fn share(&self, set: Set, site: usize) -> Share {
        match self.owned.get(site).copied().unwrap_or_default() & set {
            0 => Share::None,
            own if own == set => Share::Whole,
            _ => Share::Part,
        }
    }

    /// Returns the domains of a set, in order: of links with one bandwidth the first counts.
    fn domains(&self, set: Set) -> BTreeSet<&DomainName> {
        let relation_sites = self.relation_sites.iter().enumerate().filter(|(i, _)| set & (1 << i) != 0);
        relation_sites.flat_map(|(_, relation)| &relation.domains).collect()
    }

    /// The keys that each of two sets has for the other; `None` where no equality connects them. `rows` is what their
    /// join gives.
    fn keys(&self, one: Set, other: Set, rows: f64) -> [Option<Keys>; 2] {
        let connection = self.graph.connection(one, other);
        let of = |build: Set, distinct: f64, probe: Set, over: Set| {
            let count = distinct.min(self.rows(build)).max(1.0);
            // A row that has a match has as many as there are rows with one key.
            let matches = (self.rows(build) / count).max(1.0);
            let matched = (rows / self.rows(probe).max(1.0) / matches).min(1.0);
            (over != 0).then_some(Keys { over, count, matched, bytes: KEY_BYTES * connection.pairs as f64 })
        };
        [
            of(one, connection.distinct.0, other, connection.over.1),
            of(other, connection.distinct.1, one, connection.over.0),
        ]
    }
}
