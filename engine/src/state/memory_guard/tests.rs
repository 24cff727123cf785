//! Tests of the guard: queries run, and the memory of the process is made up.

#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU64, Ordering};

use futures::{FutureExt, StreamExt, TryStreamExt};

use super::*;
use crate::{Engine, Limits, Principal, QueryStream};

const SOON: Duration = Duration::from_secs(60);
/// Queries without an end. The first one holds some megabytes, the second one less than one.
const LARGE: &str = "SELECT value % 1000000, count(*) FROM generate_series(1, 1000000000000) GROUP BY 1";
const SMALL: &str = "SELECT value % 10, count(*) FROM generate_series(1, 1000000000000) GROUP BY 1";

#[derive(Debug)]
struct MadeUp(AtomicU64);

impl ResidentMemory for MadeUp {
    fn bytes(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed))
    }
}

/// A query without an end, whose join keeps a table of some megabytes.
const JOIN: &str = "SELECT a.value FROM generate_series(1, 1000000000000) a \
                    JOIN generate_series(1, 500000) b ON a.value % 1000000 = b.value";

/// An engine whose process may hold 1000 bytes.
struct Trial {
    engine: Engine,
    memory: Arc<MadeUp>,
}

impl Trial {
    fn new() -> Self {
        let memory = Arc::new(MadeUp(AtomicU64::new(100)));
        let limits = Limits { host_memory: Some(1000), ..Limits::default() };
        let builder = Engine::builder().cpu_threads(2).limits(limits).process_memory(memory.clone());
        Self { engine: builder.build().unwrap(), memory }
    }

    /// Starts a query of a principal.
    async fn start(&self, principal: &str, sql: &str) -> QueryStream {
        self.engine.session(Principal::new(principal)).sql(sql).await.unwrap()
    }

    /// Sets the memory that the process holds, and returns when the guard has read it.
    async fn holds(&self, bytes: u64) {
        self.memory.0.store(bytes, Ordering::Relaxed);
        until(|| self.engine.metrics().host_memory.is_some_and(|memory| memory.held == bytes)).await;
    }

    /// True if the largest query is this one, and has reserved at least these bytes.
    fn is_largest(&self, sql: &str, bytes: usize) -> bool {
        let largest = self.engine.inner().activity.largest_query(None);
        largest.is_some_and(|(query, reserved)| query.sql.as_deref() == Some(sql) && reserved >= bytes)
    }
}

async fn until(holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < SOON, "timed out");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_largest_query_is_ended_and_others_go_on() {
    let trial = Trial::new();
    let (mut small, mut large) = (trial.start("ann", SMALL).await, trial.start("bob", LARGE).await);
    until(|| trial.is_largest(LARGE, 4 << 20)).await;
    trial.holds(900).await;
    until(|| trial.engine.metrics().ended_for_memory == 1).await;
    trial.holds(100).await;
    let error = tokio::time::timeout(SOON, large.try_next()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    for part in ["900 of the 1000 bytes", "limits.host_memory", "ended this query", "limits.memory"] {
        assert!(error.context().contains(part), "{part}: {error}");
    }
    let metrics = trial.engine.metrics();
    assert_eq!((metrics.ended_for_memory, metrics.queries.ended["resource_exhausted"]), (1, 1));
    // The other query runs, and further ones start.
    until(|| trial.is_largest(SMALL, 0)).await;
    assert!(small.next().now_or_never().is_none());
    let rows = trial.start("bob", "SELECT value FROM generate_series(1, 10)").await;
    assert_eq!(rows.map_ok(|batch| batch.num_rows()).try_collect::<Vec<_>>().await.unwrap().iter().sum::<usize>(), 10);
}

/// The memory is free before the client notices that its query was ended.
#[tokio::test]
async fn a_query_that_is_ended_returns_the_memory_of_its_joins() {
    let trial = Trial::new();
    let rows = trial.start("ann", JOIN).await;
    until(|| trial.is_largest(JOIN, 4 << 20)).await;
    trial.holds(900).await;
    let memory = trial.engine.inner().accounts.memory.clone();
    until(|| memory.held() == 0).await;
    trial.holds(100).await;
    let error = rows.try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
}

/// The memory is free before the client reads the rows.
#[tokio::test]
async fn a_query_whose_plan_has_ended_returns_the_memory_of_its_joins() {
    let trial = Trial::new();
    let rows = trial.start("ann", &format!("{JOIN} LIMIT 1")).await;
    until(|| trial.engine.metrics().queries.ended["ok"] == 1).await;
    let memory = trial.engine.inner().accounts.memory.clone();
    until(|| memory.held() == 0).await;
    let batches: Vec<_> = rows.try_collect().await.unwrap();
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 1);
}

