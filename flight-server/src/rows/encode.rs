//! Rows as streams of Flight messages. A stream ends early if its statement is cancelled or the server stops.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions};
use arrow::record_batch::RecordBatch;
use arrow_flight::{FlightData, IpcMessage, SchemaAsIpc};
use bytes::Bytes;
use futures::stream;
use futures::{Stream, StreamExt, TryStreamExt};
use portolan_connectors::node::checksum::StreamChecksum;
use portolan_connectors::node::protocol::{HASHED_BY, TARGET_MESSAGE_BYTES};
use portolan_connectors::{FragmentSummary, RelayedColumns, RelayedMessage, ResultLabel, lock};
use portolan_engine::server::RowPart;
use portolan_engine::{Compression, Error, ErrorKind, QueryStream, Result, server};
use tokio_util::sync::CancellationToken;

use super::ipc_messages::Encoder;
use super::split::split;
use super::wire_schema::{Strings, plain_schema, to_wire};
use crate::dispatch::{Message, Messages};
use crate::failure::{arrow, statement_cancelled};

/// Encodes the rows of a statement with the columns that clients see, compressed as the session's settings require. An
/// owner's messages stay as they are, also if the session has asked for compression after the query started.
pub(crate) fn statement_messages(
    rows: impl Stream<Item = Result<RowPart>> + Send + 'static,
    schema: SchemaRef,
    compression: Compression,
) -> Result<Messages> {
    let codec = match compression {
        Compression::Lz4 => Some(CompressionType::LZ4_FRAME),
        Compression::Zstd => Some(CompressionType::ZSTD),
        _ => None,
    };
    let options = IpcWriteOptions::default().try_with_compression(codec).map_err(arrow)?;
    Ok(messages(rows, schema, options))
}

/// Encodes the rows of a table about the catalog. Each batch is created when the client has read the one before it.
pub(crate) fn table_messages(
    schema: SchemaRef,
    batches: impl Iterator<Item = Result<RecordBatch>> + Send + 'static,
) -> Messages {
    messages(stream::iter(batches), schema, IpcWriteOptions::default())
}

/// Encodes an empty result with these columns.
pub(crate) fn no_rows(schema: SchemaRef) -> Messages {
    messages(stream::empty::<Result<RowPart>>(), schema, IpcWriteOptions::default())
}

/// Encodes the rows of a fragment, appends the summary, and adds the checksums with which the receiver finds damage. The
/// rows stay unchanged unless the receiver relays them. The columns name the hashes of policies.
pub(crate) fn fragment_messages(rows: QueryStream, relayed: Option<RelayedColumns>) -> Messages {
    let (schema, edge, hashed) = (rows.schema(), server::edge(&rows), server::hashed_columns(&rows));
    let is_plain = relayed == Some(RelayedColumns::Plain);
    let schema = if is_plain { Arc::new(plain_schema(&schema, Strings::Plain)) } else { schema };
    let label = rows.progress().now().label;
    let summary = Arc::new(Mutex::new(None));
    let of_rows = edge.clone();
    let rows = counted(rows, summary.clone()).inspect_ok(move |batch| of_rows.add(batch.num_rows() as u64, 0));
    let columns = schema.clone();
    let rows = rows.map(move |batch| if is_plain { to_wire(&batch?, &columns) } else { batch });
    let end = stream::once(async move {
        // Only a successful fragment has a summary.
        let summary = lock(&summary).take();
        match summary.as_ref().map(serde_json::to_vec) {
            Some(Ok(json)) => Ok(FlightData { app_metadata: json.into(), ..FlightData::default() }.into()),
            Some(Err(e)) => {
                Err(Error::new(ErrorKind::Internal, "the summary of a fragment cannot be encoded").with_source(e))
            }
            None => Err(Error::new(ErrorKind::Internal, "a fragment ended without its summary")),
        }
    });
    let options = IpcWriteOptions::default();
    let rows = encoded(rows, &schema, options.clone());
    let columns = move || schema_message(&with_hashes(&schema, &hashed.of_result()), &options);
    let rows = labelled(after_first(rows, columns), &label);
    let messages = sealed(rows.chain(end));
    messages.inspect_ok(move |message| edge.add(0, message.size() as u64)).boxed()
}

/// Puts the columns before the messages of rows, when the first rows or the end have come. The hashes of columns that
/// other owners send are known only then. The error of a fragment without rows comes alone.
fn after_first(rows: Messages, columns: impl FnOnce() -> Message + Send + 'static) -> Messages {
    let all = stream::once(async move {
        let mut rows = rows.peekable();
        let has_failed = matches!(Pin::new(&mut rows).peek().await, Some(Err(_)));
        let columns = (!has_failed).then(|| Ok(columns()));
        stream::iter(columns).chain(rows)
    });
    all.flatten().boxed()
}

/// Returns the columns with the identities of their hashes.
fn with_hashes(schema: &Schema, hashes: &[Option<String>]) -> Schema {
    let fields = schema.fields().iter().enumerate().map(|(index, field)| match hashes.get(index) {
        Some(Some(hash)) => {
            let mut metadata = field.metadata().clone();
            metadata.insert(HASHED_BY.to_owned(), hash.clone());
            Arc::new(field.as_ref().clone().with_metadata(metadata))
        }
        _ => field.clone(),
    });
    Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone())
}

