//! Three domains that the tests generate: `shop` with small tables, `facts` with a million sales, and `people` who buy.
//! The files are written once and kept between runs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use portolan_tests::mesh::Mesh;
use portolan_tests::node::kept_folder;
use portolan_tests::products::{PortFile, write_domain};
use serde_json::json;
use tokio::sync::OnceCell;

/// The number of sales.
pub(super) const FACTS: u64 = 1_000_000;
/// The number of items. Each has the same number of sales.
pub(super) const ITEMS: u64 = 5_000;
/// The number of sales of the items in one category.
pub(super) const MATCHING: u64 = FACTS / CATEGORIES as u64;
/// The number of selected sales, which are spread over all sales.
pub(super) const PICKS: u64 = 5_000;
/// The number of buyers.
pub(super) const BUYERS: u64 = 100_000;

const CATEGORIES: i64 = 50;
/// The number of trades. Each belongs to one of ten groups.
const TRADES: i64 = 3_000;
/// The version of the data. It changes with the data, so that old files are not used.
const VERSION: &str = "1";

/// Returns the mesh that all tests share.
pub(super) async fn mesh() -> &'static Mesh {
    static SHARED: OnceCell<Mesh> = OnceCell::const_new();
    SHARED
        .get_or_init(|| async {
            let files = files();
            let folder = tempfile::Builder::new().prefix("portolan-planning-").tempdir().unwrap();
            let domains = [("shop", shop(&files)), ("facts", facts(&files)), ("people", people(&files))];
            let homes = domains.into_iter().map(|(domain, ports)| {
                let home = folder.path().join(domain);
                write_domain(domain, &home, &ports);
                (domain, home, json!({}))
            });
            let homes = homes.collect();
            // The measured bandwidth of loopback differs between runs, and plans depend on it.
            Mesh::of_homes(folder, homes, json!({ "peer": { "bandwidth": "200MB" } })).await
        })
        .await
}

type Columns = Vec<(&'static str, ArrayRef)>;
type Names = &'static [(&'static str, &'static str)];

/// A table's name, and the function that returns its columns.
type Table = (&'static str, fn() -> Columns);

/// The contents of each table's files.
const TABLES: &[Table] = &[
    ("item", item),
    ("pick", pick),
    ("code", code),
    ("sale", sale),
    ("buy", || trade(7, "x")),
    ("sell", || trade(11, "y")),
    ("mark", mark),
    ("buyer", buyer),
];

fn shop(files: &Path) -> Vec<PortFile> {
    vec![
        port(files, "item", &[("item_id", "integer"), ("category", "string"), ("name", "string")]),
        port(files, "pick", &[("sale_id", "integer"), ("note", "string")]),
        port(files, "code", &[("k", "integer"), ("j", "integer"), ("label", "string")]),
    ]
}

fn facts(files: &Path) -> Vec<PortFile> {
    const SALE: Names = &[
        ("sale_id", "integer"),
        ("item_id", "integer"),
        ("buyer_id", "integer"),
        ("amount", "integer"),
        ("quantity", "integer"),
        ("note", "string"),
    ];
    vec![
        port(files, "sale", SALE),
        port(files, "buy", &[("id", "integer"), ("grp", "integer"), ("x", "integer")]),
        port(files, "sell", &[("id", "integer"), ("grp", "integer"), ("y", "integer")]),
        port(files, "mark", &[("k", "integer"), ("j", "integer"), ("label", "string")]),
    ]
}

fn people(files: &Path) -> Vec<PortFile> {
    vec![port(files, "buyer", &[("buyer_id", "integer"), ("name", "string")])]
}

fn port(files: &Path, name: &'static str, columns: Names) -> PortFile {
    PortFile::local(name, &files.join(format!("{name}.parquet")), "parquet", columns)
}

/// Returns the folder with the files, and writes the files if it does not exist. While files are being written, their
/// folder has another name.
fn files() -> PathBuf {
    let kept = kept_folder("planning");
    let folder = kept.join(VERSION);
    if !folder.is_dir() {
        let writing = tempfile::tempdir_in(&kept).unwrap();
        for (table, columns) in TABLES {
            write(&writing.path().join(format!("{table}.parquet")), columns());
        }
        // Another process may have been faster.
        let _ = fs::rename(writing.keep(), &folder);
    }
    folder
}

fn write(file: &Path, columns: Columns) {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(100_000)).build();
    let mut writer = ArrowWriter::try_new(File::create(file).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn integers(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn texts(values: impl Iterator<Item = String>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

/// Returns the key of an item. The keys are spread over a wide range.
fn item_key(i: i64) -> i64 {
    i * 7_919 % 1_000_003
}

fn item() -> Columns {
    let all = || 0..ITEMS as i64;
    vec![
        ("item_id", integers(all().map(item_key))),
        ("category", texts(all().map(|i| format!("c{}", i % CATEGORIES)))),
        ("name", texts(all().map(|i| format!("item {i}")))),
    ]
}

fn sale() -> Columns {
    let all = || 0..FACTS as i64;
    vec![
        ("sale_id", integers(all())),
        ("item_id", integers(all().map(|i| item_key(i % ITEMS as i64)))),
        ("buyer_id", integers(all().map(|i| i * 31 % BUYERS as i64))),
        ("amount", integers(all().map(|i| i * 104_729 % 10_007))),
        ("quantity", integers(all().map(|i| 1 + i * 13 % 97))),
        ("note", texts(all().map(|i| format!("note {}", i % 1_000)))),
    ]
}

fn pick() -> Columns {
    let step = FACTS as i64 / PICKS as i64;
    let all = || 0..PICKS as i64;
    vec![
        ("sale_id", integers(all().map(|i| i * step + i * 17 % step))),
        ("note", texts(all().map(|i| format!("picked {i}")))),
    ]
}

/// Returns few groups of many rows. The sums over two such tables are the keys of few items.
fn trade(factor: i64, value: &'static str) -> Columns {
    let all = || 0..TRADES;
    vec![
        ("id", integers(all())),
        ("grp", integers(all().map(|i| i % 10))),
        (value, integers(all().map(|i| i * factor * 1_009 % 500_000))),
    ]
}

fn buyer() -> Columns {
    vec![("buyer_id", integers(0..BUYERS as i64)), ("name", texts((0..BUYERS).map(|i| format!("buyer {i}"))))]
}

fn with_nulls(keys: &[Option<i64>], seconds: &[Option<i64>]) -> Columns {
    vec![
        ("k", Arc::new(Int64Array::from(keys.to_vec()))),
        ("j", Arc::new(Int64Array::from(seconds.to_vec()))),
        ("label", texts((0..keys.len()).map(|i| format!("row {i}")))),
    ]
}

fn code() -> Columns {
    with_nulls(&[Some(1), Some(2), Some(2), None, Some(3), None], &[Some(1), Some(1), None, Some(1), Some(3), None])
}

fn mark() -> Columns {
    with_nulls(&[Some(2), Some(3), Some(3), None, Some(5)], &[Some(1), Some(3), None, Some(1), Some(5)])
}
