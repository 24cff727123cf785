//! The rows of a running statement, with its progress and summary.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::datatypes::SchemaRef;
use datafusion::common::utils::memory::RecordBatchMemoryCounter;
use futures::{Stream, StreamExt, TryStreamExt};
use portolan_connectors::{FragmentSummary, PulledRows, lock};

use super::Ready;
use super::casts::Casts;
use super::fragment::without_values;
use super::place::located;
use super::plan_end::{CurrentPlan, EndedOperators};
use crate::exchange::HashedColumns;
use crate::execution::part::RowPart;
use crate::execution::run::Batches;
use crate::execution::stop::Stop;
use crate::metrics::SentEdge;
use crate::progress::EdgeProgress;
use crate::state::{EngineState, RowAccess};
use crate::{Error, ErrorKind, Progress, ProgressHandle, Result};

/// The rows of a running statement: a stream of record batches. Dropping the stream stops the work at the local node and
/// at every other site. The rows can be read after the program has dropped the engine and the session.
///
/// The stream must be read on a tokio runtime with time.
///
/// # Examples
/// ```
/// use futures::TryStreamExt;
/// use portolan_engine::{Engine, ErrorKind};
///
/// # #[tokio::main]
/// # async fn main() -> portolan_engine::Result<()> {
/// let engine = Engine::builder().build()?;
/// let mut rows = engine.sql("SELECT value FROM generate_series(1, 100000)").await?;
/// let mut count = 0;
/// while let Some(batch) = rows.try_next().await? {
///     count += batch.num_rows();
/// }
/// assert_eq!(count, 100_000);
///
/// let rows = engine.sql("SELECT sum(value) FROM generate_series(1, 1000000000)").await?;
/// // Another task could do this.
/// rows.cancel_handle().cancel();
/// assert_eq!(rows.collect().await.unwrap_err().kind(), ErrorKind::Cancelled);
/// # Ok(())
/// # }
/// ```
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
    /// The text of the statement, in which the positions of errors are found. `None` for a fragment.
    text: Option<String>,
    /// The casts of the statement, among which an error about a value finds its column.
    casts: Casts,
    /// True if errors must not have values: the rows are those of a fragment that reads a derived port.
    hides_values: bool,
    stop: Stop,
    /// The hashes in the plan.
    hashed: Arc<HashedColumns>,
    /// The engine of a running query. Its threads drive the plan, and stop when the engine is dropped.
    engine: Option<Arc<EngineState>>,
    /// The right to see the rows; `None` for rows that come from no plan.
    access: Option<Arc<RowAccess>>,
}

/// A handle that cancels a running statement, also while another task reads the rows. Clones cancel the same statement.
#[derive(Clone, Debug)]
pub struct CancelHandle(Stop);

