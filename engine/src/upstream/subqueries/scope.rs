//! The columns that a subquery reads from outside, and the replacement of such references.
//!
//! DataFusion's references to outer columns have no level. A reference belongs to the innermost query around it whose
//! input has the column.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ExprSchema};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, Subquery};

use crate::upstream::expressions::any;

/// Returns the plan of a subquery, if the expression is one.
pub(super) fn subquery_of(expr: &Expr) -> Option<&Subquery> {
    match expr {
        Expr::Exists(Exists { subquery, .. })
        | Expr::InSubquery(InSubquery { subquery, .. })
        | Expr::SetComparison(SetComparison { subquery, .. })
        | Expr::ScalarSubquery(subquery) => Some(subquery),
        _ => None,
    }
}

/// True if an expression has a subquery of any kind.
pub(super) fn has_subquery(expr: &Expr) -> bool {
    any(expr, |e| subquery_of(e).is_some())
}

/// Returns the columns that a plan reads from outside of itself, each once.
///
/// # Errors
/// The errors of walking a plan.
pub(super) fn outer_columns(plan: &LogicalPlan) -> Result<Vec<Column>> {
    let mut found = vec![];
    collect(plan, &[], &mut found)?;
    Ok(found)
}

/// Returns the columns that the right side of a join reads from outside of the join. A lateral subquery there may also
/// read columns of the left side.
///
/// # Errors
/// The errors of walking a plan.
pub(super) fn outer_columns_of_right(join: &Join) -> Result<Vec<Column>> {
    let mut found = vec![];
    collect(&join.right, &[join.left.schema().as_ref()], &mut found)?;
    Ok(found)
}

/// Returns the columns that an expression over `schema` and its subqueries read from outside.
pub(super) fn outer_columns_of(expr: &Expr, schema: &DFSchema) -> Result<Vec<Column>> {
    let mut found = vec![];
    collect_expr(expr, schema, &mut found)?;
    Ok(found)
}

