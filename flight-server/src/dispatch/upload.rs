//! Uploads of `DoPut`: their messages, with a timeout for each, and the rows in them.

use std::future::{Ready, ready};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrow_flight::FlightData;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use datafusion::physical_plan::spill::get_record_batch_memory_size;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use portolan_connectors::node::message::{added_to_dictionary, check_message};
use portolan_engine::{Error, ErrorKind, Result};
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::failure::invalid;
use crate::listener::{AbortFlag, is_undecodable, too_large, undecodable};

/// The bytes that count for a batch in addition to its rows, and the bytes that an upload may append to dictionaries
/// that it sent earlier.
const OF_A_BATCH: usize = 256;
const ADDED_TO_DICTIONARIES: usize = 64 << 20;
/// The largest number of parameter rows in an upload.
const ROWS: usize = 4 << 20;
/// The longest wait for the next message of an upload.
const NEXT_MESSAGE: Duration = Duration::from_secs(30);

/// The messages of a `DoPut`. The first one has the descriptor.
pub struct Upload {
    first: FlightData,
    rest: BoxStream<'static, Result<FlightData>>,
}

/// The rows of an upload, read as they arrive.
pub struct UploadedRows {
    /// The columns; `None` if the upload has no schema.
    pub schema: Option<SchemaRef>,
    /// The rows.
    pub batches: BoxStream<'static, Result<RecordBatch>>,
}

impl Upload {
    /// Waits for the first message. `message_bytes` is the listener's limit for one message. `aborted` is set if the
    /// client aborts the upload.
    pub(super) async fn open(
        messages: impl Stream<Item = Result<FlightData, Status>> + Send + Unpin + 'static,
        message_bytes: usize,
        aborted: AbortFlag,
    ) -> Result<Self> {
        let mut rest = bounded(messages, message_bytes, aborted).boxed();
        let first = rest.try_next().await?.ok_or_else(|| invalid("the upload is empty"))?;
        Ok(Self { first, rest })
    }

    /// Returns the message with the descriptor.
    pub fn first(&self) -> &FlightData {
        &self.first
    }

    /// Reads the upload as far as its columns.
    ///
    /// # Errors
    /// `InvalidQuery` if the messages are not rows.
    pub async fn rows(self) -> Result<UploadedRows> {
        let messages = stream::iter([Ok(self.first)])
            .chain(self.rest)
            .try_filter(|data| ready(!data.data_header.is_empty()))
            .map_err(|error| FlightError::from_external_error(Box::new(error)))
            .and_then(checked());
        let mut decoder = FlightRecordBatchStream::new_from_flight_data(messages);
        let first = next(&mut decoder).await;
        let schema = decoder.schema().cloned();
        let Some(first) = first else { return Ok(UploadedRows { schema, batches: stream::empty().boxed() }) };
        let first = first?;
        let rest = stream::try_unfold(decoder, |mut decoder| async move {
            next(&mut decoder).await.transpose().map(|batch| batch.map(|batch| (batch, decoder)))
        });
        Ok(UploadedRows { schema, batches: stream::iter([Ok(first)]).chain(rest).boxed() })
    }

    /// Reads all rows, with their columns.
    ///
    /// # Errors
    /// As [`Upload::rows`]; `ResourceExhausted` if the rows take more than `bytes`.
    pub async fn all_rows(self, bytes: usize) -> Result<(Option<SchemaRef>, Vec<RecordBatch>)> {
        let UploadedRows { schema, mut batches } = self.rows().await?;
        let (mut all, mut held, mut rows) = (Vec::new(), 0, 0);
        while let Some(batch) = batches.try_next().await? {
            held += OF_A_BATCH + get_record_batch_memory_size(&batch);
            rows += batch.num_rows();
            if held > bytes || rows > ROWS {
                let most = if rows > ROWS { format!("{ROWS} rows") } else { format!("{bytes} bytes") };
                return Err(Error::new(
                    ErrorKind::ResourceExhausted,
                    format!("the parameters of a statement take more than {most}: bind fewer rows at once"),
                ));
            }
            all.push(batch);
        }
        Ok((schema, all))
    }
}

/// Returns a check that accepts only messages that are safe to decode.
fn checked() -> impl FnMut(FlightData) -> Ready<Result<FlightData, FlightError>> {
    let mut added = 0;
    move |data| {
        added += added_to_dictionary(&data);
        ready(match check_message(&data) {
            Ok(()) if added > ADDED_TO_DICTIONARIES => Err(FlightError::DecodeError(format!(
                "the upload appended more than {ADDED_TO_DICTIONARIES} bytes to dictionaries: send new dictionaries"
            ))),
            Ok(()) => Ok(data),
            Err(wrong) => Err(FlightError::DecodeError(wrong)),
        })
    }
}

/// Returns the next rows. The decoder panics on some malformed messages, and such a panic must remain the caller's
/// error.
async fn next(decoder: &mut FlightRecordBatchStream) -> Option<Result<RecordBatch>> {
    match AssertUnwindSafe(decoder.next()).catch_unwind().await {
        Ok(None) => None,
        Ok(Some(Ok(batch))) => Some(Ok(batch)),
        Ok(Some(Err(FlightError::ExternalError(inner)))) => Some(Err(match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) => invalid("the uploaded rows cannot be read").with_source(other),
        })),
        Ok(Some(Err(error))) => Some(Err(invalid("the uploaded rows cannot be read").with_source(error))),
        Err(_) => Some(Err(invalid("the uploaded rows cannot be read"))),
    }
}

/// Returns the messages of an upload, with a timeout for each.
fn bounded(
    messages: impl Stream<Item = Result<FlightData, Status>> + Send + Unpin + 'static,
    message_bytes: usize,
    aborted: AbortFlag,
) -> impl Stream<Item = Result<FlightData>> + Send {
    stream::unfold((messages, aborted), move |(mut messages, aborted)| async move {
        let item = match timeout(NEXT_MESSAGE, messages.next()).await {
            Ok(None) if aborted.is_set() => Err(Error::new(
                ErrorKind::Cancelled,
                "the upload was interrupted before its end: none of its rows are stored",
            )),
            Ok(None) => return None,
            Ok(Some(Ok(data))) => Ok(data),
            Ok(Some(Err(status))) if status.code() == Code::OutOfRange => Err(too_large(message_bytes)),
            Ok(Some(Err(status))) if is_undecodable(&status) => Err(undecodable(status.message())),
            Ok(Some(Err(status))) => {
                Err(Error::new(ErrorKind::Cancelled, format!("the upload was interrupted: {}", status.message())))
            }
            Err(_) => Err(Error::new(ErrorKind::DeadlineExceeded, "the upload sent nothing for 30 seconds")),
        };
        Some((item, (messages, aborted)))
    })
}
