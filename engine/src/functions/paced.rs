//! Operators with bounded calls read their input in pieces.
//!
//! The first piece is one row. Each further piece has at most sixteen times the rows of the one before, and no more rows
//! than the calls should get at once. So a call never meets thousands of expensive rows unprepared.

use std::fmt;
use std::sync::Arc;

use arrow::array::Array;
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, Statistics, internal_err};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::execution_plan::{CardinalityEffect, replace_children_if_necessary};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
};
use futures::{StreamExt, stream};

use super::bounded::BoundedFunction;
use super::cost::Cost;
use super::pace::Pace;

/// How many times more rows a piece may have than the one before.
const FASTER: usize = 16;
/// A shorter literal may stand in each row of a batch.
const SHORT_LITERAL: usize = 1024;

/// The paces of an operator's calls, and of its long literals, which may be copied into each row.
type Paces = Vec<Arc<Pace>>;

/// An operator that splits batches into pieces for the operator above.
#[derive(Clone, Debug)]
struct PacedExec {
    input: Arc<dyn ExecutionPlan>,
    paces: Paces,
}

/// Returns the plan with inputs in pieces for the operators with bounded calls or long literals.
pub(crate) fn with_paced_inputs(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let paced = plan.transform_up(|node| {
        let children = node.children();
        let [input] = children.as_slice() else { return Ok(Transformed::no(node)) };
        let paces = paces(node.as_ref())?;
        if paces.is_empty() {
            return Ok(Transformed::no(node));
        }
        let input = Arc::new(PacedExec { input: Arc::clone(input), paces });
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
        pace.set(&Cost::string(literals as u64));
        found.push(Arc::new(pace));
    }
    Ok(found)
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

impl DisplayAs for PacedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PacedExec")
    }
}

impl ExecutionPlan for PacedExec {
    fn name(&self) -> &str {
        "PacedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self { input, paces: self.paces.clone() })),
            _ => internal_err!("PacedExec has one input"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let start = Pieces { input, paces: self.paces.clone(), rest: None, last: 0 };
        let pieces =
            stream::try_unfold(
                start,
                |mut pieces| async move { Ok(pieces.next().await?.map(|piece| (piece, pieces))) },
            );
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.input.schema(), pieces)))
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        match inputs {
            [input] => Ok(input.clone()),
            _ => internal_err!("PacedExec has one input"),
        }
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}

/// The pieces of one partition.
struct Pieces {
    input: SendableRecordBatchStream,
    paces: Paces,
    /// The rows of the current batch that have not been returned.
    rest: Option<RecordBatch>,
    /// The number of rows of the last piece.
    last: usize,
}

impl Pieces {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let batch = match self.rest.take() {
            Some(rest) => {
                // The operator above has worked on a piece. Other tasks may run before the next one.
                tokio::task::yield_now().await;
                rest
            }
            None => match self.input.next().await.transpose()? {
                Some(batch) => batch,
                None => return Ok(None),
            },
        };
        let rows = self.rows();
        if batch.num_rows() <= rows {
            self.last = rows;
            return Ok(Some(batch));
        }
        self.last = rows;
        self.rest = Some(batch.slice(rows, batch.num_rows() - rows));
        Ok(Some(batch.slice(0, rows)))
    }

    /// Returns the number of rows of the next piece.
    fn rows(&self) -> usize {
        let paced = self.paces.iter().map(|pace| pace.rows()).min().unwrap_or(usize::MAX);
        paced.min(self.last.saturating_mul(FASTER)).max(1)
    }
}
