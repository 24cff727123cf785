//! `LATERAL`: a subquery in `FROM` that reads columns of the items before it. DataFusion 55.2 does not plan one with a
//! limit or `HAVING` (<https://github.com/apache/datafusion/issues/21198>).

use std::sync::Arc;

use datafusion::common::{Column, JoinType, TableReference};
use datafusion::error::Result;
use datafusion::logical_expr::logical_plan::Join;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Subquery};

use super::dependent::{Independent, same};
use super::domain::{Domain, FreshNames};
use super::scope::{has_subquery, outer_columns};
use super::simple::reads_in_filters;
use crate::upstream::expressions::has_expression;

/// Returns the lateral subquery on the right side of a join, and its alias.
fn lateral(join: &Join) -> Option<(&Subquery, Option<TableReference>)> {
    match join.right.as_ref() {
        LogicalPlan::Subquery(subquery) => Some((subquery, None)),
        LogicalPlan::SubqueryAlias(alias) => match alias.input.as_ref() {
            LogicalPlan::Subquery(subquery) => Some((subquery, Some(alias.alias.clone()))),
            _ => None,
        },
        _ => None,
    }
}

/// Joins a lateral subquery that DataFusion plans wrongly. DataFusion plans only filters, columns and inner joins
/// correctly. Subqueries in the condition of the join become joins, too.
///
/// # Errors
/// `Unsupported` for subqueries that cannot be evaluated for all rows at once.
pub(super) fn joined(join: &Join, names: &FreshNames) -> Result<Option<LogicalPlan>> {
    let Some((subquery, alias)) = lateral(join) else { return Ok(None) };
    let plan = subquery.subquery.as_ref();
    let columns: Vec<_> = outer_columns(plan)?.into_iter().filter(|c| join.left.schema().has_column(c)).collect();
    let supported = matches!(join.join_type, JoinType::Inner | JoinType::Left);
    if columns.is_empty() || !supported || reads_in_filters(plan)? {
        return Ok(None);
    }
    let domain = Domain::new(&join.left, columns, names);
    let Independent { plan: right, mut keys } = domain.independent(plan)?;
    let mut right = super::rewritten(domain.narrowed(plan, right, &keys)?, names)?;
    if let Some(alias) = alias {
        keys = keys.into_iter().map(|key| Column::new(Some(alias.clone()), key.name)).collect();
        right = LogicalPlanBuilder::from(right).alias(alias)?.build()?;
    }
    let links =
        domain.columns.iter().zip(keys).map(|(outer, key)| same(Expr::Column(outer.clone()), Expr::Column(key)));
    let joined = Join::try_new(
        Arc::clone(&join.left),
        Arc::new(right),
        join.on.clone(),
        conjunction(links.chain(join.filter.clone())),
        join.join_type,
        join.join_constraint,
        join.null_equality,
        false,
    )?;
    let mut joined = LogicalPlan::Join(joined);
    if has_expression(&joined, has_subquery) {
        joined = super::rewrite(joined, names)?;
    }
    let columns = join.schema.columns().into_iter().map(Expr::Column);
    Ok(Some(LogicalPlanBuilder::from(joined).project(columns)?.build()?))
}
