//! The watch over the threads that drive plans. An operator that works for long between two yields holds a thread: its
//! query can neither be cancelled nor be timed meanwhile, and other queries wait. The watch logs which query it is, and
//! counts the threads that are held.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use datafusion::common::runtime::{JoinSetTracer, set_join_set_tracer};
use futures::FutureExt;
use futures::future::BoxFuture;
use portolan_connectors::lock;

/// A task that is busy for longer is reported.
const LONG: Duration = Duration::from_secs(10);
/// A thread whose task is busy for longer counts as held.
const HELD: Duration = Duration::from_secs(2);
/// The time between two looks at the tasks.
const INTERVAL: Duration = Duration::from_secs(1);

tokio::task_local! {
    /// The query of the current task, which is also that of the tasks that it spawns.
    static CURRENT: Arc<Watched>;
}

/// The tasks of an engine that may hold a thread.
#[derive(Debug)]
pub(crate) struct Watch {
    epoch: Instant,
    tasks: Mutex<Vec<Weak<Task>>>,
    /// The number of held threads of each thread pool that has any, at the last look.
    held: Mutex<BTreeMap<usize, usize>>,
}

/// A query whose tasks are watched.
struct Watched {
    watch: Arc<Watch>,
    query: Arc<str>,
    pool: usize,
}

#[derive(Debug)]
struct Task {
    query: Arc<str>,
    /// The thread pool that runs the task.
    pool: usize,
    /// When the current poll began, in milliseconds since the epoch plus one; 0 between polls.
    since: AtomicU64,
    reported: AtomicBool,
}

impl Watch {
    /// Starts a watch that ends when it is dropped.
    pub(crate) fn start() -> std::io::Result<Arc<Self>> {
        // DataFusion has one tracer for the process. If the embedding program has set its own, only the first task of a
        // query is watched.
        let _ = set_join_set_tracer(&SpawnedTasks);
        let watch = Arc::new(Self { epoch: Instant::now(), tasks: Mutex::default(), held: Mutex::default() });
        let weak = Arc::downgrade(&watch);
        std::thread::Builder::new().name("portolan-watch".into()).spawn(move || {
            loop {
                std::thread::sleep(INTERVAL);
                match weak.upgrade() {
                    Some(watch) => watch.look(),
                    None => return,
                }
            }
        })?;
        Ok(watch)
    }

    /// Returns a future that is watched while a thread of `pool` polls it, and with it the tasks that it spawns.
    pub(crate) fn over<T: Send + 'static>(
        self: &Arc<Self>,
        query: &str,
        pool: usize,
        future: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static {
        let watched = Arc::new(Watched { watch: self.clone(), query: query.into(), pool });
        CURRENT.scope(watched.clone(), Polled { task: watched.task(), watched, future: Box::pin(future) })
    }

    /// Returns the number of threads of a pool that are held by a task that does not yield.
    pub(crate) fn held_threads(&self, pool: usize) -> usize {
        lock(&self.held).get(&pool).copied().unwrap_or_default()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn look(&self) {
        let now = self.now();
        let mut held = BTreeMap::<usize, usize>::new();
        lock(&self.tasks).retain(|task| {
            let Some(task) = task.upgrade() else { return false };
            let since = task.since.load(Ordering::Relaxed);
            let busy = Duration::from_millis(now.saturating_sub(since));
            if since > 0 && busy >= HELD {
                *held.entry(task.pool).or_default() += 1;
            }
            if since > 0 && busy >= LONG && !task.reported.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    query = &*task.query,
                    "the query has held a thread for {} s: it cannot be stopped before the thread is free",
                    busy.as_secs()
                );
            }
            true
        });
        *lock(&self.held) = held;
    }
}

impl Watched {
    fn task(&self) -> Arc<Task> {
        let task = Arc::new(Task::new(self.query.clone(), self.pool));
        lock(&self.watch.tasks).push(Arc::downgrade(&task));
        task
    }
}

impl Task {
    fn new(query: Arc<str>, pool: usize) -> Self {
        Self { query, pool, since: AtomicU64::new(0), reported: AtomicBool::new(false) }
    }
}

/// A future that takes note of when its polls begin and end.
struct Polled<F> {
    task: Arc<Task>,
    watched: Arc<Watched>,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Polled<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.task.since.store(self.watched.watch.now(), Ordering::Relaxed);
        let polled = self.future.as_mut().poll(cx);
        self.task.since.store(0, Ordering::Relaxed);
        polled
    }
}

