//! Tests of the columns that clients see, with fixed and random schemas.

#![allow(clippy::unwrap_used, clippy::panic)]

mod random;

use arrow::array::{
    Array, ArrayRef, DictionaryArray, Int32Array, ListBuilder, StringArray, StringViewArray, StringViewBuilder,
};
use arrow::datatypes::Int32Type;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

/// Returns types of every kind.
pub(crate) fn types() -> Vec<DataType> {
    let mut random = StdRng::seed_from_u64(7);
    (0..500).map(|_| random::data_type(&mut random, 1)).collect()
}

/// Returns a batch with columns of random types.
pub(crate) fn random_batch(random: &mut StdRng) -> RecordBatch {
    random::batch(random)
}

#[test]
fn compact_types_become_plain() {
    let mut lists = ListBuilder::new(StringViewBuilder::new());
    lists.append_value([Some("a"), None]);
    lists.append_null();
    let dictionary: DictionaryArray<Int32Type> = vec![Some("x"), None].into_iter().collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("n", Arc::new(Int32Array::from(vec![1, 2]))),
        ("s", Arc::new(StringViewArray::from(vec![Some("long enough for a buffer"), None]))),
        ("d", Arc::new(dictionary)),
        ("l", Arc::new(lists.finish())),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let schema = wire_schema(&batch.schema(), Strings::Plain);
    let types: Vec<String> = schema.fields().iter().map(|f| f.data_type().to_string()).collect();
    assert_eq!(types[..3], ["Int32", "Utf8", "Utf8"]);
    assert!(matches!(schema.field(3).data_type(), DataType::List(item) if *item.data_type() == DataType::Utf8));
    let sent = to_wire(&batch, &schema).unwrap();
    assert_eq!(sent.schema(), schema);
    assert_eq!(sent.num_rows(), 2);
    let views = wire_schema(&batch.schema(), Strings::Views);
    assert_eq!(views.field(1).data_type(), &DataType::Utf8View);
    assert_eq!(views.field(2).data_type(), &DataType::Utf8);
    assert!(same_columns(&batch.schema(), &schema) && same_columns(&schema, &views));
}

#[test]
fn rows_that_were_not_announced_are_an_error() {
    let batch =
        RecordBatch::try_from_iter([("n", Arc::new(Int32Array::from(vec![None, Some(1)])) as ArrayRef)]).unwrap();
    let announced = Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, false)]));
    assert_eq!(to_wire(&batch, &announced).unwrap_err().kind(), ErrorKind::Internal);
    assert!(to_wire(&batch, &Arc::new(Schema::empty())).is_err());
    let renamed = Schema::new(vec![Field::new("m", DataType::Int32, false)]);
    assert!(same_columns(&announced, &announced) && !same_columns(&announced, &renamed));
    assert!(!same_columns(&announced, &Schema::empty()));
}

#[test]
fn rows_without_columns_keep_their_number() {
    let options = RecordBatchOptions::new().with_row_count(Some(3));
    let empty = Arc::new(Schema::empty());
    let batch = RecordBatch::try_new_with_options(empty.clone(), vec![], &options).unwrap();
    assert_eq!(to_wire(&batch, &empty).unwrap().num_rows(), 3);
}

#[test]
fn columns_say_what_sql_calls_them_and_nothing_of_other_servers() {
    let foreign = [("ARROW:FLIGHT:SQL:REMARKS", "a label"), ("ARROW:FLIGHT:SQL:TYPE_NAME", "NUMBER"), ("own", "kept")];
    let metadata = foreign.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let field = Field::new("d", DataType::Decimal128(12, 2), true).with_metadata(metadata);
    let schema = wire_schema(&Schema::new(vec![field, Field::new("s", DataType::Utf8, true)]), Strings::Plain);
    let said = |column: usize| {
        let mut said: Vec<String> = schema.field(column).metadata().iter().map(|(k, v)| format!("{k}={v}")).collect();
        said.sort();
        said.iter().map(|entry| entry.trim_start_matches("ARROW:FLIGHT:SQL:").to_owned()).collect::<Vec<_>>()
    };
    let rest = ["IS_READ_ONLY=1", "IS_SEARCHABLE=1"];
    let decimal = ["IS_AUTO_INCREMENT=0", "IS_CASE_SENSITIVE=0", rest[0], rest[1], "PRECISION=12", "SCALE=2"];
    assert_eq!(said(0), [decimal.as_slice(), &["TYPE_NAME=DECIMAL", "own=kept"]].concat());
    assert_eq!(said(1), ["IS_AUTO_INCREMENT=0", "IS_CASE_SENSITIVE=1", rest[0], rest[1], "TYPE_NAME=VARCHAR"]);
}

