//! Rows that are relayed: their bodies stay as they are, and everything around them is checked.

use arrow::array::{ArrayRef, DictionaryArray, Int32Array};
use arrow::datatypes::Int32Type;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::encode::DictionaryHandling;

use super::*;
use crate::fragment::RelayedMessage;

fn two_batches() -> Vec<RecordBatch> {
    vec![numbers(vec![Some(1), None]), numbers(vec![Some(3)])]
}

async fn relayed(messages: Vec<FlightData>) -> Result<Vec<FragmentItem>> {
    delivered_as(RowForm::Messages, sealed(messages), schema(true)).await
}

/// Returns the error of a stream that is relayed.
async fn refused(messages: Vec<FlightData>) -> Error {
    let error = relayed(messages).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SiteUnavailable, "{}", error.chain());
    error
}

#[tokio::test]
async fn messages_stay_as_they_are() {
    let mut sent = encoded(two_batches(), schema(true)).await;
    let bytes: usize = sent.iter().map(|m| m.data_header.len() + m.data_body.len() + CHECKSUM_BYTES).sum();
    sent.push(summary(3));
    let items = relayed(sent.clone()).await.unwrap();
    let (mut messages, mut wire) = (vec![], 0_usize);
    for item in &items {
        match item {
            FragmentItem::Relayed { message, wire_bytes } => {
                messages.push(message.clone());
                wire += *wire_bytes;
            }
            other => assert!(matches!(other, FragmentItem::Finished(s) if s.rows == 3), "{other:?}"),
        }
    }
    assert_eq!((items.len(), wire), (3, bytes));
    let as_sent = |place: usize, rows| RelayedMessage {
        header: sent[place].data_header.clone(),
        body: sent[place].data_body.clone(),
        rows,
    };
    assert_eq!(messages, [as_sent(1, 2), as_sent(2, 1)]);
    // A client decodes them behind the columns that it was promised.
    let columns = encoded(vec![], schema(true)).await.into_iter();
    let rows = messages.into_iter().map(|RelayedMessage { header, body, .. }| FlightData {
        data_header: header,
        data_body: body,
        ..FlightData::default()
    });
    let received: Vec<RecordBatch> =
        FlightRecordBatchStream::new_from_flight_data(stream::iter(columns.chain(rows).map(Ok)))
            .try_collect()
            .await
            .unwrap();
    assert_eq!(received, two_batches());
}

#[tokio::test]
async fn the_label_and_the_hashes_come_before_the_messages() {
    let mut label = ResultLabel::default();
    label.add(LabelledPort { name: "d.p.t".to_owned(), ..LabelledPort::default() }, Some("restricted"));
    let field = Field::new("n", DataType::Int64, true);
    let hashed = field.with_metadata([(HASHED_BY.to_owned(), "sha-256-global/int64".to_owned())].into());
    let mut messages = encoded(vec![numbers(vec![Some(1)])], Arc::new(Schema::new(vec![hashed]))).await;
    messages[0].app_metadata = serde_json::to_vec(&label).unwrap().into();
    messages.push(summary(1));
    let items = relayed(messages).await.unwrap();
    assert!(
        matches!(
            items.as_slice(),
            [FragmentItem::Label(_), FragmentItem::Hashes(_), FragmentItem::Relayed { .. }, FragmentItem::Finished(_)]
        ),
        "{items:?}"
    );
}

#[tokio::test]
async fn other_columns_are_refused() {
    let texts = Arc::new(Schema::new(vec![Field::new("n", DataType::Utf8, true)]));
    let batch = RecordBatch::try_new(texts.clone(), vec![Arc::new(StringArray::from(vec!["1"]))]).unwrap();
    let honest = encoded(vec![batch], texts).await;
    let error = refused([honest.clone(), vec![summary(1)]].concat()).await;
    assert!(error.context().contains("expected Int64, got Utf8"), "{}", error.context());

    // The columns are right, and the rows are others.
    let columns = encoded(vec![], schema(true)).await;
    let error = refused([columns.clone(), honest[1..].to_vec(), vec![summary(1)]].concat()).await;
    assert!(error.chain().contains("buffers of a batch"), "{}", error.chain());
    let error = refused([honest[1..].to_vec(), vec![summary(1)]].concat()).await;
    assert!(error.chain().contains("buffers of a batch"), "{}", error.chain());
    let numbers = encoded(vec![numbers(vec![Some(1)])], schema(true)).await;
    let error = refused([numbers[1..].to_vec(), columns.clone(), vec![summary(1)]].concat()).await;
    assert!(error.context().contains("rows before their columns"), "{}", error.context());
    let error = refused([columns.clone(), columns, vec![summary(0)]].concat()).await;
    assert!(error.context().contains("a second schema"), "{}", error.context());
}

