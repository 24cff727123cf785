//! The edges over which operators' rows cross, and their transfers.

use std::collections::BTreeSet;

use datafusion::common::Column;
use portolan_catalog::DomainName;

use super::tree::CandidateTree;
use crate::mesh::Link;
use crate::plan::{Cost, Edge, KeyPlan, SiteChoice, Strategy};
use crate::planner::cost;
use crate::planner::movement::{EdgeCandidate, Owned, Routes, Transfer};

/// The rows of an operator on an edge, with the decisions about them.
#[derive(Clone, Debug)]
pub(in crate::planner) struct OperatorRows {
    /// The number of the operator.
    pub(super) number: usize,
    /// The domains whose ports the operator and everything below read.
    pub(super) domains: BTreeSet<DomainName>,
    /// True if no keys may cut the edge, because a join above has keys that must not be sent there.
    pub(super) is_barred: bool,
    /// Rows of the operator, before keys cut them.
    pub(super) whole: f64,
    pub(super) strategy: Strategy,
    pub(super) keys: Option<KeyPlan>,
    /// The operators whose rows supply the keys.
    pub(super) keyed_by: Vec<usize>,
    /// The columns by which keys may cut the edge, as the operator at the edge's end names them.
    pub(super) columns: Vec<Column>,
}

/// An edge over which an operator's rows cross.
pub(super) type OperatorEdge = EdgeCandidate<OperatorRows>;

/// A transfer of an operator's rows.
pub(super) type OperatorTransfer<'a> = Transfer<'a, SiteChoice, OperatorRows>;

impl CandidateTree {
    /// Returns the edge over which all rows cross, from a site.
    pub(super) fn edge(&self, from: &SiteChoice, link: Link, routes: Routes<'_>) -> OperatorEdge {
        let strategy = if self.owned_part(from) == Owned::Whole { Strategy::Gather } else { Strategy::Delegate };
        let of = OperatorRows {
            number: self.number,
            domains: self.domains.clone(),
            is_barred: false,
            whole: self.rows.rows,
            strategy,
            keys: None,
            keyed_by: vec![],
            columns: self.plan.schema().columns(),
        };
        EdgeCandidate::whole(of, link, self.rows.rows, self.row_bytes()).with_most_keys(routes.most_keys(from))
    }
}

impl EdgeCandidate<OperatorRows> {
    /// Returns the edge of the plan that the candidate becomes.
    pub(in crate::planner) fn decided(&self) -> Edge {
        Edge {
            strategy: self.of.strategy,
            keys: self.of.keys.clone(),
            link: self.link,
            rows_whole: self.of.whole,
            rows: self.rows,
            row_bytes: self.row_bytes,
        }
    }

    /// Bars keys from the edge, so that all rows cross. Returns the cost that keys have saved so far.
    pub(super) fn bar_keys(&mut self) -> Cost {
        let cut = cost::transfer(&self.link, self.bytes);
        (self.rows, self.bytes) = (self.of.whole, self.of.whole * self.row_bytes);
        self.of.is_barred = true;
        self.of.keys = None;
        self.of.keyed_by.clear();
        if self.of.strategy == Strategy::Keys {
            self.of.strategy = Strategy::Gather;
        }
        cost::transfer(&self.link, self.bytes) - cut
    }
}
