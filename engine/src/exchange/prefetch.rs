//! The rows of a remote scan that starts before the plan around it. The engine counts them while it can still plan the
//! rest of the query in another way.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::spill::get_record_batch_memory_size;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, stream};
use portolan_connectors::lock;
use tokio::time::{Instant, timeout_at};

use super::counted_keys::counted_keys;
use crate::plan::Counted;

/// The largest size of the rows that are counted. They wait in memory.
pub(crate) const COUNTED_BYTES: usize = 16 << 20;

/// The rows of a scan that starts before the plan around it, until that plan reads them.
#[derive(Clone, Default)]
pub(super) struct Prefetched(Arc<Mutex<Option<SendableRecordBatchStream>>>);

impl std::fmt::Debug for Prefetched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prefetched")
    }
}

impl Prefetched {
    pub(super) fn put(&self, rows: SendableRecordBatchStream) {
        *lock(&self.0) = Some(rows);
    }

    pub(super) fn take(&self) -> Option<SendableRecordBatchStream> {
        lock(&self.0).take()
    }

    /// Reads rows until their end, until the size limit, or for at most `wait`. Then puts them back, in front of the
    /// rows that have not come yet. `keys` are the positions of the columns whose values are counted if all rows came.
    pub(super) async fn read(
        &self,
        schema: &SchemaRef,
        keys: &BTreeSet<usize>,
        context: &TaskContext,
        wait: Duration,
    ) -> Result<Counted> {
        let until = Instant::now() + wait;
        let Some(mut rest) = self.take() else { return Ok(Counted::default()) };
        let held = MemoryConsumer::new("rows counted ahead").register(context.memory_pool());
        let (mut batches, mut counted) = (vec![], Counted::default());
        while held.size() < COUNTED_BYTES {
            let Ok(next) = timeout_at(until, rest.next()).await else { break };
            let Some(batch) = next.transpose()? else {
                counted.all = true;
                break;
            };
            counted.rows += batch.num_rows();
            let size = get_record_batch_memory_size(&batch);
            let fits = held.try_grow(size).is_ok();
            batches.push((batch, if fits { size } else { 0 }));
            if !fits {
                break;
            }
        }
        if counted.all {
            counted.keys = counted_keys(&batches, keys);
        }
        // The reader of a batch accounts for its memory from then on.
        let read = stream::iter(batches).map(move |(batch, size)| {
            held.shrink(size);
            Ok(batch)
        });
        let rows = read.chain(rest);
        self.put(Box::pin(RecordBatchStreamAdapter::new(schema.clone(), rows)));
        Ok(counted)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::array::{Int64Array, RecordBatch};
    use datafusion::execution::memory_pool::{MemoryPool, UnboundedMemoryPool};
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    use futures::{Stream, TryStreamExt};

    use super::*;

    /// Returns a batch of 8 MB.
    fn batch(number: i64) -> RecordBatch {
        let values = Int64Array::from_value(number, 1_000_000);
        RecordBatch::try_from_iter([("v", Arc::new(values) as _)]).unwrap()
    }

    /// Returns the count of so many rows: too many for the statistics of their keys.
    fn counted(rows: usize, all: bool) -> Counted {
        Counted { rows, all, ..Counted::default() }
    }

    fn prefetched(rows: impl Stream<Item = Result<RecordBatch>> + Send + 'static) -> (Prefetched, SchemaRef) {
        let schema = batch(0).schema();
        let prefetched = Prefetched::default();
        prefetched.put(Box::pin(RecordBatchStreamAdapter::new(schema.clone(), rows)));
        (prefetched, schema)
    }

    #[tokio::test]
    async fn rows_are_counted_up_to_a_bound_and_all_of_them_come() {
        let pool: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool.clone()).build_arc().unwrap();
        let (keys, context) = (BTreeSet::from([0]), TaskContext::default().with_runtime(runtime));
        for (batches, counted) in [(1, counted(1_000_000, true)), (9, counted(3_000_000, false))] {
            let (prefetched, schema) = prefetched(stream::iter((0..batches).map(|n| Ok(batch(n)))));
            let read = prefetched.read(&schema, &keys, &context, Duration::from_secs(60)).await.unwrap();
            assert_eq!(read, counted);
            assert!(pool.reserved() > 0);
            let rows: Vec<RecordBatch> = prefetched.take().unwrap().try_collect().await.unwrap();
            assert_eq!(rows, (0..batches).map(batch).collect::<Vec<_>>());
            assert_eq!(pool.reserved(), 0);
        }
    }

    #[tokio::test]
    async fn a_read_waits_no_longer_than_allowed() {
        let rows = stream::iter([Ok(batch(1))]).chain(stream::pending());
        let (prefetched, schema) = prefetched(rows);
        let (keys, context) = (BTreeSet::from([0]), TaskContext::default());
        let read = prefetched.read(&schema, &keys, &context, Duration::from_millis(5)).await.unwrap();
        assert_eq!(read, counted(1_000_000, false));
        assert_eq!(prefetched.take().unwrap().next().await.unwrap().unwrap(), batch(1));
    }
}
