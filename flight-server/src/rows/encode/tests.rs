#![allow(clippy::unwrap_used)]

use arrow::array::{Array, ArrayRef, Int64Array, StringArray, StringViewArray};
use arrow::compute::concat_batches;
use arrow_flight::decode::FlightRecordBatchStream;
use portolan_connectors::node::protocol::MAX_MESSAGE_BYTES;

use super::*;

async fn sent(batch: RecordBatch) -> Result<Vec<FlightData>> {
    let schema = batch.schema();
    messages(stream::iter([Ok(batch)]), schema, IpcWriteOptions::default()).map_ok(FlightData::from).try_collect().await
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
    let dictionary: arrow::array::DictionaryArray<arrow::datatypes::Int32Type> = ["x", "y", "x"].into_iter().collect();
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

/// The hashes of columns from other owners are known when the first rows have come.
#[tokio::test]
async fn columns_come_with_the_first_rows_and_not_before_an_error() {
    let batch = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
    let schema = batch.schema();
    let hashes = Arc::new(Mutex::new(vec![]));
    let (known, read) = (hashes.clone(), hashes);
    let rows = stream::once(async move {
        *lock(&known) = vec![Some("sha-256-global/int64".to_owned())];
        Ok(batch)
    });
    let rows = encoded(rows, &schema, IpcWriteOptions::default());
    let columns = schema.clone();
    let columns = move || schema_message(&with_hashes(&columns, &lock(&read)), &IpcWriteOptions::default());
    let sent: Vec<FlightData> = after_first(rows, columns).map_ok(FlightData::from).try_collect().await.unwrap();
    assert_eq!(sent.len(), 2);
    let mut received = FlightRecordBatchStream::new_from_flight_data(stream::iter(sent.into_iter().map(Ok)));
    assert_eq!(received.try_next().await.unwrap().unwrap().num_rows(), 1);
    let field = received.schema().unwrap().field(0).clone();
    assert_eq!(field.metadata().get(HASHED_BY).map(String::as_str), Some("sha-256-global/int64"));

    let failed = stream::iter([Err(Error::new(ErrorKind::SiteUnavailable, "down"))]).boxed();
    let columns = schema_message(&schema, &IpcWriteOptions::default());
    let sent: Vec<_> = after_first(failed, || columns).collect().await;
    assert!(matches!(sent.as_slice(), [Err(e)] if e.kind() == ErrorKind::SiteUnavailable));
}

#[tokio::test]
async fn cancelling_ends_a_stream_that_waits() {
    let (cancelled, stopping) = (CancellationToken::new(), CancellationToken::new());
    let mut messages = until_cancelled(stream::pending().boxed(), cancelled.clone(), stopping);
    cancelled.cancel();
    assert_eq!(messages.next().await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(messages.next().await.is_none());
}
