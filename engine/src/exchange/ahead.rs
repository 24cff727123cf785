//! The rows of a remote scan that was started before the plan around it: so that they can be counted while the rest may
//! still be planned in another way.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, stream};
use tokio::time::{Instant, timeout_at};

/// Rows are counted up to so many bytes of them: they wait in memory.
pub(crate) const COUNTED_BYTES: usize = 16 << 20;

/// How many rows there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) rows: usize,
    /// Whether these are all.
    pub(crate) all: bool,
}

/// The rows of a scan that was started ahead, until its plan takes them.
#[derive(Clone, Default)]
pub(super) struct Ahead(Arc<Mutex<Option<SendableRecordBatchStream>>>);

impl std::fmt::Debug for Ahead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ahead")
    }
}

impl Ahead {
    pub(super) fn put(&self, rows: SendableRecordBatchStream) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(rows);
    }

    pub(super) fn take(&self) -> Option<SendableRecordBatchStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Reads until the end, the bound, or for so long at most, and puts back what was read with what is to come.
    pub(super) async fn read(&self, schema: &SchemaRef, context: &TaskContext, wait: Duration) -> Result<Counted> {
        let until = Instant::now() + wait;
        let Some(mut rest) = self.take() else { return Ok(Counted { rows: 0, all: false }) };
        let held = MemoryConsumer::new("rows counted ahead").register(context.memory_pool());
        let (mut batches, mut counted) = (vec![], Counted { rows: 0, all: false });
        while held.size() < COUNTED_BYTES {
            let Ok(next) = timeout_at(until, rest.next()).await else { break };
            let Some(batch) = next.transpose()? else {
                counted.all = true;
                break;
            };
            counted.rows += batch.num_rows();
            let fits = held.try_grow(batch.get_array_memory_size()).is_ok();
            batches.push(batch);
            if !fits {
                break;
            }
        }
        let read = stream::iter(batches).map(Ok);
        let rows = read.chain(rest).map(move |batch| holding(&held, batch));
        self.put(Box::pin(RecordBatchStreamAdapter::new(schema.clone(), rows)));
        Ok(counted)
    }
}

/// The memory is held until the stream is gone.
fn holding<T>(_: &MemoryReservation, batch: T) -> T {
    batch
}
