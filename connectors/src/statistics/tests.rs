#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! Tests of the statistics of rows in memory: types, NULLs and bounds of a sample. The source reports only the number
//! of rows.

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, ListArray,
    NullArray, RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::Int32Type;
use async_trait::async_trait;
use datafusion::catalog::MemTable;

use super::*;
use crate::source::OpenError;

/// A source that reports neither bytes nor versions.
#[derive(Debug)]
struct Silent;

#[async_trait]
impl SourceOpener for Silent {
    async fn open(&self, _: &Port, _: &Arc<RuntimeEnv>) -> Result<OpenedPort, OpenError> {
        unreachable!("nothing is opened")
    }
}

fn port(parts: Vec<RecordBatch>) -> (Port, OpenedPort) {
    let mut port = Port::new(PortRef::new("sales", "orders", "orders"));
    let schema = parts[0].schema();
    for field in schema.fields() {
        port.columns.push(Column::new(field.name()).with_type(field.data_type().clone()));
    }
    let table = MemTable::try_new(schema.clone(), parts.into_iter().map(|p| vec![p]).collect()).unwrap();
    let opened = OpenedPort::new(port.name.clone(), Arc::new(table));
    (port, opened)
}

async fn take(port: &Port, opened: &OpenedPort, bounds: Option<Bounds>) -> PortStatistics {
    let runtime = Arc::new(RuntimeEnv::default());
    let session = session(&runtime);
    PortCollector { port, opened, opener: &Silent, runtime: &runtime, session: &session }.statistics(None, bounds).await
}

fn rows(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

fn number(value: f64) -> Option<StatisticValue> {
    Some(StatisticValue::Number(value))
}

#[tokio::test]
async fn every_type_is_counted_or_left_out() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1)]), None, Some(vec![])]);
    let batch = rows(vec![
        ("bool", Arc::new(BooleanArray::from(vec![Some(true), Some(true), None]))),
        ("int", Arc::new(Int32Array::from(vec![Some(4), None, Some(-2)]))),
        ("float", Arc::new(Float64Array::from(vec![0.5, 0.5, 2.0]))),
        ("decimal", Arc::new(Decimal128Array::from(vec![150, 250, 150]).with_precision_and_scale(15, 2).unwrap())),
        ("date", Arc::new(Date32Array::from(vec![10, 20, 10]))),
        ("time", Arc::new(TimestampMicrosecondArray::from(vec![1_500_000, 0, 0]).with_timezone("UTC"))),
        ("text", Arc::new(StringArray::from(vec!["b", "a", "b"]))),
        ("view", Arc::new(StringViewArray::from(vec![Some("short"), Some("longer than twelve"), None]))),
        ("bytes", Arc::new(BinaryArray::from(vec![b"ab".as_slice(), b"", b"ab"]))),
        ("none", Arc::new(Int64Array::from(vec![None; 3]))),
        ("null", Arc::new(NullArray::new(3))),
        ("list", Arc::new(list)),
    ]);
    let (port, opened) = port(vec![batch]);
    let known = take(&port, &opened, Some(Bounds::default())).await;
    assert_eq!(known.rows, Some(3));
    let found: Vec<_> = known.columns.iter().map(|(name, c)| (name.as_str(), c.distinct, c.nulls, c.width)).collect();
    let expected = [
        ("bool", Some(1), Some(1), Some(1.0)),
        ("bytes", Some(2), Some(0), Some(4.0 + 4.0 / 3.0)),
        ("date", Some(2), Some(0), Some(4.0)),
        ("decimal", Some(2), Some(0), Some(16.0)),
        ("float", Some(2), Some(0), Some(8.0)),
        ("int", Some(2), Some(1), Some(4.0)),
        ("none", Some(0), Some(3), Some(8.0)),
        ("text", Some(2), Some(0), Some(5.0)),
        ("time", Some(2), Some(0), Some(8.0)),
        ("view", Some(2), Some(1), Some(16.0 + 9.0)),
    ];
    let found: Vec<_> = found.into_iter().filter(|(name, ..)| !["list", "null"].contains(name)).collect();
    assert_eq!(found, expected);
    assert_eq!(
        (known.columns["decimal"].min.clone(), known.columns["decimal"].max.clone()),
        (number(1.5), number(2.5))
    );
    assert_eq!((known.columns["int"].min.clone(), known.columns["int"].max.clone()), (number(-2.0), number(4.0)));
    assert_eq!(known.columns["time"].max, number(1.5));
    assert_eq!(known.columns["text"].max, Some(StatisticValue::Text("b".into())));
    assert_eq!(known.columns["none"].min, None);
}

/// 20 parts of 100 rows.
fn parts() -> Vec<RecordBatch> {
    let part = |part: i64| {
        let ids = part * 100..(part + 1) * 100;
        rows(vec![
            ("id", Arc::new(Int64Array::from_iter_values(ids.clone())) as ArrayRef),
            ("parent", Arc::new(Int64Array::from_iter_values(ids.clone().map(|i| i / 4)))),
            (
                "kind",
                Arc::new(StringArray::from_iter_values(ids.clone().map(|i| ["a", "b", "b", "b"][i as usize % 4]))),
            ),
            ("maybe", Arc::new(Int64Array::from_iter(ids.map(|i| (i % 2 == 0).then_some(i % 10))))),
        ])
    };
    (0..20).map(part).collect()
}

