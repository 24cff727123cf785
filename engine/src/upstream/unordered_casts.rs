//! No statistic is carried through a cast that does not keep the order of values.
//!
//! DataFusion 55.2 casts the bounds of a column along with the column: for timestamps from 00:30 of one day to 01:00 of
//! another, it takes `CAST(at AS TIME)` to be from 00:30 to 01:00. It skips files, row groups and pages by such bounds
//! (`PruningPredicate`), and answers `min` and `max` by them (`ProjectionExprs::project_statistics`). It also takes a
//! literal for one distinct value of a table without rows. For `CAST(NOT b AS BIGINT) = 1` it compares the bounds of `b`
//! with `NOT 1`, and in debug builds the scan fails. The `NOT` may be in a projection below. A function around the cast's operand keeps the bounds away.
//!
//! [`hide`] runs last before physical planning, so that no plan that travels has the function.
//! Before: `CAST(at AS TIME) > 12:00`. After: `CAST(without_statistics(at) AS TIME) > 12:00`.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, ScalarUDF};

use super::expressions::{map_plan, value_type};
use super::same_column;

/// Returns the plan with the operands of such casts hidden, for physical planning only.
pub(super) fn hide(plan: LogicalPlan) -> Result<LogicalPlan> {
    map_plan(plan, may_carry, without_bounds)
}

fn may_carry(expr: &Expr) -> bool {
    match expr {
        Expr::Cast(_) | Expr::TryCast(_) => true,
        Expr::AggregateFunction(call) => counts_distinct(call),
        _ => false,
    }
}

fn counts_distinct(call: &AggregateFunction) -> bool {
    call.params.distinct && call.func.name() == "count"
}

fn without_bounds(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match expr {
        Expr::Cast(mut cast) if !keeps_order(&cast.expr, cast.field.data_type(), schema) => {
            *cast.expr = hidden(std::mem::take(&mut cast.expr));
            Transformed::yes(Expr::Cast(cast))
        }
        // A value that does not fit becomes NULL, and so does a bound.
        Expr::TryCast(mut cast) => {
            *cast.expr = hidden(std::mem::take(&mut cast.expr));
            Transformed::yes(Expr::TryCast(cast))
        }
        Expr::AggregateFunction(mut call) if counts_distinct(&call) => {
            call.params.args = std::mem::take(&mut call.params.args).into_iter().map(hidden).collect();
            Transformed::yes(Expr::AggregateFunction(call))
        }
        other => Transformed::no(other),
    }
}

/// True if a cast never makes the smaller of two values the larger one. The operand of a cast from BOOLEAN may be negated.
fn keeps_order(expr: &Expr, to: &DataType, schema: &DFSchema) -> bool {
    use DataType::{Date32, Date64, Duration, Time32, Time64, Timestamp};
    let Ok(from) = expr.get_type(schema) else { return false };
    let text = |t: &DataType| t.is_string() || t.is_binary();
    match (value_type(&from), value_type(to)) {
        (from, to) if from == to => true,
        (from, to) if from.is_numeric() && to.is_numeric() => true,
        // A zone's clock may go back.
        (Date32 | Date64 | Timestamp(_, None), Date32 | Date64 | Timestamp(_, None)) => true,
        (Timestamp(_, Some(_)), Timestamp(_, Some(_))) => true,
        (Date32 | Date64 | Timestamp(..) | Time32(_) | Time64(_) | Duration(_), to) if to.is_integer() => true,
        (from, Date32 | Date64 | Timestamp(_, None) | Duration(_)) if from.is_integer() => true,
        (Time32(_) | Time64(_), Time32(_) | Time64(_)) | (Duration(_), Duration(_)) => true,
        (from, to) => text(from) && text(to),
    }
}

/// Returns a call of the function with the expression. A literal operand has no column whose bounds are read.
fn hidden(expr: impl Into<Box<Expr>>) -> Expr {
    // DataFusion derives no bounds of a function's values.
    static FUNCTION: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| same_column::function("without_statistics", Arc::clone));
    match *expr.into() {
        literal @ Expr::Literal(..) => literal,
        other => FUNCTION.call(vec![other]),
    }
}
