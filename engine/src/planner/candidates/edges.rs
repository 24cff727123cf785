//! The edges over which operators' rows cross, and their transfers.

use datafusion::common::Column;

use super::tree::CandidateTree;
use crate::mesh::Link;
use crate::plan::{Edge, KeyPlan, SiteChoice, Strategy};
use crate::planner::movement::{EdgeCandidate, Owned, Routes, Transfer};

/// The rows of an operator on an edge, with the decisions about them.
#[derive(Clone, Debug)]
pub(in crate::planner) struct OperatorRows {
    /// The number of the operator.
    pub(super) number: usize,
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
}
