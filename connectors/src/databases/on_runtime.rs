//! Work that belongs to one runtime and that any runtime may poll. A node's queries run on the CPU runtime, and
//! connections live on the I/O runtime: what a driver opens, spawns and times while it is polled belongs to the latter.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use tokio::runtime::Handle;

/// A future or a stream that belongs to one runtime, whichever runtime polls it.
pub(super) struct OnRuntime<W> {
    /// The work. It is taken when this is dropped, because a driver may start tasks when its work is dropped.
    work: Option<W>,
    runtime: Handle,
}

impl<W> OnRuntime<W> {
    pub(super) fn new(runtime: &Handle, work: W) -> Self {
        Self { work: Some(work), runtime: runtime.clone() }
    }
}

impl<T> Future for OnRuntime<BoxFuture<'_, T>> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let this = &mut *self;
        let _entered = this.runtime.enter();
        match &mut this.work {
            Some(work) => work.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

impl<T> Stream for OnRuntime<BoxStream<'_, T>> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let this = &mut *self;
        let _entered = this.runtime.enter();
        match &mut this.work {
            Some(work) => work.as_mut().poll_next(context),
            None => Poll::Ready(None),
        }
    }
}

impl<W> Drop for OnRuntime<W> {
    fn drop(&mut self) {
        let _entered = self.runtime.enter();
        drop(self.work.take());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::mpsc;

    use futures::{FutureExt, StreamExt, stream};

    use super::*;

    struct TellsRuntime(mpsc::Sender<tokio::runtime::Id>);

    impl Drop for TellsRuntime {
        fn drop(&mut self) {
            self.0.send(Handle::current().id()).unwrap();
        }
    }

    #[test]
    fn work_runs_and_ends_on_the_io_runtime() {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (io, cpu) = (runtime(), runtime());
        let (tell, told) = mpsc::channel();
        let here = async move {
            let dropped = TellsRuntime(tell);
            tokio::task::yield_now().await;
            (Handle::current().id(), dropped)
        };
        let ids = cpu.block_on(async {
            let (of_future, held) = OnRuntime::new(io.handle(), here.boxed()).await;
            let stream = stream::once(async { Handle::current().id() }).chain(stream::once(async move {
                let _held = held;
                futures::future::pending().await
            }));
            let mut stream = OnRuntime::new(io.handle(), stream.boxed());
            let of_stream = stream.next().await.unwrap();
            assert!(stream.next().now_or_never().is_none());
            drop(stream);
            assert_eq!(Handle::current().id(), cpu.handle().id());
            [of_future, of_stream]
        });
        assert_eq!(ids, [io.handle().id(); 2]);
        assert_eq!(told.try_recv().unwrap(), io.handle().id());
    }
}
