//! Rows as streams of Flight messages. A stream ends early if its statement is cancelled or the server stops.

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
use portolan_connectors::node::protocol::TARGET_MESSAGE_BYTES;
use portolan_connectors::{FragmentSummary, lock};
use portolan_engine::{Compression, Error, ErrorKind, QueryStream, Result, server};
use tokio_util::sync::CancellationToken;

use super::ipc_messages::Encoder;
use super::split::split;
use crate::dispatch::{Message, Messages};
use crate::failure::{arrow, statement_cancelled};

/// Encodes the rows of a statement with the columns that clients see, compressed as the session's settings require.
pub(crate) fn statement_messages(
    rows: impl Stream<Item = Result<RecordBatch>> + Send + 'static,
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
    messages(stream::empty(), schema, IpcWriteOptions::default())
}

/// Encodes the rows of a fragment unchanged, appends the summary, and adds the checksums with which the receiver finds
/// damage.
pub(crate) fn fragment_messages(rows: QueryStream) -> Messages {
    let (schema, edge) = (rows.schema(), server::edge(&rows));
    let summary = Arc::new(Mutex::new(None));
    let of_rows = edge.clone();
    let rows = counted(rows, summary.clone()).inspect_ok(move |batch| of_rows.add(batch.num_rows() as u64, 0));
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
    let messages = sealed(messages(rows, schema, IpcWriteOptions::default()).chain(end));
    messages.inspect_ok(move |message| edge.add(0, message.size() as u64)).boxed()
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

fn messages(
    rows: impl Stream<Item = Result<RecordBatch>> + Send + 'static,
    schema: SchemaRef,
    options: IpcWriteOptions,
) -> Messages {
    // The schema is sent before the first row arrives.
    let first = IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(
        &schema,
        &mut DictionaryTracker::new(false),
        &options,
    );
    let first = stream::iter([Ok(Message::from(FlightData::from(first)))]);
    let mut encoder = match Encoder::new(&schema, options) {
        Ok(encoder) => encoder,
        Err(e) => return stream::iter([Err(e)]).boxed(),
    };
    let pieces =
        rows.map_ok(|batch| stream::iter(split(batch, TARGET_MESSAGE_BYTES).into_iter().map(Ok))).try_flatten();
    let encoded = pieces.map(move |piece| Ok(stream::iter(encoder.batch(&piece?)?.into_iter().map(Ok)))).try_flatten();
    first.chain(encoded).boxed()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::array::{Array, ArrayRef, Int64Array, StringArray, StringViewArray};
    use arrow::compute::concat_batches;
    use arrow_flight::decode::FlightRecordBatchStream;
    use portolan_connectors::node::protocol::MAX_MESSAGE_BYTES;

    use super::*;

    async fn sent(batch: RecordBatch) -> Result<Vec<FlightData>> {
        let schema = batch.schema();
        messages(stream::iter([Ok(batch)]), schema, IpcWriteOptions::default())
            .map_ok(FlightData::from)
            .try_collect()
            .await
    }

    async fn round_trip(batch: RecordBatch) -> usize {
        let messages = sent(batch.clone()).await.unwrap();
        for message in &messages {
            assert!(message.data_body.len() < 4 << 20, "a message of {} bytes", message.data_body.len());
        }
        let total = messages.iter().map(|m| m.data_body.len()).sum();
        let batches: Vec<RecordBatch> =
            FlightRecordBatchStream::new_from_flight_data(stream::iter(messages.into_iter().map(Ok)))
                .try_collect()
                .await
                .unwrap();
        assert_eq!(concat_batches(&batch.schema(), &batches).unwrap(), batch);
        total
    }

    #[tokio::test]
    async fn large_batches_travel_in_small_messages() {
        let text: Vec<String> = (0..2_000).map(|i| "x".repeat(if i % 1_000 == 0 { 1 << 20 } else { 4_000 })).collect();
        let plain: ArrayRef = Arc::new(StringArray::from_iter_values(&text));
        let views: ArrayRef = Arc::new(StringViewArray::from_iter_values(&text));
        round_trip(RecordBatch::try_from_iter([("plain", plain), ("views", views)]).unwrap()).await;
    }

    #[tokio::test]
    async fn lists_and_dictionaries_arrive_as_they_were_announced() {
        let mut large = arrow::array::LargeListBuilder::new(Int64Array::builder(4));
        let dictionary: arrow::array::DictionaryArray<arrow::datatypes::Int32Type> =
            ["x", "y", "x"].into_iter().collect();
        for row in [vec![1, 2], vec![], vec![3]] {
            large.append_value(row.into_iter().map(Some));
        }
        let columns: Vec<(&str, ArrayRef)> = vec![("l", Arc::new(large.finish())), ("d", Arc::new(dictionary))];
        round_trip(RecordBatch::try_from_iter(columns).unwrap()).await;
    }

    #[tokio::test]
    async fn dictionaries_that_change_arrive_and_columns_are_announced_once() {
        use arrow::array::{DictionaryArray, StructArray};
        use arrow::datatypes::{Field, Fields, Int32Type};
        let batch = |values: [&str; 2]| {
            let dictionary: ArrayRef = Arc::new(values.into_iter().collect::<DictionaryArray<Int32Type>>());
            let inner = Fields::from(vec![Field::new("d", dictionary.data_type().clone(), true)]);
            let nested: ArrayRef = Arc::new(StructArray::new(inner, vec![dictionary.clone()], None));
            RecordBatch::try_from_iter([("top", dictionary), ("nested", nested)]).unwrap()
        };
        let batches = [batch(["a", "b"]), batch(["c", "a"]), batch(["c", "a"]), batch(["d", "d"])];
        for codec in [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)] {
            let options = IpcWriteOptions::default().try_with_compression(codec).unwrap();
            let rows = stream::iter(batches.clone().map(Ok));
            let sent: Vec<FlightData> =
                messages(rows, batches[0].schema(), options).map_ok(FlightData::from).try_collect().await.unwrap();
            let columns = sent.iter().filter(|m| m.data_body.is_empty()).count();
            assert_eq!(columns, 1);
            let received = FlightRecordBatchStream::new_from_flight_data(stream::iter(sent.into_iter().map(Ok)));
            assert_eq!(received.try_collect::<Vec<_>>().await.unwrap(), batches);
        }
    }

    #[tokio::test]
    async fn rows_without_columns_and_columns_without_rows_arrive() {
        let some = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)]).unwrap();
        round_trip(some.slice(0, 0)).await;
        let count = arrow::array::RecordBatchOptions::new().with_row_count(Some(3));
        let none = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &count);
        let sent = sent(none.unwrap()).await.unwrap();
        let received = FlightRecordBatchStream::new_from_flight_data(stream::iter(sent.into_iter().map(Ok)));
        let rows: Vec<usize> = received.map_ok(|batch| batch.num_rows()).try_collect().await.unwrap();
        assert_eq!(rows, [3]);
    }

    #[tokio::test]
    async fn a_small_slice_of_a_large_batch_is_small() {
        let text: Vec<String> = (0..100_000).map(|i| format!("a text that is longer than a view {i}")).collect();
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100_000));
        let views: ArrayRef = Arc::new(StringViewArray::from_iter_values(&text));
        let batch = RecordBatch::try_from_iter([("n", numbers), ("views", views)]).unwrap();
        let messages = sent(batch.slice(500, 10)).await.unwrap();
        assert_eq!(messages.len(), 2);
        assert!(round_trip(batch.slice(500, 10)).await < 4096);
    }

    #[tokio::test]
    async fn a_row_beyond_the_bound_is_refused() {
        let huge: ArrayRef = Arc::new(StringArray::from_iter_values(["x".repeat(MAX_MESSAGE_BYTES)]));
        let error = sent(RecordBatch::try_from_iter([("huge", huge)]).unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    }

    #[tokio::test]
    async fn every_message_of_a_fragment_has_a_checksum() {
        let text: Vec<String> = (0..5_000).map(|i| format!("{i} {}", "x".repeat(1_000))).collect();
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values(&text));
        let dictionary: arrow::array::DictionaryArray<arrow::datatypes::Int32Type> =
            text.iter().map(|text| &text[..1]).collect();
        let batch = RecordBatch::try_from_iter([("t", texts), ("d", Arc::new(dictionary) as ArrayRef)]).unwrap();
        let rows = messages(stream::iter([Ok(batch.clone())]), batch.schema(), IpcWriteOptions::default());
        let sent: Vec<FlightData> = sealed(rows).map_ok(FlightData::from).try_collect().await.unwrap();
        assert!(sent.len() >= 4, "the columns, a dictionary and several batches");
        let mut checksum = StreamChecksum::default();
        assert!(sent.iter().all(|message| checksum.open(message).is_some_and(|own| own.is_empty())));
    }

    #[tokio::test]
    async fn cancelling_ends_a_stream_that_waits() {
        let (cancelled, stopping) = (CancellationToken::new(), CancellationToken::new());
        let mut messages = until_cancelled(stream::pending().boxed(), cancelled.clone(), stopping);
        cancelled.cancel();
        assert_eq!(messages.next().await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
        assert!(messages.next().await.is_none());
    }
}
