//! The movement of rows between sites: routes, the edges of candidates, transfers over an edge, and the keys that cut
//! an edge.
//!
//! The passes order and place use the same types. If the two passes count differently, this file has a function for
//! each.

use std::sync::Arc;

use datafusion::logical_expr::Expr;
use portolan_catalog::DomainName;
use portolan_connectors::KeyForm;

use super::cardinality::{self, Cardinality};
use super::cost::{self, Keyed};
use crate::encode::keys::SQL_KEYS;
use crate::mesh::{Link, MeshView};
use crate::plan::{Cost, SiteChoice};

/// The bytes of a key's column.
const KEY_COLUMN_BYTES: f64 = 8.0;

/// The routes between sites, in one view of the mesh.
#[derive(Clone, Copy)]
pub(super) struct Routes<'a> {
    pub(super) view: &'a Arc<MeshView>,
    /// True for a fragment that another node sent. Owners do not fetch rows from one another for it, so that no
    /// fragment goes in circles.
    pub(super) is_fragment: bool,
}

/// The part of some rows' inputs that a site owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owned {
    /// The site owns no input.
    None,
    /// The site owns some of the inputs.
    Part,
    /// The site owns every input.
    Whole,
}

impl Owned {
    /// True if a site that owns this part may send the rows to `receiver`.
    ///
    /// No node works for others alone: a site sends only rows that it owns, or that it joins with rows that it owns. To
    /// a peer it sends only rows that it owns alone, so that no owner fetches rows in order to send them on.
    fn may_send(self, receiver: &SiteChoice) -> bool {
        match receiver {
            SiteChoice::Site(_) => self == Self::Whole,
            SiteChoice::Here | SiteChoice::Anywhere => self != Self::None,
        }
    }
}

impl Routes<'_> {
    /// Returns the largest number of expected keys for which rows of a site wait. A query in SQL lists its keys, and more
    /// would be waited for in vain: the scan would then begin late, and read all rows.
    pub(super) fn most_keys(&self, site: &SiteChoice) -> f64 {
        match site {
            SiteChoice::Site(id) if !self.view.capabilities(id).key_forms.contains(&KeyForm::Batch) => SQL_KEYS as f64,
            _ => f64::INFINITY,
        }
    }

    /// Returns the time of an operator at a site, as a multiple of its time at a node.
    pub(super) fn work_factor(&self, site: &SiteChoice) -> f64 {
        match site {
            SiteChoice::Site(id) => self.view.capabilities(id).costs.work,
            SiteChoice::Here | SiteChoice::Anywhere => 1.0,
        }
    }

    /// Returns the link for rows from one site to another; `None` if the rows must not take this route.
    ///
    /// `owned` is the part of their inputs that the sender owns. `domains` returns the domains of the inputs.
    pub(super) fn link<'d, D: IntoIterator<Item = &'d DomainName>>(
        &self,
        from: &SiteChoice,
        to: &SiteChoice,
        owned: Owned,
        domains: impl FnOnce() -> D,
    ) -> Option<Link> {
        if !owned.may_send(to) {
            return None;
        }
        match (from, to) {
            (SiteChoice::Site(site), SiteChoice::Here) => Some(self.view.link(site)),
            (SiteChoice::Here | SiteChoice::Site(_), SiteChoice::Site(site)) if !self.is_fragment => {
                let links = domains().into_iter().map(|domain| self.view.reach(site, domain));
                let links = links.collect::<Option<Vec<_>>>()?;
                links.into_iter().min_by(|a, b| a.bandwidth.total_cmp(&b.bandwidth))
            }
            _ => None,
        }
    }
}

/// An edge of a candidate: rows that cross a link to the candidate's site, and that keys may still cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct EdgeCandidate<R> {
    /// The rows in the terms of a search: a set of relations, or an operator.
    pub(super) of: R,
    pub(super) link: Link,
    /// Rows that are expected to cross.
    pub(super) rows: f64,
    /// Bytes of a row.
    pub(super) row_bytes: f64,
    /// Bytes that are expected to cross.
    pub(super) bytes: f64,
    /// The largest number of expected keys that may cut the edge.
    most_keys: f64,
}

impl<R> EdgeCandidate<R> {
    /// Returns the edge over which all rows cross.
    pub(super) fn whole(of: R, link: Link, rows: f64, row_bytes: f64) -> Self {
        Self { of, link, rows, row_bytes, bytes: rows * row_bytes, most_keys: f64::INFINITY }
    }

    /// Limits the number of expected keys that may cut the edge.
    pub(super) fn with_most_keys(self, most_keys: f64) -> Self {
        Self { most_keys, ..self }
    }

