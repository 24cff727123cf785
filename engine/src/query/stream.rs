//! The rows of a running statement, and what is known of it meanwhile.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::datatypes::SchemaRef;
use futures::{Stream, StreamExt};
use portolan_connectors::{FragmentSummary, PulledRows, lock};

use super::Ready;
use crate::execution::run::Batches;
use crate::progress::EdgeProgress;
use crate::{Error, ErrorKind, ProgressHandle, Result, explain};

/// The rows of a running statement. Dropping it stops the work, here and at every other site.
#[derive(Debug)]
pub struct QueryStream {
    schema: SchemaRef,
    query_id: String,
    progress: ProgressHandle,
    plan: Option<Final>,
    rows: RowSource,
    /// Whether somebody wants to know what the operators did.
    measured: bool,
}

/// The plan that a query runs, or ran, by.
type Final = Arc<Mutex<Arc<Ready>>>;

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
        plan: Final,
        batches: Batches,
        measured: bool,
    ) -> Self {
        Self { schema, query_id, progress, plan: Some(plan), rows: RowSource::Running(batches), measured }
    }

    /// The plan that it runs by now.
    pub(super) fn ready(&self) -> Option<Arc<Ready>> {
        self.plan.as_ref().map(|plan| lock(plan).clone())
    }

    pub(super) fn fixed(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self {
            schema,
            query_id: uuid::Uuid::new_v4().to_string(),
            progress: ProgressHandle::default(),
            plan: None,
            rows: RowSource::Fixed(batches.into_iter()),
            measured: false,
        }
    }

    /// A number of rows that were changed.
    pub(super) fn counted(schema: SchemaRef, count: u64) -> Result<Self> {
        let counts: ArrayRef = Arc::new(UInt64Array::from(vec![count]));
        let batch = RecordBatch::try_new(schema.clone(), vec![counts])
            .map_err(|e| Error::new(ErrorKind::Internal, "a count has no form").with_source(e))?;
        Ok(Self::fixed(schema, vec![batch]))
    }

    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// The query's identity, the same at every node that it reaches.
    pub fn query_id(&self) -> &str {
        &self.query_id
    }

    /// Tells how far it is while somebody drives it.
    pub fn progress(&self) -> ProgressHandle {
        self.progress.clone()
    }

    /// What it did, and its operators too unless it is a [fragment](crate::SentFragment) whose sender does not ask for that;
    /// complete once the stream has ended.
    pub fn summary(&self) -> FragmentSummary {
        let plan = if self.measured { self.ready() } else { None };
        FragmentSummary {
            rows: self.progress.now().rows,
            operators: plan
                .map(|ready| explain::local_operators(ready.physical.as_ref(), Some(&ready.planned.placed)))
                .unwrap_or_default(),
            pulled: self.progress.now().edges.into_iter().take(MOST_EDGES_TOLD).map(pulled).collect(),
            // Whoever sends the rows on knows that.
            producing_ms: None,
        }
    }
}

/// A caller is told of so many edges beyond its own.
const MOST_EDGES_TOLD: usize = 1000;

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
