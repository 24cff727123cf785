//! The branches of a union, seen through the projections and aliases above it: plans with the same columns by position.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, Union};

/// Returns the branches of a union, with the projections and aliases above it pushed into each. `None` if `plan` is not
/// a union, or if the pushdown might change something.
pub(super) fn of(plan: &LogicalPlan) -> Result<Option<Vec<LogicalPlan>>> {
    match plan {
        LogicalPlan::Union(union) => {
            let same_types = union.inputs.iter().all(|input| {
                let types = |s: &DFSchema| s.fields().iter().map(|f| f.data_type().clone()).collect::<Vec<_>>();
                types(input.schema()) == types(&union.schema)
            });
            Ok(same_types.then(|| union.inputs.iter().map(|i| i.as_ref().clone()).collect()))
        }
        LogicalPlan::SubqueryAlias(alias) => of(&alias.input),
        LogicalPlan::Projection(projection) => {
            let Some(branches) = of(&projection.input)? else { return Ok(None) };
            if projection.expr.iter().any(|e| e.is_volatile()) {
                return Ok(None);
            }
            let push = |branch: LogicalPlan| {
                let exprs = on_branch(&projection.expr, projection.input.schema(), branch.schema())?;
                numbered(branch, exprs, "c")
            };
            branches.into_iter().map(push).collect::<Result<Vec<_>>>().map(Some)
        }
        _ => Ok(None),
    }
}

/// Rewrites expressions over the union's columns into ones over a branch's, by position.
pub(super) fn on_branch(exprs: &[Expr], union: &DFSchema, branch: &DFSchema) -> Result<Vec<Expr>> {
    exprs.iter().map(|e| one_on_branch(e, union, branch)).collect()
}

/// Rewrites one expression as [`on_branch`] does.
pub(super) fn one_on_branch(expr: &Expr, union: &DFSchema, branch: &DFSchema) -> Result<Expr> {
    let rewritten = expr.clone().transform(|e| match &e {
        Expr::Column(column) => {
            let index = union.index_of_column(column)?;
            Ok(Transformed::yes(Expr::Column(Column::from(branch.qualified_field(index)))))
        }
        _ => Ok(Transformed::no(e)),
    })?;
    Ok(rewritten.data)
}

/// Returns a projection whose columns are named `<prefix>0`, `<prefix>1`, …: branches from different sources must not
/// differ in names, nor repeat a name.
pub(super) fn numbered(input: LogicalPlan, exprs: Vec<Expr>, prefix: &str) -> Result<LogicalPlan> {
    let exprs = exprs.into_iter().enumerate().map(|(i, e)| e.unalias().alias(format!("{prefix}{i}"))).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?))
}

/// Returns the union of branches that have the same columns.
pub(super) fn union(branches: Vec<LogicalPlan>) -> Result<LogicalPlan> {
    Ok(LogicalPlan::Union(Union::try_new(branches.into_iter().map(Arc::new).collect())?))
}

/// Returns a projection that gives `exprs` the names of `schema`, and casts them if a type differs.
pub(super) fn named_as(input: LogicalPlan, exprs: Vec<Expr>, schema: &DFSchema) -> Result<LogicalPlan> {
    let exprs = exprs
        .into_iter()
        .zip(schema.iter())
        .map(|(expr, (qualifier, field))| {
            let expr = if datafusion::logical_expr::ExprSchemable::get_type(&expr, input.schema().as_ref())?
                == *field.data_type()
            {
                expr
            } else {
                Expr::Cast(datafusion::logical_expr::Cast::new(Box::new(expr), field.data_type().clone()))
            };
            Ok(expr.alias_qualified(qualifier.cloned(), field.name()))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?))
}
