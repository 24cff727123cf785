//! Tests of the parts of record batch messages.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, FixedSizeListArray, Int32Array, Int64Array, ListArray, MapBuilder, NullArray,
    RecordBatch, StringArray, StringBuilder, StringViewArray, StructArray, UnionArray,
};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::{Field, Fields, Int32Type, UnionFields};
use arrow::ipc::root_as_message;
use arrow_flight::FlightData;
use arrow_flight::utils::batches_to_flight_data;

use super::*;

fn message(batch: &RecordBatch) -> FlightData {
    batches_to_flight_data(&batch.schema(), vec![batch.clone()]).unwrap().pop().unwrap()
}

fn rows(columns: &Schema, data: &FlightData) -> Result<usize, String> {
    Layout::of(columns).rows(&root_as_message(&data.data_header).unwrap(), &data.data_body)
}

/// The metadata of a message with two numbers of 64 bits and metadata of its own, as pyarrow writes it.
const WITH_METADATA: &str = "\
    180000000000000000000e00180006000500080010000c000e00000000030400440000000c00000010000000000000000100\
    00000c00000008000c00040008000800000010000000040000000100000076000000010000006b000a0018000c0004000800\
    0a0000003c000000100000000200000000000000000000000200000000000000000000000000000000000000000000000000\
    00001000000000000000000000000100000002000000000000000000000000000000";

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

fn lists() -> ListArray {
    ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])])
}

fn unions() -> [UnionArray; 2] {
    let (numbers, texts) = (Arc::new(Field::new("n", DataType::Int32, true)), Field::new("t", DataType::Utf8, true));
    let fields: UnionFields = [(0, numbers), (1, Arc::new(texts))].into_iter().collect();
    let children = || -> Vec<ArrayRef> {
        vec![Arc::new(Int32Array::from(vec![1, 2, 3])), Arc::new(StringArray::from(vec!["a", "b", "c"]))]
    };
    let ids: ScalarBuffer<i8> = vec![0, 1, 0].into();
    let offsets: ScalarBuffer<i32> = vec![0, 0, 1].into();
    let union = |offsets| UnionArray::try_new(fields.clone(), ids.clone(), offsets, children()).unwrap();
    [union(None), union(Some(offsets))]
}

#[test]
fn every_type_that_clients_get_has_its_parts() {
    let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for key in ["a", "b", "c"] {
        map.keys().append_value(key);
        map.values().append_null();
        map.append(true).unwrap();
    }
    let long = "a string that is too long for its view";
    let sized = [Some(vec![Some(1), Some(2)]), None, Some(vec![None, Some(3)])];
    let [sparse, dense] = unions();
    let inner: ArrayRef = Arc::new(lists());
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("null", Arc::new(NullArray::new(3))),
        ("boolean", Arc::new(BooleanArray::from(vec![true, false, true]))),
        ("number", Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]))),
        ("text", Arc::new(StringArray::from(vec!["a", "b", "c"]))),
        ("view", Arc::new(StringViewArray::from(vec![long, "b", long]))),
        ("short view", Arc::new(StringViewArray::from(vec!["a", "b", "c"]))),
        ("list", inner.clone()),
        ("sized", Arc::new(FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>(sized, 2))),
        ("struct", Arc::new(StructArray::try_from(vec![("list", inner)]).unwrap())),
        ("map", Arc::new(map.finish())),
        ("sparse", Arc::new(sparse)),
        ("dense", Arc::new(dense)),
    ];
    let all = batch(columns.clone());
    assert_eq!(rows(&all.schema(), &message(&all)), Ok(3));
    for column in columns {
        let one = batch(vec![column]);
        assert_eq!(rows(&one.schema(), &message(&one)), Ok(3), "{}", one.schema());
        let empty = one.slice(0, 0);
        assert_eq!(rows(&empty.schema(), &message(&empty)), Ok(0), "{}", one.schema());
    }
}

