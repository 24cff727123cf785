//! The threads that drive plans, apart from those that serve connections: a plan that computes for long must not keep
//! a connection waiting.

use std::future::Future;

use futures::future::BoxFuture;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::AbortOnDropHandle;

use crate::{Error, ErrorKind, Result};

/// Bytes of a thread's stack, of which none is taken before it is used: planning calls itself for each level of a plan,
/// and a stack that is used up ends the process. It holds the deepest that is let in (`bounds.rs`).
const STACK: usize = 128 << 20;

/// The threads that drive plans.
#[derive(Debug)]
pub(crate) struct CpuRuntime {
    runtime: Option<Runtime>,
    handle: Handle,
}

impl CpuRuntime {
    pub(crate) fn new(threads: usize) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("portolan-cpu")
            .thread_stack_size(STACK)
            .enable_all()
            .build()
            .map_err(|e| Error::new(ErrorKind::Internal, "no threads to drive plans").with_source(e))?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Runs a future there. Dropping the handle aborts it.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> AbortOnDropHandle<T> {
        AbortOnDropHandle::new(self.handle.spawn(future))
    }

    /// Runs a future there to its end.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T>> {
        // On the heap, and begun at once: its caller waits on a stack that may be small.
        let task = self.spawn(Box::pin(future));
        Box::pin(async move {
            task.await.map_err(|e| Error::new(ErrorKind::Internal, "planning stopped short").with_source(e))?
        })
    }
}

impl Drop for CpuRuntime {
    fn drop(&mut self) {
        // An engine may be dropped on a runtime, where waiting for threads is not allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
