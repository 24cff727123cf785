//! The threads that drive plans. They are separate from those that serve connections, because a long computation must
//! not keep a connection waiting.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use portolan_connectors::lock;
use portolan_connectors::principal::AccountKey;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::AbortOnDropHandle;

use super::watch::Watch;
use crate::{Error, ErrorKind, Principal, Result};

/// The stack size of a thread, in bytes. The stack takes no memory before it is used. Planning recurses for each level
/// of a plan, and a stack overflow ends the process. This size fits the deepest plan that `bounds.rs` accepts.
const STACK: usize = 128 << 20;

/// The name of a statement that has no identifier yet, for the log.
const PLANNING: &str = "planning";

/// The largest number of thread pools. Each has as many threads as the engine drives plans with, which wait if there is
/// nothing to do.
const MAX_POOLS: usize = 8;

/// The threads that drive plans, in pools: each principal with tasks has one pool, and has it alone while there are
/// enough. The operating system divides the processor equally between the threads, and so between the pools. One
/// principal with hundreds of tasks gets no more of the processor than another with one.
#[derive(Debug)]
pub(crate) struct CpuRuntime {
    pools: Arc<Pools>,
    watch: Arc<Watch>,
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
    /// The principals that have tasks.
    principals: HashMap<AccountKey, PoolUse>,
}

#[derive(Debug)]
struct Pool {
    runtime: Runtime,
    /// The number of principals with tasks in the pool.
    principals: usize,
}

/// The pool of a principal, and the number of the principal's tasks.
#[derive(Debug)]
struct PoolUse {
    pool: usize,
    tasks: usize,
}

/// A guard that counts a task of a principal until it is dropped.
#[derive(Debug)]
struct TaskGuard {
    pools: Arc<Pools>,
    account: AccountKey,
    pool: usize,
}

impl CpuRuntime {
    pub(crate) fn new(threads: usize) -> Result<Self> {
        let unavailable =
            |e| Error::new(ErrorKind::Internal, "cannot start the threads that drive plans").with_source(e);
        let first = Pool::start(threads).map_err(unavailable)?;
        let state = PoolsState { pools: vec![first], principals: HashMap::new() };
        let watch = Watch::start().map_err(unavailable)?;
        Ok(Self { pools: Arc::new(Pools { threads, state: Mutex::new(state) }), watch })
    }

    /// Runs a future of a principal's query in the principal's pool. Dropping the handle aborts the future.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        query: &str,
        principal: &Principal,
        future: impl Future<Output = T> + Send + 'static,
    ) -> AbortOnDropHandle<T> {
        let (handle, guard) = self.pools.enter(principal.account(), |pool| self.watch.held_threads(pool));
        AbortOnDropHandle::new(handle.spawn(self.watch.over(query, guard.pool, async move {
            let _guard = guard;
            future.await
        })))
    }

    /// Runs a future in the principal's pool to its end.
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
    /// Adds a task of a principal to the principal's pool. `held` returns the number of threads of a pool that are held
    /// by a task that does not yield.
    fn enter(self: &Arc<Self>, account: AccountKey, held: impl Fn(usize) -> usize) -> (Handle, TaskGuard) {
        let mut state = lock(&self.state);
        let pool = match state.principals.get_mut(&account) {
            Some(used) => {
                used.tasks += 1;
                used.pool
            }
            None => {
                let pool = state.pool_for_new_principal(self.threads, held);
                state.pools[pool].principals += 1;
                state.principals.insert(account.clone(), PoolUse { pool, tasks: 1 });
                pool
            }
        };
        (state.pools[pool].runtime.handle().clone(), TaskGuard { pools: self.clone(), account, pool })
    }
}