#[test]
fn any_schema_becomes_plain_at_every_depth_and_its_rows_follow() {
    for seed in 0..400 {
        let mut random = StdRng::seed_from_u64(seed);
        let batch = random::batch(&mut random);
        for strings in [Strings::Plain, Strings::Views] {
            check(&batch, strings, seed);
            let slice = batch.slice(1, batch.num_rows() - 2);
            check(&slice, strings, seed);
        }
    }
}

fn check(batch: &RecordBatch, strings: Strings, seed: u64) {
    let schema = wire_schema(&batch.schema(), strings);
    assert_eq!(wire_schema(&schema, strings), schema, "seed {seed}");
    assert!(same_columns(&batch.schema(), &schema), "seed {seed}");
    let types = batch.schema().fields().iter().map(|f| f.data_type().to_string()).collect::<Vec<_>>();
    let sent = to_wire(batch, &schema).unwrap_or_else(|e| panic!("seed {seed}: {}\n{types:#?}", e.chain()));
    assert_eq!(sent.schema(), schema);
    assert_eq!(sent.num_rows(), batch.num_rows());
    for (before, after) in batch.schema().fields().iter().zip(schema.fields()) {
        assert_eq!(before.is_nullable(), after.is_nullable(), "seed {seed}");
        assert_plain(after, strings, seed);
        assert_eq!(nullability(before.data_type()), nullability(after.data_type()), "seed {seed}");
    }
    for (before, after) in batch.columns().iter().zip(sent.columns()) {
        assert_eq!(texts(before), texts(after), "seed {seed}: {}", before.data_type());
    }
}

fn assert_plain(field: &Field, strings: Strings, seed: u64) {
    let data_type = field.data_type();
    let is_view = matches!(data_type, DataType::Utf8View | DataType::BinaryView);
    let unreadable = matches!(
        data_type,
        DataType::Float16
            | DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Dictionary(..)
            | DataType::RunEndEncoded(..)
            | DataType::ListView(_)
            | DataType::LargeListView(_)
    );
    assert!(!(unreadable || is_view && strings == Strings::Plain), "seed {seed}: {data_type}");
    children(data_type).iter().for_each(|child| assert_plain(child, strings, seed));
}

/// Returns the fields within a type that a reader sees.
fn children(data_type: &DataType) -> Vec<FieldRef> {
    match data_type {
        DataType::Dictionary(_, values) => children(values),
        DataType::RunEndEncoded(_, values) => children(values.data_type()),
        DataType::List(item)
        | DataType::ListView(item)
        | DataType::LargeList(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => vec![item.clone()],
        DataType::Struct(fields) => fields.iter().cloned().collect(),
        DataType::Union(fields, _) => fields.iter().map(|(_, field)| field.clone()).collect(),
        _ => vec![],
    }
}

fn nullability(data_type: &DataType) -> Vec<bool> {
    let below = |f: &FieldRef| [vec![f.is_nullable()], nullability(f.data_type())].concat();
    children(data_type).iter().flat_map(below).collect()
}

/// Returns the values as strings, which do not depend on the encoding of a value.
fn texts(column: &ArrayRef) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    match ArrayFormatter::try_new(column, &options) {
        // Half floats without a fraction are printed without the point.
        Ok(formatter) => (0..column.len()).map(|row| formatter.value(row).to_string().replace(".0", "")).collect(),
        Err(e) => panic!("{}: {e}", column.data_type()),
    }
}

#[test]
fn half_floats_and_strings_keep_their_values() {
    let strings: ArrayRef = Arc::new(StringViewArray::from_iter([Some("x"), None]));
    let lowered = lower(&strings, &DataType::Utf8).unwrap();
    assert_eq!(lowered.as_any().downcast_ref::<StringArray>().unwrap(), &StringArray::from(vec![Some("x"), None]));
    let too_large: ArrayRef = Arc::new(Int32Array::from(vec![1_000]));
    assert!(lower(&too_large, &DataType::Int8).is_err());
}
