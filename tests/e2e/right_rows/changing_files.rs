//! A file with a column of another type arrives while the node runs. It is read without loss, or refused with the names
//! of the port, the file, the column and both types. DataFusion casts it to the type of the table, whatever the loss.

use std::fs;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array,
    Int64Array, StringArray, TimestampMicrosecondArray, TimestampNanosecondArray,
};
use portolan_engine::ErrorKind;
use portolan_tests::mesh::within;
use portolan_tests::ways::{Ways, table, write_parquet};

use super::folders::{Folders, write_arrow};

/// A port of one column `c`: its name, the column's logical type, the column at first and later, and the names of both
/// types in the error.
type Case = (&'static str, &'static str, ArrayRef, ArrayRef, [&'static str; 2]);

fn decimal(values: &[i128], precision: u8, scale: i8) -> ArrayRef {
    let values = Decimal128Array::from_iter_values(values.iter().copied());
    Arc::new(values.with_precision_and_scale(precision, scale).unwrap())
}

fn cases() -> Vec<Case> {
    let whole: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), None]));
    let micros: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1_000_001, 2_000_002]));
    let zoned: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1_000_001]).with_timezone("+02:00"));
    let nanos: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1_000_000_001]));
    let days: ArrayRef = Arc::new(Date32Array::from(vec![19_723]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let bytes: ArrayRef = Arc::new(BinaryArray::from_vec(vec![b"\xff\xfe", b"\xc3("]));
    let floats: ArrayRef = Arc::new(Float32Array::from(vec![0.5]));
    let doubles: ArrayRef = Arc::new(Float64Array::from(vec![1e300]));
    let flags: ArrayRef = Arc::new(BooleanArray::from(vec![true, false]));
    let narrow: ArrayRef = Arc::new(Int32Array::from(vec![7]));
    vec![
        ("fractions", "integer", whole.clone(), Arc::new(Float64Array::from(vec![2.7])), ["Float64", "Int64"]),
        ("scales", "number", decimal(&[11_132], 10, 2), decimal(&[1_113_250], 10, 4), ["(10, 4)", "(10, 2)"]),
        ("bytes", "string", texts.clone(), bytes, ["Binary", "Utf8"]),
        ("nanos", "timestamp", micros.clone(), nanos, ["Timestamp(ns)", "Timestamp(µs)"]),
        ("doubles", "number", floats, doubles, ["Float64", "Float32"]),
        ("zones", "timestamp", micros.clone(), zoned.clone(), ["+02:00", "Timestamp(µs)"]),
        ("naive", "timestamp", zoned, micros.clone(), ["Timestamp(µs)", "+02:00"]),
        ("times", "date", days.clone(), micros, ["Timestamp(µs)", "Date32"]),
        ("flags", "integer", whole.clone(), flags, ["Boolean", "Int64"]),
        ("wide", "integer", narrow, whole.clone(), ["Int64", "Int32"]),
        ("texts", "integer", whole, texts, ["Utf8", "Int64"]),
    ]
}

async fn all_refused(ways: &Ways, port: &str, file: &str, types: &[&str]) {
    let name = format!("west.samples.{port}");
    let says: Vec<&str> = [name.as_str(), file, "`c`"].into_iter().chain(types.iter().copied()).collect();
    for sql in [
        format!("SELECT c FROM {name}"),
        format!("SELECT count(*) FROM {name}"),
        format!("SELECT max(c) FROM {name}"),
        format!("SELECT e.x FROM east.samples.e AS e WHERE EXISTS (SELECT 1 FROM {name} AS w WHERE w.c IS NOT NULL)"),
    ] {
        ways.refuses(&sql, ErrorKind::SiteUnavailable, &says).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_with_another_type_is_refused() {
    within(600, async {
        let mut folders = Folders::new();
        let east = folders.port("east", "e", "parquet", &[("x", "integer")]);
        write_parquet(&east.join("a.parquet"), &table(vec![("x", Arc::new(Int64Array::from(vec![1, 2])))]));
        let mut later = vec![];
        for (port, logical, first, second, types) in cases() {
            let data = folders.port("west", port, "parquet", &[("c", logical)]);
            write_parquet(&data.join("a.parquet"), &table(vec![("c", first.clone())]));
            later.push((port, data, first, second, types));
        }
        let ways = folders.start().await.unwrap();
        for (port, data, first, second, types) in &later {
            let rows = first.len().to_string();
            ways.gives(&format!("SELECT count(*) FROM west.samples.{port}"), &[&rows]).await;
            write_parquet(&data.join("later.parquet"), &table(vec![("c", second.clone())]));
            all_refused(&ways, port, "later.parquet", types).await;
            // A file with the right type again is read again.
            write_parquet(&data.join("later.parquet"), &table(vec![("c", first.clone())]));
            let rows = (2 * first.len()).to_string();
            ways.gives(&format!("SELECT count(*) FROM west.samples.{port}"), &[&rows]).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_arrow_file_with_another_type_is_refused() {
    within(600, async {
        let mut folders = Folders::new();
        let east = folders.port("east", "e", "arrow", &[("x", "integer")]);
        write_arrow(&east.join("a.arrow"), &table(vec![("x", Arc::new(Int64Array::from(vec![1, 2])))]));
        let data = folders.port("west", "w", "arrow", &[("c", "integer")]);
        let whole = table(vec![("c", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)]);
        write_arrow(&data.join("a.arrow"), &whole);
        let ways = folders.start().await.unwrap();
        ways.gives("SELECT c FROM west.samples.w JOIN east.samples.e ON c = x", &["1", "2"]).await;
        let doubles = table(vec![("c", Arc::new(Float64Array::from(vec![2.7])) as ArrayRef)]);
        write_arrow(&data.join("later.arrow"), &doubles);
        all_refused(&ways, "w", "later.arrow", &["Float64", "Int64"]).await;
        fs::remove_file(data.join("later.arrow")).unwrap();
        // A file with a narrower type is read.
        let narrow = table(vec![("c", Arc::new(Int32Array::from(vec![Some(2), None])) as ArrayRef)]);
        write_arrow(&data.join("later.arrow"), &narrow);
        ways.gives("SELECT c FROM west.samples.w", &["1", "2", "2", "NULL"]).await;
        ways.gives("SELECT count(*), sum(c) FROM west.samples.w JOIN east.samples.e ON c = x", &["3|5"]).await;
    })
    .await;
}
