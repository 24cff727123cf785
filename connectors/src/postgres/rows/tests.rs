//! Streams that were written by hand: each type at its ends, and streams that are cut or changed anywhere.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Field, Float64Type, Int64Type, IntervalMonthDayNanoType,
    IntervalUnit, Schema, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt32Type, i256,
};

use super::*;

const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const END: &[u8] = &[0xff, 0xff];

/// Returns a row.
fn row(values: &[Option<&[u8]>]) -> Vec<u8> {
    let mut bytes = i16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
    for value in values {
        let length = value.map_or(-1, |value| i32::try_from(value.len()).unwrap());
        bytes.extend(length.to_be_bytes());
        bytes.extend(value.unwrap_or_default());
    }
    bytes
}

fn decoder(types: &[DataType]) -> RowDecoder {
    let fields: Vec<_> = types.iter().enumerate().map(|(i, t)| Field::new(format!("c{i}"), t.clone(), true)).collect();
    RowDecoder::new(Arc::new(Schema::new(fields))).unwrap()
}

/// Decodes one value.
fn value(data_type: &DataType, bytes: &[u8]) -> Result<ArrayRef, Fault> {
    let mut decoder = decoder(std::slice::from_ref(data_type));
    decoder.push(&[HEADER, &row(&[Some(bytes)]), END].concat())?;
    decoder.end()?;
    Ok(decoder.take()?.unwrap().column(0).clone())
}

fn unfit(data_type: &DataType, bytes: &[u8]) -> String {
    match value(data_type, bytes) {
        Err(Fault::Unfit(text)) => text.into_owned(),
        other => panic!("expected a value that does not fit, got {other:?}"),
    }
}

