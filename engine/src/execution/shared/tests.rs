//! Readers that start and end in every order, over parts that fit in memory or not.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Int64Array, RecordBatch};
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::common::{Result, exec_err};
use datafusion::execution::disk_manager::DiskManagerBuilder;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, SpillMetrics};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use futures::{Stream, StreamExt, TryStreamExt, stream};

use super::rows::SharedRows;
use super::{SharedExec, SharedPart, count_readers};
use crate::ErrorKind;
use crate::execution::errors::from_datafusion;

/// Returns a batch of 8 MB.
fn batch(number: i64) -> RecordBatch {
    let values = Int64Array::from_value(number, 1_000_000);
    RecordBatch::try_from_iter([("v", Arc::new(values) as _)]).unwrap()
}

fn numbers(batches: &[RecordBatch]) -> Vec<i64> {
    let first = |batch: &RecordBatch| batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap().value(0);
    batches.iter().map(first).collect()
}

/// Returns a runtime with this much memory and disk space.
fn runtime(memory: usize, disk: u64) -> Arc<RuntimeEnv> {
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(memory)))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_max_temp_directory_size(disk))
        .build_arc()
        .unwrap()
}

fn shared(
    runtime: &Arc<RuntimeEnv>,
    readers: usize,
    rows: impl Stream<Item = Result<RecordBatch>> + Send + 'static,
) -> Arc<SharedRows> {
    let part: SendableRecordBatchStream = Box::pin(RecordBatchStreamAdapter::new(batch(0).schema(), rows));
    SharedRows::new(part, readers, runtime.clone(), SpillMetrics::new(&ExecutionPlanMetricsSet::new(), 0))
}

/// Returns a part of this many batches, which counts those that were read.
fn counted(batches: i64) -> (impl Stream<Item = Result<RecordBatch>> + Send + 'static, Arc<AtomicUsize>) {
    let read = Arc::new(AtomicUsize::new(0));
    let count = read.clone();
    let rows = stream::iter(0..batches).map(move |number| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(batch(number))
    });
    (rows, read)
}

async fn all(reader: SendableRecordBatchStream) -> Result<Vec<i64>> {
    Ok(numbers(&reader.try_collect::<Vec<_>>().await?))
}

fn is_empty(runtime: &RuntimeEnv) -> bool {
    runtime.memory_pool.reserved() == 0 && runtime.disk_manager.used_disk_space() == 0
}

/// Memory for no batch, for two batches, and for all of them.
const MEMORY: [usize; 3] = [1 << 10, 20_000_000, 1 << 30];
const DISK: u64 = 1 << 30;

#[tokio::test]
async fn readers_that_start_one_after_the_other_get_all_rows() {
    for memory in MEMORY {
        let runtime = runtime(memory, DISK);
        let (rows, read) = counted(9);
        let shared = shared(&runtime, 3, rows);
        for reader in 0..3 {
            let rows = shared.reader().unwrap();
            assert_eq!(all(rows).await.unwrap(), (0..9).collect::<Vec<_>>(), "reader {reader}");
            // Batches of 8 MB never wait in memory beyond the limit.
            assert!(runtime.memory_pool.reserved() <= (32 << 20), "{}", runtime.memory_pool.reserved());
        }
        assert_eq!(read.load(Ordering::Relaxed), 9);
        assert!(shared.reader().is_none());
        assert!(is_empty(&runtime));
    }
}

#[tokio::test]
async fn the_fastest_reader_sets_the_pace_and_a_slow_one_gets_all_rows() {
    for memory in MEMORY {
        let runtime = runtime(memory, DISK);
        let (rows, read) = counted(9);
        let shared = shared(&runtime, 2, rows);
        let (mut fast, mut slow) = (shared.reader().unwrap(), shared.reader().unwrap());
        let (mut by_fast, mut by_slow) = (vec![], vec![]);
        while let Some(batch) = fast.try_next().await.unwrap() {
            by_fast.push(batch);
            // One more batch may be on its way.
            assert!(read.load(Ordering::Relaxed) <= by_fast.len() + 1);
            if by_fast.len().is_multiple_of(2) {
                by_slow.extend(slow.try_next().await.unwrap());
            }
        }
        by_slow.extend(slow.try_collect::<Vec<_>>().await.unwrap());
        assert_eq!(numbers(&by_fast), (0..9).collect::<Vec<_>>());
        assert_eq!(numbers(&by_slow), (0..9).collect::<Vec<_>>());
        assert!(is_empty(&runtime));
    }
}

#[tokio::test]
async fn slices_of_one_batch_count_only_their_rows() {
    let runtime = runtime(1 << 30, DISK);
    let values = Int64Array::from_iter_values(0..1_000_000);
    let whole = RecordBatch::try_from_iter([("v", Arc::new(values) as _)]).unwrap();
    let slices = stream::iter((0..1000).map(move |i| Ok(whole.slice(1000 * i, 1000))));
    let shared = shared(&runtime, 2, slices);
    assert_eq!(all(shared.reader().unwrap()).await.unwrap().len(), 1000);
    // The second reader has not started.
    let held = runtime.memory_pool.reserved();
    assert!((8_000_000..9_000_000).contains(&held), "{held}");
    assert_eq!(runtime.disk_manager.used_disk_space(), 0);
    assert_eq!(all(shared.reader().unwrap()).await.unwrap(), (0..1000).map(|i| 1000 * i).collect::<Vec<_>>());
    assert!(is_empty(&runtime));
}

