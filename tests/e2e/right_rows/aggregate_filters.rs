//! An aggregate's filter on its scan keeps the rows of all of its functions. A fault shows only for some orders of
//! reading the files, so each query runs several times.

use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use portolan_tests::mesh::within;
use portolan_tests::parquet_files::write_groups;
use portolan_tests::products::{PortFile, write_domain};
use portolan_tests::ways::{Ways, table};
use tempfile::TempDir;

const TIMES: usize = 12;

fn rows(names: [&str; 3], rows: &[[Option<i64>; 3]]) -> RecordBatch {
    let column = |i: usize| -> ArrayRef { Arc::new(Int64Array::from_iter(rows.iter().map(|row| row[i]))) };
    table(names.into_iter().enumerate().map(|(i, name)| (name, column(i))).collect())
}

/// Returns ports of several files with columns `a`, `b` and `c`, one in each of the domains `east` and `west`.
async fn ways(folder: &TempDir, east: &[&[[Option<i64>; 3]]], west: &[&[[Option<i64>; 3]]]) -> Ways {
    let homes = [("east", east), ("west", west)].map(|(domain, files)| {
        let home = folder.path().join(domain);
        let data = home.join("data");
        fs::create_dir_all(&data).unwrap();
        for (number, file) in files.iter().enumerate() {
            // Each row has a row group of its own, so that the scan can skip each.
            let groups: Vec<_> = file.iter().map(|row| rows(["a", "b", "c"], &[*row])).collect();
            write_groups(&data.join(format!("{number}.parquet")), &groups);
        }
        let columns: &[_] = &[("a", "integer"), ("b", "integer"), ("c", "integer")];
        write_domain(domain, &home, &[PortFile::local("t", &data, "parquet", columns)]);
        (domain, home.join("products"))
    });
    Ways::start(&homes).await.unwrap()
}

fn row(a: i64, b: i64, c: i64) -> [Option<i64>; 3] {
    [Some(a), Some(b), Some(c)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aggregates_ignore_the_filters_of_other_scans() {
    within(900, async {
        let folder = TempDir::new().unwrap();
        let east: &[&[_]] = &[&[row(1, 12, 100), row(8, 4, 70)], &[row(1, 6, 90), row(8, 12, 110)]];
        // In the first file, `a` and `b` are NULL.
        let west: &[&[_]] = &[
            &[[None, None, Some(1)], [None, None, Some(2)]],
            &[row(5, 50, 3), row(6, 60, 4)],
            &[row(1, 10, 5), row(2, 20, 6)],
            &[row(8, 80, 7), row(9, 90, 8)],
        ];
        let ways = ways(&folder, east, west).await;
        for _ in 0..TIMES {
            ways.gives("SELECT min(a), max(a), max(b), min(c + 1) FROM east.samples.t", &["1|8|12|71"]).await;
            ways.gives("SELECT max(c * 2), min(b) FROM east.samples.t WHERE a > 0", &["220|4"]).await;
            ways.gives("SELECT min(a), max(a) FROM west.samples.t WHERE c > 0", &["1|9"]).await;
            ways.gives("SELECT min(b), max(c) FROM west.samples.t WHERE c < 100", &["10|8"]).await;
            ways.gives("SELECT min(a) FROM west.samples.t WHERE c < 100", &["1"]).await;
            ways.gives("SELECT max(b) FILTER (WHERE a < 6), min(a) FROM west.samples.t", &["50|1"]).await;
            ways.gives(
                "SELECT min(e.a), max(w.b), min(w.c + e.c) FROM east.samples.t e JOIN west.samples.t w ON e.a = w.a",
                &["1|80|77"],
            )
            .await;
        }
        ways.gives("SELECT min(a), max(b), min(c + 1) FROM east.samples.t WHERE a > 100", &["NULL|NULL|NULL"]).await;
    })
    .await;
}
