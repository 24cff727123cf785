//! A source that cannot be read stops neither its node nor other sources. The error names it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int64Array, RecordBatch};
use arrow::datatypes::Int32Type;
use portolan_engine::ErrorKind;
use portolan_tests::mesh::within;
use portolan_tests::products::{PortFile, write_domain};
use portolan_tests::ways::{Ways, table, write_parquet};
use tempfile::TempDir;

fn rows(kinds: &[&str]) -> RecordBatch {
    let kinds: DictionaryArray<Int32Type> = kinds.iter().copied().collect();
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(1..=arrow::array::Array::len(&kinds) as i64));
    table(vec![("id", ids), ("kind", Arc::new(kinds))])
}

async fn ways(folder: &Path, ports: &[(&'static str, &[&str])]) -> Ways {
    let files = ports.iter().map(|(name, kinds)| {
        let file = folder.join(format!("{name}.parquet"));
        write_parquet(&file, &rows(kinds));
        PortFile::local(name, &file, "parquet", &[("id", "integer"), ("kind", "string")])
    });
    let (here, there) = (folder.join("here"), folder.join("there"));
    write_domain("east", &here, &files.collect::<Vec<_>>());
    let other = folder.join("other.parquet");
    write_parquet(&other, &rows(&["x", "y"]));
    let columns: &[_] = &[("id", "integer"), ("kind", "string")];
    write_domain("west", &there, &[PortFile::local("other", &other, "parquet", columns)]);
    Ways::start(&[("east", here.join("products")), ("west", there.join("products"))]).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_tables_and_dictionaries() {
    within(300, async {
        let folder = TempDir::new().unwrap();
        let ways = ways(folder.path(), &[("empty", &[]), ("full", &["x", "z", "x"])]).await;
        ways.gives("SELECT count(*), max(kind) FROM east.samples.empty", &["0|NULL"]).await;
        ways.gives("SELECT id FROM east.samples.full WHERE kind = 'x'", &["1", "3"]).await;
        ways.gives(
            "SELECT f.id, e.kind FROM east.samples.full f LEFT JOIN east.samples.empty e ON f.kind = e.kind",
            &["1|NULL", "2|NULL", "3|NULL"],
        )
        .await;
        ways.gives(
            "SELECT o.id FROM west.samples.other o WHERE o.kind NOT IN (SELECT kind FROM east.samples.empty)",
            &["1", "2"],
        )
        .await;
        ways.gives(
            "SELECT kind, count(*) FROM (SELECT kind FROM east.samples.empty UNION ALL SELECT kind FROM west.samples.other) \
             GROUP BY kind",
            &["x|1", "y|1"],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_names_a_file_that_becomes_invalid() {
    within(300, async {
        let folder = TempDir::new().unwrap();
        let ways = ways(folder.path(), &[("spoilt", &["x", "y"]), ("full", &["x", "z"])]).await;
        ways.gives("SELECT kind FROM east.samples.spoilt", &["x", "y"]).await;
        let file = folder.path().join("spoilt.parquet");
        let whole = fs::read(&file).unwrap();
        let says = &["east.samples.spoilt", "spoilt.parquet"];
        // Garbage in the pages, garbage in the whole file, and only half of the file.
        let mut garbage = whole.clone();
        garbage[4..whole.len() / 3].fill(0xff);
        for garbage in [garbage.as_slice(), b"garbage that is no Parquet file", &whole[..whole.len() / 2]] {
            fs::write(&file, garbage).unwrap();
            ways.refuses("SELECT id, kind FROM east.samples.spoilt", ErrorKind::SiteUnavailable, says).await;
            let join = "SELECT o.id FROM west.samples.other o JOIN east.samples.spoilt s ON o.kind = s.kind";
            ways.refuses(join, ErrorKind::SiteUnavailable, says).await;
            ways.gives("SELECT kind FROM east.samples.full", &["x", "z"]).await;
            ways.gives("SELECT kind FROM west.samples.other", &["x", "y"]).await;
        }
        fs::write(&file, &whole).unwrap();
        ways.gives("SELECT kind FROM east.samples.spoilt", &["x", "y"]).await;
    })
    .await;
}
