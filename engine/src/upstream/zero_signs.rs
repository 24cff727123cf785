//! Treats -0.0 and 0.0 as one value, as `GROUP BY`, joins and `=` do.
//!
//! DataFusion 55.2 distinguishes them by Arrow's total order in the partitions and the order of windows, in `NULLIF`
//! and in `CASE x WHEN`. So does a `count(DISTINCT x)` that does not become a `GROUP BY`. Adding 0.0 makes them equal.
//!
//! Before: `count(*) OVER (PARTITION BY z)`, `NULLIF(z, 0)`. After: `count(*) OVER (PARTITION BY z + 0.0)`,
//! `CASE WHEN z = 0 THEN NULL ELSE z END`.

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Case, Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion::optimizer::AnalyzerRule;

/// Makes -0.0 and 0.0 equal wherever DataFusion distinguishes them. Needs typed expressions.
#[derive(Debug)]
pub(super) struct ZeroSigns;

impl AnalyzerRule for ZeroSigns {
    fn name(&self) -> &str {
        "zero_signs"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let plan = plan.transform_up_with_subqueries(|node| {
            let schema = merge_schema(&node.inputs());
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                let rewritten = expr.transform_up(|e| without_signs(e, &schema))?;
                Ok(if rewritten.transformed { rewritten.update_data(|e| name.restore(e)) } else { rewritten })
            })
        })?;
        Ok(plan.data)
    }
}

fn without_signs(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::WindowFunction(mut window) => {
            let mut changed = false;
            for key in &mut window.params.partition_by {
                changed |= add_zero(key, schema);
            }
            for key in &mut window.params.order_by {
                changed |= add_zero(&mut key.expr, schema);
            }
            Ok(Transformed::new_transformed(Expr::WindowFunction(window), changed))
        }
        Expr::AggregateFunction(mut call) if call.params.distinct && call.func.name() == "count" => {
            let mut changed = false;
            for argument in &mut call.params.args {
                changed |= add_zero(argument, schema);
            }
            Ok(Transformed::new_transformed(Expr::AggregateFunction(call), changed))
        }
        Expr::ScalarFunction(mut call)
            if call.name() == "nullif" && call.args.first().is_some_and(|value| float_of(value, schema).is_some()) =>
        {
            match <[Expr; 2]>::try_from(std::mem::take(&mut call.args)) {
                Ok([value, other]) => {
                    let null = Expr::Literal(ScalarValue::try_from(&value.get_type(schema)?)?, None);
                    let when = vec![(Box::new(value.clone().eq(other)), Box::new(null))];
                    Ok(Transformed::yes(Expr::Case(Case::new(None, when, Some(Box::new(value))))))
                }
                Err(args) => {
                    call.args = args;
                    Ok(Transformed::no(Expr::ScalarFunction(call)))
                }
            }
        }
        Expr::Case(Case { expr: Some(value), when_then_expr, else_expr }) if float_of(&value, schema).is_some() => {
            let searched = |(when, then): (Box<Expr>, Box<Expr>)| (Box::new(value.as_ref().clone().eq(*when)), then);
            let when = when_then_expr.into_iter().map(searched).collect();
            Ok(Transformed::yes(Expr::Case(Case::new(None, when, else_expr))))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Returns the zero of an expression's type, if that is a float. A volatile expression must not be copied.
fn float_of(expr: &Expr, schema: &DFSchema) -> Option<ScalarValue> {
    if expr.is_volatile() {
        return None;
    }
    match expr.get_type(schema).ok()? {
        DataType::Float16 => Some(ScalarValue::Float16(Some(Default::default()))),
        DataType::Float32 => Some(ScalarValue::Float32(Some(0.0))),
        DataType::Float64 => Some(ScalarValue::Float64(Some(0.0))),
        _ => None,
    }
}

/// Adds zero to an expression of floats, once. True if it did.
fn add_zero(expr: &mut Expr, schema: &DFSchema) -> bool {
    let Some(zero) = float_of(expr, schema) else { return false };
    let zero = Expr::Literal(zero, None);
    if matches!(expr, Expr::BinaryExpr(BinaryExpr { op: Operator::Plus, right, .. }) if **right == zero) {
        return false;
    }
    *expr = std::mem::replace(expr, Expr::Literal(ScalarValue::Null, None)) + zero;
    true
}
