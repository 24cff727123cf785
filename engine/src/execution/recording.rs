//! The audit record of a read or an insert, from its beginning to its end. No row leaves or arrives before the record is
//! durable. The plan of a read runs meanwhile.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use portolan_audit::{Beginning, OpenRead, Outcome};
use tokio::runtime::Handle;

use super::compact::array_bytes;
use super::part::RowPart;
use crate::{Error, ErrorKind, Result};

/// The record of a read or an insert. Dropping it records that the caller dropped the read.
pub(crate) struct Recording(State);

enum State {
    /// The record is not durable yet.
    Beginning(Beginning),
    /// The record is durable, and rows may leave.
    Open(OpenRead),
    /// The end of the read is recorded, or the read is refused.
    Ended,
}

impl Recording {
    /// Returns the record that the store has started to write.
    pub(crate) fn new(beginning: Beginning) -> Self {
        Self(State::Beginning(beginning))
    }

    /// Waits until the record is durable.
    ///
    /// # Errors
    /// `ResourceExhausted` if the disk takes no records, or too many reads wait for it. `Internal` if the store is closed.
    /// The caller then refuses the read.
    pub(crate) async fn durable(&mut self) -> Result<()> {
        poll_fn(|cx| self.poll_durable(cx)).await
    }

    /// Polls [`Recording::durable`].
    pub(crate) fn poll_durable(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let State::Beginning(beginning) = &mut self.0 else { return Poll::Ready(Ok(())) };
        match ready!(Pin::new(beginning).poll(cx)) {
            Ok(read) => {
                self.0 = State::Open(read);
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                self.0 = State::Ended;
                Poll::Ready(Err(refused(&error)))
            }
        }
    }

    /// Counts rows that leave, or records the end: `None` if all rows have left.
    pub(crate) fn observe(&mut self, item: Option<&Result<RowPart>>) {
        match item {
            Some(Ok(RowPart::Batch(batch))) => self.count(batch.num_rows() as u64, array_bytes(batch) as u64),
            Some(Ok(RowPart::Message(message))) => self.count(message.rows as u64, message.body.len() as u64),
            Some(Err(error)) => self.fail(error.kind()),
            None => self.complete(),
        }
    }

    /// Counts rows and bytes that leave or arrive.
    pub(crate) fn count(&mut self, rows: u64, bytes: u64) {
        if let State::Open(read) = &mut self.0 {
            read.sent(rows, bytes);
        }
    }

    /// Records that all rows have left or arrived.
    pub(crate) fn complete(&mut self) {
        self.end(Outcome::Completed);
    }

    /// Records that the read failed, or that a principal cancelled it.
    pub(crate) fn fail(&mut self, kind: ErrorKind) {
        self.end(match kind {
            ErrorKind::Cancelled => Outcome::Cancelled,
            kind => Outcome::Failed { error: kind.name().to_owned() },
        });
    }

    fn end(&mut self, outcome: Outcome) {
        match std::mem::replace(&mut self.0, State::Ended) {
            State::Open(read) => read.end(outcome),
            State::Beginning(beginning) => {
                // The store answers or closes, so that the task ends. Without a runtime, the read counts as dropped.
                if let Ok(runtime) = Handle::try_current() {
                    drop(runtime.spawn(async move {
                        if let Ok(read) = beginning.await {
                            read.end(outcome);
                        }
                    }));
                }
            }
            State::Ended => {}
        }
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            State::Beginning(_) => "Recording(not durable)",
            State::Open(_) => "Recording(durable)",
            State::Ended => "Recording(ended)",
        })
    }
}

/// Returns the error of a query that cannot be recorded. Only the owner sees the folder and the cause.
fn refused(error: &portolan_audit::Error) -> Error {
    const SHOWN: &str = "the query is refused, because its audit record cannot be written";
    let kind = match error.kind() {
        portolan_audit::ErrorKind::Unwritable | portolan_audit::ErrorKind::Busy => ErrorKind::ResourceExhausted,
        _ => ErrorKind::Internal,
    };
    let shown = format!("{SHOWN}: try again later; the log of the owner's node has the reason");
    Error::new(kind, shown).for_owner(format!("{SHOWN}: {error}"))
}
