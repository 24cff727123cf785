//! Workarounds for the common types that DataFusion 55.2 finds for operands. DataFusion's type coercion runs as before.
//! Before each of its steps, our rules act if DataFusion would compare other values than those that the query writes.
//!
//! [`decimals`] compares a decimal and a literal as decimals. [`unrelated`] refuses to compare a date and a number.
//! [`printed_lists`] refuses lists in functions of strings.
//! [`instants`] handles timestamps that nanoseconds cannot hold. [`intervals`] compares intervals by their length. Each
//! rule sees a group of operands that need one type: the operands of a comparison, or the branches of a `UNION`, a
//! `CASE` or a function such as `coalesce`.
//!
//! The rule replaces DataFusion's, and calls it for each expression after our own. A second run over an analysed plan
//! changes nothing: by then the operands have one type.

mod compared;
mod decimals;
mod exact;
mod groups;
mod instants;
mod intervals;
mod literals;
mod printed_lists;
mod timestamps;
mod union;
mod unrelated;

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRewriter};
use datafusion::common::{DFSchema, ExprSchema, Result};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, Join, LogicalPlan, RecursiveQuery, Subquery};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::analyzer::type_coercion::{TypeCoercion, TypeCoercionRewriter};

pub(super) use self::compared::ComparedOperands;
pub(super) use self::groups::is_comparison;
pub(crate) use self::literals::keep_digits;
pub(crate) use self::timestamps::{TimestampTypes, without_mark};
pub(super) use self::union::{Side, settle_sides};
pub(super) use self::unrelated::unrelated;
use super::expressions::rewrite_named;

/// Puts our rules before DataFusion's, if the rule is the one that coerces types.
pub(super) fn guarded(rule: Arc<dyn AnalyzerRule + Send + Sync>) -> Arc<dyn AnalyzerRule + Send + Sync> {
    if rule.name() == TypeCoercion::new().name() { Arc::new(OperandTypes) } else { rule }
}

#[derive(Debug)]
struct OperandTypes;

impl AnalyzerRule for OperandTypes {
    fn name(&self) -> &str {
        "type_coercion"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(coerce(plan, None)?.data)
    }
}

/// The columns that a subquery may read from the queries around it, the nearest first.
#[derive(Clone, Copy)]
struct Outer<'a> {
    schema: &'a DFSchema,
    around: Option<&'a Self>,
}

/// Coerces a plan from its inputs up, so that every expression sees the final types of its columns.
fn coerce(plan: LogicalPlan, outer: Option<&Outer<'_>>) -> Result<Transformed<LogicalPlan>> {
    let plan = match plan {
        LogicalPlan::Join(join) => coerce_sides(join, outer)?,
        LogicalPlan::RecursiveQuery(query) => return coerce_recursive(query, outer),
        other => other.map_children(|child| coerce(child, outer))?,
    };
    plan.transform_data(|plan| coerce_node(plan, outer))
}

/// Coerces the sides of a join. The right side may read columns of the left side (`LATERAL`).
fn coerce_sides(mut join: Join, outer: Option<&Outer<'_>>) -> Result<Transformed<LogicalPlan>> {
    let left = coerce(Arc::unwrap_or_clone(join.left), outer)?;
    let lateral = Outer { schema: left.data.schema(), around: outer };
    let right = coerce(Arc::unwrap_or_clone(join.right), Some(&lateral))?;
    let changed = left.transformed || right.transformed;
    (join.left, join.right) = (Arc::new(left.data), Arc::new(right.data));
    let plan = LogicalPlan::Join(join);
    Ok(if changed { Transformed::yes(plan.recompute_schema()?) } else { Transformed::no(plan) })
}

/// Coerces a recursive query. Planning has promised its columns' types, and the second term reads columns of these
/// types.
fn coerce_recursive(query: RecursiveQuery, outer: Option<&Outer<'_>>) -> Result<Transformed<LogicalPlan>> {
    let RecursiveQuery { name, static_term, recursive_term, is_distinct, schema } = query;
    let term = |term: Arc<LogicalPlan>| {
        let coerced = coerce(Arc::unwrap_or_clone(term), outer)?.data;
        union::with_promised_floats(coerced, &schema).map(Arc::new)
    };
    let (static_term, recursive_term) = (term(static_term)?, term(recursive_term)?);
    Ok(Transformed::yes(LogicalPlan::RecursiveQuery(RecursiveQuery {
        name,
        static_term,
        recursive_term,
        is_distinct,
        schema,
    })))
}

