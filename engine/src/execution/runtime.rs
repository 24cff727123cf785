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

/// The largest number of lanes. Each has as many threads as the engine drives plans with, which wait if there is nothing
/// to do.
const MOST_LANES: usize = 8;

/// The threads that drive plans, in lanes: each principal that has work is in one lane, and in a lane of its own while
/// there are enough. The operating system divides the processor equally between the threads, and so between the lanes.
/// One principal with hundreds of tasks takes no more of it than another with one.
#[derive(Debug)]
pub(crate) struct CpuRuntime {
    lanes: Arc<Lanes>,
    watch: Arc<Watch>,
}

#[derive(Debug)]
struct Lanes {
    threads: usize,
    state: Mutex<LanesState>,
}

#[derive(Debug)]
struct LanesState {
    lanes: Vec<Lane>,
    tenants: HashMap<AccountKey, Tenant>,
}

#[derive(Debug)]
struct Lane {
    runtime: Runtime,
    principals: usize,
}

/// A principal that has work.
#[derive(Debug)]
struct Tenant {
    lane: usize,
    tasks: usize,
}

/// The place of a task in the lane of its principal.
#[derive(Debug)]
struct LanePlace {
    lanes: Arc<Lanes>,
    account: AccountKey,
}

impl CpuRuntime {
    pub(crate) fn new(threads: usize) -> Result<Self> {
        let unavailable =
            |e| Error::new(ErrorKind::Internal, "cannot start the threads that drive plans").with_source(e);
        let first = Lane::start(threads).map_err(unavailable)?;
        let state = LanesState { lanes: vec![first], tenants: HashMap::new() };
        let watch = Watch::start().map_err(unavailable)?;
        Ok(Self { lanes: Arc::new(Lanes { threads, state: Mutex::new(state) }), watch })
    }

    /// Runs a future of a principal's query in the principal's lane. Dropping the handle aborts the future.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        query: &str,
        principal: &Principal,
        future: impl Future<Output = T> + Send + 'static,
    ) -> AbortOnDropHandle<T> {
        let (handle, place) = self.lanes.enter(principal.account());
        AbortOnDropHandle::new(handle.spawn(self.watch.over(query, async move {
            let _place = place;
            future.await
        })))
    }

    /// Runs a future in the principal's lane to its end.
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

impl Lanes {
    /// Adds a task of a principal to the principal's lane.
    fn enter(self: &Arc<Self>, account: AccountKey) -> (Handle, LanePlace) {
        let mut state = lock(&self.state);
        let lane = match state.tenants.get_mut(&account) {
            Some(tenant) => {
                tenant.tasks += 1;
                tenant.lane
            }
            None => {
                let lane = state.lane_for_one_more(self.threads);
                state.lanes[lane].principals += 1;
                state.tenants.insert(account.clone(), Tenant { lane, tasks: 1 });
                lane
            }
        };
        (state.lanes[lane].runtime.handle().clone(), LanePlace { lanes: self.clone(), account })
    }
}

impl LanesState {
    /// Returns the lane with the fewest principals. If none is empty, a new lane, while there may be more.
    fn lane_for_one_more(&mut self, threads: usize) -> usize {
        let least = self.lanes.iter().enumerate().min_by_key(|(_, lane)| lane.principals).map_or(0, |(i, _)| i);
        if self.lanes[least].principals == 0 || self.lanes.len() == MOST_LANES {
            return least;
        }
        match Lane::start(threads) {
            Ok(lane) => {
                self.lanes.push(lane);
                self.lanes.len() - 1
            }
            Err(e) => {
                tracing::warn!("cannot start more threads, so principals share some: {e}");
                least
            }
        }
    }
}

impl Lane {
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

impl Drop for LanePlace {
    fn drop(&mut self) {
        let mut state = lock(&self.lanes.state);
        let Some(tenant) = state.tenants.get_mut(&self.account) else { return };
        tenant.tasks -= 1;
        let (lane, idle) = (tenant.lane, tenant.tasks == 0);
        if idle {
            state.tenants.remove(&self.account);
            // The lanes are gone if the engine was dropped.
            if let Some(lane) = state.lanes.get_mut(lane) {
                lane.principals -= 1;
            }
        }
    }
}

impl Drop for CpuRuntime {
    fn drop(&mut self) {
        // An engine may be dropped on a runtime, which must not wait for threads.
        for lane in std::mem::take(&mut lock(&self.lanes.state).lanes) {
            lane.runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn principals_with_work_are_in_different_lanes() {
        let cpu = CpuRuntime::new(1).unwrap();
        let lane = |name: &str| lock(&cpu.lanes.state).tenants.get(&account(name)).map(|tenant| tenant.lane);
        let places: Vec<_> = ["a", "b", "a"].map(|name| cpu.lanes.enter(account(name)).1).into_iter().collect();
        assert_eq!((lane("a"), lane("b")), (Some(0), Some(1)));
        let mut places = places.into_iter();
        drop(places.next());
        assert_eq!(lane("a"), Some(0), "a task is left");
        drop(places.next_back());
        assert_eq!(lane("a"), None);
        // An empty lane is used again, and the number of lanes is bounded.
        let many: Vec<_> = (0..20).map(|i| cpu.lanes.enter(account(&format!("p{i}"))).1).collect();
        assert_eq!(lane("p0"), Some(0));
        let state = lock(&cpu.lanes.state);
        assert_eq!(state.lanes.len(), MOST_LANES);
        assert!(state.lanes.iter().all(|lane| (2..=3).contains(&lane.principals)), "{state:?}");
        drop(state);
        drop(many);
    }

    fn account(name: &str) -> AccountKey {
        Principal::new(name).account()
    }
}
