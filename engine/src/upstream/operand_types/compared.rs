//! Comparisons that the SQL planner of DataFusion 55.2 refuses before any analyzer rule sees them: times of two units,
//! and unrelated types. For unrelated types, the message says what to write.

use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use sqlparser::ast::BinaryOperator;

use super::groups::settle_planned;

/// Plans the operands of comparisons.
#[derive(Debug)]
pub(crate) struct ComparedOperands;

impl ExprPlanner for ComparedOperands {
    fn plan_binary_op(&self, mut expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
        if matches!(expr.op, Eq | NotEq | Lt | LtEq | Gt | GtEq) {
            settle_planned(&mut expr.left, &mut expr.right, schema)?;
        }
        Ok(PlannerResult::Original(expr))
    }
}