    /// Cuts the edge by keys. The bytes of the keys count as bytes of the edge.
    ///
    /// The order pass uses this method, and the place pass uses [`Self::cut`]. They differ if the keys of a second join
    /// cut the edge: this method then also saves a share of the first keys' bytes.
    pub(super) fn cut_including_keys(&mut self, keyed: &Keyed) {
        self.rows *= keyed.kept;
        self.bytes = keyed.bytes;
    }

    /// Cuts the edge to a share of its rows. The bytes of the keys do not count.
    ///
    /// The place pass uses this method, because EXPLAIN shows the rows. [`Keyed::saved`] includes the cost of the keys.
    pub(super) fn cut(&mut self, kept: f64) {
        self.rows *= kept;
        self.bytes = self.rows * self.row_bytes;
    }
}

/// A transfer of a candidate's rows to the site of the operator that reads them. `S` is a search's type of sites.
pub(super) struct Transfer<'a, S, R> {
    /// The site of the candidate.
    pub(super) from: &'a S,
    /// The cost of the rows at the operator's site.
    pub(super) cost: Cost,
    /// The edges of the candidate, if its rows stay at its site.
    kept: &'a [EdgeCandidate<R>],
    /// The edge over which the rows cross, if they do.
    crossed: Option<EdgeCandidate<R>>,
}

impl<'a, S, R> Transfer<'a, S, R> {
    /// Returns the transfer of rows that are at the operator's site already. `cost` and `edges` are those of the
    /// candidate.
    pub(super) fn stay(from: &'a S, cost: Cost, edges: &'a [EdgeCandidate<R>]) -> Self {
        Self { from, cost, kept: edges, crossed: None }
    }

    /// Returns the transfer over an edge to the site `to`. `cost` is the candidate's.
    pub(super) fn cross(from: &'a S, cost: Cost, edge: EdgeCandidate<R>, to: &SiteChoice) -> Self {
        Self { from, cost: moved(cost, &edge.link, edge.bytes, to), kept: &[], crossed: Some(edge) }
    }

    /// Returns the edges to the operator's site that keys may still cut.
    pub(super) fn edges(&self) -> &[EdgeCandidate<R>] {
        match &self.crossed {
            Some(edge) => std::slice::from_ref(edge),
            None => self.kept,
        }
    }
}

/// Returns the cost of rows at the site `to`, which fetches them over a link. `cost` is their cost where they are.
pub(super) fn moved(cost: Cost, link: &Link, bytes: f64, to: &SiteChoice) -> Cost {
    let crossed = cost + cost::transfer(link, bytes);
    match to {
        // A peer that fetches rows also plans them, and is one more hop.
        SiteChoice::Site(_) => crossed + cost::delegation(),
        SiteChoice::Here | SiteChoice::Anywhere => crossed,
    }
}

/// The expected keys of a join's build side, which may cut the edges of the probe side.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyEstimate {
    /// The expected number of distinct keys.
    pub(super) count: f64,
    /// Bytes of a key.
    bytes: f64,
    /// The share of the probe side's rows that have a match.
    pub(super) matched: f64,
}

impl KeyEstimate {
    /// Returns the keys of one set of relations for another: `distinct` values of `columns` columns.
    ///
    /// The order pass uses this function. A set has no plan, and so no statistics of its columns. Only `distinct`, and
    /// the rows of both sets and of their join, are known.
    pub(super) fn of_sets(columns: usize, distinct: f64, build: f64, probe: f64, joined: f64) -> Self {
        let count = distinct.min(build).max(1.0);
        // A probed row with a match has as many matches as the build side has rows with one key.
        let matches = (build / count).max(1.0);
        let matched = (joined / probe.max(1.0) / matches).min(1.0);
        Self { count, bytes: KEY_COLUMN_BYTES * columns as f64, matched }
    }

    /// Returns the keys of one plan for another. A pair of `on` is an expression of the probe side and one of the build
    /// side.
    ///
    /// The place pass uses this function. The statistics of both plans' columns are known, so the result can differ
    /// from that of [`Self::of_sets`].
    pub(super) fn of_plans(on: &[(Expr, Expr)], build: &Cardinality, probe: &Cardinality) -> Self {
        Self {
            count: build.distinct_keys(on.iter().map(|(_, build)| build)),
            bytes: KEY_COLUMN_BYTES * on.len() as f64,
            matched: cardinality::matched_fraction(probe, build, on).clamp(0.0, 1.0),
        }
    }

    /// Returns the bytes, the kept share and the saved cost if the keys cut an edge; `None` if they do not pay.
    pub(super) fn applied_to<R>(&self, edge: &EdgeCandidate<R>) -> Option<Keyed> {
        if self.count > edge.most_keys {
            return None;
        }
        cost::keyed(&edge.link, edge.bytes, self.count, self.bytes, self.matched)
    }
}
