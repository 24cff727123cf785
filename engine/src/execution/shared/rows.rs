//! The rows of a shared part, and its readers. A task reads the part as far as a reader wants the next batch.

use std::fmt;
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{Result, internal_err};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::SpillManager;
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::metrics::SpillMetrics;
use datafusion::physical_plan::spill::get_record_batch_memory_size;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use portolan_connectors::lock;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::queue::{Next, Queue};
use crate::execution::compact::{array_bytes, compact};
use crate::execution::errors::into_datafusion;

/// A batch that keeps no more memory is not copied.
const LEAST_COPIED_BYTES: usize = 1 << 20;

/// The rows of a shared part. Dropping them and all readers stops the part.
pub(super) struct SharedRows {
    schema: SchemaRef,
    state: Arc<State>,
    /// Changes when a batch or the end of the part has come. It is closed when the task has ended.
    changed: watch::Receiver<()>,
    _task: SpawnedTask<()>,
}

/// The state that the readers share with the task that reads the part.
struct State {
    queue: Mutex<Queue>,
    spill: SpillManager,
    /// Notified when a reader waits for the next batch.
    wanted: Notify,
    /// Cancelled when no reader is left.
    unread: CancellationToken,
}

/// A reader of a shared part. Dropping it ends it.
struct Reader {
    rows: Arc<SharedRows>,
    number: usize,
    changed: watch::Receiver<()>,
    file: Option<ReadFile>,
}

/// A file that is being read.
struct ReadFile {
    batches: SendableRecordBatchStream,
    /// The batches at the start that the reader has read from memory.
    skipped: usize,
    remaining: usize,
}

impl SharedRows {
    /// Returns the rows of `part` for this number of readers. Rows that wait count in the memory and the disk space of
    /// `runtime`.
    pub(super) fn new(
        part: SendableRecordBatchStream,
        readers: usize,
        runtime: Arc<RuntimeEnv>,
        metrics: SpillMetrics,
    ) -> Arc<Self> {
        let schema = part.schema();
        let consumer = MemoryConsumer::new("rows of a shared part").with_can_spill(true);
        let queue = Queue::new(readers, consumer.register(&runtime.memory_pool));
        let state = Arc::new(State {
            queue: Mutex::new(queue),
            spill: SpillManager::new(runtime, metrics, schema.clone()),
            wanted: Notify::new(),
            unread: CancellationToken::new(),
        });
        let (news, changed) = watch::channel(());
        let task = SpawnedTask::spawn(read(part, state.clone(), news));
        Arc::new(Self { schema, state, changed, _task: task })
    }

    /// Starts a reader, which returns all rows; `None` if all readers have started.
    pub(super) fn reader(self: &Arc<Self>) -> Option<SendableRecordBatchStream> {
        let number = lock(&self.state.queue).start()?;
        let reader = Reader { rows: self.clone(), number, changed: self.changed.clone(), file: None };
        let batches = futures::stream::try_unfold(reader, async |mut reader: Reader| {
            let next = reader.next().await;
            next.map(|batch| batch.map(|batch| (batch, reader)))
        });
        Some(make_cooperative(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches))))
    }
}

impl fmt::Debug for SharedRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedRows")
    }
}

/// Reads the part to its end, or until no reader is left.
async fn read(part: SendableRecordBatchStream, state: Arc<State>, news: watch::Sender<()>) {
    tokio::select! {
        biased;
        () = state.unread.cancelled() => {}
        outcome = read_all(part, &state, &news) => {
            lock(&state.queue).end(outcome);
            news.send_replace(());
        }
    }
}

async fn read_all(mut part: SendableRecordBatchStream, state: &State, news: &watch::Sender<()>) -> Result<()> {
    loop {
        state.wanted.notified().await;
        let Some(batch) = part.next().await.transpose()? else { return Ok(()) };
        let may_wait = lock(&state.queue).is_awaited();
        let batch = if may_wait { compacted(batch)? } else { batch };
        let is_full = lock(&state.queue).push(batch);
        if is_full {
            state.write()?;
        }
        news.send_replace(());
    }
}

/// Returns a batch that keeps little memory but its own. An aggregate returns its rows as slices of one batch, and each of
/// them would count as much as all.
fn compacted(batch: RecordBatch) -> Result<RecordBatch> {
    match get_record_batch_memory_size(&batch) > array_bytes(&batch).saturating_mul(2).max(LEAST_COPIED_BYTES) {
        true => compact(&batch).map_err(into_datafusion),
        false => Ok(batch),
    }
}

impl State {
    /// Moves the batches in memory to a file. Readers go on meanwhile.
    fn write(&self) -> Result<()> {
        let (first, batches) = lock(&self.queue).held();
        if let Some(file) = self.spill.spill_record_batch_and_finish(&batches, "rows of a shared part")? {
            lock(&self.queue).written(first, file);
        }
        Ok(())
    }
}

impl Reader {
    /// Returns the next batch; `None` at the end of the part.
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(file) = &mut self.file {
                match file.next().await? {
                    Some(batch) => return Ok(Some(batch)),
                    None => self.file = None,
                }
            }
            self.changed.mark_unchanged();
            let next = lock(&self.rows.state.queue).next(self.number);
            match next {
                Next::Batch(batch) => return Ok(Some(batch)),
                Next::File { file, skipped, batches } => {
                    let rows = self.rows.state.spill.read_spill_as_stream_unbuffered(file, None)?;
                    self.file = Some(ReadFile { batches: rows, skipped, remaining: batches });
                }
                Next::End => return Ok(None),
                Next::Failed(error) => return Err(DataFusionError::Shared(error)),
                Next::Nothing => self.wait().await?,
            }
        }
    }

    /// Waits until a batch or the end of the part has come.
    async fn wait(&mut self) -> Result<()> {
        self.rows.state.wanted.notify_one();
        let is_closed = self.changed.changed().await.is_err();
        if is_closed && !lock(&self.rows.state.queue).has_ended() {
            return internal_err!("a shared part of the query stopped before its end");
        }
        Ok(())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let state = &self.rows.state;
        if lock(&state.queue).leave(self.number) {
            state.unread.cancel();
        }
    }
}

impl ReadFile {
    /// Returns the next batch that the reader has not read; `None` after the last one.
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        while self.remaining > 0 {
            let Some(batch) = self.batches.next().await.transpose()? else {
                return internal_err!("a file of a shared part has lost rows");
            };
            if self.skipped > 0 {
                self.skipped -= 1;
                continue;
            }
            self.remaining -= 1;
            return Ok(Some(batch));
        }
        Ok(None)
    }
}
