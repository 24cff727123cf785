//! The threads that drive plans, apart from those that serve connections: a plan that computes for long must not keep
//! a connection waiting.

use std::future::Future;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::AbortOnDropHandle;

use crate::{Error, ErrorKind, Result};

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
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.spawn(future)
            .await
            .map_err(|e| Error::new(ErrorKind::Internal, "planning stopped short").with_source(e))?
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
