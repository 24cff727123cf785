//! Splits batches into pieces, and yields to other tasks between them.
//!
//! DataFusion's nested loop join compares a whole batch of one side with all rows of the other side before it yields.
//! If the join condition holds for few pairs, a cancelled query would run on for minutes.

use std::fmt;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::{CardinalityEffect, replace_children_if_necessary};
use datafusion::physical_plan::joins::NestedLoopJoinExec;
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
};
use futures::{StreamExt, TryStreamExt, stream};

/// The approximate number of row pairs that a join may compare before it yields, which takes tens of milliseconds.
const PAIRS: usize = 4 << 20;
/// The assumed number of rows on the other side, if it is unknown.
const ASSUMED_ROWS: usize = 8192;
/// The smallest piece. Smaller pieces cost more than they save.
const LEAST: usize = 16;
/// The largest piece. Batches that may be larger are not split.
const MOST: usize = 8192;

/// An operator that splits batches into pieces of at most `rows` rows.
#[derive(Clone, Debug)]
pub(crate) struct SmallBatchesExec {
    input: Arc<dyn ExecutionPlan>,
    rows: usize,
}

/// Returns the join with a probe side in pieces whose size depends on the size of the build side; `None` if batches are
/// small enough.
pub(crate) fn with_small_batches(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() else { return Ok(None) };
    let (build, probe) = (join.left(), join.right());
    let expected = StatisticsContext::new().compute(build.as_ref(), &StatisticsArgs::new())?.num_rows;
    let rows = PAIRS / expected.get_value().copied().unwrap_or(ASSUMED_ROWS).max(1);
    if rows >= MOST {
        return Ok(None);
    }
    let probe = Arc::new(SmallBatchesExec { input: probe.clone(), rows: rows.max(LEAST) });
    Ok(Some(replace_children_if_necessary(plan.clone(), vec![build.clone(), probe])?))
}

impl DisplayAs for SmallBatchesExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SmallBatchesExec: rows={}", self.rows)
    }
}

impl ExecutionPlan for SmallBatchesExec {
    fn name(&self) -> &str {
        "SmallBatchesExec"
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
            (Some(input), true) => Ok(Arc::new(Self { input, rows: self.rows })),
            _ => internal_err!("SmallBatchesExec has one input"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.rows;
        let pieces = self.input.execute(partition, context)?.map_ok(move |batch| pieces(batch, rows)).try_flatten();
        let pieces = pieces.then(|piece| async {
            tokio::task::yield_now().await;
            piece
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.input.schema(), pieces)))
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        match inputs {
            [input] => Ok(input.clone()),
            _ => internal_err!("SmallBatchesExec has one input"),
        }
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}

fn pieces(batch: RecordBatch, rows: usize) -> impl futures::Stream<Item = Result<RecordBatch>> + Send {
    let total = batch.num_rows();
    stream::iter((0..total.max(1)).step_by(rows)).map(move |from| Ok(batch.slice(from, rows.min(total - from))))
}
