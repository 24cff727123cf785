//! The subqueries that DataFusion 55.2 plans correctly as joins. They stay as they are.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, JoinType};
use datafusion::error::Result;
use datafusion::logical_expr::utils::{merge_schema, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Distinct, Expr, ExprSchemable, LogicalPlan, Operator, Subquery};

use super::scope::{has_subquery, outer_columns, outer_columns_of};
use crate::upstream::expressions::any;

/// True if DataFusion plans an `EXISTS` or `IN` with this subquery over `outer` correctly, as a semi or anti join.
///
/// The conditions on outer columns must be in filters, with only columns, filters and inner joins above them.
pub(super) fn is_semi_join(subquery: &Subquery, outer: &LogicalPlan) -> Result<bool> {
    let plan = subquery.subquery.as_ref();
    let columns = outer_columns(plan)?;
    if columns.is_empty() {
        return Ok(true);
    }
    if columns.iter().any(|c| !outer.schema().has_column(c)) {
        return Ok(false);
    }
    reads_in_filters(plan)
}

/// True if only filters read outer columns, and the compared inner columns have different names.
pub(super) fn reads_in_filters(plan: &LogicalPlan) -> Result<bool> {
    let mut own = plan.schema().columns();
    Ok(filters_only(plan, &mut own)? && have_distinct_names(&own))
}

/// True if only filters read outer columns. Adds the columns that they compare with outer ones to `own`.
fn filters_only(plan: &LogicalPlan, own: &mut Vec<Column>) -> Result<bool> {
    if outer_columns(plan)?.is_empty() {
        return Ok(true);
    }
    match plan {
        LogicalPlan::Filter(filter) => {
            for conjunct in split_conjunction(&filter.predicate) {
                if outer_columns_of(conjunct, filter.input.schema())?.is_empty() {
                    continue;
                }
                if has_subquery(conjunct) {
                    return Ok(false);
                }
                own.extend(conjunct.column_refs().into_iter().cloned());
            }
        }
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Distinct(Distinct::All(_)) => {}
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => {}
        _ => return Ok(false),
    }
    if !matches!(plan, LogicalPlan::Filter(_)) && reads_outer(plan)? {
        return Ok(false);
    }
    for input in plan.inputs() {
        if !filters_only(input, own)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// True if an expression of this operator reads outer columns.
fn reads_outer(plan: &LogicalPlan) -> Result<bool> {
    let schema = merge_schema(&plan.inputs());
    let mut found = false;
    plan.apply_expressions(|expr| {
        found |= !outer_columns_of(expr, &schema)?.is_empty();
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// True if the columns have different names: DataFusion gives all of them the same qualifier.
fn have_distinct_names(columns: &[Column]) -> bool {
    columns.iter().enumerate().all(|(i, a)| columns.iter().skip(i + 1).all(|b| a.name != b.name || a == b))
}

/// True if DataFusion plans a scalar subquery over `outer` correctly, as a left join. The subquery must be an aggregate
/// that is NULL over no rows, of rows with columns that equal outer ones.
pub(super) fn is_left_join(subquery: &Subquery, outer: &LogicalPlan) -> Result<bool> {
    let columns = outer_columns(&subquery.subquery)?;
    if columns.iter().any(|c| !outer.schema().has_column(c)) {
        return Ok(false);
    }
    let mut plan = subquery.subquery.as_ref();
    if let LogicalPlan::Projection(projection) = plan {
        if !projection.expr.iter().all(is_strict) {
            return Ok(false);
        }
        plan = &projection.input;
    }
    let LogicalPlan::Aggregate(aggregate) = plan else { return Ok(false) };
    if !aggregate.group_expr.is_empty() || !aggregate.aggr_expr.iter().all(is_null_of_nothing) || reads_outer(plan)? {
        return Ok(false);
    }
    let mut own = subquery.subquery.schema().columns();
    own.extend(plan.schema().columns());
    let mut compared = vec![];
    let simple = filters_only(&aggregate.input, &mut compared)? && all_equal(&aggregate.input, outer)?;
    own.dedup();
    own.extend(compared);
    Ok(simple && have_distinct_names(&own))
}

/// True if the value is NULL whenever a column of the aggregate is.
fn is_strict(expr: &Expr) -> bool {
    let mut columns = 0;
    let strict = !any(expr, |e| match e {
        Expr::Column(_) | Expr::Literal(..) | Expr::Alias(_) | Expr::Cast(_) | Expr::Negative(_) => false,
        Expr::BinaryExpr(BinaryExpr { op, .. }) => {
            !matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide)
        }
        _ => true,
    });
    columns += expr.column_refs().len();
    strict && columns > 0
}

fn is_null_of_nothing(expr: &Expr) -> bool {
    match expr.clone().unalias() {
        Expr::AggregateFunction(f) => matches!(f.func.name(), "min" | "max" | "sum" | "avg") && !has_subquery(expr),
        _ => false,
    }
}

/// True if each condition on outer columns is an equality with a column of the same type.
fn all_equal(plan: &LogicalPlan, outer: &LogicalPlan) -> Result<bool> {
    if let LogicalPlan::Filter(filter) = plan {
        for conjunct in split_conjunction(&filter.predicate) {
            if outer_columns_of(conjunct, filter.input.schema())?.is_empty() {
                continue;
            }
            let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = conjunct else { return Ok(false) };
            let (own, other) = match (left.as_ref(), right.as_ref()) {
                (Expr::Column(own), Expr::OuterReferenceColumn(_, other))
                | (Expr::OuterReferenceColumn(_, other), Expr::Column(own)) => (own, other),
                _ => return Ok(false),
            };
            let own = Expr::Column(own.clone()).get_type(filter.input.schema())?;
            let other = Expr::Column(other.clone()).get_type(outer.schema())?;
            if own != other && !(own.is_integer() && other.is_integer()) {
                return Ok(false);
            }
        }
    }
    for input in plan.inputs() {
        if !all_equal(input, outer)? {
            return Ok(false);
        }
    }
    Ok(true)
}
