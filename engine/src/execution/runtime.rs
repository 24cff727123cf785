//! The threads that drive plans. They are separate from those that serve connections, because a long computation must
//! not keep a connection waiting.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use portolan_connectors::{AccountKey, lock};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::AbortOnDropHandle;

use super::watch::Watch;
use crate::{Error, ErrorKind, Limits, Principal, Result};

/// The stack size of a thread, in bytes. The stack takes no memory before it is used. Planning recurses for each level
/// of a plan, and a stack overflow ends the process. This size fits the deepest plan that `bounds.rs` accepts.
const STACK: usize = 128 << 20;

/// The name of a statement that has no identifier yet, for the log.
const PLANNING: &str = "planning";

/// The largest number of thread pools. Each has as many threads as the engine drives plans with, which wait if there is
/// nothing to do.
const MAX_POOLS: usize = 8;
/// The largest number of pools of one principal, whatever its weight. The others are for other principals.
const MAX_POOLS_OF_ONE: usize = MAX_POOLS / 2;

/// Runs work that recurses for each level of a plan, in a thread of its own with a large stack. Waits for the thread.
///
/// # Errors
/// `Internal` if the thread cannot be started, or if the work panics.
pub(crate) fn on_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, work)
            .map_err(|e| Error::new(ErrorKind::Internal, "cannot start a thread that plans queries").with_source(e))?;
        thread.join().map_err(|_| Error::new(ErrorKind::Internal, "planning ended abnormally"))
    })
}

/// The threads that drive plans, in pools. The operating system divides the processor equally between the threads, and
/// so between the pools.
///
/// - Each principal with tasks has one pool, and has it alone while there are enough. So a principal with hundreds of
///   tasks gets no more of the processor than another with one.
/// - A principal with a weight of two or more, and with several tasks, has as many pools as its weight, up to
///   [`MAX_POOLS_OF_ONE`], while there are unused pools.
#[derive(Debug)]
pub(crate) struct CpuRuntime {
    pools: Arc<Pools>,
    watch: Arc<Watch>,
    limits: ArcSwap<Limits>,
}

#[derive(Debug)]
struct Pools {
    /// The number of threads in each pool.
    threads: usize,
    state: Mutex<PoolsState>,
}

#[derive(Debug)]
struct PoolsState {
    pools: Vec<Pool>,
    /// The principals that have tasks, and their pools.
    principals: HashMap<AccountKey, Vec<PoolUse>>,
}

#[derive(Debug)]
struct Pool {
    runtime: Runtime,
    /// The number of principals with tasks in the pool.
    principals: usize,
}

/// A pool of a principal, and the number of the principal's tasks in it.
#[derive(Clone, Copy, Debug)]
struct PoolUse {
    pool: usize,
    tasks: usize,
}

/// A guard that counts a task of a principal in a pool until it is dropped.
#[derive(Debug)]
struct TaskGuard {
    pools: Arc<Pools>,
    account: AccountKey,
    pool: usize,
}

impl CpuRuntime {
    /// Starts the first pool, of `threads` threads. `limits` have the weights of principals.
    ///
    /// # Errors
    /// `Internal` if the threads cannot be started.
    pub(crate) fn new(threads: usize, limits: &Limits) -> Result<Self> {
        let unavailable =
            |e| Error::new(ErrorKind::Internal, "cannot start the threads that drive plans").with_source(e);
        let first = Pool::start(threads).map_err(unavailable)?;
        let state = PoolsState { pools: vec![first], principals: HashMap::new() };
        let watch = Watch::start().map_err(unavailable)?;
        let pools = Arc::new(Pools { threads, state: Mutex::new(state) });
        Ok(Self { pools, watch, limits: ArcSwap::from_pointee(limits.clone()) })
    }

    /// Changes the weights of principals.
    pub(crate) fn set_limits(&self, limits: &Arc<Limits>) {
        self.limits.store(limits.clone());
    }

    /// Runs a future of a principal's query in one of the principal's pools. Dropping the handle aborts the future.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        query: &str,
        principal: &Principal,
        future: impl Future<Output = T> + Send + 'static,
    ) -> AbortOnDropHandle<T> {
        let held = |pool| self.watch.held_threads(pool);
        let (handle, guard) = self.pools.enter(principal.account(), self.limits.load().weight(principal), held);
        AbortOnDropHandle::new(handle.spawn(self.watch.over(query, guard.pool, async move {
            let _guard = guard;
            future.await
        })))
    }

    /// Runs a future in one of the principal's pools to its end.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        principal: &Principal,
        future: impl Future<Output = Result<T>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T>> {
        // The future is on the heap and starts at once, because its caller may wait on a small stack.
        let task = self.spawn(PLANNING, principal, Box::pin(future));
        Box::pin(async move {
            task.await.map_err(|e| Error::new(ErrorKind::Internal, "planning ended abnormally").with_source(e))?
        })
    }
}

