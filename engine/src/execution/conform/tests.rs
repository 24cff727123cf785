#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use arrow::array::{
    BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Float64Array, Int32Array, Int64Array,
    StringArray, Time32MillisecondArray, Time64MicrosecondArray, TimestampMicrosecondArray, TimestampSecondArray,
};
use arrow::datatypes::{Field, Int32Type};

use super::*;

/// 2024-01-01 in seconds.
const NEW_YEAR: i64 = 1_704_067_200;

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn doubles_of(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn list(values: ArrayRef) -> ArrayRef {
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    let offsets = arrow::buffer::OffsetBuffer::from_lengths([values.len()]);
    Arc::new(ListArray::new(field, offsets, values, None))
}

fn gives(from: &ArrayRef, expected: &ArrayRef) {
    let converted = lossless(from, expected.data_type());
    assert_eq!(&converted.unwrap_or_else(|e| panic!("{from:?}: {e:?}")), expected);
}

fn refuses(from: &ArrayRef, to: &DataType) {
    if let Ok(converted) = lossless(from, to) {
        panic!("expected an error for {from:?} as {to}, got {converted:?}");
    }
}

#[test]
fn strings_keep_their_digits() {
    let decimal = |values: Vec<Option<i128>>| -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(12, 2).unwrap())
    };
    gives(
        &texts(&[Some("8.79"), Some("-8.7900"), Some("5"), Some(" .5 "), None]),
        &decimal(vec![Some(879), Some(-879), Some(500), Some(50), None]),
    );
    let cents = DataType::Decimal128(12, 2);
    for text in ["8.794", "8.795", "-0.001", "1.2.3", "x"] {
        refuses(&texts(&[Some("1"), Some(text)]), &cents);
    }

    let at: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![NEW_YEAR * 1_000_000 + 123_456]));
    gives(&texts(&[Some("2024-01-01 00:00:00.123456")]), &at);
    gives(&texts(&[Some("2024-01-01T00:00:00.123456000Z")]), &at);
    refuses(&texts(&[Some("2024-01-01 00:00:00.123456789")]), at.data_type());
    refuses(&texts(&[Some("2024-01-01 00:00:00.1234567+01:00")]), at.data_type());
    let seconds: ArrayRef = Arc::new(TimestampSecondArray::from(vec![NEW_YEAR]));
    gives(&texts(&[Some("2024-01-01 00:00:00.0")]), &seconds);
    refuses(&texts(&[Some("2024-01-01 00:00:00.5")]), seconds.data_type());
    refuses(&texts(&[Some("2024-01-01 00:00:00.1234567891")]), &DataType::Timestamp(TimeUnit::Nanosecond, None));

    let noon: ArrayRef = Arc::new(Time64MicrosecondArray::from(vec![43_200_123_456]));
    gives(&texts(&[Some("12:00:00.123456")]), &noon);
    refuses(&texts(&[Some("12:00:00.1234567")]), noon.data_type());
    let millis: ArrayRef = Arc::new(Time32MillisecondArray::from(vec![43_200_500]));
    gives(&texts(&[Some("12:00:00.5")]), &millis);
    refuses(&texts(&[Some("12:00:00.0005")]), millis.data_type());

    let day: ArrayRef = Arc::new(Date32Array::from(vec![19_723]));
    gives(&texts(&[Some("2024-01-01")]), &day);
    gives(&texts(&[Some("2024-01-01 00:00:00")]), &day);
    refuses(&texts(&[Some("2024-01-01 12:00:00")]), &DataType::Date32);
    refuses(&texts(&[Some("2024-01-01 00:00:00.0000001")]), &DataType::Date32);
    gives(&texts(&[Some("true"), None]), &(Arc::new(BooleanArray::from(vec![Some(true), None])) as ArrayRef));
}

#[test]
fn the_values_of_a_dictionary_decide() {
    let keys = Int32Array::from(vec![Some(0), Some(1), None, Some(0)]);
    let dictionary = |values: ArrayRef| -> ArrayRef {
        Arc::new(DictionaryArray::<Int32Type>::try_new(keys.clone(), values).unwrap())
    };
    let whole: ArrayRef = Arc::new(Int64Array::from(vec![Some(2), Some(3), None, Some(2)]));
    gives(&dictionary(doubles_of(&[2.0, 3.0])), &whole);
    refuses(&dictionary(doubles_of(&[2.7, 3.0])), &DataType::Int64);
    gives(&dictionary(texts(&[Some("a"), Some("b")])), &texts(&[Some("a"), Some("b"), None, Some("a")]));
    refuses(&dictionary(texts(&[Some("8.794"), Some("1")])), &DataType::Decimal128(12, 2));
    let encoded = |values: DataType| DataType::Dictionary(Box::new(DataType::Int32), Box::new(values));
    refuses(&doubles_of(&[2.7]), &encoded(DataType::Int64));
    assert_eq!(lossless(&texts(&[Some("a")]), &encoded(DataType::Utf8)).unwrap().data_type(), &encoded(DataType::Utf8));
}

#[test]
fn a_negative_zero_is_zero() {
    gives(&doubles_of(&[1.0, -0.0]), &(Arc::new(Int64Array::from(vec![1, 0])) as ArrayRef));
    let decimal = Decimal128Array::from(vec![100, 0]).with_precision_and_scale(12, 2).unwrap();
    gives(&doubles_of(&[1.0, -0.0]), &(Arc::new(decimal) as ArrayRef));
    for value in [0.5, f64::NAN, f64::INFINITY, 1e300] {
        refuses(&doubles_of(&[value]), &DataType::Int64);
    }
    refuses(&doubles_of(&[8.794]), &DataType::Decimal128(12, 2));
}

#[test]
fn a_list_follows_its_items() {
    let reals: ArrayRef = Arc::new(Float32Array::from(vec![0.1, 2.0]));
    gives(&doubles_of(&[0.1, 2.0]), &reals);
    gives(&list(doubles_of(&[0.1, 2.0])), &list(reals));
    refuses(&list(doubles_of(&[1e300])), list(Arc::new(Float32Array::from(vec![0.0]))).data_type());
    refuses(&list(doubles_of(&[2.7])), list(Arc::new(Int64Array::from(vec![0]))).data_type());
}
