#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod relayed;

use arrow::array::{Int64Array, StringArray};
use arrow::datatypes::{DataType, Field};
use arrow_flight::encode::FlightDataEncoderBuilder;
use futures::TryStreamExt;

use super::*;
use crate::label::LabelledPort;
use crate::node::checksum::{CHECKSUM_BYTES, StreamChecksum};

fn schema(nullable: bool) -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, nullable)]))
}

fn numbers(values: Vec<Option<i64>>) -> RecordBatch {
    RecordBatch::try_new(schema(true), vec![Arc::new(Int64Array::from(values))]).unwrap()
}

async fn encoded(batches: Vec<RecordBatch>, schema: SchemaRef) -> Vec<FlightData> {
    FlightDataEncoderBuilder::new()
        .with_schema(schema)
        .build(stream::iter(batches.into_iter().map(Ok)))
        .try_collect()
        .await
        .unwrap()
}

fn summary(rows: u64) -> FlightData {
    let summary = FragmentSummary { rows, ..FragmentSummary::default() };
    FlightData { app_metadata: serde_json::to_vec(&summary).unwrap().into(), ..FlightData::default() }
}

/// Adds the checksums with which a node sends these messages.
fn sealed(mut messages: Vec<FlightData>) -> Vec<FlightData> {
    let mut checksum = StreamChecksum::default();
    for message in &mut messages {
        let body = [message.data_body.clone()];
        message.app_metadata = checksum.seal(&message.data_header, &body, &message.app_metadata);
    }
    messages
}

/// Returns the items that the consumer receives if a node sends these messages, and the consumer requested the schema
/// `asked`.
async fn received(messages: Vec<FlightData>, asked: SchemaRef) -> Result<Vec<FragmentItem>> {
    delivered(sealed(messages), asked).await
}

/// Returns the items that the consumer receives if these messages arrive.
async fn delivered(messages: Vec<FlightData>, asked: SchemaRef) -> Result<Vec<FragmentItem>> {
    delivered_as(RowForm::Batches, messages, asked).await
}

async fn delivered_as(form: RowForm, messages: Vec<FlightData>, asked: SchemaRef) -> Result<Vec<FragmentItem>> {
    let (tx, rx) = mpsc::channel(messages.len().max(1));
    for message in messages {
        tx.send(Ok(message)).await.unwrap();
    }
    drop(tx);
    decode(SiteId::new("grpc://sales:1"), asked, form, rx, JoinSet::new()).try_collect().await
}

#[tokio::test]
async fn rows_come_out_with_their_bytes_and_the_summary_last() {
    let mut messages = encoded(vec![numbers(vec![Some(1), None]), numbers(vec![Some(3)])], schema(true)).await;
    let sent: usize = messages.iter().map(|m| m.data_header.len() + m.data_body.len() + CHECKSUM_BYTES).sum();
    messages.push(summary(3));
    let items = received(messages, schema(true)).await.unwrap();
    let bytes: usize = items
        .iter()
        .map(|item| match item {
            FragmentItem::Batch { wire_bytes, .. } => *wire_bytes,
            _ => 0,
        })
        .sum();
    assert_eq!(bytes, sent);
    assert_eq!(items.len(), 3);
    assert!(matches!(items.last(), Some(FragmentItem::Finished(s)) if s.rows == 3));
}

#[tokio::test]
async fn the_label_comes_before_the_rows() {
    let mut label = ResultLabel::default();
    label.add(LabelledPort { name: "d.p.t".to_owned(), ..LabelledPort::default() }, Some("restricted"));
    let mut messages = encoded(vec![numbers(vec![Some(1)])], schema(true)).await;
    messages[0].app_metadata = serde_json::to_vec(&label).unwrap().into();
    // Only the first message has a label.
    messages[1].app_metadata = "none".into();
    messages.push(summary(1));
    let items = received(messages.clone(), schema(true)).await.unwrap();
    assert!(matches!(&items[0], FragmentItem::Label(first) if *first == label), "{items:?}");
    assert!(matches!(items.as_slice(), [_, FragmentItem::Batch { .. }, FragmentItem::Finished(_)]), "{items:?}");

    messages[0].app_metadata = "{".into();
    let error = received(messages, schema(true)).await.unwrap_err();
    assert!(error.chain().contains("the label of its rows is malformed"), "{}", error.chain());
}

#[tokio::test]
async fn hashes_of_columns_come_before_the_rows() {
    let named = |hash: &str| {
        let field = Field::new("n", DataType::Int64, true);
        Arc::new(Schema::new(vec![field.with_metadata([(HASHED_BY.to_owned(), hash.to_owned())].into())]))
    };
    for rows in [vec![], vec![numbers(vec![Some(1)])]] {
        let count = rows.len() as u64;
        let mut messages = encoded(rows, named("sha-256-global/int64")).await;
        messages.push(summary(count));
        let items = received(messages, schema(true)).await.unwrap();
        let Some(FragmentItem::Hashes(hashes)) = items.first() else { panic!("{items:?}") };
        assert_eq!(hashes.as_slice(), [Some("sha-256-global/int64".to_owned())]);
        assert_eq!(items.len(), 2 + count as usize);
    }
    let long = "x".repeat(MAX_HASH_IDENTITY + 1);
    let error = received(encoded(vec![], named(&long)).await, schema(true)).await.unwrap_err();
    assert!(error.chain().contains("too long") && !error.chain().contains("xxx"), "{}", error.chain());
}

