//! Operators with bounded calls read their input in pieces.
//!
//! The first piece is one row. Each further piece has at most sixteen times the rows of the one before, and no more rows
//! than the calls should get at once. So a call never meets thousands of expensive rows unprepared.

use std::fmt;
use std::sync::Arc;

use arrow::array::Array;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;

use super::bounded::BoundedFunction;
use super::cost::Cost;
use super::pace::Pace;
use crate::execution::split_batches::{PieceSize, SplitBatchesExec};

/// How many times more rows a piece may have than the one before.
const FASTER: usize = 16;
/// A shorter literal may stand in each row of a batch.
const SHORT_LITERAL: usize = 1024;

/// The paces of an operator's calls, and of its long literals, which may be copied into each row.
#[derive(Debug)]
struct Paces(Vec<Arc<Pace>>);

impl fmt::Display for Paces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("estimated")
    }
}

impl PieceSize for Paces {
    fn rows(&self, last: usize) -> usize {
        let paced = self.0.iter().map(|pace| pace.rows()).min().unwrap_or(usize::MAX);
        paced.min(last.saturating_mul(FASTER)).max(1)
    }
}

/// Returns the plan with inputs in pieces for the operators with bounded calls or long literals.
pub(crate) fn with_paced_inputs(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let paced = plan.transform_up(|node| {
        let children = node.children();
        let [input] = children.as_slice() else { return Ok(Transformed::no(node)) };
        let paces = paces(node.as_ref())?;
        if paces.0.is_empty() {
            return Ok(Transformed::no(node));
        }
        let input = Arc::new(SplitBatchesExec::new(Arc::clone(input), Arc::new(paces)));
        replace_children_if_necessary(node.clone(), vec![input]).map(Transformed::yes)
    })?;
    Ok(paced.data)
}

fn paces(node: &dyn ExecutionPlan) -> Result<Paces> {
    let mut found = vec![];
    let mut literals = 0;
    node.apply_expressions(&mut |root| {
        root.apply(|expr| {
            if let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>()
                && let Some(function) = call.fun().inner().downcast_ref::<BoundedFunction>()
            {
                found.push(function.pace());
            }
            if let Some(literal) = expr.downcast_ref::<Literal>() {
                literals += length(literal.value());
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    if literals > SHORT_LITERAL {
        let pace = Pace::default();
        pace.set(&Cost::string(literals as u64), 1);
        found.push(Arc::new(pace));
    }
    Ok(Paces(found))
}

/// Returns the size of a literal that may be copied into each row.
fn length(value: &ScalarValue) -> usize {
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            text.len()
        }
        ScalarValue::Binary(Some(bytes))
        | ScalarValue::LargeBinary(Some(bytes))
        | ScalarValue::BinaryView(Some(bytes)) => bytes.len(),
        ScalarValue::List(list) => list.get_array_memory_size(),
        ScalarValue::LargeList(list) => list.get_array_memory_size(),
        ScalarValue::FixedSizeList(list) => list.get_array_memory_size(),
        ScalarValue::Struct(row) => row.get_array_memory_size(),
        ScalarValue::Map(map) => map.get_array_memory_size(),
        ScalarValue::Dictionary(_, value) => length(value),
        _ => 0,
    }
}
