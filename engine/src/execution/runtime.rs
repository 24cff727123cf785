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
        let (handle, guard) = self.pools.enter(principal.account());
        AbortOnDropHandle::new(handle.spawn(self.watch.over(query, async move {
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
    /// Adds a task of a principal to the principal's pool.
    fn enter(self: &Arc<Self>, account: AccountKey) -> (Handle, TaskGuard) {
        let mut state = lock(&self.state);
        let pool = match state.principals.get_mut(&account) {
            Some(used) => {
                used.tasks += 1;
                used.pool
            }
            None => {
                let pool = state.pool_for_new_principal(self.threads);
                state.pools[pool].principals += 1;
                state.principals.insert(account.clone(), PoolUse { pool, tasks: 1 });
                pool
            }
        };
        (state.pools[pool].runtime.handle().clone(), TaskGuard { pools: self.clone(), account })
    }
}

impl PoolsState {
    /// Returns the pool with the fewest principals. If no pool is unused, it starts a new one, up to [`MAX_POOLS`].
    fn pool_for_new_principal(&mut self, threads: usize) -> usize {
        let least = self.pools.iter().enumerate().min_by_key(|(_, pool)| pool.principals).map_or(0, |(i, _)| i);
        if self.pools[least].principals == 0 || self.pools.len() == MAX_POOLS {
            return least;
        }
        match Pool::start(threads) {
            Ok(pool) => {
                self.pools.push(pool);
                self.pools.len() - 1
            }
            Err(e) => {
                tracing::warn!("cannot start more threads, so principals share some: {e}");
                least
            }
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

    use super::*;

    #[test]
    fn principals_with_tasks_have_different_pools() {
        let cpu = CpuRuntime::new(1).unwrap();
        let pool = |name: &str| lock(&cpu.pools.state).principals.get(&account(name)).map(|used| used.pool);
        let tasks: Vec<_> = ["a", "b", "a"].map(|name| cpu.pools.enter(account(name)).1).into_iter().collect();
        assert_eq!((pool("a"), pool("b")), (Some(0), Some(1)));
        let mut tasks = tasks.into_iter();
        drop(tasks.next());
        assert_eq!(pool("a"), Some(0), "a task is left");
        drop(tasks.next_back());
        assert_eq!(pool("a"), None);
        // An unused pool is used again, and the number of pools is bounded.
        let many: Vec<_> = (0..20).map(|i| cpu.pools.enter(account(&format!("p{i}"))).1).collect();
        assert_eq!(pool("p0"), Some(0));
        let state = lock(&cpu.pools.state);
        assert_eq!(state.pools.len(), MAX_POOLS);
        assert!(state.pools.iter().all(|pool| (2..=3).contains(&pool.principals)), "{state:?}");
        drop(state);
        drop(many);
    }

    fn account(name: &str) -> AccountKey {
        Principal::new(name).account()
    }
}