/// Returns the bytes of a `numeric`.
fn number(weight: i16, sign: u16, digits: &[u16]) -> Vec<u8> {
    let mut bytes = u16::try_from(digits.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(weight.to_be_bytes());
    bytes.extend(sign.to_be_bytes());
    bytes.extend(2_u16.to_be_bytes());
    digits.iter().for_each(|digit| bytes.extend(digit.to_be_bytes()));
    bytes
}

fn decimal128(precision: u8, scale: i8, bytes: &[u8]) -> i128 {
    value(&DataType::Decimal128(precision, scale), bytes).unwrap().as_primitive::<Decimal128Type>().value(0)
}

#[test]
fn numbers_keep_every_digit() {
    assert_eq!(decimal128(10, 2, &number(0, 0, &[17])), 1_700);
    assert_eq!(decimal128(10, 2, &number(0, 0x4000, &[1, 2_300])), -123);
    assert_eq!(decimal128(10, 2, &number(-1, 0, &[100])), 1);
    assert_eq!(decimal128(10, 2, &number(0, 0, &[])), 0);
    assert_eq!(decimal128(38, 0, &number(2, 0, &[1])), 100_000_000);
    assert_eq!(decimal128(10, 4, &number(1, 0, &[12, 3_456, 7_800])), 1_234_567_800);
    // 38 nines, with the point anywhere: the last digit of PostgreSQL has zeros beyond the scale.
    let nines = 10_i128.pow(38) - 1;
    assert_eq!(
        decimal128(38, 0, &number(9, 0, &[99, 9_999, 9_999, 9_999, 9_999, 9_999, 9_999, 9_999, 9_999, 9_999])),
        nines
    );
    assert_eq!(
        decimal128(38, 1, &number(9, 0, &[9, 9_999, 9_999, 9_999, 9_999, 9_999, 9_999, 9_999, 9_999, 9_999, 9_000])),
        nines
    );
    assert_eq!(
        decimal128(
            38,
            38,
            &number(-1, 0x4000, &[9_999, 9_999, 9_999, 9_999, 9_999, 9_999, 9_999, 9_999, 9_999, 9_900])
        ),
        -nines
    );
    let large = value(&DataType::Decimal256(76, 0), &number(18, 0, &[9_999; 19])).unwrap();
    let expected = i256::from_string(&"9".repeat(76)).unwrap();
    assert_eq!(large.as_primitive::<Decimal256Type>().value(0), expected);
}

#[test]
fn numbers_that_would_be_rounded_do_not_fit() {
    let decimal = |precision, scale| DataType::Decimal128(precision, scale);
    assert!(
        unfit(&decimal(10, 2), &number(0, 0, &[1, 1]))
            .ends_with("at most 10 digits, 2 of them behind the point, got one with more")
    );
    for (bytes, precision, scale) in [
        (number(0, 0, &[100]), 2, 0),
        (number(-1, 0, &[10]), 38, 2),
        (number(-2, 0, &[1]), 10, 2),
        (number(9, 0, &[100, 0, 0, 0, 0, 0, 0, 0, 0, 0]), 38, 0),
        (number(32_767, 0, &[1]), 38, 0),
        (number(0, 0xc000, &[]), 10, 2),
        (number(0, 0xd000, &[]), 10, 2),
        (number(0, 0xf000, &[]), 10, 2),
    ] {
        assert!(unfit(&decimal(precision, scale), &bytes).starts_with("column `c0`: expected a number"));
    }
    for bytes in [number(0, 0, &[10_000]), vec![0, 2, 0, 0, 0, 0, 0, 0, 0, 1], vec![0; 7]] {
        assert!(matches!(value(&decimal(10, 2), &bytes), Err(Fault::Malformed(_))), "{bytes:?}");
    }
}

#[test]
fn dates_and_times_count_from_1970() {
    let date = |days: i32| value(&DataType::Date32, &days.to_be_bytes()).unwrap().as_primitive::<Date32Type>().value(0);
    assert_eq!((date(0), date(-10_957), date(-2_451_545)), (10_957, 0, -2_440_588));
    assert_eq!(date(2_145_031_948), 2_145_042_905);
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let since = value(&timestamp, &1_i64.to_be_bytes()).unwrap();
    assert_eq!(since.as_primitive::<TimestampMicrosecondType>().value(0), 946_684_800_000_001);
    assert_eq!(since.data_type(), &timestamp);
    let time = DataType::Time64(TimeUnit::Microsecond);
    let last = value(&time, &86_399_999_999_i64.to_be_bytes()).unwrap();
    assert_eq!(last.as_primitive::<Time64MicrosecondType>().value(0), 86_399_999_999);
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    let bytes = [&(-5_i64).to_be_bytes()[..], &7_i32.to_be_bytes(), &(-2_i32).to_be_bytes()].concat();
    let parts = value(&interval, &bytes).unwrap().as_primitive::<IntervalMonthDayNanoType>().value(0);
    assert_eq!((parts.months, parts.days, parts.nanoseconds), (-2, 7, -5_000));

    for days in [i32::MIN, i32::MAX, i32::MAX - 1] {
        assert!(unfit(&DataType::Date32, &days.to_be_bytes()).contains("expected a date"), "{days}");
    }
    for microseconds in [i64::MIN, i64::MAX, i64::MAX - 1] {
        assert!(unfit(&timestamp, &microseconds.to_be_bytes()).contains("expected a timestamp"), "{microseconds}");
    }
    assert!(unfit(&time, &86_400_000_000_i64.to_be_bytes()).ends_with("got 24:00:00"));
    assert!(matches!(value(&time, &(-1_i64).to_be_bytes()), Err(Fault::Malformed(_))));
    let infinite = [&i64::MAX.to_be_bytes()[..], &i32::MAX.to_be_bytes(), &i32::MAX.to_be_bytes()].concat();
    assert!(unfit(&interval, &infinite).contains("expected an interval"));
}

#[test]
fn other_types_are_exact() {
    let int8 = value(&DataType::Int64, &i64::MIN.to_be_bytes()).unwrap();
    assert_eq!(int8.as_primitive::<Int64Type>().value(0), i64::MIN);
    let oid = value(&DataType::UInt32, &4_294_967_295_i64.to_be_bytes()).unwrap();
    assert_eq!(oid.as_primitive::<UInt32Type>().value(0), u32::MAX);
    assert!(unfit(&DataType::UInt32, &(-1_i64).to_be_bytes()).contains("from 0 to 4294967295"));
    let zero = value(&DataType::Float64, &(-0.0_f64).to_be_bytes()).unwrap();
    assert!(zero.as_primitive::<Float64Type>().value(0).is_sign_negative());
    assert!(value(&DataType::Boolean, &[1]).unwrap().as_boolean().value(0));
    assert_eq!(value(&DataType::Binary, &[0, 255]).unwrap().as_binary::<i32>().value(0), [0, 255]);
    assert_eq!(value(&DataType::Utf8, "ä".as_bytes()).unwrap().as_string::<i32>().value(0), "ä");
    assert_eq!(value(&DataType::Utf8View, b"x").unwrap().as_string_view().value(0), "x");
    assert_eq!(unfit(&DataType::Utf8, &[0xff]), "column `c0`: expected text in UTF-8, got other bytes");
    for (data_type, bytes) in [(DataType::Int32, &[0; 8][..]), (DataType::Int16, &[]), (DataType::Boolean, &[2])] {
        assert!(matches!(value(&data_type, bytes), Err(Fault::Malformed(_))), "{data_type}");
    }
}

/// Returns the bytes of an array of `int4` with one dimension.
fn array(dimensions: i32, count: i32, first: i32, items: &[Option<i32>]) -> Vec<u8> {
    let mut bytes = [dimensions, 1, 23, count, first].map(i32::to_be_bytes).concat();
    for item in items {
        bytes.extend(item.map_or(-1, |_| 4_i32).to_be_bytes());
        bytes.extend(item.map(i32::to_be_bytes).unwrap_or_default().into_iter().take(if item.is_some() {
            4
        } else {
            0
        }));
    }
    bytes
}

#[test]
fn arrays_have_one_dimension_that_begins_at_1() {
    let list = DataType::List(Field::new_list_field(DataType::Int32, true).into());
    let mut decoder = decoder(std::slice::from_ref(&list));
    let (full, empty) = (array(1, 3, 1, &[Some(1), None, Some(-1)]), [0_i32, 0, 23].map(i32::to_be_bytes).concat());
    let rows = [row(&[Some(&full)]), row(&[None]), row(&[Some(&empty)])].concat();
    decoder.push(&[HEADER, &rows, END].concat()).unwrap();
    let batch = decoder.take().unwrap().unwrap();
    let lists = batch.column(0).as_list::<i32>();
    assert_eq!(
        lists.value(0).as_primitive::<arrow::datatypes::Int32Type>().iter().collect::<Vec<_>>(),
        [Some(1), None, Some(-1)]
    );
    assert_eq!((lists.is_null(1), lists.value(2).len(), lists.is_null(2)), (true, 0, false));

    assert!(unfit(&list, &array(1, 1, 0, &[Some(1)])).ends_with("got one that begins at 0"));
    assert!(unfit(&list, &array(2, 1, 1, &[Some(1)])).contains("one dimension"));
    for bytes in
        [array(1, 2, 1, &[Some(1)]), array(1, -1, 1, &[]), array(1, 0, 1, &[None]), array(-1, 0, 1, &[]), vec![0; 4]]
    {
        assert!(matches!(value(&list, &bytes), Err(Fault::Malformed(_))), "{bytes:?}");
    }
}

#[test]
fn chunks_may_end_anywhere() {
    let types = [DataType::Int32, DataType::Utf8];
    let first = row(&[Some(&1_i32.to_be_bytes()), Some(b"one")]);
    let second = row(&[None, Some(b"")]);
    let stream = [HEADER, &first, &second, END].concat();
    for size in 1..=stream.len() {
        let mut decoder = decoder(&types);
        for chunk in stream.chunks(size) {
            assert!(decoder.end().is_err());
            decoder.push(chunk).unwrap();
        }
        decoder.end().unwrap();
        let batch = decoder.take().unwrap().unwrap();
        assert_eq!(
            batch.column(0).as_primitive::<arrow::datatypes::Int32Type>().iter().collect::<Vec<_>>(),
            [Some(1), None]
        );
        assert_eq!(batch.column(1).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("one"), Some("")]);
        assert_eq!(decoder.take().unwrap(), None);
    }
}

