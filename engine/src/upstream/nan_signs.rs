//! All NaN are one value, the largest, as in DuckDB and PostgreSQL.
//!
//! DataFusion 55.2 compares floats by their bits. A processor of x86-64 computes a NaN with a sign (`0/0`), and files
//! that were written on one hold such NaN. A NaN with a sign is less than -Infinity, not equal to `'NaN'::double`, and
//! a group of its own. Here every float that a scan reads or an expression computes has the NaN without a sign.
//!
//! [`canonical`] runs last before physical planning, so that no plan that travels has the function. The results of
//! aggregates stay as they are.
//!
//! Before: `Filter: a / b > 1 (TableScan: t)`.
//! After: `Filter: one_nan(a / b) > 1 (Projection: one_nan(a), one_nan(b) (TableScan: t))`.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator, Projection, ScalarUDF, TryCast,
};

use super::expressions::{any, has_expression, rewrite_named, schema_below};
use super::float_extrema::F16;
use super::same_column;

/// Returns the plan with one NaN, for physical planning only.
pub(super) fn canonical(plan: LogicalPlan) -> Result<LogicalPlan> {
    let canonical = plan.transform_up_with_subqueries(|node| {
        let node = computed(node)?;
        match node.data {
            LogicalPlan::TableScan(_) => scanned(node.data),
            _ => Ok(node),
        }
    })?;
    Ok(canonical.data)
}

/// Returns a scan of floats below a projection.
fn scanned(scan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if !scan.schema().fields().iter().any(|field| field.data_type().is_floating()) {
        return Ok(Transformed::no(scan));
    }
    let columns = scan.schema().iter().map(|(relation, field)| {
        let column = Expr::Column(Column::from((relation, field)));
        match field.data_type().is_floating() {
            true => one_nan(column).alias_qualified(relation.cloned(), field.name()),
            false => column,
        }
    });
    let columns = columns.collect();
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(scan))?)))
}

/// Rewrites an operator that computes floats.
fn computed(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if !has_expression(&node, |e| any(e, may_compute)) {
        return Ok(Transformed::no(node));
    }
    let schema = schema_below(&node)?;
    let names = NamePreserver::new(&node);
    node.map_expressions(|expr| rewrite_named(&names, expr, &mut |expr| rewrite(expr, &schema, false)))
}

/// True for an expression that may have the value NaN though no column has it.
fn may_compute(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(binary) => is_arithmetic(binary.op) && !adds_zero(binary),
        Expr::Negative(_) | Expr::ScalarFunction(_) | Expr::Cast(_) | Expr::TryCast(_) => true,
        Expr::Literal(value, _) => is_nan(value),
        _ => false,
    }
}

/// Rewrites an expression that computes a float, but not the operands of arithmetic: the result decides.
fn rewrite(expr: Expr, schema: &DFSchema, is_operand: bool) -> Result<Transformed<Expr>> {
    let has_operands = match &expr {
        Expr::BinaryExpr(binary) => is_arithmetic(binary.op),
        Expr::Negative(_) => true,
        Expr::AggregateFunction(call) => !call.params.distinct && SUMS.contains(&call.func.name()),
        _ => false,
    };
    let rewritten = expr.map_children(|child| rewrite(child, schema, has_operands))?;
    if is_operand || !may_compute(&rewritten.data) {
        return Ok(rewritten);
    }
    let is_float = rewritten.data.get_type(schema).is_ok_and(|data_type| data_type.is_floating());
    let is_float = is_float && !is_cast_of_number(&rewritten.data, schema);
    Ok(match rewritten.data {
        Expr::Literal(value, _) => Transformed::yes(Expr::Literal(positive(&value), None)),
        computed if is_float => Transformed::yes(one_nan(computed)),
        other => Transformed::new_transformed(other, rewritten.transformed),
    })
}

/// True for a cast whose value is NaN only if its operand's is.
fn is_cast_of_number(expr: &Expr, schema: &DFSchema) -> bool {
    match expr {
        Expr::Cast(Cast { expr, .. }) | Expr::TryCast(TryCast { expr, .. }) => {
            expr.get_type(schema).is_ok_and(|data_type| data_type.is_numeric())
        }
        _ => false,
    }
}

/// Aggregates whose values do not depend on the bits of NaN.
const SUMS: [&str; 7] = ["avg", "count", "stddev", "stddev_pop", "sum", "var", "var_pop"];

/// True for a value that [`super::zero_signs`] adds zero to: it is NaN only if the value is.
fn adds_zero(binary: &BinaryExpr) -> bool {
    let is_zero =
        |value: &ScalarValue| matches!(value, ScalarValue::Float64(Some(0.0)) | ScalarValue::Float32(Some(0.0)));
    binary.op == Operator::Plus
        && matches!(*binary.left, Expr::Column(_))
        && matches!(&*binary.right, Expr::Literal(value, _) if is_zero(value))
}

fn is_arithmetic(operator: Operator) -> bool {
    use Operator::{Divide, Minus, Modulo, Multiply, Plus};
    matches!(operator, Plus | Minus | Multiply | Divide | Modulo)
}

fn is_nan(value: &ScalarValue) -> bool {
    match value {
        ScalarValue::Float16(Some(value)) => value.is_nan(),
        ScalarValue::Float32(Some(value)) => value.is_nan(),
        ScalarValue::Float64(Some(value)) => value.is_nan(),
        _ => false,
    }
}

/// Returns the NaN without a sign, in the type of another NaN.
fn positive(nan: &ScalarValue) -> ScalarValue {
    match nan {
        ScalarValue::Float16(_) => ScalarValue::Float16(Some(F16::NAN)),
        ScalarValue::Float32(_) => ScalarValue::Float32(Some(f32::NAN)),
        ScalarValue::Float64(_) => ScalarValue::Float64(Some(f64::NAN)),
        other => other.clone(),
    }
}

/// Returns a call of the function with the expression.
fn one_nan(expr: Expr) -> Expr {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| same_column::function("one_nan", without_signs));
    FUNCTION.call(vec![expr])
}

/// Returns the floats with the NaN without a sign in the place of every other NaN.
fn without_signs(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float16 => one::<Float16Type>(array, F16::NAN, |v| v.is_nan() && v.to_bits() != F16::NAN.to_bits()),
        DataType::Float32 => one::<Float32Type>(array, f32::NAN, |v| v.is_nan() && v.to_bits() != f32::NAN.to_bits()),
        DataType::Float64 => one::<Float64Type>(array, f64::NAN, |v| v.is_nan() && v.to_bits() != f64::NAN.to_bits()),
        _ => array.clone(),
    }
}

/// Returns the array itself, unless it has another NaN.
fn one<T: ArrowPrimitiveType>(array: &ArrayRef, nan: T::Native, is_other: impl Fn(T::Native) -> bool) -> ArrayRef {
    let floats: &PrimitiveArray<T> = array.as_primitive();
    // The compiler turns a loop without an exit into vector instructions.
    if !floats.values().iter().fold(false, |found, value| found | is_other(*value)) {
        return array.clone();
    }
    Arc::new(floats.unary::<_, T>(|value| if is_other(value) { nan } else { value }))
}
