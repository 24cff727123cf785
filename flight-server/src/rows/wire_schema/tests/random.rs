//! Random schemas with types of every kind, and rows for them.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, FixedSizeBinaryArray, FixedSizeListArray, Int8Array, Int32Array,
    Int64Array, IntervalDayTimeArray, IntervalMonthDayNanoArray, IntervalYearMonthArray, LargeListArray,
    LargeListViewArray, ListArray, ListViewArray, MapArray, NullArray, RunArray, StringArray, StructArray, UnionArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field, FieldRef, Fields, Int32Type, IntervalDayTime, IntervalMonthDayNano, IntervalUnit, Schema,
    TimeUnit, UnionFields, UnionMode,
};
use arrow::record_batch::RecordBatch;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// Returns a batch of up to five columns.
pub(super) fn batch(random: &mut StdRng) -> RecordBatch {
    let rows = random.random_range(2..20);
    let fields: Vec<FieldRef> = (0..random.random_range(1..6)).map(|i| field(random, &format!("c{i}"), 3)).collect();
    let columns = fields.iter().map(|f| array(random, f.data_type(), rows, f.is_nullable())).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn field(random: &mut StdRng, name: &str, depth: usize) -> FieldRef {
    let data_type = data_type(random, depth);
    // All values of `Null` are NULL, and a union takes its NULLs from its members.
    let nullable = matches!(data_type, DataType::Null | DataType::Union(..)) || random.random_bool(0.6);
    Arc::new(Field::new(name, data_type, nullable))
}

/// Returns a type of at most this depth.
pub(super) fn data_type(random: &mut StdRng, depth: usize) -> DataType {
    if depth == 0 || random.random_bool(0.4) {
        return leaf(random);
    }
    let below = depth - 1;
    let mut item = || field(random, "item", below);
    let inner = item();
    match random.random_range(0..11) {
        0 => DataType::Dictionary(Box::new(DataType::Int8), Box::new(repeatable(random, inner))),
        1 => {
            let values = Arc::new(Field::new("values", repeatable(random, inner), true));
            DataType::RunEndEncoded(Arc::new(Field::new("run_ends", DataType::Int32, false)), values)
        }
        2 => DataType::List(inner),
        3 => DataType::LargeList(inner),
        4 => DataType::ListView(repeatable_field(random, inner)),
        5 => DataType::LargeListView(repeatable_field(random, inner)),
        6 => DataType::FixedSizeList(inner, random.random_range(0..3)),
        7 => {
            let key = Arc::new(Field::new("key", DataType::Utf8View, false));
            let value = Arc::new(Field::new("value", inner.data_type().clone(), true));
            let entries = Field::new("entries", DataType::Struct(vec![key, value].into()), false);
            DataType::Map(Arc::new(entries), false)
        }
        8 => DataType::Union(members(random, below), UnionMode::Sparse),
        9 => DataType::Union(members(random, below), UnionMode::Dense),
        _ => {
            let names = ["a", "b", "c"];
            let fields: Vec<FieldRef> =
                names[..random.random_range(0..4)].iter().map(|name| field(random, name, below)).collect();
            DataType::Struct(fields.into())
        }
    }
}

/// Returns a type whose single values Arrow can repeat. Arrow's kernel does not support unions, which have no NULLs of
/// their own, or lists without items.
fn repeatable(random: &mut StdRng, field: FieldRef) -> DataType {
    fn is_repeatable(field: &FieldRef) -> bool {
        let stops = matches!(field.data_type(), DataType::Union(..) | DataType::FixedSizeList(_, 0));
        !stops && super::children(field.data_type()).iter().all(is_repeatable)
    }
    let data_type = if is_repeatable(&field) { field.data_type().clone() } else { leaf(random) };
    // A column of NULLs does not fit where none is allowed.
    if data_type.is_null() { DataType::Int64 } else { data_type }
}

fn repeatable_field(random: &mut StdRng, field: FieldRef) -> FieldRef {
    let nullable = field.is_nullable();
    Arc::new(Field::new("item", repeatable(random, field), nullable))
}

fn members(random: &mut StdRng, depth: usize) -> UnionFields {
    [0, 5].into_iter().map(|id| (id, field(random, &format!("m{id}"), depth))).collect()
}

fn leaf(random: &mut StdRng) -> DataType {
    use DataType::*;
    use TimeUnit::*;
    let zone = || Some(Arc::from("Europe/Berlin"));
    let all = [
        Null,
        Boolean,
        Int8,
        Int16,
        Int32,
        Int64,
        UInt8,
        UInt16,
        UInt32,
        UInt64,
        Float16,
        Float32,
        Float64,
        Decimal32(9, 2),
        Decimal64(18, 2),
        Decimal128(38, 2),
        Decimal256(76, 2),
        Utf8,
        LargeUtf8,
        Utf8View,
        Binary,
        LargeBinary,
        BinaryView,
        FixedSizeBinary(3),
        Date32,
        Date64,
        Time32(Second),
        Time32(Millisecond),
        Time64(Microsecond),
        Time64(Nanosecond),
        Timestamp(Second, None),
        Timestamp(Millisecond, zone()),
        Timestamp(Microsecond, None),
        Timestamp(Nanosecond, zone()),
        Duration(Second),
        Duration(Nanosecond),
        Interval(IntervalUnit::YearMonth),
        Interval(IntervalUnit::DayTime),
        Interval(IntervalUnit::MonthDayNano),
    ];
    all.choose(random).unwrap().clone()
}

/// Returns an array of this type and length, without NULLs if they are not allowed.
fn array(random: &mut StdRng, data_type: &DataType, rows: usize, nullable: bool) -> ArrayRef {
    let nulls = nulls(random, rows, nullable);
    match data_type {
        DataType::Dictionary(_, values) => {
            let keys = Int8Array::new((0..rows).map(|_| random.random_range(0..3)).collect(), nulls);
            Arc::new(DictionaryArray::try_new(keys, array(random, values, 3, nullable)).unwrap())
        }
        DataType::RunEndEncoded(_, values) => {
            let values = array(random, values.data_type(), rows.div_ceil(2), nullable);
            let ends: Vec<i32> = (1..=rows.div_ceil(2)).map(|run| (run * 2).min(rows) as i32).collect();
            Arc::new(RunArray::<Int32Type>::try_new(&Int32Array::from(ends), &values).unwrap())
        }
        DataType::List(item) => {
            let offsets = offsets(random, rows);
            let values = array(random, item.data_type(), total(&offsets), item.is_nullable());
            let offsets = OffsetBuffer::new(offsets.into_iter().map(|o| o as i32).collect());
            Arc::new(ListArray::new(item.clone(), offsets, values, nulls))
        }
        DataType::LargeList(item) => {
            let offsets = offsets(random, rows);
            let values = array(random, item.data_type(), total(&offsets), item.is_nullable());
            let offsets = OffsetBuffer::new(offsets.into_iter().map(|o| o as i64).collect());
            Arc::new(LargeListArray::new(item.clone(), offsets, values, nulls))
        }
        DataType::ListView(item) => {
            let values = array(random, item.data_type(), 4, item.is_nullable());
            let starts: ScalarBuffer<i32> = (0..rows).map(|_| random.random_range(0..3)).collect();
            let sizes: ScalarBuffer<i32> = (0..rows).map(|_| random.random_range(0..2)).collect();
            Arc::new(ListViewArray::new(item.clone(), starts, sizes, values, nulls))
        }
        DataType::LargeListView(item) => {
            let values = array(random, item.data_type(), 4, item.is_nullable());
            let starts: ScalarBuffer<i64> = (0..rows).map(|_| random.random_range(0..3)).collect();
            let sizes: ScalarBuffer<i64> = (0..rows).map(|_| random.random_range(0..2)).collect();
            Arc::new(LargeListViewArray::new(item.clone(), starts, sizes, values, nulls))
        }
        DataType::FixedSizeList(item, size) => {
            let values = array(random, item.data_type(), rows * *size as usize, item.is_nullable());
            Arc::new(FixedSizeListArray::try_new_with_length(item.clone(), *size, values, nulls, rows).unwrap())
        }
        DataType::Struct(fields) => Arc::new(structs(random, fields, rows, nulls)),
        DataType::Map(entries, sorted) => {
            let DataType::Struct(fields) = entries.data_type() else { panic!("no entries") };
            let offsets = offsets(random, rows);
            let values = structs(random, fields, total(&offsets), None);
            let offsets = OffsetBuffer::new(offsets.into_iter().map(|o| o as i32).collect());
            Arc::new(MapArray::new(entries.clone(), offsets, values, nulls, *sorted))
        }
        DataType::Union(fields, mode) => {
            let ids: Vec<i8> = fields.iter().map(|(id, _)| id).collect();
            let rows_of: ScalarBuffer<i8> = (0..rows).map(|_| *ids.choose(random).unwrap()).collect();
            let offsets = (*mode == UnionMode::Dense).then(|| (0..rows as i32).collect::<ScalarBuffer<i32>>());
            let children = fields.iter().map(|(_, f)| array(random, f.data_type(), rows, f.is_nullable())).collect();
            Arc::new(UnionArray::try_new(fields.clone(), rows_of, offsets, children).unwrap())
        }
        leaf => leaf_array(random, leaf, rows, nulls),
    }
}

fn structs(random: &mut StdRng, fields: &Fields, rows: usize, nulls: Option<NullBuffer>) -> StructArray {
    let columns = fields.iter().map(|f| array(random, f.data_type(), rows, f.is_nullable())).collect();
    StructArray::try_new_with_length(fields.clone(), columns, nulls, rows).unwrap()
}

fn leaf_array(random: &mut StdRng, data_type: &DataType, rows: usize, nulls: Option<NullBuffer>) -> ArrayRef {
    let numbers: Vec<i64> = (0..rows).map(|_| random.random_range(0..100)).collect();
    let small = || numbers.iter().map(|n| *n as i32);
    match data_type {
        DataType::Null => Arc::new(NullArray::new(rows)),
        DataType::Boolean => Arc::new(BooleanArray::new(numbers.iter().map(|n| n % 2 == 0).collect(), nulls)),
        DataType::Interval(IntervalUnit::YearMonth) => Arc::new(IntervalYearMonthArray::new(small().collect(), nulls)),
        DataType::Interval(IntervalUnit::DayTime) => {
            Arc::new(IntervalDayTimeArray::new(small().map(|n| IntervalDayTime::new(n, n)).collect(), nulls))
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let values = small().map(|n| IntervalMonthDayNano::new(n, n, n.into())).collect();
            Arc::new(IntervalMonthDayNanoArray::new(values, nulls))
        }
        DataType::FixedSizeBinary(size) => {
            let bytes = vec![7_u8; rows * *size as usize];
            Arc::new(FixedSizeBinaryArray::new(*size, bytes.into(), nulls))
        }
        DataType::Date32 | DataType::Time32(_) => {
            let numbers: ArrayRef = Arc::new(Int32Array::new(small().collect(), nulls));
            cast(&numbers, data_type).unwrap()
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => text(&numbers, nulls.as_ref(), data_type),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            let binary = text(&numbers, nulls.as_ref(), &DataType::Utf8);
            cast(&cast(&binary, &DataType::Binary).unwrap(), data_type).unwrap()
        }
        _ => {
            let numbers: ArrayRef = Arc::new(Int64Array::new(numbers.into(), nulls));
            cast(&numbers, data_type).unwrap()
        }
    }
}

/// Returns short strings, and some that are too long to be stored inline in a view.
fn text(numbers: &[i64], nulls: Option<&NullBuffer>, data_type: &DataType) -> ArrayRef {
    let value = |(row, n): (usize, &i64)| {
        let is_null = nulls.is_some_and(|nulls| nulls.is_null(row));
        (!is_null).then(|| "ü".repeat(*n as usize % 20))
    };
    let plain: ArrayRef = Arc::new(StringArray::from_iter(numbers.iter().enumerate().map(value)));
    cast(&plain, data_type).unwrap()
}

fn nulls(random: &mut StdRng, rows: usize, nullable: bool) -> Option<NullBuffer> {
    nullable.then(|| (0..rows).map(|_| random.random_bool(0.7)).collect::<Vec<_>>().into())
}

fn offsets(random: &mut StdRng, rows: usize) -> Vec<usize> {
    let mut offsets = vec![0];
    for row in 0..rows {
        offsets.push(offsets[row] + random.random_range(0..3));
    }
    offsets
}

fn total(offsets: &[usize]) -> usize {
    offsets.last().copied().unwrap_or_default()
}
