//! Pass 8, split: splits an operator into parts if the result stays the same: one part below, where an owner can run
//! it, and a final part above. Each owner then reduces its rows before they travel. The pass splits
//! - an aggregate or a TopN over a union,
//! - an aggregate over inner joins of several sites,
//! - a TopN over a left join,
//! - a filter that a database runs in part, into two filters.
//!
//! Before: `Aggregate: sum(x) by k (Union(a, b))`.
//! After: `Projection(Aggregate: sum(s) by k (Union(Aggregate: sum(x) AS s by k (a), Aggregate: … (b))))`.

mod aggregate;
mod below_join;
mod branches;
mod filter;
mod parts;
mod top_n;

use datafusion::common::tree_node::Transformed;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::LogicalPlan;

use crate::execution::errors::from_datafusion;
use crate::mesh::MeshView;
use crate::planner::candidates::{cost_here, other_sites};
use crate::planner::movement::Routes;
use crate::planner::same::have_same_columns;
use crate::{Result, Settings};

/// Splits operators into parts if the parts cost less. The schema of the plan stays the same.
pub(super) fn split(plan: &LogicalPlan, settings: &Settings, routes: Routes<'_>) -> Result<LogicalPlan> {
    if other_sites(plan).map_err(|e| from_datafusion(&e))?.is_empty() {
        return Ok(plan.clone());
    }
    let split = plan.clone().transform_up_with_subqueries(|node| {
        if let LogicalPlan::Filter(filter) = &node
            && let Some(parts) = filter::by_site(filter, routes.view)?
        {
            return Ok(Transformed::yes(parts));
        }
        // If a rewrite fails, the plan stays as it was, which is correct.
        let mut alternatives = in_parts(&node, routes.view).unwrap_or_else(|error| {
            tracing::debug!(%error, "an operator was not split");
            vec![]
        });
        // A rewrite that would change the columns is discarded.
        alternatives.retain(|parts| have_same_columns(parts, &node));
        if alternatives.is_empty() {
            return Ok(Transformed::no(node));
        }
        let whole = cost_here(&node, settings, routes)?;
        for parts in alternatives {
            if cost_here(&parts, settings, routes)? < whole {
                return Ok(Transformed::yes(parts));
            }
        }
        Ok(Transformed::no(node))
    });
    split.map(|s| s.data).map_err(|e| from_datafusion(&e))
}

/// Returns the alternatives to an operator, in parts, the one with the fewest rows between the parts first. There are none if it
/// cannot be split.
fn in_parts(node: &LogicalPlan, view: &MeshView) -> DataFusionResult<Vec<LogicalPlan>> {
    match node {
        LogicalPlan::Aggregate(aggregate) => match aggregate::over_union(aggregate)? {
            None => below_join::aggregate(aggregate, view),
            Some(parts) => Ok(vec![parts]),
        },
        LogicalPlan::Sort(sort) => match top_n::over_union(sort)? {
            None => Ok(top_n::over_outer_join(sort)?.into_iter().collect()),
            Some(parts) => Ok(vec![parts]),
        },
        _ => Ok(vec![]),
    }
}