impl Pools {
    /// Adds a task of a principal to the principal's pool with the fewest of its tasks, or to a further pool if the
    /// weight allows one. `held` returns the number of threads of a pool that are held by a task that does not yield.
    fn enter(self: &Arc<Self>, account: AccountKey, weight: u32, held: impl Fn(usize) -> usize) -> (Handle, TaskGuard) {
        let mut state = lock(&self.state);
        let own = state.principals.get(&account).map(Vec::as_slice).unwrap_or_default();
        let may_use_more = own.len() < MAX_POOLS_OF_ONE.min(usize::try_from(weight).unwrap_or(usize::MAX));
        let pool = match own.iter().min_by_key(|used| used.tasks).copied() {
            Some(PoolUse { pool, .. }) if may_use_more => state.unused_pool(self.threads, held).unwrap_or(pool),
            Some(PoolUse { pool, .. }) => pool,
            None => match state.unused_pool(self.threads, &held) {
                Some(unused) => unused,
                None => state.pool_to_share(self.threads, &held),
            },
        };
        state.add_task(&account, pool);
        (state.pools[pool].runtime.handle().clone(), TaskGuard { pools: self.clone(), account, pool })
    }
}

impl PoolsState {
    /// Returns a pool that no principal uses and whose threads are all free. If there is none, starts a new pool, up to
    /// [`MAX_POOLS`].
    fn unused_pool(&mut self, threads: usize, held: impl Fn(usize) -> usize) -> Option<usize> {
        let mut pools = self.pools.iter().enumerate();
        let unused = pools.find(|(number, pool)| pool.principals == 0 && held(*number) == 0);
        if let Some((unused, _)) = unused {
            return Some(unused);
        }
        if self.pools.len() == MAX_POOLS {
            return None;
        }
        match Pool::start(threads) {
            Ok(pool) => {
                self.pools.push(pool);
                Some(self.pools.len() - 1)
            }
            Err(e) => {
                tracing::warn!("cannot start more threads, so principals share some: {e}");
                None
            }
        }
    }

    /// Returns the pool that has the most free threads for each of its principals, after one more has joined. Of equal
    /// pools, such as those without a free thread, returns the one with the fewest principals.
    fn pool_to_share(&self, threads: usize, held: impl Fn(usize) -> usize) -> usize {
        let free = |pool: usize| threads.saturating_sub(held(pool)) as f64;
        let shares = self.pools.iter().enumerate();
        let shares = shares.map(|(i, pool)| (i, free(i) / (pool.principals + 1) as f64, pool.principals));
        let best = shares.min_by(|(_, a, few), (_, b, many)| b.total_cmp(a).then(few.cmp(many)));
        best.map_or(0, |(pool, ..)| pool)
    }

    fn add_task(&mut self, account: &AccountKey, pool: usize) {
        let own = self.principals.entry(account.clone()).or_default();
        match own.iter_mut().find(|used| used.pool == pool) {
            Some(used) => used.tasks += 1,
            None => {
                own.push(PoolUse { pool, tasks: 1 });
                self.pools[pool].principals += 1;
            }
        }
    }

    fn remove_task(&mut self, account: &AccountKey, pool: usize) {
        let Some(own) = self.principals.get_mut(account) else { return };
        let Some(at) = own.iter().position(|used| used.pool == pool) else { return };
        own[at].tasks -= 1;
        if own[at].tasks > 0 {
            return;
        }
        own.remove(at);
        if own.is_empty() {
            self.principals.remove(account);
        }
        // The pools are gone if the engine was dropped.
        if let Some(pool) = self.pools.get_mut(pool) {
            pool.principals -= 1;
        }
    }
}

impl Pool {
    fn start(threads: usize) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("portolan-cpu")
            .thread_stack_size(STACK)
            .enable_all()
            .build()?;
        Ok(Self { runtime, principals: 0 })
    }
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        lock(&self.pools.state).remove_task(&self.account, self.pool);
    }
}