impl PoolsState {
    /// Returns a pool that no principal uses and whose threads are all free. If there is none, starts a new pool. If
    /// there are [`MAX_POOLS`], returns the pool with the most free threads for each of its principals.
    fn pool_for_new_principal(&mut self, threads: usize, held: impl Fn(usize) -> usize) -> usize {
        let held: Vec<_> = (0..self.pools.len()).map(held).collect();
        let unused = self.pools.iter().zip(&held).position(|(pool, held)| pool.principals == 0 && *held == 0);
        if let Some(unused) = unused {
            return unused;
        }
        if self.pools.len() < MAX_POOLS {
            match Pool::start(threads) {
                Ok(pool) => {
                    self.pools.push(pool);
                    return self.pools.len() - 1;
                }
                Err(e) => tracing::warn!("cannot start more threads, so principals share some: {e}"),
            }
        }
        // With the new principal, each principal of a pool has this many threads.
        let each = |pool: &Pool, held: usize| threads.saturating_sub(held) as f64 / (pool.principals + 1) as f64;
        let shares = self.pools.iter().zip(&held).map(|(pool, held)| each(pool, *held)).enumerate();
        shares.min_by(|(_, a), (_, b)| b.total_cmp(a)).map_or(0, |(pool, _)| pool)
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
        let mut state = lock(&self.pools.state);
        let Some(used) = state.principals.get_mut(&self.account) else { return };
        used.tasks -= 1;
        let (pool, idle) = (used.pool, used.tasks == 0);
        if idle {
            state.principals.remove(&self.account);
            // The pools are gone if the engine was dropped.
            if let Some(pool) = state.pools.get_mut(pool) {
                pool.principals -= 1;
            }
        }
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
        let cpu = CpuRuntime::new(1).unwrap();
        let pool = |name: &str| lock(&cpu.pools.state).principals.get(&account(name)).map(|used| used.pool);
        let tasks: Vec<_> = ["a", "b", "a"].map(|name| cpu.pools.enter(account(name), |_| 0).1).into_iter().collect();
        assert_eq!((pool("a"), pool("b")), (Some(0), Some(1)));
        let mut tasks = tasks.into_iter();
        drop(tasks.next());
        assert_eq!(pool("a"), Some(0), "a task is left");
        drop(tasks.next_back());
        assert_eq!(pool("a"), None);
        // An unused pool is used again, and the number of pools is bounded.
        let many: Vec<_> = (0..20).map(|i| cpu.pools.enter(account(&format!("p{i}")), |_| 0).1).collect();
        assert_eq!(pool("p0"), Some(0));
        let state = lock(&cpu.pools.state);
        assert_eq!(state.pools.len(), MAX_POOLS);
        assert!(state.pools.iter().all(|pool| (2..=3).contains(&pool.principals)), "{state:?}");
        drop(state);
        drop(many);
    }

    #[test]
    fn a_new_principal_gets_no_pool_whose_threads_are_held() {
        let cpu = CpuRuntime::new(2).unwrap();
        // A task that was aborted and does not yield holds a thread of a pool that no principal uses.
        let first = cpu.pools.enter(account("a"), |pool| usize::from(pool == 0)).1;
        assert_eq!(first.pool, 1);
        let second = cpu.pools.enter(account("b"), |pool| usize::from(pool == 0)).1;
        assert_eq!(second.pool, 2);
        let _others: Vec<_> = (3..MAX_POOLS).map(|i| cpu.pools.enter(account(&format!("p{i}")), |_| 1).1).collect();
        // There can be no further pool. One free thread is as good as two that are shared, and the first pool goes first.
        let held = |pool: usize| [1, 2].get(pool).copied().unwrap_or_default();
        assert_eq!(cpu.pools.enter(account("c"), held).1.pool, 0);
        let held = |pool: usize| [2, 2, 1].get(pool).copied().unwrap_or_default();
        assert_eq!(cpu.pools.enter(account("d"), held).1.pool, 3);
    }

    #[test]
    fn a_task_that_does_not_yield_holds_a_thread_of_its_pool() {
        let cpu = CpuRuntime::new(1).unwrap();
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

    fn account(name: &str) -> AccountKey {
        Principal::new(name).account()
    }
}
