//! Finds the cheapest tree of joins, each with the site that it runs at: by dynamic programming over connected sets of
//! relations while they are few, joining whatever gives the fewest rows next beyond.
//!
//! The state is a set of relations and the site that its rows are at, as in System R* (Lohman et al. 1985); sets are
//! enumerated as subsets of subsets (Vance and Maier 1996). How many rows a set has does not depend on the order.

use std::collections::{BTreeSet, HashMap};

use portolan_catalog::DomainName;

use super::graph::{Graph, Set};
use crate::planner::cost;
use crate::planner::decision::{Cost, Link};
use crate::planner::place::SiteChoice;
use crate::planner::routes::Routes;

/// With more relations than this, or more pairs of sets, what gives the fewest rows is joined next.
const MOST_RELATIONS: usize = 12;
const MOST_PAIRS: usize = 12_000;

/// Bytes of a column of a key.
const KEY_BYTES: f64 = 8.0;

/// A tree of joins: the left side is the one that is built, the right side the one that is probed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Relation(usize),
    Join(Box<Tree>, Box<Tree>),
}

/// What is known of a relation's place.
pub(super) struct Home {
    pub(super) site: SiteChoice,
    pub(super) domains: BTreeSet<DomainName>,
    /// Bytes of a row, with the columns that are needed.
    pub(super) row_bytes: f64,
}

/// The cheapest way to have a set's rows at a site.
#[derive(Clone)]
struct Way {
    cost: Cost,
    /// What crosses to this site and might yet be cut by keys.
    edges: Vec<Open>,
    /// The two parts, each with its site; `None` for a relation.
    parts: Option<[(Set, usize); 2]>,
}

/// A way to bring a set's rows to the site of a join.
struct Brought<'a> {
    set: Set,
    /// Where they were before.
    from: usize,
    cost: Cost,
    way: &'a Way,
    /// The edge from there, where they were elsewhere.
    moved: Option<Open>,
}

impl Brought<'_> {
    /// What crosses to the site of the join and might yet be cut.
    fn edges(&self) -> &[Open] {
        match &self.moved {
            Some(edge) => std::slice::from_ref(edge),
            None => &self.way.edges,
        }
    }

    /// What the keys of the other side save, and the edges as they are with them.
    fn cut(&self, keys: Option<&Keys>) -> (Cost, impl Iterator<Item = Open>) {
        let keyed = move |edge: &Open| {
            let keys = keys.filter(|keys| edge.of & keys.over != 0)?;
            cost::keyed(&edge.link, edge.bytes, keys.count, keys.bytes, keys.matched)
        };
        let saved = self.edges().iter().filter_map(keyed).fold(Cost::default(), |sum, keyed| sum + keyed.saved);
        let cut = move |edge: &Open| Open { bytes: keyed(edge).map_or(edge.bytes, |k| k.bytes), ..*edge };
        (saved, self.edges().iter().map(cut))
    }
}

/// Rows of a set that cross an edge.
#[derive(Clone, Copy)]
struct Open {
    of: Set,
    bytes: f64,
    link: Link,
}

/// The cheapest ways for a set, by site.
type Ways = Vec<Option<Way>>;

pub(super) struct Enumeration<'a> {
    graph: &'a Graph,
    homes: &'a [Home],
    routes: Routes<'a>,
    /// Here first, then the owners.
    sites: Vec<SiteChoice>,
    /// The relations that each site has by itself.
    native: Vec<Set>,
    found: HashMap<Set, Ways>,
    rows: HashMap<Set, f64>,
}

impl<'a> Enumeration<'a> {
    pub(super) fn new(graph: &'a Graph, homes: &'a [Home], routes: Routes<'a>) -> Self {
        let mut sites = vec![SiteChoice::Here];
        for home in homes {
            if matches!(home.site, SiteChoice::Peer(_)) && !sites.contains(&home.site) {
                sites.push(home.site.clone());
            }
        }
        let at =
            |site: &SiteChoice| (0..homes.len()).filter(|i| homes[*i].site == *site).fold(0, |set, i| set | (1 << i));
        let native = sites.iter().map(at).collect();
        let mut new = Self { graph, homes, routes, sites, native, found: HashMap::new(), rows: HashMap::new() };
        for i in 0..homes.len() {
            let ways = new.relation(i);
            new.found.insert(1 << i, ways);
            new.rows.insert(1 << i, graph.rows(1 << i));
        }
        new
    }