/// Adds a label that people are shown to the first message, as the application's metadata in JSON.
pub(crate) fn labelled(messages: Messages, label: &ResultLabel) -> Messages {
    if !label.is_notable() {
        return messages;
    }
    // A label consists of strings and numbers, so that its encoding does not fail.
    let mut json = serde_json::to_vec(label).ok().map(Bytes::from);
    let labelled = messages.map_ok(move |message| match json.take() {
        Some(json) => message.with_app_metadata(json),
        None => message,
    });
    labelled.boxed()
}

/// Adds the running checksum to each message.
fn sealed(messages: impl Stream<Item = Result<Message>> + Send + 'static) -> Messages {
    let mut checksum = StreamChecksum::default();
    let sealed = messages.map_ok(move |message| {
        let metadata = checksum.seal(message.header(), message.body(), message.app_metadata());
        message.with_app_metadata(metadata)
    });
    sealed.boxed()
}

/// Encodes a schema as the message that Flight SQL puts it in.
pub(crate) fn ipc_schema(schema: &Schema) -> Result<Bytes> {
    let options = IpcWriteOptions::default();
    let message: IpcMessage = SchemaAsIpc::new(schema, &options).try_into().map_err(arrow)?;
    Ok(message.0)
}

/// Ends `messages` with an error when `cancelled` or `stopping` is triggered.
pub(crate) fn until_cancelled(
    messages: Messages,
    cancelled: CancellationToken,
    stopping: CancellationToken,
) -> Messages {
    stream::unfold(Some(messages), move |messages| {
        let (cancelled, stopping) = (cancelled.clone(), stopping.clone());
        async move {
            let mut messages = messages?;
            let item = tokio::select! {
                biased;
                () = cancelled.cancelled() => Some(Err(statement_cancelled())),
                () = stopping.cancelled() => Some(Err(Error::new(ErrorKind::SiteUnavailable, "this node is stopping"))),
                item = messages.next() => item,
            }?;
            let rest = item.is_ok().then_some(messages);
            Some((item, rest))
        }
    })
    .boxed()
}

/// The statistics of a fragment's rows.
struct FragmentCount {
    rows: u64,
    started: bool,
    /// The time spent waiting for the rows after the first ones.
    producing: Duration,
}

/// Counts the rows of a fragment. At their end, it puts the engine's summary into `summary`.
fn counted(
    rows: QueryStream,
    summary: Arc<Mutex<Option<FragmentSummary>>>,
) -> impl Stream<Item = Result<RecordBatch>> + Send {
    let counted = FragmentCount { rows: 0, started: false, producing: Duration::ZERO };
    stream::unfold((Box::pin(rows), counted, summary), |(mut rows, mut counted, summary)| async move {
        let asked = Instant::now();
        let item = rows.next().await;
        if counted.started {
            counted.producing += asked.elapsed();
        }
        match item {
            Some(Ok(batch)) => {
                counted.started = true;
                counted.rows += batch.num_rows() as u64;
                Some((Ok(batch), (rows, counted, summary)))
            }
            Some(Err(e)) => Some((Err(e), (rows, counted, summary))),
            None => {
                let producing_ms = u64::try_from(counted.producing.as_millis()).ok();
                let told = FragmentSummary { rows: counted.rows, producing_ms, ..server::summary(&rows) };
                *lock(&summary) = Some(told);
                None
            }
        }
    })
}

fn messages<P: Into<RowPart> + Send + 'static>(
    rows: impl Stream<Item = Result<P>> + Send + 'static,
    schema: SchemaRef,
    options: IpcWriteOptions,
) -> Messages {
    // The schema is sent before the first row arrives.
    let first = stream::iter([Ok(schema_message(&schema, &options))]);
    first.chain(encoded(rows, &schema, options)).boxed()
}

fn schema_message(schema: &Schema, options: &IpcWriteOptions) -> Message {
    let mut dictionaries = DictionaryTracker::new(false);
    let schema =
        IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(schema, &mut dictionaries, options);
    Message::from(FlightData::from(schema))
}

/// Encodes the rows, without their columns.
fn encoded<P: Into<RowPart> + Send + 'static>(
    rows: impl Stream<Item = Result<P>> + Send + 'static,
    schema: &SchemaRef,
    options: IpcWriteOptions,
) -> Messages {
    let mut encoder = match Encoder::new(schema, options) {
        Ok(encoder) => encoder,
        Err(e) => return stream::iter([Err(e)]).boxed(),
    };
    let pieces = rows.map_ok(|part| stream::iter(pieces_of(part.into()).into_iter().map(Ok::<_, Error>))).try_flatten();
    let messages = pieces.map(move |piece| {
        let messages = match piece? {
            RowPart::Batch(batch) => encoder.batch(&batch)?,
            RowPart::Message(RelayedMessage { header, body, .. }) => vec![Message::new(header, vec![body])],
        };
        Ok::<_, Error>(stream::iter(messages.into_iter().map(Ok::<_, Error>)))
    });
    messages.try_flatten().boxed()
}

/// Splits a batch into pieces that fit into messages. A message stays whole: its owner has split the rows.
fn pieces_of(part: RowPart) -> Vec<RowPart> {
    match part {
        RowPart::Batch(batch) => split(batch, TARGET_MESSAGE_BYTES).into_iter().map(RowPart::Batch).collect(),
        message @ RowPart::Message(_) => vec![message],
    }
}

#[cfg(test)]
mod tests;
