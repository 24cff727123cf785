//! What DataFusion's SQL planner refuses in a comparison before any rule of the analyzer sees it: times of two units, and
//! unrelated types, for which the message says what to write.

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
