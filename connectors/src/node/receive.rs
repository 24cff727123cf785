//! Reads the rows of a fragment from a node's Flight stream. A task of the I/O runtime reads the network, and the
//! consumer decodes the rows. A few messages wait between them. Everything that a node sends is checked.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use arrow::array::RecordBatchOptions;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow_flight::FlightData;
use arrow_flight::decode::{DecodedPayload, FlightDataDecoder};
use arrow_flight::error::FlightError;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout_at;
use tonic::Streaming;

use super::checksum::StreamChecksum;
use super::message::check_message;
use super::protocol::AGAINST_DAMAGE;
use super::status::from_status;
use crate::error::{Error, ErrorKind, Result};
use crate::fragment::{FragmentItem, FragmentStream, FragmentSummary};
use crate::site::SiteId;

/// The largest number of messages that wait between the network and the consumer.
const WAITING_MESSAGES: usize = 4;

/// Returns the rows of the fragment whose answer is `answer`. Dropping the stream ends the task that reads the network.
/// This resets the request, and stops the work at the node.
pub(super) fn fragment_stream(
    site: SiteId,
    schema: SchemaRef,
    deadline: Instant,
    answer: Streaming<FlightData>,
    io: &Handle,
) -> FragmentStream {
    let (messages, waiting) = mpsc::channel(WAITING_MESSAGES);
    let mut reader = JoinSet::new();
    reader.spawn_on(read(site.clone(), deadline, answer, messages), io);
    decode(site, schema, waiting, reader)
}

/// Reads the network until the answer ends, an error occurs, or the consumer drops the stream.
async fn read(
    site: SiteId,
    deadline: Instant,
    mut answer: Streaming<FlightData>,
    messages: mpsc::Sender<Result<FlightData>>,
) {
    loop {
        let item = match timeout_at(deadline.into(), answer.message()).await {
            Ok(Ok(Some(data))) => Ok(data),
            Ok(Ok(None)) => return,
            Ok(Err(status)) => Err(from_status(&status, &site)),
            Err(_) => {
                Err(Error::new(ErrorKind::DeadlineExceeded, format!("node {site}: its rows did not arrive in time")))
            }
        };
        let last = item.is_err();
        if messages.send(item).await.is_err() || last {
            return;
        }
    }
}

/// The state of a stream that the network reader and the decoder share.
#[derive(Default)]
struct StreamState {
    wire_bytes: AtomicUsize,
    summary: OnceLock<Bytes>,
}

/// The messages that have arrived from the network and are not decoded yet.
struct Arrived {
    site: SiteId,
    waiting: mpsc::Receiver<Result<FlightData>>,
    checksum: StreamChecksum,
    shared: Arc<StreamState>,
}

struct Decoding {
    site: SiteId,
    schema: SchemaRef,
    decoder: FlightDataDecoder,
    shared: Arc<StreamState>,
    rows: u64,
    schema_seen: bool,
    done: bool,
    _reader: JoinSet<()>,
}

fn decode(
    site: SiteId,
    schema: SchemaRef,
    waiting: mpsc::Receiver<Result<FlightData>>,
    reader: JoinSet<()>,
) -> FragmentStream {
    let shared = Arc::new(StreamState::default());
    let arrived = Arrived { site: site.clone(), waiting, checksum: StreamChecksum::default(), shared: shared.clone() };
    let messages = stream::unfold(arrived, |mut arrived| async move {
        let item = arrived.next().await?;
        Some((item, arrived))
    });
    let decoder = FlightDataDecoder::new(messages);
    let state = Decoding { site, schema, decoder, shared, rows: 0, schema_seen: false, done: false, _reader: reader };
    stream::unfold(state, |mut state| async move {
        if state.done {
            return None;
        }
        let item = state.next().await;
        state.done = !matches!(item, Ok(FragmentItem::Batch { .. }));
        Some((item, state))
    })
    .boxed()
}

impl Arrived {
    /// Returns the next message; `None` after the last one.
    async fn next(&mut self) -> Option<Result<FlightData, FlightError>> {
        match self.waiting.recv().await? {
            Ok(data) => self.admit(data).transpose(),
            Err(error) => Some(Err(external(error))),
        }
    }

