//! From rows to Flight messages: split so that every client takes them, without the buffers that no row uses, and ended
//! when the statement is cancelled or the server stops.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow::record_batch::RecordBatch;
use arrow_flight::FlightData;
use futures::stream;
use futures::{Stream, StreamExt, TryStreamExt};
use portolan_connectors::FragmentSummary;
use portolan_connectors::node::protocol::{MAX_MESSAGE_BYTES, TARGET_MESSAGE_BYTES};
use portolan_engine::{Compression, Error, ErrorKind, QueryStream, Result};
use tokio_util::sync::CancellationToken;

use crate::dispatch::Messages;
use crate::failure::arrow;
use crate::metadata::Listing;

/// The rows of a statement, in the form that clients see, compressed as their session asks.
pub(crate) fn statement_messages(
    rows: impl Stream<Item = Result<RecordBatch>> + Send + 'static,
    schema: SchemaRef,
    compression: Compression,
) -> Result<Messages> {
    let codec = match compression {
        Compression::None => None,
        Compression::Lz4 => Some(CompressionType::LZ4_FRAME),
        Compression::Zstd => Some(CompressionType::ZSTD),
    };
    let options = IpcWriteOptions::default().try_with_compression(codec).map_err(arrow)?;
    Ok(messages(rows, schema, options))
}

/// Rows about the catalog; each batch is made when the one before it was taken.
pub(crate) fn table_messages(table: Listing) -> Messages {
    messages(stream::iter(table.batches), table.schema, IpcWriteOptions::default())
}

/// No rows, of these columns.
pub(crate) fn no_rows(schema: SchemaRef) -> Messages {
    messages(stream::empty(), schema, IpcWriteOptions::default())
}

/// The rows of a fragment as they are, and the summary at their end.
pub(crate) fn fragment_messages(rows: QueryStream) -> Messages {
    let schema = rows.schema();
    let summary = Arc::new(Mutex::new(None));
    let rows = counted(rows, summary.clone());
    let end = stream::once(async move {
        // Only rows that ended well leave a summary.
        let summary = summary.lock().unwrap_or_else(PoisonError::into_inner).take();
        match summary.as_ref().map(serde_json::to_vec) {
            Some(Ok(json)) => Ok(FlightData { app_metadata: json.into(), ..FlightData::default() }),
            Some(Err(e)) => {
                Err(Error::new(ErrorKind::Internal, "the summary of a fragment cannot be encoded").with_source(e))
            }
            None => Err(Error::new(ErrorKind::Internal, "a fragment ended without its summary")),
        }
    });
    messages(rows, schema, IpcWriteOptions::default()).chain(end).boxed()
}

/// Ends `messages` with an error once `cancelled` or `stopping` says so.
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
                () = cancelled.cancelled() => Some(Err(Error::new(ErrorKind::Cancelled, "the statement was cancelled"))),
                () = stopping.cancelled() => Some(Err(Error::new(ErrorKind::SiteUnavailable, "this node is stopping"))),
                item = messages.next() => item,
            }?;
            let rest = item.is_ok().then_some(messages);
            Some((item, rest))
        }
    })
    .boxed()
}

/// What is counted of the rows of a fragment.
struct Counted {
    rows: u64,
    started: bool,
    /// How long the rows after the first ones were waited for.
    producing: Duration,
}

/// Counts the rows of a fragment; at their end the engine's summary is left in `summary`.
fn counted(
    rows: QueryStream,
    summary: Arc<Mutex<Option<FragmentSummary>>>,
) -> impl Stream<Item = Result<RecordBatch>> + Send {
    let counted = Counted { rows: 0, started: false, producing: Duration::ZERO };
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
                let told = FragmentSummary { rows: counted.rows, producing_ms, ..rows.summary() };
                *summary.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
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
    let mut encoder = Encoder::new(options);
    let first = encoder.schema(&schema);
    let pieces =
        rows.map_ok(|batch| stream::iter(split(batch, TARGET_MESSAGE_BYTES).into_iter().map(Ok))).try_flatten();
    let encoded = pieces.map(move |piece| Ok(stream::iter(encoder.batch(&piece?)?.into_iter().map(Ok)))).try_flatten();
    stream::iter([Ok(first)]).chain(encoded).boxed()
}

/// Rows as Flight's messages, dictionaries as dictionaries. The crate's own encoder announces large lists as small ones,
/// and sends them as they are.
struct Encoder {
    generator: IpcDataGenerator,
    dictionaries: DictionaryTracker,
    context: IpcWriteContext,
    options: IpcWriteOptions,
}

impl Encoder {
    fn new(options: IpcWriteOptions) -> Self {
        Self {
            generator: IpcDataGenerator::default(),
            dictionaries: DictionaryTracker::new(false),
            context: IpcWriteContext::default(),
            options,
        }
    }

    fn schema(&mut self, schema: &SchemaRef) -> FlightData {
        self.generator.schema_to_bytes_with_dictionary_tracker(schema, &mut self.dictionaries, &self.options).into()
    }

    fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<FlightData>> {
        let encoded = self.generator.encode(batch, &mut self.dictionaries, &self.options, &mut self.context);
        let (dictionaries, batch) = encoded.map_err(arrow)?;
        let messages: Vec<FlightData> = dictionaries.into_iter().chain([batch]).map(Into::into).collect();
        for message in &messages {
            let size = message.data_header.len() + message.data_body.len();
            if size >= MAX_MESSAGE_BYTES {
                return Err(Error::new(
                    ErrorKind::ResourceExhausted,
                    format!("a row takes {size} bytes, more than the {MAX_MESSAGE_BYTES} of a message"),
                ));
            }
        }
        Ok(messages)
    }
}

/// Pieces of at most `limit` bytes where single rows allow it.
fn split(batch: RecordBatch, limit: usize) -> Vec<RecordBatch> {
    let mut pieces = Vec::new();
    let mut waiting = vec![compact(batch)];
    while let Some(batch) = waiting.pop() {
        let rows = batch.num_rows();
        let size: usize = batch.columns().iter().map(size_of).sum();
        if size <= limit || rows <= 1 {
            pieces.push(batch);
            continue;
        }
        let parts = size.div_ceil(limit).clamp(2, rows);
        let step = rows.div_ceil(parts);
        let slices = (0..rows).step_by(step).map(|offset| compact(batch.slice(offset, step.min(rows - offset))));
        if batch.columns().iter().any(|c| is_nested(c.data_type())) {
            // These count what they hold whole, however small the slice: cutting again would go on to single rows.
            pieces.extend(slices);
        } else {
            waiting.extend(slices.rev());
        }
    }
    pieces
}

fn is_nested(data_type: &DataType) -> bool {
    data_type.is_nested() || matches!(data_type, DataType::Dictionary(..) | DataType::RunEndEncoded(..))
}

/// The batch without the buffers of its view columns that hold little of it: IPC writes every buffer whole.
fn compact(batch: RecordBatch) -> RecordBatch {
    let is_view = |column: &ArrayRef| matches!(column.data_type(), DataType::Utf8View | DataType::BinaryView);
    if !batch.columns().iter().any(is_view) {
        return batch;
    }
    let columns = batch.columns().iter().map(compact_column).collect();
    // The columns keep their types and lengths, so that this cannot fail; were it to, the batch is right as it is.
    RecordBatch::try_new(batch.schema(), columns).unwrap_or(batch)
}

fn compact_column(column: &ArrayRef) -> ArrayRef {
    let wasteful = |held: usize, used: usize| held > 2 * used + 4096;
    match column.data_type() {
        DataType::Utf8View => {
            let views = column.as_string_view();
            let held = views.data_buffers().iter().map(|b| b.len()).sum();
            if wasteful(held, views.total_buffer_bytes_used()) { Arc::new(views.gc()) } else { column.clone() }
        }
        DataType::BinaryView => {
            let views = column.as_binary_view();
            let held = views.data_buffers().iter().map(|b| b.len()).sum();
            if wasteful(held, views.total_buffer_bytes_used()) { Arc::new(views.gc()) } else { column.clone() }
        }
        _ => column.clone(),
    }
}

/// Bytes that the column takes in a message, about.
fn size_of(column: &ArrayRef) -> usize {
    match column.data_type() {
        DataType::Utf8View => {
            let views = column.as_string_view();
            views.len() * 16 + views.data_buffers().iter().map(|b| b.len()).sum::<usize>()
        }
        DataType::BinaryView => {
            let views = column.as_binary_view();
            views.len() * 16 + views.data_buffers().iter().map(|b| b.len()).sum::<usize>()
        }
        _ => column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_buffer_memory_size()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::array::{Int64Array, StringArray, StringViewArray};
    use arrow::compute::concat_batches;
    use arrow_flight::decode::FlightRecordBatchStream;

    use super::*;

    async fn sent(batch: RecordBatch) -> Result<Vec<FlightData>> {
        let schema = batch.schema();
        messages(stream::iter([Ok(batch)]), schema, IpcWriteOptions::default()).try_collect().await
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
    async fn a_small_slice_of_a_large_batch_is_small() {
        let text: Vec<String> = (0..100_000).map(|i| format!("a text that is longer than a view {i}")).collect();
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100_000));
        let views: ArrayRef = Arc::new(StringViewArray::from_iter_values(&text));
        let batch = RecordBatch::try_from_iter([("n", numbers), ("views", views)]).unwrap();
        let messages = sent(batch.slice(500, 10)).await.unwrap();
        assert_eq!(messages.len(), 2);
        assert!(round_trip(batch.slice(500, 10)).await < 4096);
    }

    #[test]
    fn lists_are_not_cut_into_single_rows() {
        let mut lists = arrow::array::ListBuilder::new(arrow::array::Int64Builder::new());
        for row in 0..8_192_i64 {
            lists.append_value((0..60).map(|i| Some(row + i)));
        }
        let batch = RecordBatch::try_from_iter([("l", Arc::new(lists.finish()) as ArrayRef)]).unwrap();
        let pieces = split(batch.clone(), TARGET_MESSAGE_BYTES);
        assert!((2..=8).contains(&pieces.len()), "{} pieces", pieces.len());
        assert_eq!(concat_batches(&batch.schema(), &pieces).unwrap(), batch);
    }

    #[tokio::test]
    async fn a_row_beyond_the_bound_is_refused() {
        let huge: ArrayRef = Arc::new(StringArray::from_iter_values(["x".repeat(MAX_MESSAGE_BYTES)]));
        let error = sent(RecordBatch::try_from_iter([("huge", huge)]).unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
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