impl Drop for CpuRuntime {
    fn drop(&mut self) {
        // An engine may be dropped on a runtime, which must not wait for threads.
        for pool in std::mem::take(&mut lock(&self.pools.state).pools) {
            pool.runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn principals_with_tasks_have_different_pools() {
        let cpu = cpu(1);
        let mut tasks = ["a", "b", "a"].map(|name| enter(&cpu, name, 1)).into_iter();
        assert_eq!((pools(&cpu, "a"), pools(&cpu, "b")), (vec![0], vec![1]));
        drop(tasks.next());
        assert_eq!(pools(&cpu, "a"), [0], "a task is left");
        drop(tasks.next_back());
        assert!(pools(&cpu, "a").is_empty());
        // An unused pool is used again, and the number of pools is bounded.
        let many: Vec<_> = (0..20).map(|i| enter(&cpu, &format!("p{i}"), 1)).collect();
        assert_eq!(pools(&cpu, "p0"), [0]);
        let state = lock(&cpu.pools.state);
        assert_eq!(state.pools.len(), MAX_POOLS);
        assert!(state.pools.iter().all(|pool| (2..=3).contains(&pool.principals)), "{state:?}");
        drop(state);
        drop(many);
    }

    #[test]
    fn a_new_principal_gets_no_pool_whose_threads_are_held() {
        let cpu = cpu(2);
        let enter = |name: &str, held: &dyn Fn(usize) -> usize| cpu.pools.enter(account(name), 1, held).1;
        // A task that was aborted and does not yield holds a thread of a pool that no principal uses.
        let first = enter("a", &|pool: usize| usize::from(pool == 0));
        assert_eq!(first.pool, 1);
        let second = enter("b", &|pool: usize| usize::from(pool == 0));
        assert_eq!(second.pool, 2);
        let _others: Vec<_> = (3..MAX_POOLS).map(|i| enter(&format!("p{i}"), &|_| 1)).collect();
        // There can be no further pool. One free thread is as good as two shared ones, and the pool with fewer
        // principals goes first.
        assert_eq!(enter("c", &|pool: usize| [1, 2].get(pool).copied().unwrap_or_default()).pool, 0);
        assert_eq!(enter("d", &|pool: usize| [2, 2, 1].get(pool).copied().unwrap_or_default()).pool, 3);
    }

    #[test]
    fn principals_share_all_pools_also_if_no_thread_is_free() {
        let cpu = cpu(1);
        let _first: Vec<_> = (0..MAX_POOLS).map(|i| enter(&cpu, &format!("p{i}"), 1)).collect();
        let further: Vec<_> = (0..MAX_POOLS).map(|i| cpu.pools.enter(account(&format!("q{i}")), 1, |_| 1).1).collect();
        let mut pools: Vec<_> = further.iter().map(|task| task.pool).collect();
        pools.sort_unstable();
        assert_eq!(pools, (0..MAX_POOLS).collect::<Vec<_>>());
    }

    #[test]
    fn a_task_that_does_not_yield_holds_a_thread_of_its_pool() {
        let cpu = cpu(1);
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let task = cpu.spawn("q", &Principal::new("a"), async move { ended.recv() });
        let (start, limit) = (Instant::now(), Duration::from_secs(30));
        while cpu.watch.held_threads(0) == 0 && start.elapsed() < limit {
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(cpu.watch.held_threads(0), 1);
        drop((end, task));
        while cpu.watch.held_threads(0) > 0 && start.elapsed() < limit {
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(cpu.watch.held_threads(0), 0);
    }

    #[test]
    fn a_larger_weight_has_more_pools() {
        let cpu = cpu(1);
        let light = enter(&cpu, "light", 1);
        let mut heavy: Vec<_> = (0..4).map(|_| enter(&cpu, "heavy", 2)).collect();
        let further = enter(&cpu, "light", 1);
        assert_eq!((pools(&cpu, "light"), pools(&cpu, "heavy")), (vec![0], vec![1, 2]));
        assert_eq!(heavy.iter().filter(|task| task.pool == 1).count(), 2);
        heavy.retain(|task| task.pool == 1);
        assert_eq!(pools(&cpu, "heavy"), [1]);
        // However large the weight is, half of the pools are for others.
        let _largest: Vec<_> = (0..9).map(|_| enter(&cpu, "largest", u32::MAX)).collect();
        assert_eq!(pools(&cpu, "largest"), [2, 3, 4, 5]);
        let _others = ["p", "q"].map(|name| enter(&cpu, name, 9));
        assert_eq!((pools(&cpu, "p"), pools(&cpu, "q")), (vec![6], vec![7]));
        // A principal gets a second pool only if the pool is unused.
        let _second = enter(&cpu, "q", 9);
        assert_eq!(pools(&cpu, "q"), [7]);
        drop((light, further));
        let _third = enter(&cpu, "q", 9);
        assert_eq!(pools(&cpu, "q"), [7, 0]);
    }

    fn cpu(threads: usize) -> CpuRuntime {
        CpuRuntime::new(threads, &Limits::default()).unwrap()
    }

    fn enter(cpu: &CpuRuntime, name: &str, weight: u32) -> TaskGuard {
        cpu.pools.enter(account(name), weight, |_| 0).1
    }

    /// Returns the pools of a principal.
    fn pools(cpu: &CpuRuntime, name: &str) -> Vec<usize> {
        let state = lock(&cpu.pools.state);
        state.principals.get(&account(name)).into_iter().flatten().map(|used| used.pool).collect()
    }

    fn account(name: &str) -> AccountKey {
        Principal::new(name).account()
    }
}
