//! Treats -0.0 and 0.0 as one value, as `GROUP BY`, joins and `=` do.
//!
//! DataFusion 55.2 keeps them apart by Arrow's total order: in the partitions and the order of windows, in `ORDER BY`, in
//! `CASE x WHEN`, in long lists of `IN`, in `INTERSECT`, `EXCEPT` and joins by `IS NOT DISTINCT FROM`, in aggregates of
//! DISTINCT values, and in `NULLIF` ([`nullif`]). Adding 0.0 makes one value of both. The optimizer also keeps them apart
//! when it compares bounds of a column (`column_bounds.rs`).
//!
//! Before: `count(*) OVER (PARTITION BY z)`. After: `count(*) OVER (PARTITION BY z + 0.0)`.

pub(super) mod nullif;

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, NullEquality, Result, ScalarValue};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, SortExpr};
use datafusion::optimizer::AnalyzerRule;

use super::expressions::{any, has_expression, map_named};

/// A rule that makes -0.0 and 0.0 one value if DataFusion distinguishes them. It needs typed expressions.
#[derive(Debug)]
pub(super) struct ZeroSigns;

impl AnalyzerRule for ZeroSigns {
    fn name(&self) -> &str {
        "zero_signs"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let plan = plan.transform_up_with_subqueries(|node| {
            if !matches!(node, LogicalPlan::Sort(_) | LogicalPlan::Join(_))
                && !has_expression(&node, |e| any(e, keeps_signs))
            {
                return Ok(Transformed::no(node));
            }
            let schema = merge_schema(&node.inputs());
            let rewritten = map_named(node, |e| without_signs(e, &schema))?;
            rewritten.transform_data(|node| Ok(sorted(node, &schema)))?.transform_data(|node| Ok(joined(node)))
        })?;
        Ok(plan.data)
    }
}

/// True if equal values of this type are one value. -0.0 equals 0.0, so the key of a group or a join may have another sign
/// than its row.
pub(crate) fn has_one_form(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => has_one_form(values),
        DataType::RunEndEncoded(_, values) => has_one_form(values.data_type()),
        _ => !data_type.is_floating() && !data_type.is_nested(),
    }
}

/// True for an expression that may distinguish the signs of zeros.
fn keeps_signs(expr: &Expr) -> bool {
    match expr {
        Expr::WindowFunction(_) | Expr::AggregateFunction(_) | Expr::Case(_) | Expr::InList(_) => true,
        Expr::BinaryExpr(binary) => matches!(binary.op, Operator::Eq | Operator::NotEq) || is_distinct_from(binary.op),
        _ => false,
    }
}

/// True for the comparisons that may become keys of a join for which NULL equals NULL.
fn is_distinct_from(op: Operator) -> bool {
    matches!(op, Operator::IsDistinctFrom | Operator::IsNotDistinctFrom)
}

/// Adds zero to the keys of a join for which NULL equals NULL: such a join compares bits.
fn joined(node: LogicalPlan) -> Transformed<LogicalPlan> {
    let LogicalPlan::Join(mut join) = node else { return Transformed::no(node) };
    let mut changed = false;
    if join.null_equality == NullEquality::NullEqualsNull {
        for (left, right) in &mut join.on {
            changed |= add_zero(left, join.left.schema()) | add_zero(right, join.right.schema());
        }
    }
    Transformed::new_transformed(LogicalPlan::Join(join), changed)
}

fn sorted(node: LogicalPlan, schema: &DFSchema) -> Transformed<LogicalPlan> {
    let LogicalPlan::Sort(mut sort) = node else { return Transformed::no(node) };
    let changed = add_zero_to_keys(&mut sort.expr, schema);
    Transformed::new_transformed(LogicalPlan::Sort(sort), changed)
}

/// Adds zero to all sort keys but the last, so that the following keys order rows whose zeros differ only in sign.
fn add_zero_to_keys(keys: &mut [SortExpr], schema: &DFSchema) -> bool {
    let mut changed = false;
    if let Some((_, followed)) = keys.split_last_mut() {
        for key in followed {
            changed |= add_zero(&mut key.expr, schema);
        }
    }
    changed
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
            if window.params.distinct {
                for argument in &mut window.params.args {
                    changed |= add_zero(argument, schema);
                }
            }
            Ok(Transformed::new_transformed(Expr::WindowFunction(window), changed))
        }
        Expr::AggregateFunction(mut call) => {
            let mut changed = add_zero_to_keys(&mut call.params.order_by, schema);
            if call.params.distinct {
                for argument in &mut call.params.args {
                    changed |= add_zero(argument, schema);
                }
            }
            Ok(Transformed::new_transformed(Expr::AggregateFunction(call), changed))
        }
        Expr::Case(mut case) => {
            let mut changed = false;
            if let Some(value) = &mut case.expr
                && case.when_then_expr.iter().any(|(when, _)| may_be_zero(when))
            {
                changed = add_zero(value, schema);
                for (when, _) in &mut case.when_then_expr {
                    changed |= add_zero(when, schema);
                }
            }
            Ok(Transformed::new_transformed(Expr::Case(case), changed))
        }
        Expr::BinaryExpr(mut binary) if is_distinct_from(binary.op) => {
            let changed = add_zero(&mut binary.left, schema) | add_zero(&mut binary.right, schema);
            Ok(Transformed::new_transformed(Expr::BinaryExpr(binary), changed))
        }
        // The optimizer makes a list of four such comparisons of one value.
        Expr::BinaryExpr(mut binary) if matches!(binary.op, Operator::Eq | Operator::NotEq) => {
            let mut changed = false;
            if is_zero(&binary.left) || is_zero(&binary.right) {
                changed = add_zero(&mut binary.left, schema) | add_zero(&mut binary.right, schema);
            }
            Ok(Transformed::new_transformed(Expr::BinaryExpr(binary), changed))
        }
        Expr::InList(mut list) => {
            let mut changed = false;
            if list.list.iter().any(may_be_zero) {
                changed = add_zero(&mut list.expr, schema);
                for item in &mut list.list {
                    changed |= add_zero(item, schema);
                }
            }
            Ok(Transformed::new_transformed(Expr::InList(list), changed))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// False for a constant that is another number than zero: no zero equals it.
fn may_be_zero(expr: &Expr) -> bool {
    constant(expr).is_none_or(|value| value == 0.0)
}

/// True for a constant zero.
pub(super) fn is_zero(expr: &Expr) -> bool {
    constant(expr) == Some(0.0)
}

/// Returns the number of an expression without columns, if the expression is written as a number.
fn constant(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Literal(value, _) => match value.cast_to(&DataType::Float64).ok()? {
            ScalarValue::Float64(value) => value,
            _ => None,
        },
        Expr::Cast(cast) => constant(&cast.expr),
        Expr::Negative(value) => constant(value).map(|value| -value),
        _ => None,
    }
}

/// Returns the zero of an expression's type, if that is a float. A volatile expression must not change.
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
