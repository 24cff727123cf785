//! The rows of a running statement, with its progress and summary.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::datatypes::SchemaRef;
use futures::{Stream, StreamExt};
use portolan_connectors::{FragmentSummary, PulledRows, lock};

use super::Ready;
use super::place::located;
use crate::execution::run::Batches;
use crate::metrics::SentEdge;
use crate::progress::EdgeProgress;
use crate::{Error, ErrorKind, ProgressHandle, Result, explain};

/// The rows of a running statement. Dropping the stream stops the work at the local node and at every other site.
#[derive(Debug)]
pub struct QueryStream {
    schema: SchemaRef,
    query_id: String,
    progress: ProgressHandle,
    plan: CurrentPlan,
    rows: RowSource,
    /// True if the summary includes the metrics of the operators.
    measured: bool,
    /// The edge to the node that sent the query as a fragment.
    edge: SentEdge,
    /// The text of the statement, in which the positions of errors are found. `None` for a fragment.
    text: Option<String>,
}

/// The current plan of a query, which is final when the query has ended. `None` for a statement without one, and for a
/// query that has failed: a plan keeps the memory of its joins.
pub(super) type CurrentPlan = Arc<Mutex<Option<Arc<Ready>>>>;

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
        batches: Batches,
        measured: bool,
    ) -> Self {
        let (rows, edge) = (RowSource::Running(batches), SentEdge::default());
        Self { schema, query_id, progress, plan, rows, measured, edge, text: None }
    }

    /// Returns the current plan.
    pub(super) fn ready(&self) -> Option<Arc<Ready>> {
        lock(&self.plan).clone()
    }

    pub(super) fn fixed(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self {
            schema,
            query_id: uuid::Uuid::new_v4().to_string(),
            progress: ProgressHandle::default(),
            plan: CurrentPlan::default(),
            rows: RowSource::Fixed(batches.into_iter()),
            measured: false,
            edge: SentEdge::default(),
            text: None,
        }
    }

    /// Returns a stream with the number of changed rows.
    pub(super) fn counted(schema: SchemaRef, count: u64) -> Result<Self> {
        let counts: ArrayRef = Arc::new(UInt64Array::from(vec![count]));
        let batch = RecordBatch::try_new(schema.clone(), vec![counts])
            .map_err(|e| Error::new(ErrorKind::Internal, "a count does not form a batch").with_source(e))?;
        Ok(Self::fixed(schema, vec![batch]))
    }

    /// Sets the text of the statement.
    pub(super) fn of_statement(self, text: &str) -> Self {
        Self { text: Some(text.to_owned()), ..self }
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
    /// operators, unless this is a [fragment](crate::ReceivedFragment) whose sender does not request them.
    pub fn summary(&self) -> FragmentSummary {
        let plan = if self.measured { self.ready() } else { None };
        FragmentSummary {
            rows: self.progress.now().rows,
            operators: plan
                .map(|ready| explain::local_operators(ready.physical.as_ref(), Some(&ready.planned.placed)))
                .unwrap_or_default(),
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
        let this = &mut *self;
        match &mut this.rows {
            RowSource::Running(batches) => {
                let next = std::task::ready!(batches.poll_next_unpin(cx));
                let text = this.text.as_deref().unwrap_or_default();
                Poll::Ready(next.map(|batch| batch.map_err(|e| located(e, text))))
            }
            RowSource::Fixed(batches) => {
                let next = batches.next();
                match &next {
                    Some(batch) => this.progress.add_rows(batch.num_rows()),
                    None => this.progress.finish(),
                }
                Poll::Ready(next.map(Ok))
            }
        }
    }
}
