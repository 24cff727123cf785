//! Drives one physical plan on the engine's threads and sends its batches through a small channel, so that a reader
//! that stops reading stops the plan.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tokio_util::task::AbortOnDropHandle;

use super::admission::Slot;
use super::conform::conform;
use super::errors::{from_datafusion, timed_out};
use super::part::RowPart;
use super::recording::Recording;
use super::runtime::CpuRuntime;
use super::stop::Stop;
use crate::metrics::Work;
use crate::{Error, ErrorKind, Principal, ProgressHandle, Result};

/// The largest number of batches that wait for the reader.
const BATCHES_IN_FLIGHT: usize = 2;

/// The time after which a query whose reader reads no batch keeps no other query out.
const PAUSE: Duration = Duration::from_secs(1);

/// The time that a plan has to report its end, before the reader does not wait for it any more.
const GRACE: Duration = Duration::from_millis(500);

/// The source of a query's rows.
pub(crate) enum Driven {
    /// A plan to drive, and its context.
    Plan(Arc<dyn ExecutionPlan>, Arc<TaskContext>),
    /// The messages of an owner, which are relayed.
    Messages(BoxStream<'static, Result<RowPart>>),
}

/// A query that is ready to run.
pub(crate) struct Run {
    /// The source of the rows, once it is final.
    pub(crate) plan: BoxFuture<'static, Result<Driven>>,
    /// The identifier of the query, and the principal that it runs for.
    pub(crate) query: String,
    pub(crate) principal: Principal,
    /// The promised columns, to which batches are converted.
    pub(crate) schema: SchemaRef,
    pub(crate) deadline: Instant,
    pub(crate) progress: ProgressHandle,
    pub(crate) slot: Slot,
    /// The signal that stops the run.
    pub(crate) stop: Stop,
    /// A value that is dropped when the plan has ended, before the reader of the batches sees the end.
    pub(crate) guard: Arc<dyn Send + Sync>,
    /// The query as it is counted.
    pub(crate) work: Arc<Work>,
    /// The record of the read, if the node keeps one.
    pub(crate) recording: Option<Recording>,
}

/// The batches of a running plan. Dropping them stops the plan.
///
/// The plan watches the deadline and the stop signal itself, and reports them with more detail. A reader does not rely on
/// that: an operator may be busy with one batch.
#[derive(Debug)]
pub(crate) struct Batches {
    receiver: mpsc::Receiver<Result<RowPart>>,
    task: AbortOnDropHandle<()>,
    ended: bool,
    deadline: Instant,
    progress: ProgressHandle,
    stop: Stop,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    /// The query as it is counted: a plan that does not report its end is not counted as cancelled.
    work: Arc<Work>,
    /// The record of the read: no batch leaves before it is durable.
    recording: Option<Recording>,
    /// The timer, from the first time that the reader waits. It belongs to the reader's runtime.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Run {
    /// Starts to drive the plan, until `lost` returns the reason why nobody may see its rows any more.
    pub(crate) fn start(mut self, cpu: &CpuRuntime, lost: BoxFuture<'static, Error>) -> Batches {
        let (sender, receiver) = mpsc::channel(BATCHES_IN_FLIGHT);
        let (deadline, progress) = (self.deadline, self.progress.clone());
        let (stop, stopped) = (self.stop.clone(), Box::pin(self.stop.stopped()));
        let (query, principal, work) = (self.query.clone(), self.principal.clone(), self.work.clone());
        let recording = self.recording.take();
        let task = cpu.spawn(&query, &principal, self.drive(sender, lost));
        Batches { receiver, task, ended: false, deadline, progress, stop, stopped, work, recording, timer: None }
    }

    async fn drive(self, sender: mpsc::Sender<Result<RowPart>>, lost: BoxFuture<'static, Error>) {
        let deadline = self.deadline;
        let (progress, stop, guard) = (self.progress.clone(), self.stop.clone(), self.guard.clone());
        let work = self.work.clone();
        let outcome = tokio::select! {
            biased;
            () = stop.stopped() => Ok(Err(stop.error())),
            reason = lost => {
                stop.end(reason);
                Ok(Err(stop.error()))
            }
            outcome = tokio::time::timeout_at(deadline.into(), self.send_all(&sender)) => outcome,
        };
        let end = match outcome {
            Ok(Ok(())) => {
                progress.finish();
                // The end is explicit: a channel that closes without it was cut short.
                None
            }
            Ok(Err(error)) => Some(stop.instead_of(error)),
            Err(_) => Some(timed_out(&waiting_for(&progress))),
        };
        // The query is no longer listed when its reader sees the end.
        work.end(end.as_ref().map(Error::kind));
        drop(guard);
        if let Some(error) = end {
            // The reader may be gone, and then no one needs the error.
            let _ = sender.send(Err(error)).await;
        }
    }