/// Collects the columns that a plan reads from outside. `before` are the columns of the items of `FROM` before the
/// plan: for a lateral subquery they belong to its own query.
fn collect(plan: &LogicalPlan, before: &[&DFSchema], found: &mut Vec<Column>) -> Result<()> {
    let schema = merge_schema(&plan.inputs());
    plan.apply_expressions(|expr| {
        collect_expr(expr, &schema, found)?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    match plan {
        LogicalPlan::Join(join) => {
            collect(&join.left, before, found)?;
            let mut before = before.to_vec();
            before.push(join.left.schema());
            collect(&join.right, &before, found)?;
        }
        LogicalPlan::Subquery(lateral) => {
            for column in outer_columns(&lateral.subquery)? {
                if !before.iter().any(|schema| schema.has_column(&column)) {
                    push(found, &column);
                }
            }
        }
        // The subqueries in the condition of a join may have become a filter above the join.
        LogicalPlan::SubqueryAlias(_) | LogicalPlan::Filter(_) => {
            for input in plan.inputs() {
                collect(input, before, found)?;
            }
        }
        // The items of another `FROM`.
        _ => {
            for input in plan.inputs() {
                collect(input, &[], found)?;
            }
        }
    }
    Ok(())
}

fn collect_expr(expr: &Expr, schema: &DFSchema, found: &mut Vec<Column>) -> Result<()> {
    expr.apply(|e| {
        if let Expr::OuterReferenceColumn(_, column) = e {
            push(found, column);
        }
        if let Some(subquery) = subquery_of(e) {
            for column in outer_columns(&subquery.subquery)?.iter().filter(|c| !schema.has_column(c)) {
                push(found, column);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

fn push(found: &mut Vec<Column>, column: &Column) {
    if !found.contains(column) {
        found.push(column.clone());
    }
}

/// The replacement of each outer column.
pub(super) type Replacements = BTreeMap<Column, Column>;

/// Replaces outer columns in an expression over `schema` with columns of its own input.
///
/// In the expression's subqueries they stay outer columns, one level less deep.
pub(super) fn replace(expr: Expr, schema: &DFSchema, by: &Replacements) -> Result<Expr> {
    let replaced = expr.transform_down(|e| match e {
        Expr::OuterReferenceColumn(field, column) => Ok(match by.get(&column) {
            Some(own) => Transformed::yes(Expr::Column(own.clone())),
            None => Transformed::no(Expr::OuterReferenceColumn(field, column)),
        }),
        other => replace_in_subquery(other, schema, by),
    })?;
    Ok(replaced.data)
}

fn replace_in_subquery(expr: Expr, schema: &DFSchema, by: &Replacements) -> Result<Transformed<Expr>> {
    let Some(subquery) = subquery_of(&expr) else { return Ok(Transformed::no(expr)) };
    let outer = outer_columns(&subquery.subquery)?;
    let by: Replacements = by
        .iter()
        .filter(|(c, _)| outer.contains(c) && !schema.has_column(c))
        .map(|(c, o)| (c.clone(), o.clone()))
        .collect();
    if by.is_empty() {
        return Ok(Transformed::no(expr));
    }
    let plan = rename_outer(subquery.subquery.as_ref().clone(), &by)?;
    Ok(Transformed::yes(with_plan(expr, plan)))
}

/// Returns the same kind of subquery over another plan.
pub(super) fn with_plan(expr: Expr, plan: LogicalPlan) -> Expr {
    let of = |old: Subquery| subquery(plan, old.spans);
    match expr {
        Expr::Exists(e) => Expr::Exists(Exists { subquery: of(e.subquery), ..e }),
        Expr::InSubquery(e) => Expr::InSubquery(InSubquery { subquery: of(e.subquery), ..e }),
        Expr::SetComparison(e) => Expr::SetComparison(SetComparison { subquery: of(e.subquery), ..e }),
        Expr::ScalarSubquery(old) => Expr::ScalarSubquery(of(old)),
        other => other,
    }
}

/// Returns a subquery over a plan.
pub(super) fn subquery(plan: LogicalPlan, spans: datafusion::common::Spans) -> Subquery {
    let outer_ref_columns = plan.all_out_ref_exprs();
    Subquery { subquery: Arc::new(plan), outer_ref_columns, spans }
}

/// Renames outer columns of a plan, also in its subqueries that do not shadow them.
fn rename_outer(plan: LogicalPlan, by: &Replacements) -> Result<LogicalPlan> {
    rename(plan, by, by)
}

/// Renames outer columns of a plan. `lateral` are the replacements for lateral subqueries in it: without the columns of
/// the items of `FROM` before them.
fn rename(plan: LogicalPlan, by: &Replacements, lateral: &Replacements) -> Result<LogicalPlan> {
    let plan = match plan {
        LogicalPlan::Join(mut join) => {
            let mut right = lateral.clone();
            right.retain(|column, _| !join.left.schema().has_column(column));
            join.left = Arc::new(rename(Arc::unwrap_or_clone(join.left), by, lateral)?);
            join.right = Arc::new(rename(Arc::unwrap_or_clone(join.right), by, &right)?);
            LogicalPlan::Join(join)
        }
        LogicalPlan::Subquery(old) => {
            let renamed = rename_outer(Arc::unwrap_or_clone(old.subquery), lateral)?;
            return Ok(LogicalPlan::Subquery(subquery(renamed, old.spans)));
        }
        plan @ (LogicalPlan::SubqueryAlias(_) | LogicalPlan::Filter(_)) => {
            plan.map_children(|child| Ok(Transformed::yes(rename(child, by, lateral)?)))?.data
        }
        other => other.map_children(|child| Ok(Transformed::yes(rename_outer(child, by)?)))?.data,
    };
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    let renamed = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let renamed = expr.transform_down(|e| match e {
            Expr::OuterReferenceColumn(field, column) => Ok(match by.get(&column) {
                Some(other) => Transformed::yes(Expr::OuterReferenceColumn(field, other.clone())),
                None => Transformed::no(Expr::OuterReferenceColumn(field, column)),
            }),
            other => replace_in_subquery(other, &schema, by),
        })?;
        Ok(Transformed::yes(name.restore(renamed.data)))
    })?;
    renamed.data.recompute_schema()
}

/// Returns an expression over `schema` as a subquery of it reads it.
pub(super) fn as_outer(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let outer = expr.transform_up(|e| match e {
        Expr::Column(column) => {
            let field = Arc::clone(schema.field_from_column(&column)?);
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(outer.data)
}