/// Watches the tasks that DataFusion spawns for a watched query.
struct SpawnedTasks;

impl JoinSetTracer for SpawnedTasks {
    fn trace_future(&self, future: BoxFuture<'static, Box<dyn Any + Send>>) -> BoxFuture<'static, Box<dyn Any + Send>> {
        match CURRENT.try_with(Arc::clone) {
            Ok(watched) => CURRENT
                .scope(watched.clone(), Polled { task: watched.task(), watched, future: Box::pin(future) })
                .boxed(),
            Err(_) => future,
        }
    }

    fn trace_block(
        &self,
        block: Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>,
    ) -> Box<dyn FnOnce() -> Box<dyn Any + Send> + Send> {
        block
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::array::RecordBatch;
    use arrow::datatypes::{Schema, SchemaRef};
    use datafusion::common::Result;
    use datafusion::common::runtime::SpawnedTask;
    use datafusion::execution::{SendableRecordBatchStream, TaskContext};
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
    use datafusion::physical_plan::{ExecutionPlan, collect};
    use futures::stream;

    use super::*;
    use crate::execution::shared::{SharedExec, SharedPart, count_readers};

    /// Returns the queries of the tasks that are polled now.
    fn busy(watch: &Watch) -> Vec<String> {
        let tasks: Vec<_> = lock(&watch.tasks).iter().filter_map(Weak::upgrade).collect();
        tasks.iter().filter(|t| t.since.load(Ordering::Relaxed) > 0).map(|t| t.query.to_string()).collect()
    }

    /// Rows that take note of the polled tasks when they are read.
    #[derive(Debug)]
    struct Noting {
        schema: SchemaRef,
        watch: Arc<Watch>,
        seen: Arc<Mutex<Vec<String>>>,
    }

    impl PartitionStream for Noting {
        fn schema(&self) -> &SchemaRef {
            &self.schema
        }

        fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
            let (watch, seen) = (self.watch.clone(), self.seen.clone());
            let rows = stream::poll_fn(move |_| {
                *lock(&seen) = busy(&watch);
                Poll::Ready(None::<Result<RecordBatch>>)
            });
            Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows))
        }
    }

    #[tokio::test]
    async fn a_poll_is_seen_in_the_task_of_a_shared_part() {
        let watch = Watch::start().unwrap();
        let (schema, seen) = (Arc::new(Schema::empty()), Arc::new(Mutex::default()));
        let rows = Noting { schema: schema.clone(), watch: watch.clone(), seen: seen.clone() };
        let part = StreamingTableExec::try_new(schema, vec![Arc::new(rows)], None, [], false, None).unwrap();
        let reader: Arc<dyn ExecutionPlan> = Arc::new(SharedExec::new(SharedPart::new(1, Arc::new(part))));
        count_readers(reader.as_ref());
        watch.over("q", 0, async move { collect(reader, Arc::default()).await.unwrap() }).await;
        assert_eq!(*lock(&seen), ["q"]);
    }

    #[tokio::test]
    async fn a_poll_is_seen_in_spawned_tasks_too() {
        let watch = Watch::start().unwrap();
        let seen = watch.clone();
        let within = watch.over("q", 0, async move {
            let outer = busy(&seen);
            let inner = SpawnedTask::spawn(async move { busy(&seen) }).join().await.unwrap();
            (outer, inner)
        });
        assert_eq!(within.await, (vec!["q".to_owned()], vec!["q".to_owned()]));
        watch.look();
        assert!(lock(&watch.tasks).is_empty(), "the tasks have ended");
    }

    #[test]
    fn a_long_poll_is_reported_once() {
        let watch = Watch { epoch: Instant::now() - 2 * LONG, tasks: Mutex::default(), held: Mutex::default() };
        let task = Arc::new(Task::new("q".into(), 3));
        task.since.store(1, Ordering::Relaxed);
        lock(&watch.tasks).push(Arc::downgrade(&task));
        watch.look();
        assert!(task.reported.load(Ordering::Relaxed));
        assert_eq!([watch.held_threads(3), watch.held_threads(0)], [1, 0]);
        let idle = Arc::new(Task::new("q".into(), 3));
        lock(&watch.tasks).push(Arc::downgrade(&idle));
        task.since.store(0, Ordering::Relaxed);
        watch.look();
        assert!(!idle.reported.load(Ordering::Relaxed));
        assert_eq!(watch.held_threads(3), 0);
    }
}
