//! A part of the rows of a query: a batch, or a message of an owner that is relayed to the client.

use arrow::record_batch::RecordBatch;
use portolan_connectors::RelayedMessage;

use crate::{Error, ErrorKind, Result};

/// A part of the rows of a query.
#[derive(Clone, Debug)]
pub enum RowPart {
    /// Decoded rows.
    Batch(RecordBatch),
    /// A message of an owner, which goes to the client as it is. It has the columns that the client was announced.
    Message(RelayedMessage),
}

impl RowPart {
    /// Returns the number of rows.
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Batch(batch) => batch.num_rows(),
            Self::Message(message) => message.rows,
        }
    }

    /// Returns the batch.
    ///
    /// # Errors
    /// `Internal` for a message: only a query that may [relay](crate::server::Relay) rows has messages.
    pub fn into_batch(self) -> Result<RecordBatch> {
        match self {
            Self::Batch(batch) => Ok(batch),
            Self::Message(_) => Err(Error::new(ErrorKind::Internal, "expected decoded rows, got a relayed message")),
        }
    }
}

impl From<RecordBatch> for RowPart {
    fn from(batch: RecordBatch) -> Self {
        Self::Batch(batch)
    }
}