/// The client would read memory behind the message.
#[tokio::test]
async fn buffers_that_are_too_short_are_refused() {
    let narrow = Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, true)]));
    let batch = RecordBatch::try_new(narrow.clone(), vec![Arc::new(Int32Array::from(vec![1; 37]))]).unwrap();
    let columns = encoded(vec![], schema(true)).await;
    let rows = encoded(vec![batch], narrow).await;
    let messages = [columns, rows[1..].to_vec(), vec![summary(37)]].concat();
    let error = refused(messages.clone()).await;
    assert!(error.chain().contains("too short for the 37 values"), "{}", error.chain());
    let error = received(messages, schema(true)).await.unwrap_err();
    assert!(error.context().contains("cannot be decoded"), "decoding refuses the same: {}", error.chain());
}

#[tokio::test]
async fn dictionaries_are_refused() {
    let words: ArrayRef = Arc::new(["a", "b"].into_iter().collect::<DictionaryArray<Int32Type>>());
    let batch = RecordBatch::try_from_iter_with_nullable([("d", words, true)]).unwrap();
    let asked = batch.schema();
    let encoder =
        FlightDataEncoderBuilder::new().with_schema(asked.clone()).with_dictionary_handling(DictionaryHandling::Resend);
    let mut messages: Vec<FlightData> = encoder.build(stream::iter([Ok(batch)])).try_collect().await.unwrap();
    assert_eq!(messages.len(), 3, "the columns, a dictionary and a batch");
    messages.push(summary(2));
    let error = delivered_as(RowForm::Messages, sealed(messages), asked).await.unwrap_err();
    assert!(error.chain().contains("no record batch"), "{}", error.chain());
}

#[tokio::test]
async fn rows_that_are_cut_short_or_too_many_are_refused() {
    let whole = encoded(two_batches(), schema(true)).await;
    let said = refused(whole.clone()).await;
    assert_eq!(said.context(), "node grpc://sales:1: its rows were cut short");
    for rows in [2, 4] {
        let said = refused([whole.clone(), vec![summary(rows)]].concat()).await;
        assert!(said.context().contains(&format!("got 3 rows, but it reports {rows}")), "{}", said.context());
    }
    let missing = [whole[..1].to_vec(), whole[2..].to_vec(), vec![summary(3)]].concat();
    assert!(refused(missing).await.context().contains("got 1 rows, but it reports 3"));
    let repeated = [whole.clone(), whole[2..].to_vec(), vec![summary(3)]].concat();
    assert!(refused(repeated).await.context().contains("got 4 rows, but it reports 3"));
    let rest = [vec![whole[0].clone(), summary(0)], whole[1..].to_vec()].concat();
    let items = relayed(rest).await.unwrap();
    assert!(matches!(items.as_slice(), [FragmentItem::Finished(_)]), "nothing follows the end: {items:?}");
}

#[tokio::test]
async fn damaged_messages_are_refused() {
    let mut messages = encoded(two_batches(), schema(true)).await;
    messages.push(summary(3));
    let messages = sealed(messages);
    for place in 0..messages.len() {
        for part in 0..3 {
            let mut changed = messages.clone();
            if !change(&mut changed[place], part, 0) {
                continue;
            }
            let error = delivered_as(RowForm::Messages, changed, schema(true)).await.unwrap_err();
            assert!(error.context().contains("damaged on the way"), "{}", error.context());
        }
    }
}

#[tokio::test]
async fn malformed_messages_are_refused() {
    let good = encoded(vec![numbers(vec![Some(1), Some(2)])], schema(true)).await;
    let mut garbage = vec![FlightData { data_header: Bytes::from_static(b"garbage"), ..FlightData::default() }];
    for cut in [0, 1, 7] {
        let mut short = good[1].clone();
        short.data_body = short.data_body.slice(..cut);
        garbage.push(short);
    }
    for message in garbage {
        let error = refused(vec![good[0].clone(), message, summary(2)]).await;
        assert!(error.context().contains("cannot be decoded"), "{}", error.chain());
    }
}
