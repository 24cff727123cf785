//! A part of the pass place: keeps columns here that readers of equal rows choose at an owner. The edges then carry the same
//! rows, and the pass share fetches them once. Rows that keys cut stay as they are: each edge has keys of its own.
//!
//! Before: `Join @here(Projection: k, x @sales (Aggregate @sales), Projection: k, y @sales (Aggregate @sales))`, where the
//! aggregates are equal.
//! After: both projections are here.

use datafusion::logical_expr::{Expr, LogicalPlan};
use portolan_connectors::SiteId;

use super::cardinality::estimate;
use super::same::{are_same, is_closed, is_work};
use crate::plan::{Edge, Placed, Reason, SiteChoice};

/// Keeps the choice of columns here, for the rows that several edges without keys carry.
pub(super) fn narrow_here(root: &mut Placed) {
    let mut edges = vec![];
    find(root, &mut edges);
    move_here(root, &edges);
}

/// An edge without keys.
struct WideEdge {
    site: SiteId,
    /// What crosses the edge, without the aliases at the top.
    chosen: LogicalPlan,
    /// The rows from which it chooses columns.
    rows: LogicalPlan,
}

impl WideEdge {
    /// Returns the edge that an operator's rows cross.
    fn of(placed: &Placed) -> Option<Self> {
        let SiteChoice::Site(site) = &placed.site else { return None };
        placed.edge.as_ref().filter(|edge| edge.keys.is_none())?;
        let (mut chosen, mut rows) = (&placed.plan, &placed.plan);
        while let LogicalPlan::SubqueryAlias(alias) = chosen {
            chosen = &alias.input;
        }
        while chooses_columns(rows) {
            rows = rows.inputs().first().copied()?;
        }
        is_work(rows).then(|| Self { site: site.clone(), chosen: chosen.clone(), rows: rows.clone() })
    }

    /// True if two edges carry other columns of the same rows.
    fn differs_in_columns(&self, other: &Self) -> bool {
        self.site == other.site && are_same(&self.rows, &other.rows) && !are_same(&self.chosen, &other.chosen)
    }
}

/// Adds the edges below an operator.
fn find(placed: &Placed, edges: &mut Vec<WideEdge>) {
    if is_closed(&placed.plan) {
        return;
    }
    match WideEdge::of(placed) {
        Some(edge) => edges.push(edge),
        None => placed.inputs.iter().chain(&placed.subqueries).for_each(|part| find(part, edges)),
    }
}

/// Moves the operators here that choose columns of rows which other edges carry too.
fn move_here(placed: &mut Placed, edges: &[WideEdge]) {
    if is_closed(&placed.plan) {
        return;
    }
    let Some(wide) = WideEdge::of(placed) else {
        return placed.inputs.iter_mut().chain(&mut placed.subqueries).for_each(|part| move_here(part, edges));
    };
    if !edges.iter().any(|edge| edge.differs_in_columns(&wide)) {
        return;
    }
    let edge = placed.edge.take();
    let mut operator = placed;
    while chooses_columns(&operator.plan) && !operator.inputs.is_empty() {
        operator.site = SiteChoice::Here;
        operator.reason = Some(Reason::SharedRows);
        operator = &mut operator.inputs[0];
    }
    let row_bytes = estimate(&operator.plan).row_bytes(operator.plan.schema());
    operator.edge = edge.map(|edge| Edge { row_bytes, ..edge });
}

/// True for an operator that returns columns of its input, maybe with other names.
fn chooses_columns(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::SubqueryAlias(_) => true,
        LogicalPlan::Projection(projection) => {
            projection.expr.iter().all(|expr| matches!(expr.clone().unalias_nested().data, Expr::Column(_)))
        }
        _ => false,
    }
}
