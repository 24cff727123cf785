//! The threads that drive plans. They are separate from those that serve connections, because a long computation must
//! not keep a connection waiting.

use std::future::Future;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::AbortOnDropHandle;

use super::watch::Watch;
use crate::{Error, ErrorKind, Result};

/// The stack size of a thread, in bytes. The stack takes no memory before it is used. Planning recurses for each level
/// of a plan, and a stack overflow ends the process. This size fits the deepest plan that `bounds.rs` accepts.
const STACK: usize = 128 << 20;

/// The name of a statement that has no identifier yet, for the log.
const PLANNING: &str = "planning";

/// The threads that drive plans.
#[derive(Debug)]
pub(crate) struct CpuRuntime {
    runtime: Option<Runtime>,
    handle: Handle,
    watch: Arc<Watch>,
}

impl CpuRuntime {
    pub(crate) fn new(threads: usize) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("portolan-cpu")
            .thread_stack_size(STACK)
            .enable_all()
            .build()
            .map_err(unavailable)?;
        let watch = Watch::start().map_err(unavailable)?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime), watch })
    }

    /// Runs a future of a query on these threads. Dropping the handle aborts the future.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        query: &str,
        future: impl Future<Output = T> + Send + 'static,
    ) -> AbortOnDropHandle<T> {
        AbortOnDropHandle::new(self.handle.spawn(self.watch.over(query, future)))
    }

    /// Runs a future on these threads to its end.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T>> {
        // The future is on the heap and starts at once, because its caller may wait on a small stack.
        let task = self.spawn(PLANNING, Box::pin(future));
        Box::pin(async move {
            task.await.map_err(|e| Error::new(ErrorKind::Internal, "planning ended abnormally").with_source(e))?
        })
    }
}

fn unavailable(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Internal, "cannot start the threads that drive plans").with_source(error)
}

impl Drop for CpuRuntime {
    fn drop(&mut self) {
        // An engine may be dropped on a runtime, which must not wait for threads.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