#[test]
fn a_cut_or_changed_stream_never_panics() {
    let list = DataType::List(Field::new_list_field(DataType::Utf8, true).into());
    let types = [DataType::Int32, DataType::Decimal128(38, 4), list, DataType::Utf8, DataType::Date32];
    let items = [&[1_i32, 0, 25, 2, 1, 1].map(i32::to_be_bytes).concat()[..], b"x", &(-1_i32).to_be_bytes()].concat();
    let values = [&7_i32.to_be_bytes()[..], &number(1, 0, &[1, 2, 3]), &items, b"text", &0_i32.to_be_bytes()];
    let stream = [HEADER, &row(&values.map(Some)), END].concat();
    let decode = |bytes: &[u8]| {
        let mut decoder = decoder(&types);
        decoder.push(bytes).and_then(|()| decoder.end()).and_then(|()| decoder.take().map(|_| ()))
    };
    decode(&stream).unwrap();
    for length in 0..stream.len() {
        assert!(decode(&stream[..length]).is_err(), "{length}");
    }
    for at in 0..stream.len() {
        for byte in [0, 1, 0x7f, 0x80, 0xff] {
            let mut changed = stream.clone();
            changed[at] = byte;
            let _ = decode(&changed);
        }
    }
    for extra in [&[0][..], &[0, 0], END] {
        assert!(decode(&[&stream, extra].concat()).is_err(), "{extra:?}");
    }
}

#[test]
fn a_batch_is_full_after_its_rows_and_a_column_is_named() {
    let mut decoder = decoder(&[]);
    decoder.push(HEADER).unwrap();
    for _ in 0..8192 {
        assert!(!decoder.is_full());
        decoder.push(&row(&[])).unwrap();
    }
    assert!(decoder.is_full());
    assert_eq!(decoder.take().unwrap().unwrap().num_rows(), 8192);
    assert!(!decoder.is_full());
    decoder.push(END).unwrap();
    decoder.end().unwrap();
    decoder.restart();
    decoder.push(&[HEADER, &row(&[]), END].concat()).unwrap();
    assert_eq!(decoder.take().unwrap().unwrap().num_rows(), 1);
}