    /// Counts the bytes of a message, and checks the message before it is decoded. Returns `None` for the summary, which
    /// is the end.
    fn admit(&mut self, data: FlightData) -> Result<Option<FlightData>, FlightError> {
        let bytes = data.data_header.len() + data.data_body.len() + data.app_metadata.len();
        self.shared.wire_bytes.fetch_add(bytes, Ordering::Relaxed);
        let Some(metadata) = self.checksum.open(&data) else {
            let what = "its rows were damaged on the way: the checksum of a message is missing or wrong";
            return Err(external(wrong(&self.site, &format!("{what}; {AGAINST_DAMAGE}"))));
        };
        if data.data_header.is_empty() {
            let _ = self.shared.summary.set(metadata);
            return Ok(None);
        }
        check_message(&data).map_err(FlightError::DecodeError)?;
        Ok(Some(data))
    }
}

fn external(error: Error) -> FlightError {
    FlightError::from_external_error(Box::new(error))
}

impl Decoding {
    async fn next(&mut self) -> Result<FragmentItem> {
        loop {
            // The decoder panics on some malformed messages. The panic becomes an error about the node.
            let decoded = AssertUnwindSafe(self.decoder.next())
                .catch_unwind()
                .await
                .map_err(|_| self.wrong("it sent rows that cannot be decoded"))?;
            let Some(decoded) = decoded else { return self.finish() };
            match decoded.map_err(|e| self.decoding_error(e))?.payload {
                DecodedPayload::None => {}
                DecodedPayload::Schema(_) if self.schema_seen => {
                    return Err(self.wrong("it sent a second schema"));
                }
                DecodedPayload::Schema(theirs) => {
                    self.check_schema(&theirs)?;
                    self.schema_seen = true;
                }
                DecodedPayload::RecordBatch(batch) => {
                    self.rows += batch.num_rows() as u64;
                    let batch = self.conform(batch)?;
                    let wire_bytes = self.shared.wire_bytes.swap(0, Ordering::Relaxed);
                    return Ok(FragmentItem::Batch { batch, wire_bytes });
                }
            }
        }
    }

    fn finish(&self) -> Result<FragmentItem> {
        let Some(summary) = self.shared.summary.get() else {
            return Err(self.wrong("its rows were cut short"));
        };
        let summary: FragmentSummary = serde_json::from_slice(summary)
            .map_err(|e| self.wrong("the summary of its rows is malformed").with_source(e))?;
        if summary.rows != self.rows {
            return Err(self
                .wrong(&format!("its rows were cut short: got {} rows, but it reports {}", self.rows, summary.rows)));
        }
        Ok(FragmentItem::Finished(summary))
    }

    fn check_schema(&self, theirs: &Schema) -> Result<()> {
        let ours = self.schema.fields();
        if theirs.fields().len() != ours.len() {
            return Err(self.wrong(&format!("expected {} columns, got {}", ours.len(), theirs.fields().len())));
        }
        for (place, (theirs, ours)) in theirs.fields().iter().zip(ours).enumerate() {
            if theirs.data_type() != ours.data_type() {
                return Err(self.wrong(&format!(
                    "column {} (`{}`): expected {}, got {}",
                    place + 1,
                    ours.name(),
                    ours.data_type(),
                    theirs.data_type()
                )));
            }
        }
        Ok(())
    }

    /// Returns the batch with the requested names and nullability. Rejects NULL in a column that may have none.
    fn conform(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), batch.columns().to_vec(), &options)
            .map_err(|e| self.wrong("it sent rows that do not match the requested schema").with_source(e))
    }

    fn decoding_error(&self, error: FlightError) -> Error {
        match error {
            FlightError::ExternalError(inner) => match inner.downcast::<Error>() {
                Ok(ours) => *ours,
                Err(other) => self.wrong("it sent rows that cannot be decoded").with_source(other),
            },
            other => self.wrong("it sent rows that cannot be decoded").with_source(other),
        }
    }

    fn wrong(&self, what: &str) -> Error {
        wrong(&self.site, what)
    }
}

fn wrong(site: &SiteId, what: &str) -> Error {
    Error::new(ErrorKind::SiteUnavailable, format!("node {site}: {what}"))
}

#[cfg(test)]
mod tests;
