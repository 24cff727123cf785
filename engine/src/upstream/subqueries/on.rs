//! Subqueries in the conditions of joins.

use std::sync::Arc;

use datafusion::common::{DFSchema, JoinType};
use datafusion::error::Result;
use datafusion::logical_expr::logical_plan::{Filter, Join};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::prelude::lit;

use super::carrier::{Carrier, ExprPosition};
use super::domain::FreshNames;
use super::scope::{has_subquery, outer_columns_of};
use super::{filtered, only, refused};

/// Rewrites a join whose conditions have subqueries: as a filter above an inner join, as columns below any other join.
///
/// # Errors
/// `Unsupported` for subqueries in the `ON` of an outer join that read both of its sides.
pub(super) fn rewritten(join: Join, names: &FreshNames) -> Result<LogicalPlan> {
    let columns = join.schema.columns();
    let (hard, mut rest): (Vec<_>, Vec<_>) =
        join.filter.clone().map(split_conjunction_owned).unwrap_or_default().into_iter().partition(has_subquery);
    let (hard_on, on): (Vec<_>, Vec<_>) =
        join.on.iter().cloned().partition(|(left, right)| has_subquery(left) || has_subquery(right));
    let hard = hard.into_iter().chain(hard_on.into_iter().map(|(left, right)| left.eq(right)));
    let (left, right) = (join.left.as_ref().clone(), join.right.as_ref().clone());
    if join.join_type == JoinType::Inner {
        let predicate = conjunction(hard).unwrap_or_else(|| lit(true));
        let plan = rebuilt(&join, left, right, on, rest)?;
        return filtered(Filter::try_new(predicate, Arc::new(plan))?, names);
    }
    let mut left = Carrier::new(left, ExprPosition::Other, names);
    let mut right = Carrier::new(right, ExprPosition::Other, names);
    for conjunct in hard {
        match (reads(&conjunct, join.left.schema())?, reads(&conjunct, join.right.schema())?) {
            (true, true) => {
                return Err(refused(
                    "a subquery in the ON of an outer join reads columns of both sides",
                    "compute its value in a subquery that is one side of the join",
                ));
            }
            (true, false) => rest.push(left.resolve(conjunct, true)?),
            (false, _) => rest.push(right.resolve(conjunct, true)?),
        }
    }
    only(rebuilt(&join, left.plan, right.plan, on, rest)?, columns)
}

/// True if a condition or a subquery in it reads columns of a schema.
fn reads(condition: &Expr, schema: &DFSchema) -> Result<bool> {
    let own = condition.column_refs().into_iter().any(|c| schema.has_column(c));
    Ok(own || outer_columns_of(condition, &DFSchema::empty())?.iter().any(|c| schema.has_column(c)))
}

fn rebuilt(
    join: &Join,
    left: LogicalPlan,
    right: LogicalPlan,
    on: Vec<(Expr, Expr)>,
    filter: Vec<Expr>,
) -> Result<LogicalPlan> {
    let joined = Join::try_new(
        Arc::new(left),
        Arc::new(right),
        on,
        conjunction(filter),
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?;
    Ok(LogicalPlan::Join(joined))
}