    /// The cheapest tree over every relation.
    pub(super) fn cheapest(mut self) -> Option<Tree> {
        let mut components: Vec<Set> = vec![];
        let mut left = self.graph.all();
        while left != 0 {
            let component = self.component(1 << left.trailing_zeros());
            components.push(component);
            left &= !component;
        }
        for component in &components {
            if component.count_ones() as usize > MOST_RELATIONS || !self.exhaustively(*component) {
                self.greedily(*component);
            }
        }
        // What nothing connects is multiplied, the smallest first.
        components.sort_by(|a, b| self.graph.rows(*a).total_cmp(&self.graph.rows(*b)));
        let whole = components.into_iter().reduce(|whole, next| {
            self.join(whole, next);
            whole | next
        })?;
        let (site, _) = self.best(whole)?;
        self.tree(whole, site)
    }

    /// The relations that are connected with those of `set`.
    fn component(&self, mut set: Set) -> Set {
        loop {
            let more = self.graph.neighbours(set);
            if more == 0 {
                return set;
            }
            set |= more;
        }
    }

    /// Every connected subset of `all`, smaller ones first. `false` where there are too many pairs to try.
    fn exhaustively(&mut self, all: Set) -> bool {
        let mut subsets: Vec<Set> = subsets(all).filter(|s| s.count_ones() > 1 && self.is_connected(*s)).collect();
        subsets.sort_by_key(|s| s.count_ones());
        let mut pairs = 0;
        for set in subsets {
            // Each split once: the part with the lowest relation, and the other.
            let lowest = 1 << set.trailing_zeros();
            for rest in subsets_of(set & !lowest) {
                let (one, other) = (rest | lowest, set & !(rest | lowest));
                if other == 0 || !self.found.contains_key(&one) || !self.found.contains_key(&other) {
                    continue;
                }
                pairs += 1;
                if pairs > MOST_PAIRS {
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

    /// Greedy operator ordering (Fegaras 1998): the pair that gives the fewest rows is joined next.
    fn greedily(&mut self, all: Set) {
        let mut parts: Vec<Set> = (0..self.homes.len()).map(|i| 1 << i).filter(|s| s & all != 0).collect();
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

    fn relation(&self, i: usize) -> Ways {
        let home = &self.homes[i];
        let way = Way { cost: Cost::default(), edges: vec![], parts: None };
        self.sites.iter().map(|s| (home.site == *s || home.site == SiteChoice::Anywhere).then(|| way.clone())).collect()
    }

    /// Tries both sides as the one that is built, at every site.
    fn join(&mut self, one: Set, other: Set) {
        let set = one | other;
        let rows = *self.rows.entry(set).or_insert_with(|| self.graph.rows(set));
        let mut ways = self.found.remove(&set).unwrap_or_else(|| vec![None; self.sites.len()]);
        let keys = self.keys(one, other, rows);
        let is_keyed = keys[0].is_some() || self.graph.compares(one, other);
        for (site, best) in ways.iter_mut().enumerate() {
            let (ones, others) = (self.brought(one, site), self.brought(other, site));
            for (a, b) in ones.iter().flat_map(|a| others.iter().map(move |b| (a, b))) {
                for (build, probe, keys) in [(a, b, &keys[0]), (b, a, &keys[1])] {
                    let keys = keys.as_ref();
                    let (saved, cut) = probe.cut(keys);
                    let work = cost::join(self.rows(build.set), self.rows(probe.set), rows, is_keyed);
                    let cost = build.cost + probe.cost - saved + work;
                    if best.as_ref().is_none_or(|b| cost.milliseconds < b.cost.milliseconds) {
                        let edges = build.edges().iter().copied().chain(cut).collect();
                        *best =
                            Some(Way { cost, edges, parts: Some([(build.set, build.from), (probe.set, probe.from)]) });
                    }
                }
            }
        }
        self.found.insert(set, ways);
    }

    /// The ways to bring the rows of a set to a site. A peer asks each owner for what that has by itself; this node asks
    /// owners for what they join with their own.
    fn brought(&self, set: Set, site: usize) -> Vec<Brought<'_>> {
        let ways = self.found.get(&set).into_iter().flatten().enumerate();
        let brought = ways.filter_map(|(from, way)| {
            let way = way.as_ref()?;
            if from == site {
                return Some(Brought { set, from, cost: way.cost, way, moved: None });
            }
            let link = self.link(set, from, site)?;
            let bytes = self.rows(set) * self.row_bytes(set);
            let mut cost = way.cost + cost::transfer(&link, bytes);
            if site != 0 {
                cost += cost::delegation();
            }
            Some(Brought { set, from, cost, way, moved: Some(Open { of: set, bytes, link }) })
        });
        brought.collect()
    }

    /// The link over which the rows of a set go from one site to another; `None` where they may not.
    fn link(&self, set: Set, from: usize, to: usize) -> Option<Link> {
        let own = self.native.get(from).copied().unwrap_or_default() & set;
        // A peer is asked for what it has by itself, and this node asks for nothing that is without rows of the owner.
        if own == 0 || (to != 0 && own != set) {
            return None;
        }
        let homes = self.homes.iter().enumerate().filter(|(i, _)| set & (1 << i) != 0);
        let domains: BTreeSet<&DomainName> = homes.flat_map(|(_, h)| &h.domains).collect();
        if to != 0 && domains.is_empty() {
            return None;
        }
        self.routes.link(&self.sites[from], &self.sites[to], domains)
    }

    fn rows(&self, set: Set) -> f64 {
        self.rows.get(&set).copied().unwrap_or_else(|| self.graph.rows(set))
    }

    fn row_bytes(&self, set: Set) -> f64 {
        self.homes.iter().enumerate().filter(|(i, _)| set & (1 << i) != 0).map(|(_, h)| h.row_bytes).sum()
    }

    /// The keys that each of two sets has for the other; `None` where no equality connects them. `rows` is what their
    /// join gives.
    fn keys(&self, one: Set, other: Set, rows: f64) -> [Option<Keys>; 2] {
        let crossing = self.graph.crossing(one, other);
        let of = |build: Set, distinct: f64, probe: Set, over: Set| {
            let count = distinct.min(self.rows(build)).max(1.0);
            // A row that has a match has as many as there are rows with one key.
            let matches = (self.rows(build) / count).max(1.0);
            let matched = (rows / self.rows(probe).max(1.0) / matches).min(1.0);
            (over != 0).then_some(Keys { over, count, matched, bytes: KEY_BYTES * crossing.pairs as f64 })
        };
        [of(one, crossing.distinct.0, other, crossing.over.1), of(other, crossing.distinct.1, one, crossing.over.0)]
    }

    /// The site at which the set's rows, brought here, cost least.
    fn best(&self, set: Set) -> Option<(usize, f64)> {
        let ways = self.found.get(&set)?;
        let costs = ways.iter().enumerate().filter_map(|(site, way)| {
            let way = way.as_ref()?;
            let bytes = self.rows(set) * self.row_bytes(set);
            let back = match site {
                0 => Cost::default(),
                _ => cost::transfer(&self.link(set, site, 0)?, bytes),
            };
            Some((site, (way.cost + back).milliseconds))
        });
        costs.min_by(|a, b| a.1.total_cmp(&b.1))
    }

    fn tree(&self, set: Set, site: usize) -> Option<Tree> {
        match self.found.get(&set)?.get(site)?.as_ref()?.parts {
            None => Some(Tree::Relation(set.trailing_zeros() as usize)),
            Some([(build, b), (probe, p)]) => {
                Some(Tree::Join(Box::new(self.tree(build, b)?), Box::new(self.tree(probe, p)?)))
            }
        }
    }
}

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

/// Every subset of `set` that is not empty.
fn subsets(set: Set) -> impl Iterator<Item = Set> {
    subsets_of(set).filter(|s| *s != 0)
}

/// Every subset of `set`, the empty one first.
fn subsets_of(set: Set) -> impl Iterator<Item = Set> {
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let now = next?;
        let following = (now | !set).wrapping_add(1) & set;
        next = (following != 0).then_some(following);
        Some(now)
    })
}