/// Coerces the expressions of one operator, as `TypeCoercion` does. The operator's inputs are coerced already.
fn coerce_node(plan: LogicalPlan, outer: Option<&Outer<'_>>) -> Result<Transformed<LogicalPlan>> {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = &plan {
        schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
    }
    let plan = match plan {
        LogicalPlan::Filter(mut filter) => {
            filter.predicate = filter.predicate.cast_to(&DataType::Boolean, &schema)?;
            LogicalPlan::Filter(filter)
        }
        other => other,
    };
    let names = NamePreserver::new(&plan);
    let mut rewriter = Rewriter { schema: &schema, outer };
    plan.map_expressions(|expr| rewrite_named(&names, expr, &mut |expr| expr.rewrite(&mut rewriter)))?
        .map_data(|plan| match plan {
            LogicalPlan::Join(mut join) => {
                groups::settle_keys(&mut join)?;
                Ok(LogicalPlan::Join(join))
            }
            LogicalPlan::Union(union) => union::settle(union).map(LogicalPlan::Union),
            other => Ok(other),
        })?
        .map_data(|plan| TypeCoercionRewriter::new(&schema).coerce_plan(plan))?
        .map_data(LogicalPlan::recompute_schema)
}

/// Coerces an expression from its operands up.
struct Rewriter<'a> {
    schema: &'a DFSchema,
    outer: Option<&'a Outer<'a>>,
}

impl Rewriter<'_> {
    fn subquery(&self, subquery: Subquery) -> Result<Subquery> {
        let around = Outer { schema: self.schema, around: self.outer };
        let plan = coerce(Arc::unwrap_or_clone(subquery.subquery), Some(&around))?.data;
        let outer = subquery.outer_ref_columns.into_iter().map(|column| outer_column(column, Some(&around)));
        Ok(Subquery { subquery: Arc::new(plan), outer_ref_columns: outer.collect(), spans: subquery.spans })
    }

    /// Returns the expression with the final types of its subqueries and outer columns.
    fn with_final_types(&self, expr: Expr) -> Result<Expr> {
        Ok(match expr {
            Expr::ScalarSubquery(subquery) => Expr::ScalarSubquery(self.subquery(subquery)?),
            Expr::Exists(Exists { subquery, negated }) => {
                Expr::Exists(Exists { subquery: self.subquery(subquery)?, negated })
            }
            Expr::InSubquery(InSubquery { mut expr, subquery, negated }) => {
                let subquery = groups::settle_with_subquery(&mut expr, self.subquery(subquery)?, self.schema)?;
                Expr::InSubquery(InSubquery { expr, subquery, negated })
            }
            Expr::SetComparison(SetComparison { mut expr, subquery, op, quantifier }) => {
                let subquery = groups::settle_with_subquery(&mut expr, self.subquery(subquery)?, self.schema)?;
                Expr::SetComparison(SetComparison { expr, subquery, op, quantifier })
            }
            column @ Expr::OuterReferenceColumn(..) => outer_column(column, self.outer),
            other => other,
        })
    }
}

/// Returns a column of a query around with its current type.
fn outer_column(expr: Expr, mut around: Option<&Outer<'_>>) -> Expr {
    let Expr::OuterReferenceColumn(field, column) = expr else { return expr };
    while let Some(outer) = around {
        if let Ok(found) = outer.schema.field_from_column(&column) {
            return Expr::OuterReferenceColumn(found.clone(), column);
        }
        around = outer.around;
    }
    Expr::OuterReferenceColumn(field, column)
}

impl TreeNodeRewriter for Rewriter<'_> {
    type Node = Expr;

    fn f_up(&mut self, expr: Expr) -> Result<Transformed<Expr>> {
        let mut expr = self.with_final_types(expr)?;
        printed_lists::refuse(&expr, self.schema)?;
        groups::settle(&mut expr, self.schema)?;
        // Here `transformed` means only that the expression may have changed.
        Ok(Transformed::yes(TypeCoercionRewriter::new(self.schema).f_up(expr)?.data))
    }
}