    async fn send_all(self, sender: &mpsc::Sender<Result<RowPart>>) -> Result<()> {
        let slot = self.slot;
        let mut parts = match self.plan.await? {
            Driven::Plan(plan, context) => conforming(plan, context, self.schema)?,
            Driven::Messages(messages) => messages,
        };
        while let Some(part) = parts.next().await {
            let part = part?;
            self.progress.add_rows(part.rows());
            self.work.has_rows();
            let Some(permit) = room(sender, &slot).await else { return Ok(()) };
            permit.send(Ok(part));
        }
        Ok(())
    }
}

/// Runs a plan, and converts its rows to `schema`.
fn conforming(
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    schema: SchemaRef,
) -> Result<BoxStream<'static, Result<RowPart>>> {
    let rows = execute_stream(plan, context).map_err(|e| from_datafusion(&e))?;
    let conformed =
        rows.map(move |batch| conform(&batch.map_err(|e| from_datafusion(&e))?, &schema).map(RowPart::Batch));
    Ok(conformed.boxed())
}

/// Waits until the reader accepts another batch; `None` if the reader is gone. If the reader pauses, other queries run
/// meanwhile.
async fn room<'a, T>(sender: &'a mpsc::Sender<T>, slot: &Slot) -> Option<mpsc::Permit<'a, T>> {
    if let Ok(permit) = tokio::time::timeout(PAUSE, sender.reserve()).await {
        return permit.ok();
    }
    let _paused = slot.paused();
    sender.reserve().await.ok()
}

/// Describes the sites that have not finished, for the message of a deadline.
fn waiting_for(progress: &ProgressHandle) -> String {
    let waiting: Vec<String> = progress
        .now()
        .edges
        .into_iter()
        .filter(|e| !e.finished)
        .map(|e| format!("{} at {}", e.domains.join(", "), e.site))
        .collect();
    if waiting.is_empty() { String::new() } else { format!(", waiting for {}", waiting.join(" and ")) }
}

impl Batches {
    /// Returns the error of a plan that has not reported its end in time. A stopped plan has the same time as one past
    /// its deadline.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let was_stopped = self.stopped.as_mut().poll(cx).is_ready();
        if was_stopped && self.deadline > Instant::now() {
            self.deadline = Instant::now();
            self.timer = None;
        }
        let due = self.deadline + GRACE;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due.into())));
        std::task::ready!(timer.as_mut().poll(cx));
        Poll::Ready(if was_stopped { self.stop.error() } else { timed_out(&waiting_for(&self.progress)) })
    }

    /// Waits until the record of the read is durable.
    fn poll_recorded(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(recording) = &mut self.recording else { return Poll::Ready(Ok(())) };
        match recording.poll_durable(cx) {
            Poll::Ready(durable) => Poll::Ready(durable),
            Poll::Pending => self.poll_overdue(cx).map(Err),
        }
    }

    /// Counts an item that leaves in the record of the read. The caller may have put an error in the place of the item.
    pub(crate) fn record(&mut self, item: Option<&Result<RowPart>>) {
        if let Some(recording) = &mut self.recording {
            recording.observe(item);
        }
    }

    /// Stops the plan, and returns the last item.
    fn stop_with(&mut self, error: Error) -> Option<Result<RowPart>> {
        self.ended = true;
        self.task.abort();
        self.work.end(Some(error.kind()));
        Some(Err(error))
    }

    /// Returns the next item of the plan.
    fn poll_plan(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<RowPart>>> {
        let Poll::Ready(item) = self.receiver.poll_recv(cx) else {
            let error = std::task::ready!(self.poll_overdue(cx));
            return Poll::Ready(self.stop_with(error));
        };
        if let Some(item) = item {
            self.ended = item.is_err();
            return Poll::Ready(Some(item));
        }
        // The channel is closed, and only the task knows whether the plan ended well. A plan that panicked or was
        // stopped must not pass for complete.
        let outcome = std::task::ready!(Pin::new(&mut self.task).poll(cx));
        self.ended = true;
        let error = outcome
            .err()
            .map(|e| Error::new(ErrorKind::Internal, "the query was stopped before its end").with_source(e));
        self.work.end(error.as_ref().map(Error::kind));
        Poll::Ready(error.map(Err))
    }
}

impl Stream for Batches {
    type Item = Result<RowPart>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let item = match std::task::ready!(self.poll_recorded(cx)) {
            Ok(()) => std::task::ready!(self.poll_plan(cx)),
            Err(error) => self.stop_with(error),
        };
        Poll::Ready(item)
    }
}
