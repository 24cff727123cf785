//! Runs queries: reads the rows of `COPY` on one connection, or on several if the rows are ranges of one large table.
//!
//! A task for each connection decodes the rows while another task of the connection reads the socket. The stream gets
//! batches through a bounded channel. If the stream is dropped, each task ends, and its session cancels its statement.

use std::pin::Pin;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::sleep_until;
use tokio_postgres::CopyOutStream;

use super::Shared;
use super::errors::Work;
use super::ranges::{Ranges, ranges};
use super::rows::{Fault, RowDecoder};
use super::session::{Access, Session};
use crate::databases::{Origin, RunContext};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::SqlQuery;

/// The number of batches of each connection that wait for the reader of the stream.
const BUFFERED: usize = 2;

/// Runs a query and returns its rows.
pub(super) async fn query(
    shared: &Arc<Shared>,
    query: SqlQuery,
    schema: SchemaRef,
    context: RunContext,
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let decoder = RowDecoder::new(schema.clone()).map_err(|e| e.within(&shared.origin.shown))?;
    let mut session = Session::open(shared, Access::Read, Work::Read, &context).await?;
    let may_divide = query.ranges.is_some() && shared.scan_connections > 1;
    let (ranges, others) = match may_divide {
        true => {
            session.begin().await?;
            ranges(shared, &mut session, &query, &context).await?
        }
        false => (Ranges::whole(), vec![]),
    };
    let first = ranges.next().flatten().map_or_else(|| query.text.clone(), |condition| query.in_range(&condition));
    let rows = if may_divide { session.copy(&first).await? } else { session.begin_with(&first).await? };
    let ranges = Arc::new(ranges);
    let readers = 1 + others.len();
    let (sender, receiver) = channel(BUFFERED * readers);
    let reader = |session, decoder| {
        let (ranges, query, sender) = (ranges.clone(), query.clone(), sender.clone());
        Reader { session, decoder, ranges, query, sender, origin: shared.origin.clone() }
    };
    for other in others {
        let decoder = RowDecoder::new(schema.clone())?;
        tokio::spawn(reader(other, decoder).run(None));
    }
    tokio::spawn(reader(session, decoder).run(Some(rows)));
    Ok(received(receiver, readers, shared.origin.clone()).boxed())
}

/// A message from a task to the stream.
enum Item {
    Rows(RecordBatch),
    Failed(Error),
    /// The task has sent all its rows.
    End,
}

/// Returns the batches of all tasks. The stream ends only after each task has sent its end: a task that panics must not
/// look like one that has no more rows.
fn received(receiver: Receiver<Item>, readers: usize, origin: Origin) -> impl Stream<Item = Result<RecordBatch>> {
    stream::unfold(Some((receiver, readers, origin)), |state| async {
        let (mut receiver, mut readers, origin) = state?;
        while readers > 0 {
            match receiver.recv().await {
                Some(Item::Rows(batch)) => return Some((Ok(batch), Some((receiver, readers, origin)))),
                Some(Item::Failed(error)) => return Some((Err(error), None)),
                Some(Item::End) => readers -= 1,
                None => {
                    let what = format!("{}: the task that reads rows ended abnormally", origin.shown);
                    return Some((Err(Error::new(ErrorKind::Internal, what)), None));
                }
            }
        }
        None
    })
}

/// A task that reads rows on one connection.
struct Reader {
    session: Session,
    decoder: RowDecoder,
    ranges: Arc<Ranges>,
    query: SqlQuery,
    sender: Sender<Item>,
    origin: Origin,
}

/// The reason why a task ends before its last row.
enum Stop {
    /// Nobody reads the stream.
    Abandoned,
    Failed(Error),
}

impl Reader {
    /// Sends the rows of a query that was started, and then those of the ranges that are left.
    async fn run(mut self, started: Option<Pin<Box<CopyOutStream>>>) {
        match self.read_all(started).await {
            Ok(()) => {
                let Self { session, sender, .. } = self;
                if sender.send(Item::End).await.is_ok() {
                    drop(sender);
                    // All rows were sent, so nobody needs the error.
                    if let Err(error) = session.commit().await {
                        tracing::debug!(error = %error.owner_chain(), "a transaction that has read rows could not be ended");
                    }
                }
            }
            Err(Stop::Abandoned) => {}
            Err(Stop::Failed(error)) => {
                let Self { session, sender, .. } = self;
                // The connection does not wait for the reader of the error.
                drop(session);
                let _ = sender.send(Item::Failed(error)).await;
            }
        }
    }

    async fn read_all(&mut self, started: Option<Pin<Box<CopyOutStream>>>) -> Result<(), Stop> {
        if let Some(mut rows) = started {
            self.read(&mut rows).await?;
        }
        while let Some(Some(condition)) = self.ranges.next() {
            let sql = self.query.in_range(&condition);
            let mut rows = self.session.copy(&sql).await.map_err(Stop::Failed)?;
            self.decoder.restart();
            self.read(&mut rows).await?;
        }
        Ok(())
    }

    /// Sends the rows of one COPY.
    async fn read(&mut self, rows: &mut Pin<Box<CopyOutStream>>) -> Result<(), Stop> {
        let mut is_last = false;
        while !is_last {
            let (sender, until) = (self.sender.clone(), self.session.until());
            let batch = tokio::select! {
                biased;
                () = sender.closed() => return Err(Stop::Abandoned),
                () = sleep_until(until.into()) => return Err(Stop::Failed(self.origin.late())),
                batch = self.batch(rows, &mut is_last) => batch.map_err(Stop::Failed)?,
            };
            let Some(batch) = batch else { continue };
            tokio::select! {
                sent = sender.send(Item::Rows(batch)) => sent.map_err(|_| Stop::Abandoned)?,
                () = sleep_until(until.into()) => return Err(Stop::Failed(self.origin.late())),
            }
        }
        Ok(())
    }

    /// Reads rows until they fill a batch, or until the end.
    async fn batch(&mut self, rows: &mut Pin<Box<CopyOutStream>>, is_last: &mut bool) -> Result<Option<RecordBatch>> {
        let fault = |fault: Fault, origin: &Origin| fault.error(origin);
        while !self.decoder.is_full() {
            match rows.next().await {
                Some(Ok(chunk)) => self.decoder.push(&chunk).map_err(|e| fault(e, &self.origin))?,
                Some(Err(cause)) => return Err(self.session.failed(cause)),
                None => {
                    self.session.ends();
                    self.decoder.end().map_err(|e| fault(e, &self.origin))?;
                    *is_last = true;
                    break;
                }
            }
        }
        self.decoder.take().map_err(|e| fault(e, &self.origin))
    }
}