#[tokio::test]
async fn a_sample_within_its_bounds_has_every_row() {
    let (port, opened) = port(parts());
    let known = take(&port, &opened, Some(Bounds::default())).await;
    assert_eq!(known.rows, Some(2000));
    let distinct = ["id", "parent", "kind", "maybe"].map(|name| known.columns[name].distinct.unwrap());
    assert_eq!(distinct, [2000, 500, 2, 5]);
    assert_eq!(known.columns["maybe"].nulls, Some(1000));
    let text = |t: &str| StatisticValue::Text(t.into());
    assert_eq!(known.columns["kind"].frequent, [(text("b"), 0.75), (text("a"), 0.25)]);
    let of_five: Vec<f64> = known.columns["maybe"].frequent.iter().map(|(_, share)| *share).collect();
    assert_eq!(of_five, [0.1; 5], "shares are of all rows, those with NULL included");
    assert_eq!(known.columns["id"].frequent, []);
    assert_eq!((known.columns["id"].min.clone(), known.columns["id"].max.clone()), (number(0.0), number(1999.0)));
}

#[tokio::test]
async fn a_sample_that_is_cut_short_is_extrapolated() {
    let (port, opened) = port(parts());
    for bounds in [Bounds { rows: 400, ..Bounds::default() }, Bounds { bytes: 1000, ..Bounds::default() }] {
        let session = session(&Arc::new(RuntimeEnv::default()));
        let sample = Sample::read(&opened, &[0, 1], &session, bounds).await.unwrap();
        assert!(!sample.complete && sample.rows() > 0, "{bounds:?}");
        assert!(sample.rows() <= 400 + RUNS || bounds.rows > 400, "{} rows of {bounds:?}", sample.rows());
        let known = take(&port, &opened, Some(bounds)).await;
        let id = &known.columns["id"];
        assert_eq!((id.distinct, id.nulls, id.width), (Some(2000), Some(0), Some(8.0)), "{bounds:?}");
        assert_eq!((id.min.clone(), id.max.clone()), (None, None), "a partial sample gives no range: {bounds:?}");
        let nulls = known.columns["maybe"].nulls.unwrap();
        assert!(nulls.abs_diff(1000) < 200, "{nulls} for {bounds:?}");
    }
    let late = Bounds { time: Duration::ZERO, ..Bounds::default() };
    let session = session(&Arc::new(RuntimeEnv::default()));
    assert!(Sample::read(&opened, &[0], &session, late).await.unwrap().rows() <= 2000);
}

#[tokio::test]
async fn a_port_without_rows() {
    let (port, opened) = port(vec![parts()[0].slice(0, 0)]);
    let known = take(&port, &opened, Some(Bounds::default())).await;
    assert_eq!(known.rows, Some(0));
    let id = &known.columns["id"];
    assert_eq!((id.distinct, id.nulls, id.min.clone(), id.width), (Some(0), Some(0), None, Some(8.0)));
    assert_eq!(known.columns["kind"].width, None);
}

#[tokio::test]
async fn contracts_bound_what_a_sample_tells() {
    let (mut port, opened) = port(parts());
    port.columns[0].unique = true;
    port.columns[1].enumeration = vec!["1".into(), "2".into(), "3".into()];
    let known = take(&port, &opened, Some(Bounds::default())).await;
    assert_eq!(known.columns["id"].distinct, Some(2000), "a declared key is counted exactly");
    assert_eq!(known.columns["parent"].distinct, Some(3));
}

#[tokio::test]
async fn texts_and_frequent_values_of_classified_columns_are_not_told() {
    let (mut port, opened) = port(parts());
    port.columns[2].classification = Some("Restricted".into());
    port.columns[1].classification = Some("confidential".into());
    port.columns[3].classification = Some("Public".into());
    let known = take(&port, &opened, Some(Bounds::default())).await;
    let kind = &known.columns["kind"];
    assert_eq!((kind.distinct, kind.min.clone(), kind.max.clone(), kind.frequent.len()), (Some(2), None, None, 0));
    assert_eq!((known.columns["parent"].max.clone(), known.columns["parent"].frequent.len()), (number(499.0), 0));
    assert_eq!(known.columns["maybe"].frequent.len(), 5);
}

#[test]
fn ranges_of_types_with_steps() {
    let size =
        |data_type: DataType, min: f64, max: f64| range_size(&data_type, number(min).as_ref(), number(max).as_ref());
    assert_eq!(size(DataType::Int64, 1.0, 10.0), Some(10));
    assert_eq!(size(DataType::Date32, -5.0, 5.0), Some(11));
    assert_eq!(size(DataType::Decimal128(15, 2), 0.0, 0.1), Some(11));
    assert_eq!(size(DataType::Boolean, 0.0, 1.0), Some(2));
    assert_eq!(size(DataType::Float64, 0.0, 1.0), None);
    assert_eq!(size(DataType::Int64, -9e18, 9e18), None);
    assert_eq!(range_size(&DataType::Int64, None, number(1.0).as_ref()), None);
}
