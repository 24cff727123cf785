//! The expressions of one operator: the tests and the rewrites that the workarounds share.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, LogicalPlan};

/// True if an expression of the operator passes a test.
pub(super) fn has_expression(plan: &LogicalPlan, test: impl Fn(&Expr) -> bool) -> bool {
    let mut found = false;
    let walked = plan.apply_expressions(|expr| {
        found |= test(expr);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found || walked.is_err()
}

/// True if a part of an expression, itself included, passes a test.
pub(super) fn any(expr: &Expr, test: impl Fn(&Expr) -> bool) -> bool {
    expr.exists(|e| Ok(test(e))).unwrap_or(true)
}

/// True if the operator calls a volatile function.
pub(super) fn is_volatile(plan: &LogicalPlan) -> bool {
    has_expression(plan, Expr::is_volatile)
}

/// Returns the type of the values that a column of this type holds, be they in a dictionary or not.
pub(super) fn value_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => value_type(values),
        other => other,
    }
}

/// Rewrites the expressions of an operator from their leaves up; their columns keep their names.
pub(super) fn map_named(
    plan: LogicalPlan,
    rewrite: impl Fn(Expr) -> Result<Transformed<Expr>>,
) -> Result<Transformed<LogicalPlan>> {
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| rewrite_named(&names, expr, &mut |expr| expr.transform_up(&rewrite)))
}

/// Rewrites the expressions of all operators of a plan and of its subqueries, over the columns that they can read. An
/// operator none of whose expressions passes the test stays as it is.
pub(super) fn map_plan(
    plan: LogicalPlan,
    may_change: impl Fn(&Expr) -> bool,
    rewrite: impl Fn(Expr, &DFSchema) -> Transformed<Expr>,
) -> Result<LogicalPlan> {
    let mapped = plan.transform_up_with_subqueries(|node| {
        if !has_expression(&node, |expr| any(expr, &may_change)) {
            return Ok(Transformed::no(node));
        }
        let schema = schema_below(&node)?;
        map_named(node, |expr| Ok(rewrite(expr, &schema)))
    })?;
    Ok(mapped.data)
}

/// Rewrites an expression of an operator; its column keeps its name. The columns of grouping sets are those inside.
pub(super) fn rewrite_named(
    names: &NamePreserver,
    expr: Expr,
    rewrite: &mut dyn FnMut(Expr) -> Result<Transformed<Expr>>,
) -> Result<Transformed<Expr>> {
    if matches!(expr, Expr::GroupingSet(_)) {
        return expr.map_children(|inner| rewrite_named(names, inner, rewrite));
    }
    let name = names.save(&expr);
    let rewritten = rewrite(expr)?;
    Ok(if rewritten.transformed { rewritten.update_data(|e| name.restore(e)) } else { rewritten })
}

/// Returns the columns that an operator's expressions can read.
pub(super) fn schema_below(plan: &LogicalPlan) -> Result<DFSchema> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())
        }
        other => Ok(merge_schema(&other.inputs())),
    }
}

/// Rewrites an operator that `SimplifyExpressions` has returned. Above an aggregate, the rule may have added a
/// projection.
pub(super) fn map_simplified(
    plan: LogicalPlan,
    rewrite: impl Fn(LogicalPlan) -> Result<LogicalPlan>,
) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Projection(mut projection) if matches!(*projection.input, LogicalPlan::Aggregate(_)) => {
            projection.input = Arc::new(rewrite(Arc::unwrap_or_clone(projection.input))?);
            rewrite(LogicalPlan::Projection(projection))
        }
        plan => rewrite(plan),
    }
}
