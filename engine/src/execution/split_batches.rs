//! Splits batches into pieces for the operator above, and yields to other tasks between two pieces. An operator that
//! works on a whole batch before it yields then works on less at once.

use std::fmt;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
};
use futures::{StreamExt, stream};

/// The size of pieces. EXPLAIN shows it.
pub(crate) trait PieceSize: fmt::Debug + fmt::Display + Send + Sync {
    /// Returns the largest number of rows of the next piece, which is at least 1. `last` is this number for the piece
    /// before, and 0 for the first piece.
    fn rows(&self, last: usize) -> usize;
}

/// Pieces of one size.
impl PieceSize for usize {
    fn rows(&self, _: usize) -> usize {
        *self
    }
}

/// An operator that splits batches into pieces.
#[derive(Clone, Debug)]
pub(crate) struct SplitBatchesExec {
    input: Arc<dyn ExecutionPlan>,
    size: Arc<dyn PieceSize>,
}

impl SplitBatchesExec {
    /// Returns the operator over `input`.
    pub(crate) fn new(input: Arc<dyn ExecutionPlan>, size: Arc<dyn PieceSize>) -> Self {
        Self { input, size }
    }
}

impl DisplayAs for SplitBatchesExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SplitBatchesExec: rows={}", self.size)
    }
}

impl ExecutionPlan for SplitBatchesExec {
    fn name(&self) -> &str {
        "SplitBatchesExec"
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
            (Some(input), true) => Ok(Arc::new(Self { input, size: self.size.clone() })),
            _ => internal_err!("SplitBatchesExec has one input"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let start = Pieces { input, size: self.size.clone(), rest: None, last: 0 };
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
            _ => internal_err!("SplitBatchesExec has one input"),
        }
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}

/// The pieces of one partition.
struct Pieces {
    input: SendableRecordBatchStream,
    size: Arc<dyn PieceSize>,
    /// The rows of the current batch that have not been returned.
    rest: Option<RecordBatch>,
    /// The largest number of rows of the last piece; 0 before the first one.
    last: usize,
}

impl Pieces {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if self.last > 0 {
            // The operator above has worked on a piece. Other tasks may run before the next one.
            tokio::task::yield_now().await;
        }
        let batch = match self.rest.take() {
            Some(rest) => rest,
            None => match self.input.next().await.transpose()? {
                Some(batch) => batch,
                None => return Ok(None),
            },
        };
        let rows = self.size.rows(self.last).max(1);
        self.last = rows;
        if batch.num_rows() <= rows {
            return Ok(Some(batch));
        }
        self.rest = Some(batch.slice(rows, batch.num_rows() - rows));
        Ok(Some(batch.slice(0, rows)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::array::{ArrayRef, Int64Array};
    use datafusion::catalog::memory::MemorySourceConfig;
    use datafusion::physical_plan::collect;

    use super::*;

    /// Doubles the size.
    #[derive(Debug)]
    struct Doubling;

    impl fmt::Display for Doubling {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("doubling")
        }
    }

    impl PieceSize for Doubling {
        fn rows(&self, last: usize) -> usize {
            last * 2
        }
    }

    #[tokio::test]
    async fn batches_are_split_and_keep_their_rows() {
        let batches: Vec<RecordBatch> = [0..5, 5..5, 5..12].into_iter().map(batch).collect();
        let cases: [(Arc<dyn PieceSize>, &[usize]); 3] = [
            (Arc::new(2_usize), &[2, 2, 1, 0, 2, 2, 2, 1]),
            (Arc::new(100_usize), &[5, 0, 7]),
            (Arc::new(Doubling), &[1, 2, 2, 0, 7]),
        ];
        for (size, expected) in cases {
            let input =
                MemorySourceConfig::try_new_exec(std::slice::from_ref(&batches), batches[0].schema(), None).unwrap();
            let split = Arc::new(SplitBatchesExec::new(input, size.clone()));
            let pieces = collect(split, Arc::default()).await.unwrap();
            let rows: Vec<usize> = pieces.iter().map(RecordBatch::num_rows).collect();
            assert_eq!(rows, expected, "{size}");
            let whole = arrow::compute::concat_batches(&batches[0].schema(), &pieces).unwrap();
            assert_eq!(whole, batch(0..12), "{size}");
        }
    }

    fn batch(values: std::ops::Range<i64>) -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
        RecordBatch::try_from_iter([("a", column)]).unwrap()
    }
}
