//! Tests of the generated data, of its cache, and of the queries' text.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arrow::datatypes::DataType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use portolan_node::ErrorKind;

use super::cache::{ensure, is_cached};
use super::*;

static NOT_CANCELLED: AtomicBool = AtomicBool::new(false);

#[test]
fn the_counts_are_the_specifications() {
    let folder = tempfile::tempdir().unwrap();
    let counted = Mutex::new(BTreeMap::<&str, usize>::new());
    let count = |table, rows| *counted.lock().unwrap().entry(table).or_default() += rows;
    let data = ensure(folder.path(), 0.001, &count, &NOT_CANCELLED).unwrap();

    let mut in_files = BTreeMap::new();
    for table in TABLES {
        let file = std::fs::File::open(data.join(format!("{}.parquet", table.name))).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        assert!(reader.schema().fields().iter().all(|f| f.data_type() != &DataType::Utf8View), "{}", table.name);
        in_files.insert(table.name, reader.metadata().file_metadata().num_rows() as usize);
    }
    assert_eq!(in_files, *counted.lock().unwrap());
    assert!((5900..6100).contains(&in_files.remove("lineitem").unwrap()));
    let expected = [
        ("customer", 150),
        ("nation", 25),
        ("orders", 1500),
        ("part", 200),
        ("partsupp", 800),
        ("region", 5),
        ("supplier", 10),
    ];
    assert_eq!(in_files, BTreeMap::from(expected));
}

#[test]
fn data_is_generated_once_also_by_two_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let regions = AtomicUsize::new(0);
    let count = |table: &str, _| {
        if table == "region" {
            regions.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| ensure(folder.path(), 0.001, &count, &NOT_CANCELLED).unwrap());
        }
    });
    assert_eq!(regions.load(Ordering::Relaxed), 1);
    assert!(is_cached(folder.path(), 0.001));
    assert!(!is_cached(folder.path(), 0.002));
}

#[test]
fn what_was_cancelled_leaves_nothing_and_can_be_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let cancel = AtomicBool::new(true);
    let error = ensure(folder.path(), 0.001, &|_, _| {}, &cancel).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["tpch-sf0.001-v1.lock"]);
    ensure(folder.path(), 0.001, &|_, _| {}, &NOT_CANCELLED).unwrap();
}

#[test]
fn a_folder_without_the_marker_is_generated_anew() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("tpch-sf0.001-v1");
    std::fs::create_dir(&broken).unwrap();
    std::fs::write(broken.join("nation.parquet"), "half").unwrap();
    let data = ensure(folder.path(), 0.001, &|_, _| {}, &NOT_CANCELLED).unwrap();
    assert!(std::fs::read(data.join("nation.parquet")).unwrap().starts_with(b"PAR1"));
}

#[test]
fn a_scale_that_is_no_scale_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for scale in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
        assert!(ensure(folder.path(), scale, &|_, _| {}, &NOT_CANCELLED).is_err(), "{scale}");
    }
}

#[test]
fn the_queries_are_numbered_and_name_ports_in_full() {
    for (i, query) in QUERIES.iter().enumerate() {
        assert_eq!(query.number, i + 1);
        assert_eq!(query.limit.is_some(), query.sql.contains("LIMIT"), "query {}", query.number);
        assert_eq!(
            query.sort_keys.is_empty(),
            !query.sql.lines().any(|l| l.starts_with("ORDER BY")),
            "query {}",
            query.number
        );
        assert!(TABLES.iter().any(|t| query.sql.contains(&format!("{}.{}.{}", t.domain, t.product, t.name))));
    }
}
