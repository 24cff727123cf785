//! The writer's replies to callers, as futures that need no runtime.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::open_read::OpenRead;
use crate::queue::Queue;
use crate::{Error, Result};

/// The future of a read that begins.
#[must_use = "no row may leave before the record is durable"]
pub struct Beginning(pub(crate) Reply<OpenRead>);

/// The future of a flush.
#[must_use = "the future returns when the records are durable"]
pub struct Flushing(pub(crate) Reply<()>);

impl Beginning {
    /// Blocks this thread until the record is durable. It panics in an asynchronous context.
    ///
    /// # Errors
    /// As [`Store::begin`](crate::Store::begin).
    pub fn wait(self) -> Result<OpenRead> {
        self.0.wait()
    }
}

impl Flushing {
    /// Blocks this thread until the records are durable. It panics in an asynchronous context.
    ///
    /// # Errors
    /// As [`Store::begin`](crate::Store::begin).
    pub fn wait(self) -> Result<()> {
        self.0.wait()
    }
}

impl Future for Beginning {
    type Output = Result<OpenRead>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(context)
    }
}

impl Future for Flushing {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(context)
    }
}

/// The writer's reply to a caller.
pub(crate) struct Reply<T> {
    queue: Arc<Queue>,
    state: Result<oneshot::Receiver<Result<T>>>,
}

impl<T> Reply<T> {
    pub(crate) fn new(queue: &Arc<Queue>, accepted: Result<()>, receiver: oneshot::Receiver<Result<T>>) -> Self {
        Self { queue: queue.clone(), state: accepted.map(|()| receiver) }
    }

    fn wait(self) -> Result<T> {
        // The writer drops its senders only when it ends.
        self.state?.blocking_recv().unwrap_or_else(|_| Err(Error::closed(&self.queue.folder)))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<T>> {
        match &mut self.state {
            Err(error) => Poll::Ready(Err(error.clone())),
            Ok(receiver) => {
                let received = Pin::new(receiver).poll(context);
                received.map(|reply| reply.unwrap_or_else(|_| Err(Error::closed(&self.queue.folder))))
            }
        }
    }
}