#[tokio::test]
async fn queries_wait_until_the_pressure_is_over_and_those_on_the_node_itself_do_not() {
    let trial = Trial::new();
    let _running = trial.start("ann", SMALL).await;
    trial.holds(800).await;
    let ordinary = "SELECT value FROM generate_series(1, 10)";
    let mut waiting = Box::pin(trial.start("bob", ordinary));
    assert!(tokio::time::timeout(4 * INTERVAL, &mut waiting).await.is_err(), "another query runs");
    let views = trial.start("bob", "SELECT count(*) FROM mesh.nodes").await;
    assert_eq!(views.try_collect::<Vec<_>>().await.unwrap().len(), 1);
    trial.holds(100).await;
    let rows = tokio::time::timeout(SOON, waiting).await.unwrap();
    assert!(!rows.try_collect::<Vec<_>>().await.unwrap().is_empty());
    assert_eq!(trial.engine.metrics().ended_for_memory, 0);
}

#[tokio::test]
async fn a_reader_that_pauses_keeps_nobody_out() {
    let trial = Trial::new();
    let _paused = trial.start("ann", "SELECT value FROM generate_series(1, 1000000000000)").await;
    trial.holds(800).await;
    let rows = trial.start("bob", "SELECT value FROM generate_series(1, 10)").await;
    assert!(!rows.try_collect::<Vec<_>>().await.unwrap().is_empty());
}

#[tokio::test]
async fn queries_on_the_node_itself_are_spared_and_waiting_ones_hold_nothing() {
    let trial = Trial::new();
    let activity = trial.engine.inner().activity.clone();
    let _views = trial.start("ann", "SELECT a.url FROM mesh.nodes a").await;
    assert!(activity.largest_query(None).is_none());
    let running = trial.start("ann", SMALL).await;
    trial.holds(800).await;
    let mut waiting = Box::pin(trial.start("bob", LARGE));
    assert!(tokio::time::timeout(4 * INTERVAL, &mut waiting).await.is_err());
    assert!(trial.is_largest(SMALL, 0));
    activity.largest_query(None).unwrap().0.stop.cancel();
    assert!(!trial.is_largest(SMALL, 0), "it is stopped");
    drop((running, waiting));
}

#[tokio::test]
async fn a_small_query_is_spared_if_the_memory_has_not_grown_since() {
    let trial = Trial::new();
    let activity = trial.engine.inner().activity.clone();
    let before = Instant::now();
    let small = trial.start("ann", SMALL).await;
    until(|| trial.is_largest(SMALL, 0)).await;
    assert!(activity.largest_query(Some(before)).is_none());
    assert!(activity.largest_query(Some(Instant::now())).is_some(), "it ran before");
    drop(small);
    let _large = trial.start("ann", LARGE).await;
    until(|| trial.is_largest(LARGE, 4 << 20)).await;
    assert!(activity.largest_query(Some(before)).is_some());
}

#[tokio::test]
async fn a_small_query_is_not_spared_if_the_memory_fell_and_grew_again() {
    let trial = Trial::new();
    let _large = trial.start("ann", LARGE).await;
    until(|| trial.is_largest(LARGE, 4 << 20)).await;
    trial.holds(990).await;
    until(|| trial.engine.metrics().ended_for_memory == 1).await;
    // The pressure stays high, and the next query begins.
    trial.holds(800).await;
    let _small = trial.start("bob", SMALL).await;
    until(|| trial.is_largest(SMALL, 0)).await;
    assert_eq!(trial.engine.metrics().ended_for_memory, 1);
    trial.holds(900).await;
    until(|| trial.engine.metrics().ended_for_memory == 2).await;
}

#[test]
fn another_query_is_ended_only_if_memory_grows_or_does_not_fall() {
    let at = Instant::now();
    let ended = Ended { at, resident: 900 };
    let allows = |resident: u64, after: Duration| ended.allows_another(resident, at + after);
    assert!(!allows(990, PAUSE / 2) && allows(901, PAUSE));
    assert!(!allows(900, PAUSE) && !allows(890, SETTLED / 2) && allows(890, SETTLED));
    assert_eq!([890, 900, 901].map(|resident| ended.settled(resident)), [Some(at), Some(at), None]);
}