#[test]
fn other_columns_are_found() {
    let number: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let view: ArrayRef = Arc::new(StringViewArray::from(vec!["a", "b"]));
    let number_and_text = batch(vec![("n", number.clone()), ("t", text.clone())]);
    for (columns, said) in [
        (vec![("n", number.clone())], "expected a batch of 2 fields, got 1"),
        (vec![("n", number.clone()), ("t", text), ("more", number.clone())], "expected a batch of 2 fields, got 3"),
        (vec![("n", number.clone()), ("t", number.clone())], "the 4 buffers of a batch"),
        (vec![("n", number.clone()), ("t", view)], "the 4 buffers of a batch"),
    ] {
        let error = rows(&number_and_text.schema(), &message(&batch(columns))).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
    let required = Schema::new(vec![Field::new("n", DataType::Int64, false)]);
    let error = rows(&required, &message(&batch(vec![("n", number)]))).unwrap_err();
    assert_eq!(error, "a field has NULL, but may have none");
}

#[test]
fn a_body_has_the_bytes_that_its_metadata_says() {
    let numbers = batch(vec![("n", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)]);
    let mut short = message(&numbers);
    short.data_body = short.data_body.slice(..short.data_body.len() - 8);
    let error = rows(&numbers.schema(), &short).unwrap_err();
    assert!(error.contains("a body of"), "{error}");
    let columns = batches_to_flight_data(&numbers.schema(), vec![]).unwrap().pop().unwrap();
    assert_eq!(rows(&numbers.schema(), &columns).unwrap_err(), "a message is no record batch");
}

#[test]
fn a_message_has_no_metadata_of_its_own() {
    let digits = WITH_METADATA.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    let header: Vec<u8> = digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
    let data = FlightData { data_header: header.into(), data_body: vec![0; 16].into(), ..FlightData::default() };
    let numbers = Schema::new(vec![Field::new("n", DataType::Int64, true)]);
    assert_eq!(rows(&numbers, &data).unwrap_err(), "a message of rows has metadata of its own");
}

/// Each pair of types has the same number of buffers. The first has smaller ones.
#[test]
fn buffers_have_the_values_of_their_field() {
    let cases: [(ArrayRef, DataType); 5] = [
        (Arc::new(Int32Array::from(vec![1; 37])), DataType::Int64),
        (Arc::new(Int64Array::from(vec![1; 37])), DataType::FixedSizeBinary(9)),
        (Arc::new(BooleanArray::from(vec![true; 37])), DataType::Int8),
        (Arc::new(StringArray::from(vec!["a"; 37])), DataType::LargeUtf8),
        (Arc::new(lists()), DataType::LargeList(Arc::new(Field::new("item", DataType::Int32, true)))),
    ];
    for (sent, announced) in cases {
        let message = message(&batch(vec![("c", sent.clone())]));
        let columns = Schema::new(vec![Field::new("c", announced.clone(), true)]);
        let said = format!("a buffer is too short for the {} values of its field", sent.len());
        assert_eq!(rows(&columns, &message), Err(said), "{} as {announced}", sent.data_type());
    }
    // The validity of so many values takes 513 bytes.
    let some =
        batch(vec![("n", Arc::new(Int32Array::from_iter((0..4099_i32).map(|n| (n > 0).then_some(n)))) as ArrayRef)]);
    assert_eq!(rows(&some.schema(), &message(&some)), Ok(4099));
    let error = rows(&some.schema(), &with_number(message(&some), 513, 512)).unwrap_err();
    assert_eq!(error, "a buffer is too short for the 4099 values of its field");
}

/// Replaces a number in the metadata of a message, which has it once.
fn with_number(mut data: FlightData, from: i64, to: i64) -> FlightData {
    let mut header = data.data_header.to_vec();
    let (from, to) = (from.to_le_bytes(), to.to_le_bytes());
    let places: Vec<usize> = (0..header.len() - 7).filter(|at| header[*at..*at + 8] == from).collect();
    assert_eq!(places.len(), 1, "{from:?} in {header:?}");
    header[places[0]..places[0] + 8].copy_from_slice(&to);
    data.data_header = header.into();
    data
}

#[test]
fn fields_inside_of_others_have_the_values_that_those_say() {
    let sized = FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), None]), None], 2);
    let item = |nullable| Arc::new(Field::new("item", DataType::Int32, nullable));
    let sent = batch(vec![("c", Arc::new(sized) as ArrayRef)]);
    for (announced, said) in [
        (DataType::FixedSizeList(item(true), 3), "a field has 4 values in place of 6"),
        (DataType::Struct(vec![item(true)].into()), "a field has 4 values in place of 2"),
    ] {
        let columns = Schema::new(vec![Field::new("c", announced, true)]);
        let error = rows(&columns, &message(&sent)).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
    let sent = batch(vec![("c", Arc::new(lists()) as ArrayRef)]);
    let columns = Schema::new(vec![Field::new("c", DataType::List(item(false)), true)]);
    assert_eq!(rows(&columns, &message(&sent)).unwrap_err(), "a field has NULL, but may have none");
}

#[test]
fn a_field_may_have_null_behind_a_null() {
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
    for (nulls, is_right) in [(Some(vec![true, false]), true), (None, false)] {
        let nullable = Fields::from(vec![Field::new("n", DataType::Int32, true)]);
        let sent = StructArray::new(nullable, vec![numbers.clone()], nulls.map(NullBuffer::from));
        let required = Fields::from(vec![Field::new("n", DataType::Int32, false)]);
        let columns = Schema::new(vec![Field::new("c", DataType::Struct(required), true)]);
        let checked = rows(&columns, &message(&batch(vec![("c", Arc::new(sent) as ArrayRef)])));
        assert_eq!(checked.is_ok(), is_right, "{checked:?}");
    }
}

/// The body has other values, but the metadata is right. A client that does not check them would read other memory.
#[test]
fn values_point_to_others_of_their_field() {
    let long = "a string that is too long for its view";
    let columns: [(ArrayRef, &[u8], &[u8]); 4] = [
        (Arc::new(StringArray::from(vec!["a", "bcd"])), &[0, 0, 0, 0, 1, 0, 0, 0, 4], &[0, 0, 0, 0, 1, 0, 0, 0, 5]),
        (Arc::new(StringArray::from(vec!["ab", "c"])), &[0, 0, 0, 0, 2, 0, 0, 0, 3], &[0, 0, 0, 0, 7, 0, 0, 0, 3]),
        (Arc::new(lists()), &[0, 0, 0, 0, 2, 0, 0, 0, 2], &[0, 0, 0, 0, 2, 0, 0, 0, 3]),
        (Arc::new(StringViewArray::from(vec![long])), &[38, 0, 0, 0], &[39, 0, 0, 0]),
    ];
    for (column, from, to) in columns {
        let one = batch(vec![("c", column)]);
        let mut sent = message(&one);
        assert_eq!(rows(&one.schema(), &sent), Ok(one.num_rows()));
        let mut body = sent.data_body.to_vec();
        let place = body.windows(from.len()).position(|bytes| bytes == from).unwrap();
        body[place..place + to.len()].copy_from_slice(to);
        sent.data_body = body.into();
        assert_eq!(
            rows(&one.schema(), &sent).unwrap_err(),
            "a value points outside of its buffers",
            "{}",
            one.schema()
        );
    }
}