#[tokio::test]
async fn a_reader_that_stops_early_or_never_starts_keeps_nobody_waiting() {
    for memory in MEMORY {
        let runtime = runtime(memory, DISK);
        let (rows, _) = counted(9);
        let shared = shared(&runtime, 3, rows);
        let (mut early, whole) = (shared.reader().unwrap(), shared.reader().unwrap());
        assert_eq!(numbers(&[early.try_next().await.unwrap().unwrap()]), [0]);
        drop(early);
        assert_eq!(all(whole).await.unwrap(), (0..9).collect::<Vec<_>>());
        // The rows wait for the third reader.
        assert!(!is_empty(&runtime));
        drop(shared);
        tokio::task::yield_now().await;
        assert!(is_empty(&runtime));
    }
}

#[tokio::test]
async fn a_part_without_readers_is_stopped() {
    let dropped = Arc::new(());
    let witness = dropped.clone();
    // The part never returns its second batch.
    let rows = stream::iter([Ok(batch(0))]).chain(stream::pending()).map(move |batch| {
        let _kept = &witness;
        batch
    });
    let runtime = runtime(1 << 30, DISK);
    let shared = shared(&runtime, 2, rows);
    let (mut first, second) = (shared.reader().unwrap(), shared.reader().unwrap());
    first.try_next().await.unwrap();
    assert!(futures::poll!(first.next()).is_pending());
    drop(first);
    tokio::task::yield_now().await;
    assert_eq!(Arc::strong_count(&dropped), 2, "another reader is left");
    drop(second);
    tokio::time::timeout(std::time::Duration::from_secs(20), async {
        while Arc::strong_count(&dropped) > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert!(is_empty(&runtime));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_in_parallel_get_all_rows() {
    for memory in MEMORY {
        let runtime = runtime(memory, DISK);
        let (rows, read) = counted(20);
        let shared = shared(&runtime, 4, rows);
        let readers = (0..4).map(|_| tokio::spawn(all(shared.reader().unwrap())));
        for reader in readers.collect::<Vec<_>>() {
            assert_eq!(reader.await.unwrap().unwrap(), (0..20).collect::<Vec<_>>());
        }
        assert_eq!(read.load(Ordering::Relaxed), 20);
        assert!(is_empty(&runtime));
    }
}

#[tokio::test]
async fn an_error_reaches_every_reader_after_the_rows_before_it() {
    for memory in MEMORY {
        let runtime = runtime(memory, DISK);
        let rows = stream::iter([Ok(batch(0)), Ok(batch(1)), exec_err!("the part failed"), Ok(batch(2))]);
        let shared = shared(&runtime, 2, rows);
        for _ in 0..2 {
            let mut reader = shared.reader().unwrap();
            for number in 0..2 {
                assert_eq!(numbers(&[reader.try_next().await.unwrap().unwrap()]), [number]);
            }
            let error = reader.try_next().await.unwrap_err();
            assert!(error.to_string().contains("the part failed"), "{error}");
            assert!(reader.try_next().await.unwrap().is_none());
        }
    }
}

#[tokio::test]
async fn rows_beyond_the_disk_space_are_an_error() {
    let runtime = runtime(1 << 10, 20_000_000);
    let (rows, _) = counted(9);
    let shared = shared(&runtime, 2, rows);
    let error = all(shared.reader().unwrap()).await.unwrap_err();
    let error = from_datafusion(&error);
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
    assert!(error.context().contains("limits.spill"), "{error}");
}

#[tokio::test]
async fn operators_of_one_part_share_its_rows() {
    let one = batch(7).slice(0, 3);
    let input = MemorySourceConfig::try_new_exec(&[vec![one.clone()], vec![one]], batch(0).schema(), None).unwrap();
    let part = SharedPart::new(1, input);
    let readers = (0..2).map(|_| Arc::new(SharedExec::new(part.clone())) as Arc<dyn ExecutionPlan>);
    let union = UnionExec::try_new(readers.collect()).unwrap();
    count_readers(union.as_ref());
    let shown = displayable(union.as_ref()).indent(false).to_string();
    assert_eq!(shown.matches("SharedExec: part=1, readers=2").count(), 2, "{shown}");
    assert_eq!(shown.matches("DataSourceExec").count(), 1, "{shown}");
    let context = Arc::new(TaskContext::default());
    let batches = collect(union.clone(), context.clone()).await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 12);
    // Nor does a reader start twice.
    let error = from_datafusion(&union.execute(0, context.clone()).err().unwrap());
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
    // A third reader would get no rows.
    let error = SharedExec::new(part).execute(0, context).err().unwrap();
    assert!(error.to_string().contains("more readers"), "{error}");
}

#[tokio::test]
async fn a_reader_that_starts_again_takes_no_place_of_another_one() {
    let one = batch(7).slice(0, 3);
    let input = MemorySourceConfig::try_new_exec(&[vec![one]], batch(0).schema(), None).unwrap();
    let part = SharedPart::new(1, input);
    let readers = (0..2).map(|_| Arc::new(SharedExec::new(part.clone())) as Arc<dyn ExecutionPlan>);
    let union = UnionExec::try_new(readers.collect()).unwrap();
    count_readers(union.as_ref());
    let context = Arc::new(TaskContext::default());
    drop(union.execute(0, context.clone()).unwrap());
    let again = from_datafusion(&union.execute(0, context.clone()).err().unwrap());
    assert_eq!(again.kind(), ErrorKind::ResourceExhausted, "{again}");
    let rows: Vec<RecordBatch> = union.execute(1, context).unwrap().try_collect().await.unwrap();
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
}
