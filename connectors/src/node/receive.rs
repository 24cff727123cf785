//! Reads the rows of a fragment from a node's Flight stream. A task of the I/O runtime reads the network, and the
//! consumer decodes the rows, or relays them. A few messages wait between them. Everything that a node sends is checked,
//! except most values of rows that are relayed.

mod source;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use arrow::array::RecordBatchOptions;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow_flight::FlightData;
use arrow_flight::error::FlightError;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout_at;
use tonic::Streaming;

pub(super) use self::source::RowForm;
use self::source::{Arrived, Part, Source};
use super::protocol::{HASHED_BY, MAX_HASH_IDENTITY};
use super::status::from_status;
use crate::error::{Error, ErrorKind, Result};
use crate::fragment::{FragmentItem, FragmentStream, FragmentSummary};
use crate::label::ResultLabel;
use crate::site::SiteId;

/// The largest number of messages that wait between the network and the consumer.
const WAITING_MESSAGES: usize = 4;

/// Returns the rows of the fragment whose answer is `answer`, in this form. Dropping the stream ends the task that reads
/// the network. This resets the request, and stops the work at the node.
pub(super) fn fragment_stream(
    site: SiteId,
    schema: SchemaRef,
    form: RowForm,
    deadline: Instant,
    answer: Streaming<FlightData>,
    io: &Handle,
) -> FragmentStream {
    let (messages, waiting) = mpsc::channel(WAITING_MESSAGES);
    let mut reader = JoinSet::new();
    reader.spawn_on(read(site.clone(), deadline, answer, messages), io);
    decode(site, schema, form, waiting, reader)
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
    /// The application's metadata of the first message.
    label: OnceLock<Bytes>,
    summary: OnceLock<Bytes>,
}

struct Decoding {
    site: SiteId,
    schema: SchemaRef,
    source: Source,
    shared: Arc<StreamState>,
    rows: u64,
    schema_seen: bool,
    /// The second item of the first message.
    waiting: Option<FragmentItem>,
    done: bool,
    _reader: JoinSet<()>,
}

fn decode(
    site: SiteId,
    schema: SchemaRef,
    form: RowForm,
    waiting: mpsc::Receiver<Result<FlightData>>,
    reader: JoinSet<()>,
) -> FragmentStream {
    let shared = Arc::new(StreamState::default());
    let arrived = Arrived::new(site.clone(), waiting, shared.clone());
    let source = Source::new(arrived, &schema, form);
    let state = Decoding {
        site,
        schema,
        source,
        shared,
        rows: 0,
        schema_seen: false,
        waiting: None,
        done: false,
        _reader: reader,
    };
    stream::unfold(state, |mut state| async move {
        if state.done {
            return None;
        }
        let item = state.next().await;
        state.done = matches!(item, Err(_) | Ok(FragmentItem::Finished(_)));
        Some((item, state))
    })
    .boxed()
}

impl Decoding {
    async fn next(&mut self) -> Result<FragmentItem> {
        if let Some(item) = self.waiting.take() {
            return Ok(item);
        }
        loop {
            // The decoder panics on some malformed messages. The panic becomes an error about the node.
            let part = AssertUnwindSafe(self.source.next())
                .catch_unwind()
                .await
                .map_err(|_| self.wrong("it sent rows that cannot be decoded"))?;
            let Some(part) = part else { return self.finish() };
            match part.map_err(|e| self.decoding_error(e))? {
                Part::Columns(_) if self.schema_seen => return Err(self.wrong("it sent a second schema")),
                Part::Columns(theirs) => {
                    self.check_schema(&theirs)?;
                    self.schema_seen = true;
                    let hashes = self.hashes(&theirs)?;
                    let hashes = hashes.iter().any(Option::is_some).then_some(FragmentItem::Hashes(hashes));
                    if let Some(label) = self.shared.label.get().filter(|label| !label.is_empty()) {
                        self.waiting = hashes;
                        return self.label(label).map(FragmentItem::Label);
                    }
                    if let Some(hashes) = hashes {
                        return Ok(hashes);
                    }
                }
                Part::Batch(batch) => {
                    self.rows += batch.num_rows() as u64;
                    let batch = self.conform(batch)?;
                    return Ok(FragmentItem::Batch { batch, wire_bytes: self.wire_bytes() });
                }
                Part::Message(_) if !self.schema_seen => return Err(self.wrong("it sent rows before their columns")),
                Part::Message(message) => {
                    self.rows += message.rows as u64;
                    return Ok(FragmentItem::Relayed { message, wire_bytes: self.wire_bytes() });
                }
            }
        }
    }

    /// Returns the bytes that have arrived since the last call.
    fn wire_bytes(&self) -> usize {
        self.shared.wire_bytes.swap(0, Ordering::Relaxed)
    }

    fn finish(&self) -> Result<FragmentItem> {
        let Some(summary) = self.shared.summary.get() else {
            return Err(self.wrong("its rows were cut short"));
        };
        let mut summary: FragmentSummary = serde_json::from_slice(summary)
            .map_err(|e| self.wrong("the summary of its rows is malformed").with_source(e))?;
        summary.label = summary.label.map(|label| label.bounded());
        if summary.rows != self.rows {
            return Err(self
                .wrong(&format!("its rows were cut short: got {} rows, but it reports {}", self.rows, summary.rows)));
        }
        Ok(FragmentItem::Finished(summary))
    }

    fn label(&self, label: &[u8]) -> Result<ResultLabel> {
        let label: ResultLabel = serde_json::from_slice(label)
            .map_err(|e| self.wrong("the label of its rows is malformed").with_source(e))?;
        Ok(label.bounded())
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

    /// Returns the identity of each column's hash.
    fn hashes(&self, theirs: &Schema) -> Result<Vec<Option<String>>> {
        let hashes: Vec<_> = theirs.fields().iter().map(|field| field.metadata().get(HASHED_BY).cloned()).collect();
        match hashes.iter().flatten().all(|hash| hash.len() <= MAX_HASH_IDENTITY) {
            true => Ok(hashes),
            false => Err(self.wrong("it sent a name of a hash that is too long")),
        }
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