impl CancelHandle {
    /// Cancels the statement at the local node and at every other site. Its stream then ends with an error of the kind
    /// `Cancelled`. A statement that has ended is not affected.
    pub fn cancel(&self) {
        self.0.cancel();
    }
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
        let (stop, text, casts) = (Stop::default(), None, Casts::default());
        let (hides_values, hashed, engine, access) = (false, Arc::default(), None, None);
        Self {
            schema,
            query_id,
            progress,
            plan,
            operators,
            rows,
            edge,
            text,
            casts,
            hides_values,
            stop,
            hashed,
            engine,
            access,
        }
    }

    /// Ends the rows when the principal may no longer see them.
    pub(super) fn while_allowed(self, access: Arc<RowAccess>) -> Self {
        Self { access: Some(access), ..self }
    }

    /// Returns the right to see the rows.
    pub(crate) fn access(&self) -> Option<Arc<RowAccess>> {
        self.access.clone()
    }

    /// Sets the engine, and the signal that stops the query.
    pub(super) fn of_engine(self, engine: Arc<EngineState>, stop: Stop) -> Self {
        Self { stop, engine: Some(engine), ..self }
    }

    /// Sets the hashes in the plan.
    pub(super) fn with_hashed(self, hashed: Arc<HashedColumns>) -> Self {
        Self { hashed, ..self }
    }

    /// Returns the hashes in the plan.
    pub(crate) fn hashed(&self) -> Arc<HashedColumns> {
        self.hashed.clone()
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
            text: None,
            casts: Casts::default(),
            hides_values: false,
            stop: Stop::default(),
            hashed: Arc::default(),
            engine: None,
            access: None,
        }
    }

    /// Returns a stream with the number of changed rows.
    pub(super) fn counted(schema: SchemaRef, count: u64) -> Result<Self> {
        let counts: ArrayRef = Arc::new(UInt64Array::from(vec![count]));
        let batch = RecordBatch::try_new(schema.clone(), vec![counts])
            .map_err(|e| Error::new(ErrorKind::Internal, "a count does not form a batch").with_source(e))?;
        Ok(Self::fixed(schema, vec![batch]))
    }

    /// Sets the text and the casts of the statement.
    pub(super) fn of_statement(self, text: &str, casts: &Casts) -> Self {
        Self { text: Some(text.to_owned()), casts: casts.clone(), ..self }
    }

    /// Removes values from the errors of the rows.
    pub(super) fn without_values(self) -> Self {
        Self { hides_values: true, ..self }
    }

    /// Sets the edge over which the rows are sent.
    pub(super) fn sent_over(self, edge: SentEdge) -> Self {
        Self { edge, ..self }
    }

    /// Returns the counter of the rows that are sent to the node of this fragment.
    pub(crate) fn edge(&self) -> SentEdge {
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

    /// Returns a handle that cancels the query, also while the stream is driven.
    pub fn cancel_handle(&self) -> CancelHandle {
        CancelHandle(self.stop.clone())
    }

    /// Returns all rows. They may take as much memory as one query's operators, [`Limits::query_memory`]. Larger results
    /// must be read batch by batch.
    ///
    /// # Errors
    /// `ResourceExhausted` if the rows exceed the limit; the error that the stream ends with.
    ///
    /// [`Limits::query_memory`]: crate::Limits::query_memory
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>> {
        let limit = self.engine.as_ref().map_or(usize::MAX, |engine| engine.limits().query_memory);
        let (mut batches, mut memory) = (vec![], RecordBatchMemoryCounter::new());
        while let Some(batch) = self.try_next().await? {
            memory.count_batch(&batch);
            if memory.memory_usage() > limit {
                let what = format!(
                    "the collected rows exceed {limit} bytes (limits.query_memory): read them batch by batch, or select \
                     fewer rows"
                );
                return Err(Error::new(ErrorKind::ResourceExhausted, what));
            }
            batches.push(batch);
        }
        Ok(batches)
    }

    /// Returns the summary of the query, which is complete when the stream has ended. It includes the metrics of the
    /// operators if this is a fragment whose sender requests them. `EXPLAIN ANALYZE` returns those of a statement.
    pub(crate) fn summary(&self) -> FragmentSummary {
        let Progress { rows, edges, label, .. } = self.progress.now();
        FragmentSummary {
            rows,
            operators: self.operators.get().cloned().unwrap_or_default(),
            pulled: edges.into_iter().take(MOST_EDGES_REPORTED).map(pulled).collect(),
            label: label.is_notable().then_some(label),
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

impl QueryStream {
    /// Returns the next part of the rows.
    pub(super) fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<RowPart>>> {
        match &mut self.rows {
            RowSource::Running(batches) => {
                let mut next = std::task::ready!(batches.poll_next_unpin(cx));
                // The rows may have waited for a slow reader.
                let lost = match (&next, &self.access) {
                    (Some(Ok(_)), Some(access)) => access.check().err(),
                    _ => None,
                };
                let is_lost = lost.is_some();
                if let Some(lost) = lost {
                    self.stop.end(lost.flat());
                    next = Some(Err(lost));
                }
                batches.record(next.as_ref());
                if is_lost {
                    self.rows = RowSource::Fixed(vec![].into_iter());
                }
                let text = self.text.as_deref().unwrap_or_default();
                let shown = |error| match self.hides_values {
                    true => without_values(error),
                    false => self.casts.named(located(error, text), text),
                };
                Poll::Ready(next.map(|part| part.map_err(shown)))
            }
            RowSource::Fixed(batches) => {
                let next = batches.next();
                match &next {
                    Some(batch) => self.progress.add_rows(batch.num_rows()),
                    None => self.progress.finish(),
                }
                Poll::Ready(next.map(|batch| Ok(RowPart::Batch(batch))))
            }
        }
    }
}

impl Stream for QueryStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_part(cx).map(|next| next.map(|part| part.and_then(RowPart::into_batch)))
    }
}
