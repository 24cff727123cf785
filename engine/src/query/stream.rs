//! The rows of a running statement, with its progress and summary.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::datatypes::SchemaRef;
use futures::{Stream, StreamExt};
use portolan_connectors::{FragmentSummary, PulledRows, lock};

use super::Ready;
use super::plan_end::{CurrentPlan, EndedOperators};
use crate::execution::run::Batches;
use crate::metrics::SentEdge;
use crate::progress::EdgeProgress;
use crate::{Error, ErrorKind, ProgressHandle, Result};

/// The rows of a running statement. Dropping the stream stops the work at the local node and at every other site.
#[derive(Debug)]
pub struct QueryStream {
    schema: SchemaRef,
    query_id: String,
    progress: ProgressHandle,
    plan: CurrentPlan,
    operators: EndedOperators,
    rows: RowSource,
    /// The edge to the node that sent the query as a fragment.
    edge: SentEdge,
}

#[derive(Debug)]
enum RowSource {
    Running(Batches),
    Fixed(std::vec::IntoIter<RecordBatch>),
}

impl QueryStream {
    pub(super) fn running(
        schema: SchemaRef,
        query_id: String,
        progress: ProgressHandle,
        plan: CurrentPlan,
        operators: EndedOperators,
        batches: Batches,
    ) -> Self {
        let (rows, edge) = (RowSource::Running(batches), SentEdge::default());
        Self { schema, query_id, progress, plan, operators, rows, edge }
    }

    /// Returns the current plan, or the final one if the query keeps it.
    pub(super) fn ready(&self) -> Option<Arc<Ready>> {
        lock(&self.plan).clone()
    }

    pub(super) fn fixed(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self {
            schema,
            query_id: uuid::Uuid::new_v4().to_string(),
            progress: ProgressHandle::default(),
            plan: CurrentPlan::default(),
            operators: EndedOperators::default(),
            rows: RowSource::Fixed(batches.into_iter()),
            edge: SentEdge::default(),
        }
    }

    /// Returns a stream with the number of changed rows.
    pub(super) fn counted(schema: SchemaRef, count: u64) -> Result<Self> {
        let counts: ArrayRef = Arc::new(UInt64Array::from(vec![count]));
        let batch = RecordBatch::try_new(schema.clone(), vec![counts])
            .map_err(|e| Error::new(ErrorKind::Internal, "a count does not form a batch").with_source(e))?;
        Ok(Self::fixed(schema, vec![batch]))
    }

    /// Sets the edge over which the rows are sent.
    pub(super) fn sent_over(self, edge: SentEdge) -> Self {
        Self { edge, ..self }
    }

    /// Returns the counter of the rows that are sent to the node of this fragment.
    pub fn edge(&self) -> SentEdge {
        self.edge.clone()
    }

    /// Returns the columns.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Returns the identifier of the query, which is the same at every node on the query's path.
    pub fn query_id(&self) -> &str {
        &self.query_id
    }

    /// Returns a handle that reads the progress while the stream is driven.
    pub fn progress(&self) -> ProgressHandle {
        self.progress.clone()
    }

    /// Returns the summary of the query, which is complete when the stream has ended. It includes the metrics of the
    /// operators if this is a [fragment](crate::ReceivedFragment) whose sender requests them. `EXPLAIN ANALYZE` returns
    /// those of a statement.
    pub fn summary(&self) -> FragmentSummary {
        FragmentSummary {
            rows: self.progress.now().rows,
            operators: self.operators.get().cloned().unwrap_or_default(),
            pulled: self.progress.now().edges.into_iter().take(MOST_EDGES_REPORTED).map(pulled).collect(),
            // The code that sends the rows on measures this.
            producing_ms: None,
        }
    }
}

/// The largest number of edges beyond its own that a caller receives.
const MOST_EDGES_REPORTED: usize = 1000;

fn pulled(edge: EdgeProgress) -> PulledRows {
    let EdgeProgress { domains, site, rows, bytes, bytes_sent, .. } = edge;
    PulledRows { domains, site, rows, bytes, bytes_sent }
}

impl Stream for QueryStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.rows {
            RowSource::Running(batches) => batches.poll_next_unpin(cx),
            RowSource::Fixed(batches) => {
                let next = batches.next();
                match &next {
                    Some(batch) => self.progress.add_rows(batch.num_rows()),
                    None => self.progress.finish(),
                }
                Poll::Ready(next.map(Ok))
            }
        }
    }
}