#[tokio::test]
async fn a_stream_without_its_end_was_cut_short() {
    let messages = encoded(vec![numbers(vec![Some(1)])], schema(true)).await;
    let error = received(messages, schema(true)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SiteUnavailable);
    assert_eq!(error.context(), "node grpc://sales:1: its rows were cut short");
}

#[tokio::test]
async fn a_wrong_row_count_was_cut_short() {
    let mut messages = encoded(vec![numbers(vec![Some(1)])], schema(true)).await;
    messages.push(summary(2));
    let error = received(messages, schema(true)).await.unwrap_err();
    assert!(error.context().contains("got 1 rows, but it reports 2"), "{}", error.context());
}

#[tokio::test]
async fn another_type_is_refused() {
    let theirs = Arc::new(Schema::new(vec![Field::new("n", DataType::Utf8, true)]));
    let batch = RecordBatch::try_new(theirs.clone(), vec![Arc::new(StringArray::from(vec!["1"]))]).unwrap();
    let mut messages = encoded(vec![batch], theirs).await;
    messages.push(summary(1));
    let error = received(messages, schema(true)).await.unwrap_err();
    assert!(error.context().contains("expected Int64, got Utf8"), "{}", error.context());
}

#[tokio::test]
async fn another_number_of_columns_is_refused() {
    let theirs = Arc::new(Schema::empty());
    let mut messages = encoded(vec![], theirs).await;
    messages.push(summary(0));
    let error = received(messages, schema(true)).await.unwrap_err();
    assert!(error.context().contains("expected 1 columns, got 0"), "{}", error.context());
}

#[tokio::test]
async fn a_null_where_there_may_be_none_is_refused() {
    let mut messages = encoded(vec![numbers(vec![None])], schema(true)).await;
    messages.push(summary(1));
    let error = received(messages, schema(false)).await.unwrap_err();
    assert!(error.context().contains("do not match the requested schema"), "{}", error.context());
}

#[tokio::test]
async fn garbage_is_an_error_and_no_panic() {
    let good = encoded(vec![numbers(vec![Some(1), Some(2)])], schema(true)).await;
    let mut garbage = vec![FlightData { data_header: Bytes::from_static(b"garbage"), ..FlightData::default() }];
    for cut in [0, 1, 7] {
        let mut short = good[1].clone();
        short.data_body = short.data_body.slice(..cut);
        garbage.push(short);
    }
    for message in garbage {
        let error = received(vec![good[0].clone(), message, summary(2)], schema(true)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SiteUnavailable, "{}", error.chain());
    }
}

#[tokio::test]
async fn every_changed_byte_is_damage() {
    let mut messages = encoded(vec![numbers(vec![Some(1), None]), numbers(vec![Some(3)])], schema(true)).await;
    messages.push(summary(3));
    let messages = sealed(messages);
    assert_eq!(delivered(messages.clone(), schema(true)).await.unwrap().len(), 3);
    for place in 0..messages.len() {
        for part in 0..3 {
            let mut byte = 0;
            loop {
                let mut changed = messages.clone();
                if !change(&mut changed[place], part, byte) {
                    break;
                }
                let error = delivered(changed, schema(true)).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::SiteUnavailable);
                let said = error.context();
                assert!(said.starts_with("node grpc://sales:1: its rows were damaged on the way"), "{said}");
                byte += 1;
            }
            assert!(byte > 0 || part < 2, "every message has a checksum");
        }
    }
}

/// Changes a byte of a message: of its header, its body or its metadata. Returns false if the part has no such byte.
fn change(message: &mut FlightData, part: usize, byte: usize) -> bool {
    let part = match part {
        0 => &mut message.data_header,
        1 => &mut message.data_body,
        _ => &mut message.app_metadata,
    };
    let mut bytes = part.to_vec();
    let Some(changed) = bytes.get_mut(byte) else { return false };
    *changed ^= 0x10;
    *part = bytes.into();
    true
}

#[tokio::test]
async fn rows_without_checksums_are_refused_before_they_are_decoded() {
    let mut messages = encoded(vec![numbers(vec![Some(1)])], schema(true)).await;
    messages.push(summary(1));
    let (tx, rx) = mpsc::channel(messages.len());
    for message in messages {
        tx.send(Ok(message)).await.unwrap();
    }
    let mut items = decode(SiteId::new("grpc://sales:1"), schema(true), RowForm::Batches, rx, JoinSet::new());
    let error = items.next().await.unwrap().unwrap_err();
    assert!(error.context().contains("the checksum of a message is missing or wrong"), "{}", error.context());
    assert!(items.next().await.is_none());
}

#[tokio::test]
async fn an_error_keeps_its_kind() {
    let (tx, rx) = mpsc::channel(1);
    tx.send(Err(Error::new(ErrorKind::PermissionDenied, "no"))).await.unwrap();
    let mut items = decode(SiteId::new("grpc://sales:1"), schema(true), RowForm::Batches, rx, JoinSet::new());
    assert_eq!(items.next().await.unwrap().unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert!(items.next().await.is_none());
}
